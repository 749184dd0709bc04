import { assertEquals } from "@std/assert";
import { VirtualClock } from "@devts/routing/testing";
import { Lookout } from "./lookout.ts";

Deno.test("Lookout looks every second while something waits", () => {
  const clock = new VirtualClock();
  let waiting = 3;
  const looks: number[] = [];
  const lookout = new Lookout(clock, () => {
    looks.push(clock.now());
    return --waiting > 0;
  });
  clock.tick(5_000);
  lookout.begin();
  lookout.begin();
  clock.tick(10_000);
  assertEquals(looks, [6_000, 7_000, 8_000]);
  lookout.begin();
  clock.tick(1_000);
  assertEquals(looks.length, 4);
});

Deno.test("Lookout looks no more once it is closed", () => {
  const clock = new VirtualClock();
  let looks = 0;
  const lookout = new Lookout(clock, () => looks++ < 10);
  lookout.begin();
  lookout.close();
  lookout.close();
  clock.tick(10_000);
  assertEquals(looks, 0);
});
