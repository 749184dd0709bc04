import { MAX_DRIFT } from "./hlc.ts";

/** What is known of another node's clock. */
interface Sample {
  /** Its time of day where this node's monotonic clock would show 0. */
  readonly base: number;
}

/** A longer round trip says too little, in ms. */
const LONGEST_TRIP = 5_000;
/** More nodes than this are not needed to judge. */
const MAX_SAMPLES = 1_024;

/**
 * Compares this node's time of day with that of the others, and tells whether it is
 * this one that is wrong: where more than half of all nodes, this one among them, are
 * further from it than stamps may be.
 */
export class PeerClocks {
  readonly #wallClock: () => number;
  readonly #now: () => number;
  readonly #samples = new Map<string, Sample>();

  /** `now` is monotonic, so that a step of the time of day shows at once. */
  constructor(wallClock: () => number, now: () => number) {
    this.#wallClock = wallClock;
    this.#now = now;
  }

  /** A node has answered with its time of day, to what was asked at `asked`. */
  note(id: string, wallClock: number, asked: number): void {
    const now = this.#now();
    if (now - asked > LONGEST_TRIP) return;
    if (this.#samples.size >= MAX_SAMPLES && !this.#samples.has(id)) return;
    this.#samples.set(id, { base: wallClock - (asked + now) / 2 });
  }

  /** A node is gone. */
  forget(id: string): void {
    this.#samples.delete(id);
  }

  /**
   * How far the others are ahead of this node, in ms, where this node is wrong; 0 where
   * it is right, or nobody can tell. Beside it, how many others say so, of how many.
   */
  judge(): {
    readonly offset: number;
    readonly far: number;
    readonly of: number;
  } {
    const own = this.#wallClock() - this.#now();
    const offsets = Array.from(this.#samples.values(), ({ base }) => base - own)
      .sort((a, b) => a - b);
    const far = offsets.filter((one) => Math.abs(one) > MAX_DRIFT).length;
    const of = offsets.length;
    const isWrong = far * 2 > of + 1;
    const offset = isWrong ? offsets[of >>> 1] ?? 0 : 0;
    return { offset, far, of };
  }
}
