/** Writes that are made once the storage has them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { nextIncarnation } from "@devts/routing";
import { seededRandom } from "@devts/routing/testing";
import { pass, passFor, START } from "../_support_test.ts";
import { virtualWorld, type World } from "../_world_test.ts";
import type { Behaviour } from "../behaviour.ts";
import { memoryStorage } from "../storage/memory.ts";
import type { Storage, StoredRow } from "../storage/types.ts";
import { upDownCounter } from "./counter.ts";
import { WriteError } from "./errors.ts";
import { map, type ReplicatedMap } from "./map.ts";
import { multiRegister } from "./register.ts";
import { set } from "./set.ts";
import type { ReplicatedState } from "./types.ts";

const FSYNC = { level: "fsync" } as const;

/** A storage that takes as long as a test wants, and then does or fails. */
class Slow implements Storage {
  readonly #inner = memoryStorage();
  readonly #commits: { settle(error?: Error): Promise<void> }[] = [];
  isOpen = true;

  async open(identity: Parameters<Storage["open"]>[0]) {
    const table = await this.#inner.open(identity);
    return {
      read: () => table.read(),
      close: () => table.close(),
      commit: (rows: readonly StoredRow[]) => this.#commit(table, rows),
    };
  }

  #commit(
    table: Awaited<ReturnType<Storage["open"]>>,
    rows: readonly StoredRow[],
  ): Promise<void> {
    if (this.isOpen) return table.commit(rows);
    const copies = rows.map(({ key, value }) => ({
      key,
      value: value?.slice() ?? null,
    }));
    const done = Promise.withResolvers<void>();
    this.#commits.push({
      async settle(error) {
        if (error) return done.reject(error);
        await table.commit(copies);
        done.resolve();
      },
    });
    return done.promise;
  }

  /** Commits that wait. */
  get waiting(): number {
    return this.#commits.length;
  }

  /** Ends the oldest one; where it fails, those after it fail, too. */
  async next(error?: Error): Promise<void> {
    const count = error ? this.#commits.length : 1;
    for (const commit of this.#commits.splice(0, count)) {
      await commit.settle(error);
    }
  }
}

let lives = 0;

async function start<S extends ReplicatedState>(
  world: World,
  id: string,
  behaviour: Behaviour<S>,
): Promise<{ state: S; close(): Promise<void> }> {
  const { node } = world.add(id, {
    incarnations: {
      first: START + 4_096 * ++lives,
      next: nextIncarnation,
      above: nextIncarnation,
    },
  });
  const state = node.use("state", behaviour);
  await passFor(world.clock, node.listen(`memory://${id}`));
  if (id !== "a") await passFor(world.clock, node.join("memory://a"));
  await passFor(world.clock, state.ready);
  await pass(world.clock, 1_000);
  return { state, close: () => passFor(world.clock, node.close()) };
}

Deno.test("a write at fsync is made, and told to others, once the storage has it", async () => {
  await using world = virtualWorld();
  const storage = new Slow();
  const { state: a } = await start(world, "a", map<number>({ storage }));
  const { state: b } = await start(world, "b", map<number>());
  storage.isOpen = false;
  const write = a.set("x", 1, FSYNC);
  await pass(world.clock, 1_000);
  assert(!a.has("x") && !b.has("x"));
  await storage.next();
  await write;
  assertEquals(a.get("x"), 1);
  await pass(world.clock, 10);
  assertEquals(b.get("x"), 1);
});

Deno.test("a write that the storage refuses leaves no trace, at any level but memory", async () => {
  for (const level of ["fsync", "quorum", "all"] as const) {
    await using world = virtualWorld();
    const storage = new Slow();
    const options = { storage, replicas: 2 };
    const { state: a, close } = await start(world, "a", map<number>(options));
    const { state: b } = await start(world, "b", map<number>({ replicas: 2 }));
    await a.set("x", 0);
    await pass(world.clock, 100);
    storage.isOpen = false;
    const changes: unknown[] = [];
    using _watch = a.watch((change) => changes.push(change));
    const refused = [a.set("x", 1, { level }), a.delete("x", { level })];
    const meanwhile = a.set("y", 2); // waits for nothing
    await meanwhile;
    assertEquals(a.get("y"), 2);
    await pass(world.clock, 100);
    assert(storage.waiting > 0);
    await storage.next(new Error("no luck"));
    for (const write of refused) {
      const error = await assertRejects(() => write, WriteError, "no luck");
      assertEquals(error.reason, "storage");
    }
    await pass(world.clock, 10_000);
    assertEquals([a.get("x"), b.get("x"), b.get("y")], [0, 0, 2]);
    assertEquals(changes, [{ key: "y", value: 2, isLocal: true }]);
    storage.isOpen = true;
    await storage.next();
    await pass(world.clock, 60_000);
    await passFor(world.clock, a.set("z", 3, { level }));
    await close();
    const again = await start(world, "a", map<number>(options));
    assertEquals(again.state.hash(), b.hash());
    assertEquals([...again.state.entries()].sort(), [...b.entries()].sort());
    assertEquals(again.state.get("x"), 0);
  }
});

Deno.test("writes at fsync that were not awaited build on each other", async () => {
  await using world = virtualWorld();
  const storage = memoryStorage();
  const count = await start(world, "a", upDownCounter({ storage, ...FSYNC }));
  await passFor(
    world.clock,
    Promise.all([1, 2, 3, -1].map((by) => count.state.add(by))),
  );
  assertEquals(count.state.value, 5);
  await count.close();

  const tags = await start(
    world,
    "a",
    set({ storage: memoryStorage(), ...FSYNC }),
  );
  const writes = [tags.state.add("x"), tags.state.add("y")];
  writes.push(tags.state.delete("x"));
  await passFor(world.clock, Promise.all(writes));
  assertEquals([...tags.state.values()], ["y"]);
  await tags.close();

  const options = { storage: memoryStorage(), ...FSYNC };
  const title = await start(world, "a", multiRegister<string>(options));
  title.state.set("first");
  await passFor(world.clock, title.state.set("second"));
  assertEquals(title.state.get(), ["second"]);
});

Deno.test("of a write at fsync and one at memory of the same key, the later one stays", async () => {
  await using world = virtualWorld();
  const storage = new Slow();
  const { state: a, close } = await start(world, "a", map<number>({ storage }));
  const { state: b } = await start(world, "b", map<number>());
  storage.isOpen = false;
  const first = a.set("x", 1, FSYNC);
  await a.set("x", 2);
  await pass(world.clock, 10);
  const second = a.set("y", 1, FSYNC);
  await b.set("y", 2);
  await pass(world.clock, 100);
  storage.isOpen = true;
  while (storage.waiting > 0) await storage.next();
  await passFor(world.clock, Promise.all([first, second]));
  await pass(world.clock, 100);
  assertEquals([a.get("x"), a.get("y")], [2, 2]);
  assertEquals(a.hash(), b.hash());
  const hash = a.hash();
  await close();
  const again = await start(world, "a", map<number>({ storage }));
  assertEquals(again.state.hash(), hash);
});

Deno.test("an older write of another node that comes meanwhile does not replace one at fsync", async () => {
  for (const fails of [false, true]) {
    await using world = virtualWorld();
    const storage = new Slow();
    const { state: a, close } = await start(
      world,
      "a",
      map<number>({ storage }),
    );
    const behind = (): number => Date.UTC(2026, 0, 1) - 5_000;
    const { node } = world.add("b", { wallClock: behind });
    const b = node.use("state", map<number>());
    await passFor(world.clock, node.listen("memory://b"));
    await passFor(world.clock, node.join("memory://a"));
    await pass(world.clock, 10_000);
    storage.isOpen = false;
    const write = a.set("x", 1, FSYNC);
    await pass(world.clock, 10);
    // So many that the next transaction does not wait for the one before it.
    for (let i = 0; i < 1_200; i++) b.set(`key ${i}`, i);
    await b.set("x", 2);
    await pass(world.clock, 10);
    assertEquals([a.get("x"), storage.waiting], [2, 2]);
    if (fails) {
      await storage.next(new Error("no luck"));
      await assertRejects(() => write, WriteError);
    } else {
      await storage.next();
      await write;
      await storage.next();
    }
    storage.isOpen = true;
    await pass(world.clock, 10_000);
    const expected = fails ? 2 : 1;
    assertEquals([a.get("x"), b.get("x")], [expected, expected]);
    await passFor(world.clock, node.close());
    await close();
    const again = await start(world, "a", map<number>({ storage }));
    assertEquals(again.state.get("x"), expected);
  }
});

/** Some writes and failures at random: what is told to be kept is kept, what is refused is nowhere. */
async function scenario(seed: number): Promise<void> {
  await using world = virtualWorld();
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const storage = new Slow();
  const options = { storage };
  let { state: a, close } = await start(world, "a", map<string>(options));
  const { state: b } = await start(world, "b", map<string>());
  const acknowledged = new Set<string>();
  const refused = new Set<string>();
  const seen = new Set<string>();
  const watch = (cart: ReplicatedMap<string>): Disposable =>
    cart.watch(({ value }) => value !== undefined && seen.add(value));
  watch(a);
  watch(b);
  for (let i = 0; i < 60; i++) {
    const key = `key ${below(4)}`;
    const value = `${i}`;
    const dice = below(10);
    if (dice < 4) {
      a.set(key, value, FSYNC).then(
        () => acknowledged.add(value),
        () => refused.add(value),
      );
    } else if (dice < 5) a.set(key, value);
    else if (dice < 6) a.delete(key, below(2) === 0 ? FSYNC : {});
    else if (dice < 7) b.set(key, value);
    else if (dice < 8) storage.isOpen = !storage.isOpen;
    else await storage.next(below(3) === 0 ? new Error("no luck") : undefined);
    await pass(world.clock, below(20));
  }
  storage.isOpen = true;
  while (storage.waiting > 0) await storage.next();
  await pass(world.clock, 60_000);
  assertEquals(a.hash(), b.hash());
  for (const value of refused) assert(!seen.has(value), `${value} was seen`);
  for (const value of acknowledged) assert(!refused.has(value));
  await close();
  ({ state: a, close } = await start(world, "a", map<string>(options)));
  await pass(world.clock, 10_000);
  assertEquals(a.hash(), b.hash());
  assertEquals(a.counters.comparisons, 0);
  await close();
  // By itself, its storage holds the same.
  await using alone = virtualWorld();
  const { state: kept } = await start(alone, "a", map<string>(options));
  assertEquals(kept.hash(), b.hash());
}

Deno.test("a storage that fails at random keeps what it acknowledged, and nothing that was refused", async () => {
  for (let seed = 1; seed <= 100; seed++) await scenario(seed);
});

Deno.test("a watcher that writes while the storage has one group of writes and not the next loses none on its way to others", async () => {
  await using world = virtualWorld();
  const { clock } = world;
  const storage = new Slow();
  const { state: a } = await start(world, "a", map<string>({ storage }));
  const { state: b } = await start(world, "b", map<string>());
  using _index = a.watch(({ key }) => {
    if (key.startsWith("key")) a.set(`index of ${key}`, "seen");
  });
  storage.isOpen = false;
  // More than is told at once.
  const long = "x".repeat(1_000);
  const writes = [];
  for (let i = 0; i < 50; i++) writes.push(a.set(`key ${i}`, long, FSYNC));
  await pass(clock, 1);
  for (let i = 50; i < 60; i++) writes.push(a.set(`key ${i}`, long, FSYNC));
  await pass(clock, 1);
  assertEquals(storage.waiting, 1);
  await storage.next();
  await pass(clock, 1);
  assertEquals([a.size, b.size], [100, 50]);
  storage.isOpen = true;
  while (storage.waiting > 0) await storage.next();
  await passFor(clock, Promise.all(writes));
  await pass(clock, 10);
  assertEquals([a.size, b.size], [120, 120]);
  assertEquals(a.hash(), b.hash());
  assertEquals([b.counters.refused, b.counters.divergences], [0, 0]);
});
