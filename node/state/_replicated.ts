import type { Scope } from "../behaviour.ts";
import type { Call } from "./_checks.ts";
import { Replication } from "./_replication.ts";
import type { ReplicatedState, StateCounters, StateOptions } from "./types.ts";

/** What all replicated state has in common. */
export class Replicated implements ReplicatedState {
  readonly #replication: Replication;
  readonly #scope: { close(): Promise<void> };

  /**
   * @param call What the program called, for error messages.
   * @param isVerified Whether nodes that know of the same writes hold the same.
   */
  constructor(
    scope: Scope,
    options: StateOptions,
    call?: Call,
    isVerified?: boolean,
  ) {
    this.#replication = new Replication(scope, options, call, isVerified);
    this.#scope = scope;
  }

  /** For the state itself. */
  get replication(): Replication {
    return this.#replication;
  }

  get ready(): Promise<void> {
    return this.#replication.ready;
  }

  get counters(): StateCounters {
    return this.#replication.counters;
  }

  sync(): Promise<void> {
    return this.#replication.sync();
  }

  hash(): string {
    const { low, high } = this.#replication.store.entries.digest();
    return hex(high) + hex(low);
  }

  close(): Promise<void> {
    return this.#scope.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function hex(number: number): string {
  return number.toString(16).padStart(8, "0");
}
