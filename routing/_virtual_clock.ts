import type { Clock } from "./types.ts";

/** A callback that is planned; `null` once it ran or was cancelled. */
interface Plan {
  readonly time: number;
  readonly order: number;
  callback: (() => void) | null;
}

/**
 * A clock whose time passes only when a test says so.
 *
 * Callbacks run in the order of their time, those of the same time in the order
 * in which they were asked for. What a callback throws leaves `tick`, `run` or
 * `until`.
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
 */
export class VirtualClock implements Clock {
  /** A binary heap by time and order. */
  readonly #heap: Plan[] = [];
  #now = 0;
  #asked = 0;
  #pending = 0;

  /** Callbacks that are planned and not cancelled. */
  get pending(): number {
    return this.#pending;
  }

  /** Milliseconds since the clock was made. */
  now(): number {
    return this.#now;
  }

  /**
   * Plans a callback `delay` ms from now.
   *
   * @returns Cancels it; idempotent.
   */
  after(delay: number, callback: () => void): () => void {
    const plan: Plan = {
      time: this.#now + Math.max(0, delay),
      order: this.#asked++,
      callback,
    };
    this.#push(plan);
    this.#pending++;
    return () => {
      if (plan.callback === null) return;
      plan.callback = null;
      this.#pending--;
    };
  }

  /** Plans a callback at the present time, behind those that are due already. */
  soon(callback: () => void): void {
    this.after(0, callback);
  }

  /** Lets `ms` milliseconds pass, and runs what comes due. */
  tick(ms: number): void {
    const end = this.#now + ms;
    while (this.#step(end));
    this.#now = end;
  }

  /**
   * Runs until nothing is planned any more.
   *
   * @param limit The most milliseconds that may pass.
   * @throws {RangeError} If something is still planned after that.
   */
  run(limit = 3_600_000): void {
    const end = this.#now + limit;
    while (this.#step(end));
    if (this.#pending === 0) return;
    throw new RangeError(
      `Cannot run until idle: ${this.#pending} callbacks left after ${limit} ms`,
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
    const start = this.#now;
    while (!condition()) {
      if (this.#step(start + limit)) continue;
      throw new RangeError(
        `Cannot reach the condition within ${limit} ms: ${condition}`,
      );
    }
    return this.#now - start;
  }

  /** Runs the next callback that is due by `end`. */
  #step(end: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.time > end) return false;
      this.#pop();
      const { callback } = next;
      if (callback === null) continue;
      next.callback = null;
      this.#pending--;
      this.#now = next.time;
      callback();
      return true;
    }
  }

  #push(plan: Plan): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || isBefore(parent, plan)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = plan;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const rightFirst = right !== undefined && isBefore(right, left);
      const child = rightFirst ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (rightFirst ? 2 : 1);
    }
    heap[at] = last;
  }
}

function isBefore(a: Plan, b: Plan): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
