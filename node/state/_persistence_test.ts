/** What is stored, and what becomes of it where it is not as it was written. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { msgpackr } from "@devts/protocol/msgpackr";
import { VirtualClock } from "@devts/routing/testing";
import { pass } from "../_support_test.ts";
import { memoryStorage } from "../storage/memory.ts";
import type { StoredRow } from "../storage/types.ts";
import { Persistence } from "./_persistence.ts";
import { Store } from "./_store.ts";

const IDENTITY = { cluster: "test", name: "cart" };
/** Where the flags of an entry stand in its row. */
const FLAGS = 18;
const IS_HASHED = 2;

let lives = 0;

/** Opens rows as a program does that starts. */
async function opened(
  rows: readonly StoredRow[],
): Promise<{ store: Store; close(): Promise<StoredRow[]> }> {
  const storage = memoryStorage();
  await withTable(storage, (table) => table.commit(rows));
  const clock = new VirtualClock();
  const store = new Store({
    replica: `a@${++lives}`,
    codec: msgpackr(),
    wallClock: () => 1_000,
    clusterTime: () => 1_000,
    now: () => 0,
    maxValue: 10_000,
    secret: 0.5,
  });
  const persistence = new Persistence({
    store,
    codec: msgpackr(),
    clock,
    open: () => storage.open(IDENTITY),
    durable: () => {},
    failing: () => {},
  });
  await persistence.loaded;
  return {
    store,
    async close() {
      persistence.touch();
      const closed = persistence.close();
      await pass(clock, 1);
      await closed;
      return await withTable(
        storage,
        async (table) => (await Array.fromAsync(table.read())).flat(),
      );
    },
  };
}

async function withTable<T>(
  storage: ReturnType<typeof memoryStorage>,
  work: (
    table: Awaited<ReturnType<typeof storage.open>>,
  ) => Promise<T>,
): Promise<T> {
  const table = await storage.open(IDENTITY);
  try {
    return await work(table);
  } finally {
    await table.close();
  }
}

async function sample(): Promise<StoredRow[]> {
  const { store, close } = await opened([]);
  store.write("text", "some text", false);
  store.write("", new Uint8Array([1, 2, 3, 4, 5, 6, 7]), false);
  store.write("gone", 1, false);
  store.write("gone", undefined, true);
  return await close();
}

/** As versions before wrote it: without hashes. */
function asFormat(format: number, rows: readonly StoredRow[]): StoredRow[] {
  return rows.map(({ key, value }) => {
    assert(value);
    const older = value.slice(0, -4);
    if (key === "") older[0] = format;
    else older[FLAGS] = (older[FLAGS] ?? 0) & ~IS_HASHED;
    return { key, value: older };
  });
}

Deno.test("Persistence refuses rows of which one bit is another one, whichever, and holds nothing of them", async () => {
  const rows = await sample();
  assertEquals(rows.length, 4);
  for (const [index, { key, value }] of rows.entries()) {
    assert(value);
    for (let bit = 0; bit < 8 * value.length; bit++) {
      const flipped = value.slice();
      const at = bit >>> 3;
      flipped[at] = (flipped[at] ?? 0) ^ 1 << (bit & 7);
      const damaged = rows.with(index, { key, value: flipped });
      await assertRejects(() => opened(damaged), SyntaxError, "Cannot read");
    }
  }
});

Deno.test("Persistence refuses a row that stands under another key, is cut short or goes on", async () => {
  const rows = await sample();
  const [about, ...entries] = rows;
  const [entry] = entries;
  assert(about?.value && entry?.value);
  const { value } = entry;
  const why = "what is stored of";
  for (
    const wrong of [
      { key: "eother", value },
      { key: entry.key, value: value.slice(0, -1) },
      { key: entry.key, value: new Uint8Array([...value, 0]) },
    ]
  ) {
    const damaged = [about, wrong, ...entries.slice(1)];
    await assertRejects(() => opened(damaged), SyntaxError, why);
  }
  const short = { key: "", value: about.value.slice(0, -1) };
  await assertRejects(() => opened([short, ...entries]), SyntaxError, why);
  await assertRejects(() => opened(entries), SyntaxError, "is not told");
});

Deno.test("Persistence reads rows of the versions before, and writes them anew where they change", async () => {
  const rows = await sample();
  for (const format of [1, 2]) {
    const older = asFormat(format, rows);
    const { store, close } = await opened(older);
    assertEquals(store.entries.live.get("text"), "some text");
    assertEquals([store.entries.live.size, store.entries.tombstones], [2, 1]);
    store.write("text", "another one", false);
    const mixed = await close();
    // What did not change stands there as it was.
    assertEquals(mixed[1], older[1]);
    const again = await opened(mixed);
    assertEquals(again.store.entries.live.get("text"), "another one");
    assertEquals(again.store.entries.tombstones, 1);
    await again.close();
  }
});
