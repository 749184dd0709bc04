import { names } from "./cluster.ts";
import type { Parts } from "./parts.ts";
import type {
  Fault,
  Scenario,
  VirtualNetwork,
  VirtualNode,
} from "@devts/routing/testing";

const NODES = 1_000;
/** Others that each node has heard of when it starts. */
const KNOWN = 40;
const FORMING = 10_000;
/** Broadcasts in which a tree forms, and those that are counted. */
const WARM_UP = 20;
const COUNTED = 20;
/** Time between two broadcasts, in ms. */
const INTERVAL = 300;
/** The part of the nodes that crashes at once. */
const CRASHED = 0.3;
/** In which the first broadcast after that arrives, in ms. */
const ARRIVAL = 5_000;

/** Broadcasts in a large network, by anybody, and one more when 30 % have just crashed. */
export function thousand(parts: Parts): Scenario {
  return {
    name: "thousand",
    targets: { "payloads for a broadcast, per node": { max: 1.1 } },
    script: (random) => {
      const how = random() < 0.5 ? "silence" : "links";
      return names(NODES).slice(1).filter(() => random() < CRASHED)
        .map((node): Fault => ({ at: 0, do: "crash", node, how }));
    },
    run(run) {
      const network = run.network({ latency: 10, jitter: 5, outbox: 100_000 });
      form(network, parts);
      const any = (): VirtualNode =>
        network.node(`n${Math.floor(NODES * network.random())}`);
      for (let at = 0; at < WARM_UP; at++) broadcast(network, any(), at);
      let payloads = 0;
      network.tap((_from, _to, _packet, lane) => {
        if (lane === "data") payloads++;
      });
      for (let at = 0; at < COUNTED; at++) {
        broadcast(network, any(), WARM_UP + at);
      }
      const perNode = payloads / COUNTED / NODES;
      network.clock.tick(ARRIVAL);
      assertReached(network.nodes, WARM_UP + COUNTED);

      network.play(run.script);
      network.clock.tick(1);
      const first = network.node("n0");
      const connected = reachable(network, first);
      const before = new Map(
        connected.map((node) => [node, node.delivered.length]),
      );
      first.send("all", Uint8Array.of(255));
      network.clock.tick(ARRIVAL);
      for (const [node, count] of before) {
        const got = node.delivered.length - count;
        if (node === first || got === 1) continue;
        throw new Error(
          `of ${connected.length} that are connected, "${node.id}" got it ${got} times`,
        );
      }
      return {
        "payloads for a broadcast, per node": perNode,
        "connected after the crash, all reached": connected.length,
      };
    },
  };
}

function form(network: VirtualNetwork, parts: Parts): void {
  const { clock, random } = network;
  const ids = names(NODES);
  for (const id of ids) network.add(id, { router: parts.router.make() });
  for (const node of network.nodes) {
    for (let known = 0; known < KNOWN; known++) {
      const other = network.node(`n${Math.floor(NODES * random())}`);
      if (other === node) continue;
      node.router.member({ type: "join", member: other.self });
    }
  }
  clock.tick(FORMING);
}

function broadcast(
  network: VirtualNetwork,
  from: VirtualNode,
  number: number,
): void {
  from.send("all", Uint8Array.of(number));
  network.clock.tick(INTERVAL);
}

/** Each node got each broadcast once, but its own. */
function assertReached(
  nodes: readonly VirtualNode[],
  broadcasts: number,
): void {
  const missing: string[] = [];
  let delivered = 0;
  for (const node of nodes) {
    delivered += node.delivered.length;
    const got = new Set(node.delivered.map(({ payload }) => payload[0]));
    if (got.size >= broadcasts - 1 && node.delivered.length === got.size) {
      continue;
    }
    const lost = Array.from({ length: broadcasts }, (_, at) => at)
      .filter((at) => !got.has(at));
    missing.push(`"${node.id}" lacks ${lost} of ${node.delivered.length}`);
  }
  if (delivered === broadcasts * (nodes.length - 1)) return;
  throw new Error(missing.slice(0, 5).join("; "));
}

/** Those that can be reached from a node over links between nodes that run. */
function reachable(
  network: VirtualNetwork,
  start: VirtualNode,
): VirtualNode[] {
  const reached = new Set([start]);
  for (const { neighbours } of reached) {
    for (const id of neighbours) {
      const other = network.node(id);
      if (other.running) reached.add(other);
    }
  }
  return [...reached];
}
