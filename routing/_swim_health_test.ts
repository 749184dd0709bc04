import { assertEquals } from "@std/assert";
import { Health } from "./_swim_health.ts";
import { VirtualClock } from "./_virtual_clock.ts";

Deno.test("Health stays between 0 and 7", () => {
  const health = new Health(new VirtualClock(), 250);
  health.note(-1);
  assertEquals(health.score, 0);
  for (let i = 0; i < 9; i++) health.note(1);
  assertEquals(health.score, 7);
  health.note(-2);
  assertEquals(health.score, 5);
});

Deno.test("Health counts no time that the node did not notice, and once only", () => {
  const clock = new VirtualClock();
  const health = new Health(clock, 250);
  clock.tick(1000);
  assertEquals(health.isLate(800), false);
  assertEquals([health.now, health.score], [1000, 0]);
  clock.tick(10_000);
  // Two timers were due meanwhile.
  assertEquals([health.isLate(2000), health.isLate(4000)], [true, true]);
  assertEquals([health.now, health.score], [2000, 1]);
  clock.tick(100);
  assertEquals(health.isLate(11_050), false);
  assertEquals([health.now, health.score], [2100, 1]);
});
