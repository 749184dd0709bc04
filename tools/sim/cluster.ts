import type { Parts } from "./parts.ts";
import { epochOf, type NodeId } from "@devts/routing";
import type {
  ScenarioRun,
  Timed,
  VirtualNetwork,
  VirtualNode,
} from "@devts/routing/testing";

/** Links that lose a tenth of what they carry. */
export const LOSSY = {
  latency: 2,
  jitter: 8,
  loss: 0.1,
  backoff: true,
  giveUp: 30_000,
  outbox: 10_000,
} as const;

/** How often it is looked whether there is one view, in ms: looking takes its time. */
const LOOK = 10;
/** In which a cluster has formed, in ms. */
const FORMING = 120_000;
/** The first and the last of the limits between two attempts to reach an entry node, in ms. */
const FIRST_DELAY = 1_000;
const LAST_DELAY = 10_000;

/** Names of so many nodes. */
export function names(count: number): NodeId[] {
  return Array.from({ length: count }, (_, at) => `n${at}`);
}

/** The node by which all others come in. */
export const ENTRY = "n0";

/** A cluster of so many nodes that know each other, and dial their entry node for ever. */
export function cluster<A extends Timed>(
  run: ScenarioRun<A>,
  parts: Parts,
  count: number,
): VirtualNetwork {
  const network = run.network(LOSSY);
  for (const id of names(count)) addNode(network, parts, id);
  for (const id of names(count)) keepJoined(network, id);
  untilOneView(network, FORMING);
  return network;
}

/** Adds a node without any link. */
export function addNode(
  network: VirtualNetwork,
  parts: Parts,
  id: NodeId,
): VirtualNode {
  return network.add(id, {
    router: parts.router.make(),
    membership: parts.membership(),
  });
}

/** Dials the entry node whenever there is no link to it, as a whole node does. */
export function keepJoined(network: VirtualNetwork, id: NodeId): void {
  if (id === ENTRY) return;
  const node = network.node(id);
  let limit = FIRST_DELAY;
  const check = (): void => {
    if (node.neighbours.includes(ENTRY)) limit = FIRST_DELAY;
    else {
      if (node.running) network.connect(id, ENTRY);
      limit = Math.min(2 * limit, LAST_DELAY);
    }
    network.clock.after(limit * (0.5 + network.random() / 2), check);
  };
  check();
}

/** Whether the running ones of these nodes know each other, as they are, and nobody else. */
export function isOneView(nodes: readonly VirtualNode[]): boolean {
  const running = nodes.filter((node) => node.running);
  return running.every(({ members }) => members.size === running.length - 1) &&
    running.every((node) =>
      running.every((other) =>
        other === node ||
        node.members.get(other.id)?.incarnation === other.self.incarnation
      )
    );
}

/** Fails the run once a node gives up another that runs, and did not start anew. */
export function assertNoFalseDeath(network: VirtualNetwork): void {
  const seen = new Map<VirtualNode, number>();
  network.always("only the dead are given up", (node) => {
    const { events } = node;
    const from = seen.get(node) ?? 0;
    if (from === events.length) return;
    seen.set(node, events.length);
    for (const event of events.slice(from)) {
      if (event.type !== "leave" || event.reason !== "failed") continue;
      const { running, self } = network.node(event.member.id);
      // It may have refuted meanwhile, under a higher incarnation of the same start.
      if (
        running &&
        epochOf(self.incarnation) === epochOf(event.member.incarnation)
      ) {
        throw new Error(`it gave up "${self.id}", which runs`);
      }
    }
  });
}

/** Lets time pass until the running nodes have one view; fails where that takes too long. */
export function untilOneView(
  network: VirtualNetwork,
  limit: number,
): number {
  const { clock, nodes } = network;
  const start = clock.now();
  while (!isOneView(nodes)) {
    if (clock.now() - start > limit) {
      throw new Error(
        `after ${limit} ms there is not one view: ${differences(nodes)}`,
      );
    }
    clock.tick(LOOK);
  }
  return clock.now() - start;
}

function differences(nodes: readonly VirtualNode[]): string {
  const running = nodes.filter((node) => node.running);
  const ids = new Set(running.map(({ id }) => id));
  const lines = running.flatMap(({ id, members }) => {
    const missing = [...ids].filter((other) =>
      other !== id && !members.has(other)
    );
    const gone = [...members.keys()].filter((other) => !ids.has(other));
    if (missing.length === 0 && gone.length === 0) return [];
    return [`"${id}" misses [${missing}] and still has [${gone}]`];
  });
  return lines.slice(0, 5).join("; ");
}
