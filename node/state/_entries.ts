import { grown } from "./_columns.ts";
import { hashPair, hashText } from "./_hash.ts";
import { KeyMap } from "./_key_map.ts";
import { Log } from "./_log.ts";
import { bucketOf, type Digest, Merkle } from "./_merkle.ts";
import { type Replica, Replicas } from "./_replicas.ts";
import { SlotTable } from "./_slot_table.ts";

const FIRST_SIZE = 16;
const TOMBSTONE = 1;
const DIRTY = 2;

/** A write, as it is merged. */
export interface Write {
  key: string;
  replica: Replica;
  /** Its number among the writes of the replica. */
  seq: number;
  time: number;
  counter: number;
  /** Whether it deletes. */
  isDelete: boolean;
  value: unknown;
}

/** How an entry stands in a merge. */
export type Merged = "taken" | "older" | "same";

/**
 * The entries of a store: the last write of each key, and tombstones for keys that were
 * deleted. What belongs to an entry stands in packed columns, at its slot.
 */
export class Entries {
  readonly replicas = new Replicas();
  /** Keys whose deletion is remembered. */
  tombstones = 0;
  /** Slots that have ever been in use; those of no entry answer `undefined` as a key. */
  slots = 0;
  /** Slots that changed since they were last taken for storage. */
  #dirty: number[] = [];
  /** Keys that were forgotten since they were last taken for storage. */
  gone: string[] = [];
  /** Told of each key that gets a value or loses it, also while a storage is read. */
  indexed: ((key: string, isLive: boolean) => void) | null = null;
  /** Whether changes are noted for storage. */
  tracksDirty = false;
  /** What has a value, apart from the slots, too: a read is one look into one table. */
  readonly #live = new KeyMap<unknown>();
  readonly #table: SlotTable;
  readonly #keys: (string | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #buried = new Log();
  #times: Float64Array = new Float64Array(FIRST_SIZE);
  #seqs: Float64Array = new Float64Array(FIRST_SIZE);
  #hashes: Uint32Array = new Uint32Array(FIRST_SIZE);
  #counters: Uint16Array = new Uint16Array(FIRST_SIZE);
  #origins: Uint16Array = new Uint16Array(FIRST_SIZE);
  #flags: Uint8Array = new Uint8Array(FIRST_SIZE);
  #merkle: Merkle | null = null;
  // The last version hashed: an object each would be garbage.
  #low = 0;
  #high = 0;
  /** The hash over all entries; kept up to date once somebody has asked for it. */
  #all: { low: number; high: number } | null = null;

  /** `secret`: which keys collide in a table, 0 ≤ x < 1. */
  constructor(secret: number) {
    this.#table = new SlotTable(secret);
  }

  /** What has a value, by key. */
  get live(): ReadonlyMap<string, unknown> {
    return this.#live;
  }

  /** The slot of a key or of its tombstone; -1: none. */
  find(key: string): number {
    return this.#table.find(this.#table.hash(key), key, this.#keys);
  }

  /** The key at a slot; `undefined`: the slot is free. */
  keyAt(slot: number): string | undefined {
    return this.#keys[slot];
  }

  /** The value at a slot. */
  valueAt(slot: number): unknown {
    return this.#live.get(this.#keys[slot] ?? "");
  }

  /** The time of the write at a slot. */
  timeAt(slot: number): number {
    return this.#times[slot] ?? 0;
  }

  /** The counter of the write at a slot. */
  counterAt(slot: number): number {
    return this.#counters[slot] ?? 0;
  }

  /** The number of the write at a slot. */
  seqAt(slot: number): number {
    return this.#seqs[slot] ?? 0;
  }

  /** The write of a key, or its deletion, as a text that compares as they merge. */
  version(key: string): string | undefined {
    const slot = this.find(key);
    if (slot < 0) return undefined;
    const time = this.timeAt(slot).toString(16).padStart(12, "0");
    const counter = this.counterAt(slot).toString(16).padStart(4, "0");
    const replica = this.replicas.at(this.originAt(slot))?.id ?? "";
    return `${time}${counter}@${replica}`;
  }

  /** Who wrote what is at a slot, by index. */
  originAt(slot: number): number {
    return this.#origins[slot] ?? 0;
  }

  /** The hash of the key at a slot. */
  hashAt(slot: number): number {
    return this.#hashes[slot] ?? 0;
  }

  /** Whether the key at a slot is deleted. */
  isTombstone(slot: number): boolean {
    return ((this.#flags[slot] ?? 0) & TOMBSTONE) !== 0;
  }

  /**
   * Merges a write: the later one stays, by time, counter and the id of the replica.
   * Associative, commutative, idempotent.
   */
  merge(write: Readonly<Write>): Merged {
    const { key, replica, seq, isDelete } = write;
    const hash = this.#table.hash(key);
    let slot = this.#table.find(hash, key, this.#keys);
    if (slot < 0) slot = this.#allocate(key, hash);
    else {
      const order = this.#compare(write, slot);
      if (order <= 0) return order === 0 ? "same" : "older";
      this.#vacate(slot);
    }
    this.#times[slot] = write.time;
    this.#counters[slot] = write.counter;
    this.#seqs[slot] = seq;
    this.#origins[slot] = replica.index;
    replica.log.add(seq, slot);
    if (seq > replica.top) replica.top = seq;
    let flags = (this.#flags[slot] ?? 0) & DIRTY;
    if (isDelete) {
      flags |= TOMBSTONE;
      this.tombstones++;
      this.#buried.add(write.time, slot);
      this.#live.delete(key);
    } else this.#live.set(key, write.value);
    this.#flags[slot] = flags;
    if (!isDelete) this.#toggle(slot, replica);
    if (this.tracksDirty) this.soil(slot);
    this.indexed?.(key, !isDelete);
    return "taken";
  }

  /** Whether something later than a write stands at its key. */
  isSuperseded(write: Readonly<Write>): boolean {
    const slot = this.find(write.key);
    return slot >= 0 && this.#compare(write, slot) < 0;
  }

  /** How many slots are noted for storage. */
  get dirty(): number {
    return this.#dirty.length;
  }

  /** Notes a slot for storage. */
  soil(slot: number): void {
    const flags = this.#flags[slot] ?? 0;
    if ((flags & DIRTY) !== 0) return;
    this.#flags[slot] = flags | DIRTY;
    this.#dirty.push(slot);
  }

  /** The slots that changed since the last call; slots given up meanwhile among them. */
  takeDirty(): number[] {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const slot of dirty) {
      this.#flags[slot] = (this.#flags[slot] ?? 0) & ~DIRTY;
    }
    return dirty;
  }

  /** The keys that were forgotten since the last call. */
  takeGone(): string[] {
    const { gone } = this;
    this.gone = [];
    return gone;
  }

  /**
   * Forgets tombstones from before a time; those who know less than what their replicas
   * had written then must compare from now on.
   *
   * @returns How many.
   */
  bury(before: number): number {
    const log = this.#buried;
    const end = log.after(before);
    let count = 0;
    for (let i = 0; i < end; i++) {
      const slot = log.slot(i);
      if (!this.#isBuried(log.number(i), slot)) {
        log.stale--;
        continue;
      }
      const key = this.#keys[slot];
      const replica = this.replicas.at(this.originAt(slot));
      if (key === undefined || !replica) continue;
      replica.floor = Math.max(replica.floor, this.seqAt(slot));
      count++;
      this.#flags[slot] = (this.#flags[slot] ?? 0) & ~TOMBSTONE;
      this.tombstones--;
      this.#release(slot, key);
      this.#spoil(replica);
    }
    log.shift(end);
    return count;
  }

  /** Notes a key for storage, whatever stands there. */
  soilKey(key: string): void {
    const slot = this.find(key);
    if (slot < 0) this.gone.push(key);
    else this.soil(slot);
  }

  /** Forgets an entry that another node no longer has, without a tombstone. */
  drop(slot: number): void {
    const key = this.#keys[slot];
    if (key === undefined) return;
    this.#vacate(slot);
    this.#live.delete(key);
    this.#release(slot, key);
    this.indexed?.(key, false);
  }

  /** A hash over all that has a value: equal on nodes that hold the same. */
  digest(): Digest {
    this.#all ??= this.#hashAll();
    return { ...this.#all };
  }

  #hashAll(): { low: number; high: number } {
    const all = { low: 0, high: 0 };
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#keys[slot] === undefined || this.isTombstone(slot)) continue;
      const { low, high } = this.versionAt(slot);
      all.low = (all.low ^ low) >>> 0;
      all.high = (all.high ^ high) >>> 0;
    }
    return all;
  }

  /** The tree of hashes; kept up to date from the first call on. */
  merkle(): Merkle {
    this.#merkle ??= this.#buildMerkle();
    return this.#merkle;
  }

  /** The hashes of the version at a slot. */
  versionAt(slot: number): Digest {
    const replica = this.replicas.at(this.originAt(slot));
    if (replica) this.#hashVersion(slot, replica);
    return { low: this.#low, high: this.#high };
  }

  /** The hashes of the key and of the version of a write. */
  summaryOf(
    { key, replica, time, counter }: Readonly<Write>,
  ): Digest & { readonly keyHash: number } {
    const keyHash = hashText(key);
    this.#hash(keyHash, time, counter, replica);
    return { keyHash, low: this.#low, high: this.#high };
  }

  /** The slots of some buckets, tombstones included. */
  slotsOf(buckets: ReadonlySet<number>): number[] {
    const slots: number[] = [];
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#keys[slot] === undefined) continue;
      if (buckets.has(bucketOf(this.hashAt(slot)))) slots.push(slot);
    }
    return slots;
  }

  /**
   * Brings near what stands at some slots. Each look into a large table waits for the
   * memory; those of one kind, done one right after the other, wait together.
   *
   * @returns Something of no use, so that it is not left out.
   */
  touch(slots: Uint32Array): number {
    let sum = 0;
    for (const slot of slots) sum ^= this.hashAt(slot);
    for (const slot of slots) sum ^= this.originAt(slot);
    for (const slot of slots) sum ^= this.counterAt(slot);
    for (const slot of slots) sum ^= this.timeAt(slot);
    for (const slot of slots) sum ^= this.seqAt(slot);
    for (const slot of slots) if (this.isTombstone(slot)) sum++;
    for (const slot of slots) sum ^= this.#keys[slot]?.length ?? 0;
    for (const slot of slots) {
      const value = this.valueAt(slot);
      if (typeof value === "string") sum ^= value.charCodeAt(0);
    }
    return sum;
  }

  /** Whether what a log says of a slot still holds. */
  isLast(replica: Replica, seq: number, slot: number): boolean {
    return this.#seqs[slot] === seq && this.#origins[slot] === replica.index &&
      this.#keys[slot] !== undefined;
  }

  #compare(write: Readonly<Write>, slot: number): number {
    const byTime = write.time - this.timeAt(slot) ||
      write.counter - this.counterAt(slot);
    if (byTime !== 0) return byTime;
    const other = this.replicas.at(this.originAt(slot));
    if (!other || other === write.replica) return 0;
    return write.replica.id < other.id ? -1 : 1;
  }

  /** What a slot holds is no longer so; the key stays. */
  #vacate(slot: number): void {
    const replica = this.replicas.at(this.originAt(slot));
    if (!replica) return;
    if (this.isTombstone(slot)) {
      this.tombstones--;
      this.#flags[slot] = (this.#flags[slot] ?? 0) & ~TOMBSTONE;
      this.#buried.stale++;
      if (this.#buried.wasteful) {
        this.#buried.sweep((time, one) => this.#isBuried(time, one));
      }
    } else this.#toggle(slot, replica);
    this.#seqs[slot] = -1;
    this.#spoil(replica);
  }

  /** One of what a replica wrote is no longer held. */
  #spoil(replica: Replica): void {
    replica.log.stale++;
    if (!replica.log.wasteful) return;
    replica.log.sweep((seq, slot) => this.isLast(replica, seq, slot));
  }

  #isBuried(time: number, slot: number): boolean {
    return this.isTombstone(slot) && this.#times[slot] === time;
  }

  /** What is at a slot has a value from now on, or no longer. */
  #toggle(slot: number, replica: Replica): void {
    const all = this.#all;
    if (!all && !this.#merkle) return;
    this.#hashVersion(slot, replica);
    if (all) {
      all.low = (all.low ^ this.#low) >>> 0;
      all.high = (all.high ^ this.#high) >>> 0;
    }
    this.#merkle?.toggleHashes(this.hashAt(slot), this.#low, this.#high);
  }

  #hashVersion(slot: number, replica: Replica): void {
    this.#hash(
      this.hashAt(slot),
      this.timeAt(slot),
      this.counterAt(slot),
      replica,
    );
  }

  #hash(
    keyHash: number,
    time: number,
    counter: number,
    replica: Replica,
  ): void {
    const when = hashPair(time / 2 ** 32 | 0, time | 0);
    const who = hashPair(replica.hash, counter);
    this.#low = hashPair(hashPair(keyHash, when), who);
    this.#high = hashPair(hashPair(who, keyHash), when);
  }

  #buildMerkle(): Merkle {
    const merkle = new Merkle();
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#keys[slot] === undefined || this.isTombstone(slot)) continue;
      merkle.toggle(this.hashAt(slot), this.versionAt(slot));
    }
    return merkle;
  }

  #allocate(key: string, hash: number): number {
    const slot = this.#free.pop() ?? this.slots++;
    if (slot >= this.#times.length) this.#grow();
    this.#keys[slot] = key;
    this.#hashes[slot] = hashText(key);
    this.#flags[slot] = (this.#flags[slot] ?? 0) & DIRTY;
    this.#table.add(hash, slot);
    return slot;
  }

  #release(slot: number, key: string): void {
    if (this.tracksDirty) this.gone.push(key);
    this.#table.remove(this.#table.hash(key), slot);
    this.#keys[slot] = undefined;
    this.#seqs[slot] = -1;
    this.#flags[slot] = (this.#flags[slot] ?? 0) & DIRTY;
    this.#free.push(slot);
  }

  #grow(): void {
    const length = Math.ceil(this.#times.length * 3 / 2);
    this.#times = grown(this.#times, new Float64Array(length));
    this.#seqs = grown(this.#seqs, new Float64Array(length));
    this.#hashes = grown(this.#hashes, new Uint32Array(length));
    this.#counters = grown(this.#counters, new Uint16Array(length));
    this.#origins = grown(this.#origins, new Uint16Array(length));
    this.#flags = grown(this.#flags, new Uint8Array(length));
  }
}
