import { assertEquals } from "@std/assert";
import { clean, decodeText, encodeText, isPrintable } from "./_text.ts";

Deno.test("clean() keeps 200 characters, and never half of one", () => {
  assertEquals(clean("a".repeat(201)), "a".repeat(200));
  assertEquals(clean("😀".repeat(201)), "😀".repeat(200));
  assertEquals(clean("a" + "😀".repeat(500)), "a" + "😀".repeat(199));
});

Deno.test("clean() replaces what would spoil a log", () => {
  const spoilers = [
    "\0",
    "\n",
    "\r",
    "\x1b",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ufeff",
    "\ud800",
    "\udc00",
  ];
  for (const spoiler of spoilers) {
    assertEquals(clean(`a${spoiler}b${spoiler}c`), "a\ufffdb\ufffdc");
  }
  assertEquals(clean("größer ≥ 😀"), "größer ≥ 😀");
});

Deno.test("isPrintable() is false for what clean() replaces, and for harm done", () => {
  assertEquals(isPrintable("größer ≥ 😀"), true);
  for (const text of ["a\n", "\u202ea", "\ud800", "a\ufffd"]) {
    assertEquals(isPrintable(text), false);
    assertEquals(isPrintable(text), false);
  }
});

Deno.test("decodeText() reads what encodeText() wrote", () => {
  for (const text of ["", "bye", "größer ≥ 😀", "😀".repeat(200)]) {
    assertEquals(decodeText(encodeText(text)), text);
  }
});

Deno.test("decodeText() replaces bytes that make no sense, and cuts", () => {
  assertEquals(decodeText(new Uint8Array([0x61, 0xff, 0x0a])), "a\ufffd\ufffd");
  assertEquals(
    decodeText(new Uint8Array(2 ** 20).fill(0x61)),
    "a".repeat(200),
  );
  assertEquals(
    decodeText(new Uint8Array(2 ** 20).fill(0xff)),
    "\ufffd".repeat(200),
  );
});
