import type { Entries } from "./_entries.ts";
import { bucketOf, BUCKETS } from "./_merkle.ts";
import type { Replica } from "./_replicas.ts";

/** A bucket of so many keys is sorted by hand: a library does more than that. */
const FEW = 64;
/** So many entries are brought near at once. */
const NEAR = 32;

/**
 * All keys of a store, as they were at some time, by the buckets of their hashes. In two
 * passes over the store; a bucket is sorted when it is asked for.
 */
export class KeyOrder {
  /** How far each replica was. */
  readonly marks: ReadonlyMap<Replica, number>;
  readonly #entries: Entries;
  /** Where each bucket begins among the slots. */
  readonly #starts = new Uint32Array(BUCKETS + 1);
  readonly #slots: Uint32Array;
  /** Up to which index the slots have been brought near. */
  #near = 0;

  constructor(entries: Entries) {
    this.#entries = entries;
    this.marks = new Map(
      Array.from(entries.replicas, (replica) => [replica, replica.mark]),
    );
    const starts = this.#starts;
    const { slots } = entries;
    for (let slot = 0; slot < slots; slot++) {
      const next = bucketOf(entries.hashAt(slot)) + 1;
      starts[next] = (starts[next] ?? 0) + 1;
    }
    for (let bucket = 1; bucket <= BUCKETS; bucket++) {
      starts[bucket] = (starts[bucket] ?? 0) + (starts[bucket - 1] ?? 0);
    }
    this.#slots = new Uint32Array(slots);
    const places = starts.slice();
    for (let slot = 0; slot < slots; slot++) {
      const bucket = bucketOf(entries.hashAt(slot));
      const place = places[bucket] ?? 0;
      places[bucket] = place + 1;
      this.#slots[place] = slot;
    }
  }

  /**
   * The slots of a bucket whose keys stand there still, by the hashes of the keys, and by
   * the keys where those are equal: the same order on all nodes.
   */
  bucket(index: number): number[] {
    const entries = this.#entries;
    const start = this.#starts[index] ?? 0;
    const end = this.#starts[index + 1] ?? 0;
    const found: number[] = [];
    if (start === end) return found;
    this.#bringNear(start, end);
    for (let i = start; i < end; i++) {
      const slot = this.#slots[i] ?? 0;
      const isThere = entries.keyAt(slot) !== undefined &&
        bucketOf(entries.hashAt(slot)) === index;
      if (isThere) found.push(slot);
    }
    if (found.length > FEW) return found.sort((a, b) => this.#compare(a, b));
    for (let i = 1; i < found.length; i++) {
      const slot = found[i] ?? 0;
      let at = i;
      for (; at > 0; at--) {
        const before = found[at - 1] ?? 0;
        if (this.#compare(before, slot) <= 0) break;
        found[at] = before;
      }
      found[at] = slot;
    }
    return found;
  }

  #compare(a: number, b: number): number {
    const entries = this.#entries;
    const byHash = entries.hashAt(a) - entries.hashAt(b);
    if (byHash !== 0) return byHash;
    return (entries.keyAt(a) ?? "") < (entries.keyAt(b) ?? "") ? -1 : 1;
  }

  /** What comes next has mostly been brought near with what came before it. */
  #bringNear(start: number, end: number): void {
    const isNear = end <= this.#near && start > this.#near - 2 * NEAR;
    if (isNear) return;
    this.#near = Math.min(this.#slots.length, Math.max(end, start + NEAR));
    this.#entries.touch(this.#slots.subarray(start, this.#near));
  }
}
