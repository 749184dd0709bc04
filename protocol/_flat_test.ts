import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { Buffer } from "node:buffer";
import { isFlat, readFlat } from "./_flat.ts";
import { msgpack } from "./msgpack.ts";
import { msgpackr } from "./msgpackr.ts";
import { DEFAULT_LIMITS, scan } from "./scan.ts";
import { vectors } from "./testing.ts";

const plain = msgpack();
const fast = msgpackr();

/** The bytes of a text, without a byte order mark before it. */
const utf8 = fc.string({ unit: "binary", maxLength: 40 })
  .map((text) => [...new TextEncoder().encode(text)]);
/** Mostly continuation bytes and lone beginnings. */
const malformed = fc.array(
  fc.oneof(fc.nat(255), fc.integer({ min: 0x80, max: 0xbf })),
  { maxLength: 60 },
);
const ascii = fc.array(fc.integer({ min: 0x20, max: 0x7e }), {
  maxLength: 255,
});
const anyText = fc.oneof(ascii, utf8, malformed)
  .map((bytes) => bytes.slice(0, 255));

/** Texts that are no key of a flat map, or no string of one. */
function isOdd(text: readonly number[], isKey: boolean): boolean {
  return text[0] === 0xef || isKey && text[0] === 0x5f;
}

const key = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("id", "text", "at", "a", "", "ab") },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
)
  .map((text) => [...new TextEncoder().encode(text)]);
const anyKey = fc.oneof(key, ascii, malformed)
  .map((bytes) => bytes.slice(0, 31))
  .filter((bytes) => !isOdd(bytes, true))
  .map((bytes) => [0xa0 | bytes.length, ...bytes]);

/** As many random bytes as a number or so takes, behind its first byte. */
function scalar(first: number, size: number): fc.Arbitrary<number[]> {
  return fc.array(fc.nat(255), { minLength: size, maxLength: size })
    .map((bytes) => [first, ...bytes]);
}

const float = fc.double().map((value) => {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xcb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return [...bytes];
});

const anyValue = fc.oneof(
  fc.nat(0x7f).map((byte) => [byte]),
  fc.integer({ min: 0xe0, max: 0xff }).map((byte) => [byte]),
  fc.constantFrom([0xc0], [0xc2], [0xc3]),
  // Numbers of every width, with every sign, among them those of 64 bits.
  ...[0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3].map((first) =>
    scalar(first, first < 0xcc ? (first - 0xc9) * 4 : 1 << (first & 3))
  ),
  float,
  anyText.filter((text) => !isOdd(text, false))
    .map((text) =>
      text.length < 32
        ? [0xa0 | text.length, ...text]
        : [0xd9, text.length, ...text]
    ),
  // A string that takes a longer header than it needs.
  anyText.filter((text) => !isOdd(text, false))
    .map((text) => [0xd9, text.length, ...text]),
);

const entry = fc.tuple(anyKey, anyValue)
  // Behind an empty key, these look like the beginning of an odd one.
  .filter(([key, [first]]) =>
    key.length > 1 || first !== 0xef && first !== 0x5f
  );

/** A flat map, byte by byte; some have a key more than once. */
const flatMap = fc.tuple(
  fc.oneof(
    { weight: 9, arbitrary: fc.array(entry, { maxLength: 15 }) },
    { weight: 1, arbitrary: fc.array(entry, { maxLength: 255 }) },
  ),
  fc.boolean(),
).map(([entries, long]) => {
  const count = entries.length;
  const header = long || count > 15 ? [0xde, 0, count] : [0x80 | count];
  return Uint8Array.from([...header, ...entries.flat(2)]);
});

/** What is decoded, to the order of the fields and the sign of zero. */
function outcome(decode: () => unknown): unknown {
  try {
    return details(decode());
  } catch (error) {
    return error instanceof SyntaxError ? "refused" : error;
  }
}

function details(value: unknown): unknown {
  if (Object.is(value, -0)) return "minus zero";
  const isRecord = typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
  if (!isRecord) return value;
  return Object.entries(value).map(([key, field]) => [key, details(field)]);
}

/** Puts bytes somewhere between others. */
function within(
  bytes: Uint8Array,
  before: Uint8Array,
  after: Uint8Array,
): Uint8Array {
  const source = new Uint8Array(before.length + bytes.length + after.length);
  source.set(before);
  source.set(bytes, before.length);
  source.set(after, before.length + bytes.length);
  return source;
}

Deno.test("isFlat() sees every map of scalars and short strings", () => {
  fc.assert(
    fc.property(flatMap, (bytes) => {
      assert(isFlat(bytes, 0, bytes.length), bytes.toHex());
      assertEquals(scan(bytes, 0, bytes.length, { ...DEFAULT_LIMITS }), 0);
    }),
    { seed: 1, numRuns: 3_000 },
  );
});

Deno.test("readFlat() reads a flat map as msgpack() does, wherever it stands", () => {
  const around = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(flatMap, around, around, (bytes, before, after) => {
      const expected = outcome(() => plain.decode(bytes));
      const source = within(bytes, before, after);
      const copy = source.slice();
      const start = before.length;
      const end = start + bytes.length;
      assertEquals(outcome(() => readFlat(source, start)), expected);
      assertEquals(outcome(() => fast.decodeAt(source, start, end)), expected);
      assertEquals(outcome(() => fast.decode(bytes)), expected);
      assertEquals(source, copy);
    }),
    { seed: 2, numRuns: 3_000 },
  );
});

Deno.test("readFlat() reads what a codec wrote of any record of scalars", () => {
  const text = fc.string({ unit: "binary", maxLength: 60 })
    .filter((text) => !text.startsWith("\uFEFF"));
  const value = fc.oneof(
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.double().map((number) => number === 0 ? 0 : number),
    text,
  );
  const record = fc.dictionary(
    text.filter((key) => key !== "__proto__"),
    value,
    { maxKeys: 20, noNullPrototype: true },
  );
  let flat = 0;
  fc.assert(
    fc.property(record, (record) => {
      for (const codec of [fast, plain]) {
        const bytes = codec.encode(record);
        if (!isFlat(bytes, 0, bytes.length)) continue;
        flat++;
        assertEquals(readFlat(bytes, 0), record);
      }
    }),
    { seed: 3, numRuns: 3_000 },
  );
  assert(flat > 1_000, `only ${flat} were flat`);
});

Deno.test("readFlat() makes plain objects", () => {
  const record = readFlat(Uint8Array.fromHex("81a161a162"), 0);
  assertEquals(Object.getPrototypeOf(record), Object.prototype);
  // Among them those whose names objects have already.
  for (const name of ["constructor", "toString", "hasOwnProperty"]) {
    const bytes = fast.encode({ [name]: 7 });
    assert(isFlat(bytes, 0, bytes.length));
    assertEquals(Object.entries(readFlat(bytes, 0)), [[name, 7]]);
  }
});

Deno.test("isFlat() never accepts what the general scan refuses, of any bytes in any range", () => {
  // Mostly what maps, short strings and numbers begin with.
  const byte = fc.oneof(
    { weight: 3, arbitrary: fc.nat(255) },
    {
      weight: 5,
      arbitrary: fc.constantFrom(
        ...[0x80, 0x81, 0x82, 0xa0, 0xa1, 0xa2, 0xa9, 0xc0, 0xcc, 0xcf, 0xd9],
        ...[0xde, 0x00, 0x01, 0x5f, 0xe0, 0xef, 0xbb, 0xbf, 0xc4, 0xc1],
      ),
    },
  );
  const anything = fc.array(byte, { maxLength: 16 })
    .map((bytes) => Uint8Array.from(bytes));
  const vector = fc.constantFrom(...vectors)
    .map(({ hex }) => Uint8Array.fromHex(hex));
  const changed = fc.tuple(
    fc.oneof({ weight: 4, arbitrary: flatMap }, {
      weight: 1,
      arbitrary: vector,
    }),
    fc.array(fc.tuple(fc.nat(), byte), { maxLength: 3 }),
  ).map(([bytes, changes]) => {
    const copy = bytes.slice();
    for (const [at, byte] of changes) copy[at % (copy.length || 1)] = byte;
    return copy;
  });
  const shift = fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
    { weight: 1, arbitrary: fc.constantFrom(NaN, 0.5, Infinity, -Infinity) },
  );
  const around = fc.uint8Array({ maxLength: 3 });
  let accepted = 0;
  let refused = 0;
  fc.assert(
    fc.property(
      fc.oneof(anything, changed),
      around,
      around,
      shift,
      shift,
      (bytes, before, after, first, last) => {
        const source = within(bytes, before, after);
        const start = before.length + first;
        const end = before.length + bytes.length + last;
        if (!isFlat(source, start, end)) return void refused++;
        accepted++;
        assertEquals(scan(source, start, end, { ...DEFAULT_LIMITS }), 0);
        // What it accepts ends where it should.
        assertEquals(
          details(readFlat(source, start)),
          details(plain.decode(source.slice(start, end))),
        );
      },
    ),
    { seed: 4, numRuns: 30_000 },
  );
  assert(accepted > 3_000 && refused > 3_000, `${accepted}, ${refused}`);
});

Deno.test("isFlat() never looks past the end of its source", () => {
  fc.assert(
    fc.property(flatMap, fc.nat(), (bytes, cut) => {
      const source = bytes.subarray(0, cut % bytes.length);
      assert(!isFlat(source, 0, bytes.length));
      assert(!isFlat(source, 0, source.length));
    }),
    { seed: 6, numRuns: 3_000 },
  );
});

Deno.test("isFlat() refuses what only begins like a flat map", () => {
  const refused: Readonly<Record<string, string>> = {
    "nothing": "",
    "another value": "01",
    "an array": "91a161",
    "a map cut short": "81a161",
    "a key cut short": "81a461",
    "bytes behind it": "8000",
    "an entry too many": "81a16101a16201",
    "a map in it": "81a16180",
    "an array in it": "81a16190",
    "bytes in it": "81a161c40101",
    "an extension in it": "81a161d40101",
    "the byte 0xc1 in it": "81a161c1",
    "a long string in it": "81a161da000161",
    "a key that is a number": "810101",
    "a key with a long header": "81d9016101",
    "the key __proto__": "81a95f5f70726f746f5f5f01",
    "a key with a byte order mark": "81a3efbbbf01",
    "a byte order mark": "81a161a3efbbbf",
    "a byte order mark in a longer string": "81a161d903efbbbf",
    "a map of more than 255": `de0100${"a16101".repeat(256)}`,
  };
  for (const [what, hex] of Object.entries(refused)) {
    const bytes = Uint8Array.fromHex(hex);
    assert(!isFlat(bytes, 0, bytes.length), what);
  }
});

Deno.test("readFlat() tells keys apart that look alike", () => {
  // Of one length, with the same first and last character; and of lengths that
  // differ by eight.
  const alike = [
    ...["abc", "acc", "a\u0000c", "azc", "aéc"],
    ...["a2345678", "a234567890123456", "a2345678901234567890123c"],
    ...["ab", "a", "b", "aa", ""],
  ];
  const lists = fc.array(fc.constantFrom(...alike), {
    minLength: 1,
    maxLength: 10,
  });
  fc.assert(
    fc.property(lists, (keys) => {
      const record = Object.fromEntries(keys.map((key, i) => [key, i]));
      const bytes = fast.encode(record);
      assert(isFlat(bytes, 0, bytes.length));
      assertEquals(Object.entries(readFlat(bytes, 0)), Object.entries(record));
    }),
    { seed: 5, numRuns: 2_000 },
  );
});

Deno.test("readFlat() remembers more keys than it has places, and mixes none up", () => {
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5_000; i++) {
      const key = (i * 7919).toString(36).padStart(1 + i % 9, "k");
      const bytes = fast.encode({ [key]: i });
      assertEquals(readFlat(bytes, 0), { [key]: i });
    }
  }
});

Deno.test("readFlat() keeps nothing of its source, of whatever class that is", () => {
  const alpha = fast.encode({ alpha: 1 });
  const aroma = fast.encode({ aroma: 2 });
  for (
    const source of [alpha.slice(), Buffer.from(alpha), new Apart(alpha)]
  ) {
    assertEquals(readFlat(source, 0), { alpha: 1 });
    source.set(aroma);
    assertEquals(readFlat(source, 0), { aroma: 2 });
    assertEquals(readFlat(alpha, 0), { alpha: 1 });
    assertEquals(readFlat(aroma, 0), { aroma: 2 });
  }
});

/** A subclass that says so. */
class Apart extends Uint8Array {}
