import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "./_fixtures_test.ts";
import { readRefusal, writeRefusal } from "./_refusal.ts";
import { ProtocolError, type RefusalCode } from "./types.ts";

/** Every code has a number here, or this does not compile. */
const NUMBERS: Readonly<Record<RefusalCode, string>> = {
  version: "01",
  cluster: "02",
  format: "03",
  self: "04",
  duplicate: "05",
  stale: "06",
  conflict: "07",
  unexpected: "08",
  busy: "09",
};
const CODES: readonly RefusalCode[] = [
  "version",
  "cluster",
  "format",
  "self",
  "duplicate",
  "stale",
  "conflict",
  "unexpected",
  "busy",
];

Deno.test("writeRefusal() has its bytes for every code", () => {
  assertEquals(CODES.length, Object.keys(NUMBERS).length);
  for (const code of CODES) {
    assertEquals(
      writeRefusal({ code, detail: "no" }).toHex(),
      `05000000${NUMBERS[code]}00000000000000006e6f`,
    );
  }
  assertEquals(
    writeRefusal({ code: "stale", detail: "", incarnation: 258 }).toHex(),
    "05000000060000000000000102",
  );
});

Deno.test("readRefusal() reads what writeRefusal() wrote", () => {
  for (const code of CODES) {
    const refusal = { code, detail: "größer ≥ 😀" };
    assertEquals(readRefusal(writeRefusal(refusal)), refusal);
    const known = { ...refusal, incarnation: Number.MAX_SAFE_INTEGER };
    assertEquals(readRefusal(writeRefusal(known)), known);
  }
});

Deno.test("writeRefusal() cuts and cleans its detail", () => {
  const frame = writeRefusal({ code: "busy", detail: "\n".repeat(300) });
  assertEquals(readRefusal(frame).detail, "\ufffd".repeat(200));
});

Deno.test("readRefusal() cuts and cleans its detail", () => {
  const frame = writeRefusal({ code: "busy", detail: "" });
  const longer = concat(frame, [0x0a, 0xff], new Uint8Array(3000).fill(0x61));
  assertEquals(readRefusal(longer).detail, "\ufffd\ufffd" + "a".repeat(198));
});

Deno.test("readRefusal() takes every unknown code for busy", () => {
  const frame = writeRefusal({ code: "stale", detail: "why", incarnation: 9 });
  for (const number of [0, ...Array.from({ length: 246 }, (_, i) => i + 10)]) {
    frame[4] = number;
    assertEquals(readRefusal(frame), {
      code: "busy",
      detail: `refused with the unknown code ${number}: why`,
    });
  }
});

Deno.test("readRefusal() refuses a refusal cut short", () => {
  const frame = writeRefusal({ code: "busy", detail: "" });
  for (let size = 0; size < frame.length; size++) {
    assertThrows(
      () => readRefusal(frame.subarray(0, size)),
      ProtocolError,
      `it has ${size} bytes instead of at least 13`,
    );
  }
});

Deno.test("readRefusal() refuses an incarnation that is no safe integer", () => {
  assertThrows(
    () => readRefusal(Uint8Array.fromHex("05000000060020000000000000")),
    ProtocolError,
    "Cannot read the refusal: its incarnation exceeds 2⁵³ − 1",
  );
});
