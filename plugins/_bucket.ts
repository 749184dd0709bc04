/**
 * So much per second, and a burst at once (a token bucket). What is larger than the
 * burst leaves a debt that the next one waits for, so nothing is too large to pass.
 */
export class Bucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes so much; returns in how many ms it may pass. */
  take(amount: number, now: number): number {
    const earned = (now - this.#at) / 1000 * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#at = now;
    const delay = this.#tokens >= Math.min(amount, this.#burst)
      ? 0
      : (Math.min(amount, this.#burst) - this.#tokens) / this.#perSecond * 1000;
    this.#tokens -= amount;
    return delay;
  }
}
