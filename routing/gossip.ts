/**
 * The router of large networks: a handful of links for each node, whatever their number.
 *
 * ```ts
 * import { gossipRouter } from "@devts/routing/gossip";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * for (const id of ["ada", "bob", "cyd"]) network.add(id, { router: gossipRouter() });
 * network.connect("ada", "bob");
 * network.connect("bob", "cyd");
 * network.clock.tick(100);
 *
 * network.node("ada").send("all", new Uint8Array([1, 2, 3]));
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
import { Durations } from "./_durations.ts";
import { inspectPacket } from "./_gossip_inspect.ts";
import { BEATS, GOSSIP, PING, PONG } from "./_gossip_packets.ts";
import { Beats } from "./_gossip_presence.ts";
import { Unicasts } from "./_gossip_unicasts.ts";
import { Views } from "./_hyparview.ts";
import { IdMap } from "./_id_map.ts";
import { Order } from "./_order.ts";
import { readStamp, writeStamp } from "./_order_stamp.ts";
import { Plumtree } from "./_plumtree.ts";
import { inRange, joined } from "./_relay.ts";
import type { ExplainingRouter, RouteExplanation, Way } from "./explain.ts";
import type {
  Counted,
  Inspected,
  InspectingRouter,
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
  RouterFactory,
} from "./types.ts";

/** Neighbours that a node dials for, unless told otherwise. */
const LINKS = 5;
/** Time between two measurements of the round trip to a neighbour, in ms. */
const PING_INTERVAL = 5000;
/** A round trip as long as none was measured, and the least that is counted on, in ms. */
const UNKNOWN = 100;
const MIN_ROUND_TRIP = 5;
/** Measurements without an answer after which a link is ended. */
const MAX_UNANSWERED = 4;

/** Options of {@linkcode gossipRouter}. */
export interface GossipRouterOptions {
  /**
   * How many neighbours a node is to have: 0 to 32. While it has fewer, it dials members;
   * one more is let in; of more than that it ends links that are not needed. With 0 it
   * dials nobody. The survivors of a crash stay connected as long as there is a way left:
   * more links make that likelier, and cost one name more for each broadcast.
   *
   * @default {5}
   */
  readonly links?: number;
}

/**
 * Makes routers for hundreds or thousands of nodes: each has a handful of neighbours
 * (HyParView, Leitão, Pereira and Rodrigues, 2007), along a tree of which broadcasts go
 * (Plumtree, by the same).
 *
 * - **Neighbours.** A node dials members while it has fewer than five; a sixth is let
 *   in. Links that the program opened are used as they are, but of more than six those end
 *   whose ends have a neighbour in common: a node is never cut off that way. 30
 *   members, exchanged at random each minute, stand by. A neighbour that answers nothing
 *   for 20 s is dropped.
 * - **Broadcasts** reach everyone to whom there is a way: along a tree, and where that is
 *   broken, after three round trips (95th percentile, measured) by a neighbour that told
 *   of it. A link is taken out of the tree after two duplicates in a row. Payloads stay
 *   for 30 s, or 16 MiB of them, for those who ask.
 * - **Unicasts** go back the way that their target was heard. Where none is known, a
 *   search floods the network for one, for up to 2 s; eight run at once. Then all that
 *   waited is `undelivered`. In the control lane nothing waits.
 * - **Cost.** With E links between N nodes, a broadcast takes N − 1 packets with the
 *   payload once a tree has formed, which takes two to three broadcasts of each 2E −
 *   (N − 1), and as many small packets with its name, up to 128 in one, along all other
 *   links. A unicast takes the links of its way; a search 2E − (N − 1) packets of
 *   60 bytes. In front of a payload stand about 70 bytes with ids of 32 characters. Each
 *   node tells that it is there every 15 s, or where there are more than 500 nodes,
 *   every 30 ms for each: for each link 46 bytes, those of many nodes in one packet.
 * - **Nodes** are those who have been heard in the last 50 s (more, of more than 500 nodes).
 * - **Once, in order**, and receipts are as with `hopRouter`.
 * - **Memory.** For each origin about 1 KiB for order and 200 bytes for its way;
 *   65,536 names of broadcasts, 90 s each; 16 MiB of their payloads; 4,096 that are missed;
 *   4 MiB, 256 packets for one node, that wait for a search.
 *
 * Its `counters` are those of `hopRouter`, and `refused` (links that were not
 * wanted), `grafts`, `prunes`, `unannounced` and `unfetched` (names for which there was
 * no room, or that nobody could make good), `searches` and `unfound` (those without an answer).
 *
 * @example Two more links for each node
 * ```ts
 * import { gossipRouter } from "@devts/routing/gossip";
 * import type { RouterFactory } from "@devts/routing";
 *
 * const router: RouterFactory = gossipRouter({ links: 7 });
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function gossipRouter(options: GossipRouterOptions = {}): RouterFactory {
  const links = inRange("links of", options.links ?? LINKS, 0, 32);
  return (context) => new GossipRouter(context, links);
}

/** A measurement: its number, when it began, and how many before it had no answer. */
interface Measured {
  number: number;
  sentAt: number;
  unanswered: number;
  /** The last answer took so many ms. */
  roundTrip?: number;
}

class GossipRouter implements ExplainingRouter, InspectingRouter, Counted {
  readonly #context: RouterContext;
  readonly #order: Order;
  readonly #views: Views;
  readonly #tree: Plumtree;
  readonly #beats: Beats;
  readonly #unicasts: Unicasts;
  readonly #roundTrips = new Durations(UNKNOWN);
  readonly #measured = new IdMap<Measured>();
  #cancelPing: (() => void) | null = null;
  #closed = false;
  readonly #counts = {
    dropped: 0,
    malformed: 0,
    strange: 0,
    looped: 0,
    expired: 0,
    lost: 0,
  };

  constructor(context: RouterContext, links: number) {
    this.#context = context;
    const send = (to: NodeId, packet: Uint8Array): boolean =>
      this.#send(to, packet, "control");
    this.#order = new Order(context);
    this.#views = new Views(context, links, {
      send,
      linked: (id) => this.#beats.heard(id, id),
      up: (id) => this.#up(id),
      down: (id) => this.#down(id),
      ended: (id) => this.#beats.down(id),
      strange: () => this.#counts.strange++,
    });
    const neighbours = this.#views.active;
    this.#tree = new Plumtree({
      clock: context.clock,
      roundTrip: () => Math.max(MIN_ROUND_TRIP, this.#roundTrips.p95),
      send: (to, packet, lane) => this.#send(to, packet, lane),
    });
    this.#beats = new Beats(context, neighbours, {
      send,
      isMember: (id) => this.#views.isMember(id),
      isLinked: (id) => this.#views.isLinked(id),
      found: (id) => this.#unicasts.found(id),
      gone: (id, reason) => this.#unicasts.gone(id, reason),
    });
    this.#unicasts = new Unicasts(context, {
      order: this.#order,
      beats: this.#beats,
      neighbours,
      count: (kind) => this.#counts[kind]++,
    });
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#beats.nodes;
  }

  get counters(): Readonly<Record<string, number>> {
    const { absurd, unknown } = this.#beats.counters;
    return {
      ...this.#order.counters,
      ...this.#views.counters,
      ...this.#tree.counters,
      ...this.#unicasts.counters,
      ...this.#unicasts.receipts.counters,
      ...this.#counts,
      absurd: this.#order.counters.absurd + absurd,
      unknown,
    };
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#closed) return 0;
    if (to === "all") return this.#broadcast(payload, lane);
    return sendToEach(
      to,
      this.nodes,
      (id) => this.#unicasts.send(id, payload, lane),
    );
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (this.#closed) return;
    try {
      if (this.#views.isLinked(from) && this.#read(from, packet, lane)) return;
      this.#counts.strange++;
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#counts.malformed++;
    }
  }

  inspect(by: NodeId, packet: Uint8Array): Inspected | null {
    return orNull(() => inspectPacket(by, packet));
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    this.#order.link(event);
    this.#views.link(event);
  }

  member(event: MemberEvent): void {
    if (this.#closed) return;
    this.#order.member(event);
    this.#views.member(event);
    const { type, member: { id } } = event;
    if (type !== "leave" || event.reason === "restarted") return;
    if (this.#views.active.has(id)) return;
    this.#beats.forget(id, `it is gone: ${event.reason}`);
  }

  explain(target: NodeId): RouteExplanation {
    const via = this.#beats.via(target);
    if (via === target) {
      const ways = [this.#way(via, target)];
      return { how: "link", why: "there is a link to it", ways };
    }
    if (via !== undefined) {
      const why = `its latest sign of life came through "${via}"`;
      return { how: "next-hop", why, ways: [this.#way(via, target)] };
    }
    if (!this.nodes.has(target)) {
      const why = this.#views.active.size === 0
        ? "this node has no links"
        : "nothing has been heard of it, or not for long";
      return { how: "none", why, ways: [] };
    }
    const why =
      "the link through which it was heard has ended, what is sent waits for a search of 2 s at most";
    return { how: "wait", why, ways: [] };
  }

  #way(via: NodeId, target: NodeId): Way {
    const { roundTrip } = this.#measured.get(via) ?? {};
    const self = this.#context.self.id;
    return {
      nodes: via === target ? [self, target] : [self, via, target],
      isWhole: via === target,
      ...(roundTrip === undefined ? {} : { roundTrip }),
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancelPing?.();
    this.#views.close();
    this.#tree.close();
    this.#beats.close();
    this.#unicasts.close();
    this.#order.close();
  }

  // -- Broadcasts --

  #broadcast(payload: Uint8Array, lane: Lane): number {
    const { nodes } = this;
    if (this.#views.active.size === 0) return 0;
    const stamp = this.#order.next(null, lane);
    const writer = new Writer().u8(GOSSIP);
    writeStamp(writer, stamp);
    const packet = joined(writer.take(), payload);
    const taken = this.#tree.push(stamp, packet, null);
    return taken.length > 0 ? nodes.size : 0;
  }

  #takeGossip(from: NodeId, packet: Uint8Array, lane: Lane): void {
    const reader = new Reader(packet);
    reader.u8();
    const stamp = readStamp(reader);
    if (stamp.to !== null || stamp.lane !== lane) {
      throw new MalformedError("A broadcast has a target, or a wrong lane");
    }
    if (stamp.origin === this.#context.self.id) {
      this.#counts.looped++;
      return this.#tree.duplicate(from);
    }
    const isDuplicate = this.#tree.has(stamp);
    if (!this.#order.first(stamp)) {
      if (isDuplicate) this.#tree.duplicate(from);
      return;
    }
    this.#beats.heard(stamp.origin, from);
    // Those behind this node need not wait for what its program does.
    this.#tree.push(stamp, packet, from);
    this.#order.take(stamp, reader.rest());
  }

  // -- Neighbours --

  #up(id: NodeId): void {
    this.#beats.up(id);
    this.#tree.up(id);
    this.#measured.set(id, { number: 0, sentAt: 0, unanswered: -1 });
    this.#ping(id);
    this.#cancelPing ??= this.#planPing();
  }

  #down(id: NodeId): void {
    this.#measured.delete(id);
    this.#tree.down(id);
    if (this.#measured.size > 0) return;
    this.#cancelPing?.();
    this.#cancelPing = null;
  }

  #planPing(): () => void {
    return this.#context.clock.after(PING_INTERVAL, () => {
      this.#cancelPing = this.#planPing();
      for (const id of [...this.#measured.keys()]) this.#ping(id);
    });
  }

  #ping(id: NodeId): void {
    const measured = this.#measured.get(id);
    if (measured === undefined) return;
    if (++measured.unanswered >= MAX_UNANSWERED) {
      return this.#context.links.disconnect(id, "it does not answer");
    }
    measured.number++;
    measured.sentAt = this.#context.clock.now();
    const packet = new Writer().u8(PING).u53(measured.number).take();
    this.#send(id, packet, "control");
  }

  #takePong(from: NodeId, number: number): void {
    const measured = this.#measured.get(from);
    if (measured === undefined || measured.unanswered < 0) return;
    if (measured.number !== number) return;
    measured.unanswered = -1;
    measured.roundTrip = this.#context.clock.now() - measured.sentAt;
    this.#roundTrips.add(measured.roundTrip);
  }

  // -- Packets --

  #send(to: NodeId, packet: Uint8Array, lane: Lane): boolean {
    if (this.#context.links.send(to, packet, lane)) return true;
    this.#counts.dropped++;
    return false;
  }

  /** False: there are no such packets. */
  #read(from: NodeId, packet: Uint8Array, lane: Lane): boolean {
    const reader = new Reader(packet);
    const kind = reader.u8();
    if (kind === GOSSIP) this.#takeGossip(from, packet, lane);
    else if (this.#unicasts.receive(kind, from, packet, lane)) return true;
    else if (lane === "data") return false;
    else if (kind === BEATS) this.#beats.receive(from, reader);
    else if (kind === PING) {
      const pong = new Writer().u8(PONG).u53(reader.u53()).take();
      this.#send(from, pong, "control");
    } else if (kind === PONG) this.#takePong(from, reader.u53());
    else {
      return this.#views.receive(kind, from, reader) ||
        this.#tree.receive(kind, from, reader);
    }
    return true;
  }
}
