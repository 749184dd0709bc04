import { assertEquals, assertRejects } from "@std/assert";
import { VirtualClock } from "./_virtual_clock.ts";

function sleeper(clock: VirtualClock): (ms: number) => Promise<void> {
  return (ms) => new Promise((resolve) => clock.after(ms, resolve));
}

Deno.test("VirtualClock.pass() lets promises settle at their time", async () => {
  const clock = new VirtualClock();
  const sleep = sleeper(clock);
  const seen: [string, number][] = [];
  async function walk(name: string, step: number): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await sleep(step);
      await Promise.resolve();
      seen.push([name, clock.now()]);
    }
  }
  walk("slow", 20);
  walk("fast", 10);
  await clock.pass(45);
  assertEquals(seen, [
    ["fast", 10],
    ["slow", 20],
    ["fast", 20],
    ["fast", 30],
    ["slow", 40],
  ]);
  assertEquals(clock.now(), 45);
});

Deno.test("VirtualClock.passUntil() tells how long it took, or rejects", async () => {
  const clock = new VirtualClock();
  let done = false;
  sleeper(clock)(30).then(() => done = true);
  assertEquals(await clock.passUntil(() => done), 30);
  await assertRejects(
    () => clock.passUntil(() => !done, 100),
    RangeError,
    "within 100 ms",
  );
});

Deno.test("VirtualClock.settle() gives what a promise gives, or rejects as it does", async () => {
  const clock = new VirtualClock();
  const sleep = sleeper(clock);
  assertEquals(await clock.settle(sleep(70).then(() => 7)), 7);
  assertEquals(clock.now(), 70);
  const failing = sleep(10).then(() => {
    throw new TypeError("no");
  });
  await assertRejects(() => clock.settle(failing), TypeError, "no");
  await assertRejects(
    () => clock.settle(new Promise(() => {}), 50),
    RangeError,
    "within 50 ms",
  );
});

Deno.test("VirtualClock.after() leaves nothing behind once it is cancelled", () => {
  const clock = new VirtualClock();
  for (let i = 0; i < 10_000; i++) clock.after(1e9, () => {})();
  assertEquals(clock.pending, 0);
});
