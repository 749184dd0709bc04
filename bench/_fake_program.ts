/**
 * A program that answers as one of a peer does, at 1,000 messages per second, and does
 * nothing: `_fake_program.ts WRONG`, where `WRONG` messages of each run are wrong.
 *
 * @module
 */

import { serve } from "./serve.ts";

const wrong = Number(Deno.args[0]);
let sum = 0;
let count = 0;

await serve({
  expect: (args) => {
    count = args.number("count");
    sum = count * (count - 1) / 2;
    return {};
  },
  publish: (args) => ({ startedAt: 0, cpu: 2 * args.number("count") }),
  arrived: () => ({ endedAt: count, cpu: count, wrong, sum }),
  request: (args) => ({
    startedAt: 0,
    endedAt: args.number("count"),
    cpu: 0,
    p50: 3,
    p99: 5,
    wrong,
  }),
});
