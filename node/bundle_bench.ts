import { msgpackr } from "@devts/protocol/msgpackr";
import {
  type BundleVisitor,
  BundleWriter,
  EVENT,
  readBundle,
} from "./bundle.ts";

const codec = msgpackr();
const COUNT = 1_000;

const VALUES: readonly (readonly [string, unknown])[] = [
  ["128 B bytes", new Uint8Array(128)],
  ["1 KiB bytes", new Uint8Array(1_024)],
  ["6 KiB bytes", new Uint8Array(6_144)],
  ["128 B object", { id: 12, tags: ["a", "b"], text: "x".repeat(90) }],
];

const decoding: BundleVisitor<string> & { payload: Uint8Array } = {
  payload: new Uint8Array(0),
  resolve: (name) => name,
  event(_name, _request, _alone, start, end) {
    codec.decodeAt(this.payload, start, end);
  },
  extras: () => {},
  reply: () => {},
  delivery: () => {},
  receipt: () => {},
};

for (const [what, value] of VALUES) {
  const name = new TextEncoder().encode("event");

  Deno.bench(
    `BundleWriter, 1,000 × ${what}`,
    { group: what, baseline: true },
    () => {
      write(new BundleWriter(codec, 4), name, value, () => {});
    },
  );

  const payloads: Uint8Array[] = [];
  write(new BundleWriter(codec, 4), name, value, (payload) => {
    payloads.push(payload);
  });
  Deno.bench(`readBundle(), 1,000 × ${what}`, { group: what }, () => {
    for (const payload of payloads) {
      decoding.payload = payload;
      readBundle(payload, decoding);
    }
  });
}

function write(
  writer: BundleWriter,
  name: Uint8Array,
  value: unknown,
  take: (payload: Uint8Array) => void,
): void {
  for (let i = 0; i < COUNT; i++) {
    if (writer.add(EVENT, name, 0, value)) continue;
    take(writer.take().payload);
    writer.add(EVENT, name, 0, value);
  }
  take(writer.take().payload);
}
