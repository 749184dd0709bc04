import type { Clock } from "@devts/routing";
import type { Codec } from "@devts/protocol";
import type { StoredRow, StoredTable } from "../storage/types.ts";
import { malformed, Reader, ValueCodec, Writer } from "./_bytes.ts";
import { shown } from "./_checks.ts";
import { hashBytes, hashText } from "./_hash.ts";
import type { Replica } from "./_replicas.ts";
import type { Staged } from "./_staged.ts";
import type { Store } from "./_store.ts";

/** The version of the rows; those of a newer one are refused. */
const FORMAT = 3;
/** From this one on, rows end with a hash of what stands before it, and of the key. */
const HASHED_FORMAT = 3;
/** The row about all others. It is the first. */
const ABOUT = "";
/** In front of the keys of entries. */
const ENTRY = "e";
const IS_DELETE = 1;
/** A hash follows: older rows have none. */
const IS_HASHED = 2;
/** What a hash takes, in bytes. */
const HASH_SIZE = 4;
const DAMAGED = "what is stored of all others is damaged";
/** A storage that fails is tried again after so long, in ms, and then twice that. */
const RETRY_FIRST = 1_000;
const RETRY_MOST = 30_000;
/** What a row takes beside its value, in bytes. */
const ROW_ROOM = 64;
/** So many rows do not wait for the end of the turn. */
const EAGER_ROWS = 1_024;
/** Transactions that the storage is told of before it has answered. */
const MAX_IN_FLIGHT = 2;
/** Rows of one transaction that is not the last. */
const MAX_ROWS = 16_384;

/** What persistence is made with. */
export interface PersistenceOptions {
  readonly store: Store;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly open: () => Promise<StoredTable>;
  /** More than before is in the storage. */
  durable(): void;
  /** The storage fails, or works again: `null`. */
  failing(error: unknown): void;
}

/** Keeps a store in a table of a storage: what changed since the last transaction. */
export class Persistence {
  /** Resolves once everything has been read. */
  readonly loaded: Promise<void>;
  readonly #options: PersistenceOptions;
  readonly #codec: ValueCodec;
  /** By which numbers the rows speak of replicas. */
  readonly #numbers = new WeakMap<Replica, number>();
  readonly #marks = new WeakMap<Replica, number>();
  #lastNumber = 0;
  #table: StoredTable | null = null;
  #running: Promise<void> | null = null;
  readonly #inFlight = new Set<Promise<boolean>>();
  #isDue = false;
  #retry = RETRY_FIRST;
  #cancelRetry = (): void => {};
  #isFailing = false;
  #closed = false;
  readonly #writer = new Writer(65_536);

  constructor(options: PersistenceOptions) {
    this.#options = options;
    this.#codec = new ValueCodec(options.codec);
    this.loaded = this.#load();
  }

  /** Up to which number the writes of a replica are in the storage. */
  markOf(replica: Replica): number {
    return this.#marks.get(replica) ?? 0;
  }

  /** Something has changed. */
  touch(): void {
    this.#isDue = true;
    // Once it closes, that happens once more, and then no more.
    if (!this.#table || this.#isFailing || this.#closed) return;
    this.#running ??= this.#run();
    // The thread of the storage need not wait until this one has time for it.
    const { entries, staged } = this.#options.store;
    const isEnough = entries.dirty + staged.waiting >= EAGER_ROWS;
    if (isEnough && this.#inFlight.size < MAX_IN_FLIGHT) this.#start();
  }

  /** Writes what is left, and lets go of the table. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry();
    await this.loaded.catch(() => {});
    await this.#running;
    if (this.#isDue && !this.#isFailing && this.#table) await this.#run();
    await this.#table?.close();
  }

  // -- Writing --

  async #run(): Promise<void> {
    // What is written in this turn goes together.
    await new Promise<void>((resolve) => this.#options.clock.soon(resolve));
    let mayStart = true;
    while (this.#inFlight.size > 0 || (this.#isDue && mayStart)) {
      // While the storage fails, one after the other.
      const most = this.#isFailing ? 1 : MAX_IN_FLIGHT;
      const starts = this.#isDue && mayStart && this.#inFlight.size < most;
      if (starts) this.#start();
      else if (!await this.#oldest()) mayStart = false;
    }
    this.#running = null;
  }

  #start(): void {
    const commit = this.#commit();
    this.#inFlight.add(commit);
    commit.then(() => this.#inFlight.delete(commit));
  }

  /** Resolves to whether the oldest transaction succeeded. */
  async #oldest(): Promise<boolean> {
    const [oldest] = this.#inFlight;
    return await oldest ?? true;
  }

  async #commit(): Promise<boolean> {
    const { entries, staged } = this.#options.store;
    const gone = entries.takeGone();
    const dirty = entries.takeDirty();
    const rest = dirty.splice(MAX_ROWS);
    this.#isDue = rest.length > 0;
    // With a rest, what the rows say of all others still holds: less than there is.
    const marks = rest.length > 0 ? null : this.#allMarks();
    try {
      for (const slot of rest) entries.soil(slot);
      const writes = marks ? staged.take() : [];
      await this.#table?.commit(this.#rows(gone, dirty, writes, marks));
    } catch (error) {
      this.#fail(error, gone, dirty);
      return false;
    }
    if (this.#isFailing) this.#recover();
    if (!marks) return true;
    for (const [replica, mark] of marks) this.#marks.set(replica, mark);
    this.#options.durable();
    return true;
  }

  /** How far each replica is once what is to be kept is kept. */
  #allMarks(): Map<Replica, number> {
    const { entries, self, lastSeq } = this.#options.store;
    const marks = new Map<Replica, number>();
    for (const replica of entries.replicas) marks.set(replica, replica.mark);
    return marks.set(self, lastSeq);
  }

  #fail(
    error: unknown,
    gone: readonly string[],
    dirty: readonly number[],
  ): void {
    const { entries } = this.#options.store;
    for (const key of gone) entries.gone.push(key);
    for (const slot of dirty) entries.soil(slot);
    this.#isDue = true;
    this.#isFailing = true;
    this.#options.failing(error);
    this.#cancelRetry();
    if (this.#closed) return;
    this.#cancelRetry = this.#options.clock.after(this.#retry, () => {
      this.#running ??= this.#run();
    });
    this.#retry = Math.min(RETRY_MOST, 2 * this.#retry);
  }

  #recover(): void {
    this.#isFailing = false;
    this.#retry = RETRY_FIRST;
    this.#options.failing(null);
  }

  #rows(
    gone: readonly string[],
    dirty: readonly number[],
    writes: readonly Staged[],
    marks: ReadonlyMap<Replica, number> | null,
  ): StoredRow[] {
    const { entries, staged } = this.#options.store;
    const rows: StoredRow[] = [];
    this.#writer.at = 0;
    for (const key of gone) {
      // What is on its way to the storage came after it.
      if (entries.find(key) >= 0 || staged.get(key)) continue;
      rows.push({ key: ENTRY + key, value: null });
    }
    for (const slot of dirty) {
      const row = this.#row(slot);
      if (row) rows.push(row);
    }
    for (const write of writes) {
      if (!entries.isSuperseded(write)) rows.push(this.#stagedRow(write));
    }
    rows.push({ key: ABOUT, value: this.#about(marks) });
    return rows;
  }

  #row(slot: number): StoredRow | null {
    const { store } = this.#options;
    const { entries } = store;
    const key = entries.keyAt(slot);
    const replica = entries.replicas.at(entries.originAt(slot));
    if (key === undefined || !replica) return null;
    const later = store.staged.get(key);
    if (later && !entries.isSuperseded(later)) return null;
    const isDelete = entries.isTombstone(slot);
    const writer = this.#writer;
    writer.room(ROW_ROOM);
    const start = writer.at;
    writer.u32(this.#numberOf(replica));
    writer.u48(entries.seqAt(slot));
    writer.u48(entries.timeAt(slot));
    writer.u16(entries.counterAt(slot));
    writer.u8(isDelete ? IS_HASHED | IS_DELETE : IS_HASHED);
    if (!isDelete) writer.value(this.#codec, entries.valueAt(slot));
    return this.#rowFrom(start, key);
  }

  #stagedRow(write: Staged): StoredRow {
    const writer = this.#writer;
    writer.room(ROW_ROOM);
    const start = writer.at;
    writer.u32(this.#numberOf(write.replica));
    writer.u48(write.seq);
    writer.u48(write.time);
    writer.u16(write.counter);
    writer.u8(write.isDelete ? IS_HASHED | IS_DELETE : IS_HASHED);
    if (!write.isDelete) this.#options.store.staged.copyValue(write, writer);
    return this.#rowFrom(start, write.key);
  }

  #rowFrom(start: number, name: string): StoredRow {
    const key = ENTRY + name;
    addHash(this.#writer, start, key);
    const { bytes, at } = this.#writer;
    // A view of what may be given up for a longer buffer stays as it is.
    return { key, value: bytes.subarray(start, at) };
  }

  #about(marks: ReadonlyMap<Replica, number> | null): Uint8Array {
    const { entries, clock } = this.#options.store;
    const writer = new Writer(256);
    writer.u8(FORMAT);
    writer.u48(clock.time);
    writer.u16(clock.counter);
    writer.u16(entries.replicas.size);
    for (const replica of entries.replicas) {
      writer.u32(this.#numberOf(replica));
      writer.text(replica.id);
      writer.u64(marks?.get(replica) ?? this.markOf(replica));
      writer.u64(replica.floor);
    }
    writer.u16(entries.replicas.settled.size);
    for (const [node, { incarnation, mark }] of entries.replicas.settled) {
      writer.text(node.slice(2));
      writer.u64(incarnation);
      writer.u64(mark);
    }
    addHash(writer, 0, ABOUT);
    return writer.view();
  }

  #numberOf(replica: Replica): number {
    const known = this.#numbers.get(replica);
    if (known !== undefined) return known;
    this.#numbers.set(replica, ++this.#lastNumber);
    return this.#lastNumber;
  }

  // -- Reading --

  async #load(): Promise<void> {
    const { entries } = this.#options.store;
    const table = await this.#options.open();
    try {
      const replicas = new Map<number, Replica>();
      let isFirst = true;
      entries.tracksDirty = false;
      for await (const rows of table.read()) {
        for (const row of rows) {
          if (isFirst) this.#readAbout(row, replicas);
          else this.#readRow(row, replicas);
          isFirst = false;
        }
      }
    } catch (error) {
      this.#options.store.reset();
      await table.close();
      throw error;
    } finally {
      entries.tracksDirty = true;
    }
    for (const replica of entries.replicas) {
      this.#marks.set(replica, replica.mark);
    }
    this.#table = table;
    if (this.#isDue) this.touch();
  }

  #readAbout(
    { key, value }: StoredRow,
    replicas: Map<number, Replica>,
  ): void {
    if (key !== ABOUT || !value) throw malformed("what it holds is not told");
    const { store, clock } = this.#options;
    const reader = new Reader(value);
    const format = reader.u8();
    if (format > FORMAT) {
      throw malformed(
        `a newer version wrote it (${format}; this one reads up to ${FORMAT})`,
      );
    }
    const isHashed = format >= HASHED_FORMAT;
    if (isHashed && !isIntact(value, key)) throw malformed(DAMAGED);
    store.clock.witness(reader.u48(), reader.u16());
    for (let left = reader.u16(); left > 0; left--) {
      const number = reader.u32();
      const replica = store.restore(reader.text());
      replica.mark = reader.u64();
      replica.floor = reader.u64();
      replica.moved = clock.now();
      replicas.set(number, replica);
      this.#numbers.set(replica, number);
      this.#lastNumber = Math.max(this.#lastNumber, number);
    }
    for (let left = reader.u16(); left > 0; left--) {
      const node = reader.text();
      const incarnation = reader.u64();
      // The first format did not say.
      const mark = format === 1 ? Number.MAX_SAFE_INTEGER : reader.u64();
      store.entries.replicas.settle(node, { incarnation, mark });
    }
    if (!isHashed && !reader.done) throw malformed(DAMAGED);
  }

  #readRow(
    { key, value }: StoredRow,
    replicas: ReadonlyMap<number, Replica>,
  ): void {
    const { store } = this.#options;
    if (!key.startsWith(ENTRY) || !value) throw malformed("a row is no entry");
    const reader = new Reader(value);
    const replica = replicas.get(reader.u32());
    if (!replica) throw malformed("an entry is of an unknown replica");
    const seq = reader.u48();
    const time = reader.u48();
    const counter = reader.u16();
    const flags = reader.u8();
    const isDelete = (flags & IS_DELETE) !== 0;
    const length = isDelete ? 0 : reader.u32();
    const start = reader.at;
    const end = reader.skip(length);
    const name = key.slice(ENTRY.length);
    const isHashed = (flags & IS_HASHED) !== 0;
    const isWhole = end + (isHashed ? HASH_SIZE : 0) === value.length;
    if (!isWhole || isHashed && !isIntact(value, key)) {
      throw malformed(`what is stored of "${shown(name)}" is damaged`);
    }
    store.entries.merge({
      key: name,
      replica,
      seq,
      time,
      counter,
      isDelete,
      value: isDelete ? undefined : this.#codec.decode(value, start, end),
    });
  }
}

/** Ends a row with a hash of what it says, and of what. */
function addHash(writer: Writer, start: number, key: string): void {
  writer.u32(hashBytes(writer.bytes, start, writer.at, hashText(key)));
}

/** Whether a row that ends with a hash is what was written. */
function isIntact(row: Uint8Array, key: string): boolean {
  const end = row.length - HASH_SIZE;
  return end >= 0 &&
    new Reader(row, end).u32() === hashBytes(row, 0, end, hashText(key));
}
