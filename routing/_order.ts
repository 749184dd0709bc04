import { MalformedError, type Reader, type Writer } from "./_bytes.ts";
import { IdMap } from "./_id_map.ts";
import { readId } from "./_peer_codec.ts";
import { epochOf } from "./incarnation.ts";
import type {
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
} from "./types.ts";

/** How far a number may be from the others of its series. */
export const WINDOW = 1024;
/** The first series that `firstOf` leaves to routers; there are four. */
export const OWN_SERIES = 4;

/** How long a packet is held for those before it, in ms, and how long at most. */
const PATIENCE = 2000;
const MAX_PATIENCE = 8000;
/** What left longer ago than this has come, unless it is lost, in ms. */
const RECENT_TIME = 1000;
/** How long the last packets of an origin may be behind what it tells of them, in ms. */
const TAIL_PATIENCE = 30_000;
/** What all streams together hold. */
const MAX_HELD = 4096;
const MAX_HELD_BYTES = 8 * 1024 * 1024;
/** Tracks of a series, lives of an origin, and the time between two that displace others, in ms. */
const MAX_TRACKS = 2;
const OPEN_INTERVAL = 1000;
/** A track that brings nothing new for this long, in ms, is over. */
const TRACK_LIFE = 60_000;
/** Origins that are neither members nor neighbours. */
const MAX_STRANGERS = 1024;
/** Longer than a packet can be on its way, in ms: a silent stranger is forgotten then. */
const STRANGER_LIFE = 60_000;
/** Time between two searches for strangers to forget, in ms. */
const SWEEP_INTERVAL = 1000;
/** Members, neighbours and destinations that are kept. */
const MAX_NODES = 16_384;
/** No origin loses more packets in a row and is believed. */
const MAX_MISSED = 1_048_576;
/** How far the clocks of two nodes may differ, in ms. */
const MAX_SKEW = 3_600_000;
/** Unicasts that a broadcast mentions: the latest before it, to as many nodes. */
const MAX_MENTIONS = 255;

const CONTROL = 1;
const TO_ONE = 2;
const RECENT = 4;

/** A unicast that was sent before a broadcast, and to whom: the hash of its id. */
interface Mention {
  readonly hash: number;
  readonly number: number;
}

/** What tells the place of a packet among all that its origin sends. */
export interface Stamp {
  /** Who sent it first. */
  readonly origin: NodeId;
  /** Which life of the origin: {@linkcode epochOf} its incarnation. */
  readonly epoch: number;
  /** For whom; null: for all. */
  readonly to: NodeId | null;
  /** Only the data lane is kept in order. */
  readonly lane: Lane;
  /** From 1 on within its lane: one series for broadcasts, one for each destination. */
  readonly number: number;
  /** Data broadcasts of the origin before this packet; of a data broadcast, that is known. */
  readonly broadcasts: number;
  /** In a control unicast: data unicasts to the same node before it. */
  readonly unicasts: number;
  /** In a data unicast: the last of those broadcasts has left only just now. */
  readonly isRecent: boolean;
  /** In a data broadcast: the unicasts since the broadcast before it. */
  readonly mentions: readonly Mention[];
}

const NO_MENTIONS: readonly Mention[] = [];

/** Writes a stamp. */
export function writeStamp(writer: Writer, stamp: Stamp): void {
  const { to, lane } = stamp;
  writer
    .u8(
      (lane === "control" ? CONTROL : 0) | (to === null ? 0 : TO_ONE) |
        (stamp.isRecent ? RECENT : 0),
    )
    .string(stamp.origin)
    .u53(stamp.epoch)
    .u53(stamp.number);
  if (to !== null) writer.string(to);
  if (lane === "control" || to !== null) writer.u53(stamp.broadcasts);
  if (lane === "control" && to !== null) writer.u53(stamp.unicasts);
  if (lane === "control" || to !== null) return;
  writer.u8(stamp.mentions.length);
  for (const { hash, number } of stamp.mentions) writer.u32(hash).u53(number);
}

/**
 * Reads a stamp.
 *
 * @throws {MalformedError} If it is none.
 */
export function readStamp(reader: Reader): Stamp {
  const flags = reader.u8();
  if (flags > (CONTROL | TO_ONE) && flags !== (TO_ONE | RECENT)) {
    throw new MalformedError(`A stamp has the flags ${flags}`);
  }
  const lane = (flags & CONTROL) === 0 ? "data" : "control";
  const origin = readId(reader);
  const epoch = reader.u53();
  const number = reader.u53();
  const to = (flags & TO_ONE) === 0 ? null : readId(reader);
  const inOrder = lane === "data" && to === null;
  const broadcasts = inOrder ? number - 1 : reader.u53();
  const unicasts = lane === "control" && to !== null ? reader.u53() : 0;
  const mentions = inOrder ? readMentions(reader) : NO_MENTIONS;
  const isRecent = (flags & RECENT) !== 0;
  return {
    origin,
    epoch,
    to,
    lane,
    number,
    broadcasts,
    unicasts,
    isRecent,
    mentions,
  };
}

function readMentions(reader: Reader): readonly Mention[] {
  const count = reader.u8();
  if (count === 0) return NO_MENTIONS;
  const mentions: Mention[] = [];
  for (let i = 0; i < count; i++) {
    mentions.push({ hash: reader.u32(), number: reader.u53() });
  }
  return mentions;
}

/** A run of numbers, of which those near its end are told apart. */
interface Track {
  /** The first one. */
  start: number;
  /** The last one. */
  at: number;
  /** How many were news, and when the last of them came. */
  count: number;
  usedAt: number;
}

/**
 * Where a series of numbers stands. A number far from all others begins a track of its
 * own beside the one before, since it may be made up: the series goes on in the track
 * in which its numbers go on. The shorter one makes room for another, or one that has
 * not been used for a minute; once a second at most.
 */
class Series<T extends Track> {
  /** At most two, the later one first. */
  readonly tracks: T[] = [];
  #openedAt = -Infinity;

  /** The track that a number belongs to. */
  near(number: number): T | undefined {
    for (const track of this.tracks) {
      const { start, at } = track;
      if (number > start - WINDOW && number <= at + WINDOW) return track;
    }
    return undefined;
  }

  /** Begins a track. False: it is too soon for another one. */
  open(track: T): boolean {
    const { tracks } = this;
    if (tracks.length === MAX_TRACKS) {
      if (track.usedAt - this.#openedAt < OPEN_INTERVAL) return false;
      this.#openedAt = track.usedAt;
      const worth = tracks.map(({ usedAt, count }) =>
        track.usedAt - usedAt > TRACK_LIFE ? 0 : count
      );
      tracks.splice(worth.indexOf(Math.min(...worth)), 1);
    }
    tracks.push(track);
    tracks.sort((a, b) => b.start - a.start);
    return true;
  }
}

/** Which of the last 1,024 numbers of a track have been seen. */
class Seen implements Track {
  readonly start: number;
  at: number;
  count = 0;
  usedAt: number;
  readonly #bits = new Uint32Array(WINDOW / 32);

  constructor(start: number, now: number) {
    this.start = start;
    this.at = start - 1;
    this.usedAt = now;
  }

  /** Marks a number; whether that is news. */
  add(number: number, now: number): "new" | "seen" | "old" {
    if (number <= this.at - WINDOW) return "old";
    if (number > this.at) this.#advance(number);
    if (this.has(number)) return "seen";
    const bit = number % WINDOW;
    this.#bits[bit >>> 5] = this.#word(bit) | (1 << (bit & 31));
    this.count++;
    this.usedAt = now;
    return "new";
  }

  /** Whether a number has been seen, as far as that is remembered. */
  has(number: number): boolean {
    if (number > this.at || number <= this.at - WINDOW) return false;
    const bit = number % WINDOW;
    return (this.#word(bit) & (1 << (bit & 31))) !== 0;
  }

  /** A number that was marked counts as not seen again. */
  remove(number: number): void {
    if (!this.has(number)) return;
    const bit = number % WINDOW;
    this.#bits[bit >>> 5] = this.#word(bit) & ~(1 << (bit & 31));
  }

  #advance(number: number): void {
    for (let next = this.at + 1; next <= number; next++) {
      const bit = next % WINDOW;
      this.#bits[bit >>> 5] = this.#word(bit) & ~(1 << (bit & 31));
    }
    this.at = number;
  }

  #word(bit: number): number {
    return this.#bits[bit >>> 5] ?? 0;
  }
}

/** Which numbers of a series have been seen. */
class Window {
  readonly #series = new Series<Seen>();

  /** Marks a number; whether that is news, or why it cannot be told. */
  add(number: number, now: number): "new" | "seen" | "old" | "absurd" {
    const track = this.#series.near(number) ?? new Seen(number, now);
    if (track.at < track.start && !this.#series.open(track)) return "absurd";
    return track.add(number, now);
  }

  /** Whether a number has been seen, as far as that is remembered. */
  has(number: number): boolean {
    return this.#series.near(number)?.has(number) ?? false;
  }

  /** A number that was marked counts as not seen again. */
  remove(number: number): void {
    this.#series.near(number)?.remove(number);
  }
}

/** A packet that came before its turn. */
interface Held {
  readonly payload: Uint8Array;
  /** The last number of the other series that must come before it. */
  readonly after: number;
  /** That has left only just before. */
  readonly isRecent: boolean;
  /** When it came. */
  readonly since: number;
}

/** Up to where a series was delivered, or given up. */
interface Position extends Track {
  /** The last number that was delivered; -1: none was. */
  delivered: number;
  /** The origin itself told of it, and may have sent what is before. */
  isTold: boolean;
  /** What is missing before it, until a second number proves that. */
  passed: number;
}

/** A series whose packets are delivered in order. */
class Line {
  readonly #series = new Series<Position>();
  readonly held = new Map<number, Held>();
  /** What the origin said to have sent, when it was more than was heard: then, and that. */
  told = -1;
  toldAt = 0;
  heardThen = -1;

  get positions(): readonly Position[] {
    return this.#series.tracks;
  }

  /** The position that a number belongs to. */
  near(number: number): Position | undefined {
    return this.#series.near(number);
  }

  /** A packet came: the position that it belongs to. Undefined: it cannot be told. */
  place(number: number, now: number): Position | undefined {
    const position = this.#series.near(number);
    if (position === undefined) {
      const before = this.#series.tracks.find(({ at }) => at < number);
      const passed = before === undefined ? 0 : number - 1 - before.at;
      return this.#open(number, passed, false, now);
    }
    if (number > position.at) {
      position.count++;
      position.usedAt = now;
    }
    if (position.isTold && number <= position.at) {
      position.at = number - 1;
      position.start = Math.min(position.start, number);
    }
    position.isTold = false;
    return position;
  }

  /**
   * Whether the number that a packet comes after is yet to come. Of what a node was only
   * told it cannot say what is on its way; what has only just left may well be.
   */
  awaits({ after, isRecent }: Held, now: number): boolean {
    const position = this.#series.near(after);
    if (position === undefined) return false;
    if (after > position.at) return true;
    return isRecent && position.isTold && now - position.usedAt < RECENT_TIME;
  }

  /** Whether a packet is held that was sent before a number of the other series. */
  precedes(number: number): boolean {
    for (const { after } of this.held.values()) if (after < number) return true;
    return false;
  }

  /** A number is delivered. */
  deliver(number: number): void {
    const position = this.#series.near(number);
    if (position === undefined) return;
    position.delivered = Math.max(position.delivered, number);
  }

  /** What comes after a number is delivered: where nothing else was told, it begins there. */
  pass(number: number): void {
    const position = this.#series.near(number);
    if (!position?.isTold) return;
    position.isTold = false;
    position.at = Math.min(position.at, number);
  }

  /** Whether a later number than this one has been delivered. */
  isPast(number: number): boolean {
    return number < (this.#series.near(number)?.delivered ?? -1);
  }

  /** Passes over what is missing up to a number; returns how many that were. */
  skip(number: number): number {
    const position = this.#series.near(number);
    // What is out of reach is made up.
    if (position === undefined) return 0;
    position.isTold = false;
    const missed = Math.max(0, number - position.at);
    position.at += missed;
    return missed;
  }

  /** The origin has sent all up to a number: where nothing was heard, that is the beginning. */
  begin(number: number, now: number): void {
    if (this.#series.tracks.length === 0) this.#open(number + 1, 0, true, now);
  }

  #open(
    start: number,
    passed: number,
    isTold: boolean,
    usedAt: number,
  ): Position | undefined {
    const at = start - 1;
    const position = {
      start,
      at,
      delivered: -1,
      passed,
      isTold,
      count: 1,
      usedAt,
    };
    return this.#series.open(position) ? position : undefined;
  }

  /** The lowest number that is held. */
  lowest(): number {
    let lowest = Infinity;
    for (const number of this.held.keys()) lowest = Math.min(lowest, number);
    return lowest;
  }

  /** When the packet came that has been held for longest. */
  oldest(): number {
    for (const { since } of this.held.values()) return since;
    return Infinity;
  }
}

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

/** What this node has sent to another one. */
interface Destination {
  data: number;
  control: number;
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
 *   {@linkcode Series}.
 * - **Bounds.** 4,096 packets and 8 MiB are held in all; whose packet comes when that is
 *   full gives up what it waits for. 16,384 members and neighbours, and 1,024 others:
 *   more are refused until one has been silent for 60 s. About 1 KiB each.
 */
export class Order {
  readonly #context: RouterContext;
  readonly #hash: number;
  readonly #origins = new IdMap<Origin>();
  #strangers = 0;
  #sweptAt = -Infinity;
  /** The latest epoch of this node and its neighbours, minus the clock at the time. */
  #epochOffset: number;
  readonly #waiting = new Set<Stream>();
  #held = 0;
  #heldBytes = 0;
  #wakeAt = Infinity;
  #cancel: () => void = nothing;
  #closed = false;
  // What this node sends.
  #epoch: number;
  #broadcasts: Destination = { data: 0, control: 0 };
  #broadcastAt = -Infinity;
  readonly #destinations = new IdMap<Destination>();
  /** Where a destination starts that was forgotten, or never known. */
  #base = 0;
  readonly #mentions = new IdMap<number>();
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
    this.#hash = hashOf(context.self.id);
    this.#epoch = epochOf(context.self.incarnation);
    this.#epochOffset = this.#epoch - context.clock.now();
  }

  // -- Sending --

  /** The stamp of the next packet to a node, or with `null` to all. */
  next(to: NodeId | null, lane: Lane): Stamp {
    const epoch = epochOf(this.#context.self.incarnation);
    if (epoch !== this.#epoch) this.#beginEpoch(epoch);
    const origin = this.#context.self.id;
    const broadcasts = this.#broadcasts.data;
    const target = to === null ? this.#broadcasts : this.#destination(to);
    const unicasts = target.data;
    const number = ++target[lane];
    let mentions = NO_MENTIONS;
    let isRecent = false;
    if (lane === "data") {
      const now = this.#context.clock.now();
      if (to === null) {
        mentions = this.#takeMentions();
        this.#broadcastAt = now;
      } else {
        this.#mention(to, number);
        isRecent = now - this.#broadcastAt < RECENT_TIME;
      }
    }
    return {
      origin,
      epoch,
      to,
      lane,
      number,
      broadcasts,
      unicasts,
      isRecent,
      mentions,
    };
  }

  #beginEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#broadcasts = { data: 0, control: 0 };
    this.#broadcastAt = -Infinity;
    this.#destinations.clear();
    this.#mentions.clear();
    this.#base = 0;
  }

  #destination(to: NodeId): Destination {
    const known = this.#destinations.get(to);
    if (known !== undefined) return known;
    if (this.#destinations.size >= MAX_NODES) {
      for (const { data, control } of this.#destinations.values()) {
        this.#base = Math.max(this.#base, data, control);
      }
      this.#destinations.clear();
    }
    const made = { data: this.#base, control: this.#base };
    this.#destinations.set(to, made);
    return made;
  }

  #mention(to: NodeId, number: number): void {
    this.#mentions.delete(to); // to the end
    this.#mentions.set(to, number);
    if (this.#mentions.size <= MAX_MENTIONS) return;
    for (const oldest of this.#mentions.keys()) {
      this.#mentions.delete(oldest);
      return;
    }
  }

  #takeMentions(): readonly Mention[] {
    if (this.#mentions.size === 0) return NO_MENTIONS;
    const mentions: Mention[] = [];
    for (const [id, number] of this.#mentions) {
      mentions.push({ hash: hashOf(id), number });
    }
    this.#mentions.clear();
    return mentions;
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
      const epoch = epochOf(incarnation);
      const offset = epoch - this.#context.clock.now();
      this.#epochOffset = Math.max(this.#epochOffset, offset);
      const origin = this.#keep(id);
      if (origin === null) return;
      origin.isLinked = true;
      this.#learn(origin, epoch);
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
    if (epoch !== known && !this.#isPlausible(epoch)) {
      this.counters.implausible++;
      return null;
    }
    if (streams.length === MAX_TRACKS) {
      if (epoch !== known && now - origin.openedAt < OPEN_INTERVAL) {
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
    if (!this.#isPlausible(epoch)) {
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

  #isPlausible(epoch: number): boolean {
    return epoch <= this.#epochOffset + this.#context.clock.now() + MAX_SKEW;
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

function hashOf(id: NodeId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

function nothing(): void {}
