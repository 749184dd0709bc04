import {
  type Storage,
  StorageError,
  type StoredIdentity,
  type StoredRow,
  type StoredTable,
} from "./types.ts";

/** Rows that are read at once. */
const PAGE = 1_024;

/** What is kept of one table. */
interface Kept {
  readonly rows: Map<string, Uint8Array>;
  isOpen: boolean;
}

/**
 * Keeps rows in memory, as long as the storage itself: a node that is closed and made
 * anew with it finds its state again. For tests.
 *
 * @example State that outlives its node
 * ```ts
 * import { memoryStorage } from "@devts/node/storage";
 * import { assertEquals } from "@std/assert";
 *
 * const storage = memoryStorage();
 * const identity = { cluster: "demo", name: "cart" };
 * const table = await storage.open(identity);
 * await table.commit([{ key: "apples", value: new Uint8Array([3]) }]);
 * await table.close();
 *
 * const again = await storage.open(identity);
 * assertEquals((await Array.fromAsync(again.read())).flat().length, 1);
 * ```
 */
export function memoryStorage(): Storage {
  const tables = new Map<string, Kept>();
  let owner: string | null = null;
  return {
    open({ cluster, name }: StoredIdentity): Promise<StoredTable> {
      owner ??= cluster;
      if (owner !== cluster) {
        return refuse(
          "cluster",
          `Cannot open the storage for cluster "${cluster}": it belongs to cluster "${owner}"`,
        );
      }
      const kept = tables.get(`t:${name}`) ??
        { rows: new Map(), isOpen: false };
      if (kept.isOpen) {
        return refuse("busy", `Cannot open "${name}": it is open already`);
      }
      kept.isOpen = true;
      tables.set(`t:${name}`, kept);
      return Promise.resolve(new MemoryTable(kept));
    },
  };
}

function refuse(
  reason: "cluster" | "busy",
  message: string,
): Promise<StoredTable> {
  return Promise.reject(new StorageError(reason, message));
}

class MemoryTable implements StoredTable {
  readonly #kept: Kept;
  #isOpen = true;

  constructor(kept: Kept) {
    this.#kept = kept;
  }

  async *read(): AsyncGenerator<readonly StoredRow[]> {
    const rows = [...this.#kept.rows].map(([key, value]) => ({ key, value }))
      .sort((a, b) => compareText(a.key, b.key));
    for (let i = 0; i < rows.length; i += PAGE) {
      yield await Promise.resolve(rows.slice(i, i + PAGE));
    }
  }

  commit(rows: readonly StoredRow[]): Promise<void> {
    if (!this.#isOpen) {
      return Promise.reject(
        new StorageError("io", "Cannot commit: the storage is closed"),
      );
    }
    for (const { key, value } of rows) {
      if (value === null) this.#kept.rows.delete(key);
      else this.#kept.rows.set(key, value.slice());
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (this.#isOpen) this.#kept.isOpen = false;
    this.#isOpen = false;
    return Promise.resolve();
  }
}

/** By UTF-8: other than by code units, where halves of pairs come before U+E000. */
function compareText(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = (left[i]?.codePointAt(0) ?? 0) -
      (right[i]?.codePointAt(0) ?? 0);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
