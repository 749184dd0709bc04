import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Copies } from "./copies.ts";

Deno.test("Copies.of() gives copies that stay as they are, each writable alone", () => {
  const lengths = fc.array(fc.oneof(fc.nat(40), fc.nat(1_000)), {
    minLength: 50,
    maxLength: 200,
  });
  fc.assert(fc.property(lengths, (lengths) => {
    const copies = new Copies();
    const source = new Uint8Array(1_000);
    const kept = lengths.map((length, i) => {
      const message = source.subarray(0, length).fill(i);
      return copies.of(message);
    });
    for (const [i, copy] of kept.entries()) {
      assertEquals(copy, new Uint8Array(lengths[i] ?? 0).fill(i));
      copy.fill(0xff);
    }
  }));
});

Deno.test("Copies.of() goes on where the memory of a copy was transferred", () => {
  const copies = new Copies();
  const { buffer } = copies.of(new Uint8Array(10));
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  assertEquals(copies.of(new Uint8Array(3).fill(7)), new Uint8Array([7, 7, 7]));
});
