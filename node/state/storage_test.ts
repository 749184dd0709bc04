/** Replicated state that is kept. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createNode } from "@devts/devts";
import { memoryStorage } from "../storage/memory.ts";
import { sqlite } from "../storage/sqlite.ts";
import {
  type Storage,
  StorageError,
  type StoredRow,
} from "../storage/types.ts";
import { Log, pass, passFor, passUntil } from "../_support_test.ts";
import { START } from "../_support_test.ts";
import { virtualWorld, type World } from "../_world_test.ts";
import { nextIncarnation } from "@devts/routing";
import { WriteError } from "./errors.ts";
import { map, type ReplicatedMap } from "./map.ts";
import type { StateOptions } from "./types.ts";

const FSYNC = { level: "fsync" } as const;

let lives = 0;

async function start(
  world: World,
  id: string,
  options: StateOptions,
): Promise<{
  cart: ReplicatedMap<unknown>;
  log: Log;
  close(): Promise<void>;
}> {
  const { node, log } = world.add(id, {
    incarnations: {
      first: START + 4_096 * ++lives,
      next: nextIncarnation,
      above: nextIncarnation,
    },
  });
  const cart = node.use("cart", map(options));
  await passFor(world.clock, node.listen(`memory://${id}`));
  if (id !== "a") await passFor(world.clock, node.join("memory://a"));
  await pass(world.clock, 1_000);
  return { cart, log, close: () => passFor(world.clock, node.close()) };
}

/** A storage whose commits fail or wait as a test says. */
function faulty(): { storage: Storage; fails: Error | null; commits: number } {
  const inner = memoryStorage();
  const faults: ReturnType<typeof faulty> = {
    fails: null,
    commits: 0,
    storage: {
      async open(identity) {
        const table = await inner.open(identity);
        return {
          read: () => table.read(),
          close: () => table.close(),
          commit(rows) {
            faults.commits++;
            if (faults.fails) return Promise.reject(faults.fails);
            return table.commit(rows);
          },
        };
      },
    },
  };
  return faults;
}

Deno.test("map() finds its state again after all nodes were closed", async () => {
  await using world = virtualWorld();
  const [one, two] = [memoryStorage(), memoryStorage()];
  const a = await start(world, "a", { storage: one });
  const b = await start(world, "b", { storage: two });
  for (let i = 0; i < 100; i++) a.cart.set(`key ${i}`, { i });
  for (let i = 0; i < 100; i += 2) await b.cart.set(`key ${i}`, "b");
  await b.cart.delete("key 7");
  await pass(world.clock, 100);
  const hash = a.cart.hash();
  await a.close();
  await b.close();
  const again = await start(world, "a", { storage: one });
  await passFor(world.clock, again.cart.ready);
  assertEquals(again.cart.hash(), hash);
  assertEquals(again.cart.size, 99);
  assertEquals(again.cart.get("key 9"), { i: 9 });
  const other = await start(world, "b", { storage: two });
  await again.cart.set("key 9", "later");
  await pass(world.clock, 5_000);
  assertEquals(other.cart.get("key 9"), "later");
  assert(!other.cart.has("key 7"));
  assertEquals(again.cart.hash(), other.cart.hash());
  assertEquals(other.cart.counters.comparisons, 0);
});

Deno.test("map() lets writes wait until what was kept has been read", async () => {
  await using world = virtualWorld();
  const storage = memoryStorage();
  const first = await start(world, "a", { storage });
  await passFor(world.clock, first.cart.set("x", 1, FSYNC));
  await first.close();
  const { node } = world.add("a");
  const cart = node.use("cart", map<number>({ storage }));
  const write = cart.set("x", 2);
  assertEquals(cart.get("x"), undefined);
  await passFor(world.clock, write);
  assertEquals(cart.get("x"), 2);
});

Deno.test("map() whose clock was set back writes later than what it finds", async () => {
  await using world = virtualWorld();
  const storage = memoryStorage();
  const late = world.add("a", {
    wallClock: () => Date.UTC(2026, 0, 1, 12),
    incarnations: {
      first: START + 4_096_000_000,
      next: nextIncarnation,
      above: nextIncarnation,
    },
  });
  const before = late.node.use("cart", map<number>({ storage }));
  await passFor(world.clock, before.set("x", 1, FSYNC));
  await passFor(world.clock, late.node.close());
  const early = world.add("a", {
    wallClock: () => Date.UTC(2026, 0, 1, 12) - 5,
  });
  const after = early.node.use("cart", map<number>({ storage }));
  await passFor(world.clock, after.set("x", 2, FSYNC));
  assertEquals(after.get("x"), 2);
});

Deno.test("map() groups what waits for its storage", async () => {
  await using world = virtualWorld();
  const faults = faulty();
  const a = await start(world, "a", { storage: faults.storage });
  const writes = Array.from(
    { length: 1_000 },
    (_, i) => a.cart.set(`key ${i}`, i, FSYNC),
  );
  await passFor(world.clock, Promise.all(writes));
  assert(faults.commits <= 4);
});

Deno.test("map() whose storage fails takes no writes, serves reads and says so", async () => {
  await using world = virtualWorld();
  const faults = faulty();
  const a = await start(world, "a", { storage: faults.storage });
  const b = await start(world, "b", {});
  await passFor(world.clock, a.cart.set("x", 1, FSYNC));
  faults.fails = new StorageError("full", "Cannot write: the disk is full");
  const failed = a.cart.set("x", 2, FSYNC);
  const error = await passFor(
    world.clock,
    assertRejects(() => failed, WriteError),
  );
  assertEquals(error.reason, "storage");
  assertEquals(
    error.message,
    'Cannot write to "cart": Cannot write: the disk is full',
  );
  await assertRejects(() => a.cart.set("y", 3), WriteError, "disk is full");
  assert(!a.cart.has("y"));
  await b.cart.set("z", 4);
  await pass(world.clock, 100);
  assertEquals(a.cart.get("z"), 4);
  assert(a.log.of("error").some((line) => line.includes("takes no writes")));
  faults.fails = null;
  await pass(world.clock, 30_000);
  await passFor(world.clock, a.cart.set("y", 3, FSYNC));
  await a.close();
  const again = await start(world, "a", { storage: faults.storage });
  assertEquals([...again.cart.keys()].sort(), ["x", "y", "z"]);
});

Deno.test("map() acknowledges to others what its storage has", async () => {
  await using world = virtualWorld();
  const faults = faulty();
  const a = await start(world, "a", { replicas: 2 });
  await start(world, "b", { storage: faults.storage });
  faults.fails = new Error("no luck");
  const options = { level: "all", timeout: 2_000 } as const;
  const failed = a.cart.set("x", 1, options);
  await passFor(world.clock, assertRejects(() => failed, WriteError, "1 of 2"));
  faults.fails = null;
  await passFor(world.clock, a.cart.set("x", 2, { level: "all" }));
});

Deno.test("map() refuses the storage of another cluster, or a damaged one", async () => {
  await using world = virtualWorld();
  const foreign = memoryStorage();
  const identity = { cluster: "other", name: "cart" };
  await (await foreign.open(identity)).close();
  const a = await start(world, "a", { storage: foreign });
  await assertRejects(() => a.cart.ready, StorageError, 'cluster "other"');
  await assertRejects(() => a.cart.set("x", 1), WriteError, 'cluster "other"');

  const damaged = memoryStorage();
  const good = await start(world, "b", { storage: damaged });
  for (let i = 0; i < 10; i++) good.cart.set(`key ${i}`, i);
  await good.close();
  const table = await damaged.open({ cluster: "test", name: "cart" });
  await table.commit([{ key: "ekey 5", value: new Uint8Array([1, 2, 3]) }]);
  await table.close();
  const bad = await start(world, "b", { storage: damaged });
  await assertRejects(() => bad.cart.ready, SyntaxError, "it is cut short");
  await assertRejects(() => bad.cart.set("x", 1), WriteError, "cut short");
  // What it holds, it has from the other.
  assertEquals(bad.cart.hash(), a.cart.hash());
  assertEquals(bad.cart.size, 10);
});

Deno.test("map() refuses rows of a newer version, and changes nothing in them", async () => {
  await using world = virtualWorld();
  const storage = memoryStorage();
  const before = await start(world, "a", { storage });
  for (let i = 0; i < 10; i++) before.cart.set(`key ${i}`, i);
  const hash = before.cart.hash();
  await before.close();
  // The format is the first byte of the first row.
  const asFormat = async (format: number): Promise<StoredRow[]> => {
    const table = await storage.open({ cluster: "test", name: "cart" });
    const [about, ...rest] = (await Array.fromAsync(table.read())).flat();
    assert(about?.value);
    const value = about.value.slice();
    value[0] = format;
    await table.commit([{ key: about.key, value }]);
    await table.close();
    return [{ key: about.key, value }, ...rest];
  };
  const rows = await asFormat(9);
  const newer = await start(world, "a", { storage });
  const why =
    "Cannot read replicated state: a newer version wrote it (9; this one reads up to 2)";
  await assertRejects(() => newer.cart.ready, SyntaxError, why);
  await assertRejects(() => newer.cart.set("x", 1), WriteError, why);
  assertEquals([newer.cart.size, newer.cart.counters.replicas], [0, 1]);
  await newer.close();
  const table = await storage.open({ cluster: "test", name: "cart" });
  assertEquals((await Array.fromAsync(table.read())).flat(), rows);
  await table.close();
  // Those of the version before are read.
  await asFormat(1);
  const older = await start(world, "a", { storage });
  await passFor(world.clock, older.cart.ready);
  assertEquals(older.cart.hash(), hash);
});

Deno.test("map() keeps deletions until they are forgotten, in its storage too", async () => {
  await using world = virtualWorld();
  const storage = memoryStorage();
  const a = await start(world, "a", { storage });
  await a.cart.set("x", 1);
  await pass(world.clock, 10);
  await a.cart.delete("x");
  await pass(world.clock, 10);
  const rows = async (): Promise<number> => {
    const table = await storage.open({ cluster: "test", name: "cart" });
    const all = (await Array.fromAsync(table.read())).flat();
    await table.close();
    return all.length;
  };
  await a.close();
  assertEquals(await rows(), 2);
  const again = await start(world, "a", { storage });
  await pass(world.clock, 1_200_000);
  await again.close();
  assertEquals(await rows(), 1);
});

Deno.test("map() in a file of SQLite survives its node, and is copied while it is written", async () => {
  const folder = await Deno.makeTempDir();
  const options = { cluster: "demo", id: "a", logger: new Log() };
  {
    await using node = createNode(options);
    const storage = sqlite(`${folder}/state.db`);
    const cart = node.use("cart", map<number>({ storage, level: "fsync" }));
    const other = node.use("other", map<number>({ storage }));
    other.set("x", 1);
    await Promise.all(
      Array.from({ length: 500 }, (_, i) => cart.set(`key ${i}`, i)),
    );
    await storage.backup(`${folder}/copy.db`);
    await cart.set("after", 1);
  }
  for (const [file, size] of [["state", 501], ["copy", 500]] as const) {
    await using node = createNode(options);
    const storage = sqlite(`${folder}/${file}.db`);
    const cart = node.use("cart", map<number>({ storage }));
    await cart.ready;
    assertEquals(cart.size, size);
    assertEquals(cart.get("key 77"), 77);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("map() is not ended by a failing storage it may not wait for", async () => {
  await using world = virtualWorld();
  const faults = faulty();
  const a = await start(world, "a", { storage: faults.storage });
  faults.fails = new Error("no luck");
  a.cart.set("x", 1, FSYNC);
  await passUntil(world.clock, () => a.log.of("error").length > 0);
  await a.close();
});
