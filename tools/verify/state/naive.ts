import { ROOT } from "../../members.ts";
import type { Row } from "../runner.ts";

const TEST = "examples/own_store_test.ts";
const SEEDS = 1_000;
const EVENTS = 20;

/** The store of the example whose defect the simulator finds. */
export const naive: Row = {
  what: "a store in which the last to arrive wins, tried by the simulator",
  target: `found in ≤ ${SEEDS} seeds, shrunk to ≤ ${EVENTS} events`,
  async measure() {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", TEST],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
    }).output();
    const output = new TextDecoder().decode(stdout);
    const found = /^seed (\d+): (.*)\nit takes (\d+) of (\d+) events/m
      .exec(output);
    if (!found) throw new Error(output + new TextDecoder().decode(stderr));
    const [, seed = "", what, events = "", all] = found;
    return {
      figure: `seed ${seed}, ${events} of ${all} events: ${what}`,
      held: Number(seed) <= SEEDS && Number(events) <= EVENTS,
    };
  },
};
