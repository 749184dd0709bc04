/**
 * A program that runs seeds of the 50-node crash test, and nothing else: what it has run
 * before would slow it down.
 *
 * @module
 */

import { simulate, type SimulationReport } from "@devts/routing/testing";
import { cpuTime, serve } from "../../../bench/serve.ts";
import { CRASH, made } from "./simulated.ts";

await serve({
  // How long so many seeds take, in ms and ms of processor time; and what failed.
  run: async (args) => {
    const [seeds, from] = [args.number("seeds"), args.number("from")];
    const [cpu, start] = [cpuTime(), performance.now()];
    const { failure } = await made(CRASH).use<Promise<SimulationReport>>(
      (one) => simulate(one, { seeds, from }),
    );
    return {
      elapsed: performance.now() - start,
      busy: cpuTime() - cpu,
      failure: failure === null ? "" : `seed ${failure.seed}: ${failure.error}`,
    };
  },
});
