import type { Address } from "@devts/transport";
import type {
  Carriage,
  Clock,
  DoubtingMembership,
  ExplainingRouter,
  LinkState,
  MappingRouter,
  Membership,
  NodeId,
  NodeState,
  RouteExplanation,
  Router,
  Topology,
  TopologyLink,
  TopologyNode,
  Way,
} from "@devts/routing";
import type { Happening, History } from "./_history.ts";
import type { Link } from "./link.ts";

/** Which way a message to a node would take now, and why. */
export interface Explanation {
  /** Whom it is for. */
  readonly target: NodeId;
  /** Whether it could be sent now: otherwise `send` rejects with a `NodeNotFoundError`. */
  readonly isReachable: boolean;
  /** How it would be carried; `self`: it stays on this node. */
  readonly how: Carriage | "self";
  /** Why so, or why not. */
  readonly why: string;
  /** The ways that the router knows, at most three, the one that it would take first. */
  readonly ways: readonly Way[];
  /** This node's own links that it could leave by: the first one of each way, or all. */
  readonly links: readonly LinkReport[];
  /** What is known of the target's life; null: nothing. */
  readonly state: NodeState | null;
  /** What went wrong last on the way to it. */
  readonly lastError: PastError | null;
  /** Entry nodes without a link, where the target cannot be reached: it may be behind them. */
  readonly unanswered: readonly {
    /** The address that `join` was given. */
    readonly address: Address;
    /** What the last dial brought; null: it is the first one, and under way. */
    readonly reason: string | null;
  }[];
}

/** A link of this node. */
export interface LinkReport {
  /** The node at its other end. */
  readonly to: NodeId;
  /** Whether it takes what is sent. */
  readonly state: LinkState;
  /** The other end's address, as this end sees it. */
  readonly remote: Address;
  /** How long it has been up, in ms. */
  readonly age: number;
  /** Bytes that wait to leave. */
  readonly queued: number;
  /** The measured round trip, in ms; null: the router does not measure it. */
  readonly roundTrip: number | null;
  /** What went wrong last with it, or with one before it. */
  readonly lastError: PastError | null;
}

/** Something that went wrong. */
export interface PastError {
  /** What, and why. */
  readonly reason: string;
  /** How long ago, in ms. */
  readonly age: number;
}

/** What explanations are made of. */
export interface ExplainerParts {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly history: History;
  readonly router: Router;
  readonly membership: Membership;
  /** The links of the node. */
  links(): Iterable<Link>;
  /** Entry nodes without a link, and what the last dial brought. */
  unanswered(): Explanation["unanswered"];
}

/** What a node knows of the ways to others. */
export class Explainer {
  readonly #parts: ExplainerParts;

  constructor(parts: ExplainerParts) {
    this.#parts = parts;
  }

  /** Which way a message to a node would take now. */
  explain(target: NodeId): Explanation {
    const { self, router, history } = this.#parts;
    const route = target === self ? null : this.#routeTo(target);
    const isReachable = route === null || router.nodes.has(target);
    return {
      target,
      isReachable,
      how: route?.how ?? "self",
      why: route?.why ?? "it is this node",
      ways: route?.ways ?? [],
      links: route === null ? [] : this.#linksOf(route),
      state: this.#stateOf(target),
      lastError: this.#past(history.errorOf(target)),
      unanswered: isReachable ? [] : this.#parts.unanswered(),
    };
  }

  /** The nodes and links that this node knows of. */
  topology(): Topology {
    const { self, router, membership, history } = this.#parts;
    const told = isMapping(router) ? router.topology() : null;
    const ids = new Set([self, ...membership.members.keys(), ...router.nodes]);
    for (const { peer } of this.#parts.links()) ids.add(peer.id);
    for (const id of told?.nodes ?? []) ids.add(id);
    for (const id of history.lost()) ids.add(id);
    const links = new Map<string, TopologyLink>();
    for (const { a, b, cost = null } of told?.links ?? []) {
      links.set(`${a} ${b}`, { a, b, source: "told", cost, state: "open" });
    }
    for (const link of this.#parts.links()) {
      const { id } = link.peer;
      const [a, b] = self < id ? [self, id] : [id, self];
      const cost = links.get(`${a} ${b}`)?.cost ?? null;
      const { state } = link;
      links.set(`${a} ${b}`, { a, b, source: "own", cost, state });
    }
    return {
      self,
      nodes: [...ids].map((id) => this.#node(id, told === null)),
      links: [...links.values()],
    };
  }

  #node(id: NodeId, isMapless: boolean): TopologyNode {
    const { self, router } = this.#parts;
    const isReachable = id === self || router.nodes.has(id);
    // A map has the links themselves.
    const [way] = isMapless && isReachable && isExplaining(router)
      ? router.explain(id).ways
      : [];
    const next = way?.nodes[1];
    const via = next === undefined || next === id ? null : next;
    return { id, state: this.#stateOf(id) ?? "stranger", isReachable, via };
  }

  #stateOf(id: NodeId): NodeState | null {
    const { self, membership, router, history } = this.#parts;
    if (id === self) return "self";
    if (membership.members.has(id)) {
      const isSuspect = isDoubting(membership) && membership.doubts(id);
      return isSuspect ? "suspect" : "alive";
    }
    return history.leaveOf(id) ?? (router.nodes.has(id) ? "stranger" : null);
  }

  #routeTo(target: NodeId): RouteExplanation {
    const { self, router } = this.#parts;
    if (isExplaining(router)) return router.explain(target);
    const why = "this router does not say which way it takes";
    for (const { peer } of this.#parts.links()) {
      if (peer.id !== target) continue;
      const ways = [{ nodes: [self, target], isWhole: true }];
      return { how: "link", why: "there is a link to it", ways };
    }
    return router.nodes.has(target)
      ? { how: "next-hop", why, ways: [] }
      : { how: "none", why: "the router knows no way to it", ways: [] };
  }

  #linksOf({ how, ways }: RouteExplanation): LinkReport[] {
    const roundTrips = new Map(
      ways.map(({ nodes, roundTrip }) => [`n:${nodes[1]}`, roundTrip]),
    );
    const reports: LinkReport[] = [];
    for (const link of this.#parts.links()) {
      const key = `n:${link.peer.id}`;
      if (how !== "flood" && !roundTrips.has(key)) continue;
      reports.push(this.#report(link, roundTrips.get(key)));
    }
    return reports;
  }

  #report(link: Link, roundTrip: number | undefined): LinkReport {
    const { clock, history } = this.#parts;
    const { peer, state, queued, connection, since } = link;
    return {
      to: peer.id,
      state,
      remote: connection.remote,
      age: clock.now() - since,
      queued,
      roundTrip: roundTrip ?? null,
      lastError: this.#past(history.errorOf(peer.id)),
    };
  }

  #past(happening: Happening | null): PastError | null {
    if (happening === null) return null;
    const { reason, at } = happening;
    return { reason, age: this.#parts.clock.now() - at };
  }
}

const CARRIED: Readonly<Record<Explanation["how"], string>> = {
  "self": "stays on this node",
  "link": "goes over the link",
  "route": "goes through others",
  "next-hop": "goes to a neighbour that knows the way",
  "flood": "goes to all neighbours",
  "server": "goes through a server",
  "wait": "waits for a way",
  "none": "cannot be sent",
};

/**
 * An explanation for a person: a sentence, then a line for each thing that matters.
 *
 * @example
 * ```ts
 * import { createNode, explanationText } from "@devts/devts";
 * import { assertEquals } from "@std/assert";
 *
 * await using node = createNode({ cluster: "demo", id: "ada" });
 * assertEquals(
 *   explanationText(node.explain("bob")),
 *   'A message to "bob" cannot be sent: it is no member, and nobody links to it',
 * );
 * ```
 */
export function explanationText(explanation: Explanation): string {
  const { target, how, why, ways, links, state, lastError, unanswered } =
    explanation;
  return [
    `A message to "${target}" ${CARRIED[how]}: ${why}`,
    ...ways.map((way, at) => `${at === 0 ? "way:" : "or:"} ${wayText(way)}`),
    ...state === null || state === "self" ? [] : [`target: ${state}`],
    ...links.map(linkText),
    ...lastError === null ? [] : [`last error: ${pastText(lastError)}`],
    ...unanswered.map(({ address, reason }) =>
      `entry node "${address}": ${reason ?? "being dialled"}`
    ),
  ].join("\n  ");
}

function wayText({ nodes, isWhole, cost }: Way): string {
  const last = nodes.at(-1) ?? "";
  const known = nodes.slice(0, -1).join(" → ");
  const arrow = isWhole ? "→" : "⇢";
  const note = cost === undefined ? "" : ` (cost ${cost})`;
  return `${known} ${arrow} ${last}${note}`;
}

function linkText(link: LinkReport): string {
  const { to, state, remote, age, queued, roundTrip, lastError } = link;
  const parts = [
    `${state}, up for ${duration(age)}`,
    `${queued} bytes wait`,
    ...roundTrip === null ? [] : [`round trip ${duration(roundTrip)}`],
    ...lastError === null ? [] : [`last error ${pastText(lastError)}`],
  ];
  return `link to "${to}" at ${remote}: ${parts.join(", ")}`;
}

function pastText({ reason, age }: PastError): string {
  return `${duration(age)} ago: ${reason}`;
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function isExplaining(router: Router): router is ExplainingRouter {
  return "explain" in router && typeof router.explain === "function";
}

function isMapping(router: Router): router is MappingRouter {
  return "topology" in router && typeof router.topology === "function";
}

function isDoubting(
  membership: Membership,
): membership is DoubtingMembership {
  return "doubts" in membership && typeof membership.doubts === "function";
}
