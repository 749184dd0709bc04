import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SlotTable } from "./_slot_table.ts";

Deno.test("SlotTable finds what was added, and not what was removed", () => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 60 }).map((n) => `key ${n}`),
    adds: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (steps, secret) => {
        const table = new SlotTable(secret);
        const keys: (string | undefined)[] = [];
        const slots = new Map<string, number>();
        for (const { key, adds } of steps) {
          const hash = table.hash(key);
          const slot = table.find(hash, key, keys);
          assertEquals(slot, slots.get(key) ?? -1);
          if (slot < 0 && adds) {
            slots.set(key, keys.length);
            table.add(hash, keys.length);
            keys.push(key);
          } else if (slot >= 0 && !adds) {
            table.remove(hash, slot);
            slots.delete(key);
            keys[slot] = undefined;
          }
        }
        for (const [key, slot] of slots) {
          assertEquals(table.find(table.hash(key), key, keys), slot);
        }
      },
    ),
  );
});

Deno.test("SlotTable.hash() depends on the secret", () => {
  const tables = [0, 0.25, 0.5, 0.999].map((secret) => new SlotTable(secret));
  const hashes = new Set(tables.map((table) => table.hash("apples")));
  assertEquals(hashes.size, tables.length);
  // Keys that collide under one secret do not under another.
  const [one, other] = tables;
  assert(one && other);
  const seen = new Map<number, string>();
  let collided = 0;
  let again = 0;
  for (let i = 0; i < 10_000; i++) {
    const key = `key ${i}`;
    const place = one.hash(key) & 0xffff;
    const before = seen.get(place);
    seen.set(place, key);
    if (before === undefined) continue;
    collided++;
    if ((other.hash(before) & 0xffff) === (other.hash(key) & 0xffff)) again++;
  }
  assert(collided > 300 && again < 20, `${again} of ${collided}`);
});
