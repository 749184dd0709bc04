/**
 * Two nodes whose map has keys that come, change and go, while other nodes come, write,
 * count and go, hour after simulated hour.
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

let counted = 0;
let visits = 0;

/** A node comes and goes: one that was here before and, where there are such, a stranger, in turn. */
async function visit(strangers: boolean): Promise<void> {
  visits++;
  const isStranger = strangers && visits % 2 === 0;
  const id = isStranger ? `stranger-${visits}` : "regular";
  await pair.visit(id, ({ cart, visits }) => {
    visits.add(2);
    cart.set(`of ${id}`, VALUE);
    cart.delete(`of ${id}`);
  });
  counted += 2;
}

await serve({
  hour: async (args) => {
    const steps = args.number("writes") / 3 / 60;
    const every = 60 / args.number("visits");
    for (let minute = 0; minute < 60; minute++) {
      for (let i = 0; i < steps; i++) step();
      for (const counter of pair.visits) counter.add();
      counted += 2;
      if (minute % every === 0) await visit(args.number("strangers") > 0);
      await clock.pass(MINUTE);
    }
    collectGarbage();
    const { heapUsed, external } = Deno.memoryUsage();
    const same = one.hash() === other.hash() ? 1 : 0;
    const exact = pair.visits.every(({ value }) => value === counted) ? 1 : 0;
    const lives = Math.max(...pair.visits.map((one) => one.counters.replicas));
    return { bytes: heapUsed + external, same, exact, lives, counted };
  },
});
