import type { Clock } from "@devts/routing";

const PER_SECOND = 10;

/** Lets ten through per second, so that a flood of faults is no flood of log lines. */
export class Throttle {
  readonly #clock: Clock;
  #since = -Infinity;
  #passed = 0;
  #held = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A remark to add to the line that may be written; null: write none. */
  pass(): string | null {
    const now = this.#clock.now();
    if (now - this.#since >= 1000) {
      this.#since = now;
      this.#passed = 0;
    }
    if (this.#passed >= PER_SECOND) {
      this.#held++;
      return null;
    }
    this.#passed++;
    const held = this.#held;
    this.#held = 0;
    return held > 0 ? ` (and ${held} more like it)` : "";
  }
}
