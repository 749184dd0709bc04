import type { Behaviour, Scope } from "../behaviour.ts";
import { Replicated } from "./_replicated.ts";
import type { ReplicatedState, StateOptions, WriteOptions } from "./types.ts";

/** A change of a replicated map. */
export interface MapChange<V> {
  /** The key. */
  readonly key: string;
  /** Its value from now on; `undefined`: it is deleted. */
  readonly value: V | undefined;
  /** Whether it was written on this node. */
  readonly isLocal: boolean;
}

/**
 * A map that every node which uses it holds whole. Reads are local; a write is made
 * here and sent to all others, and **the last writer of a key wins**: of two writes
 * that did not know of each other one is lost, on all nodes the same. Where that must
 * not be, take a `multiRegister`, or a key for each writer.
 *
 * - **Order.** Writes are stamped by a hybrid logical clock: one that was made in
 *   knowledge of another comes after it, whatever the clocks of the nodes say. A node
 *   whose clock is more than 60 s off the others refuses its own writes, and goes on
 *   reading and merging.
 * - **Convergence.** Changes that were lost on their way are asked for again, at once
 *   where a gap shows, and every 2 s at one node chosen at random.
 * - **Values** are what the node's codec carries, up to the longest message less 64 KiB
 *   (960 KiB by default). They belong to the map: do not change one that you have set
 *   or got. Keys are strings of at most 1,024 bytes.
 * - **Memory.** A deletion is remembered for 15 minutes; who was away for longer
 *   compares hashes.
 */
export interface ReplicatedMap<V> extends ReplicatedState {
  /** How many keys have a value. */
  readonly size: number;
  /** The value of a key, as this node knows it. */
  get(key: string): V | undefined;
  /** Whether a key has a value. */
  has(key: string): boolean;
  /**
   * Sets a key: at once at `"memory"`, otherwise once the storage has it.
   *
   * @returns Resolves once the write is as safe as its level says, and links that are
   * behind have room. Rejects with a {@linkcode WriteError}.
   * @throws {TypeError} If the key is no string, or the value cannot be encoded or is
   * `undefined`, or the level needs what the map has not.
   * @throws {RangeError} If the key or the value is too long.
   */
  set(key: string, value: V, options?: WriteOptions): Promise<void>;
  /** Deletes a key; as {@linkcode ReplicatedMap.set}. */
  delete(key: string, options?: WriteOptions): Promise<void>;
  /**
   * Which write of a key this node knows as the last: a text that is greater, as texts
   * compare, for a later one, and the same on all nodes. `undefined`: it knows of none, or
   * of a deletion that is forgotten.
   */
  version(key: string): string | undefined;
  /** The keys that have a value, as a `Map` iterates them. */
  keys(): IterableIterator<string>;
  /** The keys and their values, as a `Map` iterates them. */
  entries(): IterableIterator<[string, V]>;
  /**
   * Calls back for each change, wherever it was written; dispose it to stop. All who watch
   * hear of all changes in the same order: what one of them writes follows in a later turn.
   */
  watch(callback: (change: MapChange<V>) => void): Disposable;
}

/**
 * A replicated map, the last writer of a key wins.
 *
 * @example A cart on two nodes
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { map } from "@devts/node/state";
 * import { assertEquals } from "@std/assert";
 *
 * await using one = createNode({ cluster: "demo" });
 * const here = one.use("cart", map<number>({ replicas: 2 }));
 * const address = await one.listen("tcp://127.0.0.1:0");
 *
 * await using two = createNode({ cluster: "demo" });
 * const there = two.use("cart", map<number>({ replicas: 2 }));
 * await two.join(address);
 *
 * await here.set("apples", 3, { level: "all" }); // both have it now
 * assertEquals(there.get("apples"), 3);
 * ```
 *
 * @typeParam V The values.
 */
export function map<V>(
  options: StateOptions = {},
): Behaviour<ReplicatedMap<V>> {
  return (scope) => new LastWriterMap<V>(scope, options);
}

class LastWriterMap<V> extends Replicated implements ReplicatedMap<V> {
  readonly #live: ReadonlyMap<string, unknown>;

  constructor(scope: Scope, options: StateOptions) {
    super(scope, options);
    this.#live = this.replication.store.entries.live;
  }

  get size(): number {
    return this.#live.size;
  }

  get(key: string): V | undefined {
    // What peers wrote is as they say: types describe well-meaning ones.
    return this.#live.get(key) as V | undefined;
  }

  has(key: string): boolean {
    return this.#live.has(key);
  }

  set(key: string, value: V, options?: WriteOptions): Promise<void> {
    return this.replication.write(key, value, false, options);
  }

  delete(key: string, options?: WriteOptions): Promise<void> {
    return this.replication.write(key, undefined, true, options);
  }

  version(key: string): string | undefined {
    return this.replication.store.entries.version(key);
  }

  keys(): IterableIterator<string> {
    return this.#live.keys();
  }

  entries(): IterableIterator<[string, V]> {
    return this.#live.entries() as IterableIterator<[string, V]>;
  }

  watch(callback: (change: MapChange<V>) => void): Disposable {
    return this.replication.watch((key, value, _isDelete, isLocal) =>
      callback({ key, value: value as V | undefined, isLocal })
    );
  }
}
