import type { Storage } from "../storage/types.ts";

/**
 * How far a write has come when its promise resolves. At `"memory"`, or without a
 * storage, it is made here and sent to all others at once; otherwise once the storage
 * has it, so that a write which the storage refuses leaves no trace.
 *
 * - `"memory"`: it is in this node's memory. It is lost if this node ends before
 *   another one has taken it, milliseconds later; with a storage, also written there
 *   soon.
 * - `"fsync"`: it is in this node's storage, and survives the end of the process and of
 *   the machine. Needs a storage.
 * - `"quorum"`: a majority of the configured replicas hold it: on disk where they have
 *   a storage, otherwise in memory. It lasts while fewer than a majority are lost at
 *   once; where all have a storage, also when all of them stop. Needs `replicas`.
 * - `"all"`: every configured replica holds it, likewise. Needs `replicas`.
 *
 * `"quorum"` and `"all"` count the configured replicas, not those that happen to live:
 * 2 of 3 replicas that live can acknowledge `"quorum"`, never `"all"`.
 */
export type Level = "memory" | "fsync" | "quorum" | "all";

/** Options of replicated state. */
export interface StateOptions {
  /**
   * Where this node keeps it. It is read before anything is written or told: await
   * `ready`.
   *
   * @default {in memory alone}
   */
  readonly storage?: Storage;
  /**
   * How many nodes keep it, or their ids. Whoever uses the behaviour keeps all of it;
   * this says how many are to be counted for `"quorum"` and `"all"`. With ids, only
   * those count.
   *
   * @default {unknown: writes at "quorum" and "all" are refused}
   */
  readonly replicas?: number | readonly string[];
  /**
   * The level of writes that name none.
   *
   * @default {"memory"}
   */
  readonly level?: Level;
}

/** Options of a write. */
export interface WriteOptions {
  /**
   * How far it has come when the promise resolves.
   *
   * @default {the level of the state}
   */
  readonly level?: Level;
  /**
   * How long to wait for replicas, in ms: 1 to 2^31 − 1.
   *
   * @default {10_000}
   */
  readonly timeout?: number;
}

/** What replicated state did and met since its start. */
export interface StateCounters {
  /** Messages with changes of others that were merged. */
  readonly deltas: number;
  /** Those that came before others that they follow. */
  readonly gaps: number;
  /** Of those, how many were dropped for want of room, and asked for again. */
  readonly earlyDropped: number;
  /** Messages of others that were refused: malformed, or from too far in the future. */
  readonly refused: number;
  /** Messages whose stamps were over a second ahead of the time here. */
  readonly ahead: number;
  /** Transfers from others that were completed. */
  readonly transfers: number;
  /** Transfers from others that failed: one of everything goes on where it was cut. */
  readonly failedTransfers: number;
  /** Pages of transfers that were merged. */
  readonly pages: number;
  /** Bytes of those pages and of comparisons. */
  readonly pageBytes: number;
  /** Lives of nodes whose writes are told apart: those that are over go after a while. */
  readonly replicas: number;
  /** Comparisons by hashes, where lists of changes did not reach back so far. */
  readonly comparisons: number;
  /** How often another node held something else, though both knew of the same writes. */
  readonly divergences: number;
}

/** What all replicated state has in common. */
export interface ReplicatedState extends AsyncDisposable {
  /**
   * Resolves once what its storage kept has been read: at once without one. Rejects
   * with a `StorageError` where that cannot be; then it takes no writes. Writes made
   * before wait for it; reads tell what has been read so far.
   */
  readonly ready: Promise<void>;
  /** What it did and met. */
  readonly counters: StateCounters;
  /**
   * Resolves once this node holds what every member held when it was called; those that
   * cannot be reached meanwhile are left out.
   */
  sync(): Promise<void>;
  /** Sixteen hexadecimal digits that are equal on nodes that hold the same. */
  hash(): string;
  /** Ends it on this node. */
  close(): Promise<void>;
}
