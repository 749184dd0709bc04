/** Registers, counters, sets and presence on whole nodes. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Behaviour } from "../behaviour.ts";
import { pass, passFor } from "../_support_test.ts";
import { virtualWorld, type World } from "../_world_test.ts";
import { counter, upDownCounter } from "./counter.ts";
import { WriteError } from "./errors.ts";
import { map } from "./map.ts";
import { presence, type PresenceChange } from "./presence.ts";
import { multiRegister, register } from "./register.ts";
import { set, type SetChange } from "./set.ts";
import { memoryStorage } from "../storage/memory.ts";

/** Nodes "a", "b", … with a behaviour each. */
async function nodes<T>(
  world: World,
  count: number,
  behaviour: (i: number) => Behaviour<T>,
): Promise<T[]> {
  const all: T[] = [];
  for (let i = 0; i < count; i++) {
    const id = String.fromCharCode(97 + i);
    const { node } = world.add(id);
    all.push(node.use("state", behaviour(i)));
    await passFor(world.clock, node.listen(`memory://${id}`));
    if (i > 0) await passFor(world.clock, node.join("memory://a"));
  }
  await pass(world.clock, 1_000);
  return all;
}

Deno.test("register() holds the last value", async () => {
  await using world = virtualWorld();
  const [a, b] = await nodes(world, 2, () => register<number>());
  assert(a && b);
  const seen: unknown[] = [];
  b.watch((value) => seen.push(value));
  assertEquals(a.get(), undefined);
  await a.set(1);
  await pass(world.clock, 10);
  await b.set(2);
  await pass(world.clock, 10);
  assertEquals([a.get(), b.get(), seen], [2, 2, [1, 2]]);
});

Deno.test("multiRegister() keeps all writes that did not know of each other", async () => {
  await using world = virtualWorld();
  const [a, b, c] = await nodes(world, 3, () => multiRegister<string>());
  assert(a && b && c);
  a.set("one");
  b.set("two");
  await pass(world.clock, 10);
  for (const one of [a, b, c]) assertEquals(one.get().sort(), ["one", "two"]);
  await c.set("both");
  await pass(world.clock, 10);
  for (const one of [a, b, c]) assertEquals(one.get(), ["both"]);
});

Deno.test("counter() and upDownCounter() lose no addition", async () => {
  await using world = virtualWorld();
  const [a, b] = await nodes(world, 2, () => counter());
  assert(a && b);
  for (let i = 0; i < 10; i++) {
    a.add();
    b.add(10);
  }
  await pass(world.clock, 10);
  assertEquals([a.value, b.value], [110, 110]);
  assertThrows(() => a.add(-1), RangeError, "no integer from 0 on");
  assertThrows(() => a.add(0.5), RangeError);

  await using other = virtualWorld();
  const [c, d] = await nodes(other, 2, () => upDownCounter());
  assert(c && d);
  c.add(5);
  d.add(-7);
  await pass(other.clock, 10);
  c.add(-1);
  await pass(other.clock, 10);
  assertEquals([c.value, d.value], [-3, -3]);
});

Deno.test("counter() counts on after a restart", async () => {
  const storage = memoryStorage();
  for (const expected of [3, 6]) {
    await using world = virtualWorld();
    const [a] = await nodes(world, 1, () => counter({ storage }));
    await passFor(world.clock, a?.add(3, { level: "fsync" }) ?? fail());
    assertEquals(a?.value, expected);
  }
});

Deno.test("set() lets an addition win over a removal that did not know of it", async () => {
  await using world = virtualWorld();
  const [a, b] = await nodes(world, 2, () => set());
  assert(a && b);
  await a.add("x");
  await pass(world.clock, 10);
  const seen: SetChange[] = [];
  b.watch((change) => seen.push(change));
  a.delete("x");
  b.add("x");
  await pass(world.clock, 10);
  assert(a.has("x") && b.has("x"));
  assertEquals(seen, []);
  await a.delete("x");
  await a.delete("never there");
  await pass(world.clock, 10);
  assert(!a.has("x") && !b.has("x"));
  await b.add("y");
  assertEquals(seen, [
    { element: "x", isIn: false },
    { element: "y", isIn: true },
  ]);
  assertEquals([b.size, [...b.values()]], [1, ["y"]]);
});

Deno.test("set() and multiRegister() find their state again, and replace it", async () => {
  const storage = memoryStorage();
  {
    await using world = virtualWorld();
    const [tags] = await nodes(world, 1, () => set({ storage }));
    tags?.add("old");
    await passFor(world.clock, tags?.add("x", { level: "fsync" }) ?? fail());
  }
  await using world = virtualWorld();
  const [tags] = await nodes(world, 1, () => set({ storage }));
  assert(tags);
  tags.delete("old");
  await passFor(world.clock, tags.ready);
  await pass(world.clock, 10);
  assertEquals([...tags.values()], ["x"]);
});

Deno.test("presence() tells who is there, and forgets who is gone", async () => {
  await using world = virtualWorld();
  const [a, b] = await nodes(world, 2, (i) => presence<number>(i));
  assert(a && b);
  assertEquals(a.all(), new Map([["a", 0], ["b", 1]]));
  const seen: PresenceChange<number>[] = [];
  a.watch((change) => seen.push(change));
  await b.set(5);
  await pass(world.clock, 10);
  assertEquals([a.all().get("b"), b.own], [5, 5]);
  world.cut("b");
  await pass(world.clock, 120_000);
  assertEquals([...a.all().keys()], ["a"]);
  world.mend("b");
  await pass(world.clock, 60_000);
  assertEquals(a.all(), new Map([["a", 0], ["b", 5]]));
  assertEquals(b.all(), new Map([["a", 0], ["b", 5]]));
  const states = seen.map(({ state }) => state);
  assertEquals(states.slice(0, 2), [5, undefined]);
  assertEquals(states.at(-1), 5);
});

function fail(): never {
  throw new Error("there is no node");
}

Deno.test("what is refused is named as the program called it", async () => {
  await using world = virtualWorld();
  const { node } = world.add("a");
  const tags = node.use("tags", set());
  const cart = node.use("cart", map<unknown>());
  const title = node.use("title", register<unknown>());
  const visits = node.use("visits", counter());
  const long = "x".repeat(2_000);
  const FSYNC = { level: "fsync" } as const;
  const calls: [() => unknown, string][] = [
    [() => cart.set(long, 1), `Cannot set "${long.slice(0, 80)}": its key`],
    [() => cart.delete(long), `Cannot delete "${long.slice(0, 80)}": its key`],
    [() => cart.delete("x", FSYNC), 'Cannot delete "x" at "fsync": "cart" has'],
    [() => tags.add(long), `Cannot add "${long.slice(0, 80)}": its key`],
    [() => title.set(long.repeat(1_000)), "Cannot set the value: its value"],
    [() => visits.add(1, FSYNC), 'Cannot add to the count at "fsync"'],
    // @ts-expect-error Elements are strings.
    [() => tags.add(5), 'Cannot add "5": an element is a string, not number'],
    // @ts-expect-error Keys are strings.
    [() => cart.set(5, 1), 'Cannot set "5": a key is a string, not number'],
  ];
  for (const [call, message] of calls) assertThrows(call, Error, message);
  await cart.close();
  await assertRejects(
    () => cart.delete("x"),
    WriteError,
    'Cannot delete "x": "cart" has ended',
  );
});
