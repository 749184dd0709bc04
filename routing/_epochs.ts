import { epochOf } from "./incarnation.ts";
import type { Clock, Peer } from "./types.ts";

/** How far the clocks of two nodes may differ, in ms. */
const MAX_SKEW = 3_600_000;
/** Later incarnations are not believed: nothing could outrank them. */
export const MAX_INCARNATION = (2 ** 41 - 1) * 4096;

/**
 * Tells the lives that nodes may have from those that are made up: none has begun an hour
 * later than it is now, by the most advanced clock of this node and its neighbours.
 */
export class Epochs {
  readonly #clock: Clock;
  /** The latest epoch of this node and its neighbours, minus the clock at the time. */
  #offset: number;

  constructor(
    { self, clock }: { readonly self: Peer; readonly clock: Clock },
  ) {
    this.#clock = clock;
    this.#offset = epochOf(self.incarnation) - clock.now();
  }

  /** The link to a node of this incarnation came up. */
  linked(incarnation: number): void {
    const offset = epochOf(incarnation) - this.#clock.now();
    this.#offset = Math.max(this.#offset, offset);
  }

  /** Whether a node may have a life of this epoch. */
  isPlausible(epoch: number): boolean {
    return epoch <= this.#offset + this.#clock.now() + MAX_SKEW;
  }
}
