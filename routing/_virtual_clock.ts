import { EventHeap, PlannedCall } from "./_event_heap.ts";
import type { Clock } from "./types.ts";

/** The real one: a guard may replace the global while virtual time passes. */
const { setImmediate } = globalThis;

/** What stands in the heap of a clock; for the simulator alone. */
export let heapOf: (clock: VirtualClock) => EventHeap;

/**
 * A clock whose time passes only when a test says so.
 *
 * - Callbacks run in the order of their time, those of the same time in the order
 *   in which they were asked for. What a callback throws leaves the call in which
 *   time passed.
 * - `tick`, `run` and `until` are for synchronous code. Where promises are waited for,
 *   use `pass`, `passUntil` and `settle`: after each callback they let every promise
 *   settle that can, so that what follows from it happens at its virtual time.
 *
 * @example A minute in no time
 * ```ts
 * import { VirtualClock } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const clock = new VirtualClock();
 * const seen: number[] = [];
 * clock.after(60_000, () => seen.push(clock.now()));
 * clock.tick(60_000);
 *
 * assertEquals(seen, [60_000]);
 * ```
 *
 * @example Code that waits
 * ```ts
 * import { VirtualClock } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const clock = new VirtualClock();
 * const sleep = (ms: number) =>
 *   new Promise<void>((resolve) => clock.after(ms, resolve));
 * async function nap(): Promise<number> {
 *   await sleep(1000);
 *   await sleep(500);
 *   return clock.now();
 * }
 *
 * assertEquals(await clock.settle(nap()), 1500);
 * ```
 */
export class VirtualClock implements Clock {
  readonly #heap = new EventHeap();

  static {
    heapOf = (clock) => clock.#heap;
  }

  /** Callbacks that are planned and not cancelled. */
  get pending(): number {
    return this.#heap.size;
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return this.#heap.now;
  }

  /**
   * Plans a callback `delay` ms from now.
   *
   * @returns Cancels it; idempotent.
   */
  after(delay: number, callback: () => void): () => void {
    const heap = this.#heap;
    const event = new PlannedCall(callback);
    heap.push(event, heap.now + (delay > 0 ? delay : 0));
    return () => {
      heap.remove(event);
    };
  }

  /** Plans a callback at the present time, behind those that are due already. */
  soon(callback: () => void): void {
    this.after(0, callback);
  }

  /** Lets `ms` milliseconds pass, and runs what comes due. */
  tick(ms: number): void {
    const heap = this.#heap;
    const end = heap.now + ms;
    while (heap.step(end));
    heap.now = end;
  }

  /**
   * Runs until nothing is planned any more.
   *
   * @param limit The most milliseconds that may pass.
   * @throws {RangeError} If something is still planned after that.
   */
  run(limit = 3_600_000): void {
    const end = this.#heap.now + limit;
    while (this.#heap.step(end));
    if (this.pending === 0) return;
    throw new RangeError(
      `Cannot run until idle: ${this.pending} callbacks left after ${limit} ms`,
    );
  }

  /**
   * Runs until a condition holds, which is asked before and after each callback.
   *
   * @param limit The most milliseconds that may pass.
   * @returns How many milliseconds passed.
   * @throws {RangeError} If it does not hold by then.
   */
  until(condition: () => boolean, limit = 60_000): number {
    const start = this.#heap.now;
    while (!condition()) {
      if (!this.#heap.step(start + limit)) throw unreached(condition, limit);
    }
    return this.#heap.now - start;
  }

  /** As `tick`, with promises settling in between. */
  async pass(ms: number): Promise<void> {
    const heap = this.#heap;
    const end = heap.now + ms;
    await this.#turn();
    while (heap.step(end)) await this.#turn();
    heap.now = end;
  }

  /**
   * As `until`, with promises settling in between.
   *
   * @param limit The most milliseconds that may pass.
   * @returns How many milliseconds passed. Rejects with a `RangeError` if the
   * condition does not hold by then.
   */
  async passUntil(condition: () => boolean, limit = 60_000): Promise<number> {
    const start = this.#heap.now;
    await this.#turn();
    while (!condition()) {
      if (!this.#heap.step(start + limit)) throw unreached(condition, limit);
      await this.#turn();
    }
    return this.#heap.now - start;
  }

  /**
   * What a promise gives, while time passes as it must.
   *
   * @param limit The most milliseconds that may pass.
   * @returns Settles as the promise does. Rejects with a `RangeError` if that has not
   * settled by then.
   */
  async settle<T>(promise: Promise<T>, limit = 60_000): Promise<T> {
    let settled = false;
    const end = (): void => {
      settled = true;
    };
    promise.then(end, end);
    await this.passUntil(() => settled, limit);
    return await promise;
  }

  /** A turn of the event loop, before which every promise settles that can. */
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#heap.settled();
  }
}

function unreached(condition: () => boolean, limit: number): RangeError {
  return new RangeError(
    `Cannot reach the condition within ${limit} ms: ${condition}`,
  );
}
