/** Taking over what another node has: by changes, by pages of everything, or by hashes. */
import { MAX_ASKED } from "./_compare.ts";
import type { Reader } from "./_bytes.ts";
import { DEPTH } from "./_merkle.ts";
import { COMPARE, DONE, type Head } from "./_page.ts";
import { isOver, type Settled } from "./_replicas.ts";
import type { Store } from "./_store.ts";

/** Nodes from which a newcomer takes over everything at once. */
const SCANNED = 4;
/** A node that has more entries is no newcomer. */
const FEW = 1_024;

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
}

/** Takes over what other nodes have and this one has not. */
export class Transfers {
  readonly #store: Store;
  readonly #members: () => Iterable<string>;
  readonly #ask: TransfersOptions["ask"];
  /** Whether it has ever held what another node held. */
  #hasMet = false;

  constructor({ store, members, ask }: TransfersOptions) {
    this.#store = store;
    this.#members = members;
    this.#ask = ask;
  }

  /**
   * Takes over what a node has.
   *
   * @throws {SyntaxError} If it tells nonsense; then nothing of that page is merged.
   * @throws {DriftError} If it tells of what is from too far in the future; likewise.
   */
  async takeOver(id: string): Promise<void> {
    if (this.#isNew()) await this.#scan(id);
    await this.#pull(id);
    this.#hasMet = true;
  }

  /**
   * Whether it has next to nothing, none of it from others, and nobody can have heard of
   * it and deleted it.
   */
  #isNew(): boolean {
    if (this.#hasMet || this.#store.entries.slots > FEW) return false;
    for (const replica of this.#store.entries.replicas) {
      if (replica !== this.#store.self && replica.mark > 0) return false;
    }
    return true;
  }

  async #pull(id: string): Promise<void> {
    const cursor = this.#store.marks();
    let next = this.#ask(id, "pull", this.#store.askPull(cursor));
    for (;;) {
      const { bytes, reader, head } = await next;
      if ((head.flags & COMPARE) !== 0) return await this.#compare(id);
      const isDone = (head.flags & DONE) !== 0;
      for (const span of head.spans) {
        if (span.from > (cursor.get(span.id) ?? 0)) {
          throw new SyntaxError(
            `Cannot take over "${span.id}": there is a gap in what it is told`,
          );
        }
        cursor.set(span.id, span.to);
      }
      // The next page is on its way while this one is merged.
      if (!isDone) {
        next = this.#ask(id, "pull", this.#store.askPull(cursor));
        next.catch(() => {});
      }
      this.#store.takePage(bytes, reader, head);
      if (isDone) return void this.#store.complete(cursor, head.settled);
    }
  }

  /** Finds out what differs by hashes, level by level, and takes that over. */
  async #compare(id: string): Promise<void> {
    const store = this.#store;
    let first: Head | null = null;
    let differing: number[] = [0];
    for (let level = 0; level < DEPTH && differing.length > 0; level++) {
      const next: number[] = [];
      for (const indices of inParts(differing)) {
        const question = store.askHashes(level, indices);
        const { head, reader } = await this.#ask(id, "hashes", question);
        first ??= head;
        next.push(...store.differing(reader, level, indices));
      }
      differing = next;
    }
    for (const buckets of inParts(differing)) {
      for (let isDone = false; !isDone;) {
        const { question, slots } = store.askBuckets(buckets);
        const page = await this.#ask(id, "buckets", question);
        isDone = (page.head.flags & DONE) !== 0;
        const { bytes, reader, head } = page;
        const changes = store.takeBuckets(bytes, reader, head, slots);
        if (changes === 0 && !isDone) {
          throw new SyntaxError(`Cannot compare with "${id}": it does not end`);
        }
      }
    }
    // What the other node had at the beginning, this one has now.
    if (!first) return;
    store.complete(
      new Map(first.spans.map((span) => [span.id, span.to])),
      first.settled,
    );
  }

  /** Takes over everything, from several at once. */
  async #scan(id: string): Promise<void> {
    const others = [...this.#members()].filter((one) => one !== id);
    const sources = [id, ...others.slice(0, SCANNED - 1)];
    const heads = await Promise.all(
      sources.map((source, part) =>
        this.#scanPart(source, part, sources.length)
          .catch(() => this.#scanPart(id, part, sources.length))
      ),
    );
    // Complete is what all parts are complete for.
    const [first, ...rest] = heads.map(({ spans, settled }) => ({
      marks: new Map(spans.map((span) => [span.id, span.to])),
      settled: new Map(settled),
    }));
    if (!first) return;
    for (const { marks, settled } of rest) {
      lower(first.marks, marks);
      lowerSettled(first.settled, settled);
    }
    this.#store.complete(first.marks, [...first.settled]);
  }

  /** Resolves to the head of the first page: what the source had then, it has brought. */
  async #scanPart(id: string, part: number, parts: number): Promise<Head> {
    const ask = (cursor: number): Promise<Page> => {
      const question = this.#store.askScan(cursor, part, parts);
      // A page that got lost does not make the part begin anew.
      return this.#ask(id, "scan", question)
        .catch(() => this.#ask(id, "scan", question));
    };
    let page = await ask(0);
    const first = page.head;
    for (;;) {
      const { bytes, reader, head } = page;
      const isDone = (head.flags & DONE) !== 0;
      const next = isDone ? null : ask(head.cursor);
      next?.catch(() => {});
      this.#store.takePage(bytes, reader, head);
      if (!next) return first;
      page = await next;
    }
  }
}

/** Cut into as many as one message asks about. */
function* inParts(numbers: readonly number[]): Generator<readonly number[]> {
  for (let i = 0; i < numbers.length; i += MAX_ASKED) {
    yield numbers.slice(i, i + MAX_ASKED);
  }
}

/** Keeps the lower of two numbers for each, and only what both have. */
function lower(
  numbers: Map<string, number>,
  others: ReadonlyMap<string, number>,
): void {
  for (const [id, number] of numbers) {
    numbers.set(id, Math.min(number, others.get(id) ?? 0));
  }
}

/** Keeps what is settled by both. */
function lowerSettled(
  all: Map<string, Settled>,
  others: ReadonlyMap<string, Settled>,
): void {
  for (const [node, settled] of all) {
    const other = others.get(node);
    if (!other) all.delete(node);
    else if (!isOver(other, settled, settled.mark)) all.set(node, other);
  }
}
