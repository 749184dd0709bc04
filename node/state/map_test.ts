import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { json } from "@devts/protocol/json";
import { pass, passFor, passUntil, START } from "../_support_test.ts";
import {
  delayed,
  incarnationsFrom,
  type Tested,
  virtualWorld,
  type World,
} from "../_world_test.ts";
import { heartbeat } from "@devts/routing/heartbeat";
import { WriteError } from "./errors.ts";
import { Replicated } from "./_replicated.ts";
import { map, type MapChange, type ReplicatedMap } from "./map.ts";
import type { NodeParts } from "../types.ts";
import type { StateOptions } from "./types.ts";

type Value = unknown;
type Nodes = { tested: Tested<object>; cart: ReplicatedMap<Value> }[];

/** Nodes named "a", "b", … that share a map. */
async function cluster(
  world: World,
  size: number,
  options: StateOptions = {},
  parts: Partial<NodeParts> = {},
): Promise<Nodes> {
  const nodes: Nodes = [];
  for (let i = 0; i < size; i++) {
    nodes.push(await add(world, String.fromCharCode(97 + i), options, parts));
  }
  await pass(world.clock, 1_000);
  return nodes;
}

async function add(
  world: World,
  id: string,
  options: StateOptions = {},
  parts: Partial<NodeParts> = {},
): Promise<Nodes[0]> {
  const tested = world.add<object>(id, parts);
  const cart = tested.node.use("cart", map<Value>(options));
  await passFor(world.clock, tested.node.listen(`memory://${id}`));
  if (id !== "a") await passFor(world.clock, tested.node.join("memory://a"));
  return { tested, cart };
}

function contents(cart: ReplicatedMap<Value>): [string, Value][] {
  return [...cart.entries()].sort(([a], [b]) => a < b ? -1 : 1);
}

function assertSame(nodes: readonly { cart: ReplicatedMap<Value> }[]): void {
  const [first, ...rest] = nodes;
  assert(first);
  for (const { cart } of rest) {
    assertEquals(contents(cart), contents(first.cart));
    assertEquals(cart.hash(), first.cart.hash());
  }
}

Deno.test("map() replicates what is set and deleted", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 3);
  const [a, b] = nodes;
  assert(a && b);
  await a.cart.set("apples", { count: 3 });
  await b.cart.set("pears", new Uint8Array([1, 2, 3]));
  assertEquals(a.cart.get("apples"), { count: 3 });
  await pass(world.clock, 10);
  assertEquals(b.cart.get("apples"), { count: 3 });
  assertEquals(a.cart.get("pears"), new Uint8Array([1, 2, 3]));
  await b.cart.delete("apples");
  await pass(world.clock, 10);
  assert(!a.cart.has("apples"));
  assertEquals(a.cart.size, 1);
  assertEquals([...a.cart.keys()], ["pears"]);
  assertSame(nodes);
});

Deno.test("map() keeps the last of two writes that do not know of each other, everywhere", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 3);
  for (const { cart, tested } of nodes) cart.set("key", tested.node.id);
  await pass(world.clock, 10);
  assertSame(nodes);
  assertEquals(nodes[0]?.cart.get("key"), "c");
});

Deno.test("map() carries values over a codec without bytes", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2, {}, { codec: json() });
  const [a] = nodes;
  for (let i = 0; i < 100; i++) a?.cart.set(`k${i}`, { text: "ü".repeat(i) });
  await pass(world.clock, 10);
  const long = "x".repeat(720_000);
  a?.cart.set("long", long);
  assertThrows(() => a?.cart.set("longer", long + long), RangeError, "at most");
  await pass(world.clock, 10);
  assertEquals(nodes[1]?.cart.get("long"), long);
  assertEquals(nodes[1]?.cart.size, 101);
  assertSame(nodes);
});

Deno.test("map() tells its watchers of changes from everywhere", async () => {
  await using world = virtualWorld();
  const [a, b] = await cluster(world, 2);
  assert(a && b);
  const seen: MapChange<Value>[] = [];
  const watch = a.cart.watch((change) => seen.push(change));
  a.cart.watch(() => {
    throw new Error("no luck");
  });
  a.cart.set("x", 1);
  await pass(world.clock, 10);
  b.cart.set("x", 2);
  await pass(world.clock, 10);
  b.cart.delete("x");
  await pass(world.clock, 10);
  watch[Symbol.dispose]();
  a.cart.set("x", 3);
  assertEquals(seen, [
    { key: "x", value: 1, isLocal: true },
    { key: "x", value: 2, isLocal: false },
    { key: "x", value: undefined, isLocal: false },
  ]);
  const faults = a.tested.told.filter(({ name }) => name === "error");
  assertEquals(faults.length, 4);
});

Deno.test("map() gives newcomers everything, and loses no write meanwhile", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 3);
  const [a, b] = nodes;
  assert(a && b);
  for (let i = 0; i < 5_000; i++) a.cart.set(`key ${i}`, "x".repeat(200));
  for (let i = 0; i < 500; i++) b.cart.delete(`key ${i}`);
  await pass(world.clock, 100);
  const tested = world.add<object>("d");
  const newcomer = { tested, cart: tested.node.use("cart", map<Value>()) };
  nodes.push(newcomer);
  await passFor(world.clock, tested.node.listen("memory://d"));
  const joined = tested.node.join("memory://a");
  for (let count = 1; count <= 200; count++) {
    a.cart.set(`live ${count}`, count);
    await pass(world.clock, 1);
  }
  await passFor(world.clock, joined);
  await passFor(world.clock, newcomer.cart.sync());
  await pass(world.clock, 5_000);
  assertEquals(newcomer.cart.size, 4_700);
  assertSame(nodes);
});

Deno.test("map() goes on with a transfer at another node where one is gone in the middle", async () => {
  await using world = virtualWorld();
  const { clock } = world;
  const nodes = await cluster(world, 3);
  const [a] = nodes;
  assert(a);
  for (let i = 0; i < 20_000; i++) {
    a.cart.set(`key ${i}`, "x".repeat(400));
    if (i % 2_000 === 0) await pass(clock, 10);
  }
  await pass(clock, 5_000);
  const whole = await add(world, "whole");
  await passUntil(clock, () => whole.cart.size === 20_000);
  // What it asks takes 5 ms to arrive.
  const transport = delayed(world.network, clock, () => 5);
  const { node } = world.add<object>("d", { transport });
  const newcomer = { cart: node.use("cart", map<Value>()) };
  await passFor(clock, node.listen("memory://d"));
  const joined = node.join("memory://a");
  await passUntil(clock, () => newcomer.cart.size > 0);
  assert(newcomer.cart.size < 10_000);
  // Of four sources, two are gone at once, with what they had on its way.
  world.cut("a");
  world.cut("b");
  await passUntil(clock, () => newcomer.cart.size === 20_000);
  await passFor(clock, joined);
  await passFor(clock, newcomer.cart.sync());
  const once = whole.cart.counters.pageBytes;
  const { pageBytes, divergences } = newcomer.cart.counters;
  assert(pageBytes <= 1.1 * once, `${pageBytes} bytes; once: ${once}`);
  assertEquals(divergences, 0);
  assertEquals(newcomer.cart.hash(), whole.cart.hash());
});

Deno.test("map() asks again for what was lost on its way", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2);
  const [a, b] = nodes;
  assert(a && b);
  await a.cart.set("before", 1);
  await pass(world.clock, 10);
  // A behaviour of the same name that is not there hears nothing.
  await b.cart.close();
  await a.cart.set("while", 2);
  await pass(world.clock, 10);
  b.cart = b.tested.node.use("cart", map<Value>());
  await a.cart.set("after", 3);
  await passUntil(world.clock, () => b.cart.size === 3);
  assertSame(nodes);
});

Deno.test("map() acknowledges a write that enough replicas hold", async () => {
  await using world = virtualWorld();
  const [a, b, c] = await cluster(world, 3, { replicas: 3 });
  assert(a && b && c);
  const { clock } = world;
  await passFor(clock, a.cart.set("x", 1, { level: "quorum" }));
  assert(b.cart.has("x") || c.cart.has("x"));
  await passFor(clock, a.cart.set("y", 2, { level: "all" }));
  assertEquals([b.cart.get("y"), c.cart.get("y")], [2, 2]);
  await passFor(clock, c.tested.node.close());
  await passFor(clock, a.cart.set("z", 3, { level: "quorum" }));
  assertEquals(b.cart.get("z"), 3);
  const failed = a.cart.set("z", 4, { level: "all", timeout: 300 });
  const error = await passFor(clock, assertRejects(() => failed, WriteError));
  assertEquals(error.reason, "replicas");
  assertEquals(
    error.message,
    'Cannot set "z" at "all": 2 of 3 replicas hold it after 300 ms; it is not undone, and may spread',
  );
});

Deno.test("map() counts only the replicas that are named", async () => {
  await using world = virtualWorld();
  const replicas = ["a", "b", "z"];
  const [a, b] = await cluster(world, 4, { replicas });
  assert(a && b);
  const { clock } = world;
  await passFor(clock, a.cart.set("x", 1, { level: "quorum" }));
  assertEquals(b.cart.get("x"), 1);
  const failed = a.cart.set("x", 2, { level: "all", timeout: 1_000 });
  await passFor(clock, assertRejects(() => failed, WriteError, "2 of 3"));
});

Deno.test("map() refuses what it cannot keep, and writes nothing", async () => {
  await using world = virtualWorld();
  const [a] = await cluster(world, 2);
  assert(a);
  const { cart } = a;
  const text = (value: unknown): string => value as string;
  const key = 'Cannot set "k": ';
  assertThrows(() => cart.set(text(5), 1), TypeError, "a key is a string");
  assertThrows(() => cart.set("x".repeat(1_025), 1), RangeError, "1024 bytes");
  assertThrows(() => cart.set("ä".repeat(513), 1), RangeError, "1024 bytes");
  assertThrows(() => cart.set("\ud800", 1), TypeError, "half of a surrogate");
  assertThrows(() => cart.set("k", undefined), TypeError, "use delete");
  assertThrows(() => cart.set("k", () => {}), TypeError, key);
  const large = new Uint8Array(1_048_576);
  assertThrows(() => cart.set("k", large), RangeError, "at most 983040");
  const fsync = { level: "fsync" } as const;
  assertThrows(() => cart.set("k", 1, fsync), TypeError, "has no storage");
  const quorum = { level: "quorum" } as const;
  assertThrows(() => cart.set("k", 1, quorum), TypeError, "pass `replicas`");
  const strange = { level: "soon" } as never;
  assertThrows(() => cart.set("k", 1, strange), TypeError, "the levels are");
  assertThrows(() => cart.set("k", 1, { timeout: 0 }), RangeError, "timeout");
  assertEquals(cart.size, 0);
  await cart.set("k".repeat(1_024), 1);
  await pass(world.clock, 10);
});

Deno.test("map() whose clock is an hour off takes no writes, reads and merges, and harms nobody", async () => {
  for (const off of [3_600_000, -3_600_000]) {
    await using world = virtualWorld();
    const nodes = await cluster(world, 3);
    const [a] = nodes;
    assert(a);
    const start = Date.UTC(2026, 0, 1);
    let offset = off;
    const wallClock = (): number => start + world.clock.now() + offset;
    const wrong = await add(world, "d", {}, { wallClock });
    nodes.push(wrong);
    await pass(world.clock, 10_000);
    const refused = wrong.cart.set("x", 1);
    const error = await assertRejects(() => refused, WriteError);
    assertEquals(error.reason, "clock");
    assertEquals(
      error.message,
      `Cannot set "x": this node's clock is 3600 s ${
        off > 0 ? "ahead of" : "behind"
      } the clocks of 3 of 3 other nodes; set it right`,
    );
    await a.cart.set("y", 2);
    await pass(world.clock, 5_000);
    assertEquals(wrong.cart.get("y"), 2);
    assertSame(nodes);
    offset = 0;
    await wrong.cart.set("x", 3);
    await pass(world.clock, 10);
    assertEquals(a.cart.get("x"), 3);
    assertSame(nodes);
  }
});

Deno.test("map() whose clock jumps ahead takes no writes from that moment", async () => {
  await using world = virtualWorld();
  let offset = 0;
  const wallClock = (): number =>
    Date.UTC(2026, 0, 1) + world.clock.now() + offset;
  const nodes = [await add(world, "a", {}, { wallClock })];
  nodes.push(await add(world, "b"), await add(world, "c"));
  await pass(world.clock, 10_000);
  const [a] = nodes;
  assert(a);
  await a.cart.set("x", 1);
  offset = 86_400_000;
  await assertRejects(() => a.cart.set("x", 2), WriteError, "86400 s ahead");
  await pass(world.clock, 10_000);
  assertSame(nodes);
});

Deno.test("map() refuses the writes of a clock that is a day ahead", async () => {
  await using world = virtualWorld();
  // Alone with its clock, the node cannot know.
  const ahead = (): number => Date.UTC(2026, 0, 2) + world.clock.now();
  const a = await add(world, "a", {}, { wallClock: ahead });
  await a.cart.set("x", 1);
  const nodes = [await add(world, "b"), await add(world, "c")];
  await pass(world.clock, 10_000);
  const [b, c] = nodes;
  assert(b && c);
  assert(!b.cart.has("x"));
  const [fault] = b.tested.told.flatMap((one) =>
    one.name === "error" ? [one.event] : []
  );
  assert(fault?.message.includes('refused what node "a" tells'));
  assert(fault?.message.includes("86400 s ahead"));
  await b.cart.set("y", 2);
  await pass(world.clock, 5_000);
  assertEquals([a.cart.get("y"), c.cart.get("y")], [2, 2]);
  await assertRejects(() => a.cart.set("x", 2), WriteError, "ahead");
  assertSame(nodes);
});

Deno.test("map() forgets deletions, and whoever was away for longer does not bring them back", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2);
  const [a] = nodes;
  assert(a);
  await a.cart.set("x", 1);
  await pass(world.clock, 10);
  await a.cart.delete("x");
  await pass(world.clock, 1_200_000);
  const newcomer = await add(world, "c");
  nodes.push(newcomer);
  await a.cart.set("y", 1);
  await pass(world.clock, 5_000);
  assertSame(nodes);
  assertEquals(newcomer.cart.size, 1);
});

Deno.test("map() compares hashes where lists of changes do not reach back so far", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2);
  const [a, b] = nodes;
  assert(a && b);
  for (let i = 0; i < 3_000; i++) a.cart.set(`key ${i}`, i);
  await pass(world.clock, 100);
  world.cut("b");
  await pass(world.clock, 60_000);
  for (let i = 0; i < 50; i++) a.cart.delete(`key ${i}`);
  for (let i = 50; i < 100; i++) a.cart.set(`key ${i}`, -i);
  for (let i = 100; i < 150; i++) b.cart.set(`key ${i}`, -i);
  await pass(world.clock, 1_200_000);
  world.mend("b");
  await passFor(world.clock, b.tested.node.join("memory://a"));
  await passUntil(world.clock, () => a.cart.hash() === b.cart.hash());
  assertSame(nodes);
  assertEquals(a.cart.size, 2_950);
  assertEquals([a.cart.get("key 70"), a.cart.get("key 120")], [-70, -120]);
  assert(b.cart.counters.comparisons > 0);
  assert(b.cart.counters.pages < 20);
});

Deno.test("map() used again on the same node loses no write", async () => {
  await using world = virtualWorld();
  const [a, b] = await cluster(world, 2);
  assert(a && b);
  await b.cart.set("first", 1);
  await pass(world.clock, 10);
  await b.cart.close();
  const again = b.tested.node.use("cart", map<Value>());
  await again.set("second", 2);
  await pass(world.clock, 5_000);
  assertEquals(contents(a.cart), [["first", 1], ["second", 2]]);
  assertEquals(contents(again), contents(a.cart));
});

/** A later life of a node each time. */
function life(number: number): Partial<NodeParts> {
  return { incarnations: incarnationsFrom(START + 4_096_000 * number) };
}

Deno.test("map() speaks no more of lives of nodes that are over", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2, { replicas: 2 });
  const [a, b] = nodes;
  assert(a && b);
  for (let number = 1; number <= 5; number++) {
    const { node } = world.add("c", life(number));
    const cart = node.use("cart", map<Value>());
    await passFor(world.clock, node.listen("memory://c"));
    await passFor(world.clock, node.join("memory://a"));
    await cart.set(`life ${number}`, number);
    await cart.set("shared", number);
    await pass(world.clock, 5_000);
    await passFor(world.clock, node.close());
    await pass(world.clock, 1_000);
  }
  assertEquals(a.cart.counters.replicas, 6);
  await pass(world.clock, 900_000);
  for (const { cart } of nodes) assert(cart.counters.replicas <= 3);
  await a.cart.set("after", 1);
  const newcomer = await add(world, "d");
  await pass(world.clock, 10_000);
  nodes.push(newcomer);
  assertEquals(newcomer.cart.size, 7);
  assertSame(nodes);
  for (let i = 1; i <= 5; i++) await a.cart.delete(`life ${i}`);
  await pass(world.clock, 1_000_000);
  assertEquals(newcomer.cart.get("shared"), 5);
  assertSame(nodes);
});

Deno.test("map() carries the longest values, in deltas and in transfers", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2);
  const [a] = nodes;
  assert(a);
  const long = (byte: number): Uint8Array => new Uint8Array(983_000).fill(byte);
  for (let i = 0; i < 5; i++) {
    a.cart.set(`short ${i}`, "x".repeat(30_000));
    a.cart.set(`long ${i}`, long(i));
    await pass(world.clock, 10);
  }
  nodes.push(await add(world, "c"));
  await pass(world.clock, 5_000);
  assertEquals(nodes[2]?.cart.get("long 3"), long(3));
  const hashes = nodes.map(({ cart }) => [cart.size, cart.hash()]);
  assertEquals(hashes, [hashes[0], hashes[0], hashes[0]]);
});

Deno.test("map() keeps a write at quorum that only a replica holds which is cut off, while its writer has another life", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 3, { replicas: 3 });
  const [a, b, c] = nodes;
  assert(a && b && c);
  world.cut("c");
  await passFor(world.clock, b.cart.set("x", 1, { level: "quorum" }));
  world.cut("a");
  world.mend("c");
  await passFor(world.clock, b.tested.node.close());
  const again = world.add<object>("b", life(2));
  const cart = again.node.use("cart", map<Value>({ replicas: 3 }));
  await passFor(world.clock, again.node.listen("memory://b"));
  await passFor(world.clock, again.node.join("memory://c"));
  await pass(world.clock, 900_000);
  assertEquals([c.cart.get("x"), cart.get("x")], [undefined, undefined]);
  world.mend("a");
  await pass(world.clock, 120_000);
  assertEquals([c.cart.get("x"), cart.get("x")], [1, 1]);
  assertSame([a, { cart }, c]);
});

Deno.test("map() takes what a node writes that was taken for gone", async () => {
  await using world = virtualWorld();
  // A day passes: what is not looked at here costs little.
  const membership = heartbeat({ interval: 30_000, timeout: 120_000 });
  const nodes = await cluster(world, 3, {}, { membership });
  const [a, b, c] = nodes;
  assert(a && b && c);
  await c.cart.set("before", 1);
  await c.cart.set("deleted", 1);
  await pass(world.clock, 5_000);
  world.cut("c");
  await a.cart.delete("deleted");
  await pass(world.clock, 25 * 3_600_000);
  for (const { cart } of [a, b]) assert(cart.counters.replicas <= 2);
  await c.cart.set("meanwhile", 2);
  world.mend("c");
  await pass(world.clock, 600_000);
  await c.cart.set("after", 3);
  await pass(world.clock, 5_000);
  assertEquals(contents(a.cart), [["after", 3], ["before", 1], [
    "meanwhile",
    2,
  ]]);
  assertSame(nodes);
});

Deno.test("map() finds out that a copy went wrong, says so, and repairs it", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 3);
  const [a, b] = nodes;
  assert(a && b);
  for (let i = 0; i < 300; i++) a.cart.set(`key ${i}`, i);
  await pass(world.clock, 10_000);
  assert(b.cart instanceof Replicated);
  const { entries } = b.cart.replication.store;
  const slot = entries.find("key 7");
  const replica = entries.replicas.at(entries.originAt(slot));
  assert(replica);
  const write = {
    key: "key 7",
    replica,
    seq: entries.seqAt(slot),
    // One bit of its stamp, which makes it older than it is.
    time: entries.timeAt(slot) - 4_096,
    counter: entries.counterAt(slot),
    isDelete: false,
    value: "wrong",
  };
  entries.drop(slot);
  entries.merge(write);
  // So does one that it lost altogether.
  entries.drop(entries.find("key 8"));
  assertEquals(b.cart.get("key 7"), "wrong");
  // About every 2 s each node asks another one, of two, chosen at random.
  await passUntil(world.clock, () => b.cart.get("key 7") === 7, 10_000);
  await pass(world.clock, 20_000);
  assertSame(nodes);
  assertEquals(b.cart.get("key 8"), 8);
  const found = nodes.map(({ cart }) => cart.counters.divergences);
  assert(found.some((count) => count > 0) && found.every((count) => count < 3));
  const faults = nodes.flatMap(({ tested }) =>
    tested.told.flatMap((one) =>
      one.name === "error" ? [one.event.message] : []
    )
  );
  assertEquals(faults.length, found.reduce((sum, count) => sum + count, 0));
  for (const fault of faults) {
    assert(fault.includes("though both know of the same writes"), fault);
  }
});

Deno.test("map() tells those who wait for writes of one turn together", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2, { replicas: 3 });
  const [a, b] = nodes;
  assert(a && b);
  const all = { level: "all", timeout: 2_000 } as const;
  const first = a.cart.set("x", 1, all);
  const second = a.cart.set("y", 2, all);
  const third = a.cart.set("z", 3, { level: "quorum" });
  await passFor(world.clock, third);
  const later = a.cart.delete("x", all);
  const together =
    'Cannot set "x", and 1 more, at "all": 2 of 3 replicas hold them after 2000 ms; they are not undone, and may spread';
  const alone =
    'Cannot delete "x" at "all": 2 of 3 replicas hold it after 2000 ms; it is not undone, and may spread';
  await passFor(
    world.clock,
    Promise.all([
      assertRejects(() => first, WriteError, together),
      assertRejects(() => second, WriteError, together),
      assertRejects(() => later, WriteError, alone),
    ]),
  );
  assertSame(nodes);
});

Deno.test("map() acknowledges at all once another node has taken the place of one that is gone", async () => {
  await using world = virtualWorld();
  const { clock } = world;
  const nodes = await cluster(world, 3, { replicas: 3 });
  const [a, b, c] = nodes;
  assert(a && b && c);
  await passFor(clock, c.tested.node.close());
  const all = { level: "all", timeout: 30_000 } as const;
  let isDone = false;
  const write = a.cart.set("x", 1, all).then(() => {
    isDone = true;
  });
  await pass(clock, 5_000);
  assert(!isDone);
  const d = await add(world, "d", { replicas: 3 });
  await passFor(clock, write);
  assertEquals([b.cart.get("x"), d.cart.get("x")], [1, 1]);
  // One that leaves as it is asked does not count, and holds up nobody.
  const later = a.cart.set("y", 2, { level: "quorum" });
  await Promise.all([
    passFor(clock, later),
    passFor(clock, b.tested.node.close()),
  ]);
  await pass(clock, 5_000);
  assertEquals([a.cart.get("y"), d.cart.get("y")], [2, 2]);
});

Deno.test("map() with one replica acknowledges at all levels by itself, and others hold the same", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2, { replicas: 1 });
  const [a, b] = nodes;
  assert(a && b);
  for (const level of ["quorum", "all"] as const) {
    await passFor(world.clock, a.cart.set(level, 1, { level }));
  }
  await pass(world.clock, 100);
  assertEquals(b.cart.size, 2);
  assertSame(nodes);
});

Deno.test("map() takes any text as a key, whatever objects make of it", async () => {
  await using world = virtualWorld();
  const nodes = await cluster(world, 2);
  const [a, b] = nodes;
  assert(a && b);
  const keys = ["", "__proto__", "constructor", "0", "\0", "\u{1f600}", "ü/#"];
  for (const key of keys) await a.cart.set(key, { key });
  await pass(world.clock, 100);
  for (const key of keys) assertEquals(b.cart.get(key), { key });
  assertEquals([...b.cart.keys()].sort(), [...keys].sort());
  for (const key of keys) await b.cart.delete(key);
  await pass(world.clock, 100);
  assertEquals(a.cart.size, 0);
  assertSame(nodes);
});
