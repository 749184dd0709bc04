import { assertEquals } from "@std/assert";
import { inTurns } from "./samples.ts";

Deno.test("inTurns() takes turns, and leaves the first turn out of the medians", async () => {
  const turns: string[] = [];
  const run = (name: string, rates: number[]) => () => {
    turns.push(name);
    const rate = rates.shift() ?? NaN;
    return Promise.resolve({ rate, cpu: 1 / rate });
  };
  const pair = await inTurns(
    run("one", [1e9, 8e3, 3e3, 4e3]),
    run("two", [1, 2e3, 1e3, 4e3]),
    { repetitions: 3, progress: () => {} },
  );
  assertEquals(turns.join(" "), "one two one two one two one two");
  assertEquals(pair.ratio("rate"), 3);
  assertEquals(pair.ratio("cpu"), 1 / 3);
  assertEquals(pair.first, "4 k/s (0.00 µs CPU each)");
  assertEquals(pair.second, "2 k/s (0.00 µs CPU each)");
});
