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
  readonly needed: number;
  readonly deadline: number;
  settle(held: number | null): void;
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
  // In the order of their numbers, but for those that wait for all.
  #waiting: Waiting[] = [];
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

  /** A node says that it holds this node's writes up to a number. */
  held(id: string, seq: number): void {
    if (this.#counted && !this.#counted.has(id)) return;
    const before = this.#held.get(id) ?? 0;
    const isNew = before === 0 && this.#held.size >= MAX_HOLDERS;
    if (seq <= before || isNew) return;
    this.#held.set(id, seq);
    if (this.#waiting.length > 0) this.#settle();
  }

  /**
   * Resolves to `null` once enough replicas hold a write; to how many do, when that
   * takes too long.
   */
  wait(seq: number, all: boolean, timeout: number): Promise<number | null> {
    const needed = all ? this.size : Math.floor(this.size / 2) + 1;
    const held = this.#count(seq);
    if (held >= needed) return Promise.resolve(null);
    if (this.#waiting.length >= MAX_WAITING) return Promise.resolve(held);
    const deadline = this.#options.clock.now() + timeout;
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.#waiting.push({ seq, needed, deadline, settle: resolve });
    this.#watch(timeout);
    return promise;
  }

  /** Nobody waits any longer. */
  close(): void {
    this.#cancel?.();
    for (const { seq, settle } of this.#waiting) settle(this.#count(seq));
    this.#waiting = [];
  }

  #count(seq: number): number {
    let count = 0;
    for (const held of this.#held.values()) if (held >= seq) count++;
    return count;
  }

  #settle(): void {
    const now = this.#options.clock.now();
    this.#waiting = this.#waiting.filter(
      ({ seq, needed, deadline, settle }) => {
        const held = this.#count(seq);
        if (held < needed && now < deadline) return true;
        settle(held < needed ? held : null);
        return false;
      },
    );
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
      this.#settle();
      const last = this.#waiting.at(-1);
      if (!last) return;
      this.#options.ask((id) => this.#isMissing(id, last.seq), last.seq);
      this.#watch(ASK_EVERY);
    });
  }

  #isMissing(id: string, seq: number): boolean {
    if (this.#counted && !this.#counted.has(id)) return false;
    return (this.#held.get(id) ?? 0) < seq;
  }
}
