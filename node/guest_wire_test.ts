import { assertEquals, assertThrows } from "@std/assert";
import { readFromHost, writeRefusal, writeWelcome } from "./guest_wire.ts";

const REFUSED = {
  to: "cyd",
  why: 'guest "eva" has no right to "drop"',
  requests: [1, 0xffff_ffff],
  deliveries: [2 ** 40, 7],
  stream: 3,
};

Deno.test("readFromHost() reads what was written", () => {
  assertEquals(readFromHost(writeWelcome()), "welcome");
  assertEquals(readFromHost(writeRefusal(REFUSED)), REFUSED);
  const empty = { to: "", why: "", requests: [], deliveries: [], stream: null };
  assertEquals(readFromHost(writeRefusal(empty)), empty);
  assertEquals(readFromHost(Uint8Array.of(5, 9, 1)), null);
  assertEquals(readFromHost(Uint8Array.of(5)), null);
});

Deno.test("writeRefusal() cuts what is too long", () => {
  const read = readFromHost(writeRefusal({
    ...REFUSED,
    why: "x".repeat(1_000),
    requests: Array.from({ length: 5_000 }, (_, i) => i),
  }));
  if (read === null || read === "welcome") throw new TypeError("no refusal");
  assertEquals(read.why.length, 255);
  assertEquals(read.requests.length, 1_024);
});

Deno.test("readFromHost() refuses what is cut short", () => {
  const whole = writeRefusal(REFUSED);
  for (let length = 2; length < whole.length; length++) {
    assertThrows(() => readFromHost(whole.subarray(0, length)), SyntaxError);
  }
});
