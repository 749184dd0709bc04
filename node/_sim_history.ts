/** What an operation does. */
export type OperationKind = "write" | "delete" | "read";

/**
 * How an operation came out. `unknown`: it failed in a way that leaves open whether it
 * took effect, or its node ended before it returned.
 */
export type OperationOutcome = "ok" | "fail" | "unknown";

/** One operation of a client. */
export interface Operation {
  /** What it does. */
  readonly kind: OperationKind;
  /** The node it was asked of. */
  readonly node: string;
  /** One life of that node: what a client that stays with it has seen. */
  readonly session: string;
  /** The key. */
  readonly key: string;
  /** What was written or read; `undefined`: nothing. Each value is written once. */
  readonly value: string | undefined;
  /** When it was asked for, in virtual ms. */
  readonly invoked: number;
  /** When it returned, in virtual ms; `null`: never. */
  readonly returned: number | null;
  /** How it came out. */
  readonly outcome: OperationOutcome;
  /** Where the write stands in the order of the store, where the store tells. */
  readonly version: string | undefined;
  /** What it failed with. */
  readonly error?: unknown;
  /** Whether it is one of the reads of every key on every node at the end. */
  readonly isFinal: boolean;
}

/** What clients did and saw, in the order in which they asked. */
export type History = readonly Operation[];

/** An operation that is under way. */
export interface Running {
  operation: Operation;
}

/** Writes a history down. */
export class Recorder {
  readonly #now: () => number;
  readonly #all: Running[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** What happened so far. */
  get history(): History {
    return this.#all.map(({ operation }) => operation);
  }

  /** An operation begins; it is unknown until it is told how it came out. */
  begin(
    operation: Pick<
      Operation,
      "kind" | "node" | "session" | "key" | "value" | "isFinal"
    >,
  ): Running {
    const running: Running = {
      operation: {
        ...operation,
        invoked: this.#now(),
        returned: null,
        outcome: "unknown",
        version: undefined,
      },
    };
    this.#all.push(running);
    return running;
  }

  /** It has returned. */
  end(
    running: Running,
    change: Partial<Pick<Operation, "value" | "outcome" | "version" | "error">>,
  ): void {
    const { operation } = running;
    running.operation = { ...operation, ...change, returned: this.#now() };
  }

  /** The store has said where a write stands. */
  version(running: Running, version: string | undefined): void {
    running.operation = { ...running.operation, version };
  }
}
