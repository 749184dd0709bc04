import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { KnownTexts } from "./known_texts.ts";

const malformed = (): Error => new SyntaxError("malformed");

Deno.test("KnownTexts reads what stands there, whatever came before", () => {
  const texts = new KnownTexts(malformed);
  const encoder = new TextEncoder();
  const text = fc.oneof(
    fc.constantFrom("order.created", "order.deleted", "\ufeffa", "größe"),
    fc.string({ unit: "binary", maxLength: 80 }),
  );
  fc.assert(
    fc.property(text, fc.nat(5), (text, start) => {
      const bytes = encoder.encode("#".repeat(start) + text + "#");
      const expected = new TextDecoder("utf-8", { ignoreBOM: true })
        .decode(encoder.encode(text));
      const end = bytes.length - 1;
      assertEquals(texts.read(bytes, start, end), expected);
      // What was kept of it is no view.
      bytes.fill(0);
      encoder.encodeInto(text, bytes);
      const length = encoder.encode(text).length;
      assertStrictEquals(texts.read(bytes, 0, length), expected);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("KnownTexts refuses what is no UTF-8, also the second time", () => {
  const texts = new KnownTexts(malformed);
  for (const length of [1, 1, 100]) {
    const bytes = new Uint8Array(length).fill(0xff);
    assertThrows(() => texts.read(bytes, 0, length), SyntaxError, "malformed");
  }
});
