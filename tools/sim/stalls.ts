import { assertNoFalseDeath, cluster, names } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Fault, Scenario } from "@devts/routing/testing";

const NODES = 50;
/** With 50 nodes that is an hour of one node. */
const LENGTH = 72_000;
const STALLS = 200;

/** Event loops that block for a second, at random: nobody may be given up. */
export function stalls(parts: Parts): Scenario {
  return {
    name: "stalls",
    script: (random) =>
      Array.from({ length: STALLS }, (): Fault => ({
        at: Math.floor(LENGTH * random()),
        do: "stall",
        node: names(NODES)[Math.floor(NODES * random())] ?? "",
        for: 1_000,
      })),
    run(run) {
      const network = cluster(run, parts, NODES);
      assertNoFalseDeath(network);
      network.play(run.script);
      network.clock.tick(LENGTH);
      return { "node-hours": NODES * LENGTH / 3_600_000 };
    },
  };
}
