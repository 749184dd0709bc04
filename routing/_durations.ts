/** Measurements that count: the latest. */
const SAMPLES = 64;
/** The longest that is believed, in ms. */
const MAX = 2000;

/** How long something takes, as it was measured. */
export class Durations {
  readonly #samples: number[] = [];
  #next = 0;
  #p95: number;

  /** `unknown`: how long it takes as long as nothing was measured, in ms. */
  constructor(unknown: number) {
    this.#p95 = unknown;
  }

  /** Of 100, 95 took no longer, in ms: 2,000 at most. */
  get p95(): number {
    return this.#p95;
  }

  /** One took so many ms. */
  add(ms: number): void {
    this.#samples[this.#next] = Math.min(ms, MAX);
    this.#next = (this.#next + 1) % SAMPLES;
    const sorted = this.#samples.toSorted((a, b) => a - b);
    this.#p95 = sorted[Math.ceil(sorted.length * 0.95) - 1] ?? this.#p95;
  }
}
