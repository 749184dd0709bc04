import { assertNoFalseDeath, cluster, names, untilOneView } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Fault, Scenario } from "@devts/routing/testing";

const FEWEST = 2;
const MOST = 5;
/** Together the nodes run for an hour, in ms. */
const NODE_TIME = 3_600_000;
/** Event loops that block for a second, in that hour. */
const STALLS = 60;
const LIMIT = 25_000;

/**
 * Too few nodes to confirm what one suspects: in an hour nobody is given up; then one
 * loses its power, and the others know.
 */
export function few(parts: Parts): Scenario {
  return {
    name: "few",
    targets: { "known to all (ms)": { max: LIMIT } },
    script: (random) => {
      const count = FEWEST + Math.floor((MOST - FEWEST + 1) * random());
      const length = NODE_TIME / count;
      const stalls = Array.from({ length: STALLS }, (): Fault => ({
        at: Math.floor(length * random()),
        do: "stall",
        node: names(count)[Math.floor(count * random())] ?? "",
        for: 1_000,
      }));
      return [...stalls, {
        at: length,
        do: "crash",
        node: `n${count - 1}`,
        how: "silence",
      }];
    },
    run(run) {
      const last = run.script.at(-1);
      if (last?.do !== "crash") return {};
      const count = Number(last.node.slice(1)) + 1;
      const network = cluster(run, parts, count);
      assertNoFalseDeath(network);
      network.play(run.script);
      network.clock.tick(last.at);
      const known = untilOneView(network, LIMIT);
      return { "known to all (ms)": known, "nodes": count };
    },
  };
}
