import { hashPair } from "./_hash.ts";

const FIRST_SIZE = 16;

/**
 * At which slot each key stands: a table of numbers with open addressing, a quarter of
 * the size of a `Map` and, at a million keys, several times as fast to fill. Where a key
 * goes depends on a secret of the process, so that nobody can choose keys that collide.
 */
export class SlotTable {
  /** For each place: the hash of a key, and its slot, from 1 on; 0: nothing. */
  #cells = new Int32Array(2 * FIRST_SIZE);
  #mask = FIRST_SIZE - 1;
  #size = 0;
  readonly #seed: number;
  readonly #factor: number;

  /** `secret`: 0 ≤ x < 1. */
  constructor(secret: number) {
    this.#seed = hashPair(Math.floor(secret * 2 ** 32), 1);
    this.#factor = hashPair(this.#seed, Math.floor(secret * 2 ** 53) | 0) | 1;
  }

  /** What `find`, `add` and `remove` want of a key. */
  hash(key: string): number {
    const factor = this.#factor;
    let hash = this.#seed;
    for (let i = 0; i < key.length; i++) {
      hash = Math.imul(hash ^ key.charCodeAt(i), factor);
      hash ^= hash >>> 15;
    }
    return Math.imul(hash, 0x85ebca6b) ^ hash >>> 16;
  }

  /** The slot of a key among those that `keys` has at their slots; -1: none. */
  find(
    hash: number,
    key: string,
    keys: readonly (string | undefined)[],
  ): number {
    const cells = this.#cells;
    const mask = this.#mask;
    for (let at = hash & mask;; at = (at + 1) & mask) {
      const slot = (cells[2 * at + 1] ?? 0) - 1;
      if (slot < 0) return -1;
      if (cells[2 * at] === hash && keys[slot] === key) return slot;
    }
  }

  /** Adds a key that is not there. */
  add(hash: number, slot: number): void {
    // Two thirds full, a search looks at two places on average, without success at five.
    if (3 * ++this.#size > 2 * this.#mask) this.#grow();
    this.#put(hash, slot + 1);
  }

  /** Takes out one that is there. */
  remove(hash: number, slot: number): void {
    const cells = this.#cells;
    const mask = this.#mask;
    let hole = hash & mask;
    while (cells[2 * hole + 1] !== slot + 1) {
      if (cells[2 * hole + 1] === 0) return;
      hole = (hole + 1) & mask;
    }
    this.#size--;
    // What stands behind it and could stand here moves up (Knuth, algorithm 6.4R).
    let at = hole;
    for (;;) {
      at = (at + 1) & mask;
      if (cells[2 * at + 1] === 0) break;
      const home = (cells[2 * at] ?? 0) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      cells[2 * hole] = cells[2 * at] ?? 0;
      cells[2 * hole + 1] = cells[2 * at + 1] ?? 0;
      hole = at;
    }
    cells[2 * hole + 1] = 0;
  }

  #put(hash: number, entry: number): void {
    const cells = this.#cells;
    const mask = this.#mask;
    let at = hash & mask;
    while (cells[2 * at + 1] !== 0) at = (at + 1) & mask;
    cells[2 * at] = hash;
    cells[2 * at + 1] = entry;
  }

  #grow(): void {
    const old = this.#cells;
    this.#mask = 2 * this.#mask + 1;
    this.#cells = new Int32Array(2 * old.length);
    for (let i = 0; i < old.length; i += 2) {
      const entry = old[i + 1] ?? 0;
      if (entry !== 0) this.#put(old[i] ?? 0, entry);
    }
  }
}
