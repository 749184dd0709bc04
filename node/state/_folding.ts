import { readLife } from "./_replicas.ts";
import type { Replication } from "./_replication.ts";
import {
  type Count,
  type Counted,
  countOf,
  entryOf,
  isIn,
  isLedger,
  ledgerOf,
  MOST,
  recordsOf,
  Tally,
} from "./_tally.ts";

/** Lives in one entry of a ledger: it is written whole when one is added. */
const LEDGER_SIZE = 256;

/**
 * Keeps the entries of a counter as few as there are nodes: takes over what lives have
 * counted that are over, as {@linkcode Tally} says. An entry is deleted once everybody
 * holds what stands in its place.
 */
export class Folding {
  readonly #replication: Replication;
  /** The number of the last write that stands in the place of others. */
  #foldedAt = 0;

  constructor(replication: Replication) {
    this.#replication = replication;
  }

  /** Takes over what can be, and deletes what is no longer needed. */
  run(): void {
    const tally = new Tally(this.#live);
    if (this.#replication.isEverywhere(this.#foldedAt)) this.#clear();
    this.#takeOwn(tally);
    if (this.#replication.isFirst) this.#keepDeparted(tally);
  }

  get #live(): ReadonlyMap<string, unknown> {
    return this.#replication.store.entries.live;
  }

  /** Takes the former lives of this node into its present one. */
  #takeOwn(tally: Tally): void {
    const { self } = this.#replication.store;
    const own = ownCount(this.#replication, () => tally);
    const before = Math.max(own.base, tally.baseOf(self.node));
    let { up, down } = own;
    let base = before;
    for (const { life, count } of formerLives(tally, self)) {
      if (life.incarnation <= base) continue;
      if (!this.#replication.store.isOver(count.id)) break;
      if (up + count.up > MOST || down + count.down > MOST) break;
      up += count.up;
      down += count.down;
      base = life.incarnation;
    }
    if (base > before) this.#write(self.id, entryOf({ up, down, base }));
  }

  /** Copies what nodes that are gone have counted to a ledger. */
  #keepDeparted(tally: Tally): void {
    const { store } = this.#replication;
    const ledgers = this.#ownLedgers();
    const kept = new Map<string, Count>();
    for (const records of ledgers.values()) {
      for (const record of records) kept.set(`r:${record.id}`, record);
    }
    const added = [...this.#departed()].filter((record) => {
      const known = kept.get(`r:${record.id}`);
      return !known || !isIn(record, known);
    });
    const isNeeded = ({ id }: Counted): boolean => {
      const life = readLife(id);
      return life !== null && life.incarnation > tally.baseOf(life.node);
    };
    const replaced = new Set(added.map(({ id }) => id));
    let rest = added.filter(isNeeded);
    for (let n = 0; n < ledgers.size || rest.length > 0; n++) {
      const before = ledgers.get(n) ?? [];
      const after = before.filter((one) =>
        isNeeded(one) && !replaced.has(one.id)
      );
      const room = LEDGER_SIZE - after.length;
      after.push(...rest.slice(0, room));
      rest = rest.slice(room);
      const isSame = before.length === after.length &&
        before.every((one, i) => one === after[i]);
      if (isSame) continue;
      this.#write(ledgerKey(store.self.id, n), ledgerOf(after));
    }
  }

  /** What has been counted by lives that are over, of nodes that are not there to take it over. */
  *#departed(): Generator<Counted> {
    for (const [key, value] of this.#live) {
      if (isLedger(value)) {
        if (this.#isAbandoned(key)) yield* recordsOf(value);
      } else if (this.#isDeparted(key)) yield { id: key, ...countOf(value) };
    }
  }

  #isDeparted(id: string): boolean {
    const life = readLife(id);
    return life !== null && !this.#replication.isHere(life.node) &&
      this.#replication.store.isOver(id);
  }

  /** Whether nobody writes a ledger any more. */
  #isAbandoned(key: string): boolean {
    return this.#replication.store.isOver(key.slice(0, key.lastIndexOf("#")));
  }

  /** The ledgers of this life, by number. */
  #ownLedgers(): Map<number, Counted[]> {
    const { id } = this.#replication.store.self;
    const ledgers = new Map<number, Counted[]>();
    for (let n = 0;; n++) {
      const value = this.#replication.latest(ledgerKey(id, n));
      if (!isLedger(value)) return ledgers;
      ledgers.set(n, [...recordsOf(value)]);
    }
  }

  /** Deletes the entries in whose place something else stands. */
  #clear(): void {
    const { self } = this.#replication.store;
    const { base } = countOf(this.#live.get(self.id));
    const kept = new Map<string, Count>();
    for (const records of this.#ownLedgers().values()) {
      for (const record of records) kept.set(`r:${record.id}`, record);
    }
    const isKept = ({ id, ...count }: Counted): boolean => {
      const life = readLife(id);
      if (life?.node === self.node && life.incarnation <= base) return true;
      const known = kept.get(`r:${id}`);
      return known !== undefined && isIn(count, known);
    };
    for (const [key, value] of [...this.#live]) {
      const isLast = isLedger(value)
        ? this.#isAbandoned(key) && [...recordsOf(value)].every(isKept)
        : isKept({ id: key, ...countOf(value) }) &&
          this.#replication.store.isOver(key);
      if (isLast) this.#replication.change(key, undefined, true);
    }
  }

  #write(key: string, value: unknown): void {
    this.#replication.change(key, value, false);
    this.#foldedAt = this.#replication.store.lastSeq;
  }
}

/** What this life has counted: its entry is gone where others took the node for gone. */
export function ownCount(
  replication: Replication,
  tally: () => Tally,
): Count {
  const { id } = replication.store.self;
  const latest = replication.latest(id);
  return latest === undefined ? tally().of(id) : countOf(latest);
}

function ledgerKey(id: string, n: number): string {
  return `${id}#${n}`;
}

/** The lives of a node before one of them, in their order. */
function formerLives(
  tally: Tally,
  { node, incarnation }: { node: string; incarnation: number },
): { life: { incarnation: number }; count: Counted }[] {
  const lives = [];
  for (const count of tally.lives()) {
    const life = readLife(count.id);
    const isFormer = life?.node === node && life.incarnation < incarnation;
    if (isFormer) lives.push({ life, count });
  }
  return lives.sort((a, b) => a.life.incarnation - b.life.incarnation);
}
