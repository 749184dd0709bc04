/**
 * The router in which every node has a map of the network: packets take the shortest
 * path on it, through any number of nodes.
 *
 * ```ts
 * import { mapRouter } from "@devts/routing/map";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * for (const id of ["ada", "bob", "cyd"]) {
 *   network.add(id, { router: mapRouter() });
 * }
 * network.connect("ada", "bob");
 * network.connect("bob", "cyd");
 * network.clock.tick(100);
 *
 * network.node("ada").send(["cyd"], new Uint8Array([1, 2, 3]));
 * network.clock.tick(10);
 *
 * assertEquals(network.node("cyd").delivered, [{
 *   from: "ada",
 *   payload: new Uint8Array([1, 2, 3]),
 * }]);
 * ```
 *
 * @module
 */

import { sendToEach } from "./_each.ts";
import { MalformedError, orNull } from "./_bytes.ts";
import { costOf } from "./_map_advert.ts";
import { Broadcasts } from "./_map_broadcasts.ts";
import { Chart } from "./_map_chart.ts";
import { Exchange } from "./_map_exchange.ts";
import { Guard, type Guarded } from "./_map_guard.ts";
import { inspectPacket } from "./_map_inspect.ts";
import { Letters } from "./_map_letters.ts";
import { Links } from "./_map_links.ts";
import { Neighbour } from "./_map_neighbour.ts";
import { Partings } from "./_map_partings.ts";
import {
  ACK,
  ADVERTS,
  type Aged,
  ANSWER,
  BROADCAST,
  HELLO,
  kindOf,
  MARK,
  readRouted,
  readTalk,
  SUMMARY,
  type Talk,
  type Tally,
} from "./_map_packets.ts";
import { View } from "./_map_view.ts";
import { Dialer, LINKS } from "./_dialer.ts";
import { IdMap } from "./_id_map.ts";
import { Order } from "./_order.ts";
import { inRange } from "./_relay.ts";
import type {
  ExplainingRouter,
  KnownLink,
  KnownNetwork,
  MappingRouter,
  RouteExplanation,
  Way,
} from "./explain.ts";
import { epochOf } from "./incarnation.ts";
import type {
  Counted,
  Inspected,
  InspectingRouter,
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  Peer,
  RouterContext,
  SelectiveRouter,
} from "./types.ts";

/** Time between two looks at what is due, in ms. */
const TICK = 500;
/** A node stays in `nodes` for so long after the last way to it, in ms. */
const LINGER = 1000;
/** Ways that a route names beside the shortest. */
const MAX_ALTERNATES = 2;

/** Options of {@linkcode mapRouter}. */
export interface MapRouterOptions {
  /**
   * Nodes that fit on the map, 2 or more; what is beyond is refused and counted.
   *
   * @default {4096}
   */
  readonly maxNodes?: number;
  /**
   * How many links a node is to have: 0 to 256. While it has fewer, it dials members;
   * with 0 it dials nobody.
   *
   * @default {3}
   */
  readonly links?: number;
}

/** A router with a map, which can be asked what is on it. */
export interface MapRouter extends ExplainingRouter, MappingRouter, Counted {
  /** The way that a packet to a node would take now; null: there is none. */
  route(target: NodeId): MapRoute | null;
  /** What this node can reach, itself included, as the map shows it now. */
  topology(): MapTopology;
}

/** A way to a node. */
export interface MapRoute {
  /** The nodes on it: first this one, last the target. */
  readonly path: readonly NodeId[];
  /** What its links cost together. */
  readonly cost: number;
  /** Up to two other ways, which begin with other links, the best first. */
  readonly alternates: readonly (readonly NodeId[])[];
}

/** Nodes and the links between them. */
export interface MapTopology extends KnownNetwork {
  /** This node, then the others, the nearest first. */
  readonly nodes: readonly NodeId[];
  /** Each link once. */
  readonly links: readonly MapLink[];
}

/** A link of which both ends tell. */
export interface MapLink extends KnownLink {
  /** The end with the smaller id. */
  readonly a: NodeId;
  /** The other end. */
  readonly b: NodeId;
  /** 1, and 1 more for each 25 ms of its round trip, up to 64. */
  readonly cost: number;
}

/**
 * Makes routers that know the whole network (link-state routing, as in OSPF, RFC 2328):
 * each node tells all others of its links, and works out the shortest paths for itself.
 * Made for up to a few hundred nodes that cannot all reach each other.
 *
 * - **Map.** A node floods an advert of its links when they change, and every 30 s. An
 *   advert counts for 100 s. A link counts once both ends tell of it. Two nodes that
 *   link up compare their maps, and each sends what the other lacks; they compare again
 *   while the maps differ. A node whose links change all the time tells so 5 times per
 *   second.
 * - **Costs.** A link costs 1, and 1 more for each 25 ms of its shortest round trip, up
 *   to 64.
 * - **To one.** A packet carries the path that it takes: 1 byte and its id for each
 *   node. Those on the path pass it on as it is. Where its next link has ended, it
 *   takes the shortest other way around the nodes that it has passed, and where there
 *   is none, it goes back to its origin, which sends it again, eight times at most. So
 *   it never meets a node twice on its way. What has no way at its origin waits there
 *   for 1 s: 1,024 packets and 4 MiB at most.
 * - **To all.** A packet follows the tree of shortest paths from its origin. Whoever
 *   sees another map than the origin did (a digest tells) passes it to all its
 *   neighbours instead, and so does each node after it, once: links that changed a
 *   moment ago cost packets, not deliveries. A node that links up is sent what has
 *   passed in the last second, 256 packets and 1 MiB at most, if it has been on the map
 *   that long: it may have been between two parts of the network.
 * - **Links that end.** What is on a link as it ends is sent another way: its two ends
 *   tell each other by the rest of the network how much has come. What cannot be sent
 *   another way comes back as `undelivered`. What a relay holds as its program ends is
 *   lost with it.
 * - **Silence.** A neighbour that leaves a question unanswered and says nothing for 4 s
 *   (or does not answer for 60 s) counts as if its link had ended, until it answers.
 *   It is asked every 30 s, and when it does not confirm packets.
 * - **Order.** Packets of one origin in the data lane arrive in the order in which they
 *   were sent, each once; gaps are told by `missed`.
 * - **Links** are those that the program opens, and while these are fewer than three,
 *   links to members chosen at random, as far as they can be dialled: so the network stays
 *   connected when an entry node is gone. The link to a member that left or failed is
 *   ended.
 * - **Nodes.** There is a way to the neighbours and to those that the map shows one to.
 *   A node stays among them for 1 s after the last way to it is lost, since news of the
 *   next may be under way.
 *
 * With N nodes and E links, the cost in packets is:
 *
 * | what | packets |
 * | --- | --- |
 * | a payload to one | the links of its path |
 * | a payload to all | N − 1; while maps differ, at most 2E + N − 1 |
 * | confirmations | 2 for each link and lane in use, per 64 packets, 256 KiB or 100 ms |
 * | a link that comes | the payloads to all of the last second, at most 512 |
 * | a link that comes or goes | at most 2 (2E − N + 1), of about 50 bytes and 35 for each link of a node |
 * | each node, every 30 s | at most 2E − N + 1, and 4 for each of its links |
 *
 * Memory: about 0.5 KiB for each node on the map and 0.2 KiB for each end of a link:
 * 0.3 MiB for 200 nodes with five links each. Each link holds what its other end has
 * not confirmed, at most 8 MiB; then it counts as full.
 *
 * Nodes believe what their neighbours pass on: a cluster of nodes that trust each other.
 * What cannot be is refused, and in `counters`: `malformed`, `unknown` (kinds of
 * packets), `strangers` (packets from no neighbour, or of a node that is not on the
 * map), `forged` (paths and origins that cannot be), `refused` (adverts too far ahead),
 * `flooded` (more adverts than allowed: 1,000 per second for a neighbour, 10 for a
 * node), `full` (no room on the map: for `maxNodes`, 64 links for each of them, and 512
 * for any), `dropped` (no room on a link), `lost` (could not even be reported), and
 * those of the order: `duplicates`, `stale`, `implausible`, `crowded`, `late`, `absurd`,
 * `missed`, `overflowed`.
 *
 * @example The way to a node
 * ```ts
 * import { type MapRouter, mapRouter } from "@devts/routing/map";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const routers: MapRouter[] = [];
 * for (const id of ["a", "b", "c"]) {
 *   network.add(id, {
 *     router: (context) => {
 *       const router = mapRouter()(context);
 *       routers.push(router);
 *       return router;
 *     },
 *   });
 * }
 * network.connect("a", "b");
 * network.connect("b", "c");
 * network.connect("c", "a");
 * network.clock.tick(100);
 *
 * assertEquals(routers[0]?.route("c"), {
 *   path: ["a", "c"],
 *   cost: 1,
 *   alternates: [["a", "b", "c"]],
 * });
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function mapRouter(
  options: MapRouterOptions = {},
): (context: RouterContext) => MapRouter {
  const { maxNodes = 4096 } = options;
  if (!Number.isSafeInteger(maxNodes) || maxNodes < 2) {
    throw new RangeError(
      `Cannot hold a map of ${maxNodes} nodes: it must be an integer from 2 on`,
    );
  }
  const links = inRange("links of", options.links ?? LINKS, 0, 256);
  return (context) => new LinkStateRouter(context, maxNodes, links);
}

class LinkStateRouter implements MapRouter, InspectingRouter, SelectiveRouter {
  readonly #context: RouterContext;
  readonly #maxNodes: number;
  readonly #links: Links;
  readonly #dialer: Dialer;
  readonly #chart: Chart;
  readonly #view: View;
  readonly #order: Order;
  readonly #exchange: Exchange;
  readonly #letters: Letters;
  readonly #broadcasts: Broadcasts;
  readonly #partings: Partings;
  readonly #nodes = new Set<NodeId>();
  /** Nodes to which the last way was lost, and until when they are kept. */
  readonly #lingering = new IdMap<number>();
  readonly #counters = {
    malformed: 0,
    unknown: 0,
    strangers: 0,
    forged: 0,
    refused: 0,
    flooded: 0,
    full: 0,
    dropped: 0,
    lost: 0,
  };
  /** The version of the map that `nodes` is true of. */
  #version = -1;
  #cancelTick: (() => void) | null = null;
  #tickedAt = 0;
  #isPlanned = false;
  #closed = false;

  constructor(context: RouterContext, maxNodes: number, wanted: number) {
    const counters = this.#counters;
    this.#context = context;
    this.#maxNodes = maxNodes;
    const links = this.#links = new Links(context, counters);
    this.#dialer = new Dialer(context, wanted, links.relays);
    const chart = this.#chart = new Chart(context.self.id);
    const view = this.#view = new View(chart, context.self.id);
    const order = this.#order = new Order(context);
    this.#exchange = new Exchange({
      context,
      chart,
      links,
      maxNodes,
      counters,
      isReached: (place) => view.reaches(place),
    });
    const parts = { context, links, chart, view, order, counters };
    const letters = this.#letters = new Letters({
      ...parts,
      carried: (from, packet, lane) =>
        this.#broadcasts.take(from, packet, lane, true),
      tallied: (by, tally) => this.#tallied(by, tally),
      isOwnLife: (epoch) => this.#exchange.isOwnLife(epoch),
    });
    this.#partings = new Partings({
      clock: context.clock,
      isReached: (id) => view.pathTo(id) !== null,
      isFor,
      recover: (guarded, neighbour, reason, isLost) => {
        const why = `the link to "${neighbour.id}" has ended: ${reason}`;
        this.#recover(guarded, neighbour, why, isLost);
      },
    });
    this.#broadcasts = new Broadcasts({ ...parts, letters });
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#order.counters, ...this.#counters };
  }

  get nodes(): ReadonlySet<NodeId> {
    if (!this.#closed) this.#look();
    return this.#nodes;
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#closed) return 0;
    if (to === "all") return this.#broadcasts.send(payload, lane);
    return sendToEach(
      to,
      this.nodes,
      (id) => this.#letters.send(id, payload, lane),
    );
  }

  /** A broadcast takes a packet for each node. */
  prefersEach(to: readonly NodeId[]): boolean {
    let packets = 0;
    for (const id of to) {
      const path = this.#view.pathTo(id);
      if (path === null) return false;
      packets += path.length - 1;
    }
    return packets < this.nodes.size;
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (this.#closed) return;
    const neighbour = this.#links.neighbours.get(from);
    if (neighbour === undefined) this.#counters.strangers++;
    else {
      neighbour.heardAt = this.#context.clock.now();
      this.#try(() => this.#take(neighbour, packet, lane));
    }
  }

  inspect(by: NodeId, packet: Uint8Array): Inspected | null {
    return orNull(() => inspectPacket(by, packet));
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    this.#order.link(event);
    if (event.type === "up") this.#up(event.peer, event.isLeaf === true);
    else if (event.type === "down") this.#down(event.id, event.reason);
    this.#dialer.link(event);
  }

  member(event: MemberEvent): void {
    if (this.#closed) return;
    this.#order.member(event);
    this.#dialer.member(event);
    if (event.type !== "leave") return;
    const { id, incarnation } = event.member;
    const linked = this.#links.neighbours.get(id);
    // The link may already be one to the restart that replaces this member.
    if (
      linked === undefined || epochOf(linked.incarnation) > epochOf(incarnation)
    ) return;
    this.#context.links.disconnect(id, event.reason);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick?.();
    this.#dialer.close();
    this.#order.close();
    this.#exchange.close();
    this.#letters.close();
    this.#partings.close();
    for (const { guard } of this.#links.neighbours.values()) guard.stop();
    this.#links.neighbours.clear();
    this.#nodes.clear();
  }

  // -- What is on the map --

  route(target: NodeId): MapRoute | null {
    if (this.#closed || target === this.#context.self.id) return null;
    const path = this.#view.pathTo(target);
    if (path === null) return null;
    const cost = this.#view.alternate(target, new Set())?.cost ??
      this.#links.neighbours.get(target)?.cost ?? 1;
    const taken = new Set<NodeId>();
    const alternates: (readonly NodeId[])[] = [];
    for (let last: readonly NodeId[] | null = path; last !== null;) {
      taken.add(last[1] ?? target);
      if (alternates.length >= MAX_ALTERNATES) break;
      last = this.#view.alternate(target, taken)?.path ?? null;
      if (last !== null) alternates.push(last);
    }
    return { path, cost, alternates };
  }

  topology(): MapTopology {
    const nodes: NodeId[] = [];
    const links: MapLink[] = [];
    for (const { id, ways } of this.#view.places) {
      nodes.push(id);
      for (const [other, told] of ways) {
        if (other.id < id) continue;
        links.push({ a: id, b: other.id, cost: costOf(told) });
      }
    }
    return { nodes, links };
  }

  explain(target: NodeId): RouteExplanation {
    const route = this.route(target);
    if (route === null) return this.#noRoute(target);
    const { path, cost, alternates } = route;
    const ways = [
      this.#way(path, cost),
      ...alternates.map((nodes) => this.#way(nodes)),
    ];
    if (path.length === 2) {
      return { how: "link", why: "its link is the shortest way", ways };
    }
    const isLinked = this.#links.neighbours.has(target);
    const why = !isLinked
      ? "the shortest way on the map"
      : this.#links.isOpen(target)
      ? "the shortest way on the map, shorter than its link"
      : "its link does not answer, and this is the shortest way around it";
    return { how: "route", why, ways };
  }

  #noRoute(target: NodeId): RouteExplanation {
    if (this.nodes.has(target)) {
      const why =
        "the last way to it was lost less than 1 s ago, what is sent waits for another one";
      return { how: "wait", why, ways: [] };
    }
    const isMute = this.#links.neighbours.get(target)?.isSilent === true;
    const why = isMute
      ? "its link does not answer, and the map shows no way around it"
      : this.#chart.get(target) === undefined
      ? "it is not on the map"
      : "the map shows it, and no way to it";
    return { how: "none", why, ways: [] };
  }

  #way(nodes: readonly NodeId[], cost?: number): Way {
    const { roundTrip } = this.#links.neighbours.get(nodes[1] ?? "") ?? {};
    return {
      nodes,
      isWhole: true,
      ...(cost === undefined ? {} : { cost }),
      ...(roundTrip === undefined ? {} : { roundTrip }),
    };
  }

  /** Brings `nodes` up to date with the map. */
  #look(): void {
    const now = this.#context.clock.now();
    if (this.#version !== this.#chart.version) {
      this.#version = this.#chart.version;
      this.#update(now);
    }
    for (const [id, until] of this.#lingering) {
      if (now < until) continue;
      this.#lingering.delete(id);
      this.#nodes.delete(id);
    }
  }

  #update(now: number): void {
    const { places, loose } = this.#view;
    const reached = new Set([...places.map(({ id }) => id), ...loose]);
    reached.delete(this.#context.self.id);
    for (const id of reached) {
      this.#nodes.add(id);
      this.#lingering.delete(id);
    }
    for (const id of this.#nodes) {
      if (reached.has(id) || this.#lingering.has(id)) continue;
      this.#lingering.set(id, now + LINGER);
    }
  }

  // -- Links --

  #up(peer: Peer, isLeaf: boolean): void {
    this.#down(peer.id, "replaced");
    const guard = new Guard(
      this.#context.clock,
      (lane, number) => this.#links.talk(peer.id, { kind: MARK, number }, lane),
    );
    const link = Math.floor(this.#context.random() * 2 ** 32);
    const now = this.#context.clock.now();
    const maxNodes = this.#maxNodes;
    const neighbour = new Neighbour(peer, isLeaf, link, guard, maxNodes, now);
    this.#links.neighbours.set(peer.id, neighbour);
    this.#exchange.up(neighbour);
    this.#broadcasts.greet(neighbour);
    this.#changed();
    if (this.#cancelTick !== null) return;
    this.#tickedAt = now;
    this.#cancelTick = this.#context.clock.after(TICK, () => this.#tick());
  }

  #down(id: NodeId, reason: string): void {
    const neighbour = this.#links.neighbours.get(id);
    if (neighbour === undefined) return;
    this.#links.neighbours.delete(id);
    this.#exchange.tell();
    const { theirLink, guard: { received } } = neighbour;
    if (theirLink >= 0) {
      this.#letters.tally(id, { link: theirLink, ...received });
    }
    this.#partings.add(neighbour, reason);
    this.#changed();
  }

  #tallied(by: NodeId, tally: Tally): void {
    if (this.#partings.tallied(by, tally)) return;
    const neighbour = this.#links.neighbours.get(by);
    if (neighbour?.link === tally.link) neighbour.tally = tally;
  }

  /** Sends another way what was, or may have been, lost with a link. */
  #recover(
    guarded: Guarded,
    neighbour: Neighbour,
    reason: string,
    isLost: boolean,
  ): void {
    if (this.#closed) return;
    const { packet, lane } = guarded;
    this.#try(() => {
      const routed = readRouted(packet);
      if (routed === null) {
        this.#broadcasts.recover(guarded, neighbour, reason);
      } else if (isLost) this.#letters.detour(routed, lane, reason);
      else this.#letters.repeat(routed, lane, reason, neighbour);
    });
  }

  /** The map has changed: for what waits, that may matter. Seen to once for many changes. */
  #changed(): void {
    if (this.#isPlanned) return;
    if (this.#letters.waiting === 0 && this.#partings.size === 0) return;
    this.#isPlanned = true;
    this.#context.clock.soon(() => {
      this.#isPlanned = false;
      this.#partings.look();
      this.#letters.look();
    });
  }

  #tick(): void {
    const now = this.#context.clock.now();
    this.#cancelTick = this.#context.clock.after(TICK, () => this.#tick());
    this.#exchange.tick();
    // Who was held up itself has heard nobody, and cannot blame them.
    const isLate = now - this.#tickedAt >= 3 * TICK;
    this.#tickedAt = now;
    for (const neighbour of this.#links.open()) {
      if (isLate) neighbour.heardAt = now;
      neighbour.guard.remind();
      if (neighbour.isMute(now)) this.#mute(neighbour);
    }
    this.#broadcasts.expire();
    if (!this.#closed) this.#look();
  }

  /** A neighbour does not answer: as if the link had ended, until it does. */
  #mute(neighbour: Neighbour): void {
    const { id, guard } = neighbour;
    neighbour.isSilent = true;
    this.#exchange.tell();
    for (const guarded of guard.take()) {
      this.#recover(guarded, neighbour, `node "${id}" does not answer`, false);
    }
    this.#changed();
  }

  // -- Packets --

  #take(neighbour: Neighbour, packet: Uint8Array, lane: Lane): void {
    const { received } = neighbour.guard;
    if (kindOf(packet) === BROADCAST) {
      received[lane]++;
      return this.#broadcasts.take(neighbour.id, packet, lane);
    }
    const routed = readRouted(packet);
    if (routed !== null) {
      received[lane]++;
      return this.#letters.take(neighbour.id, routed, packet, lane);
    }
    const talk = readTalk(packet);
    if (talk === null) this.#counters.unknown++;
    else this.#listen(neighbour, talk, lane);
  }

  #listen(neighbour: Neighbour, talk: Talk, lane: Lane): void {
    switch (talk.kind) {
      case HELLO:
        return this.#exchange.hello(neighbour, talk.token, talk.link);
      case ANSWER:
        return this.#exchange.answer(neighbour, talk.token, talk.hash);
      case SUMMARY:
        return this.#exchange.summary(neighbour, talk.page);
      case ADVERTS:
        return this.#learn(neighbour, talk.adverts);
      case MARK: {
        const { number } = talk;
        this.#links.talk(neighbour.id, { kind: ACK, lane, number });
        return;
      }
      case ACK:
        return neighbour.guard.confirm(talk.lane, talk.number);
    }
  }

  #learn(neighbour: Neighbour, adverts: readonly Aged[]): void {
    try {
      for (const advert of adverts) this.#exchange.learn(neighbour, advert);
    } finally {
      this.#changed();
    }
  }

  /** Nothing that a peer sent makes the router throw. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#counters.malformed++;
    }
  }
}

/** Whether a packet on a link was for the node at its end, and for nobody behind it. */
function isFor(id: NodeId, { packet, isAlone }: Guarded): boolean {
  const routed = readRouted(packet);
  return routed === null ? isAlone : routed.path.at(-1) === id;
}
