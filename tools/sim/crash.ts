import { assertNoFalseDeath, cluster, names, untilOneView } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Scenario } from "@devts/routing/testing";

const NODES = 50;
const LIMIT = 25_000;

/** A machine loses its power: how long until all others know, and nobody else is given up. */
export function crash(parts: Parts): Scenario {
  return {
    name: "crash",
    targets: { "known to all (ms)": { p99: 15_000, max: LIMIT } },
    script: (random) => [{
      at: Math.floor(2_000 * random()),
      do: "crash",
      node: names(NODES)[Math.floor(NODES * random())] ?? "",
      how: "silence",
    }],
    run(run) {
      const network = cluster(run, parts, NODES);
      assertNoFalseDeath(network);
      network.play(run.script);
      const last = run.script.at(-1);
      if (last === undefined) return {};
      network.clock.tick(last.at);
      const known = untilOneView(network, LIMIT);
      network.clock.tick(5_000);
      untilOneView(network, 0);
      return { "known to all (ms)": known };
    },
  };
}
