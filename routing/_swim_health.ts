import type { Clock } from "./types.ts";

/** How unwell a node can be. */
const WORST = 7;

/**
 * How well this node does itself: a node whose probes fail, whose helpers do not
 * answer, that is suspected, or whose timers come late, asks less often of others
 * whether they live, and is slower to accuse them (Lifeguard's local health).
 */
export class Health {
  readonly #clock: Clock;
  readonly #tolerance: number;
  #score = 0;
  /** Milliseconds that this node did not notice passing. */
  #lost = 0;
  /** When a timer last called. */
  #calledAt = -Infinity;

  /** A timer may come late by `tolerance` ms before that means something. */
  constructor(clock: Clock, tolerance: number) {
    this.#clock = clock;
    this.#tolerance = tolerance;
  }

  /** 0: well, to 7. */
  get score(): number {
    return this.#score;
  }

  /** Milliseconds during which this node was awake. */
  get now(): number {
    return this.#clock.now() - this.#lost;
  }

  /** Something went well, or not: by how much. */
  note(change: number): void {
    this.#score = Math.min(WORST, Math.max(0, this.#score + change));
  }

  /** A timer that was due at a time of the clock calls now: whether it is late. */
  isLate(due: number): boolean {
    const now = this.#clock.now();
    const unnoticed = now - Math.max(due, this.#calledAt);
    this.#calledAt = now;
    if (unnoticed > this.#tolerance) {
      this.#lost += unnoticed;
      this.note(1);
    }
    return now - due > this.#tolerance;
  }
}
