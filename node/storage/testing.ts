/**
 * The conformance suite of storages: one call registers a test for each point of the
 * contracts of `Storage` and `StoredTable`.
 *
 * ```ts
 * import { memoryStorage } from "@devts/node/storage";
 * import { testStorage } from "@devts/node/storage/testing";
 *
 * // In my_storage_test.ts; here it is called without being run.
 * function register(): void {
 *   testStorage("memoryStorage()", () => {
 *     const storage = memoryStorage();
 *     return { reopen: () => storage, remove: () => Promise.resolve() };
 *   });
 * }
 * console.assert(typeof register === "function");
 * ```
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import {
  type Storage,
  StorageError,
  type StoredRow,
  type StoredTable,
} from "./types.ts";

/** A storage under test. */
export interface StorageUnderTest {
  /** The storage as a program that starts anew would make it; what is kept is the same. */
  reopen(): Storage;
  /** Removes what is kept. */
  remove(): Promise<void>;
}

/**
 * Registers the conformance tests of a storage with `Deno.test`.
 *
 * @param name What the names of the tests start with: `"sqlite()"`.
 * @param make Makes an empty one; called once per test.
 */
export function testStorage(
  name: string,
  make: () => StorageUnderTest | Promise<StorageUnderTest>,
): void {
  for (const [fact, test] of Object.entries(FACTS)) {
    Deno.test(`${name} ${fact}`, async () => {
      const storage = await make();
      try {
        await test(storage);
      } finally {
        await storage.remove();
      }
    });
  }
}

const IDENTITY = { cluster: "test", name: "cart" };

const FACTS: Readonly<
  Record<string, (storage: StorageUnderTest) => Promise<void>>
> = {
  "is empty at first": async (storage) => {
    await using table = await opened(storage);
    assertEquals(await rowsOf(table), []);
  },
  "keeps what was committed after it is opened anew": async (storage) => {
    const rows = [row("a", 1), row("b", 2, 3), row("c")];
    await withTable(storage, (table) => table.commit(rows));
    await using table = await opened(storage);
    assertEquals(await rowsOf(table), rows);
  },
  "replaces and removes rows": async (storage) => {
    await using table = await opened(storage);
    await table.commit([row("a", 1), row("b", 2), row("c", 3)]);
    await table.commit([row("a", 4), { key: "b", value: null }]);
    await table.commit([{ key: "unknown", value: null }]);
    assertEquals(await rowsOf(table), [row("a", 4), row("c", 3)]);
  },
  "takes the last of several rows of one key": async (storage) => {
    await using table = await opened(storage);
    await table.commit([row("a", 1), { key: "a", value: null }, row("a", 2)]);
    assertEquals(await rowsOf(table), [row("a", 2)]);
  },
  "takes a commit without rows": async (storage) => {
    await using table = await opened(storage);
    await table.commit([]);
    assertEquals(await rowsOf(table), []);
  },
  "reads rows in the order of their keys' UTF-8": async (storage) => {
    const keys = ["", "a", "a\0", "aa", "b", "\uff5e", "\u{1f600}"];
    await using table = await opened(storage);
    await table.commit(keys.toReversed().map((key) => row(key, 1)));
    assertEquals((await rowsOf(table)).map(({ key }) => key), keys);
  },
  "reads more rows than it gives at once": async (storage) => {
    const rows = Array.from(
      { length: 3_000 },
      (_, i) => ({ key: `${10_000 + i}`, value: new Uint8Array(300).fill(i) }),
    );
    await using table = await opened(storage);
    await table.commit(rows);
    assertEquals(await rowsOf(table), rows);
  },
  "keeps rows of a mebibyte": async (storage) => {
    const value = Uint8Array.from({ length: 1_048_576 }, (_, i) => i * 7);
    await using table = await opened(storage);
    await table.commit([{ key: "large", value }]);
    assertEquals(await rowsOf(table), [{ key: "large", value }]);
  },
  "keeps its own copy of what is committed": async (storage) => {
    const value = new Uint8Array([1, 2, 3]);
    await using table = await opened(storage);
    await table.commit([{ key: "a", value }]);
    value.fill(0);
    assertEquals(await rowsOf(table), [row("a", 1, 2, 3)]);
  },
  "applies commits that do not wait for each other in their order": async (
    storage,
  ) => {
    await using table = await opened(storage);
    const commits = Array.from(
      { length: 100 },
      (_, i) => table.commit([row("a", i), row(`b${i}`, i)]),
    );
    await Promise.all(commits);
    const rows = await rowsOf(table);
    assertEquals(rows[0], row("a", 99));
    assertEquals(rows.length, 101);
  },
  "keeps tables apart": async (storage) => {
    const whole = storage.reopen();
    const names = ["cart", 'ca"rt', "cart/inner"];
    const tables = await Promise.all(
      names.map((name) => whole.open({ ...IDENTITY, name })),
    );
    await Promise.all(tables.map((table, i) => table.commit([row("a", i)])));
    for (const [i, table] of tables.entries()) {
      assertEquals(await rowsOf(table), [row("a", i)]);
      await table.close();
    }
  },
  "refuses another cluster, and stays as it was": async (storage) => {
    await withTable(storage, (table) => table.commit([row("a", 1)]));
    const other = { ...IDENTITY, cluster: "other" };
    const error = await assertRejects(
      () => storage.reopen().open(other),
      StorageError,
    );
    assertEquals(error.reason, "cluster");
    await using table = await opened(storage);
    assertEquals(await rowsOf(table), [row("a", 1)]);
  },
  "refuses to open a table twice": async (storage) => {
    const whole = storage.reopen();
    const table = await whole.open(IDENTITY);
    const error = await assertRejects(() => whole.open(IDENTITY), StorageError);
    assertEquals(error.reason, "busy");
    await table.commit([row("a", 1)]);
    await table.close();
  },
  "keeps what was committed before it was closed, and takes nothing after":
    async (
      storage,
    ) => {
      const first = await storage.reopen().open(IDENTITY);
      const commit = first.commit([row("a", 1)]);
      await first.close();
      await first.close();
      await commit;
      await assertRejects(() => first.commit([row("b", 2)]), StorageError);
      await using table = await opened(storage);
      assertEquals(await rowsOf(table), [row("a", 1)]);
    },
};

/** A table that closes with the scope that holds it. */
interface Opened extends StoredTable, AsyncDisposable {}

async function opened(storage: StorageUnderTest): Promise<Opened> {
  const table = await storage.reopen().open(IDENTITY);
  return {
    read: () => table.read(),
    commit: (rows) => table.commit(rows),
    close: () => table.close(),
    [Symbol.asyncDispose]: () => table.close(),
  };
}

async function withTable(
  storage: StorageUnderTest,
  work: (table: StoredTable) => Promise<void>,
): Promise<void> {
  await using table = await opened(storage);
  await work(table);
}

async function rowsOf(table: StoredTable): Promise<StoredRow[]> {
  const rows: StoredRow[] = [];
  for await (const page of table.read()) rows.push(...page);
  return rows;
}

function row(key: string, ...bytes: number[]): StoredRow {
  return { key, value: new Uint8Array(bytes) };
}
