import { Epochs } from "./_epochs.ts";
import { IdMap } from "./_id_map.ts";
import { Numbering } from "./_order_numbering.ts";
import { type Held, Line, type Position, Window } from "./_order_series.ts";
import { CONTROL, hashOf, type Stamp, TO_ONE } from "./_order_stamp.ts";
import { epochOf } from "./incarnation.ts";
import type {
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
} from "./types.ts";

/** The first series that `firstOf` leaves to routers; there are four. */
export const OWN_SERIES = 4;

/** How long a packet is held for those before it, in ms, and how long at most. */
const PATIENCE = 2000;
const MAX_PATIENCE = 8000;
/** How long the last packets of an origin may be behind what it tells of them, in ms. */
const TAIL_PATIENCE = 30_000;
/** What all streams together hold. */
const MAX_HELD = 4096;
const MAX_HELD_BYTES = 8 * 1024 * 1024;
/** Lives of an origin, and the time between two that displace others, in ms. */
const MAX_LIVES = 2;
const LIFE_INTERVAL = 1000;
/** Origins that are neither members nor neighbours. */
const MAX_STRANGERS = 1024;
/** Longer than a packet can be on its way, in ms: a silent stranger is forgotten then. */
const STRANGER_LIFE = 60_000;
/** Time between two searches for strangers to forget, in ms. */
const SWEEP_INTERVAL = 1000;
/** Members and neighbours that are kept. */
const MAX_NODES = 16_384;
/** No origin loses more packets in a row and is believed. */
const MAX_MISSED = 1_048_576;

/** One life of an origin, as far as it was heard. */
class Stream {
  readonly origin: NodeId;
  readonly epoch: number;
  readonly windows: (Window | undefined)[] = [];
  readonly all = new Line();
  readonly one = new Line();
  patience = PATIENCE;
  heardAt = 0;

  constructor(origin: NodeId, epoch: number) {
    this.origin = origin;
    this.epoch = epoch;
  }

  get holds(): boolean {
    return this.all.held.size + this.one.held.size > 0;
  }

  /** When the first of what is held is given no more time. */
  get deadline(): number {
    return Math.min(this.all.oldest(), this.one.oldest()) + this.patience;
  }
}

/** A node that packets come from. */
interface Origin {
  readonly id: NodeId;
  /** Its epoch as its link or the membership says; -1: neither has said. */
  known: number;
  isLinked: boolean;
  isMember: boolean;
  /** At most two: a later life than is known may be made up, and does not end that one. */
  readonly streams: Stream[];
  openedAt: number;
  heardAt: number;
}

/**
 * Order and duplicates above links that form a network: one for each router that
 * relays.
 *
 * - **Order.** What one origin sends in the data lane is delivered in the order in
 *   which it was sent, broadcasts and unicasts together. What comes before its turn is
 *   held for 2 s: on the slower way, TCP may have to retransmit three times in a row,
 *   after 0.2, 0.4 and 0.8 s. It becomes up to 8 s while packets come after they were
 *   given up. Then what is missing is reported by `missed`, and comes too late.
 * - **Duplicates** are dropped, in a window of 1,024 of each series and origin.
 * - **Lives.** Of an origin only the life counts that its link or the membership tells,
 *   and beside it one that is later; or else the last two that were heard.
 * - **Lies.** A made-up number or life cannot shut out the true ones: see
 *   the series of `_order_series.ts`.
 * - **Bounds.** 4,096 packets and 8 MiB are held in all; whose packet comes when that is
 *   full gives up what it waits for. 16,384 members and neighbours, and 1,024 others:
 *   more are refused until one has been silent for 60 s. About 1 KiB each.
 */
export class Order {
  readonly #context: RouterContext;
  readonly #numbering: Numbering;
  readonly #hash: number;
  readonly #origins = new IdMap<Origin>();
  #strangers = 0;
  #sweptAt = -Infinity;
  readonly #epochs: Epochs;
  readonly #waiting = new Set<Stream>();
  #held = 0;
  #heldBytes = 0;
  #wakeAt = Infinity;
  #cancel: () => void = nothing;
  #closed = false;
  readonly counters = {
    duplicates: 0,
    stale: 0,
    implausible: 0,
    crowded: 0,
    late: 0,
    absurd: 0,
    missed: 0,
    overflowed: 0,
  };

  constructor(context: RouterContext) {
    this.#context = context;
    this.#numbering = new Numbering(context);
    this.#hash = hashOf(context.self.id);
    this.#epochs = new Epochs(context);
  }

  /** The stamp of the next packet to a node, or with `null` to all. */
  next(to: NodeId | null, lane: Lane): Stamp {
    return this.#numbering.next(to, lane);
  }

  // -- Duplicates --

  /**
   * Marks a packet as seen. False: drop it; it is a duplicate, too old, of an earlier
   * life of its origin, or there is no room for its origin.
   */
  first({ origin, epoch, to, lane, number }: Stamp): boolean {
    const series = (lane === "control" ? CONTROL : 0) +
      (to === null ? 0 : TO_ONE);
    return this.firstOf(origin, epoch, series, number);
  }

  /** The same for a series of the router's own: {@linkcode OWN_SERIES} and the three after. */
  firstOf(
    origin: NodeId,
    epoch: number,
    series: number,
    number: number,
  ): boolean {
    const stream = this.#streamOf(origin, epoch);
    if (stream === null) return false;
    const window = stream.windows[series] ??= new Window();
    const seen = window.add(number, this.#context.clock.now());
    if (seen === "new") return true;
    if (seen === "seen") this.counters.duplicates++;
    else if (seen === "old") this.counters.stale++;
    else this.counters.absurd++;
    return false;
  }

  // -- Delivery --

  /** Learns from a packet of the router's own, in the control lane, what its origin has sent. */
  learn(stamp: Stamp): void {
    const stream = this.#streamOf(stamp.origin, stamp.epoch);
    if (stream !== null) this.#compare(stream, stamp);
  }

  /** Whether a data unicast to this node has come. */
  hasUnicast(origin: NodeId, epoch: number, number: number): boolean {
    const stream = this.#origins.get(origin)?.streams
      .find((one) => one.epoch === epoch);
    return stream?.windows[TO_ONE]?.has(number) ?? false;
  }

  /** Delivers a packet for this node once it is its turn. False: that is over, or never was. */
  take(stamp: Stamp, payload: Uint8Array): boolean {
    const stream = this.#streamOf(stamp.origin, stamp.epoch);
    if (stream === null) return false;
    if (stamp.lane === "control") {
      this.#compare(stream, stamp);
      this.#deliver(stream, payload);
      return true;
    }
    const [line, other] = stamp.to === null
      ? [stream.all, stream.one]
      : [stream.one, stream.all];
    const after = stamp.to === null ? this.#mentioned(stamp) : stamp.broadcasts;
    const isRecent = stamp.to === null ? after > 0 : stamp.isRecent;
    const since = this.#context.clock.now();
    if (stamp.to !== null || after > 0) other.begin(after, since);
    const packet = { payload, after, isRecent, since };
    if (this.#place(stream, line, stamp.number, packet)) return true;
    // Whoever asks for it is not to be told that it has come.
    if (stamp.to !== null) stream.windows[TO_ONE]?.remove(stamp.number);
    return false;
  }

  link(event: LinkEvent): void {
    if (event.type === "up") {
      const { id, incarnation } = event.peer;
      this.#epochs.linked(incarnation);
      const origin = this.#keep(id);
      if (origin === null) return;
      origin.isLinked = true;
      this.#learn(origin, epochOf(incarnation));
    } else if (event.type === "down") {
      const origin = this.#origins.get(event.id);
      if (origin !== undefined) this.#letGo(origin, "isLinked");
    }
  }

  member({ type, member }: MemberEvent): void {
    if (type === "leave") {
      const origin = this.#origins.get(member.id);
      if (origin !== undefined) this.#letGo(origin, "isMember");
      return;
    }
    const origin = this.#keep(member.id);
    if (origin === null) return;
    origin.isMember = true;
    const epoch = epochOf(member.incarnation);
    if (epoch > origin.known) this.#learn(origin, epoch);
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#origins.clear();
    this.#waiting.clear();
  }

  // -- Origins --

  #streamOf(id: NodeId, epoch: number): Stream | null {
    if (this.#closed) return null;
    const origin = this.#origins.get(id) ?? this.#admit(id, epoch);
    if (origin === null) return null;
    const now = this.#context.clock.now();
    const stream = origin.streams.find((one) => one.epoch === epoch) ??
      this.#open(origin, epoch, now);
    if (stream !== null) stream.heardAt = origin.heardAt = now;
    return stream;
  }

  #open(origin: Origin, epoch: number, now: number): Stream | null {
    const { id, known, streams } = origin;
    if (epoch < known) {
      this.counters.stale++;
      return null;
    }
    if (epoch !== known && !this.#epochs.isPlausible(epoch)) {
      this.counters.implausible++;
      return null;
    }
    if (streams.length === MAX_LIVES) {
      if (epoch !== known && now - origin.openedAt < LIFE_INTERVAL) {
        this.counters.stale++;
        return null;
      }
      origin.openedAt = now;
      const others = streams.filter((one) => one.epoch !== known);
      const heardAt = Math.min(...others.map((one) => one.heardAt));
      this.#end(
        origin,
        (one) => one.epoch !== known && one.heardAt === heardAt,
      );
    }
    const stream = new Stream(id, epoch);
    streams.push(stream);
    return stream;
  }

  #admit(id: NodeId, epoch: number): Origin | null {
    if (!this.#epochs.isPlausible(epoch)) {
      this.counters.implausible++;
      return null;
    }
    if (this.#strangers >= MAX_STRANGERS) this.#sweep();
    if (this.#strangers >= MAX_STRANGERS) {
      this.counters.crowded++;
      return null;
    }
    this.#strangers++;
    return this.#add(id);
  }

  #add(id: NodeId): Origin {
    const origin: Origin = {
      id,
      known: -1,
      isLinked: false,
      isMember: false,
      streams: [],
      openedAt: -Infinity,
      heardAt: this.#context.clock.now(),
    };
    this.#origins.set(id, origin);
    return origin;
  }

  /** The entry of a member or neighbour; null: there are too many. */
  #keep(id: NodeId): Origin | null {
    if (this.#closed || id === this.#context.self.id) return null;
    const origin = this.#origins.get(id);
    if (origin !== undefined) {
      if (!origin.isLinked && !origin.isMember) this.#strangers--;
      return origin;
    }
    if (this.#origins.size - this.#strangers < MAX_NODES) return this.#add(id);
    this.counters.crowded++;
    return null;
  }

  #letGo(origin: Origin, tie: "isLinked" | "isMember"): void {
    if (!origin[tie]) return;
    origin[tie] = false;
    if (origin.isLinked || origin.isMember) return;
    this.#strangers++;
    origin.heardAt = this.#context.clock.now();
  }

  /** The present epoch of an origin is known: what is of an earlier one is over. */
  #learn(origin: Origin, epoch: number): void {
    origin.known = epoch;
    this.#end(origin, (stream) => stream.epoch < epoch);
  }

  /** Ends lives of an origin; what is held of them is delivered. */
  #end({ streams }: Origin, isOver: (stream: Stream) => boolean): void {
    for (const stream of streams.filter(isOver)) {
      streams.splice(streams.indexOf(stream), 1);
      this.#release(stream);
    }
  }

  #sweep(): void {
    const now = this.#context.clock.now();
    if (now - this.#sweptAt < SWEEP_INTERVAL) return;
    this.#sweptAt = now;
    for (const [id, origin] of this.#origins) {
      if (origin.isLinked || origin.isMember) continue;
      if (now - origin.heardAt < STRANGER_LIFE) continue;
      this.#origins.delete(id);
      this.#strangers--;
    }
  }

  // -- Order --

  /** The last unicast to this node that a broadcast comes after; 0: none. */
  #mentioned({ mentions }: Stamp): number {
    for (const { hash, number } of mentions) {
      if (hash === this.#hash) return number;
    }
    return 0;
  }

  #place(
    stream: Stream,
    line: Line,
    number: number,
    packet: Held,
  ): boolean {
    const position = line.place(number, packet.since);
    if (position === undefined) {
      this.counters.absurd++;
      return false;
    }
    if (position.passed > 0 && number !== position.start) {
      this.#goOn(stream, position);
    }
    this.#drain(stream); // what was told may have turned out to be before its time
    if (number <= position.at || this.#isOver(stream, line, packet)) {
      this.counters.late++;
      stream.patience = Math.min(MAX_PATIENCE, stream.patience * 4);
      if (number === position.at + 1) this.#miss(stream, line.skip(number));
      return false;
    }
    if (line.held.has(number)) {
      this.counters.duplicates++;
      return false;
    }
    if (
      number === position.at + 1 && this.#isDue(stream, line, number, packet)
    ) {
      position.at = number;
      this.#pass(stream, line, number, packet);
      this.#drain(stream);
    } else this.#hold(stream, line, number, packet);
    return true;
  }

  /** Whether a broadcast was delivered that was sent after this unicast. */
  #isOver({ one, all }: Stream, line: Line, { after }: Held): boolean {
    return line === one && all.isPast(after);
  }

  /** Whether nothing of the other series must be delivered before a packet. */
  #isDue(
    { one, all }: Stream,
    line: Line,
    number: number,
    packet: Held,
  ): boolean {
    const now = this.#context.clock.now();
    if (line === one) return !all.awaits(packet, now);
    return !one.awaits(packet, now) && !one.precedes(number);
  }

  /** The origin has gone on far beyond what this node had heard. */
  #goOn(stream: Stream, position: Position): void {
    const { passed } = position;
    position.passed = 0;
    this.#release(stream);
    this.#miss(stream, passed);
  }

  #hold(stream: Stream, line: Line, number: number, packet: Held): void {
    line.held.set(number, packet);
    this.#held++;
    this.#heldBytes += packet.payload.length;
    this.#waiting.add(stream);
    while (this.#isFull() && this.#isHolding(stream)) {
      this.counters.overflowed++;
      this.#giveUp(stream);
    }
    if (stream.holds) this.#wakeBy(stream.deadline);
  }

  /** What is delivered may close the router. */
  #isHolding(stream: Stream): boolean {
    return stream.holds && !this.#closed;
  }

  #isFull(): boolean {
    return this.#held > MAX_HELD || this.#heldBytes > MAX_HELD_BYTES;
  }

  /** Holds what an origin says to have sent against what was heard of it. */
  #compare(stream: Stream, { to, broadcasts, unicasts }: Stamp): void {
    this.#remember(stream, stream.all, broadcasts);
    if (to !== this.#context.self.id) return;
    this.#remember(stream, stream.one, unicasts);
  }

  /** The end of a series is lost when nothing of it comes for long; what comes after tells at once. */
  #remember(stream: Stream, line: Line, number: number): void {
    const now = this.#context.clock.now();
    line.begin(number, now);
    const at = line.near(number)?.at ?? number;
    if (number <= at) return;
    if (line.told > at && line.heardThen === at) {
      if (now - line.toldAt < TAIL_PATIENCE) return;
      this.#release(stream);
      this.#miss(stream, line.skip(line.told));
    }
    line.told = number;
    line.toldAt = now;
    line.heardThen = line.near(number)?.at ?? number;
  }

  /** Delivers what is held and has its turn. */
  #drain(stream: Stream): void {
    while (this.#isHolding(stream)) {
      // A unicast whose turn it is was sent before a broadcast whose turn it is.
      if (this.#pick(stream, stream.one)) continue;
      if (!this.#pick(stream, stream.all)) return;
    }
    this.#waiting.delete(stream);
  }

  #pick(stream: Stream, line: Line): boolean {
    for (const position of line.positions) {
      const next = position.at + 1;
      const packet = line.held.get(next);
      if (packet === undefined || !this.#isDue(stream, line, next, packet)) {
        continue;
      }
      this.#unhold(line, next, packet);
      position.at = next;
      this.#pass(stream, line, next, packet);
      return true;
    }
    return false;
  }

  #unhold(line: Line, number: number, packet: Held): void {
    line.held.delete(number);
    this.#held--;
    this.#heldBytes -= packet.payload.length;
  }

  /** Gives up what the first of the held packets waits for, and delivers that one. */
  #giveUp(stream: Stream): void {
    const { one, all } = stream;
    const [unicast, broadcast] = [one.lowest(), all.lowest()];
    const follows = one.held.get(unicast)?.after ?? Infinity;
    const [line, other, number] = follows < broadcast
      ? [one, all, unicast]
      : [all, one, broadcast];
    const packet = line.held.get(number);
    if (packet === undefined) return;
    this.#unhold(line, number, packet);
    const missed = line.skip(number - 1) + other.skip(packet.after);
    line.skip(number);
    this.#miss(stream, missed);
    this.#pass(stream, line, number, packet);
    this.#drain(stream);
  }

  /** Delivers all that is held. */
  #release(stream: Stream): void {
    while (this.#isHolding(stream)) this.#giveUp(stream);
  }

  #miss({ origin }: Stream, count: number): void {
    if (count === 0 || this.#closed) return;
    if (count > MAX_MISSED) {
      this.counters.absurd++;
      return;
    }
    this.counters.missed += count;
    this.#context.up.missed?.(origin, count);
  }

  /** Delivers a packet whose turn it is. */
  #pass(stream: Stream, line: Line, number: number, packet: Held): void {
    const { one, all } = stream;
    line.deliver(number);
    if (line === one) all.pass(packet.after);
    else if (packet.after > 0) one.pass(packet.after);
    this.#deliver(stream, packet.payload);
  }

  #deliver({ origin }: Stream, payload: Uint8Array): void {
    this.#context.up.deliver(origin, payload);
  }

  #wakeBy(time: number): void {
    if (time >= this.#wakeAt) return;
    this.#cancel();
    this.#wakeAt = time;
    const delay = Math.max(0, time - this.#context.clock.now());
    this.#cancel = this.#context.clock.after(delay, () => this.#expire());
  }

  #expire(): void {
    this.#wakeAt = Infinity;
    const now = this.#context.clock.now();
    for (const stream of this.#waiting) {
      while (this.#isHolding(stream) && stream.deadline <= now) {
        stream.patience = Math.max(PATIENCE, stream.patience / 2);
        this.#giveUp(stream);
      }
    }
    for (const stream of this.#waiting) this.#wakeBy(stream.deadline);
  }
}

function nothing(): void {}
