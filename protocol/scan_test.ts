import { assertEquals, assertThrows } from "@std/assert";
import { scan, type ScanLimits } from "./scan.ts";
import { hostileVectors, vectors } from "./testing.ts";

function scanHex(hex: string, limits?: ScanLimits): number {
  const bytes = Uint8Array.fromHex(hex);
  return scan(bytes, 0, bytes.length, limits);
}

Deno.test("scan() accepts every vector, wherever it stands", () => {
  for (const { hex } of vectors) {
    scanHex(hex);
    const length = hex.length / 2;
    scan(Uint8Array.fromHex(`c1c1${hex}c1`), 2, 2 + length);
  }
});

Deno.test("scan() counts the byte strings, at every depth and in every form", () => {
  const cases: readonly [hex: string, count: number][] = [
    ["01", 0],
    ["81a161a162", 0],
    ["92a3c4c4c4c0", 0], // they look like it, in a string
    ["c400", 1],
    ["c40101", 1],
    ["c5000101", 1],
    ["c60000000101", 1],
    ["81a161c400", 1],
    ["92c4020000c400", 2],
    ["9291c4010192c40101a161", 2],
    ["82a16191c400a16281a163c500020102", 2],
    // What stands within bytes is not counted.
    ["c404c400c400", 1],
  ];
  for (const [hex, count] of cases) {
    assertEquals(scanHex(hex), count, hex);
    assertEquals(scanHex(hex, { depth: 10 }), count, hex);
  }
});

Deno.test("scan() refuses every hostile vector, whatever follows it", () => {
  for (const { hex } of hostileVectors) {
    const length = hex.length / 2;
    const inside = new Uint8Array(length + 20);
    inside.set(Uint8Array.fromHex(hex), 3);
    assertThrows(
      () => scanHex(hex),
      SyntaxError,
      "Cannot decode MessagePack: ",
    );
    assertThrows(
      () => scan(inside, 3, 3 + length),
      SyntaxError,
      "Cannot decode MessagePack: ",
    );
  }
});

Deno.test("scan() refuses every vector that is cut short", () => {
  for (const { hex } of vectors) {
    const bytes = Uint8Array.fromHex(hex);
    for (let end = 0; end < Math.min(bytes.length, 40); end++) {
      assertThrows(() => scan(bytes, 0, end), SyntaxError, "it ends early");
      assertThrows(
        () => scan(bytes.slice(0, end), 0, end),
        SyntaxError,
        "it ends early",
      );
    }
  }
});

Deno.test("scan() says why it refuses", () => {
  const cases: readonly [hex: string, why: string][] = [
    ["0101", "bytes follow the value"],
    ["c1", "the byte 0xc1 begins no value"],
    ["d40000", "extension types are not accepted"],
    ["81c001", "a key of a map is neither a string nor an integer of 32 bits"],
    ["81a95f5f70726f746f5f5f80", "a key of a map is __proto__"],
    ["a3efbbbf", "a string starts with a byte order mark"],
    ["91".repeat(33) + "01", "nested deeper than 32 levels"],
    ["dc4001" + "c0".repeat(16_385), "a container has more than 16384 entries"],
    [
      "94" + ("dc4000" + "c0".repeat(16_384)).repeat(4),
      "it has more than 65536 items",
    ],
  ];
  for (const [hex, why] of cases) {
    assertThrows(
      () => scanHex(hex),
      SyntaxError,
      `Cannot decode MessagePack: ${why}`,
    );
  }
});

Deno.test("scan() accepts what only resembles a refused key or string", () => {
  scanHex("a95f5f70726f746f5f5f"); // "__proto__" that is no key
  scanHex("81a161a95f5f70726f746f5f5f"); // nor here, as a value
  scanHex("81a95f5f70726f746f5f5e01"); // "__proto_^"
  scanHex("81a85f5f70726f746f5f01"); // "__proto_"
  scanHex("a461efbbbf"); // a byte order mark inside
  scanHex("a2efbb");
});

Deno.test("scan() accepts exactly its limits", () => {
  scanHex("91".repeat(32) + "01");
  scanHex("81a161".repeat(32) + "01");
  scanHex("dc4000" + "c0".repeat(16_384));
  // 1 + 4 + 3 × 16,384 + 16,379 items.
  const three = ("dc4000" + "c0".repeat(16_384)).repeat(3);
  scanHex(`94${three}dc3ffb${"c0".repeat(16_379)}`);
  assertThrows(
    () => scanHex(`94${three}dc3ffc${"c0".repeat(16_380)}`),
    SyntaxError,
    "items",
  );
});

Deno.test("scan() takes other limits", () => {
  const deep = "91".repeat(100) + "01";
  scanHex(deep, { depth: 100 });
  assertThrows(
    () => scanHex(deep, { depth: 99 }),
    SyntaxError,
    "deeper than 99 levels",
  );
  scanHex(deep, { depth: 1024, items: 101 });
  assertThrows(
    () => scanHex(deep, { depth: 1024, items: 100 }),
    SyntaxError,
    "than 100 items",
  );
  assertThrows(
    () => scanHex("920101", { entries: 1 }),
    SyntaxError,
    "more than 1 entries",
  );
  scanHex("90", { entries: 0 });
});

Deno.test("scan() refuses limits out of their range", () => {
  for (
    const limits of [{ depth: 0 }, { depth: 1025 }, { items: NaN }, {
      entries: 1.5,
    }]
  ) {
    assertThrows(() => scanHex("01", limits), RangeError, "Cannot scan with");
  }
});

Deno.test("scan() refuses a range outside of the source", () => {
  const source = new Uint8Array(4);
  for (
    const [start, end] of [[-1, 1], [3, 2], [0, 5], [NaN, 1], [0, NaN]] as const
  ) {
    assertThrows(
      () => scan(source, start, end),
      RangeError,
      "Cannot scan bytes",
    );
  }
});

Deno.test("scan() is not misled by what it refused before", () => {
  assertThrows(() => scanHex("91".repeat(20)), SyntaxError, "it ends early");
  scanHex("9391910191910203"); // [[[1]], [[2]], 3]
  assertThrows(() => scanHex("93919101919102"), SyntaxError, "it ends early");
});
