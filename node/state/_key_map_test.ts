import { assert, assertEquals } from "@std/assert";
import { createNode } from "@devts/devts";
import { KeyMap } from "./_key_map.ts";
import { map, set } from "./mod.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const KEYS = ["", "a", "0", "007", "4294967295", "\0", "\x000", "__proto__"];

Deno.test("KeyMap has each key apart, and gives it as it came", () => {
  const values = new KeyMap<number>();
  KEYS.forEach((key, i) => values.set(key, i));
  assertEquals(values.size, KEYS.length);
  assertEquals([...values.keys()], KEYS);
  assertEquals([...values], KEYS.map((key, i): [string, number] => [key, i]));
  KEYS.forEach((key, i) => assertEquals(values.get(key), i));
  for (const key of KEYS) assert(values.has(key) && values.delete(key));
  assertEquals([values.size, values.get("0"), values.has("0")], [
    0,
    undefined,
    false,
  ]);
});

Deno.test("map() and set() take keys that collide in a table of numbers in their stride", async () => {
  await using node = createNode({ cluster: "demo", logger: silent });
  const pairs = node.use("pairs", map<number>());
  const elements = node.use("elements", set());
  const keys = Array.from(
    { length: 50_000 },
    (_, i) => String(1_000_000_000 + 65_536 * i),
  );
  for (const key of keys) {
    pairs.set(key, 1);
    elements.add(key);
  }
  assertEquals([pairs.size, elements.size], [keys.length, keys.length]);
  assertEquals([...pairs.keys()].sort(), keys.toSorted());
});
