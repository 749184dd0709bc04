import { json } from "./json.ts";
import { msgpack } from "./msgpack.ts";
import { msgpackr } from "./msgpackr.ts";

const codecs = { msgpackr: msgpackr(), msgpack: msgpack(), json: json() };
const inputs: readonly [name: string, value: unknown, hasBytes?: boolean][] = [
  [
    "object of 116 B",
    {
      id: 12345,
      name: "sensor-7",
      at: 1719500000123,
      tags: ["alpha", "beta"],
      value: 21.5,
      ok: true,
      text: "0123456789abcdefghijklmnopqrstuvwxyz",
    },
  ],
  ["string of 1 KiB", "x".repeat(1024)],
  ["bytes of 128 B", new Uint8Array(128), true],
  ["bytes of 1 KiB", new Uint8Array(1_024), true],
  ["bytes of 64 KiB", new Uint8Array(65536), true],
];

for (const [name, value, hasBytes] of inputs) {
  for (const [title, codec] of Object.entries(codecs)) {
    if (hasBytes && codec.name === "json") continue;
    const bytes = codec.encode(value);
    Deno.bench(
      `${title}().encode() ${name}`,
      { group: `encode ${name}` },
      () => {
        codec.encode(value);
      },
    );
    Deno.bench(
      `${title}().decode() ${name}`,
      { group: `decode ${name}` },
      () => {
        codec.decode(bytes);
      },
    );
  }

  // In the middle of a bundle, as events travel.
  const { encodeInto, decodeAt } = codecs.msgpackr;
  const bundle = new Uint8Array(200_000);
  const end = encodeInto(value, bundle, 40_000);
  Deno.bench(
    `msgpackr().encodeInto() ${name}`,
    { group: `encode ${name}` },
    () => {
      encodeInto(value, bundle, 40_000);
    },
  );
  Deno.bench(
    `msgpackr().decodeAt() ${name}`,
    { group: `decode ${name}` },
    () => {
      decodeAt(bundle, 40_000, end);
    },
  );
}
