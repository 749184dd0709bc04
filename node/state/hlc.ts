/**
 * A hybrid logical clock: stamps that order what happened as causes before effects, and
 * stay close to the time of day.
 *
 * @module
 */

/** The counter's values; one more bumps the time. */
const COUNTERS = 65_536;

/** How far a stamp may be ahead of this node's time before it is refused, in ms. */
export const MAX_DRIFT = 60_000;

/** How far a stamp may be ahead of this node's time before it is remarked on, in ms. */
export const WARN_DRIFT = 1_000;

/** An instant of a hybrid logical clock. Ties between nodes are for whoever compares. */
export interface Stamp {
  /** Milliseconds since 1970: the time of day, or later. 48 bits. */
  readonly time: number;
  /** Orders what happened within one such millisecond. 16 bits. */
  readonly counter: number;
}

/**
 * A hybrid logical clock (Kulkarni and others, "Logical Physical Clocks", 2014).
 *
 * - What it stamps rises strictly, and is never before the time of day.
 * - What was stamped elsewhere and {@linkcode HybridClock.witness | witnessed} here is
 *   before all that is stamped here from then on.
 *
 * It does not judge what it witnesses: refuse a stamp that is more than
 * {@linkcode MAX_DRIFT} ahead first, or one wrong clock drags all others along.
 */
export class HybridClock {
  readonly #wallClock: () => number;
  #time: number;
  #counter: number;

  /**
   * Makes one. `last`: where an earlier run of it had come to, as far as that was kept.
   */
  constructor(
    wallClock: () => number,
    last: Stamp = { time: 0, counter: 0 },
  ) {
    this.#wallClock = wallClock;
    this.#time = last.time;
    this.#counter = last.counter;
  }

  /** The time of the last stamp, given out or witnessed. */
  get time(): number {
    return this.#time;
  }

  /** The counter of the last stamp, given out or witnessed. */
  get counter(): number {
    return this.#counter;
  }

  /** A stamp for what happens now. */
  now(): Stamp {
    this.tick();
    return { time: this.#time, counter: this.#counter };
  }

  /** As `now`, for who reads `time` and `counter` afterwards: makes no object. */
  tick(): void {
    const physical = Math.floor(this.#wallClock());
    if (physical > this.#time) {
      this.#time = physical;
      this.#counter = 0;
      return;
    }
    this.#counter++;
    if (this.#counter < COUNTERS) return;
    this.#time++;
    this.#counter = 0;
  }

  /** Something with this stamp is known here from now on. */
  witness(time: number, counter: number): void {
    if (time < this.#time) return;
    if (time > this.#time) {
      this.#time = time;
      this.#counter = counter;
    } else if (counter > this.#counter) this.#counter = counter;
  }
}

/** Negative where `a` is before `b`, positive where after; 0: the same instant. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.time - b.time || a.counter - b.counter;
}
