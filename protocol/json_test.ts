import { assertEquals, assertThrows } from "@std/assert";
import { json } from "./json.ts";
import { testCodec } from "./testing.ts";

testCodec("json()", {
  codec: json,
  skip: {
    bytes: "JSON has no bytes",
    bigint: "JSON has no bigint",
    "non-finite": "JSON has neither NaN nor infinities",
  },
});

const hostile: readonly [name: string, text: string, why: string][] = [
  ["nothing", "", "malformed"],
  ["two values", "1 2", "malformed"],
  ["a byte order mark", "\uFEFF1", "malformed"],
  [
    "the key __proto__",
    '{"a":[{"__proto__":1}]}',
    "value at $.a[0].__proto__: ",
  ],
  [
    "an escaped key __proto__",
    '{"\\u005f_proto__":1}',
    "value at $.__proto__: ",
  ],
  ["a number that overflows", "[1e999]", "value at $[0]: JSON has no Infinity"],
  [
    "33 levels",
    "[".repeat(33) + "]".repeat(33),
    "nested deeper than 32 levels",
  ],
  ["a million levels", "[".repeat(1_000_000), "nested deeper than 32 levels"],
  [
    "levels after a string of brackets",
    '["]]]"' + ",[".repeat(40),
    "nested deeper than 32 levels",
  ],
  [
    "levels after an escaped quote",
    '["\\"]]]"' + ",[".repeat(40),
    "nested deeper than 32 levels",
  ],
  [
    "16,385 entries",
    `[${"1,".repeat(16_384)}1]`,
    "value at $: a container has more than 16384",
  ],
  [
    "a million items",
    `[${"[],".repeat(1_000_000)}1]`,
    "it has more than 65536 items",
  ],
];

for (const [name, text, why] of hostile) {
  Deno.test(`json() refuses to decode ${name}`, () => {
    const bytes = new TextEncoder().encode(text);
    assertThrows(
      () => json().decode(bytes),
      SyntaxError,
      `Cannot decode ${why}`.replace(
        /decode (malformed|nested|it has)/,
        "decode JSON: $1",
      ),
    );
  });
}

Deno.test("json() refuses malformed UTF-8", () => {
  assertThrows(
    () => json().decode(Uint8Array.of(0x22, 0xff, 0x22)),
    SyntaxError,
    "malformed",
  );
});

Deno.test("json() carries lone surrogates and byte order marks inside strings", () => {
  const codec = json();
  assertEquals(codec.decode(codec.encode(["\ud800", "\uFEFFa"])), [
    "\ud800",
    "\uFEFFa",
  ]);
});
