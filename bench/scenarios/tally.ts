import { now, until } from "../serve.ts";
import type { Named } from "../values.ts";

/** After so long without anything, in ms, what is missing counts as lost. */
const QUIET = 10_000;

/** What is awaited of each sender. */
export interface Expected {
  /** The sequence number that comes first. */
  readonly first: number;
  /** How far apart they are. */
  readonly step: number;
  /** How many messages come in all, from all senders together. */
  readonly total: number;
}

/** Counts what arrives from each sender, and checks that it is whole and in order. */
export class Tally {
  /** Messages that arrived, wrong ones too. */
  received = 0;
  /** Messages that arrived twice, out of order or malformed. */
  wrong = 0;
  /** Messages that were jumped over. */
  lost = 0;
  #expected: Expected = { first: 0, step: 1, total: 0 };
  #endedAt = 0;
  readonly #next = new Map<string, number>();

  /** Starts anew. */
  expect(expected: Expected): Named {
    this.received = this.wrong = this.lost = 0;
    this.#expected = expected;
    this.#next.clear();
    return {};
  }

  /** Takes a message; -1 is the sequence number of a malformed one. */
  add(from: string, sequence: number): void {
    const { first, step, total } = this.#expected;
    const next = this.#next.get(from) ?? first;
    if (sequence !== next) this.#jump(sequence - next);
    if (sequence >= next) this.#next.set(from, sequence + step);
    if (++this.received === total) this.#endedAt = now();
  }

  /** Once so many are here or lost, or none has come for long: what became of them. */
  async arrived(total: number): Promise<Named> {
    const isOver = () => this.received + this.lost >= total;
    for (let before = -1; !isOver() && this.received > before;) {
      before = this.received;
      await until(isOver, QUIET);
    }
    const { received, wrong, lost } = this;
    return { endedAt: this.#endedAt, received, wrong, lost };
  }

  #jump(distance: number): void {
    const { step } = this.#expected;
    if (distance > 0 && distance % step === 0) this.lost += distance / step;
    else this.wrong++;
  }
}
