import type { Clock } from "@devts/routing";
import type { Gathered, GatherMiss, GatherOptions } from "./types.ts";

const TIMEOUT = 10_000;

/** Replies of many nodes as they come: see {@linkcode Node.gather}. */
export interface Gathering<R>
  extends AsyncIterableIterator<Gathered<R>>, Disposable {
  /** The nodes that were asked. */
  readonly asked: readonly string[];
  /** Those that cannot answer, or have not by its end, and why; live. */
  readonly missing: readonly GatherMiss[];
  /** Ends it. Leaving the loop does the same. */
  return(): Promise<IteratorResult<Gathered<R>, undefined>>;
}

/** What a gathering is made with. */
export interface GatheringOptions {
  readonly name: string;
  readonly nodes: readonly string[];
  readonly clock: Clock;
  readonly options: GatherOptions;
  /** Asks a node. */
  ask(node: string, timeout: number, signal: AbortSignal): Promise<unknown>;
}

type Result = IteratorResult<Gathered<unknown>, undefined>;

/** Asks nodes, and keeps their replies until somebody takes them: one of each at most. */
export class Gatherer implements Gathering<unknown> {
  readonly asked: readonly string[];
  readonly missing: GatherMiss[] = [];
  readonly #clock: Clock;
  readonly #quiet: number;
  readonly #signal: AbortSignal | undefined;
  readonly #stop = new AbortController();
  readonly #came: Gathered<unknown>[] = [];
  readonly #asking: PromiseWithResolvers<Result>[] = [];
  /** Replies that may still come. */
  #open: number;
  /** Replies that are wanted still. */
  #wanted: number;
  #cancelQuiet = (): void => {};
  #failure: { readonly reason: unknown } | null = null;
  #ended = false;
  readonly #abort = (): void => {
    this.#failure = { reason: this.#signal?.reason };
    this.#end();
  };

  /**
   * Asks at once.
   *
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long, or an option out of its range.
   */
  constructor({ name, nodes, clock, options, ask }: GatheringOptions) {
    const { count = Infinity, quiet = Infinity, timeout = TIMEOUT, signal } =
      options;
    check(name, "count", count);
    check(name, "quiet time", quiet);
    this.#clock = clock;
    this.#quiet = quiet;
    this.#wanted = count;
    this.#signal = signal;
    // Nobody waits for what is asked in vain.
    this.asked = signal?.aborted ? [] : nodes;
    this.#open = this.asked.length;
    for (const node of this.asked) {
      ask(node, timeout, this.#stop.signal).then(
        (data) => this.#reply(node, data),
        (error) => this.#miss(node, error),
      );
    }
    signal?.addEventListener("abort", this.#abort);
    if (signal?.aborted) this.#abort();
    else if (this.#open === 0) this.#end();
    else this.#listen();
  }

  next(): Promise<Result> {
    const first = this.#came.shift();
    if (first) return Promise.resolve({ done: false, value: first });
    if (this.#ended) return this.#last();
    const asking = Promise.withResolvers<Result>();
    this.#asking.push(asking);
    return asking.promise;
  }

  return(): Promise<Result> {
    this[Symbol.dispose]();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.#came.length = 0;
    this.#end();
  }

  #reply(from: string, data: unknown): void {
    if (this.#ended) return;
    this.#open--;
    this.#wanted--;
    const asking = this.#asking.shift();
    if (asking) asking.resolve({ done: false, value: { from, data } });
    else this.#came.push({ from, data });
    if (this.#open === 0 || this.#wanted === 0) this.#end();
    else this.#listen();
  }

  #miss(node: string, error: unknown): void {
    this.missing.push({ node, error });
    this.#open--;
    if (this.#open === 0) this.#end();
  }

  /** It ends once no reply has come for a while. */
  #listen(): void {
    if (this.#quiet === Infinity) return;
    this.#cancelQuiet();
    this.#cancelQuiet = this.#clock.after(this.#quiet, () => this.#end());
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelQuiet();
    this.#signal?.removeEventListener("abort", this.#abort);
    if (this.#open > 0) this.#stop.abort(new Error("nobody waits any more"));
    for (const { resolve } of this.#asking.splice(0)) resolve(this.#last());
  }

  #last(): Promise<Result> {
    const failure = this.#failure;
    this.#failure = null;
    return failure
      ? Promise.reject(failure.reason)
      : Promise.resolve({ done: true, value: undefined });
  }
}

function check(name: string, what: string, value: number): void {
  if (value >= 1) return;
  throw new RangeError(
    `Cannot gather "${name}": the ${what} ${value} is below 1`,
  );
}
