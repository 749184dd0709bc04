/** Watchers that write, throw, go and come while they are told of a change. */
import { assert, assertEquals } from "@std/assert";
import { pass } from "../_support_test.ts";
import { type Tested, virtualWorld, type World } from "../_world_test.ts";
import { map, type ReplicatedMap } from "./map.ts";
import { register } from "./register.ts";
import { set } from "./set.ts";

function cart(
  world: World,
): { tested: Tested<object>; kv: ReplicatedMap<number> } {
  const tested = world.add<object>("a");
  return { tested, kv: tested.node.use("cart", map<number>()) };
}

Deno.test("map().watch() tells all watchers of all changes in the same order, where one of them writes", async () => {
  await using world = virtualWorld();
  const { kv } = cart(world);
  const mirror = new Map<string, number | undefined>();
  const seen: unknown[] = [];
  using _writer = kv.watch(({ key, value = 0 }) => {
    if (key === "x" && value < 4) kv.set("x", value + 1);
  });
  using _mirror = kv.watch(({ key, value }) => {
    mirror.set(key, value);
    seen.push([key, value]);
  });
  kv.set("x", 1);
  kv.set("y", 9);
  await pass(world.clock, 10);
  assertEquals(seen, [["x", 1], ["x", 2], ["y", 9], ["x", 3], ["x", 4]]);
  assertEquals(mirror, new Map(kv.entries()));
});

Deno.test("map().watch() does not hold up a node whose watcher always writes", async () => {
  await using world = virtualWorld();
  const { kv } = cart(world);
  let told = 0;
  const watch = kv.watch(({ value = 0 }) => {
    if (++told === 50_000) watch[Symbol.dispose]();
    else kv.set("x", value + 1);
  });
  kv.set("x", 1);
  // The rest follows in later turns.
  assertEquals(told, 1);
  await pass(world.clock, 0);
  assertEquals([told, kv.get("x")], [50_000, 50_000]);
});

Deno.test("map().watch() tells one that goes of nothing more, and one that comes of nothing before", async () => {
  await using world = virtualWorld();
  const { tested, kv } = cart(world);
  const seen: string[] = [];
  const log = (name: string) => ({ value }: { value: number | undefined }) =>
    void seen.push(`${name} ${value}`);
  const second = {
    watch: null as Disposable | null,
  };
  let first = kv.watch(function again({ value }): void {
    seen.push(`first ${value}`);
    second.watch?.[Symbol.dispose]();
    // Once for each change, though it begins anew each time.
    first[Symbol.dispose]();
    first = kv.watch(again);
    if (value === 1) kv.watch(log("late"));
  });
  second.watch = kv.watch(log("second"));
  kv.watch(() => {
    throw new Error("no luck");
  });
  kv.watch(log("third"));
  kv.set("x", 1);
  kv.set("x", 2);
  await pass(world.clock, 10);
  assertEquals(seen, ["first 1", "third 1", "third 2", "first 2", "late 2"]);
  const faults = tested.told.filter(({ name }) => name === "error");
  assertEquals(faults.length, 2);
});

Deno.test("watch() of a set and of a register end with what is there, where a watcher writes", async () => {
  await using world = virtualWorld();
  const { node } = world.add("a");
  const tags = node.use("tags", set());
  const value = node.use("value", register<number>());
  const seen = new Set<string>();
  const values: (number | undefined)[] = [];
  tags.watch(({ element, isIn }) => {
    if (element === "a" && isIn) tags.delete("a").then(() => tags.add("b"));
  });
  tags.watch(({ element, isIn }) => {
    if (isIn) seen.add(element);
    else seen.delete(element);
  });
  value.watch((one = 0) => void (one < 3 && value.set(one + 1)));
  value.watch((one) => void values.push(one));
  tags.add("a");
  value.set(1);
  await pass(world.clock, 10);
  assertEquals(seen, new Set(["b"]));
  assertEquals([...tags.values()], ["b"]);
  assertEquals(values, [1, 2, 3]);
  assert(value.get() === 3);
});
