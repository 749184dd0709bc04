import type { Behaviour, Scope } from "../behaviour.ts";
import { Folding, ownCount } from "./_folding.ts";
import { Replicated } from "./_replicated.ts";
import { countOf, entryOf, MOST, Tally } from "./_tally.ts";
import type { ReplicatedState, StateOptions, WriteOptions } from "./types.ts";

/** A number that all nodes share and add to; no addition is lost. */
export interface ReplicatedCounter extends ReplicatedState {
  /** The number, as this node knows it. */
  readonly value: number;
  /**
   * Adds to it: 1 unless `by` says how much; as `ReplicatedMap.set`.
   *
   * @throws {RangeError} If it is no safe integer, or below 0 where the counter only grows,
   * or if this node would have added, or taken away, more than 2^53 − 1 in all.
   */
  add(by?: number, options?: WriteOptions): Promise<void>;
  /** Calls back for each change, wherever it was written; dispose it to stop. */
  watch(callback: (value: number) => void): Disposable;
}

/**
 * A replicated counter that only grows (a G-counter; Shapiro and others, "A comprehensive
 * study of Convergent and Commutative Replicated Data Types", 2011): each life of a node
 * counts for itself, and the value is the sum. A node takes over what its former lives
 * have counted.
 *
 * @example Visits
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { counter } from "@devts/node/state";
 * import { assertEquals } from "@std/assert";
 *
 * await using node = createNode({ cluster: "demo" });
 * const visits = node.use("visits", counter());
 * await visits.add();
 * await visits.add(2);
 * assertEquals(visits.value, 3);
 * ```
 */
export function counter(
  options: StateOptions = {},
): Behaviour<ReplicatedCounter> {
  return (scope) => new GrowingCounter(scope, options);
}

/** A replicated counter that grows and shrinks (a PN-counter). */
export function upDownCounter(
  options: StateOptions = {},
): Behaviour<ReplicatedCounter> {
  return (scope) => new UpDownCounter(scope, options);
}

/** Counts of lives of nodes: each is written by that life alone. */
class GrowingCounter extends Replicated implements ReplicatedCounter {
  /** `null`: something else than this life's own count has changed. */
  #tally: Tally | null = null;

  constructor(scope: Scope, options: StateOptions) {
    super(scope, options, () => "add to the count");
    const { replication } = this;
    const folding = new Folding(replication);
    replication.tidy = () => folding.run();
    const { store } = replication;
    store.entries.indexed = (key) => {
      if (key !== store.self.id) this.#tally = null;
      else this.#tally?.raise(key, countOf(store.entries.live.get(key)));
    };
  }

  get value(): number {
    return this.#counted.total;
  }

  get #counted(): Tally {
    this.#tally ??= new Tally(this.replication.store.entries.live);
    return this.#tally;
  }

  add(by = 1, options?: WriteOptions): Promise<void> {
    this.check(by);
    return this.replication.onceLoaded(() => this.#add(by, options));
  }

  #add(by: number, options: WriteOptions | undefined): Promise<void> {
    const { id } = this.replication.store.self;
    const { up, down, base } = ownCount(this.replication, () => this.#counted);
    const next = by < 0
      ? { up, down: down - by, base }
      : { up: up + by, down, base };
    if (next.up > MOST || next.down > MOST) {
      throw new RangeError(
        `Cannot add ${by}: this node would have counted more than 2^53 - 1`,
      );
    }
    return this.replication.write(id, entryOf(next), false, options);
  }

  watch(callback: (value: number) => void): Disposable {
    let told = this.value;
    return this.replication.watch(() => {
      const { value } = this;
      // What is only told in another way has not changed.
      if (value === told) return;
      told = value;
      callback(value);
    });
  }

  /** @throws {RangeError} If it cannot be added. */
  protected check(by: number): void {
    if (Number.isSafeInteger(by) && by >= 0) return;
    throw new RangeError(`Cannot add ${by}: it is no integer from 0 on`);
  }
}

class UpDownCounter extends GrowingCounter {
  protected override check(by: number): void {
    if (Number.isSafeInteger(by)) return;
    throw new RangeError(`Cannot add ${by}: it is no safe integer`);
  }
}
