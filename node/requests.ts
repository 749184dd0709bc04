import type { Clock } from "@devts/routing";
import { RequestError } from "./errors.ts";
import type { MetLimits } from "./limits.ts";

/** A node that requests go to, as long as there is a way to it. */
export interface Asked {
  readonly id: string;
  /** How many wait for a reply of it. */
  waiting: number;
}

/** A request that waits for its reply. */
interface Pending extends PromiseWithResolvers<unknown> {
  readonly to: Asked;
  readonly name: string;
  readonly deadline: number;
  /** Those that left in the same bundle, which arrives whole or not at all; null: it alone. */
  bundle: readonly number[] | null;
  readonly release: () => void;
}

/** What the requests are made with. */
export interface RequestsOptions {
  readonly clock: Clock;
  /** How many may wait. */
  readonly limit: number;
  /** How many may wait for one node. */
  readonly perPeer: number;
  readonly met: MetLimits;
  /** Called with the promise of a reply before it rejects. */
  rejecting(reply: Promise<unknown>): void;
}

/**
 * The requests that wait. Every one has a deadline; one timer serves them all, set
 * for the earliest, and left running when the replies are faster than that.
 */
export class Requests {
  readonly #options: RequestsOptions;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #wakeAt = Infinity;
  #cancel: () => void = nothing;
  /** The time in this turn of the event loop; -1: not read yet. */
  #now = -1;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.#pending.size;
  }

  /** Whether one of a name that begins with a prefix waits. */
  busy(prefix: string): boolean {
    for (const { name } of this.#pending.values()) {
      if (name.startsWith(prefix)) return true;
    }
    return false;
  }

  /**
   * Opens a request.
   *
   * @throws {RequestError} If as many wait as may.
   */
  open(to: Asked, name: string, timeout: number, signal?: AbortSignal): {
    readonly id: number;
    readonly reply: Promise<unknown>;
  } {
    const { limit, perPeer } = this.#options;
    if (to.waiting >= perPeer) throw this.#full("requestsPerPeer", to, name);
    if (this.#pending.size >= limit) throw this.#full("requests", to, name);
    const id = this.#freeId();
    const deadline = this.#time() + timeout;
    const release = signal === undefined
      ? nothing
      : onAbort(signal, (reason) => this.#fail(id, reason));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    to.waiting++;
    this.#pending.set(id, {
      to,
      name,
      deadline,
      bundle: null,
      promise,
      resolve,
      reject,
      release,
    });
    if (deadline < this.#wakeAt) this.#wakeBy(deadline);
    return { id, reply: promise };
  }

  /** Requests left in one bundle, which arrives whole or not at all. */
  sentTogether(ids: readonly number[]): void {
    if (ids.length < 2) return;
    for (const id of ids) {
      const pending = this.#pending.get(id);
      if (pending) pending.bundle = ids;
    }
  }

  /** A reply came; false when nobody waits for it from that node. */
  resolve(id: number, from: string, value: unknown): boolean {
    const pending = this.#pending.get(id);
    if (pending?.to.id !== from) return false;
    this.#remove(id, pending);
    pending.resolve(value);
    return true;
  }

  /** The name of a request that waits for that node; null: none does. */
  nameOf(id: number, from: string): string | null {
    const pending = this.#pending.get(id);
    return pending?.to.id === from ? pending.name : null;
  }

  /** A failure came; false when nobody waits for it from that node. */
  reject(id: number, from: string, error: (name: string) => unknown): boolean {
    const pending = this.#pending.get(id);
    if (pending?.to.id !== from) return false;
    this.#fail(id, error(pending.name));
    return true;
  }

  /** A turn of the event loop has begun since the last request was sent. */
  turned(): void {
    this.#now = -1;
  }

  /** It was not sent: its promise, which nobody has, stays as it is. */
  drop(id: number): void {
    this.#now = -1;
    const pending = this.#pending.get(id);
    if (pending) this.#remove(id, pending);
  }

  /** Fails those whose target is no longer `reachable`. */
  rejectUnreachable(reachable: (id: string) => boolean, why: string): void {
    for (const [id, { to }] of this.#pending) {
      if (!reachable(to.id)) this.#lose(id, why);
    }
  }

  /** Fails those that left in the same bundle as one of `ids`, to a node where one is given. */
  rejectLost(ids: readonly number[], why: string, to?: string): void {
    for (const id of ids) {
      const pending = this.#pending.get(id);
      if (!pending || pending.to.id !== (to ?? pending.to.id)) continue;
      for (const other of pending.bundle ?? [id]) this.#lose(other, why);
    }
  }

  #lose(id: number, why: string): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    const { to, name } = pending;
    this.#fail(
      id,
      new RequestError(
        "lost",
        `Request "${name}" to node "${to.id}" got no reply: ${why}; it may have been handled`,
      ),
    );
  }

  /** Fails all of them. */
  close(): void {
    for (const [id, { to, name }] of this.#pending) {
      this.#fail(
        id,
        new RequestError(
          "closed",
          `Request "${name}" to node "${to.id}" got no reply: this node was closed`,
        ),
      );
    }
    this.#cancel();
  }

  #freeId(): number {
    do this.#next = (this.#next + 1) >>> 0; while (
      this.#pending.has(this.#next)
    );
    return this.#next;
  }

  #fail(id: number, error: unknown): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#remove(id, pending);
    this.#options.rejecting(pending.promise);
    pending.reject(error);
  }

  #remove(id: number, pending: Pending): void {
    this.#pending.delete(id);
    pending.to.waiting--;
    pending.release();
  }

  /** What to tell whoever requests faster than replies come. */
  #full(
    limit: "requests" | "requestsPerPeer",
    { id }: Asked,
    name: string,
  ): RequestError {
    this.#options.met[limit]++;
    const wait = limit === "requests"
      ? `${this.#options.limit} requests wait`
      : `${this.#options.perPeer} requests wait for it`;
    return new RequestError(
      "limit",
      `Cannot request "${name}" of node "${id}": ${wait} already; ` +
        `await some of their replies first, or raise limits.${limit}`,
    );
  }

  /** The time, read once per turn: a deadline need not be more exact. */
  #time(): number {
    if (this.#now < 0) this.#now = this.#options.clock.now();
    return this.#now;
  }

  #wakeBy(deadline: number): void {
    const { clock } = this.#options;
    this.#cancel();
    this.#wakeAt = deadline;
    this.#cancel = clock.after(
      Math.max(0, deadline - clock.now()),
      () => this.#expire(),
    );
  }

  #expire(): void {
    this.#wakeAt = Infinity;
    const now = this.#options.clock.now();
    let earliest = Infinity;
    for (const [id, { to, name, deadline }] of this.#pending) {
      if (deadline > now) {
        earliest = Math.min(earliest, deadline);
        continue;
      }
      this.#fail(
        id,
        new RequestError(
          "timeout",
          `Request "${name}" to node "${to.id}" got no reply in the time given`,
        ),
      );
    }
    if (earliest < Infinity) this.#wakeBy(earliest);
  }
}

function onAbort(
  signal: AbortSignal,
  callback: (reason: unknown) => void,
): () => void {
  const listener = (): void => callback(signal.reason);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

function nothing(): void {}
