import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { Dialer } from "./_dialer.ts";
import { Order, OWN_SERIES } from "./_order.ts";
import { readStamp, type Stamp, writeStamp } from "./_order_stamp.ts";
import { readId } from "./_peer_codec.ts";
import { Presence, type Sign } from "./_presence.ts";
import {
  codeOf,
  HEAD,
  MAX_NUMBERS,
  type Note,
  type Reason,
  reasonAt,
  Receipts,
} from "./_receipts.ts";
import type { RouteExplanation } from "./explain.ts";
import { epochOf } from "./incarnation.ts";
import type {
  Inspected,
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
} from "./types.ts";

/** The longest way of a packet, in links, unless told otherwise. */
export const TTL = 64;

/**
 * What a packet is, its first byte; routers have their own from {@linkcode OWN_KIND}
 * on. Except for `SIGNS` there follow the links that it may still pass (1 byte) and,
 * in floods, the number of the flood (8 bytes); then the stamp.
 */
const PAYLOAD = 1;
const HELLO = 2;
const LOST = 3;
const SIGNS = 4;
const ASK = 5;
const ANSWER = 6;
const NOTE = 7;
/** The first kind that is left to routers. */
export const OWN_KIND = 16;

/** Where the links that a packet may still pass stand in it. */
const TTL_AT = 1;
/** Ids in one packet. */
const MAX_IDS = 128;

/** A flood as it was read. */
export interface Flooded {
  readonly kind: number;
  readonly ttl: number;
  /** Rises with each flood of the origin in its lane. */
  readonly number: number;
  readonly stamp: Stamp;
  /** Stands at what follows the stamp. */
  readonly reader: Reader;
}

/** What a relay leaves to the router that it is a part of. */
export interface RelayOptions {
  /** The longest way of a packet, in links: 1 to 255. */
  readonly ttl: number;
  /** How many links the node is to have, as far as there are members to dial. */
  readonly links: number;
  /** Whether a unicast takes one way only, so that what is dropped has not come by another. */
  readonly single: boolean;
  /**
   * A packet of a kind of the router's own came from a neighbour.
   *
   * @throws {MalformedError} If it is malformed.
   */
  receive(kind: number, from: NodeId, packet: Uint8Array, lane: Lane): void;
  /** A link between two others has ended. */
  broken(from: NodeId, to: NodeId): void;
  /** A node does not answer. */
  silent(id: NodeId): void;
  /** There is no way to a node any more. */
  gone(id: NodeId): void;
}

/**
 * What routers that relay have in common: floods, which nodes are within reach, order
 * and receipts.
 *
 * A flood goes to all neighbours of every node, once each: no node passes it on twice,
 * or back to where it came from first. With E links between N nodes these are at most
 * 2E − (N − 1) packets.
 */
export class Relay {
  readonly presence: Presence;
  readonly order: Order;
  readonly receipts: Receipts;
  readonly #dialer: Dialer;
  /** The neighbours that relay nothing. */
  readonly #leaves = new Set<NodeId>();
  readonly #context: RouterContext;
  readonly #options: RelayOptions;
  #epoch = -1;
  #floods = { data: 0, control: 0 };
  #closed = false;
  readonly #counts = {
    dropped: 0,
    malformed: 0,
    strange: 0,
    looped: 0,
    expired: 0,
    lost: 0,
  };

  constructor(context: RouterContext, options: RelayOptions) {
    const { clock, random, self } = context;
    this.#context = context;
    this.#options = options;
    this.order = new Order(context);
    this.presence = new Presence({
      clock,
      random,
      hello: () => this.#hello(),
      lost: (ids, isBroken) => this.#lost(ids, isBroken),
      tell: (signs, to) => this.#tell(signs, to),
      gone: (id, reason) => {
        this.receipts.gone(id, reason);
        options.gone(id);
      },
    }, self.id);
    const { neighbours } = this.presence;
    const leaves = this.#leaves;
    this.#dialer = new Dialer(context, options.links, {
      get size(): number {
        return neighbours.size - leaves.size;
      },
      has: (id) => neighbours.has(id),
    });
    this.receipts = new Receipts({
      clock,
      ask: (to, numbers) => this.#ask(to, numbers),
      note: (note) => this.#note(note),
      undelivered: (to, head, lastHop, reason) => {
        this.#counts.lost++;
        context.up.undelivered(to, head, lastHop, reason);
      },
      silent: (id) => {
        options.silent(id);
        this.presence.silent(id);
      },
    }, self.id);
  }

  /** Whether a neighbour relays nothing. */
  isLeaf(id: NodeId): boolean {
    return this.#leaves.has(id);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get counters(): Record<string, number> {
    return {
      ...this.order.counters,
      ...this.presence.counters,
      ...this.receipts.counters,
      ...this.#counts,
    };
  }

  /** Counts a packet that was dropped, and why. */
  count(
    kind: "dropped" | "malformed" | "strange" | "looped" | "expired",
  ): void {
    this.#counts[kind]++;
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    this.order.link(event);
    this.presence.link(event);
    if (event.type === "up") {
      this.#leaves.delete(event.peer.id);
      if (event.isLeaf) this.#leaves.add(event.peer.id);
    } else if (event.type === "down") this.#leaves.delete(event.id);
    this.#dialer.link(event);
  }

  member(event: MemberEvent): void {
    if (this.#closed) return;
    this.order.member(event);
    this.presence.member(event);
    this.#dialer.member(event);
  }

  close(): void {
    this.#closed = true;
    this.order.close();
    this.presence.close();
    this.receipts.close();
    this.#dialer.close();
  }

  /** How a payload for a node would be carried by a flood. */
  explain(target: NodeId): RouteExplanation {
    const { nodes, neighbours } = this.presence;
    const self = this.#context.self.id;
    if (neighbours.has(target)) {
      const ways = [{ nodes: [self, target], isWhole: true }];
      return { how: "link", why: "there is a link to it", ways };
    }
    if (!nodes.has(target)) {
      const why = neighbours.size === 0
        ? "this node has no links"
        : "nothing has been heard of it, or not for long";
      return { how: "none", why, ways: [] };
    }
    const via = this.presence.via(target);
    const relays = neighbours.size - this.#leaves.size;
    const all = relays === 1
      ? "the only neighbour passes it on"
      : `all ${relays} neighbours pass it on`;
    const heard = via === undefined
      ? ""
      : `; it was heard through "${via}" first`;
    return {
      how: "flood",
      why: `${all}${heard}`,
      ways: via === undefined
        ? []
        : [{ nodes: [self, via, target], isWhole: false }],
    };
  }

  // -- Floods --

  /** Sends a payload to all; returns how many nodes it was handed on for. */
  broadcast(payload: Uint8Array, lane: Lane): number {
    const { nodes, neighbours } = this.presence;
    const taken = this.flood(PAYLOAD, this.order.next(null, lane), payload);
    if (taken.length === neighbours.size) return nodes.size;
    const ways = new Set(taken);
    let reached = 0;
    for (const id of nodes) {
      const via = this.presence.via(id);
      if (via !== undefined && ways.has(via)) reached++;
    }
    return reached;
  }

  /** Sends a payload to one by a flood; false: no link had room for it. */
  unicast(to: NodeId, payload: Uint8Array, lane: Lane): boolean {
    const stamp = this.order.next(to, lane);
    if (this.flood(PAYLOAD, stamp, payload).length === 0) return false;
    this.receipts.sent(stamp, payload);
    return true;
  }

  /** Floods a packet; returns the neighbours that took it. */
  flood(
    kind: number,
    stamp: Stamp,
    body: Uint8Array,
    ttl: number = this.#options.ttl,
  ): NodeId[] {
    const number = this.#nextFlood(stamp);
    return this.#pass(floodPacket(kind, ttl, number, stamp, body), stamp);
  }

  /** Passes on a flood with another body. */
  passOn(
    { kind, ttl, number, stamp }: Flooded,
    body: Uint8Array,
    from: NodeId,
  ): void {
    if (ttl <= 1) return;
    const packet = floodPacket(kind, ttl - 1, number, stamp, body);
    this.#pass(packet, stamp, from);
  }

  #nextFlood({ epoch, lane }: Stamp): number {
    if (epoch !== this.#epoch) this.#floods = { data: 0, control: 0 };
    this.#epoch = epoch;
    return ++this.#floods[lane];
  }

  /** Hands a packet to the target, where that is a neighbour, or else to all but `from`. */
  #pass(packet: Uint8Array, stamp: Stamp, from?: NodeId): NodeId[] {
    const { neighbours } = this.presence;
    const { to, origin } = stamp;
    if (to !== null && neighbours.has(to)) {
      return this.hand(to, packet, stamp) ? [to] : [];
    }
    const taken: NodeId[] = [];
    for (const id of neighbours) {
      if (id === from || id === origin) continue;
      if (to !== null && this.#leaves.has(id)) continue;
      if (this.hand(id, packet, stamp)) taken.push(id);
    }
    return taken;
  }

  /** Hands a packet to a neighbour. What that has no room for is dropped, and noted to its origin. */
  hand(next: NodeId, packet: Uint8Array, stamp: Stamp): boolean {
    if (this.#context.links.send(next, packet, stamp.lane)) return true;
    this.#counts.dropped++;
    this.drop(stamp, "its link had no room", next);
    return false;
  }

  /** Tells the origin of a unicast that it was dropped here; of the control lane, that a link is gone. */
  drop(stamp: Stamp, reason: Reason, next: NodeId): void {
    const { origin, epoch, to, lane, number } = stamp;
    if (to === null || origin === this.#context.self.id) return;
    const about = { origin, epoch, target: to, reason, next };
    if (lane === "data") this.receipts.note(about, number);
    else if (reason === "there was no link any more") this.receipts.note(about);
  }

  /** A unicast of this node cannot be carried at all. */
  fail({ to, lane }: Stamp, payload: Uint8Array, reason: string): void {
    if (to === null || lane === "control") return;
    this.#counts.lost++;
    const { up, self } = this.#context;
    up.undelivered(to, payload.slice(0, HEAD), self.id, reason);
  }

  // -- Packets in --

  /** Takes a packet from a neighbour. What is wrong with it is counted. */
  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    if (this.#closed) return;
    if (!this.presence.neighbours.has(from)) return this.count("strange");
    try {
      this.#read(from, packet, lane);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.#counts.malformed++;
    }
  }

  /** Reads a packet that is none of the router's own, and changes nothing. */
  inspect(by: NodeId, packet: Uint8Array): Inspected | null {
    const reader = new Reader(packet);
    const kind = reader.u8();
    if (kind === SIGNS) {
      const own = writeSigns(readSigns(reader).filter(({ id }) => id === by));
      return { origin: by, to: null, payload: null, own };
    }
    reader.u8();
    if (kind !== NOTE) reader.u53();
    const { origin, to } = readStamp(reader);
    const read = { origin, to, payload: null };
    switch (kind) {
      case PAYLOAD:
        return { ...read, payload: reader.rest(), own: packet };
      case HELLO:
      case ASK:
        return { ...read, own: packet };
      case LOST:
        return { ...read, own: null };
      case ANSWER:
      case NOTE:
        return { ...read, own: readTarget(reader) === origin ? packet : null };
      default:
        return null;
    }
  }

  #read(from: NodeId, packet: Uint8Array, lane: Lane): void {
    const kind = packet[0] ?? 0;
    if (kind === SIGNS) this.#readSigns(from, packet);
    else if (kind === NOTE) this.#takeNote(from, packet, lane);
    else if (kind >= OWN_KIND) this.#options.receive(kind, from, packet, lane);
    else {
      const flooded = this.readFlood(packet, lane);
      if (flooded === null || !this.isFirst(flooded, from)) return;
      const { stamp } = flooded;
      const isTarget = stamp.to === this.#context.self.id;
      // Those behind this node need not wait for what its program does.
      if (!isTarget) this.#copyOn(packet, flooded, from);
      if (isTarget || stamp.to === null) this.#take(flooded, from);
    }
  }

  /**
   * Reads a flood; null: it came back to its origin.
   *
   * @throws {MalformedError} If it is malformed.
   */
  readFlood(packet: Uint8Array, lane: Lane): Flooded | null {
    const reader = new Reader(packet);
    const kind = reader.u8();
    const ttl = Math.min(reader.u8(), this.#options.ttl);
    const number = reader.u53();
    const stamp = readStamp(reader);
    if (!this.#isSound(stamp, lane)) return null;
    return { kind, ttl, number, stamp, reader };
  }

  /** Marks a flood as seen; whether it is news. */
  isFirst({ stamp, number }: Flooded, from: NodeId): boolean {
    const { origin, epoch, lane } = stamp;
    const series = OWN_SERIES + (lane === "control" ? 1 : 0);
    if (!this.order.firstOf(origin, epoch, series, number)) return false;
    if (lane === "data") this.presence.heard(origin, from);
    else this.presence.flooded(origin, from, epoch, number);
    return true;
  }

  #isSound(stamp: Stamp, lane: Lane): boolean {
    if (stamp.lane !== lane) {
      throw new MalformedError("A packet came in the wrong lane");
    }
    if (stamp.origin !== this.#context.self.id) return true;
    this.#counts.looped++;
    return false;
  }

  /** Passes on a flood as it came: only the links that it may still pass are fewer. */
  #copyOn(packet: Uint8Array, { ttl, stamp }: Flooded, from: NodeId): void {
    if (ttl <= 1) {
      this.#counts.expired++;
      return this.drop(stamp, "it had gone through too many nodes", from);
    }
    const copy = packet.slice();
    copy[TTL_AT] = ttl - 1;
    this.#pass(copy, stamp, from);
  }

  #take({ kind, stamp, reader }: Flooded, from: NodeId): void {
    if (kind === PAYLOAD) {
      if (this.accepts(stamp, from)) this.deliver(stamp, reader.rest());
      return;
    }
    this.order.learn(stamp);
    if (kind === LOST) this.#readLost(stamp, reader);
    else if (kind === ASK) this.#answer(stamp, reader);
    else if (kind === ANSWER) this.#readNote(stamp, reader);
    else if (kind !== HELLO) this.#counts.strange++;
  }

  /** Marks a packet as arrived from a neighbour; whether it is news. */
  accepts(stamp: Stamp, from: NodeId): boolean {
    if (!this.order.first(stamp)) return false;
    this.presence.heard(stamp.origin, from);
    return true;
  }

  /** Delivers a payload of which the packet was accepted. */
  deliver(stamp: Stamp, payload: Uint8Array): void {
    const isTaken = this.order.take(stamp, payload);
    const { origin, epoch, to, lane, number } = stamp;
    if (to === null || lane === "control") return;
    const reason = isTaken ? "received" : "it came too late for its turn";
    this.receipts.note({ origin, epoch, target: to, next: to, reason }, number);
  }

  // -- Presence --

  #hello(): void {
    this.flood(HELLO, this.order.next(null, "control"), NOTHING);
  }

  #lost(ids: readonly NodeId[], isBroken: boolean): void {
    for (let at = 0; at < ids.length; at += MAX_IDS) {
      const some = ids.slice(at, at + MAX_IDS);
      const body = new Writer().u8(isBroken && at === 0 ? 1 : 0);
      body.u8(some.length);
      for (const id of some) body.string(id);
      this.flood(LOST, this.order.next(null, "control"), body.take());
    }
  }

  #readLost({ origin }: Stamp, reader: Reader): void {
    const isBroken = reader.u8() === 1;
    const ids: NodeId[] = [];
    for (let left = checkCount(reader.u8(), MAX_IDS); left > 0; left--) {
      ids.push(readId(reader));
    }
    reader.end();
    const [first] = ids;
    if (isBroken && first !== undefined) this.#options.broken(origin, first);
    this.presence.missed(ids);
  }

  #tell(
    signs: readonly Sign[],
    to: { only: NodeId } | { except: NodeId },
  ): void {
    for (let at = 0; at < signs.length; at += MAX_IDS) {
      const some = signs.slice(at, at + MAX_IDS);
      const packet = writeSigns(some);
      const { neighbours } = this.presence;
      for (const id of "only" in to ? [to.only] : neighbours) {
        if ("except" in to && to.except === id) continue;
        if (!this.#context.links.send(id, packet, "control")) {
          this.#counts.dropped++;
        }
      }
    }
  }

  #readSigns(from: NodeId, packet: Uint8Array): void {
    const reader = new Reader(packet);
    reader.u8();
    this.presence.told(from, readSigns(reader));
  }

  // -- Receipts --

  #ask(to: NodeId, numbers: readonly number[]): void {
    const stamp = this.order.next(to, "control");
    this.flood(ASK, stamp, writeNumbers(new Writer(), numbers).take());
  }

  #answer({ origin, epoch }: Stamp, reader: Reader): void {
    const numbers = readNumbers(reader).filter((number) =>
      this.order.hasUnicast(origin, epoch, number)
    );
    reader.end();
    if (numbers.length === 0) return;
    const target = this.#context.self.id;
    const stamp = this.order.next(origin, "control");
    const about = { origin, epoch, target, next: target };
    this.flood(
      ANSWER,
      stamp,
      writeNote({ ...about, reason: "received", numbers }),
    );
  }

  /** A note goes back the way that its origin was heard last; if it gets lost, it is asked for. */
  #note(note: Note): void {
    const via = this.presence.via(note.origin);
    const stamp = this.order.next(note.origin, "control");
    const writer = new Writer().u8(NOTE).u8(this.#options.ttl);
    writeStamp(writer, stamp);
    const packet = joined(writer.take(), writeNote(note));
    if (
      via === undefined || !this.#context.links.send(via, packet, "control")
    ) {
      this.#counts.dropped++;
    }
  }

  #takeNote(from: NodeId, packet: Uint8Array, lane: Lane): void {
    const reader = new Reader(packet);
    reader.u8();
    const ttl = Math.min(reader.u8(), this.#options.ttl);
    const stamp = readStamp(reader);
    if (!this.#isSound(stamp, lane) || stamp.to === null) return;
    if (stamp.to !== this.#context.self.id) {
      return this.#passNote(packet, ttl, stamp.to, from);
    }
    if (!this.order.first(stamp)) return;
    this.order.learn(stamp);
    this.#readNote(stamp, reader);
  }

  #passNote(packet: Uint8Array, ttl: number, to: NodeId, from: NodeId): void {
    const via = this.presence.via(to);
    if (ttl <= 1 || via === undefined || via === from) {
      this.#counts.expired++;
      return;
    }
    const copy = packet.slice();
    copy[TTL_AT] = ttl - 1;
    if (!this.#context.links.send(via, copy, "control")) this.#counts.dropped++;
  }

  #readNote(stamp: Stamp, reader: Reader): void {
    const epoch = reader.u53();
    const reason = reasonAt(reader.u8());
    const target = readId(reader);
    const next = readId(reader);
    const numbers = readNumbers(reader);
    reader.end();
    const { id, incarnation } = this.#context.self;
    if (reason === undefined || epoch !== epochOf(incarnation)) {
      this.#counts.strange++;
      return;
    }
    const by = stamp.origin;
    if (reason === "there was no link any more") {
      this.#options.broken(by, next);
    }
    const note = { origin: id, epoch, target, reason, next, numbers };
    this.receipts.noted(by, note, this.#options.single);
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Checks an option.
 *
 * @throws {RangeError} If it is not an integer in its range.
 */
export function inRange(
  what: string,
  value: number,
  min: number,
  max: number,
): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot route with ${what} ${value}: it must be an integer from ${min} to ${max}`,
  );
}

function floodPacket(
  kind: number,
  ttl: number,
  number: number,
  stamp: Stamp,
  body: Uint8Array,
): Uint8Array {
  const writer = new Writer().u8(kind).u8(ttl).u53(number);
  writeStamp(writer, stamp);
  return joined(writer.take(), body);
}

function writeSigns(signs: readonly Sign[]): Uint8Array {
  const writer = new Writer().u8(SIGNS).u8(signs.length);
  for (const { id, age } of signs) writer.string(id).u32(Math.ceil(age));
  return writer.take();
}

function readSigns(reader: Reader): Sign[] {
  const signs: Sign[] = [];
  for (let left = checkCount(reader.u8(), MAX_IDS); left > 0; left--) {
    signs.push({ id: readId(reader), age: reader.u32() });
  }
  reader.end();
  return signs;
}

/** Whose taking a note is about. */
function readTarget(reader: Reader): NodeId {
  reader.u53();
  reader.u8();
  return readId(reader);
}

function writeNote(note: Note): Uint8Array {
  const { epoch, reason, target, next, numbers } = note;
  const writer = new Writer().u53(epoch).u8(codeOf(reason));
  return writeNumbers(writer.string(target).string(next), numbers).take();
}

function writeNumbers(writer: Writer, numbers: readonly number[]): Writer {
  writer.u8(numbers.length);
  for (const number of numbers) writer.u53(number);
  return writer;
}

function readNumbers(reader: Reader): number[] {
  const numbers: number[] = [];
  for (let left = checkCount(reader.u8(), MAX_NUMBERS); left > 0; left--) {
    numbers.push(reader.u53());
  }
  return numbers;
}

function checkCount(count: number, max: number): number {
  if (count <= max) return count;
  throw new MalformedError(`A list has ${count} items of at most ${max}`);
}

/** A header and what it stands in front of: the one copy at the origin. */
export function joined(header: Uint8Array, body: Uint8Array): Uint8Array {
  const packet = new Uint8Array(header.length + body.length);
  packet.set(header);
  packet.set(body, header.length);
  return packet;
}
