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
import { delayed, virtualWorld, type World } from "../_world_test.ts";
import { nextIncarnation } from "@devts/routing";
import { counter } from "./counter.ts";
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
    "Cannot read replicated state: a newer version wrote it (9; this one reads up to 3)";
  await assertRejects(() => newer.cart.ready, SyntaxError, why);
  await assertRejects(() => newer.cart.set("x", 1), WriteError, why);
  assertEquals([newer.cart.size, newer.cart.counters.replicas], [0, 1]);
  await newer.close();
  const table = await storage.open({ cluster: "test", name: "cart" });
  assertEquals((await Array.fromAsync(table.read())).flat(), rows);
  await table.close();
});

/** A disk that outlives programs that are killed: what they wrote by then is there. */
class Disk {
  readonly #rows: Map<string, Uint8Array>;
  #life = 0;

  constructor(rows: Iterable<readonly [string, Uint8Array]> = []) {
    this.#rows = new Map(rows);
  }

  /** As it is now. */
  backup(): Disk {
    return new Disk(this.#rows);
  }

  /** The disk, for a program that starts; what earlier ones write from then on is lost. */
  attach(): Storage {
    const life = ++this.#life;
    const rows = this.#rows;
    const table = {
      async *read(): AsyncGenerator<StoredRow[]> {
        yield await Promise.resolve(
          [...rows].map(([key, value]) => ({ key, value }))
            .sort((a, b) => a.key < b.key ? -1 : 1),
        );
      },
      commit: (changes: readonly StoredRow[]): Promise<void> => {
        if (life !== this.#life) return Promise.resolve();
        for (const { key, value } of changes) {
          if (value) rows.set(key, value.slice());
          else rows.delete(key);
        }
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
    return { open: () => Promise.resolve(table) };
  }
}

Deno.test("map() that is killed while it takes over everything goes on with what its storage has", async () => {
  await using world = virtualWorld();
  const { clock, network } = world;
  const a = await start(world, "a", {});
  await start(world, "b", {});
  for (let i = 0; i < 20_000; i++) a.cart.set(`key ${i}`, "x".repeat(400));
  await pass(clock, 10_000);
  const whole = await start(world, "whole", {});
  await passUntil(clock, () => whole.cart.size === 20_000);
  const once = whole.cart.counters.pageBytes;

  const disk = new Disk();
  const killed = world.add("c", {
    transport: delayed(network, clock, () => 5),
  });
  const before = killed.node.use("cart", map({ storage: disk.attach() }));
  await passFor(clock, killed.node.listen("memory://c"));
  const joined = killed.node.join("memory://a");
  await passUntil(clock, () => before.size > 5_000);
  const had = before.size;
  assert(had < 18_000);
  const storage = disk.attach();
  await passFor(clock, Promise.all([joined, killed.node.close()]));

  const c = await start(world, "c", { storage });
  await passUntil(clock, () => c.cart.size === 20_000);
  await passFor(clock, c.cart.sync());
  const { pageBytes, divergences } = c.cart.counters;
  const share = 1 - had / 20_000;
  // What was on its way to the disk is told again, and 0.02 for the rest.
  assert(pageBytes < (share + 0.1) * once, `${pageBytes} of ${once}: ${share}`);
  assertEquals([divergences, c.cart.hash()], [0, a.cart.hash()]);
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

Deno.test("map() from an old backup takes the rest from the others, and brings nothing back", async () => {
  await using world = virtualWorld();
  const { clock } = world;
  const disk = new Disk();
  const a = await start(world, "a", { replicas: 2 });
  const options = { replicas: 2, level: "fsync" } as const;
  const b = await start(world, "b", { storage: disk.attach(), ...options });
  const made = ["kept", "gone", "changed"].map((key) => b.cart.set(key, 1));
  await passFor(clock, Promise.all(made));
  await pass(clock, 5_000);
  const backup = disk.backup();
  await passFor(clock, b.cart.set("own", "after the backup"));
  await passFor(clock, b.cart.delete("gone"));
  await a.cart.set("changed", 2);
  await pass(clock, 5_000);
  // The deletion is forgotten by then.
  await pass(clock, 1_200_000);
  await b.close();
  const again = await start(world, "b", {
    storage: backup.attach(),
    ...options,
  });
  await passFor(clock, again.cart.sync());
  const expected: [string, unknown][] = [["changed", 2], ["kept", 1], [
    "own",
    "after the backup",
  ]];
  assertEquals([...again.cart.entries()].sort(), expected);
  await passFor(clock, again.cart.set("new", 3));
  // Another node that begins with the same backup is one of its own.
  const c = await start(world, "c", { storage: backup.backup().attach() });
  await passFor(clock, c.cart.sync());
  await pass(clock, 10_000);
  const rest: typeof expected = [...expected, ["new", 3]];
  rest.sort();
  for (const { cart } of [a, again, c]) {
    assertEquals([...cart.entries()].sort(), rest);
    assertEquals([cart.hash(), cart.counters.divergences], [a.cart.hash(), 0]);
  }
});

Deno.test("counter() from an old backup is exact while others run", async () => {
  await using world = virtualWorld();
  const { clock } = world;
  const a = world.add("a");
  const total = a.node.use("visits", counter());
  await passFor(clock, a.node.listen("memory://a"));
  const disk = new Disk();
  const begin = async (storage: Storage) => {
    const { node } = world.add("b", {
      incarnations: {
        first: START + 4_096 * ++lives,
        next: nextIncarnation,
        above: nextIncarnation,
      },
    });
    const visits = node.use("visits", counter({ storage, level: "fsync" }));
    await passFor(clock, node.listen("memory://b"));
    await passFor(clock, node.join("memory://a"));
    return { node, visits };
  };
  const b = await begin(disk.attach());
  await passFor(clock, b.visits.add(10));
  const backup = disk.backup();
  await passFor(clock, b.visits.add(5));
  await pass(clock, 5_000);
  await passFor(clock, b.node.close());
  const again = await begin(backup.attach());
  await passFor(clock, again.visits.add(1));
  await pass(clock, 10_000);
  assertEquals([total.value, again.visits.value], [16, 16]);
});

Deno.test("map() that is closed in whatever phase settles all writes, and keeps what it acknowledged", async () => {
  for (let turns = 0; turns < 12; turns++) {
    await using world = virtualWorld();
    const storage = memoryStorage();
    const options = { storage, level: "fsync" } as const;
    const first = await start(world, "a", options);
    await passFor(world.clock, first.cart.set("before", 1));
    await first.close();
    const { node } = world.add("a");
    const cart = node.use("cart", map<number>(options));
    const writes = [];
    for (let i = 0; i < 20; i++) {
      writes.push(cart.set(`key ${i}`, i).then(() => i, () => -1));
      if (i % 2 === 0) await Promise.resolve();
    }
    for (let i = 0; i < turns; i++) {
      await Promise.resolve();
      if (i % 4 === 3) await pass(world.clock, 0);
    }
    const closing = cart.close();
    writes.push(cart.set("late", 99).then(() => 99, () => -1));
    await passFor(world.clock, closing);
    const kept = new Set(await passFor(world.clock, Promise.all(writes)));
    assert(!kept.has(99));
    await passFor(world.clock, node.close());
    const again = await start(world, "a", options);
    await passFor(world.clock, again.cart.ready);
    assertEquals(again.cart.get("before"), 1);
    for (const i of kept) {
      if (i >= 0) assertEquals(again.cart.get(`key ${i}`), i);
    }
  }
});

Deno.test("map() in a file of SQLite in which one bit of a value is another one takes no writes, and says which", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/state.db`;
  const options = { cluster: "demo", id: "a", logger: new Log() };
  {
    await using node = createNode(options);
    const storage = sqlite(path);
    const cart = node.use("cart", map<string>({ storage, level: "fsync" }));
    await Promise.all(
      Array.from(
        { length: 200 },
        (_, i) => cart.set(`key ${i}`, `value ${i} `.repeat(9)),
      ),
    );
  }
  const file = await Deno.readFile(path);
  const at = new TextDecoder("latin1").decode(file).indexOf("value 77 value");
  assert(at > 0);
  file[at + 3] = (file[at + 3] ?? 0) ^ 4;
  await Deno.writeFile(path, file);
  {
    await using node = createNode(options);
    const cart = node.use("cart", map<string>({ storage: sqlite(path) }));
    const why = 'what is stored of "key 77" is damaged';
    await assertRejects(() => cart.ready, SyntaxError, why);
    await assertRejects(() => cart.set("x", "y"), WriteError, why);
    assertEquals(cart.size, 0);
  }
  // Nothing is changed in it.
  assertEquals(await Deno.readFile(path), file);
  await Deno.remove(folder, { recursive: true });
});
