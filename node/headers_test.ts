import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { areExtras, EXTRA_HEADERS, writeExtras } from "./extras.ts";
import { readHeaders, writeHeaders } from "./headers.ts";

Deno.test("readHeaders() reads what writeHeaders() writes", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 10 });
  const name = text.filter((one) => one !== "");
  fc.assert(fc.property(
    fc.array(fc.tuple(name, text), { minLength: 1, maxLength: 20 }),
    (entries) => {
      const headers = new Map(entries);
      const extras = writeHeaders(headers);
      if (extras === null) throw new Error("nothing was written");
      assertEquals(areExtras(extras, 0, extras.length), true);
      assertEquals(readHeaders(extras, 0, extras.length), headers);
    },
  ));
});

Deno.test("readHeaders() makes something of any bytes, and at most 64", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
    const extras = writeExtras([[EXTRA_HEADERS, bytes]]);
    assertEquals(readHeaders(extras, 0, extras.length).size <= 64, true);
  }));
});
