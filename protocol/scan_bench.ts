import { msgpackr } from "./msgpackr.ts";
import { scan } from "./scan.ts";

const { encode } = msgpackr();
const inputs: readonly [name: string, bytes: Uint8Array][] = [
  [
    "object of 116 B",
    encode({
      id: 12345,
      name: "sensor-7",
      at: 1719500000123,
      tags: ["alpha", "beta"],
      value: 21.5,
      ok: true,
      text: "0123456789abcdefghijklmnopqrstuvwxyz",
    }),
  ],
  ["string of 1 KiB", encode("x".repeat(1024))],
  ["bytes of 64 KiB", encode(new Uint8Array(65536))],
  ["16,384 integers", encode(Array.from({ length: 16_384 }, (_, i) => i))],
];

for (const [name, bytes] of inputs) {
  Deno.bench(`scan() ${name}`, () => {
    scan(bytes, 0, bytes.length);
  });
}
