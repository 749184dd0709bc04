import { names } from "./cluster.ts";
import { contentOf, marked } from "./marked.ts";
import type { Parts } from "./parts.ts";
import {
  graph,
  type GraphKind,
  type Scenario,
  type Timed,
} from "@devts/routing/testing";

const BROADCASTS = 10;
/** In which routes are found, and packets arrive, in ms. */
const SETTLE = 60_000;
/** In which all learn of all links, in ms. */
const LEARNING = 2_000;
const KINDS: readonly GraphKind[] = [
  "line",
  "ring",
  "star",
  "mesh",
  "tree",
  "degree5",
  "random",
];

/** A broadcast of one of the nodes; `sender` from 0 to 1 says which. */
interface Broadcast extends Timed {
  readonly sender: number;
}

/** Broadcasts on a random connected graph: each reaches every other node once, at its cost. */
export function graphs(parts: Parts): Scenario<Broadcast> {
  return {
    name: "graphs",
    script: (random) =>
      Array.from({ length: BROADCASTS }, () => ({
        at: Math.floor(1_000 * random()),
        sender: random(),
      })),
    run(run) {
      const network = run.network({ latency: 1, jitter: 5, outbox: 10_000 });
      const { random, clock } = network;
      const ids = names(5 + Math.floor(36 * random()));
      // A router that does not relay reaches its neighbours: all, on a mesh.
      const kind = parts.router.relays
        ? KINDS[Math.floor(KINDS.length * random())] ?? "mesh"
        : "mesh";
      for (const id of ids) network.add(id, { router: parts.router.make() });
      const links = graph(kind, ids, random);
      for (const [a, b] of links) network.connect(a, b);
      const others = ids.length - 1;
      clock.until(
        () => network.nodes.every(({ router }) => router.nodes.size === others),
        SETTLE,
      );
      // Whoever knows all nodes may not know all links yet.
      clock.tick(LEARNING);
      let packets = 0;
      network.tap((_from, _to, packet) => {
        if (contentOf(packet) !== null) packets++;
      });
      for (const [at, broadcast] of run.script.entries()) {
        clock.after(broadcast.at, () => {
          const from = network.nodes[Math.floor(ids.length * broadcast.sender)];
          from?.send("all", marked(at));
        });
      }
      network.atRest("each broadcast reached every other node once", () => {
        for (const node of network.nodes) {
          for (const [at, { sender }] of run.script.entries()) {
            const isOwn =
              network.nodes[Math.floor(ids.length * sender)] === node;
            const count = node.delivered.filter(({ payload }) =>
              contentOf(payload)?.[0] === at
            ).length;
            if (count === (isOwn ? 0 : 1)) {
              continue;
            }
            throw new Error(
              `on a ${kind} of ${ids.length} nodes, "${node.id}" got broadcast ${at} ${count} times`,
            );
          }
        }
      });
      network.rest(SETTLE);
      const count = run.script.length;
      const most = count * parts.router.cost(ids.length, links.length);
      if (packets > most) {
        throw new Error(
          `on a ${kind} of ${ids.length} nodes and ${links.length} links, ${count} broadcasts took ${packets} packets, more than ${most}`,
        );
      }
      return {
        "packets per broadcast and node": count === 0
          ? 0
          : packets / count / ids.length,
        "part of the documented cost": count === 0 ? 0 : packets / most,
      };
    },
  };
}
