import { heartbeat } from "@devts/routing/heartbeat";
import { gossipRouter } from "@devts/routing/gossip";
import { hopRouter } from "@devts/routing/hop";
import { mapRouter } from "@devts/routing/map";
import { pathRouter } from "@devts/routing/path";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";
import type { MembershipFactory, RouterFactory } from "@devts/routing";

/** A router that scenarios can be run with. */
export interface RouterPart {
  /** Makes its factory. */
  readonly make: () => RouterFactory;
  /** Whether it carries packets between nodes that have no link to each other. */
  readonly relays: boolean;
  /** How many packets a broadcast takes at most, as documented; links do not change. */
  readonly cost: (nodes: number, links: number) => number;
}

function direct(nodes: number): number {
  return nodes - 1;
}

function flood(nodes: number, links: number): number {
  return 2 * links - (nodes - 1);
}

/** The routers, by name. */
export const ROUTERS: Readonly<Record<string, RouterPart>> = {
  peer: { make: () => peerRouter(), relays: false, cost: direct },
  hop: { make: () => hopRouter(), relays: true, cost: flood },
  path: { make: () => pathRouter(), relays: true, cost: flood },
  map: { make: () => mapRouter(), relays: true, cost: direct },
  gossip: { make: () => gossipRouter(), relays: true, cost: flood },
};

/** The memberships, by name. */
export const MEMBERSHIPS: Readonly<Record<string, () => MembershipFactory>> = {
  heartbeat: () => heartbeat(),
  swim: () => swim(),
};

/** What a scenario is made for. */
export interface Parts {
  /** The router of every node. */
  readonly router: RouterPart;
  /** Makes the membership of every node. */
  readonly membership: () => MembershipFactory;
}
