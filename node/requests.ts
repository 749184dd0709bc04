import type { Clock } from "@devts/routing";
import { RequestError } from "./errors.ts";

/** A request that waits for its reply. */
interface Pending {
  readonly to: string;
  readonly name: string;
  readonly deadline: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/**
 * The requests that wait. Every one has a deadline; one timer serves them all, set
 * for the earliest.
 */
export class Requests {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #wakeAt = Infinity;
  #cancel: () => void = () => {};

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** How many wait. */
  get size(): number {
    return this.#pending.size;
  }

  /**
   * Opens a request.
   *
   * @throws {RequestError} If as many wait as may.
   */
  open(to: string, name: string, timeout: number, signal?: AbortSignal): {
    readonly id: number;
    readonly reply: Promise<unknown>;
  } {
    if (this.#pending.size >= this.#limit) {
      throw new RequestError(
        "limit",
        `Cannot request "${name}" of node "${to}": ${this.#limit} requests wait already`,
      );
    }
    const id = this.#freeId();
    const deadline = this.#clock.now() + timeout;
    const reply = new Promise<unknown>((resolve, reject) => {
      const release = onAbort(
        signal,
        (reason) => this.#end(id, (p) => p.reject(reason)),
      );
      this.#pending.set(id, { to, name, deadline, resolve, reject, release });
    });
    this.#wakeBy(deadline);
    return { id, reply };
  }

  /** A reply came; false when nobody waits for it from that node. */
  resolve(id: number, from: string, value: unknown): boolean {
    if (this.#pending.get(id)?.to !== from) return false;
    return this.#end(id, (pending) => pending.resolve(value));
  }

  /** A failure came, or something made the request pointless. */
  reject(id: number, from: string, error: (name: string) => unknown): boolean {
    if (this.#pending.get(id)?.to !== from) return false;
    return this.#end(id, (pending) => pending.reject(error(pending.name)));
  }

  /** Fails those whose target is no longer `reachable`. */
  rejectUnreachable(reachable: (id: string) => boolean, why: string): void {
    for (const [id, { to, name }] of this.#pending) {
      if (reachable(to)) continue;
      this.#end(id, (pending) =>
        pending.reject(
          new RequestError(
            "lost",
            `Request "${name}" to node "${to}" got no reply: ${why}; it may have been handled`,
          ),
        ));
    }
  }

  /** Fails all of them. */
  close(): void {
    for (const [id, { to, name }] of this.#pending) {
      this.#end(id, (pending) =>
        pending.reject(
          new RequestError(
            "closed",
            `Request "${name}" to node "${to}" got no reply: this node was closed`,
          ),
        ));
    }
    this.#cancel();
  }

  #freeId(): number {
    do this.#next = (this.#next + 1) >>> 0; while (
      this.#pending.has(this.#next)
    );
    return this.#next;
  }

  #end(id: number, settle: (pending: Pending) => void): boolean {
    const pending = this.#pending.get(id);
    if (!pending) return false;
    this.#pending.delete(id);
    pending.release();
    settle(pending);
    if (this.#pending.size === 0) this.#sleep();
    return true;
  }

  #wakeBy(deadline: number): void {
    if (deadline >= this.#wakeAt) return;
    this.#cancel();
    this.#wakeAt = deadline;
    this.#cancel = this.#clock.after(
      Math.max(0, deadline - this.#clock.now()),
      () => this.#expire(),
    );
  }

  #sleep(): void {
    this.#cancel();
    this.#wakeAt = Infinity;
  }

  #expire(): void {
    this.#wakeAt = Infinity;
    const now = this.#clock.now();
    let earliest = Infinity;
    for (const [id, { to, name, deadline }] of this.#pending) {
      if (deadline > now) {
        earliest = Math.min(earliest, deadline);
        continue;
      }
      this.#end(id, (pending) =>
        pending.reject(
          new RequestError(
            "timeout",
            `Request "${name}" to node "${to}" got no reply in the time given`,
          ),
        ));
    }
    if (earliest < Infinity) this.#wakeBy(earliest);
  }
}

function onAbort(
  signal: AbortSignal | undefined,
  callback: (reason: unknown) => void,
): () => void {
  if (!signal) return nothing;
  const listener = (): void => callback(signal.reason);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

function nothing(): void {}
