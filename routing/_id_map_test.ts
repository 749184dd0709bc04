import { assert, assertEquals } from "@std/assert";
import { IdMap } from "./_id_map.ts";

Deno.test("IdMap does what a Map does", () => {
  const map = new IdMap<number>();
  const long = "1".repeat(32);
  const entries: [string, number][] = [
    ["ada", 1],
    ["123", 2],
    ["1x2", 3],
    ["x1", 4],
    [long, 5],
  ];
  for (const [id, value] of entries) map.set(id, value);
  assertEquals(map.size, 5);
  assertEquals([...map], entries);
  assertEquals([...map.entries()], entries);
  assertEquals([...map.keys()], ["ada", "123", "1x2", "x1", long]);
  assertEquals([...map.values()], [1, 2, 3, 4, 5]);
  const seen: [string, number][] = [];
  map.forEach((value, id) => seen.push([id, value]));
  assertEquals(seen, entries);
  assertEquals(map.get("123"), 2);
  assert(map.has("1x2") && !map.has("12"));
  assert(map.delete("123") && !map.delete("123"));
  map.clear();
  assertEquals(map.size, 0);
});
