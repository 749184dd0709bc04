import type { Behaviour, Scope } from "../behaviour.ts";
import { Replicated } from "./_replicated.ts";
import type { ReplicatedState, StateOptions, WriteOptions } from "./types.ts";

/** What may stand in a count. */
const MOST = Number.MAX_SAFE_INTEGER;

/** A number that all nodes share and add to; no addition is lost. */
export interface ReplicatedCounter extends ReplicatedState {
  /** The number, as this node knows it. */
  readonly value: number;
  /**
   * Adds to it: 1 unless `by` says how much; as `ReplicatedMap.set`.
   *
   * @throws {RangeError} If it is no safe integer, or below 0 where the counter only grows.
   */
  add(by?: number, options?: WriteOptions): Promise<void>;
  /** Calls back for each change, wherever it was written; dispose it to stop. */
  watch(callback: (value: number) => void): Disposable;
}

/**
 * A replicated counter that only grows (a G-counter): each life of a node counts for
 * itself, and the value is the sum.
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

/** Counts of lives of nodes: each is written by that life alone, so the last one is the largest. */
class GrowingCounter extends Replicated implements ReplicatedCounter {
  constructor(scope: Scope, options: StateOptions) {
    super(scope, options, () => "add to the count");
  }

  get value(): number {
    let sum = 0;
    for (const count of this.replication.store.entries.live.values()) {
      const [up, down] = countOf(count);
      sum += up - down;
    }
    return sum;
  }

  add(by = 1, options?: WriteOptions): Promise<void> {
    this.check(by);
    return this.replication.onceLoaded(() => this.#add(by, options));
  }

  #add(by: number, options: WriteOptions | undefined): Promise<void> {
    const { id } = this.replication.store.self;
    const [up, down] = countOf(this.replication.latest(id));
    const next = by < 0 ? [up, down - by] : [up + by, down];
    return this.replication.write(id, next, false, options);
  }

  watch(callback: (value: number) => void): Disposable {
    return this.replication.watch(() => callback(this.value));
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

/** What another node wrote may be anything. */
function countOf(value: unknown): readonly [up: number, down: number] {
  if (!Array.isArray(value)) return [0, 0];
  return [numberOf(value[0]), numberOf(value[1])];
}

function numberOf(value: unknown): number {
  return typeof value === "number" && value >= 0 && value <= MOST ? value : 0;
}
