import type { Clock } from "@devts/routing";

/** How often those that have not said that they hold a write are asked, in ms. */
const ASK_EVERY = 500;
/** Nodes that are remembered as holders. */
const MAX_HOLDERS = 8_192;
/** Writes that wait at the same time. */
const MAX_WAITING = 65_536;

/** Writes that were not acknowledged in time. */
export interface Missed {
  /** The first of them. */
  readonly key: string;
  readonly isDelete: boolean;
  /** How many they are. */
  readonly count: number;
  readonly all: boolean;
  readonly timeout: number;
  /** How many replicas hold them. */
  readonly held: number;
}

/** Writes of one turn, which wait for replicas to hold them. */
interface Waiting extends Omit<Missed, "held"> {
  count: number;
  /** The number of the last one. */
  seq: number;
  readonly deadline: number;
  readonly done: PromiseWithResolvers<void>;
}

const SETTLED: Promise<void> = Promise.resolve();

/** What a quorum is made with. */
export interface QuorumOptions {
  /** The id of this node. */
  readonly self: string;
  /** How many replicas there are, or their ids. */
  readonly replicas: number | readonly string[];
  readonly clock: Clock;
  /** What those hear who wait for writes that were not acknowledged in time. */
  missed(writes: Missed): Error;
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
  /** Those to which further writes of this turn are added. */
  #open: Waiting | null = null;
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

  /** This node holds its own writes up to a number, the last of which nobody waits for yet. */
  made(seq: number): void {
    const { self } = this.#options;
    if (this.#counted && !this.#counted.has(self)) return;
    if (seq > (this.#held.get(self) ?? 0)) this.#held.set(self, seq);
  }

  /** What is written from now on is told to others separately. */
  seal(): void {
    this.#open = null;
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
   * Resolves once enough replicas hold a write; rejects with what `missed` says when that
   * takes too long. Nobody need await it.
   */
  wait(
    seq: number,
    key: string,
    isDelete: boolean,
    all: boolean,
    timeout: number,
  ): Promise<void> {
    const open = this.#open;
    // The same promise for all that go together: one of its own costs more than the rest.
    const joins = open !== null && open.all === all &&
      open.timeout === timeout && seq > open.seq && this.#count < MAX_WAITING;
    if (joins) {
      open.seq = seq;
      open.count++;
      this.#count++;
      return open.done.promise;
    }
    const needed = this.#needed(all);
    const held = this.#holders(seq);
    if (held >= needed) return SETTLED;
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => {});
    const deadline = this.#options.clock.now() + timeout;
    const one = { seq, key, isDelete, count: 1, all, timeout, deadline, done };
    if (this.#count >= MAX_WAITING) {
      done.reject(this.#options.missed({ ...one, held }));
      return done.promise;
    }
    const queue = this.#queues.get(needed) ?? new Queue();
    this.#queues.set(needed, queue);
    queue.push(one);
    this.#open = one;
    this.#count++;
    this.#watch(timeout);
    return done.promise;
  }

  #needed(all: boolean): number {
    return all ? this.size : Math.floor(this.size / 2) + 1;
  }

  /** Nobody waits any longer. */
  close(): void {
    this.#cancel?.();
    for (const queue of this.#queues.values()) {
      for (const one of queue.take(() => true)) this.#miss(one);
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
        this.#leave(first);
        first.done.resolve();
      }
    }
  }

  /** Settles all that can be, and those whose time is over. */
  #sweep(): void {
    const now = this.#options.clock.now();
    for (const [needed, queue] of this.#queues) {
      const isOver = ({ seq, deadline }: Waiting): boolean =>
        now >= deadline || this.#holders(seq) >= needed;
      for (const one of queue.take(isOver)) {
        this.#leave(one);
        if (this.#holders(one.seq) < needed) this.#miss(one);
        else one.done.resolve();
      }
    }
  }

  /** They wait no longer, so that none is added to them. */
  #leave(one: Waiting): void {
    this.#count -= one.count;
    if (this.#open === one) this.#open = null;
  }

  #miss(one: Waiting): void {
    const held = this.#holders(one.seq);
    one.done.reject(this.#options.missed({ ...one, held }));
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
