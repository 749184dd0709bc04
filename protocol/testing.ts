/**
 * The conformance suite of codecs, for those here and for your own; and attacks on the
 * handshake that proves both ends.
 *
 * ```ts
 * import { json } from "@devts/protocol/json";
 * import { testCodec } from "@devts/protocol/testing";
 *
 * // In my_codec_test.ts; here it is not called, since tests do not nest.
 * function register(): void {
 *   testCodec("json()", {
 *     codec: json,
 *     skip: {
 *       bytes: "JSON has no bytes",
 *       bigint: "JSON has no bigint",
 *       "non-finite": "JSON has neither NaN nor infinities",
 *     },
 *   });
 * }
 * console.assert(typeof register === "function");
 * ```
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import * as fc from "fast-check";
import { plainData, type ValueKind } from "./_plain_data.ts";
import type { BufferCodec, Codec } from "./types.ts";

export type { ValueKind };
export { attackHandshake, type AttackReport, type Victims } from "./_attack.ts";

/** What {@linkcode testCodec} needs. */
export interface CodecSetup {
  /** Makes the codec under test. */
  readonly codec: () => Codec | BufferCodec;
  /**
   * The kinds that the codec does not carry, each with the reason. It must then
   * refuse them.
   */
  readonly skip?: Readonly<Partial<Record<ValueKind, string>>>;
}

/** A value and bytes that mean it. */
export interface Vector {
  /** What it shows. */
  readonly name: string;
  /** The value. */
  readonly value: unknown;
  /** The bytes, in hexadecimal. */
  readonly hex: string;
}

/** MessagePack that every codec of that name decodes to the same value. */
export const vectors: readonly Vector[] = [
  { name: "nil", value: null, hex: "c0" },
  { name: "false", value: false, hex: "c2" },
  { name: "true", value: true, hex: "c3" },
  { name: "zero", value: 0, hex: "00" },
  { name: "64, a record in other dialects", value: 64, hex: "40" },
  { name: "positive fixint", value: 127, hex: "7f" },
  { name: "negative fixint", value: -32, hex: "e0" },
  { name: "uint 8", value: 255, hex: "ccff" },
  { name: "uint 16", value: 65535, hex: "cdffff" },
  { name: "uint 32", value: 4294967295, hex: "ceffffffff" },
  { name: "int 8", value: -128, hex: "d080" },
  { name: "int 16", value: -32768, hex: "d18000" },
  { name: "int 32", value: -2147483648, hex: "d280000000" },
  {
    name: "integer over 32 bits",
    value: 4294967296,
    hex: "cb41f0000000000000",
  },
  {
    name: "largest safe integer",
    value: Number.MAX_SAFE_INTEGER,
    hex: "cb433fffffffffffff",
  },
  { name: "a number in more bytes than it needs", value: 1, hex: "ce00000001" },
  { name: "float 32", value: 1.5, hex: "ca3fc00000" },
  { name: "float 64", value: 1.1, hex: "cb3ff199999999999a" },
  { name: "NaN", value: NaN, hex: "cb7ff8000000000000" },
  { name: "infinity", value: Infinity, hex: "cb7ff0000000000000" },
  { name: "uint 64", value: 1n, hex: "cf0000000000000001" },
  { name: "largest uint 64", value: 2n ** 64n - 1n, hex: "cfffffffffffffffff" },
  { name: "int 64", value: -1n, hex: "d3ffffffffffffffff" },
  { name: "smallest int 64", value: -(2n ** 63n), hex: "d38000000000000000" },
  { name: "empty string", value: "", hex: "a0" },
  { name: "fixstr", value: "grün", hex: "a56772c3bc6e" },
  { name: "str 8", value: "a".repeat(32), hex: "d920" + "61".repeat(32) },
  { name: "str 16", value: "b".repeat(256), hex: "da0100" + "62".repeat(256) },
  { name: "str 32", value: "c", hex: "db0000000163" },
  { name: "four bytes of UTF-8", value: "😀", hex: "a4f09f9880" },
  { name: "malformed UTF-8", value: "a\uFFFDb", hex: "a361ff62" },
  { name: "empty bin", value: new Uint8Array(), hex: "c400" },
  { name: "bin 8", value: Uint8Array.of(0, 255), hex: "c40200ff" },
  { name: "bin 16", value: Uint8Array.of(7), hex: "c5000107" },
  { name: "bin 32", value: Uint8Array.of(7), hex: "c60000000107" },
  { name: "empty array", value: [], hex: "90" },
  { name: "fixarray", value: [1, [2]], hex: "92019102" },
  { name: "array 16", value: [null], hex: "dc0001c0" },
  { name: "array 32", value: [null], hex: "dd00000001c0" },
  { name: "empty map", value: {}, hex: "80" },
  { name: "fixmap", value: { a: { b: 1 } }, hex: "81a16181a16201" },
  { name: "map 16", value: { a: 1 }, hex: "de0001a16101" },
  { name: "map 32", value: { a: 1 }, hex: "df00000001a16101" },
  {
    name: "integer keys",
    value: { 1: 2, "-1": 3, 300: 4 },
    hex: "830102ff03cd012c04",
  },
  {
    name: "a key twice: the last wins",
    value: { a: 2 },
    hex: "82a16101a16102",
  },
  {
    name: "keys of Object.prototype",
    value: { constructor: 1, toString: 2 },
    hex: "82ab636f6e7374727563746f7201a8746f537472696e6702",
  },
];

/** MessagePack that every codec of that name refuses; `value` is what it tries. */
export const hostileVectors: readonly Omit<Vector, "value">[] = [
  { name: "nothing", hex: "" },
  { name: "two values", hex: "0101" },
  { name: "the byte 0xc1", hex: "c1" },
  { name: "the byte 0xc1 inside", hex: "92c101" },
  { name: "a record definition", hex: "d4724091a16101" },
  { name: "a record definition of two bytes", hex: "d572400091a16101" },
  { name: "undefined as an extension", hex: "d40000" },
  { name: "a timestamp", hex: "d6ff00000000" },
  { name: "a bigint as an extension", hex: "c7094200ffffffffffffffff" },
  { name: "an error as an extension", hex: "d4650092a15401" },
  { name: "a regular expression as an extension", hex: "d4780092a12ea0" },
  { name: "a set as an extension", hex: "d473009101" },
  { name: "a typed array as an extension", hex: "c70374010000" },
  { name: "a reference as an extension", hex: "d6690000000191d67000000001" },
  { name: "bundled strings", hex: "d66200000003c10101a161a0" },
  { name: "ext 16", hex: "c800010100" },
  { name: "ext 32", hex: "c9000000010100" },
  { name: "the key __proto__", hex: "81a95f5f70726f746f5f5f80" },
  { name: "the key __proto__ as str 8", hex: "81d9095f5f70726f746f5f5f80" },
  { name: "the key __proto__ as str 16", hex: "81da00095f5f70726f746f5f5f80" },
  {
    name: "the key __proto__ as str 32",
    hex: "81db000000095f5f70726f746f5f5f80",
  },
  { name: "the key __proto__ inside", hex: "9181a16181a95f5f70726f746f5f5f80" },
  { name: "the key nil", hex: "81c001" },
  { name: "a key that is a boolean", hex: "81c301" },
  { name: "a key that is a float", hex: "81cb3ff000000000000001" },
  { name: "a key of 64 bits", hex: "81cf000000000000000101" },
  { name: "a key that is an array", hex: "819001" },
  { name: "a key that is a map", hex: "818001" },
  { name: "a key that is bytes", hex: "81c4016101" },
  { name: "a byte order mark", hex: "a4efbbbf61" },
  { name: "a string cut short", hex: "a361" },
  { name: "a string of 4 GiB", hex: "dbffffffff61" },
  { name: "bytes of 4 GiB", hex: "c6ffffffff61" },
  { name: "an array of 4 Gi entries", hex: "ddffffffff01" },
  { name: "a map of 4 Gi entries", hex: "dfffffffffa16101" },
  { name: "a map cut short", hex: "82a16101" },
  { name: "a float cut short", hex: "cb3ff199999999" },
  { name: "nested 33 levels deep", hex: "91".repeat(33) + "01" },
  { name: "maps nested 33 levels deep", hex: "81a161".repeat(33) + "01" },
  { name: "nested 500 levels deep", hex: "91".repeat(500) + "01" },
  { name: "an array of 16,385 entries", hex: "dc4001" + "c0".repeat(16_385) },
  {
    name: "65,541 items",
    hex: "94" + ("dc4000" + "c0".repeat(16_384)).repeat(4),
  },
];

const SEED = 20_260_401;
const values: readonly [name: string, value: unknown, kind?: ValueKind][] = [
  ["null", null],
  ["booleans", [true, false]],
  ["integers", [
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
  ]],
  ["negative integers", [
    -32,
    -33,
    -128,
    -129,
    -32768,
    -32769,
    -(2 ** 31),
    -(2 ** 31) - 1,
  ]],
  ["safe integers", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
  ["floats", [0.1, -1.5, Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 70]],
  ["strings", [
    "",
    "a",
    "größer ≥ 😀",
    "\u0000",
    "x".repeat(31),
    "x".repeat(32),
  ]],
  ["long strings", ["y".repeat(255), "é".repeat(256), "z".repeat(70_000)]],
  ["nested containers", { a: [{ b: [[], {}] }], "": { "a b": null } }],
  [
    "containers of 15 to 17 entries",
    [15, 16, 17].map((n) => new Array(n).fill(n)),
  ],
  ["names of Object.prototype", {
    constructor: 1,
    toString: "x",
    hasOwnProperty: null,
  }],
  ["32 levels", nest(32)],
  ["16,384 entries", new Array(16_384).fill(1)],
  ["bytes", { none: new Uint8Array(), some: Uint8Array.of(0, 255) }, "bytes"],
  ["long bytes", new Uint8Array(70_000).fill(7), "bytes"],
  ["bigints", [0n, 1n, -1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)], "bigint"],
  ["NaN and infinities", [NaN, Infinity, -Infinity], "non-finite"],
];
const refusedValues: readonly [
  name: string,
  make: () => unknown,
  path: string,
][] = [
  ["undefined", () => undefined, "$"],
  [
    "an undefined field",
    () => ({ user: { tags: [1, undefined] } }),
    "$.user.tags[1]",
  ],
  // deno-lint-ignore no-sparse-arrays -- the hole is what must be refused
  ["a hole", () => [1, , 2], "$[1]"],
  ["a function", () => ({ "a b": [() => 1] }), '$["a b"][0]'],
  ["a method", () => ({ toJSON: () => 1 }), "$.toJSON"],
  ["a symbol", () => [Symbol("s")], "$[0]"],
  ["a cycle", cycle, "$.self[0]"],
  ["a Date", () => ({ at: new Date(0) }), "$.at"],
  ["a Map", () => [new Map([[1, 2]])], "$[0]"],
  ["a Set", () => [new Set([1])], "$[0]"],
  ["a RegExp", () => [/x/], "$[0]"],
  ["an Error", () => [new Error("x", { cause: 1 })], "$[0]"],
  ["a class", () => ({ at: new URL("a:b") }), "$.at"],
  ["a boxed number", () => [Object(1)], "$[0]"],
  ["another typed array", () => [new Float64Array(2)], "$[0]"],
  ["an ArrayBuffer", () => [new ArrayBuffer(2)], "$[0]"],
  ["a DataView", () => [new DataView(new ArrayBuffer(2))], "$[0]"],
  ["a bigint over 64 bits", () => [2n ** 64n], "$[0]"],
  ["a bigint below 64 bits", () => [-(2n ** 63n) - 1n], "$[0]"],
  [
    "the key __proto__",
    () => JSON.parse('{"a":{"__proto__":{}}}'),
    "$.a.__proto__",
  ],
  ["33 levels", () => nest(33), "$" + "[0]".repeat(32)],
  ["16,385 entries", () => ({ a: new Array(16_385).fill(0) }), "$.a"],
  ["65,541 items", () => new Array(4).fill(new Array(16_384).fill(0)), "$[3]"],
];

/**
 * Registers the tests that every codec must pass: what is encoded comes back, what
 * cannot be carried is a `TypeError` that names the path, bytes from outside give
 * a value or a `SyntaxError`, and nobody shares memory. For a `BufferCodec` also
 * that it keeps to its place in a larger buffer.
 *
 * The random cases are the same in every run; a failure prints the smallest case.
 *
 * @param name What the tests are called after: `"msgpackr()"`.
 * @param setup The codec, and what it does not carry.
 */
export function testCodec(name: string, setup: CodecSetup): void {
  const { codec: make, skip = {} } = setup;
  testValues(name, make, skip);
  testRefusals(name, make);
  testDecoding(name, make, skip);
  testOwnership(name, make);
  const codec = make();
  if (isBufferCodec(codec)) testPlaces(name, codec, skip);
}

/**
 * Registers the tests of a codec of the format `"msgpack"`: it decodes the
 * {@linkcode vectors}, and refuses the {@linkcode hostileVectors}.
 *
 * @param name What the tests are called after: `"msgpackr()"`.
 * @param make Makes the codec under test.
 */
export function testMessagePack(
  name: string,
  make: () => Codec | BufferCodec,
): void {
  for (const vector of vectors) {
    Deno.test(`${name} decodes ${vector.name}`, () => {
      const codec = make();
      assertEquals(codec.decode(Uint8Array.fromHex(vector.hex)), vector.value);
      assertEquals(codec.decode(codec.encode(vector.value)), vector.value);
    });
  }
  for (const vector of hostileVectors) {
    Deno.test(`${name} refuses to decode ${vector.name}`, () => {
      assertThrows(
        () => make().decode(Uint8Array.fromHex(vector.hex)),
        SyntaxError,
      );
    });
  }
}

type Make = CodecSetup["codec"];
type Skip = NonNullable<CodecSetup["skip"]>;

function testValues(name: string, make: Make, skip: Skip): void {
  for (const [title, value, kind] of values) {
    const reason = kind && skip[kind];
    if (reason !== undefined) {
      Deno.test(`${name} refuses ${title}: ${reason}`, () => {
        assertThrows(() => make().encode(value), TypeError, "$");
      });
      continue;
    }
    Deno.test(`${name} carries ${title}`, () => {
      const codec = make();
      assertEquals(codec.decode(codec.encode(value)), value);
    });
  }

  Deno.test(`${name} carries random plain data`, () => {
    const codec = make();
    check(plainData(skip), 2000, (value) => {
      assertEquals(codec.decode(codec.encode(value)), value);
    });
  });

  Deno.test(`${name} carries an object without a prototype`, () => {
    const codec = make();
    const value = Object.assign(Object.create(null), { a: [1] });
    assertEquals(codec.decode(codec.encode(value)), { a: [1] });
  });

  Deno.test(`${name} takes -0 for 0`, () => {
    const codec = make();
    assertEquals(codec.decode(codec.encode([-0])), [0]);
  });

  Deno.test(`${name} has a name of 1 to 64 characters`, () => {
    assert(/^[!-~]{1,64}$/.test(make().name));
  });
}

function testRefusals(name: string, make: Make): void {
  for (const [title, value, path] of refusedValues) {
    Deno.test(`${name} refuses to encode ${title}, naming the path`, () => {
      const codec = make();
      assertThrows(
        () => codec.encode(value()),
        TypeError,
        `Cannot encode value at ${path}: `,
      );
      assertEquals(codec.decode(codec.encode({ still: "works" })), {
        still: "works",
      });
    });
  }
}

function testDecoding(name: string, make: Make, skip: Skip): void {
  Deno.test(`${name} answers random bytes with a value or a SyntaxError`, () => {
    const codec = make();
    check(
      fc.uint8Array({ maxLength: 200 }),
      10_000,
      (bytes) => tryDecode(codec, bytes),
    );
  });

  Deno.test(`${name} answers changed bytes with a value or a SyntaxError`, () => {
    const codec = make();
    const change = fc.tuple(fc.nat(), fc.nat(255));
    const changes = fc.array(change, { minLength: 1, maxLength: 4 });
    check(fc.tuple(plainData(skip), changes), 10_000, ([value, list]) => {
      const bytes = codec.encode(value);
      for (const [at, byte] of list) bytes[at % bytes.length] = byte;
      tryDecode(codec, bytes);
    });
  });

  Deno.test(`${name} refuses bytes cut short and bytes that follow`, () => {
    const codec = make();
    const bytes = codec.encode({
      text: "hello",
      list: [1, { deep: null }],
      flag: true,
    });
    for (let length = 0; length < bytes.length; length++) {
      assertThrows(() => codec.decode(bytes.slice(0, length)), SyntaxError);
    }
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    assertThrows(() => codec.decode(longer), SyntaxError);
  });
}

function testOwnership(name: string, make: Make): void {
  Deno.test(`${name}.encode() gives its result away`, () => {
    const codec = make();
    const first = codec.encode({ text: "first" });
    const second = codec.encode({ text: "second" });
    assert(first.buffer !== second.buffer);
    second.fill(0);
    for (let i = 0; i < 1000; i++) codec.encode({ text: "other", i });
    assertEquals(codec.decode(first), { text: "first" });
  });

  Deno.test(`${name}.encode() may be called by a getter of the value`, () => {
    const codec = make();
    const inner: unknown[] = [];
    const value = {
      before: "x".repeat(50),
      get now(): string {
        inner.push(codec.decode(codec.encode({ inner: [1, 2, 3] })));
        return "here";
      },
      after: "y".repeat(50),
    };
    assertEquals(codec.decode(codec.encode(value)), {
      before: "x".repeat(50),
      now: "here",
      after: "y".repeat(50),
    });
    assertEquals(inner[0], { inner: [1, 2, 3] });
  });

  Deno.test(`${name}.decode() leaves its bytes as they are`, () => {
    const codec = make();
    const bytes = codec.encode({ text: "hello", list: [1, 2] });
    const copy = bytes.slice();
    codec.decode(bytes);
    assertEquals(bytes, copy);
    assertEquals(Object.keys(bytes), Object.keys(copy));
  });
}

function testPlaces(name: string, codec: BufferCodec, skip: Skip): void {
  Deno.test(`${name}.encodeInto() writes from the offset on, and nothing after its end`, () => {
    check(fc.tuple(plainData(skip), fc.nat(50)), 2000, ([value, offset]) => {
      const target = new Uint8Array(offset + codec.encode(value).length + 64)
        .fill(0xaa);
      const end = codec.encodeInto(value, target, offset);
      assert(end > offset && end <= target.length);
      assert(target.subarray(0, offset).every((byte) => byte === 0xaa));
      assert(target.subarray(end).every((byte) => byte === 0xaa));
      assertEquals(codec.decodeAt(target, offset, end), value);
    });
  });

  Deno.test(`${name}.encodeInto() gives -1 exactly where it does not fit`, () => {
    for (
      const value of [7, "text", {
        a: ["x".repeat(100), { b: 1.5 }],
        c: "é".repeat(90),
      }]
    ) {
      const size = codec.encodeInto(value, new Uint8Array(1000), 0);
      for (let room = 0; room <= size; room++) {
        const around = new Uint8Array(20 + size).fill(0xaa);
        const target = around.subarray(0, 10 + room);
        const end = codec.encodeInto(value, target, 10);
        assertEquals(end, room === size ? 10 + size : -1);
        assert(around.subarray(0, 10).every((byte) => byte === 0xaa));
        assert(around.subarray(10 + room).every((byte) => byte === 0xaa));
      }
    }
  });

  Deno.test(`${name}.encodeInto() gives -1 at the end of the target and after it`, () => {
    assertEquals(codec.encodeInto(1, new Uint8Array(8), 8), -1);
    assertEquals(codec.encodeInto(1, new Uint8Array(8), 9), -1);
  });

  Deno.test(`${name}.encodeInto() refuses what encode() refuses`, () => {
    const target = new Uint8Array(100);
    assertThrows(
      () => codec.encodeInto({ a: [undefined] }, target, 3),
      TypeError,
      "Cannot encode value at $.a[0]: ",
    );
  });

  Deno.test(`${name}.decodeAt() takes the exact range alone`, () => {
    const target = new Uint8Array(100);
    const end = codec.encodeInto({ a: "text", b: [1, 2] }, target, 20);
    assertEquals(codec.decodeAt(target, 20, end), { a: "text", b: [1, 2] });
    for (
      const [from, to] of [[20, 20], [20, end - 1], [20, end + 1], [
        20,
        21,
      ]] as const
    ) {
      assertThrows(() => codec.decodeAt(target, from, to), SyntaxError);
    }
  });
}

// Whatever the bytes are: no other error, and what was decoded is plain data.
function tryDecode(codec: Codec, bytes: Uint8Array): void {
  let value: unknown;
  try {
    value = codec.decode(bytes);
  } catch (error) {
    assertInstanceOf(error, SyntaxError);
    return;
  }
  codec.encode(value);
}

function check<T>(
  arbitrary: fc.Arbitrary<T>,
  numRuns: number,
  property: (value: T) => void,
): void {
  fc.assert(fc.property(arbitrary, property), { seed: SEED, numRuns });
}

function isBufferCodec(codec: Codec | BufferCodec): codec is BufferCodec {
  return "encodeInto" in codec && "decodeAt" in codec;
}

function nest(levels: number): unknown {
  return levels === 0 ? 1 : [nest(levels - 1)];
}

function cycle(): unknown {
  const value: { self: unknown[] } = { self: [] };
  value.self.push(value);
  return value;
}
