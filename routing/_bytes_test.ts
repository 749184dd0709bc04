import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MalformedError, Reader, Writer } from "./_bytes.ts";

Deno.test("Reader reads what Writer wrote", () => {
  fc.assert(
    fc.property(
      fc.nat(0xff),
      fc.nat(0xffff),
      fc.nat(0xffff_ffff),
      fc.maxSafeNat(),
      fc.uint8Array({ maxLength: 1000 }),
      fc.string({ unit: "grapheme" }),
      (u8, u16, u32, u53, bytes, string) => {
        const message = new Writer().u8(u8).u16(u16).u32(u32).u53(u53).bytes(
          bytes,
        ).string(string)
          .take();
        const reader = new Reader(message);
        const read = [reader.u8(), reader.u16(), reader.u32(), reader.u53()];
        assertEquals(read, [u8, u16, u32, u53]);
        assertEquals(reader.bytes(1000), bytes);
        assertEquals(reader.string(65_535), string);
        reader.end();
      },
    ),
    { seed: 1 },
  );
});

Deno.test("Writer.u53() is big-endian", () => {
  const message = new Writer().u53(2 ** 32 + 2).take();
  assertEquals(message, new Uint8Array([0, 0, 0, 1, 0, 0, 0, 2]));
});

Deno.test("Writer.take() hands out a buffer of its own and begins anew", () => {
  const writer = new Writer().u8(1);
  const first = writer.take();
  const second = writer.u8(2).take();
  assertEquals([first, second], [new Uint8Array([1]), new Uint8Array([2])]);
  assertEquals(first.buffer.byteLength, 1);
});

Deno.test("Writer refuses numbers out of range", () => {
  for (const wrong of [-1, 256, 0.5, NaN]) {
    assertThrows(() => new Writer().u8(wrong), RangeError, `${wrong}`);
  }
  assertThrows(() => new Writer().u16(65_536), RangeError);
  assertThrows(() => new Writer().u32(2 ** 32), RangeError);
  assertThrows(() => new Writer().u53(2 ** 53), RangeError);
  assertThrows(() => new Writer().bytes(new Uint8Array(65_536)), RangeError);
});

Deno.test("Reader refuses a message cut short anywhere", () => {
  const message = new Writer().u8(1).u16(2).u32(3).u53(4).string("five").take();
  for (let length = 0; length < message.length; length++) {
    assertThrows(() => {
      const reader = new Reader(message.subarray(0, length));
      reader.u8();
      reader.u16();
      reader.u32();
      reader.u53();
      reader.string(10);
    }, MalformedError);
  }
});

Deno.test("Reader refuses unsafe integers, long fields, bad UTF-8 and what is left over", () => {
  const unsafe = new Writer().u32(2 ** 21).u32(0).take();
  assertThrows(() => new Reader(unsafe).u53(), MalformedError, "safe integer");
  const long = new Writer().string("four").take();
  assertThrows(
    () => new Reader(long).string(3),
    MalformedError,
    "4 bytes of at most 3",
  );
  const bad = new Writer().bytes(new Uint8Array([0xc3, 0x28])).take();
  assertThrows(() => new Reader(bad).string(10), MalformedError, "UTF-8");
  assertThrows(() => new Reader(bad).end(), MalformedError, "longer");
});

Deno.test("Reader.string() keeps a byte order mark", () => {
  const marked = new Writer().string("\ufeffx").take();
  assertEquals(new Reader(marked).string(10), "\ufeffx");
});

Deno.test("Writer.string() writes short strings as it writes long ones", () => {
  for (const text of ["", "a", "~\x00", "é", "aé", "€uro", "x".repeat(33)]) {
    const bytes = new Writer().string(text).take();
    const utf8 = new TextEncoder().encode(text);
    assertEquals(bytes, new Writer().bytes(utf8).take());
    assertEquals(new Reader(bytes).string(100), text);
  }
});

Deno.test("Reader.skip() passes over a field, within its limit", () => {
  const bytes = new Writer().string("abc").u8(7).take();
  const reader = new Reader(bytes);
  reader.skip(3);
  assertEquals(reader.u8(), 7);
  assertThrows(() => new Reader(bytes).skip(2), MalformedError);
  assertThrows(() => new Reader(bytes.subarray(0, 4)).skip(9), MalformedError);
});

Deno.test("Writer.raw() adds bytes as they are", () => {
  const bytes = new Writer().u8(1).raw(new Uint8Array([2, 3])).take();
  assertEquals(bytes, new Uint8Array([1, 2, 3]));
});
