import {
  addNode,
  ENTRY,
  keepJoined,
  LOSSY,
  names,
  untilOneView,
} from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type { Scenario, Timed } from "@devts/routing/testing";

const NODES = 50;
const LIMIT = 60_000;

/** A node that starts. */
interface Start extends Timed {
  readonly node: string;
}

/** Nodes that start within a second: how long until all know all. */
export function joining(parts: Parts): Scenario<Start> {
  return {
    name: "join",
    targets: { "full view everywhere (ms)": { p99: 5_000 } },
    script: (random) =>
      names(NODES).filter((id) => id !== ENTRY).map((node) => ({
        at: Math.floor(1_000 * random()),
        node,
      })),
    run(run) {
      const network = run.network(LOSSY);
      const { clock } = network;
      addNode(network, parts, ENTRY);
      let last = 0;
      for (const { at, node } of run.script) {
        last = Math.max(last, at);
        clock.after(at, () => {
          addNode(network, parts, node);
          keepJoined(network, node);
        });
      }
      clock.tick(last);
      const ms = untilOneView(network, LIMIT);
      return { "full view everywhere (ms)": ms };
    },
  };
}
