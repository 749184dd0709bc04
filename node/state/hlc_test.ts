import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { virtualWorld } from "../_world_test.ts";
import { hybridClock } from "./clock.ts";
import { compareStamps, HybridClock, type Stamp } from "./hlc.ts";

Deno.test("HybridClock.now() rises strictly, and is never before the time of day", () => {
  const times = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 50 });
  fc.assert(fc.property(times, (all) => {
    let wall = 0;
    const clock = new HybridClock(() => wall);
    let last: Stamp = { time: -1, counter: 0 };
    for (wall of all) {
      const stamp = clock.now();
      assert(compareStamps(stamp, last) > 0);
      assert(stamp.time >= wall);
      last = stamp;
    }
  }));
});

Deno.test("HybridClock.now() comes after all that was witnessed", () => {
  const stamps = fc.array(
    fc.record({
      time: fc.integer({ min: 0, max: 20 }),
      counter: fc.integer({ min: 0, max: 65_535 }),
    }),
    { maxLength: 20 },
  );
  fc.assert(fc.property(stamps, (all) => {
    const clock = new HybridClock(() => 10);
    for (const { time, counter } of all) clock.witness(time, counter);
    const stamp = clock.now();
    for (const other of all) assert(compareStamps(stamp, other) > 0);
  }));
});

Deno.test("HybridClock goes on where an earlier run was", () => {
  const clock = new HybridClock(() => 5, { time: 100, counter: 65_535 });
  assertEquals(clock.now(), { time: 101, counter: 0 });
});

Deno.test("hybridClock() refuses stamps from too far ahead, and what is none", async () => {
  await using world = virtualWorld();
  const clock = world.add("a").node.use("clock", hybridClock());
  const { time } = clock.now();
  const ahead = { time: time + 59_000, counter: 7 };
  clock.receive(ahead);
  assertEquals(clock.now(), { ...ahead, counter: 8 });
  assertThrows(
    () => clock.receive({ time: time + 3_600_000, counter: 0 }),
    RangeError,
    "3600 s ahead: at most 60 s",
  );
  for (const bad of [{ time: NaN, counter: 0 }, { time: 1, counter: 65_536 }]) {
    assertThrows(() => clock.receive(bad), RangeError, "it is none");
  }
});
