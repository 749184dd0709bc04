/**
 * Two nodes whose map has keys that come, change and go, hour after simulated hour.
 *
 * @module
 */
import { collectGarbage, serve } from "../../../bench/serve.ts";
import { Pair } from "./pair.ts";

const VALUE = "x".repeat(100);
/** Keys that live at the same time, about. */
const LIVE = 1_000;
const MINUTE = 60_000;

const pair = new Pair();
const { one, other, clock } = pair;
await pair.join();
let made = 0;

/** A new key, a change and a deletion, in turn on both nodes. */
function step(): void {
  made++;
  const writer = made % 2 === 0 ? one : other;
  writer.set(`key ${made}`, VALUE);
  writer.set(`key ${made - made % 10}`, `${VALUE} ${made}`);
  writer.delete(`key ${made - LIVE}`);
}

await serve({
  hour: async (args) => {
    const steps = args.number("writes") / 3 / 60;
    for (let minute = 0; minute < 60; minute++) {
      for (let i = 0; i < steps; i++) step();
      await clock.pass(MINUTE);
    }
    collectGarbage();
    const { heapUsed, external } = Deno.memoryUsage();
    const same = one.hash() === other.hash() ? 1 : 0;
    return { bytes: heapUsed + external, same };
  },
});
