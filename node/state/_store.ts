import type { Codec } from "@devts/protocol";
import { malformed, Reader, ValueCodec, Writer } from "./_bytes.ts";
import { shown } from "./_checks.ts";
import {
  type Asked,
  differing,
  MAX_ASKED,
  readAsked,
  readBuckets,
  readNumbers,
  summarize,
  type Summary,
  SUMMARY_SIZE,
  writeAsked,
  writeBuckets,
  writeHashes,
  writeNumbers,
} from "./_compare.ts";
import { Entries, type Write } from "./_entries.ts";
import { HybridClock, MAX_DRIFT, WARN_DRIFT } from "./hlc.ts";
import {
  ACK,
  COMPARE,
  DONE,
  EMPTY,
  EQUAL,
  type Head,
  NEW,
  PARTIAL,
  readHead,
  SCAN,
  type Span,
  Told,
  writeEntry,
  writeHead,
} from "./_page.ts";
import { type Lacking, lacking } from "./_lacking.ts";
import { bucketOf, BUCKETS, firstOf } from "./_merkle.ts";
import { KeyOrder } from "./_order.ts";
import {
  isOver,
  readLife,
  type Replica,
  replicaId,
  type Settled,
} from "./_replicas.ts";
import {
  isAfter,
  type Place,
  type Range,
  readRange,
  writePlace,
  writeRange,
} from "./_scan.ts";
import { StagedWrites } from "./_staged.ts";

/** A page of a transfer ends with the entry that brings it to this size, in bytes. */
const PAGE_SIZE = 262_144;
/** What an entry takes beside its value, at most, in bytes. */
const ENTRY_ROOM = 1_088;

/** Who knows of no writes of others takes over everything where there is more than this. */
const MUCH = 256;
/** The order of all keys is given up when nobody has asked for so long, in ms. */
const ORDER_UNUSED = 10_000;
/** It is made anew after so long, in ms. */
const ORDER_AGE = 60_000;

// Changes that came before others that they follow wait for those, within these bounds.
const EARLY_EACH = 256;
const EARLY_BYTES = 4_194_304;

/** What became of changes that another node told of. */
export type Received =
  /** They are merged. */
  | "taken"
  /** They were known. */
  | "known"
  /** Something before them is missing. */
  | "gap";

/** What a store is made with. */
export interface StoreOptions {
  /** The id of the replica that writes here. */
  readonly replica: string;
  readonly codec: Codec;
  /** The time of day, for stamps. */
  readonly wallClock: () => number;
  /** The time of day as the cluster has it, to judge the stamps of others by. */
  readonly clusterTime: () => number;
  /** The clock of timeouts. */
  readonly now: () => number;
  /** The longest value, in bytes. */
  readonly maxValue: number;
  /** Which keys collide in a table, 0 ≤ x < 1: nobody else knows. */
  readonly secret: number;
  /** Where the clock of an earlier run had come to. */
  readonly lastStamp?: { readonly time: number; readonly counter: number };
}

/** What a store met. */
export interface StoreCounters {
  /** Deltas of others that were merged. */
  deltas: number;
  /** Deltas that came before others that they follow. */
  gaps: number;
  /** Of those, how many were dropped for want of room. */
  earlyDropped: number;
  /** Messages of others that were refused: malformed, or from too far in the future. */
  refused: number;
  /** Messages whose stamps were over a second ahead. */
  ahead: number;
  /** Pages of transfers that were merged. */
  pages: number;
  /** Bytes of those pages. */
  pageBytes: number;
  /** Entries that were compared by hashes, since lists of changes did not reach back so far. */
  comparisons: number;
}

/** Changes that wait for those before them. */
interface Early {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** How a change of an entry is told to its watchers. */
export type Changed = (
  key: string,
  value: unknown,
  isDelete: boolean,
  isLocal: boolean,
) => void;

/** A stamp of another node is too far in the future. */
export class DriftError extends Error {
  constructor(time: number, now: number) {
    super(
      `it was stamped ${
        Math.round((time - now) / 1000)
      } s ahead of the time here; at most ${MAX_DRIFT / 1000} s are taken`,
    );
    this.name = "DriftError";
  }
}

/**
 * A replicated map whose entries are last writes, as a machine without I/O: what it
 * says to others and what they say to it are bytes that somebody else carries.
 *
 * Deltas follow Almeida, Shoker and Baquero, "Delta State Replicated Data Types"
 * (2018): each tells of the writes of one replica between two numbers, and is merged
 * only where nothing before it is missing.
 */
export class Store {
  readonly entries: Entries;
  readonly clock: HybridClock;
  /** This life of this node. Its mark is the number up to which its writes are made, or refused. */
  self: Replica;
  /** The number of the last write, also if it waits for the storage. */
  lastSeq = 0;
  /** Writes that wait for the storage. */
  readonly staged = new StagedWrites();
  readonly counters: StoreCounters = {
    deltas: 0,
    gaps: 0,
    earlyDropped: 0,
    refused: 0,
    ahead: 0,
    pages: 0,
    pageBytes: 0,
    comparisons: 0,
  };
  /** Told of each change. */
  changed: Changed | null = null;
  readonly #options: StoreOptions;
  readonly #codec: ValueCodec;
  readonly #entriesTold = new Told();
  readonly #pending = new Writer(4_096);
  /** The number of the last write that has been told to others. */
  #told = 0;
  #order: KeyOrder | null = null;
  /** When it was made, and last asked for. */
  #orderedAt = 0;
  #orderUsedAt = 0;
  readonly #early = new Map<Replica, Early[]>();
  #earlyBytes = 0;
  readonly #write: Write;
  /** Takes what was told and not taken, where somebody wants to know. */
  #refused: Summary[] | null = null;
  readonly #scratch = new Writer(PAGE_SIZE + 65_536);

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#codec = new ValueCodec(options.codec);
    this.entries = new Entries(options.secret);
    this.clock = new HybridClock(options.wallClock, options.lastStamp);
    this.self = this.entries.replicas.intern(options.replica);
    this.#write = {
      key: "",
      replica: this.self,
      seq: 0,
      time: 0,
      counter: 0,
      isDelete: false,
      value: undefined,
    };
  }

  /**
   * A replica that an earlier run knew. Where that was a later life of this node (its
   * clock has been set back), this life becomes one after it.
   *
   * @throws {SyntaxError} If the id is malformed.
   */
  restore(id: string): Replica {
    const { replicas } = this.entries;
    const replica = replicas.intern(id);
    const { self } = this;
    const isLater = replica.node === self.node &&
      replica.incarnation >= self.incarnation;
    if (!isLater) return replica;
    if (replica !== self) replicas.forget(self);
    this.self = replicas.intern(replicaId(self.node, replica.incarnation + 1));
    return replica;
  }

  /** Forgets everything: what was read of a storage cannot be relied on. */
  reset(): void {
    const { entries } = this;
    for (let slot = 0; slot < entries.slots; slot++) entries.drop(slot);
    entries.replicas.settled.clear();
    for (const replica of entries.replicas) {
      replica.mark = 0;
      replica.floor = 0;
    }
  }

  // -- Writing --

  /** How many bytes the writes take that have not been told to others. */
  get pendingBytes(): number {
    return this.#pending.at;
  }

  /**
   * Makes a write.
   *
   * @returns Its number among those of this replica.
   * @throws {TypeError} If the value cannot be encoded.
   * @throws {RangeError} If it takes too many bytes.
   */
  write(key: string, value: unknown, isDelete: boolean): number {
    const { staged, self } = this;
    // Whatever comes after writes that wait is told after them.
    const waits = staged.size > 0;
    this.#encode(waits ? staged.writer : this.#pending, key, value, isDelete);
    const seq = ++this.lastSeq;
    if (!waits) self.mark = seq;
    const { clock } = this;
    const write = this.#write;
    write.key = key;
    write.replica = self;
    write.seq = seq;
    write.time = clock.time;
    write.counter = clock.counter;
    write.isDelete = isDelete;
    write.value = value;
    this.entries.merge(write);
    write.value = undefined;
    this.changed?.(key, value, isDelete, true);
    return seq;
  }

  /**
   * Prepares a write, which is made, and told to others, once the storage has it: by
   * `keep`. As `write`.
   *
   * @returns Settles once it is made or refused, and `staged.settle` says so.
   */
  stage(key: string, value: unknown, isDelete: boolean): Promise<void> {
    const { clock, staged } = this;
    const start = staged.end;
    const size = this.#encode(staged.writer, key, value, isDelete);
    return staged.add({
      key,
      replica: this.self,
      seq: ++this.lastSeq,
      time: clock.time,
      counter: clock.counter,
      isDelete,
      value,
      start,
      end: staged.end,
      size: 4 + size,
    });
  }

  /** Makes the writes up to a number: the storage has them. */
  keep(seq: number): void {
    const { entries, staged, self } = this;
    const kept = staged.keep(seq, this.#pending);
    // A watcher may write, and that may tell others of all that is pending.
    self.mark = staged.firstSeq === null ? this.lastSeq : staged.firstSeq - 1;
    const isDirty = entries.tracksDirty;
    for (const write of kept) {
      // It stands in the storage as it is; what it did not replace does not.
      entries.tracksDirty = false;
      const merged = entries.merge(write);
      entries.tracksDirty = isDirty;
      const { key, value, isDelete } = write;
      if (merged === "taken") this.changed?.(key, value, isDelete, true);
    }
  }

  /** Makes none of the writes that wait: the storage fails. */
  refuse(): void {
    const refused = this.staged.refuse(this.#pending);
    this.self.mark = this.lastSeq;
    // What was left out of a transaction for the sake of them was not.
    for (const { key } of refused) this.entries.soilKey(key);
  }

  /** Stamps a write and tells it to others, or throws and does neither; returns the size of its value. */
  #encode(
    writer: Writer,
    key: string,
    value: unknown,
    isDelete: boolean,
  ): number {
    const { clock } = this;
    const { maxValue } = this.#options;
    const start = writer.at;
    const seq = this.lastSeq + 1;
    clock.tick();
    let size = 0;
    try {
      size = writeEntry(
        writer,
        this.#codec,
        0,
        seq,
        clock.time,
        clock.counter,
        key,
        isDelete,
        value,
      );
    } catch (error) {
      writer.at = start;
      throw error;
    }
    if (size <= maxValue) return size;
    writer.at = start;
    throw new RangeError(
      `its value takes ${size} bytes, at most ${maxValue} are allowed`,
    );
  }

  /**
   * The writes since the last call, for all others; `null`: there are none. The bytes
   * are good until the next call.
   *
   * @param ack Whether others are to say that they hold it.
   */
  takeDelta(ack: boolean): Uint8Array | null {
    const pending = this.#pending;
    if (pending.at === 0) return null;
    const { id, mark } = this.self;
    const writer = this.#scratch;
    writer.at = 0;
    writeHead(writer, {
      ...EMPTY,
      flags: ack ? ACK : 0,
      wallClock: this.#options.wallClock(),
      spans: [{ id, from: this.#told, to: mark }],
    });
    writer.append(pending.view());
    this.#told = mark;
    pending.at = 0;
    return writer.view();
  }

  // -- Deltas of others --

  /**
   * Takes what another node's `takeDelta` gave.
   *
   * @param from The id of that node: nobody tells of the writes of another one so.
   * @returns What became of it, whose writes they are, and up to which number; `ack`:
   * their writer waits to hear of it.
   * @throws {SyntaxError} If it is malformed; then nothing of it is merged.
   * @throws {DriftError} If it is from too far in the future; likewise.
   */
  receive(
    bytes: Uint8Array,
    from?: string,
  ): { received: Received; replica: Replica; to: number; ack: boolean } {
    const reader = new Reader(bytes);
    const head = readHead(reader);
    const [span] = head.spans;
    if (!span || head.spans.length > 1) {
      throw malformed("a delta is of one replica");
    }
    if (from !== undefined && readLife(span.id)?.node !== from) {
      throw malformed(`it tells of writes of "${shown(span.id)}" as its own`);
    }
    const replica = this.entries.replicas.intern(span.id);
    const ack = (head.flags & ACK) !== 0;
    const { to } = span;
    const isKnown = replica === this.self || to <= replica.mark ||
      this.entries.replicas.isPast(replica);
    if (isKnown) {
      return { received: "known", replica, to, ack };
    }
    if (span.from > replica.mark) {
      this.#keepEarly(replica, span, bytes);
      return { received: "gap", replica, to, ack };
    }
    this.#merge(bytes, reader, head);
    this.counters.deltas++;
    this.#advance(replica, to);
    this.#drain(replica);
    return { received: "taken", replica, to, ack };
  }

  #keepEarly(replica: Replica, { from, to }: Span, bytes: Uint8Array): void {
    this.counters.gaps++;
    const waiting = this.#early.get(replica) ?? [];
    const isFull = waiting.length >= EARLY_EACH ||
      this.#earlyBytes + bytes.length > EARLY_BYTES;
    if (isFull) {
      this.counters.earlyDropped++;
      return;
    }
    waiting.push({ from, to, bytes: bytes.slice() });
    waiting.sort((a, b) => a.from - b.from);
    this.#earlyBytes += bytes.length;
    this.#early.set(replica, waiting);
  }

  /** What waited for those that are there now. */
  #drain(replica: Replica): void {
    const waiting = this.#early.get(replica);
    if (!waiting) return;
    for (let early = waiting[0]; early; early = waiting[0]) {
      if (early.from > replica.mark) return;
      waiting.shift();
      this.#earlyBytes -= early.bytes.length;
      if (early.to > replica.mark) this.#takeEarly(replica, early);
    }
    this.#early.delete(replica);
  }

  #takeEarly(replica: Replica, { to, bytes }: Early): void {
    try {
      const reader = new Reader(bytes);
      const head = readHead(reader);
      this.#merge(bytes, reader, head);
      this.#advance(replica, to);
    } catch {
      // What follows waits for a transfer.
      this.counters.refused++;
    }
  }

  #advance(replica: Replica, to: number): void {
    if (to <= replica.mark) return;
    replica.mark = to;
    replica.moved = this.#options.now();
  }

  /**
   * Merges the entries of a message: all, or, where one is malformed or from too far in
   * the future, none.
   */
  #merge(
    bytes: Uint8Array,
    reader: Reader,
    head: Head,
    repairs = false,
  ): number {
    const told = this.#entriesTold;
    try {
      told.read(bytes, reader, head, this.#codec);
      const { replicas } = this.entries;
      const origins = head.spans.map(({ id }) => replicas.intern(id));
      this.#check(told, origins);
      return this.#mergeAll(told, origins, repairs);
    } finally {
      told.clear();
    }
  }

  /** Refuses what no write can be; what is taken is before all that is stamped here from now on. */
  #check(told: Told, origins: readonly Replica[]): void {
    const { spans, seqs, times, counters } = told;
    const now = this.#options.clusterTime();
    let latest = 0;
    let counter = 0;
    for (let i = 0; i < told.count; i++) {
      const time = times[i] ?? 0;
      const count = counters[i] ?? 0;
      if (time > latest || time === latest && count > counter) {
        latest = time;
        counter = count;
      }
      const isOwn = origins[spans[i] ?? 0] === this.self;
      if (isOwn && (seqs[i] ?? 0) > this.lastSeq) {
        throw malformed("it tells of writes that this node never made");
      }
    }
    if (latest > now + MAX_DRIFT) throw new DriftError(latest, now);
    if (latest > now + WARN_DRIFT) this.counters.ahead++;
    if (told.count > 0) this.clock.witness(latest, counter);
  }

  #mergeAll(
    told: Told,
    origins: readonly Replica[],
    repairs: boolean,
  ): number {
    const { entries } = this;
    const write = this.#write;
    // What has been here is no news where nothing is left of it: it was deleted, and the
    // deletion has been forgotten.
    const known = origins.map((replica) =>
      repairs ? 0 : entries.replicas.isPast(replica) ? Infinity : replica.mark
    );
    let changes = 0;
    for (let i = 0; i < told.count; i++) {
      const span = told.spans[i] ?? 0;
      const replica = origins[span];
      const seq = told.seqs[i] ?? 0;
      const key = told.keys[i] ?? "";
      if (!replica) continue;
      const isDelete = told.deletes[i] === 1;
      const value = told.values[i];
      write.key = key;
      write.replica = replica;
      write.seq = seq;
      write.time = told.times[i] ?? 0;
      write.counter = told.counters[i] ?? 0;
      write.isDelete = isDelete;
      write.value = value;
      const isPast = seq <= (known[span] ?? 0) && entries.find(key) < 0;
      if (isPast || entries.merge(write) !== "taken") {
        this.#refused?.push(entries.summaryOf(write));
        continue;
      }
      this.changed?.(key, value, isDelete, false);
      changes++;
    }
    write.value = undefined;
    return changes;
  }

  // -- Transfers: asking --

  /** How far this node is with each replica: where a transfer begins. */
  marks(): Map<string, number> {
    const marks = new Map<string, number>();
    for (const replica of this.entries.replicas) {
      const isTold = replica === this.self ||
        !this.entries.replicas.isSettled(replica);
      if (isTold) marks.set(replica.id, replica.mark);
    }
    return marks;
  }

  /** Whether there are writes of this node that others are not told yet. */
  get isAhead(): boolean {
    return this.self.top > this.self.mark;
  }

  /** Whether entries of others are held of which it is not known that all before them are. */
  get isPartial(): boolean {
    const { replicas } = this.entries;
    for (const replica of replicas) {
      const { top, mark } = replica;
      const isCut = top > mark && replica !== this.self;
      if (isCut && !replicas.isSettled(replica)) return true;
    }
    return false;
  }

  /**
   * Asks for what follows; `cursor` says how far the transfer has come, `isNew`: that
   * everything may be told instead.
   */
  askPull(cursor: ReadonlyMap<string, number>, isNew: boolean): Uint8Array {
    const spans = [...cursor].map(([id, to]) => ({ id, from: 0, to }));
    const writer = new Writer(256);
    const flags = isNew ? NEW : 0;
    writeHead(writer, { ...this.#answerHead(), flags, spans });
    return writer.view();
  }

  /** Asks for a page of everything in a range. */
  askScan(range: Range): Uint8Array {
    return writeRange(this.#answerHead(), range);
  }

  /**
   * Merges a page of a transfer.
   *
   * @param repairs Whether it takes again what has been here before.
   * @returns How many entries changed.
   * @throws {SyntaxError} If it is malformed; then nothing of it is merged.
   * @throws {DriftError} If it is from too far in the future; likewise.
   */
  takePage(
    bytes: Uint8Array,
    reader: Reader,
    head: Head,
    repairs = false,
  ): number {
    const changes = this.#merge(bytes, reader, head, repairs);
    this.counters.pages++;
    this.counters.pageBytes += bytes.length;
    return changes;
  }

  /**
   * A transfer is complete: this node holds what the other held.
   *
   * @param floors Up to which numbers the other one had collected tombstones: this node has
   * not seen them either, and cannot tell of them by lists.
   * @returns The replicas of which more is known now.
   */
  complete(
    cursor: ReadonlyMap<string, number>,
    settled: Head["settled"],
    floors?: ReadonlyMap<string, number>,
  ): Replica[] {
    const { replicas } = this.entries;
    const moved: Replica[] = [];
    for (const [id, to] of cursor) {
      const replica = replicas.intern(id);
      if (replica === this.self || to <= replica.mark) continue;
      const floor = Math.min(to, floors?.get(id) ?? 0);
      if (floor > replica.floor) replica.floor = floor;
      this.#advance(replica, to);
      this.#drain(replica);
      moved.push(replica);
    }
    for (const [node, one] of settled) {
      // Where others have taken this node for gone, what it writes from then on counts.
      const isOurs = node === this.self.node &&
        !isOver(this.self, one, one.mark);
      if (!isOurs) this.#settle(node, one);
    }
    this.#forgetEmpty();
    return moved;
  }

  /**
   * Speaks no more of lives of nodes that are over: in the order of the lives, as long
   * as `isOver` says so of each. `isLast`: no later life is known.
   *
   * @returns How many.
   */
  settle(isOver: (replica: Replica, isLast: boolean) => boolean): number {
    const { replicas } = this.entries;
    const lives = [...replicas]
      .filter((one) => one !== this.self && !replicas.isSettled(one))
      .sort((a, b) => a.incarnation - b.incarnation);
    const running = new Set<string>();
    let count = 0;
    for (const replica of lives) {
      const { node, incarnation } = replica;
      if (running.has(node)) continue;
      const isLast = node !== this.self.node &&
        lives.every((one) =>
          one.node !== node || one.incarnation <= incarnation
        );
      if (isOver(replica, isLast)) {
        this.#settle(node, replica);
        count++;
      } else running.add(node);
    }
    this.#forgetEmpty();
    return count;
  }

  #settle(node: string, { incarnation, mark }: Settled): void {
    const { replicas } = this.entries;
    replicas.settle(node, { incarnation, mark });
    const replica = replicas.get(replicaId(node, incarnation));
    if (replica) replica.mark = Math.max(replica.mark, mark);
  }

  /** Whether a life is over, and what it wrote is known everywhere. */
  isOver(id: string): boolean {
    const { replicas } = this.entries;
    const replica = replicas.get(id);
    if (replica) return replica !== this.self && replicas.isSettled(replica);
    const life = readLife(id);
    return life !== null &&
      isOver(replicas.settled.get(`n:${life.node}`), life, 0);
  }

  /** Forgets lives that are over and of whose writes none is left. */
  #forgetEmpty(): void {
    const { replicas } = this.entries;
    for (const replica of [...replicas]) {
      const isOver = replica !== this.self && replicas.isSettled(replica);
      if (isOver && replica.log.live === 0) replicas.forget(replica);
    }
  }

  // -- Transfers: answering --

  /**
   * Answers `askPull`: the entries that are last words of writes after those that the
   * other node has, oldest first.
   *
   * @param isWhole Whether this node has taken over everything: then it says what came of
   * what both know of.
   * @throws {SyntaxError} If what is asked is malformed.
   */
  answerPull(asked: Head, isWhole = true): Uint8Array {
    const known = new Map(asked.spans.map(({ id, to }) => [`r:${id}`, to]));
    const over = overOf(asked);
    const compares = this.#mustCompare(known, over);
    if ((asked.flags & NEW) !== 0 && (compares || this.#isMuch(known))) {
      return this.#answer({ flags: SCAN, spans: [] });
    }
    if (compares) return this.#answer({ flags: COMPARE, spans: [] });
    if (isWhole && !this.isAhead && this.#isEqual(asked, known, over)) {
      return this.#answerEqual();
    }
    const { entries } = this;
    const scratch = this.#scratch;
    scratch.at = 0;
    const spans: Span[] = [];
    let isDone = true;
    for (const replica of entries.replicas) {
      const { id, log, mark } = replica;
      const from = known.get(`r:${id}`) ?? 0;
      const settled = over.get(`n:${replica.node}`);
      if (from >= mark || isOver(settled, replica, mark)) continue;
      const isLastSettled = settled?.incarnation === replica.incarnation;
      const held = isLastSettled ? Math.max(from, settled.mark) : from;
      if (scratch.at >= PAGE_SIZE) {
        isDone = false;
        break;
      }
      let to = mark;
      for (let i = log.after(held); i < log.length; i++) {
        // A transfer to this node may have brought entries before it is complete.
        if (log.number(i) > mark) break;
        if (scratch.at >= PAGE_SIZE) {
          to = log.number(i) - 1;
          isDone = false;
          break;
        }
        const isLast = entries.isLast(replica, log.number(i), log.slot(i));
        if (isLast && !this.#addSlot(scratch, spans.length, log.slot(i))) {
          to = log.number(i) - 1;
          isDone = false;
          break;
        }
      }
      spans.push({ id, from, to });
    }
    return this.#answer({ flags: isDone ? DONE : 0, spans }, scratch);
  }

  /** Whether a list of what a newcomer lacks is so long that it takes over everything. */
  #isMuch(known: ReadonlyMap<string, number>): boolean {
    let count = 0;
    for (const { id, log } of this.entries.replicas) {
      count += log.length - log.after(known.get(`r:${id}`) ?? 0);
    }
    return count > MUCH;
  }

  /** Whether another node knows of exactly the same writes. */
  #isEqual(
    asked: Head,
    known: ReadonlyMap<string, number>,
    over: ReadonlyMap<string, Settled>,
  ): boolean {
    const { replicas } = this.entries;
    for (const replica of replicas) {
      const settled = over.get(`n:${replica.node}`);
      const isPast = isOver(settled, replica, replica.mark) ||
        replicas.isSettled(replica);
      if (isPast) continue;
      if ((known.get(`r:${replica.id}`) ?? 0) !== replica.mark) return false;
    }
    return asked.spans.every(({ id, to }) => to === 0 || replicas.has(id));
  }

  #answerEqual(): Uint8Array {
    const writer = new Writer(512);
    const flags = DONE | EQUAL | (this.isPartial ? PARTIAL : 0);
    writeHead(writer, { ...this.#answerHead(), flags });
    const { low, high } = this.entries.digest();
    writer.u32(low);
    writer.u32(high);
    return writer.view();
  }

  /**
   * Answers `askScan`: a page of everything in a range.
   *
   * @param isWhole Whether this node has taken over everything; otherwise it has nothing
   * to say.
   * @throws {SyntaxError} If what is asked is malformed.
   */
  answerScan(bytes: Uint8Array, isWhole = true): Uint8Array {
    const { from, to } = readRange(bytes);
    if (!isWhole) return this.#answer({ flags: SCAN | NEW, spans: [] });
    const order = this.#ordered();
    const spans = Array.from(
      this.entries.replicas,
      (replica) => spanOf(replica, order.marks.get(replica) ?? 0),
    );
    const indexOf = this.#spanIndex(spans);
    const scratch = this.#scratch;
    scratch.at = 0;
    const next = this.#addRange(scratch, order, indexOf, { from, to });
    const writer = new Writer(512 + scratch.at);
    const flags = SCAN | (next ? 0 : DONE);
    writeHead(writer, { ...this.#answerHead(), flags, spans });
    if (next) writePlace(writer, next);
    writer.append(scratch.view());
    return writer.view();
  }

  /** Adds what fits of a range to a page; returns where the next one begins, `null`: it ends. */
  #addRange(
    writer: Writer,
    order: KeyOrder,
    indexOf: ReadonlyMap<number, number>,
    { from, to }: Range,
  ): Place | null {
    const { entries } = this;
    let last = from;
    for (let bucket = bucketOf(from.hash); bucket < BUCKETS; bucket++) {
      if (firstOf(bucket) >= to) return null;
      for (const slot of order.bucket(bucket)) {
        const hash = entries.hashAt(slot);
        const key = entries.keyAt(slot) ?? "";
        if (hash >= to) return null;
        if (!isAfter(hash, key, from)) continue;
        const span = indexOf.get(entries.originAt(slot)) ?? 0;
        const isAdded = writer.at < PAGE_SIZE &&
          this.#addSlot(writer, span, slot);
        if (!isAdded) return last;
        last = { hash, after: key };
      }
    }
    return null;
  }

  /** All keys in their order: what comes later is told by lists. */
  #ordered(): KeyOrder {
    const now = this.#options.now();
    if (!this.#order || now - this.#orderedAt >= ORDER_AGE) {
      this.#order = new KeyOrder(this.entries);
      this.#orderedAt = now;
    }
    this.#orderUsedAt = now;
    return this.#order;
  }

  /** Gives up what nobody has asked for in a while. */
  rest(): void {
    const unused = this.#options.now() - this.#orderUsedAt;
    if (unused >= ORDER_UNUSED) this.#order = null;
  }

  // -- Comparisons --

  /** Asks for the hashes under some nodes of a level of the tree: at most 1,024. */
  askHashes(level: number, indices: readonly number[]): Uint8Array {
    return writeAsked({ head: this.#answerHead(), level, indices });
  }

  /**
   * Answers `askHashes`.
   *
   * @throws {SyntaxError} If what is asked is malformed.
   */
  answerHashes(bytes: Uint8Array): Uint8Array {
    const head = { ...this.#answerHead(), spans: this.#allSpans() };
    return writeHashes(this.entries, head, readAsked(bytes));
  }

  /** Which nodes of the next level differ, by what `answerHashes` gave. */
  differing(
    reader: Reader,
    level: number,
    indices: readonly number[],
  ): number[] {
    this.counters.comparisons++;
    const asked: Asked = { head: EMPTY, level, indices };
    return differing(this.entries, reader, asked);
  }

  /** What is here of some buckets that differ, and what is not. */
  lacking(buckets: readonly number[]): Lacking {
    return lacking(this.entries, buckets);
  }

  /** So many buckets can be asked about at once: what is here of them takes half a message. */
  get bucketsAtOnce(): number {
    const room = this.#options.maxValue / 2 / SUMMARY_SIZE;
    const each = Math.max(1, this.entries.slots / BUCKETS);
    return Math.max(1, Math.min(MAX_ASKED, Math.floor(room / each)));
  }

  /** Asks for what differs in some buckets, at most 1,024, but for what has been `refused`. */
  askBuckets(
    buckets: readonly number[],
    refused: readonly Summary[],
  ): { question: Uint8Array; slots: readonly number[] } {
    const { slots, summaries } = summarize(this.entries, buckets);
    const question = writeBuckets(this.#answerHead(), buckets, [
      ...summaries,
      ...refused,
    ]);
    return { question, slots: [...slots, ...refused.map(() => -1)] };
  }

  /**
   * Answers `askBuckets`: with what the other node has not, and which of its keys are
   * not here.
   *
   * @throws {SyntaxError} If what is asked is malformed.
   */
  answerBuckets(bytes: Uint8Array): Uint8Array {
    const { buckets, summaries } = readBuckets(bytes);
    const { entries } = this;
    const known = new Set(summaries.map(versionKey));
    const held = new Set<number>();
    const spans = this.#allSpans();
    const indexOf = this.#spanIndex(spans);
    const scratch = this.#scratch;
    scratch.at = 0;
    let isDone = true;
    for (const slot of entries.slotsOf(new Set(buckets))) {
      const keyHash = entries.hashAt(slot);
      held.add(keyHash);
      if (known.has(versionKey({ keyHash, ...entries.versionAt(slot) }))) {
        continue;
      }
      const span = indexOf.get(entries.originAt(slot)) ?? 0;
      const isAdded = scratch.at < PAGE_SIZE &&
        this.#addSlot(scratch, span, slot);
      if (!isAdded) isDone = false;
    }
    const absent = summaries.flatMap(({ keyHash }, index) =>
      held.has(keyHash) ? [] : [index]
    );
    const writer = new Writer(512 + 4 * absent.length + scratch.at);
    const flags = SCAN | (isDone ? DONE : 0);
    writeHead(writer, { ...this.#answerHead(), flags, spans });
    writeNumbers(writer, absent);
    writer.append(scratch.view());
    return writer.view();
  }

  /**
   * Merges what `answerBuckets` gave, and gives up what the other node knew and has no
   * longer.
   *
   * @param repairs Whether it keeps that, and takes again what has been here before.
   * @returns How many entries changed, and which were not taken.
   * @throws {SyntaxError} If it is malformed; then nothing of it is merged.
   * @throws {DriftError} If it is from too far in the future; likewise.
   */
  takeBuckets(
    bytes: Uint8Array,
    reader: Reader,
    head: Head,
    slots: readonly number[],
    repairs: boolean,
  ): { changes: number; refused: readonly Summary[] } {
    const absent = readNumbers(reader, slots.length + 1);
    const seqs = absent.map((index) => this.entries.seqAt(slots[index] ?? -1));
    const refused: Summary[] = [];
    this.#refused = refused;
    let changes = 0;
    try {
      changes = this.takePage(bytes, reader, head, repairs);
    } finally {
      this.#refused = null;
    }
    if (repairs) return { changes, refused };
    const marks = new Map(head.spans.map(({ id, to }) => [`r:${id}`, to]));
    const over = overOf(head);
    absent.forEach((index, i) => {
      const slot = slots[index] ?? -1;
      const replica = this.entries.replicas.at(this.entries.originAt(slot));
      const key = this.entries.keyAt(slot);
      const seq = this.entries.seqAt(slot);
      if (!replica || key === undefined || seq !== seqs[i]) return;
      // That it has been deleted is forgotten here in its time.
      if (this.entries.isTombstone(slot)) return;
      const settled = over.get(`n:${replica.node}`);
      const wasKnown = isOver(settled, replica, seq) ||
        (marks.get(`r:${replica.id}`) ?? 0) >= seq;
      if (!wasKnown) return;
      this.entries.drop(slot);
      this.changed?.(key, undefined, true, false);
      changes++;
    });
    return { changes, refused };
  }

  /** Everything this node has of each replica. */
  #allSpans(): Span[] {
    return Array.from(
      this.entries.replicas,
      (replica) => spanOf(replica, replica.mark),
    );
  }

  #spanIndex(spans: readonly Span[]): Map<number, number> {
    const { replicas } = this.entries;
    return new Map(
      spans.map(({ id }, index) => [replicas.intern(id).index, index]),
    );
  }

  /** Adds an entry to a page; false: the page would be too long for a message. */
  #addSlot(writer: Writer, span: number, slot: number): boolean {
    const start = writer.at;
    this.#writeSlot(writer, span, slot);
    if (start === 0 || writer.at <= this.#options.maxValue + ENTRY_ROOM) {
      return true;
    }
    writer.at = start;
    return false;
  }

  #writeSlot(writer: Writer, span: number, slot: number): void {
    const { entries } = this;
    const key = entries.keyAt(slot);
    if (key === undefined) return;
    writeEntry(
      writer,
      this.#codec,
      span,
      entries.seqAt(slot),
      entries.timeAt(slot),
      entries.counterAt(slot),
      key,
      entries.isTombstone(slot),
      entries.valueAt(slot),
    );
  }

  #answer(head: Partial<Head>, body?: Writer): Uint8Array {
    const writer = new Writer(512 + (body?.at ?? 0));
    writeHead(writer, { ...this.#answerHead(), ...head });
    if (body) writer.append(body.view());
    return writer.view();
  }

  #answerHead(): Head {
    return {
      ...EMPTY,
      wallClock: this.#options.wallClock(),
      settled: this.#settled(),
    };
  }

  #settled(): [string, Settled][] {
    return Array.from(
      this.entries.replicas.settled,
      ([node, settled]) => [node.slice(2), settled],
    );
  }

  /** Whether lists of changes do not reach back to where the other node is. */
  #mustCompare(
    known: ReadonlyMap<string, number>,
    over: ReadonlyMap<string, Settled>,
  ): boolean {
    const { replicas } = this.entries;
    for (const [node, settled] of replicas.settled) {
      if (!isOver(over.get(node), settled, settled.mark)) return true;
    }
    for (const replica of replicas) {
      const { node, floor } = replica;
      if (isOver(over.get(`n:${node}`), replica, floor)) continue;
      if ((known.get(`r:${replica.id}`) ?? 0) < floor) return true;
    }
    return false;
  }
}

function versionKey({ keyHash, low, high }: Summary): string {
  return `${keyHash}:${low}:${high}`;
}

function overOf({ settled }: Head): Map<string, Settled> {
  return new Map(settled.map(([node, one]) => [`n:${node}`, one]));
}

/** What a node has of a replica: `from` says up to where it has collected tombstones. */
function spanOf({ id, floor }: Replica, mark: number): Span {
  return { id, from: Math.min(floor, mark), to: mark };
}
