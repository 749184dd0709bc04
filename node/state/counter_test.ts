/** Counters whose nodes come, go and come back. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { heartbeat } from "@devts/routing/heartbeat";
import { pass, passFor, START } from "../_support_test.ts";
import {
  incarnationsFrom,
  type Tested,
  virtualWorld,
  type World,
} from "../_world_test.ts";
import { memoryStorage } from "../storage/memory.ts";
import { Replicated } from "./_replicated.ts";
import { counter, type ReplicatedCounter, upDownCounter } from "./counter.ts";
import type { StateOptions } from "./types.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

interface Counting {
  readonly tested: Tested<object>;
  readonly visits: ReplicatedCounter;
}

let lives = 0;

/** A node, in another life each time. */
async function start(
  world: World,
  id: string,
  options: StateOptions = {},
): Promise<Counting> {
  const tested = world.add<object>(id, {
    // Days pass: what is not looked at here costs little.
    membership: heartbeat({ interval: 30_000, timeout: 120_000 }),
    incarnations: incarnationsFrom(START + 4_096_000 * ++lives),
  });
  const visits = tested.node.use("visits", upDownCounter(options));
  await passFor(world.clock, tested.node.listen(`memory://${id}`));
  if (id !== "a") await passFor(world.clock, tested.node.join("memory://a"));
  await pass(world.clock, 5_000);
  return { tested, visits };
}

async function end(world: World, { tested }: Counting): Promise<void> {
  // Whoever holds what it counted has it from here on.
  await pass(world.clock, 5_000);
  await passFor(world.clock, tested.node.close());
}

/** How many entries there are. */
function entries(visits: ReplicatedCounter): number {
  assert(visits instanceof Replicated);
  return visits.replication.store.entries.live.size;
}

function assertSame(all: readonly ReplicatedCounter[], value: number): void {
  for (const visits of all) {
    assertEquals(visits.value, value);
    assertEquals(visits.hash(), all[0]?.hash());
  }
}

Deno.test("counter() has one entry for all lives of a node", async () => {
  await using world = virtualWorld();
  const options = { replicas: 2 };
  const a = await start(world, "a", options);
  const told: number[] = [];
  a.visits.watch((value) => told.push(value));
  let b = await start(world, "b", options);
  for (let life = 0; life < 5; life++) {
    await b.visits.add(3);
    await b.visits.add(-1);
    await end(world, b);
    b = await start(world, "b", options);
  }
  await a.visits.add(5);
  await pass(world.clock, 10_000);
  assertEquals(entries(a.visits), 6);
  await pass(world.clock, 20 * MINUTE);
  assertSame([a.visits, b.visits], 15);
  assertEquals([entries(a.visits), entries(b.visits)], [2, 2]);
  assertEquals(a.visits.counters.replicas, 2);
  assertEquals(told, [3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 15]);
  await b.visits.add(1);
  await pass(world.clock, 5_000);
  const c = await start(world, "c");
  assertSame([a.visits, b.visits, c.visits], 16);
});

Deno.test("counter() keeps what lives counted until no replica can come back with more", async () => {
  await using world = virtualWorld();
  const options = { replicas: 3 };
  const a = await start(world, "a", options);
  const b = await start(world, "b", options);
  let c = await start(world, "c", options);
  await c.visits.add(1);
  await pass(world.clock, 5_000);
  world.cut("b");
  await c.visits.add(2);
  await pass(world.clock, 5_000);
  world.cut("a");
  world.mend("b");
  await passFor(world.clock, c.tested.node.close());
  // The new life of c and b know of 1, a alone of 3.
  c = await start(world, "c", options);
  await passFor(world.clock, c.tested.node.join("memory://b"));
  await pass(world.clock, 30 * MINUTE);
  assertSame([b.visits, c.visits], 1);
  world.mend("a");
  await pass(world.clock, 5 * MINUTE);
  assertSame([a.visits, b.visits, c.visits], 3);
  await pass(world.clock, 20 * MINUTE);
  assertSame([a.visits, b.visits, c.visits], 3);
  assertEquals(entries(a.visits), 1);
});

Deno.test("counter() keeps a ledger of nodes that are gone, and goes on where one comes back", async () => {
  await using world = virtualWorld();
  const a = await start(world, "a");
  const b = await start(world, "b");
  const gone = [];
  for (const id of ["c", "d", "e"]) {
    const one = await start(world, id);
    await one.visits.add(10);
    gone.push(one);
  }
  const [c, d, e] = gone;
  assert(c && d && e);
  await end(world, d);
  await end(world, e);
  world.cut("c");
  await pass(world.clock, DAY + 20 * MINUTE);
  assertSame([a.visits, b.visits], 30);
  assertEquals([entries(a.visits), entries(b.visits)], [1, 1]);
  assertEquals(a.visits.counters.replicas, 2);
  // One has counted on, and does so when it is back; one returns in a new life.
  await c.visits.add(1);
  world.mend("c");
  await pass(world.clock, 10 * MINUTE);
  await c.visits.add(2);
  const again = await start(world, "e");
  await again.visits.add(3);
  await pass(world.clock, 5 * MINUTE);
  assertSame([a, b, c, again].map(({ visits }) => visits), 36);
  // What the first node does falls to another one when it is gone for good.
  await passFor(world.clock, a.tested.node.close());
  await passFor(world.clock, c.tested.node.close());
  await pass(world.clock, DAY + 20 * MINUTE);
  assertSame([b, again].map(({ visits }) => visits), 36);
});

Deno.test("counter() is exact where both sides of a cut take each other for gone", async () => {
  await using world = virtualWorld();
  const a = await start(world, "a");
  const b = await start(world, "b");
  const c = await start(world, "c");
  await c.visits.add(100);
  await a.visits.add(1);
  await b.visits.add(10);
  await end(world, c);
  world.cut("b");
  await a.visits.add(1);
  await b.visits.add(10);
  await pass(world.clock, DAY + 20 * MINUTE);
  assertEquals([a.visits.value, b.visits.value], [112, 121]);
  await a.visits.add(1);
  await b.visits.add(10);
  world.mend("b");
  await pass(world.clock, 10 * MINUTE);
  assertSame([a.visits, b.visits], 133);
  await a.visits.add(1);
  await pass(world.clock, DAY + 20 * MINUTE);
  assertSame([a.visits, b.visits], 134);
});

Deno.test("counter() takes over its former lives from its storage", async () => {
  const storage = memoryStorage();
  await using world = virtualWorld();
  const options = { storage, replicas: 1, level: "fsync" } as const;
  for (let life = 1; life <= 4; life++) {
    const a = await start(world, "a", options);
    await passFor(world.clock, a.visits.add(1));
    await pass(world.clock, 20 * MINUTE);
    assertEquals([a.visits.value, entries(a.visits)], [life, 1]);
    await passFor(world.clock, a.tested.node.close());
  }
});

Deno.test("counter() counts entries that make no sense for nothing", async () => {
  await using world = virtualWorld();
  const { node } = world.add("a");
  const visits = node.use("visits", counter());
  assert(visits instanceof Replicated);
  await visits.add(2);
  const nonsense: [string, unknown][] = [
    ["no life", [5, 0]],
    ["x@1", [-1, "2"]],
    ["x@2", { departed: ["x@1", 1] }],
    ["x@3", { departed: [null, 1, 1, 1, "y@1", 3, 0, 99] }],
    ["x@4", null],
  ];
  for (const [key, value] of nonsense) {
    visits.replication.change(key, value, false);
  }
  assertEquals(visits.value, 5);
});

Deno.test("counter() adds no more than it can count, and keeps what it has", async () => {
  await using world = virtualWorld();
  const { node } = world.add("a");
  const visits = node.use("visits", counter());
  const balance = node.use("balance", upDownCounter());
  await visits.add(Number.MAX_SAFE_INTEGER - 1);
  await visits.add(1);
  assertThrows(() => visits.add(1), RangeError, "more than 2^53 - 1");
  assertEquals(visits.value, Number.MAX_SAFE_INTEGER);
  await balance.add(-Number.MAX_SAFE_INTEGER);
  assertThrows(() => balance.add(-1), RangeError, "more than 2^53 - 1");
  await balance.add(5);
  assertEquals(balance.value, 5 - Number.MAX_SAFE_INTEGER);
});
