import { hashPair } from "./_hash.ts";

/** Children of a node of the tree. */
export const FANOUT = 16;
/** Levels below the root; those of the last are buckets of entries. */
export const DEPTH = 4;
/** Buckets at the last level. */
export const BUCKETS: number = FANOUT ** DEPTH;

/** Two hashes of 32 bits that together stand for what lies under a node of a tree. */
export interface Digest {
  readonly low: number;
  readonly high: number;
}

/** The bucket of a key, by its hash. */
export function bucketOf(keyHash: number): number {
  return keyHash >>> 16;
}

/** The lowest hash of a bucket. */
export function firstOf(bucket: number): number {
  return bucket * 65_536;
}

/**
 * A tree of hashes over the entries of a map (Merkle 1987): equal trees, equal entries.
 * A leaf is the combination of its entries' hashes, whatever their order, so that a
 * change of one costs the same at any size.
 */
export class Merkle {
  readonly #low = new Uint32Array(BUCKETS);
  readonly #high = new Uint32Array(BUCKETS);

  /** An entry came, or goes: the same call undoes itself. */
  toggle(keyHash: number, version: Digest): void {
    this.toggleHashes(keyHash, version.low, version.high);
  }

  /** As `toggle`, without an object. */
  toggleHashes(keyHash: number, low: number, high: number): void {
    const bucket = bucketOf(keyHash);
    this.#low[bucket] = (this.#low[bucket] ?? 0) ^ low;
    this.#high[bucket] = (this.#high[bucket] ?? 0) ^ high;
  }

  /** What lies under a node; `level` 0 is the root. */
  digest(level: number, index: number): Digest {
    const span = FANOUT ** (DEPTH - level);
    let low = 0;
    let high = 0;
    for (let i = index * span; i < (index + 1) * span; i++) {
      low = hashPair(low, this.#low[i] ?? 0);
      high = hashPair(high, this.#high[i] ?? 0);
    }
    return { low, high };
  }
}
