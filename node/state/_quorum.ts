import type { Clock } from "@devts/routing";

/** How often those that have not said that they hold a write are asked, in ms. */
const ASK_EVERY = 500;
/** Nodes that are remembered as holders. */
const MAX_HOLDERS = 8_192;
/** Writes that wait at the same time. */
const MAX_WAITING = 65_536;

/** A write that waits for replicas to hold it. */
interface Waiting {
  readonly seq: number;
  readonly deadline: number;
  readonly missed: (held: number) => Error;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** What a quorum is made with. */
export interface QuorumOptions {
  /** The id of this node. */
  readonly self: string;
  /** How many replicas there are, or their ids. */
  readonly replicas: number | readonly string[];
  readonly clock: Clock;
  /** Asks those members that are `missing` whether they hold the writes up to a number. */
  ask(missing: (id: string) => boolean, seq: number): void;
}

/** Who holds how many of this node's writes, and which writes wait for that. */
export class Quorum {
  /** How many replicas there are; 0: nobody has said. */
  readonly size: number;
  readonly #options: QuorumOptions;
  readonly #counted: ReadonlySet<string> | null;
  readonly #held = new Map<string, number>();
  /** By how many they need; each in the order of its numbers, as far as it can be. */
  readonly #queues = new Map<number, Queue>();
  #count = 0;
  #cancel: (() => void) | null = null;
  #wakesAt = Infinity;

  /** @throws {RangeError} If the number of replicas makes no sense. */
  constructor(options: QuorumOptions) {
    const { replicas } = options;
    this.#options = options;
    const isCount = typeof replicas === "number";
    this.#counted = isCount ? null : new Set(replicas);
    this.size = isCount ? replicas : new Set(replicas).size;
    if (Number.isInteger(this.size) && this.size >= 0 && this.size <= 4_096) {
      return;
    }
    throw new RangeError(
      `Cannot count ${this.size} replicas: it is a number from 1 to 4096`,
    );
  }

  /** Whether all replicas are among this node and some others. */
  isComplete(others: Iterable<string>): boolean {
    const all = new Set(others).add(this.#options.self);
    const counted = this.#counted;
    return counted ? counted.isSubsetOf(all) : all.size >= this.size;
  }

  /** A node says that it holds this node's writes up to a number. */
  held(id: string, seq: number): void {
    if (this.#counted && !this.#counted.has(id)) return;
    const before = this.#held.get(id) ?? 0;
    const isNew = before === 0 && this.#held.size >= MAX_HOLDERS;
    if (seq <= before || isNew) return;
    this.#held.set(id, seq);
    if (this.#count > 0) this.#settle();
  }

  /**
   * Resolves once enough replicas hold a write; rejects, when that takes too long, with
   * what `missed` makes of how many do.
   */
  wait(
    seq: number,
    all: boolean,
    timeout: number,
    missed: (held: number) => Error,
  ): Promise<void> {
    const needed = all ? this.size : Math.floor(this.size / 2) + 1;
    const held = this.#holders(seq);
    if (held >= needed) return Promise.resolve();
    if (this.#count >= MAX_WAITING) return Promise.reject(missed(held));
    const deadline = this.#options.clock.now() + timeout;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const queue = this.#queues.get(needed) ?? new Queue();
    this.#queues.set(needed, queue);
    queue.push({ seq, deadline, missed, resolve, reject });
    this.#count++;
    this.#watch(timeout);
    return promise;
  }

  /** Nobody waits any longer. */
  close(): void {
    this.#cancel?.();
    for (const queue of this.#queues.values()) {
      for (const { seq, missed, reject } of queue.take(() => true)) {
        reject(missed(this.#holders(seq)));
      }
    }
    this.#count = 0;
  }

  #holders(seq: number): number {
    let count = 0;
    for (const held of this.#held.values()) if (held >= seq) count++;
    return count;
  }

  /** Settles those at the heads of the queues that enough nodes hold. */
  #settle(): void {
    for (const [needed, queue] of this.#queues) {
      for (
        let first = queue.first;
        first && this.#holders(first.seq) >= needed;
        first = queue.first
      ) {
        queue.shift();
        this.#count--;
        first.resolve();
      }
    }
  }

  /** Settles all that can be, and those whose time is over. */
  #sweep(): void {
    const now = this.#options.clock.now();
    for (const [needed, queue] of this.#queues) {
      const isOver = ({ seq, deadline }: Waiting): boolean =>
        now >= deadline || this.#holders(seq) >= needed;
      for (const { seq, missed, resolve, reject } of queue.take(isOver)) {
        this.#count--;
        const held = this.#holders(seq);
        if (held < needed) reject(missed(held));
        else resolve();
      }
    }
  }

  #watch(within: number): void {
    const { clock } = this.#options;
    const delay = Math.min(within, ASK_EVERY);
    const at = clock.now() + delay;
    if (at >= this.#wakesAt) return;
    this.#cancel?.();
    this.#wakesAt = at;
    this.#cancel = clock.after(delay, () => {
      this.#cancel = null;
      this.#wakesAt = Infinity;
      this.#sweep();
      if (this.#count === 0) return;
      const last = Math.max(
        ...Array.from(this.#queues.values(), (queue) => queue.last?.seq ?? 0),
      );
      this.#options.ask((id) => this.#isMissing(id, last), last);
      this.#watch(ASK_EVERY);
    });
  }

  #isMissing(id: string, seq: number): boolean {
    if (this.#counted && !this.#counted.has(id)) return false;
    return (this.#held.get(id) ?? 0) < seq;
  }
}

/** Writes that wait, first in first out: a look at one costs as much as at the first. */
class Queue {
  #all: Waiting[] = [];
  /** Where the first one stands. */
  #head = 0;

  get first(): Waiting | undefined {
    return this.#all[this.#head];
  }

  get last(): Waiting | undefined {
    return this.#head < this.#all.length ? this.#all.at(-1) : undefined;
  }

  push(one: Waiting): void {
    this.#all.push(one);
  }

  shift(): void {
    this.#head++;
    // Half of it is over: what is left moves as often as it was added.
    if (this.#head * 2 < this.#all.length) return;
    this.#all = this.#all.slice(this.#head);
    this.#head = 0;
  }

  /** Takes those out for which something holds, wherever they stand. */
  take(isTaken: (one: Waiting) => boolean): Waiting[] {
    const taken: Waiting[] = [];
    this.#all = this.#all.slice(this.#head).filter((one) => {
      if (!isTaken(one)) return true;
      taken.push(one);
      return false;
    });
    this.#head = 0;
    return taken;
  }
}
