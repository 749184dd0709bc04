import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Framing } from "@devts/transport";
import { Frame, FRAMING_ROOM } from "./frame.ts";
import { SlabPool } from "./slab.ts";

/** A framing whose header is made of one byte, and how often it was written. */
function framing(size: number, byte: number): Framing & { writes: number } {
  return {
    size,
    writes: 0,
    write(frame: Uint8Array): void {
      this.writes++;
      frame.fill(byte, 0, size);
    },
  };
}

Deno.test("Frame.of() takes a copy of a message", () => {
  const message = Uint8Array.of(1, 2, 3);
  const frame = Frame.of(message);
  message.fill(9);
  assertEquals(frame.message, Uint8Array.of(1, 2, 3));
  assertEquals(frame.length, 3);
  assertStrictEquals(frame.slab, null);
});

Deno.test("Frame stands where its bytes stand, behind the room for a header", () => {
  const slab = new SlabPool().take(100);
  const bytes = slab.bytes.subarray(10, 10 + FRAMING_ROOM + 3);
  const frame = new Frame(bytes, slab);
  assertStrictEquals(frame.slab, slab);
  assertEquals(frame.length, 3);
  assertStrictEquals(frame.message.buffer, slab.bytes.buffer);
  assertEquals(frame.message.byteOffset, 10 + FRAMING_ROOM);
});

Deno.test("Frame.framed() writes a header in front, once for all connections of a framing", () => {
  for (let size = 0; size <= FRAMING_ROOM; size++) {
    const bytes = new Uint8Array(FRAMING_ROOM + 3);
    bytes.set([1, 2, 3], FRAMING_ROOM);
    const frame = new Frame(bytes);
    const header = framing(size, 7);
    const framed = frame.framed(header);
    assertEquals(framed?.length, size + 3);
    assertEquals(framed, Uint8Array.of(...new Array(size).fill(7), 1, 2, 3));
    assertStrictEquals(framed?.buffer, bytes.buffer);
    assertStrictEquals(frame.framed(header), framed);
    assertEquals(header.writes, 1);
    assertEquals(frame.message, Uint8Array.of(1, 2, 3));
  }
});

Deno.test("Frame.framed() gives null where the header of another framing stands", () => {
  const frame = Frame.of(Uint8Array.of(1, 2, 3));
  const first = framing(4, 7);
  // The same to look at, but another one.
  const second = framing(4, 8);
  const framed = frame.framed(first);
  assertStrictEquals(frame.framed(second), null);
  assertEquals(second.writes, 0);
  assertEquals(framed, Uint8Array.of(7, 7, 7, 7, 1, 2, 3));
  assertStrictEquals(frame.framed(first), framed);
  assertEquals(frame.message, Uint8Array.of(1, 2, 3));
});

Deno.test("Frame.framed() gives null where there is no room, and leaves it to others", () => {
  const frame = Frame.of(Uint8Array.of(1, 2, 3));
  const large = framing(FRAMING_ROOM + 1, 7);
  assertStrictEquals(frame.framed(large), null);
  assertEquals(large.writes, 0);
  assertEquals(frame.framed(framing(2, 8)), Uint8Array.of(8, 8, 1, 2, 3));
  assertStrictEquals(frame.framed(large), null);
});
