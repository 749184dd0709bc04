import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  areExtras,
  EXTRA_CODEC,
  EXTRA_GROUPS,
  EXTRA_HEADERS,
  extraIn,
  MAX_EXTRAS,
  writeExtras,
} from "./extras.ts";

Deno.test("writeExtras() writes the documented bytes", () => {
  const written = writeExtras([
    [EXTRA_HEADERS, Uint8Array.of(7, 8)],
    [EXTRA_GROUPS, new Uint8Array(0)],
    [200, new Uint8Array(258).fill(9)],
  ]);
  assertEquals(
    [...written.subarray(0, 12)],
    [1, 0, 2, 7, 8, 2, 0, 0, 200, 1, 2, 9],
  );
  assertEquals(written.length, 5 + 3 + 3 + 258);
});

Deno.test("extraIn() finds the first extra with a tag, wherever they stand", () => {
  const written = writeExtras([
    [EXTRA_HEADERS, Uint8Array.of(1)],
    [77, Uint8Array.of(2, 2)],
    [EXTRA_CODEC, Uint8Array.of(3)],
    [EXTRA_HEADERS, Uint8Array.of(4)],
  ]);
  const payload = new Uint8Array(5 + written.length + 5).fill(EXTRA_CODEC);
  payload.set(written, 5);
  const end = 5 + written.length;
  assert(areExtras(payload, 5, end));
  assertEquals(extraIn(payload, 5, end, EXTRA_HEADERS), Uint8Array.of(1));
  assertEquals(extraIn(payload, 5, end, 77), Uint8Array.of(2, 2));
  assertEquals(extraIn(payload, 5, end, EXTRA_CODEC), Uint8Array.of(3));
  assertEquals(extraIn(payload, 5, end, EXTRA_GROUPS), null);
  assertEquals(extraIn(payload, 5, 5, EXTRA_HEADERS), null);
});

Deno.test("writeExtras() takes no more than may be carried", () => {
  const most = new Uint8Array(MAX_EXTRAS - 3);
  assertEquals(writeExtras([[1, most]]).length, MAX_EXTRAS);
  assertThrows(
    () => writeExtras([[1, most], [2, new Uint8Array(0)]]),
    RangeError,
    `takes ${MAX_EXTRAS + 3} bytes, and at most ${MAX_EXTRAS} may`,
  );
});

Deno.test("areExtras() is true for exactly what extraIn() can walk", () => {
  const small = fc.uint8Array({ maxLength: 12 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(255), small), { maxLength: 5 }),
      fc.nat(80),
      fc.nat(255),
      (extras, at, byte) => {
        const written = writeExtras(extras);
        assert(areExtras(written, 0, written.length));
        for (const [tag] of extras) {
          const [, bytes] = extras.find(([other]) => other === tag) ?? [];
          assertEquals(extraIn(written, 0, written.length, tag), bytes);
        }
        if (at < written.length) written[at] = byte;
        let end = 0;
        while (end + 3 <= written.length) {
          end += 3 + (written[end + 1] ?? 0) * 256 + (written[end + 2] ?? 0);
        }
        const fits = end === written.length;
        assertEquals(areExtras(written, 0, written.length), fits);
        // Whatever stands there, looking for an extra ends.
        extraIn(written, 0, written.length, 1);
      },
    ),
    { seed: 3, numRuns: 2_000 },
  );
});
