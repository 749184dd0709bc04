/** Taking over what another node has: by changes, by pages of everything, or by hashes. */
import { MAX_ASKED, type Summary } from "./_compare.ts";
import type { Reader } from "./_bytes.ts";
import { DEPTH } from "./_merkle.ts";
import {
  COMPARE,
  DONE,
  EMPTY,
  EQUAL,
  type Head,
  PARTIAL,
  SCAN,
} from "./_page.ts";
import { type Range, Scan } from "./_scan.ts";
import type { Store } from "./_store.ts";

/** Nodes from which a newcomer takes over everything at once. */
const SCANNED = 4;
/** A transfer of everything that no node can go on with is given up after so long, in ms. */
const PATIENCE = 60_000;

/** What another node is asked for. */
export type Question = "pull" | "scan" | "hashes" | "buckets";

/** What it answers: a page of a transfer, or of a comparison. */
export interface Page {
  readonly bytes: Uint8Array;
  /** Stands after the head. */
  readonly reader: Reader;
  readonly head: Head;
}

/** What transfers are made with. */
export interface TransfersOptions {
  readonly store: Store;
  /** The ids of the other nodes. */
  members(): Iterable<string>;
  /** Asks another node. */
  ask(id: string, what: Question, question: Uint8Array): Promise<Page>;
  /** A node tells nonsense, though others may go on. */
  refused(id: string, error: unknown): void;
  /** Another node holds something else, though it knows of the same writes. */
  diverged(id: string): void;
  /** Something has changed here. */
  changed(): void;
  /** Milliseconds that never go back. */
  now(): number;
  /** Whether what nodes that know of the same writes hold is the same. */
  readonly isVerified: boolean;
}

/** Takes over what other nodes have and this one has not. */
export class Transfers {
  readonly #options: TransfersOptions;
  readonly #store: Store;
  /** Whether it has ever held what another node held. */
  #hasMet = false;
  /** A transfer of everything that has not come to its end. */
  #scan: Scan | null = null;
  /** Nodes that hold something else though they know of the same writes. */
  readonly #diverged = new Set<string>();

  constructor(options: TransfersOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  /** Whether this node is about to take over everything: it is no source for others. */
  get isNew(): boolean {
    return this.#scan?.isPartial ?? false;
  }

  /** A node is gone. */
  forget(id: string): void {
    this.#diverged.delete(id);
  }

  /**
   * Takes over what a node has.
   *
   * @throws {SyntaxError} If it tells nonsense; then nothing of that page is merged.
   * @throws {DriftError} If it tells of what is from too far in the future; likewise.
   * @throws {Error} If it cannot be reached: the next call goes on.
   */
  async takeOver(id: string): Promise<void> {
    if (this.#scan) await this.#takeAll(id, this.#scan);
    const isMuch = await this.#pull(id, this.#scan === null);
    if (isMuch) {
      const scan = await this.#newScan(id);
      this.#scan = scan;
      await this.#takeAll(id, scan);
      await this.#pull(id, false);
    }
    if (!this.#scan) this.#hasMet = true;
  }

  /**
   * Whether nothing of what it has is from others, and nobody can have heard of it and
   * deleted it.
   */
  #hasNothing(): boolean {
    if (this.#hasMet) return false;
    const { self } = this.#store;
    for (const [id, mark] of this.#store.marks()) {
      if (id !== self.id && mark > 0) return false;
    }
    return true;
  }

  async #newScan(id: string): Promise<Scan> {
    const { ask, now, refused } = this.#options;
    const store = this.#store;
    const options = {
      ask: (id: string, range: Range) => ask(id, "scan", store.askScan(range)),
      take: (page: Page) => this.#take(page),
      refused,
      now,
    };
    if (!store.isPartial) return new Scan(options);
    // What an earlier transfer brought, maybe in an earlier life, is not told again.
    const { head, buckets } = await this.#differing(id);
    const { held, ranges } = store.lacking(buckets);
    await this.#exchange(id, held, false);
    return new Scan(options, { head, ranges });
  }

  /** Merges a page; returns how many entries changed. */
  #take({ bytes, reader, head }: Page): number {
    const changes = this.#store.takePage(bytes, reader, head);
    if (changes > 0) this.#options.changed();
    return changes;
  }

  /** Takes over everything, from several at once. */
  async #takeAll(id: string, scan: Scan): Promise<void> {
    const { members, now } = this.#options;
    const others = [...members()].filter((one) => one !== id);
    const isDone = await scan.run([id, ...others.slice(0, SCANNED - 1)]);
    if (isDone) {
      this.#store.complete(scan.marks, [...scan.settled], scan.floors);
    }
    // What nobody has whole comes by lists, and by comparisons.
    const isOver = isDone || now() - scan.movedAt >= PATIENCE;
    if (isOver) this.#scan = null;
  }

  /**
   * Takes over what follows what is known here.
   *
   * @param mayBeMuch Whether it takes no list where everything is told faster.
   * @returns Whether that is so.
   */
  async #pull(id: string, mayBeMuch: boolean): Promise<boolean> {
    const store = this.#store;
    const asked = store.marks();
    const cursor = new Map(asked);
    const isNew = mayBeMuch && (this.#hasNothing() || store.isPartial);
    let next = this.#options.ask(id, "pull", store.askPull(cursor, isNew));
    for (;;) {
      const page = await next;
      const { head } = page;
      if ((head.flags & SCAN) !== 0) return true;
      if ((head.flags & COMPARE) !== 0) {
        await this.#compare(id, false);
        return false;
      }
      if ((head.flags & EQUAL) !== 0) {
        return await this.#verify(id, page, asked);
      }
      const isDone = (head.flags & DONE) !== 0;
      const goesOn = advance(cursor, head);
      if (!isDone && (!goesOn || page.reader.done)) {
        throw new SyntaxError(`Cannot take over from "${id}": it does not end`);
      }
      // The next page is on its way while this one is merged.
      if (!isDone) {
        next = this.#options.ask(id, "pull", store.askPull(cursor, isNew));
        next.catch(() => {});
      }
      this.#take(page);
      if (!isDone) continue;
      store.complete(cursor, head.settled);
      return false;
    }
  }

  /**
   * Who knows of the same writes holds the same; where not, something went wrong, and what
   * differs is exchanged.
   */
  async #verify(
    id: string,
    { reader, head }: Page,
    asked: ReadonlyMap<string, number>,
  ): Promise<false> {
    const store = this.#store;
    const low = reader.u32();
    const high = reader.u32();
    store.complete(new Map(), head.settled);
    const { isVerified, diverged } = this.#options;
    // What has come since it was asked may make the difference.
    const isStill = !store.isAhead && isSame(asked, store.marks());
    if (!isVerified || !isStill) return false;
    const own = store.entries.digest();
    if (own.low === low && own.high === high) {
      this.#diverged.delete(id);
      return false;
    }
    const wasCut = (head.flags & PARTIAL) !== 0 || store.isPartial;
    if (!wasCut && !this.#diverged.has(id)) {
      this.#diverged.add(id);
      diverged(id);
    }
    await this.#compare(id, true);
    return false;
  }

  /**
   * Finds out what differs, and takes that over. Where it `repairs`, what the other node
   * has not is kept, and what has been here before is taken again.
   */
  async #compare(id: string, repairs: boolean): Promise<void> {
    const { head, buckets } = await this.#differing(id);
    await this.#exchange(id, buckets, repairs);
    if (repairs) return;
    // What the other node had at the beginning, this one has now.
    this.#store.complete(
      new Map(head.spans.map(({ id, to }) => [id, to])),
      head.settled,
      new Map(head.spans.map(({ id, from }) => [id, from])),
    );
  }

  /** Which buckets differ, by hashes, level by level; and how far the other node was before. */
  async #differing(
    id: string,
  ): Promise<{ head: Head; buckets: readonly number[] }> {
    const store = this.#store;
    const { ask } = this.#options;
    let first: Head = EMPTY;
    let differing: number[] = [0];
    for (let level = 0; level < DEPTH && differing.length > 0; level++) {
      const next: number[] = [];
      for (const indices of inParts(differing)) {
        const question = store.askHashes(level, indices);
        const { head, reader } = await ask(id, "hashes", question);
        if (first === EMPTY) first = head;
        next.push(...store.differing(reader, level, indices));
      }
      differing = next;
    }
    return { head: first, buckets: differing };
  }

  /** Takes over what differs in some buckets. */
  async #exchange(
    id: string,
    buckets: readonly number[],
    repairs: boolean,
  ): Promise<void> {
    const store = this.#store;
    const { ask, changed } = this.#options;
    for (const asked of inParts(buckets, store.bucketsAtOnce)) {
      // What the other node has that is older than what is here it would tell again.
      const known: Summary[] = [];
      for (let isDone = false; !isDone;) {
        const { question, slots } = store.askBuckets(asked, known);
        const page = await ask(id, "buckets", question);
        isDone = (page.head.flags & DONE) !== 0;
        const { bytes, reader, head } = page;
        const { changes, refused } = store.takeBuckets(
          bytes,
          reader,
          head,
          slots,
          repairs,
        );
        known.push(...refused);
        if (changes > 0) changed();
        else if (!isDone && refused.length === 0) {
          throw new SyntaxError(`Cannot compare with "${id}": it does not end`);
        }
      }
    }
  }
}

/**
 * Moves to where a page ends; returns whether that is further on.
 *
 * @throws {SyntaxError} If it does not begin where the one before it ended.
 */
function advance(cursor: Map<string, number>, { spans }: Head): boolean {
  let goesOn = false;
  for (const { id, from, to } of spans) {
    const before = cursor.get(id) ?? 0;
    if (from > before) {
      throw new SyntaxError(
        `Cannot take over "${id}": there is a gap in what it is told`,
      );
    }
    if (to > before) goesOn = true;
    cursor.set(id, to);
  }
  return goesOn;
}

/** Cut into as many as one message asks about. */
function* inParts(
  numbers: readonly number[],
  most = MAX_ASKED,
): Generator<readonly number[]> {
  for (let i = 0; i < numbers.length; i += most) {
    yield numbers.slice(i, i + most);
  }
}

function isSame(
  marks: ReadonlyMap<string, number>,
  others: ReadonlyMap<string, number>,
): boolean {
  if (marks.size !== others.size) return false;
  for (const [id, mark] of marks) if (others.get(id) !== mark) return false;
  return true;
}
