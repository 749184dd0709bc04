/**
 * The router that searches for a way when it needs one, and then keeps to it.
 *
 * ```ts
 * import { pathRouter } from "@devts/routing/path";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * for (const id of ["ada", "bob", "cyd"]) network.add(id, { router: pathRouter() });
 * network.connect("ada", "bob");
 * network.connect("bob", "cyd");
 * network.clock.tick(10);
 *
 * network.node("ada").send(["cyd"], new Uint8Array([1, 2, 3]));
 * network.clock.tick(10);
 *
 * assertEquals(network.node("cyd").delivered, [
 *   { from: "ada", payload: new Uint8Array([1, 2, 3]) },
 * ]);
 * ```
 *
 * @module
 */

import { sendToEach } from "./_each.ts";
import { MalformedError, orNull, Reader, Writer } from "./_bytes.ts";
import { LINKS } from "./_dialer.ts";
import { IdMap } from "./_id_map.ts";
import { readStamp, type Stamp, writeStamp } from "./_order_stamp.ts";
import { readId } from "./_peer_codec.ts";
import {
  type Flooded,
  inRange,
  joined,
  OWN_KIND,
  Relay,
  TTL,
} from "./_relay.ts";
import { type Hops, Routes } from "./_routes.ts";
import type {
  ExplainingRouter,
  KnownNetwork,
  MappingRouter,
  RouteExplanation,
} from "./explain.ts";
import type {
  Counted,
  Inspected,
  InspectingRouter,
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
  SelectiveRouter,
} from "./types.ts";

/**
 * Kinds of packets. A routed one: the nodes in between, the stamp, the payload. An
 * answer: the same without a payload. A request: a flood, then the nodes that it passed.
 */
const ROUTED = OWN_KIND;
const ANSWER = OWN_KIND + 1;
const REQUEST = OWN_KIND + 2;

/** How far the rings of a search reach, in links. */
const RINGS = [2, 4, 8, 16] as const;
/** The longest way, in nodes in between. */
const MAX_HOPS = 15;
/** How long a search waits for each link of its ring, there and back, and for the last ring, in ms. */
const WAIT = 50;
const LAST_WAIT = 2000;
/** Searches at the same time. */
const MAX_SEARCHES = 8;
/** What waits for a way: packets for one node, and bytes in all. */
const MAX_QUEUE = 256;
const MAX_QUEUE_BYTES = 4 * 1024 * 1024;
/** Answers to one request, by as many ways. */
const MAX_ANSWERS = 3;
/** Nodes whose last request is remembered. */
const MAX_ASKERS = 1024;
/** Time between two answers to the same node that looks at the whole network, in ms. */
const DISCOVER_INTERVAL = 1000;
/** `discover` is over when nothing new came for this long, and in any case, in ms. */
const DISCOVER_QUIET = 500;
const DISCOVER_TIMEOUT = 5000;

/** Options of {@linkcode pathRouter}. */
export interface PathRouterOptions {
  /**
   * How many links a node is to have: 0 to 256. While it has fewer, it dials members;
   * with 0 it dials nobody.
   *
   * @default {3}
   */
  readonly links?: number;
}

/** A router that keeps ways to other nodes. */
export interface PathRouter extends ExplainingRouter, MappingRouter, Counted {
  /**
   * The ways to a node that are known at present, shortest first, at most three: each
   * the ids of the nodes in between, in order.
   */
  ways(to: NodeId): readonly (readonly NodeId[])[];
  /**
   * Asks all nodes within 16 links for a way to them, by one flood. For whom wants to
   * see the whole network; `send` finds its ways itself.
   *
   * @returns Resolves to the nodes that answered and the shortest way to each, once
   * nothing new has come for 0.5 s, and after 5 s at most.
   */
  discover(): Promise<ReadonlyMap<NodeId, readonly NodeId[]>>;
  /** The nodes within reach, and the links of this node and of the ways that it knows. */
  topology(): KnownNetwork;
}

/** Makes a {@linkcode PathRouter} for one node. */
export type PathRouterFactory = (context: RouterContext) => PathRouter;

/**
 * Makes routers that search for the way to a node when something is to be sent there,
 * and write the nodes in between into each packet: source routes on demand, as in DSR
 * (Johnson and Maltz, 1996; RFC 4728). Made for networks of up to some hundred nodes
 * that cannot all reach each other, and where each node talks to few others.
 *
 * - **Search.** A request is flooded within 2 links, then within 4, 8 and 16, until
 *   there is an answer; that takes 2.7 s at most. What is sent meanwhile waits: 256 packets
 *   for one node, 4 MiB in all; eight searches run at once. Without an answer all of that
 *   is `undelivered`. Those who pass a request on learn the way back to who asks. What is
 *   sent in the control lane does not wait, but is flooded until there is a way.
 * - **Ways.** Up to three are kept to each node, shortest first. One is forgotten when
 *   a link of it ends, which is flooded; when nothing on it is acknowledged in 5 s, so are
 *   those that share a node in between with it. Then the next one is used.
 * - **Cost.** A unicast takes as many packets as its way has links, and a search as many
 *   as a flood within its ring. A broadcast is a flood: with E links between N nodes at
 *   most 2E − (N − 1) packets. A packet has about 100 bytes in front of the payload and 34
 *   for each node in between, with ids of 32 characters. Relays hand on the bytes that
 *   they got.
 * - **Loops** are impossible: no node stands in a way twice, and each checks that the
 *   packet came from the one before it.
 * - **Nodes**, order, receipts, links and memory are as with `hopRouter`; besides, the
 *   ways to 4,096 nodes: up to 2 KiB each for the longest.
 *
 * Its `counters` are those of `hopRouter`, and `unfound` (searches without an answer).
 *
 * @example All ways out of a node
 * ```ts
 * import { type PathRouter, pathRouter } from "@devts/routing/path";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const routers: PathRouter[] = [];
 * for (const id of ["ada", "bob", "cyd"]) {
 *   network.add(id, {
 *     router: (context) => {
 *       const router = pathRouter()(context);
 *       routers.push(router);
 *       return router;
 *     },
 *   });
 * }
 * network.connect("ada", "bob");
 * network.connect("bob", "cyd");
 * network.clock.tick(10);
 *
 * const ways = routers[0]?.discover();
 * network.clock.tick(1000);
 * assertEquals(await ways, new Map([["bob", []], ["cyd", ["bob"]]]));
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function pathRouter(
  options: PathRouterOptions = {},
): PathRouterFactory {
  const links = inRange("links of", options.links ?? LINKS, 0, 256);
  return (context) => new SourceRouter(context, links);
}

/** A payload that waits for a way. */
interface Waiting {
  readonly stamp: Stamp;
  readonly payload: Uint8Array;
}

/** A search for a way to a node. */
interface Search {
  readonly queue: Waiting[];
  /** The ring that is being searched; -1: its turn has not come. */
  ring: number;
  cancel: () => void;
}

/** The last request of a node that was for this one. */
interface Asked {
  readonly number: number;
  /** When it last looked at the whole network. */
  readonly allAt: number;
  answers: number;
}

/** A look at the whole network. */
interface Discovery {
  readonly found: Map<NodeId, Hops>;
  readonly promise: Promise<ReadonlyMap<NodeId, Hops>>;
  readonly finish: () => void;
  cancelQuiet: () => void;
  readonly cancelTimeout: () => void;
}

class SourceRouter implements PathRouter, InspectingRouter, SelectiveRouter {
  readonly #context: RouterContext;
  readonly #self: NodeId;
  readonly #relay: Relay;
  readonly #routes: Routes;
  readonly #searches = new IdMap<Search>();
  #running = 0;
  #queuedBytes = 0;
  readonly #asked = new IdMap<Asked>();
  #discovery: Discovery | null = null;
  #unfound = 0;

  constructor(context: RouterContext, links: number) {
    this.#context = context;
    this.#self = context.self.id;
    this.#routes = new Routes(this.#self);
    this.#relay = new Relay(context, {
      ttl: TTL,
      links,
      single: true,
      receive: (kind, from, packet, lane) =>
        this.#receive(kind, from, packet, lane),
      broken: (from, to) => this.#routes.broken(from, to),
      silent: (id) => this.#routes.failed(id),
      gone: (id) => this.#gone(id),
    });
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#relay.presence.nodes;
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#relay.counters, unfound: this.#unfound };
  }

  ways(to: NodeId): readonly Hops[] {
    if (this.#relay.presence.neighbours.has(to)) return [[]];
    return this.#routes.to(to);
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#relay.closed) return 0;
    if (to === "all") return this.#relay.broadcast(payload, lane);
    return sendToEach(to, this.nodes, (id) => this.#unicast(id, payload, lane));
  }

  /** A flood takes a packet for each node at least, a search about as many. */
  prefersEach(to: readonly NodeId[]): boolean {
    let packets = 0;
    for (const id of to) {
      const [hops] = this.ways(id);
      if (hops === undefined) return false;
      packets += hops.length + 1;
    }
    return packets < this.nodes.size;
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    this.#relay.receive(from, packet, lane);
  }

  inspect(by: NodeId, packet: Uint8Array): Inspected | null {
    return orNull(() =>
      packet[0] === undefined || packet[0] < OWN_KIND
        ? this.#relay.inspect(by, packet)
        : inspectOwn(packet)
    );
  }

  link(event: LinkEvent): void {
    if (this.#relay.closed) return;
    if (event.type === "down") this.#routes.broken(this.#self, event.id);
    this.#relay.link(event);
    if (event.type === "up") this.#found(event.peer.id);
  }

  member(event: MemberEvent): void {
    this.#relay.member(event);
  }

  explain(target: NodeId): RouteExplanation {
    const explained = this.#relay.explain(target);
    if (explained.how !== "flood") return explained;
    const ways = this.ways(target).map((hops) => ({
      nodes: [this.#self, ...hops, target],
      isWhole: true,
    }));
    if (ways.length > 0) {
      const why = ways.length === 1
        ? "the only known way"
        : `the shortest of ${ways.length} known ways`;
      return { how: "route", why, ways };
    }
    const queue = this.#searches.get(target)?.queue;
    const why = queue === undefined
      ? "no way to it is known: what is sent waits for a search of 2.7 s at most"
      : `a search for a way to it is under way, payloads that wait: ${queue.length}`;
    return { how: "wait", why, ways: [] };
  }

  topology(): KnownNetwork {
    const { nodes, neighbours } = this.#relay.presence;
    const own = [...neighbours].map((id) =>
      this.#self < id ? { a: this.#self, b: id } : { a: id, b: this.#self }
    );
    const others = this.#routes.links()
      .filter(({ a, b }) => a !== this.#self && b !== this.#self);
    return { nodes: [this.#self, ...nodes], links: [...own, ...others] };
  }

  discover(): Promise<ReadonlyMap<NodeId, Hops>> {
    if (this.#relay.closed) return Promise.resolve(new Map());
    this.#discovery ??= this.#lookAround();
    return this.#discovery.promise;
  }

  close(): void {
    for (const { cancel } of this.#searches.values()) cancel();
    this.#searches.clear();
    this.#discovery?.finish();
    this.#relay.close();
    this.#routes.clear();
    this.#asked.clear();
  }

  // -- Unicasts --

  #unicast(to: NodeId, payload: Uint8Array, lane: Lane): boolean {
    const search = this.#searches.get(to);
    if (search === undefined) {
      const [hops] = this.ways(to);
      if (hops !== undefined) {
        return this.#transmit(this.#relay.order.next(to, lane), payload, hops);
      }
    }
    if (lane === "data") {
      return this.#enqueue(search ?? newSearch(), to, payload);
    }
    // Probes do not wait for a way, but the next ones will use it.
    if (this.#running < MAX_SEARCHES) this.#search(to, search ?? newSearch());
    return this.#relay.unicast(to, payload, lane);
  }

  #transmit(stamp: Stamp, payload: Uint8Array, hops: Hops): boolean {
    const next = hops[0] ?? stamp.to;
    if (next === null) return false;
    const packet = joined(routedHeader(ROUTED, hops, stamp), payload);
    if (!this.#relay.hand(next, packet, stamp)) return false;
    this.#relay.receipts.sent(stamp, payload);
    return true;
  }

  #enqueue(search: Search, to: NodeId, payload: Uint8Array): boolean {
    const isFull = search.queue.length >= MAX_QUEUE ||
      this.#queuedBytes + payload.length > MAX_QUEUE_BYTES;
    if (isFull) {
      this.#relay.count("dropped");
      return false;
    }
    this.#queuedBytes += payload.length;
    search.queue.push({ stamp: this.#relay.order.next(to, "data"), payload });
    this.#search(to, search);
    return true;
  }

  #search(to: NodeId, search: Search): void {
    if (this.#searches.has(to)) return;
    this.#searches.set(to, search);
    if (this.#running < MAX_SEARCHES) this.#widen(to, search);
  }

  /** Searches the next ring; behind the last one there is nobody. */
  #widen(to: NodeId, search: Search): void {
    if (search.ring < 0) this.#running++;
    search.ring++;
    const ttl = RINGS[search.ring];
    if (ttl === undefined) return this.#fail(to, search, "no way was found");
    this.#ask(to, ttl);
    const isLast = search.ring === RINGS.length - 1;
    search.cancel = this.#context.clock.after(
      isLast ? LAST_WAIT : WAIT * ttl,
      () => this.#widen(to, search),
    );
  }

  #fail(to: NodeId, search: Search, reason: string): void {
    this.#unfound++;
    for (const { stamp, payload } of this.#end(to, search)) {
      this.#relay.fail(stamp, payload, reason);
    }
    this.#relay.presence.silent(to);
  }

  /** There is a way to a node: what waited for it leaves. */
  #found(to: NodeId): void {
    const search = this.#searches.get(to);
    if (search === undefined) return;
    for (const { stamp, payload } of this.#end(to, search)) {
      const [hops] = this.ways(to);
      if (hops !== undefined && this.#transmit(stamp, payload, hops)) continue;
      this.#relay.fail(stamp, payload, "its link had no room");
    }
  }

  #end(to: NodeId, search: Search): readonly Waiting[] {
    search.cancel();
    this.#searches.delete(to);
    for (const { payload } of search.queue) {
      this.#queuedBytes -= payload.length;
    }
    if (search.ring >= 0) this.#running--;
    for (const [id, other] of [...this.#searches]) {
      if (this.#running >= MAX_SEARCHES) break;
      if (other.ring < 0) this.#widen(id, other);
    }
    return search.queue;
  }

  #gone(id: NodeId): void {
    this.#routes.forget(id);
    const search = this.#searches.get(id);
    if (search !== undefined) this.#fail(id, search, "it was not found");
  }

  // -- Packets in --

  #receive(kind: number, from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (kind === REQUEST) this.#takeRequest(from, packet, lane);
    else if (kind === ROUTED || kind === ANSWER) {
      this.#takeRouted(kind, from, packet, lane);
    } else this.#relay.count("strange");
  }

  #takeRouted(
    kind: number,
    from: NodeId,
    packet: Uint8Array,
    lane: Lane,
  ): void {
    const reader = new Reader(packet);
    reader.u8();
    const hops = readHops(reader);
    const stamp = readStamp(reader);
    const { to, origin } = stamp;
    if (to === null || stamp.lane !== lane) {
      throw new MalformedError(
        "A routed packet has no target, or a wrong lane",
      );
    }
    const way = [origin, ...hops, to];
    if (new Set(way).size < way.length) return this.#relay.count("looped");
    const at = way.indexOf(this.#self);
    if (at < 1 || way[at - 1] !== from) return this.#relay.count("strange");
    const next = way[at + 1];
    if (next !== undefined) {
      if (kind === ANSWER) {
        // A leaf answers by the way that it was asked, which leads on from here.
        const rest = hops.slice(at);
        const isMadeUp = this.#relay.isLeaf(from) && !this.#knows(to, rest);
        if (isMadeUp) return this.#relay.count("strange");
        this.#learnBoth(stamp, hops, at);
      }
      return this.#handOn(next, packet, stamp);
    }
    if (!this.#relay.accepts(stamp, from)) return;
    this.#learn(origin, hops.toReversed());
    if (kind === ANSWER) this.#relay.order.learn(stamp);
    else this.#relay.deliver(stamp, reader.rest());
  }

  #knows(to: NodeId, rest: Hops): boolean {
    return this.ways(to).some((hops) =>
      hops.length === rest.length && hops.every((id, i) => id === rest[i])
    );
  }

  /** An answer passes: it shows the way to both of its ends. */
  #learnBoth({ origin, to }: Stamp, hops: Hops, at: number): void {
    this.#learn(origin, hops.slice(0, at - 1).reverse());
    if (to !== null) this.#learn(to, hops.slice(at));
  }

  /** The bytes leave as they came. */
  #handOn(next: NodeId, packet: Uint8Array, stamp: Stamp): void {
    if (this.#relay.presence.neighbours.has(next)) {
      this.#relay.hand(next, packet, stamp);
      return;
    }
    this.#relay.count("dropped");
    this.#relay.drop(stamp, "there was no link any more", next);
  }

  #learn(target: NodeId, hops: Hops): void {
    const { neighbours } = this.#relay.presence;
    // Others may know a way through this node that is there no more.
    if (!this.nodes.has(target) || !neighbours.has(hops[0] ?? target)) return;
    if (!neighbours.has(target)) this.#routes.learn(target, hops);
    this.#found(target);
    this.#note(target, neighbours.has(target) ? [] : hops);
  }

  // -- Requests --

  #ask(to: NodeId | null, ttl: number): void {
    const stamp = this.#relay.order.next(to, "control");
    this.#relay.flood(REQUEST, stamp, writeHops(new Writer(), []).take(), ttl);
  }

  #takeRequest(from: NodeId, packet: Uint8Array, lane: Lane): void {
    const flooded = this.#relay.readFlood(packet, lane);
    if (flooded === null) return;
    const { stamp, reader } = flooded;
    const { origin, to } = stamp;
    const hops = readHops(reader);
    reader.end();
    const way = [origin, ...hops];
    if (way.at(-1) !== from) return this.#relay.count("strange");
    const isFirst = this.#relay.isFirst(flooded, from);
    if (!isFirst && to !== this.#self) return;
    if (way.includes(this.#self) || new Set(way).size < way.length) {
      return this.#relay.count("looped");
    }
    if (to === this.#self || to === null) this.#answer(flooded, hops);
    if (!isFirst) return;
    this.#relay.order.learn(stamp);
    this.#learn(origin, hops.toReversed());
    if (to === this.#self || hops.length === MAX_HOPS) return;
    const body = writeHops(new Writer(), [...hops, this.#self]).take();
    this.#relay.passOn(flooded, body, from);
  }

  /** Answers a request along the way that it came. */
  #answer({ number, stamp: { origin, to } }: Flooded, hops: Hops): void {
    if (!this.#mayAnswer(origin, number, to === null)) return;
    const back = hops.toReversed();
    const stamp = this.#relay.order.next(origin, "control");
    const packet = routedHeader(ANSWER, back, stamp);
    this.#relay.hand(back[0] ?? origin, packet, stamp);
  }

  #mayAnswer(origin: NodeId, number: number, toAll: boolean): boolean {
    const now = this.#context.clock.now();
    const asked = this.#asked.get(origin);
    if (asked?.number === number) return asked.answers++ < MAX_ANSWERS - 1;
    const allAt = asked?.allAt ?? -Infinity;
    if (toAll && now - allAt < DISCOVER_INTERVAL) return false;
    if (asked === undefined && this.#asked.size >= MAX_ASKERS) {
      this.#asked.clear();
    }
    const last = { number, answers: 0, allAt: toAll ? now : allAt };
    this.#asked.set(origin, last);
    return true;
  }

  // -- Discovery --

  #lookAround(): Discovery {
    const { clock } = this.#context;
    const found = new Map<NodeId, Hops>();
    const { promise, resolve } = Promise.withResolvers<
      ReadonlyMap<NodeId, Hops>
    >();
    const finish = (): void => {
      discovery.cancelQuiet();
      discovery.cancelTimeout();
      this.#discovery = null;
      resolve(found);
    };
    const discovery: Discovery = {
      found,
      promise,
      finish,
      cancelQuiet: clock.after(DISCOVER_QUIET, finish),
      cancelTimeout: clock.after(DISCOVER_TIMEOUT, finish),
    };
    this.#ask(null, MAX_HOPS + 1);
    return discovery;
  }

  /** A node has answered. */
  #note(target: NodeId, hops: Hops): void {
    const discovery = this.#discovery;
    if (discovery === null) return;
    const known = discovery.found.get(target);
    if (known !== undefined && known.length <= hops.length) return;
    discovery.found.set(target, hops);
    discovery.cancelQuiet();
    discovery.cancelQuiet = this.#context.clock.after(
      DISCOVER_QUIET,
      discovery.finish,
    );
  }
}

function newSearch(): Search {
  return { queue: [], ring: -1, cancel: nothing };
}

/** Reads a packet of this router's own kinds, and changes nothing. */
function inspectOwn(packet: Uint8Array): Inspected | null {
  const reader = new Reader(packet);
  const kind = reader.u8();
  if (kind === REQUEST) {
    reader.u8();
    reader.u53();
    const { origin, to } = readStamp(reader);
    // Who asks has passed nobody yet.
    const own = readHops(reader).length === 0 ? packet : null;
    return { origin, to, payload: null, own };
  }
  if (kind !== ROUTED && kind !== ANSWER) return null;
  readHops(reader);
  const { origin, to } = readStamp(reader);
  const payload = kind === ROUTED ? reader.rest() : null;
  return { origin, to, payload, own: packet };
}

function routedHeader(kind: number, hops: Hops, stamp: Stamp): Uint8Array {
  const writer = writeHops(new Writer().u8(kind), hops);
  writeStamp(writer, stamp);
  return writer.take();
}

function writeHops(writer: Writer, hops: Hops): Writer {
  writer.u8(hops.length);
  for (const id of hops) writer.string(id);
  return writer;
}

function readHops(reader: Reader): NodeId[] {
  const count = reader.u8();
  if (count > MAX_HOPS) {
    throw new MalformedError(`A way has ${count} nodes in between`);
  }
  const hops: NodeId[] = [];
  for (let i = 0; i < count; i++) hops.push(readId(reader));
  return hops;
}

function nothing(): void {}
