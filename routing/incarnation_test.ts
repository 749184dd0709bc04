import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  epochOf,
  incarnationAbove,
  incarnationAt,
  nextEpoch,
  nextIncarnation,
} from "./incarnation.ts";

const ORIGIN = Date.UTC(2020, 0, 1);

Deno.test("incarnationAt() counts milliseconds since 2020 in steps of 4096", () => {
  assertEquals(incarnationAt(ORIGIN), 0);
  assertEquals(incarnationAt(ORIGIN + 1), 4096);
  assertEquals(incarnationAt(ORIGIN + 1.9), 4096);
});

Deno.test("incarnationAt() takes a time before 2020 as epoch 0", () => {
  assertEquals(incarnationAt(0), 0);
});

Deno.test("incarnationAt() gives safe integers up to its last epoch", () => {
  const last = ORIGIN + 2 ** 41 - 1;
  assert(Number.isSafeInteger(incarnationAt(last) + 4095));
  assertThrows(() => incarnationAt(last + 1), RangeError, "2089");
  assertThrows(() => incarnationAt(NaN), RangeError, "NaN");
  assertThrows(() => incarnationAt(Infinity), RangeError);
});

Deno.test("epochOf() is the same for all counters of an epoch", () => {
  assertEquals(epochOf(7 * 4096), 7);
  assertEquals(epochOf(7 * 4096 + 4095), 7);
});

Deno.test("nextIncarnation() raises the counter, and the epoch after 4095", () => {
  assertEquals(nextIncarnation(7 * 4096), 7 * 4096 + 1);
  assertEquals(nextIncarnation(7 * 4096 + 4095), 8 * 4096);
});

Deno.test("nextEpoch() begins the next epoch at counter 0", () => {
  assertEquals(nextEpoch(7 * 4096 + 17), 8 * 4096);
});

Deno.test("nextIncarnation() and nextEpoch() refuse to leave the safe integers", () => {
  for (const wrong of [Number.MAX_SAFE_INTEGER, NaN, -8193, 0.5]) {
    assertThrows(() => nextIncarnation(wrong), RangeError, "safe integer");
  }
  assertThrows(
    () => nextEpoch(Number.MAX_SAFE_INTEGER),
    RangeError,
    "safe integer",
  );
});

Deno.test("incarnationAbove() outranks both, in a new epoch where the known one is later", () => {
  assertEquals(incarnationAbove(7 * 4096 + 2, 7 * 4096 + 9), 7 * 4096 + 10);
  assertEquals(incarnationAbove(7 * 4096 + 9, 7 * 4096 + 2), 7 * 4096 + 10);
  assertEquals(incarnationAbove(7 * 4096, 9 * 4096 + 1), 10 * 4096);
});

Deno.test("incarnationAbove() follows nobody to where there is nothing above", () => {
  const own = incarnationAt(Date.UTC(2026, 0, 1));
  for (const known of [2 ** 52, 2 ** 53 - 1]) {
    assertThrows(() => incarnationAbove(own, known), RangeError, "so late");
  }
  const last = 2 ** 52 - 1;
  assertEquals(incarnationAbove(own, last), 2 ** 52);
  assertEquals(incarnationAbove(2 ** 52, 2 ** 52 + 7), 2 ** 52 + 8);
});
