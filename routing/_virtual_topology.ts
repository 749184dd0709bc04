import type {
  DoubtingMembership,
  Topology,
  TopologyLink,
  TopologyNode,
} from "./explain.ts";
import type { Host } from "./_virtual_host.ts";
import { NodeHost } from "./_virtual_node.ts";
import type { Membership, NodeId } from "./types.ts";

/** What is there now, whoever knows of it. */
export function topologyOf(hosts: readonly Host[]): Topology {
  const doubted = doubtedBy(hosts);
  const links = new Map<string, TopologyLink>();
  for (const { id, ends } of hosts) {
    for (const { open, blocked, other } of ends) {
      const far = other.host.id;
      if (!open || !other.open) continue;
      const [a, b] = id < far ? [id, far] : [far, id];
      const key = `${a} ${b}`;
      const isCut = blocked || links.get(key)?.state === "slow";
      const state = isCut ? "slow" : "open";
      links.set(key, { a, b, source: "told", cost: null, state });
    }
  }
  return {
    self: null,
    nodes: hosts.map(({ id, running }): TopologyNode => ({
      id,
      state: !running ? "failed" : doubted.has(id) ? "suspect" : "alive",
      isReachable: running,
      via: null,
    })),
    links: [...links.values()],
  };
}

/** The nodes that some running one suspects. */
function doubtedBy(hosts: readonly Host[]): Set<NodeId> {
  const doubted = new Set<NodeId>();
  for (const host of hosts) {
    if (!(host instanceof NodeHost) || !host.running) continue;
    const { membership } = host;
    if (membership === null || !isDoubting(membership)) continue;
    for (const id of membership.members.keys()) {
      if (membership.doubts(id)) doubted.add(id);
    }
  }
  return doubted;
}

function isDoubting(
  membership: Membership,
): membership is DoubtingMembership {
  return "doubts" in membership && typeof membership.doubts === "function";
}
