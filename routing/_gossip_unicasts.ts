import { MalformedError, Reader, Writer } from "./_bytes.ts";
import {
  ASK,
  FOUND,
  NOTE,
  readNote,
  readNumbers,
  ROUTED,
  SEARCH,
  writeNote,
  writeNumbers,
} from "./_gossip_packets.ts";
import type { Beats } from "./_gossip_presence.ts";
import { IdMap } from "./_id_map.ts";
import type { Order } from "./_order.ts";
import { readStamp, type Stamp, writeStamp } from "./_order_stamp.ts";
import { readId } from "./_peer_codec.ts";
import { HEAD, type Note, type Reason, Receipts } from "./_receipts.ts";
import { joined } from "./_relay.ts";
import { epochOf } from "./incarnation.ts";
import type { Lane, NodeId, RouterContext } from "./types.ts";

/** The longest way of a packet, in links. */
const TTL = 64;
const TTL_AT = 1;
/** How long a search waits for its answer, in ms. */
const SEARCH_TIMEOUT = 2000;
/** Searches at the same time. */
const MAX_SEARCHES = 8;
/** What waits for a way: packets for one node, and bytes in all. */
const MAX_QUEUE = 256;
const MAX_QUEUE_BYTES = 4 * 1024 * 1024;

/** What the unicasts ask for. */
export interface UnicastsOwner {
  readonly order: Order;
  readonly beats: Beats;
  readonly neighbours: ReadonlySet<NodeId>;
  count(kind: "dropped" | "looped" | "expired" | "lost"): void;
}

interface Waiting {
  readonly stamp: Stamp;
  readonly payload: Uint8Array;
}

interface Search {
  readonly queue: Waiting[];
  readonly cancel: () => void;
}

/**
 * Packets to one node, back the way that it was heard: where none is known, the network
 * is asked by a flood, and the answer of the node shows the way.
 */
export class Unicasts {
  readonly receipts: Receipts;
  readonly #context: RouterContext;
  readonly #owner: UnicastsOwner;
  readonly #self: NodeId;
  readonly #searches = new IdMap<Search>();
  #queuedBytes = 0;
  readonly counters = { searches: 0, unfound: 0 };

  constructor(context: RouterContext, owner: UnicastsOwner) {
    const { clock, self, up } = context;
    this.#context = context;
    this.#owner = owner;
    this.#self = self.id;
    this.receipts = new Receipts({
      clock,
      ask: (to, numbers) =>
        this.#control(ASK, to, writeNumbers(new Writer(), numbers).take()),
      note: (note) => this.#control(NOTE, note.origin, writeNote(note)),
      undelivered: (to, head, lastHop, reason) => {
        owner.count("lost");
        up.undelivered(to, head, lastHop, reason);
      },
      silent: (id) => this.#search(id),
    }, self.id);
  }

  /** Sends a payload to a node; false: there was no room. */
  send(to: NodeId, payload: Uint8Array, lane: Lane): boolean {
    const via = this.#owner.beats.via(to);
    const search = this.#searches.get(to);
    const isFound = via !== undefined &&
      (search === undefined || search.queue.length === 0);
    if (isFound) {
      return this.#transmit(this.#owner.order.next(to, lane), payload, via);
    }
    this.#search(to);
    if (lane === "control") return false;
    return this.#enqueue(to, payload);
  }

  /** There is a way to a node: what waited for it leaves. */
  found(to: NodeId): void {
    const search = this.#searches.get(to);
    if (search === undefined) return;
    for (const { stamp, payload } of this.#end(to, search)) {
      const via = this.#owner.beats.via(to);
      if (via !== undefined && this.#transmit(stamp, payload, via)) continue;
      this.#fail(stamp, payload, "its link had no room");
    }
  }

  /** A node is not known any more. */
  gone(id: NodeId, reason: string): void {
    const search = this.#searches.get(id);
    if (search !== undefined) this.#failAll(id, search, reason);
    this.receipts.gone(id, reason);
  }

  /**
   * Takes a packet from a neighbour; false: it is none of these.
   *
   * @throws {MalformedError} If it is malformed.
   */
  receive(kind: number, from: NodeId, packet: Uint8Array, lane: Lane): boolean {
    if (kind === SEARCH) this.#takeSearch(from, packet);
    else if (kind === FOUND) this.#takeFound(from, packet);
    else if (kind === ROUTED || kind === NOTE || kind === ASK) {
      this.#takeRouted(kind, from, packet, lane);
    } else return false;
    return true;
  }

  close(): void {
    for (const { cancel } of this.#searches.values()) cancel();
    this.#searches.clear();
    this.receipts.close();
  }

  // -- Sending --

  #transmit(stamp: Stamp, payload: Uint8Array, via: NodeId): boolean {
    const packet = routed(ROUTED, stamp, payload);
    if (!this.#context.links.send(via, packet, stamp.lane)) {
      this.#owner.count("dropped");
      return false;
    }
    this.receipts.sent(stamp, payload);
    return true;
  }

  #control(kind: number, to: NodeId, body: Uint8Array): void {
    const via = this.#owner.beats.via(to);
    const stamp = this.#owner.order.next(to, "control");
    if (via === undefined) return this.#owner.count("dropped");
    this.#hand(via, routed(kind, stamp, body), "control");
  }

  #hand(via: NodeId, packet: Uint8Array, lane: Lane): boolean {
    if (this.#context.links.send(via, packet, lane)) return true;
    this.#owner.count("dropped");
    return false;
  }

  #enqueue(to: NodeId, payload: Uint8Array): boolean {
    const queue = this.#searches.get(to)?.queue;
    const isFull = queue === undefined || queue.length >= MAX_QUEUE ||
      this.#queuedBytes + payload.length > MAX_QUEUE_BYTES;
    if (isFull) {
      this.#owner.count("dropped");
      return false;
    }
    this.#queuedBytes += payload.length;
    queue.push({ stamp: this.#owner.order.next(to, "data"), payload });
    return true;
  }

  #fail({ to }: Stamp, payload: Uint8Array, reason: string): void {
    if (to === null) return;
    this.#owner.count("lost");
    const head = payload.slice(0, HEAD);
    this.#context.up.undelivered(to, head, this.#self, reason);
  }

  // -- Searches --

  #search(to: NodeId): void {
    if (this.#searches.has(to) || this.#searches.size >= MAX_SEARCHES) return;
    this.counters.searches++;
    const cancel = this.#context.clock.after(SEARCH_TIMEOUT, () => {
      this.counters.unfound++;
      if (this.#owner.neighbours.has(to)) return this.found(to);
      this.#owner.beats.forget(to, "no way was found");
    });
    this.#searches.set(to, { queue: [], cancel });
    const writer = new Writer().u8(SEARCH).u8(TTL).string(this.#self);
    const packet = writer.u53(this.#owner.beats.next()).string(to).take();
    for (const id of this.#owner.neighbours) this.#hand(id, packet, "control");
  }

  #end(to: NodeId, { queue, cancel }: Search): readonly Waiting[] {
    cancel();
    this.#searches.delete(to);
    for (const { payload } of queue) this.#queuedBytes -= payload.length;
    return queue;
  }

  #failAll(to: NodeId, search: Search, reason: string): void {
    for (const { stamp, payload } of this.#end(to, search)) {
      this.#fail(stamp, payload, reason);
    }
  }

  /** A flood that shows the way back to who asks; its beat tells whether it is news. */
  #takeSearch(from: NodeId, packet: Uint8Array): void {
    const { ttl, reader } = open(packet);
    const origin = readId(reader);
    const beat = reader.u53();
    const target = readId(reader);
    reader.end();
    if (!this.#owner.beats.beaten(origin, beat, 0, from)) return;
    if (target === this.#self) {
      const writer = new Writer().u8(FOUND).u8(TTL).string(origin);
      writer.string(target).u53(this.#owner.beats.next());
      this.#hand(from, writer.take(), "control");
      return;
    }
    const copy = this.#shortened(packet, ttl);
    if (copy === null) return;
    const { neighbours } = this.#owner;
    const next = neighbours.has(target) ? [target] : neighbours;
    for (const id of next) {
      if (id !== from && id !== origin) this.#hand(id, copy, "control");
    }
  }

  #takeFound(from: NodeId, packet: Uint8Array): void {
    const { ttl, reader } = open(packet);
    const asker = readId(reader);
    const target = readId(reader);
    const beat = reader.u53();
    reader.end();
    this.#owner.beats.beaten(target, beat, 0, from);
    if (asker !== this.#self) this.#passOn(packet, ttl, asker, from, "control");
  }

  /** Hands a packet on; why it could not, otherwise. */
  #passOn(
    packet: Uint8Array,
    ttl: number,
    to: NodeId,
    from: NodeId,
    lane: Lane,
  ): Reason | null {
    const via = this.#owner.beats.via(to);
    if (via === undefined || via === from) {
      this.#owner.count("dropped");
      return "there was no link any more";
    }
    const copy = this.#shortened(packet, ttl);
    if (copy === null) return "it had gone through too many nodes";
    return this.#hand(via, copy, lane) ? null : "its link had no room";
  }

  /** The packet with one link less to pass. */
  #shortened(packet: Uint8Array, ttl: number): Uint8Array | null {
    if (ttl <= 1) {
      this.#owner.count("expired");
      return null;
    }
    const copy = packet.slice();
    copy[TTL_AT] = ttl - 1;
    return copy;
  }

  // -- Packets in --

  #takeRouted(
    kind: number,
    from: NodeId,
    packet: Uint8Array,
    lane: Lane,
  ): void {
    const { ttl, reader } = open(packet);
    const stamp = readStamp(reader);
    const { to, origin, number } = stamp;
    if (to === null || stamp.lane !== lane) {
      throw new MalformedError("A packet has no target, or a wrong lane");
    }
    if (origin === this.#self) return this.#owner.count("looped");
    if (to === this.#self) return this.#take(kind, from, stamp, reader);
    const { order, beats } = this.#owner;
    if (lane === "control") order.learn(stamp);
    beats.heard(origin, from);
    const reason = this.#passOn(packet, ttl, to, from, lane);
    if (reason === null || kind !== ROUTED || lane === "control") return;
    const next = beats.via(to) ?? this.#self;
    const about = { origin, epoch: stamp.epoch, target: to, reason, next };
    this.receipts.note(about, number);
  }

  #take(kind: number, from: NodeId, stamp: Stamp, reader: Reader): void {
    const { order, beats } = this.#owner;
    if (!order.first(stamp)) return;
    beats.heard(stamp.origin, from);
    if (kind === ROUTED) return this.#deliver(stamp, reader.rest());
    order.learn(stamp);
    if (kind === ASK) this.#answer(stamp, readNumbers(reader));
    else this.#noted(stamp.origin, readNote(reader, this.#self));
  }

  #deliver(stamp: Stamp, payload: Uint8Array): void {
    const isTaken = this.#owner.order.take(stamp, payload);
    if (stamp.lane === "control") return;
    const { origin, epoch, number } = stamp;
    const reason = isTaken ? "received" : "it came too late for its turn";
    const target = this.#self;
    this.receipts.note({ origin, epoch, target, next: target, reason }, number);
  }

  #answer({ origin, epoch }: Stamp, asked: readonly number[]): void {
    const numbers = asked.filter((number) =>
      this.#owner.order.hasUnicast(origin, epoch, number)
    );
    if (numbers.length === 0) return;
    const target = this.#self;
    const about = { origin, epoch, target, next: target };
    const note: Note = { ...about, reason: "received", numbers };
    this.#control(NOTE, origin, writeNote(note));
  }

  #noted(by: NodeId, note: Note): void {
    if (note.epoch !== epochOf(this.#context.self.incarnation)) return;
    this.receipts.noted(by, note, true);
    // The next one goes another way, if there is one.
    if (note.reason === "there was no link any more") this.#search(note.target);
  }
}

function open(packet: Uint8Array): { ttl: number; reader: Reader } {
  const reader = new Reader(packet);
  reader.u8();
  return { ttl: Math.min(reader.u8(), TTL), reader };
}

function routed(kind: number, stamp: Stamp, body: Uint8Array): Uint8Array {
  const writer = new Writer().u8(kind).u8(TTL);
  writeStamp(writer, stamp);
  return joined(writer.take(), body);
}
