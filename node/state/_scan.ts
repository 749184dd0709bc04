/**
 * Taking over everything, from several nodes at once. Entries are told in the order of
 * the hashes of their keys, which is the same on all nodes: where one stops, another one
 * can go on.
 */
import { malformed, Reader, Writer } from "./_bytes.ts";
import { DONE, type Head, NEW, readHead, writeHead } from "./_page.ts";
import { isOver, type Settled } from "./_replicas.ts";
import type { Page } from "./_transfers.ts";

/** Above every hash of a key. */
const END = 2 ** 32;
/** Pages that are under way from one node at the same time: while one is merged, another one comes. */
const LANES = 3;
/** Into so many pages' worth what is left is cut, so that each node serves what it can. */
const CHUNK = 16;
/** Ranges that what is left is cut into, at most. */
const MAX_RANGES = 256;

/** A place in the order of keys: before all of a hash, or after one of them. */
export interface Place {
  readonly hash: number;
  readonly after: string | null;
}

/** The keys from a place on whose hashes are below a number. */
export interface Range {
  readonly from: Place;
  readonly to: number;
}

/** Asks for a page of a range. */
export function writeRange(head: Head, { from, to }: Range): Uint8Array {
  const writer = new Writer(256);
  writeHead(writer, head);
  writePlace(writer, from);
  writer.u48(to);
  return writer.view();
}

/** @throws {SyntaxError} If it is malformed. */
export function readRange(bytes: Uint8Array): Range {
  const reader = new Reader(bytes);
  readHead(reader);
  const range = { from: readPlace(reader), to: reader.u48() };
  if (range.to > END) throw malformed("there are no such hashes");
  return range;
}

/** Writes a place. */
export function writePlace(writer: Writer, { hash, after }: Place): void {
  writer.u32(hash);
  writer.u8(after === null ? 0 : 1);
  if (after !== null) writer.text(after);
}

/** @throws {SyntaxError} If it is malformed. */
export function readPlace(reader: Reader): Place {
  const hash = reader.u32();
  return { hash, after: reader.u8() === 0 ? null : reader.text() };
}

/** The place before all of a hash. */
export function startOf(hash: number): Place {
  return { hash, after: null };
}

/** Whether a key is after a place. */
export function isAfter(hash: number, key: string, place: Place): boolean {
  if (hash !== place.hash) return hash > place.hash;
  return place.after === null || key > place.after;
}

/** A range as it gets shorter. */
interface Open {
  from: Place;
  to: number;
}

/** What a scan is made with. */
export interface ScanOptions {
  /** Asks a node for a page of a range. */
  ask(id: string, range: Range): Promise<Page>;
  /** Merges a page, whose reader stands before its entries; returns how many changed. */
  take(page: Page): number;
  /** A node tells nonsense, and is asked no more. */
  refused(id: string, error: unknown): void;
  /** Milliseconds that never go back. */
  now(): number;
}

/** A transfer of everything, which goes on where it was cut. */
export class Scan {
  /** What all nodes that it came from had of each replica. */
  readonly marks = new Map<string, number>();
  /** Up to where one of them had collected tombstones. */
  readonly floors = new Map<string, number>();
  /** Lives of nodes that all of them took for over. */
  readonly settled = new Map<string, Settled>();
  /** When the last page came. */
  movedAt: number;
  /** Whether something came, and not all. */
  isPartial = false;
  readonly #options: ScanOptions;
  readonly #todo: Open[];
  #hasPage = false;

  /** `rest`: all but some ranges is here, as a node had it that told this head. */
  constructor(
    options: ScanOptions,
    rest?: { readonly head: Head; readonly ranges: readonly Range[] },
  ) {
    this.#options = options;
    this.movedAt = options.now();
    this.#todo = rest?.ranges.map((range) => ({ ...range })) ??
      [{ from: startOf(0), to: END }];
    if (!rest) return;
    this.isPartial = true;
    this.#note(rest.head);
  }

  /**
   * Takes over what is left from some nodes; what fails with one, another one goes on
   * with.
   *
   * @returns Whether that is all. False: none of them has it, or can be reached.
   */
  async run(ids: readonly string[]): Promise<boolean> {
    const sources = new Set(ids);
    while (this.#todo.length > 0) {
      const [id] = sources;
      if (id === undefined) return false;
      if (this.#todo.length < LANES * sources.size) {
        await this.#cut(id, sources);
      }
      const lanes = [...sources].flatMap((source) =>
        Array.from({ length: LANES }, () => this.#lane(source, sources))
      );
      await Promise.all(lanes);
    }
    return true;
  }

  /** Takes a page to see how much one holds, and cuts what is left of that range. */
  async #cut(id: string, sources: Set<string>): Promise<void> {
    const range = this.#todo.shift();
    if (!range) return;
    const start = range.from.hash;
    const work = (): Promise<void> => this.#page(id, range);
    if (!await this.#during(id, sources, range, work)) return;
    const width = Math.max(1, range.from.hash - start);
    const left = range.to - range.from.hash;
    if (left === 0) return;
    const pages = Math.ceil(left / width);
    const count = Math.min(
      MAX_RANGES,
      Math.max(pages / CHUNK, Math.min(pages, LANES * sources.size)),
    );
    const size = Math.ceil(left / count);
    let { from } = range;
    while (from.hash + size < range.to) {
      const to = from.hash + size;
      this.#todo.push({ from, to });
      from = startOf(to);
    }
    this.#todo.push({ from, to: range.to });
  }

  /** Takes ranges from one node until none is left, or it fails. */
  async #lane(id: string, sources: Set<string>): Promise<void> {
    while (sources.has(id)) {
      const range = this.#todo.shift();
      if (!range) return;
      await this.#during(id, sources, range, async () => {
        while (range.from.hash < range.to) await this.#page(id, range);
      });
    }
  }

  /** Resolves to whether a node did what it was asked for; where not, others do the rest. */
  async #during(
    id: string,
    sources: Set<string>,
    range: Open,
    work: () => Promise<void>,
  ): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#todo.unshift(range);
      const isLie = error instanceof SyntaxError || isDrift(error);
      if (sources.delete(id) && isLie) this.#options.refused(id, error);
      return false;
    }
  }

  async #page(id: string, range: Open): Promise<void> {
    const { ask, now, take } = this.#options;
    // A page that got lost does not cost the source.
    const page = await ask(id, range).catch(() => ask(id, range));
    const { head, reader } = page;
    if ((head.flags & NEW) !== 0) throw new Error("It is new itself");
    const isDone = (head.flags & DONE) !== 0;
    const next = isDone ? startOf(range.to) : readPlace(reader);
    if (!isBehind(next, range)) {
      throw malformed("a page ends before it begins, or after what was asked");
    }
    if (!isDone && reader.done) throw malformed("a page has nothing in it");
    if (take(page) > 0) this.isPartial = true;
    this.#note(head);
    this.movedAt = now();
    range.from = next;
  }

  /** What is complete in the end is what was so for each page. */
  #note({ spans, settled }: Head): void {
    const marks = new Map(spans.map(({ id, to }) => [id, to]));
    for (const { id, from } of spans) {
      if (from > (this.floors.get(id) ?? 0)) this.floors.set(id, from);
    }
    if (this.#hasPage) {
      lower(this.marks, marks);
      lowerSettled(this.settled, new Map(settled));
      return;
    }
    this.#hasPage = true;
    for (const [id, mark] of marks) this.marks.set(id, mark);
    for (const [node, one] of settled) this.settled.set(node, one);
  }
}

/** Whether an error says that what a node tells cannot be. */
export function isDrift(error: unknown): boolean {
  return error instanceof Error && error.name === "DriftError";
}

function isBehind({ hash, after }: Place, { from, to }: Range): boolean {
  if (hash > to || hash === to && after !== null) return false;
  if (hash !== from.hash) return hash > from.hash;
  return after !== null && (from.after === null || after > from.after);
}

/** Keeps the lower of two numbers for each, and only what both have. */
function lower(
  numbers: Map<string, number>,
  others: ReadonlyMap<string, number>,
): void {
  for (const [id, number] of numbers) {
    const other = others.get(id);
    if (other === undefined) numbers.delete(id);
    else if (other < number) numbers.set(id, other);
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
