import type { VirtualMachine } from "@devts/routing/testing";
import {
  type Storage,
  StorageError,
  type StoredIdentity,
  type StoredRow,
  type StoredTable,
} from "./storage/types.ts";

/** The most milliseconds that it takes until something is on the disk. */
const MAX_DELAY = 10;
/** Rows that are read at once. */
const PAGE = 64;

type Rows = Map<string, Uint8Array>;

/** Something that is to be written. */
interface Pending {
  readonly rows: Rows;
  readonly changes: readonly StoredRow[];
}

/**
 * The disk of a machine: it keeps what was committed, whatever becomes of the program. Of
 * what is being written when the program ends, the first part, chosen at random, is there
 * afterwards and the rest is not.
 */
export class Disk {
  readonly #tables = new Map<string, Rows>();
  #pending: Pending[] = [];

  /** The disk as the present life of a machine sees it. */
  attach({ clock, random }: VirtualMachine): Storage {
    const survive = Math.floor(random() * (this.#pending.length + 1));
    for (const one of this.#pending.slice(0, survive)) apply(one);
    this.#pending = [];
    const open = new Set<string>();
    // The writes of one life end with it: those of an earlier one are not these.
    const pending = this.#pending;
    return {
      open: ({ cluster, name }: StoredIdentity): Promise<StoredTable> => {
        const id = `${cluster}/${name}`;
        if (open.has(id)) {
          const message = `Cannot open "${name}": it is open already`;
          return Promise.reject(new StorageError("busy", message));
        }
        open.add(id);
        const rows = this.#tables.get(id) ?? new Map<string, Uint8Array>();
        this.#tables.set(id, rows);
        const written = (one: Pending): void => {
          apply(one);
          pending.splice(pending.indexOf(one), 1);
        };
        const table: StoredTable = {
          read: () => pages(rows),
          commit(changes) {
            const one = { rows, changes: changes.map(copied) };
            pending.push(one);
            const { promise, resolve } = Promise.withResolvers<void>();
            clock.after(MAX_DELAY * random(), () => {
              // What was to be written before is on the disk before.
              while (pending.includes(one) && pending[0]) written(pending[0]);
              resolve();
            });
            return promise;
          },
          close() {
            open.delete(id);
            return Promise.resolve();
          },
        };
        return Promise.resolve(table);
      },
    };
  }
}

function apply({ rows, changes }: Pending): void {
  for (const { key, value } of changes) {
    if (value === null) rows.delete(key);
    else rows.set(key, value);
  }
}

function copied({ key, value }: StoredRow): StoredRow {
  return { key, value: value === null ? null : value.slice() };
}

async function* pages(rows: Rows): AsyncGenerator<readonly StoredRow[]> {
  const all = [...rows].map(([key, value]) => ({ key, value }))
    .sort((one, other) => one.key < other.key ? -1 : 1);
  for (let at = 0; at < all.length; at += PAGE) {
    yield await Promise.resolve(all.slice(at, at + PAGE));
  }
}
