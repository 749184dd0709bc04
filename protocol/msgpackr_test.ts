import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { Buffer } from "node:buffer";
import { plainData } from "./_plain_data.ts";
import { msgpack } from "./msgpack.ts";
import { msgpackr } from "./msgpackr.ts";
import { testCodec, testMessagePack, vectors } from "./testing.ts";

testCodec("msgpackr()", { codec: msgpackr });
testMessagePack("msgpackr()", msgpackr);

Deno.test("msgpackr() and msgpack() have the same format", () => {
  assertEquals(msgpackr().name, msgpack().name);
});

Deno.test("msgpackr() and msgpack() read what the other wrote", () => {
  const fast = msgpackr();
  const plain = msgpack();
  for (const { value } of vectors) {
    assertEquals(plain.decode(fast.encode(value)), value);
    assertEquals(fast.decode(plain.encode(value)), value);
  }
  const property = fc.property(plainData(), (value) => {
    assertEquals(plain.decode(fast.encode(value)), value);
    assertEquals(fast.decode(plain.encode(value)), value);
  });
  fc.assert(property, { seed: 1, numRuns: 2000 });
});

Deno.test("msgpackr() and msgpack() decode any bytes to the same value or both refuse", () => {
  const fast = msgpackr();
  const plain = msgpack();
  // Mostly headers and malformed UTF-8, so that much of it decodes.
  const byte = fc.oneof(fc.nat(255), fc.integer({ min: 0x80, max: 0xbf }));
  const text = fc.array(byte, { maxLength: 31 })
    .map((bytes) => Uint8Array.of(0xa0 | bytes.length, ...bytes));
  const longText = fc.array(byte, { minLength: 60, maxLength: 120 })
    .map((bytes) => Uint8Array.of(0xd9, bytes.length, ...bytes));
  const anything = fc.array(byte, { maxLength: 60 }).map((bytes) =>
    Uint8Array.from(bytes)
  );
  fc.assert(
    fc.property(fc.oneof(text, longText, anything), (bytes) => {
      assertEquals(
        outcome(() => fast.decode(bytes)),
        outcome(() => plain.decode(bytes)),
      );
    }),
    { seed: 2, numRuns: 20_000 },
  );
});

Deno.test("msgpackr() decodes byte fields as plain views of the source", () => {
  const codec = msgpackr();
  const source = codec.encode({ bytes: Uint8Array.of(1, 2, 3) });
  const { bytes } = fields(codec.decode(source));
  assert(bytes instanceof Uint8Array);
  assertEquals(bytes.constructor, Uint8Array);
  assertEquals(bytes.buffer, source.buffer);
});

Deno.test("msgpackr().views counts the byte fields that share memory with their source", () => {
  const codec = msgpackr();
  const bytes = Uint8Array.of(1, 2, 3);
  const cases: readonly [value: unknown, views: number][] = [
    [null, 0],
    ["text", 0],
    [{ a: 1, b: "two", c: null }, 0],
    [{ a: [1, { b: "two" }], c: "x".repeat(300) }, 0],
    [bytes, 1],
    [new Uint8Array(0), 1],
    [new Uint8Array(70_000), 1],
    [{ bytes }, 1],
    [{ a: 1, bytes: new Uint8Array(0) }, 1],
    [[bytes, [bytes, { bytes, other: new Uint8Array(300) }]], 4],
  ];
  for (const [value, views] of cases) {
    const source = codec.encode(value);
    for (const at of [0, 3]) {
      const inside = new Uint8Array(source.length + 2 * at).fill(0xc4);
      inside.set(source, at);
      const before = codec.views;
      const decoded = codec.decodeAt(inside, at, at + source.length);
      assertEquals(codec.views - before, views);
      assertEquals(countViews(decoded, inside.buffer), views);
    }
    const before = codec.views;
    codec.decode(source);
    assertEquals(codec.views - before, views);
  }
});

Deno.test("msgpackr().views never counts less than there are, whatever is decoded", () => {
  const codec = msgpackr();
  const property = fc.property(plainData(), (value) => {
    const source = codec.encode(value);
    const before = codec.views;
    const decoded = codec.decodeAt(source, 0, source.length);
    assertEquals(codec.views - before, countViews(decoded, source.buffer));
  });
  fc.assert(property, { seed: 3, numRuns: 2_000 });
});

Deno.test("msgpackr() carries bytes alone at every size of their header", () => {
  const codec = msgpackr();
  const headers: readonly [size: number, header: string][] = [
    [0, "c400"],
    [1, "c401"],
    [255, "c4ff"],
    [256, "c50100"],
    [65_535, "c5ffff"],
    [65_536, "c600010000"],
    [1_100_000, "c60010c8e0"],
  ];
  for (const [size, hex] of headers) {
    const value = new Uint8Array(size);
    for (let i = 0; i < size; i += 7) value[i] = i;
    const header = Uint8Array.fromHex(hex);
    const expected = new Uint8Array(header.length + size);
    expected.set(header);
    expected.set(value, header.length);
    const encoded = codec.encode(value);
    assert(isSame(encoded, expected), `${size} bytes are encoded otherwise`);
    assert(isSame(codec.decode(encoded), value));
    assert(isSame(msgpack().decode(encoded), value));
    assert(isSame(codec.decode(msgpack().encode(value)), value));
    assertIntoFits(value, expected);
  }
});

/** encodeInto() writes a value exactly where it is told, or says that it does not fit. */
function assertIntoFits(value: unknown, expected: Uint8Array): void {
  const codec = msgpackr();
  for (const offset of [0, 5]) {
    const end = offset + expected.length;
    for (const room of [end, end + 1]) {
      const target = new Uint8Array(room).fill(0xee);
      assertEquals(codec.encodeInto(value, target, offset), end);
      assert(isSame(target.subarray(offset, end), expected));
      assert(target.subarray(0, offset).every((byte) => byte === 0xee));
      assert(target.subarray(end).every((byte) => byte === 0xee));
    }
    for (const room of [end - 1, offset + 1, offset]) {
      const target = new Uint8Array(room).fill(0xee);
      assertEquals(codec.encodeInto(value, target, offset), -1);
      assert(target.subarray(0, offset).every((byte) => byte === 0xee));
    }
  }
}

Deno.test("msgpackr().encodeInto() says when a value does not fit, of every kind", () => {
  const codec = msgpackr();
  for (
    const value of ["text", { a: 1 }, [1, [2]], 2n ** 40n, {
      b: new Uint8Array(9),
    }]
  ) {
    assertIntoFits(value, codec.encode(value));
  }
});

Deno.test("msgpackr() takes subclasses of Uint8Array for bytes, and gives plain ones", () => {
  const codec = msgpackr();
  const expected = Uint8Array.of(0xc4, 3, 1, 2, 3);
  const buffer = Buffer.from([1, 2, 3]);
  for (const value of [buffer, new Apart([1, 2, 3])]) {
    const encoded = codec.encode(value);
    assertEquals(encoded, expected);
    assertEquals(encoded.constructor, Uint8Array);
    assertEquals(
      codec.encode({ a: value }),
      codec.encode({ a: expected.slice(2) }),
    );
    const target = new Apart(8);
    assertEquals(codec.encodeInto(value, target, 3), 8);
    assertEquals([...target.subarray(3)], [...expected]);
  }
  for (const source of [Buffer.from(expected), new Apart(expected)]) {
    for (
      const decoded of [codec.decode(source), codec.decodeAt(source, 0, 5)]
    ) {
      assertEquals(decoded, Uint8Array.of(1, 2, 3));
      assertEquals(decoded?.constructor, Uint8Array);
      assert(decoded instanceof Uint8Array);
      assertEquals(decoded.buffer, source.buffer);
    }
  }
});

/** A subclass that says so. */
class Apart extends Uint8Array {}

Deno.test("msgpackr() carries a value longer than its scratch buffer, twice", () => {
  const codec = msgpackr();
  const long = new Uint8Array(20 << 20).fill(5);
  for (let i = 0; i < 2; i++) {
    const decoded = codec.decode(codec.encode({ long, text: "é".repeat(70) }));
    assertEquals(fields(decoded).long, long);
    assertEquals(codec.decode(codec.encode("é".repeat(70))), "é".repeat(70));
  }
});

Deno.test("msgpackr().encode() finds what a getter with an encoding of its own may not hide", () => {
  const codec = msgpackr();
  const value = {
    bytes: new Float32Array(1),
    get other(): number {
      return codec.encode({ bytes: Uint8Array.of(1) }).length;
    },
  };
  assertThrows(
    () => codec.encode(value),
    TypeError,
    "Cannot encode value at $.bytes: ",
  );
});

Deno.test("msgpackr().decodeAt() refuses a range outside of the source", () => {
  const codec = msgpackr();
  assertThrows(() => codec.decodeAt(new Uint8Array(4), 2, 5), RangeError);
  assertThrows(() => codec.decodeAt(new Uint8Array(4), -1, 2), RangeError);
  // Bytes alone, whose end stands outside.
  for (const hex of ["c4020102", "c500020102", "c40102", "c5000102", "c400"]) {
    const all = Uint8Array.fromHex(hex);
    for (let length = 0; length < all.length; length++) {
      const source = all.subarray(0, length);
      assertThrows(() => codec.decodeAt(source, 0, all.length), RangeError);
    }
  }
});

Deno.test("msgpackr().decodeAt() refuses bytes that are not as long as they say", () => {
  const codec = msgpackr();
  for (
    const hex of ["c4", "c402ff", "c40201", "c400ff", "c5", "c500", "c50002ff"]
  ) {
    const bytes = Uint8Array.fromHex(`${hex}0102030405`);
    const end = hex.length / 2;
    assertThrows(() => codec.decodeAt(bytes, 0, end), SyntaxError);
    assertThrows(() => codec.decode(bytes.subarray(0, end)), SyntaxError);
  }
});

Deno.test({
  name: "msgpackr() needs no permission",
  permissions: "none",
  fn(): void {
    const codec = msgpackr();
    assertEquals(codec.decode(codec.encode({ a: 1 })), { a: 1 });
  },
});

function outcome(decode: () => unknown): unknown {
  try {
    return { value: decode() };
  } catch (error) {
    return error instanceof SyntaxError ? "refused" : error;
  }
}

/** How many byte fields of a value are views of a buffer. */
function countViews(value: unknown, buffer: ArrayBufferLike): number {
  if (value instanceof Uint8Array) return value.buffer === buffer ? 1 : 0;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value)
    .reduce((sum: number, field) => sum + countViews(field, buffer), 0);
}

/** Whether they are the same bytes, for many. */
function isSame(actual: unknown, expected: Uint8Array): boolean {
  return actual instanceof Uint8Array && actual.length === expected.length &&
    actual.every((byte, at) => byte === expected[at]);
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  assert(typeof value === "object" && value !== null);
  return Object.fromEntries(Object.entries(value));
}
