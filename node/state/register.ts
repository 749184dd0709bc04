import type { Behaviour, Scope } from "../behaviour.ts";
import { Dots } from "./_dots.ts";
import { Replicated } from "./_replicated.ts";
import type { ReplicatedState, StateOptions, WriteOptions } from "./types.ts";

/** The one key of a register. */
const KEY = "value";

/** One value that all nodes share; the last writer wins. */
export interface ReplicatedRegister<V> extends ReplicatedState {
  /** The value; `undefined` until it is set anywhere. */
  get(): V | undefined;
  /** Sets it; as `ReplicatedMap.set`. */
  set(value: V, options?: WriteOptions): Promise<void>;
  /** Calls back for each change, wherever it was written; dispose it to stop. */
  watch(callback: (value: V | undefined) => void): Disposable;
}

/** One value that all nodes share; of writes that do not know of each other, all are kept. */
export interface ReplicatedMultiRegister<V> extends ReplicatedState {
  /**
   * The values: none until it is set anywhere, several where writes did not know of
   * each other, in no particular order. The next `set` replaces them all.
   */
  get(): V[];
  /** Sets it; as `ReplicatedMap.set`. */
  set(value: V, options?: WriteOptions): Promise<void>;
  /** Calls back for each change, wherever it was written; dispose it to stop. */
  watch(callback: (values: V[]) => void): Disposable;
}

/**
 * A replicated register, the last writer wins: of two writes that did not know of each
 * other one is lost.
 *
 * @typeParam V The value.
 */
export function register<V>(
  options: StateOptions = {},
): Behaviour<ReplicatedRegister<V>> {
  return (scope) => new LastWriterRegister<V>(scope, options);
}

/**
 * A replicated register that loses no write: where several did not know of each other,
 * it has several values, for the program to merge (Shapiro and others, "A comprehensive
 * study of Convergent and Commutative Replicated Data Types", 2011).
 *
 * @typeParam V The values.
 */
export function multiRegister<V>(
  options: StateOptions = {},
): Behaviour<ReplicatedMultiRegister<V>> {
  return (scope) => new MultiRegister<V>(scope, options);
}

class LastWriterRegister<V> extends Replicated
  implements ReplicatedRegister<V> {
  constructor(scope: Scope, options: StateOptions) {
    super(scope, options, () => "set the value");
  }

  get(): V | undefined {
    return this.replication.store.entries.live.get(KEY) as V | undefined;
  }

  set(value: V, options?: WriteOptions): Promise<void> {
    return this.replication.write(KEY, value, false, options);
  }

  watch(callback: (value: V | undefined) => void): Disposable {
    return this.replication.watch((_key, value) =>
      callback(value as V | undefined)
    );
  }
}

/** Each write is a key of its own, and deletes those that it knows of. */
class MultiRegister<V> extends Replicated
  implements ReplicatedMultiRegister<V> {
  readonly #dots: Dots;

  constructor(scope: Scope, options: StateOptions) {
    super(scope, options, () => "set the value");
    this.#dots = new Dots(this.replication);
  }

  get(): V[] {
    return [...this.replication.store.entries.live.values()] as V[];
  }

  set(value: V, options?: WriteOptions): Promise<void> {
    return this.#dots.replace(KEY, value, options);
  }

  watch(callback: (values: V[]) => void): Disposable {
    return this.replication.watch(() => callback(this.get()));
  }
}
