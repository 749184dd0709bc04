import { isRight, isWhole, type Item, sequenceOf, SIZES } from "./payload.ts";
import type { Kind } from "./peer.ts";
import type { Named } from "./values.ts";

/** One message in so many is checked byte by byte. */
const SAMPLED = 1_024;
/** So many of those are kept, and checked again at the end. */
const KEPT = 64;

/** What {@linkcode Arrivals} is made with. */
export interface ArrivalsOptions {
  /** The CPU time of this process, in ms. */
  cpuTime(): number;
  /**
   * Whether bytes that a subscriber is handed stay as they are.
   *
   * @default {true}
   */
  readonly keeps?: boolean;
}

/**
 * Counts what arrives at a subscriber, and checks that it is what was sent, whole and
 * in order. Objects are compared entirely, bytes by their sequence number and checksum,
 * and one in 1,024 byte by byte. Runs under any runtime.
 */
export class Arrivals {
  readonly #cpuTime: () => number;
  readonly #keeps: boolean;
  readonly #kept = new Map<number, Uint8Array>();
  #length = 0;
  #first = 0;
  #next = 0;
  #last = -1;
  // What comes after the last one, such as a message twice, counts for the next run.
  #wrong = 0;
  #sum = 0;
  #cpu = 0;
  #all = Promise.withResolvers<number>();

  constructor({ cpuTime, keeps = true }: ArrivalsOptions) {
    this.#cpuTime = cpuTime;
    this.#keeps = keeps;
  }

  /** Awaits the messages `first` to `first + count - 1`. */
  expect(kind: Kind, first: number, count: number): Named {
    this.#length = SIZES[kind];
    this.#first = this.#next = first;
    this.#last = first + count - 1;
    this.#sum = 0;
    this.#all = Promise.withResolvers<number>();
    this.#cpu = this.#cpuTime();
    return {};
  }

  /** Takes an object. */
  addObject(item: Item): void {
    if (!isRight(item)) this.#wrong++;
    this.#count(item.id);
  }

  /** Takes bytes. */
  addBytes(bytes: Uint8Array): void {
    const sequence = sequenceOf(bytes);
    if (bytes.length !== this.#length) this.#wrong++;
    else if ((sequence - this.#first) % SAMPLED === 0) {
      this.#sample(bytes, sequence);
    }
    this.#count(sequence);
  }

  /** Once the last one is here: when that was, and whether all were right. */
  async arrived(): Promise<Named> {
    const endedAt = await this.#all.promise;
    const cpu = this.#cpuTime() - this.#cpu;
    for (const [sequence, bytes] of this.#kept) {
      if (!isWhole(bytes, sequence)) this.#wrong++;
    }
    this.#kept.clear();
    const wrong = this.#wrong;
    this.#wrong = 0;
    return { endedAt, cpu, wrong, sum: this.#sum };
  }

  #count(sequence: number): void {
    if (sequence !== this.#next) this.#wrong++;
    this.#next = sequence + 1;
    // From the first one, so that it stays a safe integer.
    this.#sum += sequence - this.#first;
    if (sequence !== this.#last) return;
    this.#all.resolve(performance.timeOrigin + performance.now());
  }

  #sample(bytes: Uint8Array, sequence: number): void {
    if (!isWhole(bytes, sequence)) this.#wrong++;
    else if (this.#keeps && this.#kept.size < KEPT) {
      this.#kept.set(sequence, bytes);
    }
  }
}
