import { assert, assertEquals, assertThrows } from "@std/assert";
import { Packr } from "msgpackr/pack";
import {
  FIRST,
  isRight,
  isWhole,
  itemOf,
  kindOf,
  sequenceOf,
  SIZES,
  stamp,
  template,
} from "./payload.ts";

Deno.test("itemOf() makes objects of 128 bytes, whatever the sequence number", () => {
  const codec = new Packr({ useRecords: false });
  for (const sequence of [FIRST, FIRST + 255, 2 ** 31, 2 ** 32 - 1]) {
    assertEquals(codec.pack(itemOf(sequence)).length, SIZES.object128);
  }
});

Deno.test("isRight() sees a change of any field", () => {
  const item = itemOf(FIRST);
  assert(isRight(item));
  assert(!isRight({ ...item, id: FIRST + 1 }));
  assert(!isRight({ ...item, name: "order.changed" }));
  assert(!isRight({ ...item, s: `y${item.s.slice(1)}` }));
});

for (const [kind, length] of Object.entries(SIZES)) {
  Deno.test(`stamp() writes what sequenceOf() reads: ${kind}`, () => {
    const bytes = template(length);
    for (const sequence of [FIRST, FIRST + 1, 2 ** 32 - 1]) {
      assertEquals(stamp(bytes, sequence), bytes);
      assertEquals(sequenceOf(bytes), sequence);
      assert(isWhole(bytes, sequence));
    }
  });
}

Deno.test("sequenceOf() sees that the ends do not belong together", () => {
  const bytes = stamp(template(SIZES.bytes128), FIRST);
  bytes.set(stamp(template(SIZES.bytes128), FIRST + 1).subarray(0, 4));
  assertEquals(sequenceOf(bytes), -1);
  assertEquals(sequenceOf(bytes.subarray(0, 7)), -1);
  assertEquals(sequenceOf(new Uint8Array(0)), -1);
});

Deno.test("isWhole() sees every byte", () => {
  const bytes = stamp(template(SIZES.bytes128), FIRST);
  for (const [index, byte] of bytes.entries()) {
    bytes[index] = byte ^ 1;
    assert(!isWhole(bytes, FIRST), `byte ${index}`);
    bytes[index] = byte;
  }
  assert(!isWhole(bytes, FIRST + 1));
  assert(isWhole(bytes, FIRST));
});

Deno.test("kindOf() takes the kinds alone", () => {
  assertEquals(kindOf("bytes1k"), "bytes1k");
  assertThrows(() => kindOf("bytes2k"), TypeError, "bytes2k");
});
