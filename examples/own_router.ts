/**
 * A router of one's own: nodes in a line, a ring or a tree reach each other through
 * those between them. It is written against the interface `Router` alone, and the
 * chat runs over it unchanged.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/own_router.ts --name ada       # prints its cluster port
 * deno run --allow-net=127.0.0.1 examples/own_router.ts 7946 --name bob  # joins ada
 * deno run --allow-net=127.0.0.1 examples/own_router.ts 7947 --name cyd  # joins bob, and reaches ada
 * ```
 *
 * @module
 */
import {
  epochOf,
  type Lane,
  type LinkEvent,
  type NodeId,
  NodeNotFoundError,
  type Peer,
  type Router,
  type RouterContext,
  type RouterFactory,
} from "@devts/routing";
import type { Arguments, Usage } from "./_arguments.ts";
import { run } from "./_program.ts";
import { CHAT_USAGE, runChat } from "./chat.ts";

/** Time between two beacons of a node, in ms. */
const INTERVAL = 1_000;
/** A way that brought no beacon for so long is given up, in ms. */
const TIMEOUT = 3_500;
/** Packets that have passed more nodes than this go round in circles. */
const MAX_HOPS = 32;
/** Ways that are kept; more nodes are not taken up. */
const MAX_WAYS = 1_024;
/** Bytes of a packet in which its header must end. */
const MAX_HEADER = 256;

/** What a packet is: a sign of life to all, a payload to all, a payload to one. */
type Kind = "beacon" | "all" | "one";

/** The first line of a packet, as text: `one 3 42 1 ada bob`. */
interface Header {
  readonly kind: Kind;
  /** Nodes that it has passed. */
  readonly hops: number;
  /** When its origin was started: that begins its numbers anew. */
  readonly epoch: number;
  /** Rises with each packet to all of this origin and lane. */
  readonly number: number;
  readonly origin: NodeId;
  /** "*" where it goes to all. */
  readonly target: NodeId;
}

/** How this node reaches another one, and what it has seen of it. */
interface Way {
  /** The neighbour that leads there. */
  via: NodeId;
  /** The last beacon that came that way, and when. */
  beacon: Header;
  heardAt: number;
  /** The number of the last payload to all, per lane. */
  readonly seen: Record<Lane, number>;
}

/**
 * Makes the router.
 *
 * Each node sends a beacon every second, which its neighbours pass on. The neighbour
 * whose beacons of a node come first is the way to that node (as in B.A.T.M.A.N.,
 * Neumann et al. 2008). A packet to one goes from neighbour to neighbour along those
 * ways. A packet to all is passed on only by those who got it from the neighbour that
 * leads back to its origin (reverse path forwarding, Dalal and Metcalfe 1978), so it
 * reaches everyone once, rings or not. The order of packets holds as long as the ways.
 * Nodes believe what their neighbours pass on: a cluster of nodes that trust each other.
 */
export function beaconRouter(): RouterFactory {
  return (context) => new BeaconRouter(context);
}

class BeaconRouter implements Router {
  readonly #context: RouterContext;
  readonly #neighbours = new Set<NodeId>();
  readonly #ways = new Map<NodeId, Way>();
  readonly #nodes = new Set<NodeId>();
  readonly #numbers = { beacon: 0, control: 0, data: 0 };
  #cancel = (): void => {};
  #closed = false;
  readonly counters = { malformed: 0, full: 0, dropped: 0 };

  constructor(context: RouterContext) {
    this.#context = context;
    this.#tick();
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#nodes;
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#closed) return 0;
    if (to === "all") return this.#sendToAll(payload, lane);
    // All of the targets before any packet leaves: either all are known, or none is served.
    const ways = to.map((id) => {
      const way = this.#ways.get(id);
      if (way === undefined) throw new NodeNotFoundError(id);
      return { id, via: way.via };
    });
    return ways.filter(({ id, via }) =>
      this.#hand(via, write(this.#header("one", 0, id), payload), lane)
    ).length;
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (this.#closed || !this.#neighbours.has(from)) return;
    const read = readPacket(packet);
    if (read === null) {
      this.counters.malformed++;
      return;
    }
    const { header, payload } = read;
    if (header.origin === this.#context.self.id || header.hops >= MAX_HOPS) {
      return;
    }
    if (header.kind === "beacon") this.#takeBeacon(from, header);
    else if (header.kind === "all") {
      this.#takeBroadcast(from, header, payload, lane);
    } else this.#takeOne(header, payload, lane);
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    if (event.type === "up") this.#up(event.peer);
    else if (event.type === "down") this.#down(event.id);
  }

  /** Who is linked to whom is up to the user, by `join`; members change nothing. */
  member(): void {}

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#neighbours.clear();
    this.#ways.clear();
    this.#nodes.clear();
  }

  // -- Ways --

  #tick(): void {
    const { clock } = this.#context;
    for (const [id, { heardAt }] of this.#ways) {
      if (clock.now() - heardAt >= TIMEOUT) this.#forget(id);
    }
    this.#pass(
      write(this.#header("beacon", ++this.#numbers.beacon)),
      "control",
    );
    this.#cancel = clock.after(INTERVAL, () => this.#tick());
  }

  /** Neither this node nor a new neighbour waits for the next beacons. */
  #up({ id, incarnation }: Peer): void {
    this.#neighbours.add(id);
    const epoch = epochOf(incarnation);
    const last = this.#ways.get(id)?.beacon;
    const number = last?.epoch === epoch ? last.number : 0;
    this.#takeBeacon(id, {
      kind: "beacon",
      hops: 0,
      epoch,
      number,
      origin: id,
      target: "*",
    });
    for (const { beacon, via } of this.#ways.values()) {
      if (via !== id) this.#hand(id, write(further(beacon)), "control");
    }
  }

  #down(id: NodeId): void {
    this.#neighbours.delete(id);
    for (const [target, { via }] of this.#ways) {
      if (via === id) this.#forget(target);
    }
  }

  #takeBeacon(from: NodeId, beacon: Header): void {
    const way = this.#ways.get(beacon.origin);
    if (way === undefined) {
      if (!this.#learn(from, beacon)) return;
    } else {
      if (!isBetter(from, beacon, way)) return;
      if (beacon.epoch !== way.beacon.epoch) {
        way.seen.control = way.seen.data = 0;
      }
      way.via = from;
      way.beacon = beacon;
      way.heardAt = this.#context.clock.now();
    }
    this.#pass(write(further(beacon)), "control", from);
  }

  #learn(from: NodeId, beacon: Header): boolean {
    if (this.#ways.size >= MAX_WAYS) {
      this.counters.full++;
      return false;
    }
    const heardAt = this.#context.clock.now();
    this.#ways.set(beacon.origin, {
      via: from,
      beacon,
      heardAt,
      seen: { control: 0, data: 0 },
    });
    this.#nodes.add(beacon.origin);
    return true;
  }

  #forget(id: NodeId): void {
    this.#ways.delete(id);
    this.#nodes.delete(id);
  }

  // -- Payloads --

  #sendToAll(payload: Uint8Array, lane: Lane): number {
    const taken = this.#pass(
      write(this.#header("all", ++this.#numbers[lane]), payload),
      lane,
    );
    return this.#ways.values().filter(({ via }) => taken.has(via)).toArray()
      .length;
  }

  #takeBroadcast(
    from: NodeId,
    header: Header,
    payload: Uint8Array,
    lane: Lane,
  ): void {
    const way = this.#ways.get(header.origin);
    if (way?.via !== from || header.epoch !== way.beacon.epoch) {
      return;
    }
    // Where the way has just changed, the same packet may come along both.
    if (header.number <= way.seen[lane]) return;
    way.seen[lane] = header.number;
    this.#pass(write(further(header), payload), lane, from);
    this.#context.up.deliver(header.origin, payload);
  }

  #takeOne(header: Header, payload: Uint8Array, lane: Lane): void {
    const { self, up } = this.#context;
    const { origin, target } = header;
    if (target === self.id) return up.deliver(origin, payload);
    const via = this.#ways.get(target)?.via;
    if (
      via !== undefined &&
      this.#hand(via, write(further(header), payload), lane)
    ) return;
    up.undelivered(
      target,
      payload.subarray(0, 64),
      self.id,
      "no way, or no room on it",
    );
  }

  /** Hands a packet to every neighbour but the one it came from; returns who took it. */
  #pass(packet: Uint8Array, lane: Lane, except?: NodeId): Set<NodeId> {
    const others = this.#neighbours.values().filter((id) => id !== except);
    return new Set(others.filter((id) => this.#hand(id, packet, lane)));
  }

  /** A router never waits: what a link has no room for is dropped and counted. */
  #hand(id: NodeId, packet: Uint8Array, lane: Lane): boolean {
    const taken = this.#context.links.send(id, packet, lane);
    if (!taken) this.counters.dropped++;
    return taken;
  }

  #header(kind: Kind, number: number, target: NodeId = "*"): Header {
    const { id, incarnation } = this.#context.self;
    return {
      kind,
      hops: 0,
      epoch: epochOf(incarnation),
      number,
      origin: id,
      target,
    };
  }
}

/**
 * Only what is newer counts, or beacons could go in circles for ever. The way stays
 * with its neighbour unless another is nearer: packets that take turns on two ways
 * would overtake each other.
 */
function isBetter(
  from: NodeId,
  beacon: Header,
  { via, beacon: last }: Way,
): boolean {
  if (beacon.epoch !== last.epoch) {
    return beacon.epoch > last.epoch;
  }
  if (via === from) return beacon.number > last.number;
  return beacon.number >= last.number && beacon.hops < last.hops;
}

function further(header: Header): Header {
  return { ...header, hops: header.hops + 1 };
}

function write(
  header: Header,
  payload: Uint8Array = new Uint8Array(),
): Uint8Array {
  const { kind, hops, epoch, number, origin, target } = header;
  const line = `${kind} ${hops} ${epoch} ${number} ${origin} ${target}\n`;
  const head = new TextEncoder().encode(line);
  const packet = new Uint8Array(head.length + payload.length);
  packet.set(head);
  packet.set(payload, head.length);
  return packet;
}

/** An id has no spaces, so a line that fits this pattern can be taken apart at its spaces. */
const HEADER =
  /^(beacon|all|one) (\d{1,2}) (\d{1,16}) (\d{1,15}) ([\x21-\x7e]{1,64}) ([\x21-\x7e]{1,64})$/;

function readPacket(
  packet: Uint8Array,
): { header: Header; payload: Uint8Array } | null {
  const end = packet.subarray(0, MAX_HEADER).indexOf(0x0a);
  if (end < 0) return null;
  const match = HEADER.exec(
    new TextDecoder("latin1").decode(packet.subarray(0, end)),
  );
  if (match === null) return null;
  const [, kind, hops, epoch, number, origin = "", target = ""] = match;
  if (kind !== "beacon" && kind !== "all" && kind !== "one") return null;
  const header: Header = {
    kind,
    hops: Number(hops),
    epoch: Number(epoch),
    number: Number(number),
    origin,
    target,
  };
  return { header, payload: packet.subarray(end + 1) };
}

const USAGE: Usage = {
  ...CHAT_USAGE,
  synopsis: "own_router.ts [cluster port]",
  about:
    `${CHAT_USAGE.about}\nIts router is one of its own: nodes reach each other through others.`,
};

async function main(args: Arguments): Promise<void> {
  await runChat(args, { router: beaconRouter() });
}

if (import.meta.main) await run(USAGE, main);
