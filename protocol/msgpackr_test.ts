import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
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

function fields(value: unknown): Readonly<Record<string, unknown>> {
  assert(typeof value === "object" && value !== null);
  return Object.fromEntries(Object.entries(value));
}
