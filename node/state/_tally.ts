import { KeyMap } from "./_key_map.ts";
import { readLife } from "./_replicas.ts";

/** What may stand in a count. */
export const MOST: number = Number.MAX_SAFE_INTEGER;
/** What a ledger has of a life: its id, up, down, base. */
const FIELDS = 4;
/** No life of the node is in the count of a later one. */
export const NO_BASE = -1;

/** What a life of a node has counted. */
export interface Count {
  readonly up: number;
  readonly down: number;
  /** It holds the counts of all lives of its node up to this incarnation. */
  readonly base: number;
}

/** A life, and what it has counted. */
export interface Counted extends Count {
  readonly id: string;
}

/** Nothing counted. */
export const ZERO: Count = { up: 0, down: 0, base: NO_BASE };

/**
 * What the entries of a counter come to.
 *
 * - Each life of a node writes one entry, under its own id: `[up, down]`.
 * - A node takes the counts of its former lives, once they are over, into the entry of
 *   its present life: `[up, down, base]`. Those up to the incarnation `base` no longer
 *   count by themselves. Nobody else writes that entry, so it happens once.
 * - Nobody can do so for a node that is gone: it may have been cut off, and count on.
 *   What it has counted is copied to a ledger, which takes far less than an entry of its
 *   own: `{ departed: [id, up, down, base, …] }`. What stands of a life in several
 *   places is of that life alone, so the largest counts: copies may be made by several
 *   nodes that do not know of each other, and a life may go on after it was copied.
 */
export class Tally {
  readonly #counts = new KeyMap<Count>();
  readonly #bases = new KeyMap<number>();
  #total: number | null = null;

  constructor(live: Iterable<readonly [string, unknown]>) {
    for (const [key, value] of live) this.#read(key, value);
  }

  /** The lives that have counted, whether they count by themselves or not. */
  *lives(): Generator<Counted> {
    for (const [id, count] of this.#counts) yield { ...count, id };
  }

  /** What a life has counted. */
  of(id: string): Count {
    return this.#counts.get(id) ?? ZERO;
  }

  /** Up to which incarnation the lives of a node are in the count of a later one. */
  baseOf(node: string): number {
    return this.#bases.get(node) ?? NO_BASE;
  }

  /** The sum. */
  get total(): number {
    this.#total ??= this.#sum();
    return this.#total;
  }

  /** A life has counted on. */
  raise(id: string, count: Count): void {
    const before = this.of(id);
    this.#add(id, count);
    if (this.#total === null || before.base !== count.base) this.#total = null;
    else this.#total += count.up - before.up - (count.down - before.down);
  }

  #sum(): number {
    let sum = 0;
    for (const [id, { up, down }] of this.#counts) {
      const life = readLife(id);
      if (life && life.incarnation > this.baseOf(life.node)) sum += up - down;
    }
    return sum;
  }

  #read(key: string, value: unknown): void {
    if (Array.isArray(value)) return this.#add(key, countOf(value));
    for (const { id, ...count } of recordsOf(value)) this.#add(id, count);
  }

  #add(id: string, count: Count): void {
    const life = readLife(id);
    if (!life) return;
    const known = this.of(id);
    this.#counts.set(id, {
      up: Math.max(known.up, count.up),
      down: Math.max(known.down, count.down),
      base: Math.max(known.base, count.base),
    });
    const { node, incarnation } = life;
    // No life is in its own count.
    if (count.base >= incarnation) return;
    this.#bases.set(node, Math.max(this.baseOf(node), count.base));
  }
}

/** Whether one count is in another one of the same life. */
export function isIn(one: Count, other: Count): boolean {
  return one.up <= other.up && one.down <= other.down && one.base <= other.base;
}

/** What an entry of a life says; what another node wrote may be anything. */
export function countOf(value: unknown): Count {
  if (!Array.isArray(value)) return ZERO;
  return {
    up: numberOf(value[0]),
    down: numberOf(value[1]),
    base: value.length > 2 ? numberOf(value[2]) : NO_BASE,
  };
}

/** The entry of a life. */
export function entryOf({ up, down, base }: Count): number[] {
  return base === NO_BASE ? [up, down] : [up, down, base];
}

/** Whether an entry is a ledger. */
export function isLedger(value: unknown): value is { departed: unknown[] } {
  return typeof value === "object" && value !== null && "departed" in value &&
    Array.isArray(value.departed);
}

/** What a ledger says; nothing where an entry is none. */
export function* recordsOf(value: unknown): Generator<Counted> {
  if (!isLedger(value)) return;
  const { departed } = value;
  for (let i = 0; i + FIELDS <= departed.length; i += FIELDS) {
    const base = departed[i + 3];
    yield {
      id: String(departed[i]),
      up: numberOf(departed[i + 1]),
      down: numberOf(departed[i + 2]),
      base: base === NO_BASE ? NO_BASE : numberOf(base),
    };
  }
}

/** A ledger. */
export function ledgerOf(records: readonly Counted[]): unknown {
  return {
    departed: records.flatMap(({ id, up, down, base }) => [id, up, down, base]),
  };
}

function numberOf(value: unknown): number {
  return typeof value === "number" && value >= 0 && value <= MOST ? value : 0;
}
