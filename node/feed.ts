import { Fifo } from "./_fifo.ts";
import type { Handler, HandlerContext, Overflow, Received } from "./types.ts";

const LIMIT = 1_024;

/** Events of a name as they come, one after the other: see {@linkcode Node.events}. */
export interface Feed<D>
  extends AsyncIterableIterator<Received<D>>, Disposable {
  /** How many events were dropped because as many waited as may. */
  readonly dropped: number;
  /** Ends it; what waits is dropped. Leaving the loop does the same. */
  return(): Promise<IteratorResult<Received<D>, undefined>>;
}

/** What a feed is made with. */
export interface FeedOptions {
  readonly name: string;
  readonly limit: number | undefined;
  readonly overflow: Overflow | undefined;
  /** Ends it when it aborts. */
  readonly signals: readonly AbortSignal[];
  /** Registers its handler. */
  on(handler: Handler): Disposable;
  /** An event was dropped. */
  dropped(): void;
}

/** What settles once an event that waits in a feed is handled: so far, no handler runs for it. */
export class Kept extends Promise<void> {}

/** An event that waits, and whoever waits for its receipt. */
interface Waiting {
  readonly received: Received<unknown>;
  readonly receipt: PromiseWithResolvers<void> | null;
}

/** A handler that keeps events until somebody asks for them. */
export class EventFeed implements Feed<unknown> {
  dropped = 0;
  readonly #options: FeedOptions;
  readonly #limit: number;
  readonly #overflow: Overflow;
  readonly #handler: Disposable;
  readonly #queue = new Fifo<Waiting>();
  /** Receipts of those that were given out, and whose handling goes on. */
  #given: PromiseWithResolvers<void>[] = [];
  #asking: PromiseWithResolvers<
    IteratorResult<Received<unknown>, undefined>
  >[] = [];
  #failure: Error | null = null;
  #ended = false;
  readonly #end = (): void => this[Symbol.dispose]();

  /**
   * Begins to keep events.
   *
   * @throws {RangeError} If the limit is out of its range.
   */
  constructor(options: FeedOptions) {
    const { name, limit = LIMIT, overflow = "drop-oldest" } = options;
    if (!Number.isInteger(limit) || limit < 1) {
      throw new RangeError(
        `Cannot keep ${limit} events of "${name}": it is an integer from 1 on`,
      );
    }
    this.#options = options;
    this.#limit = limit;
    this.#overflow = overflow;
    this.#handler = options.on((data, context) => this.#take(data, context));
    for (const signal of options.signals) {
      signal.addEventListener("abort", this.#end);
    }
    if (options.signals.some(({ aborted }) => aborted)) this.#end();
  }

  next(): Promise<IteratorResult<Received<unknown>, undefined>> {
    this.#finish();
    const first = this.#queue.shift();
    if (first) return Promise.resolve(this.#give(first));
    const failure = this.#failure;
    this.#failure = null;
    if (failure) return Promise.reject(failure);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const asking = Promise.withResolvers<
      IteratorResult<Received<unknown>, undefined>
    >();
    this.#asking.push(asking);
    return asking.promise;
  }

  return(): Promise<IteratorResult<Received<unknown>, undefined>> {
    this[Symbol.dispose]();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.#finish();
    this.#stop();
    this.#failure = null;
    while (this.#queue.size > 0) {
      this.#queue.shift()?.receipt?.reject(
        new Error("nobody takes it any more"),
      );
    }
  }

  /** Takes nothing more; what waits may still be taken. */
  #stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handler[Symbol.dispose]();
    for (const signal of this.#options.signals) {
      signal.removeEventListener("abort", this.#end);
    }
    for (const { resolve } of this.#asking.splice(0)) {
      resolve({ done: true, value: undefined });
    }
  }

  /** Of a delivery, a promise: it has been handled when the loop goes on. */
  #take(data: unknown, context: HandlerContext): Promise<void> | void {
    // Another handler of the same event may have ended it.
    if (this.#ended) return;
    const { from, name, signal, headers, delivery } = context;
    const isDelivery = delivery !== undefined;
    const receipt = isDelivery ? Kept.withResolvers<void>() : null;
    const told = { data, from, name, signal, headers };
    const received = isDelivery ? { ...told, delivery } : told;
    const waiting = { received, receipt };
    const asking = this.#asking.shift();
    if (asking) asking.resolve(this.#give(waiting));
    else if (this.#queue.size < this.#limit) this.#queue.push(waiting);
    else this.#overflowBy(waiting);
    return receipt?.promise;
  }

  #give(waiting: Waiting): IteratorResult<Received<unknown>, undefined> {
    if (waiting.receipt) this.#given.push(waiting.receipt);
    return { done: false, value: waiting.received };
  }

  #finish(): void {
    if (this.#given.length === 0) return;
    for (const { resolve } of this.#given) resolve();
    this.#given = [];
  }

  #overflowBy(waiting: Waiting): void {
    this.dropped++;
    this.#options.dropped();
    const isOldest = this.#overflow === "drop-oldest";
    const dropped = isOldest ? this.#queue.shift() : waiting;
    dropped?.receipt?.reject(new Error("it was dropped: too many wait"));
    if (isOldest) this.#queue.push(waiting);
    if (this.#overflow !== "fail") return;
    const { name } = this.#options;
    this.#failure = new RangeError(
      `More than ${this.#limit} events of "${name}" wait to be taken`,
    );
    this.#stop();
  }
}
