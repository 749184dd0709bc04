import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import * as fc from "fast-check";
import { Slab, SlabPool } from "./slab.ts";

Deno.test("Slab is free once all have let go of it, each time", () => {
  const freed: Slab[] = [];
  const slab = new Slab(new Uint8Array(8), (slab) => freed.push(slab));
  for (let round = 1; round <= 2; round++) {
    for (let i = 0; i < 3; i++) slab.retain();
    slab.release();
    slab.release();
    assertEquals(freed.length, round - 1);
    slab.release();
    assertEquals(freed.length, round);
    assertStrictEquals(freed.at(-1), slab);
  }
});

Deno.test("Slab.release is one function for ever, on its own", () => {
  let freed = 0;
  const slab = new Slab(new Uint8Array(8), () => freed++);
  const { release } = slab;
  assertStrictEquals(slab.release, release);
  slab.retain();
  release();
  assertEquals(freed, 1);
});

Deno.test("SlabPool.take() gives a slab again only when nobody has it, and of the size asked for", () => {
  const pool = new SlabPool();
  const first = pool.take(100);
  assertEquals(first.bytes.length, 100);
  first.retain();
  assert(pool.take(100) !== first);
  first.release();
  assert(pool.take(100) !== first, "somebody has it still");
  first.release();
  assertEquals(pool.take(99).bytes.length, 99);
  assertStrictEquals(pool.take(100), first);
  assert(pool.take(100) !== first, "it was given twice");
});

Deno.test("SlabPool never gives a slab to two, whatever is taken and let go", () => {
  const step = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ take: fc.constantFrom(10, 20, 30) }),
    },
    { weight: 12, arbitrary: fc.record({ release: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ retain: fc.nat() }) },
    { weight: 1, arbitrary: fc.constant({ clear: true }) },
  );
  let again = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 100 }), (steps) => {
      const pool = new SlabPool();
      // One entry for each who has it.
      const held: Slab[] = [];
      const seen = new Set<Slab>();
      for (const step of steps) {
        if ("take" in step) {
          const slab = pool.take(step.take);
          assertEquals(slab.bytes.length, step.take);
          assert(!held.includes(slab));
          if (seen.has(slab)) again++;
          seen.add(slab);
          held.push(slab);
        } else if ("clear" in step) pool.clear();
        else if (held.length > 0) {
          const index = ("release" in step ? step.release : step.retain) %
            held.length;
          const [slab] = held.slice(index, index + 1);
          assert(slab !== undefined);
          if ("retain" in step) {
            slab.retain();
            held.push(slab);
          } else {
            held.splice(index, 1);
            slab.release();
          }
        }
      }
    }),
    { seed: 1, numRuns: 300 },
  );
  assert(again > 100, `only ${again} were used again`);
});

Deno.test("SlabPool keeps four MiB at most", () => {
  const pool = new SlabPool();
  const slabs = Array.from({ length: 6 }, () => pool.take(1_048_576));
  for (const slab of slabs) slab.release();
  const again = Array.from({ length: 6 }, () => pool.take(1_048_576));
  assertEquals(again.filter((slab) => slabs.includes(slab)).length, 4);
  // What is taken makes room.
  for (const slab of again) slab.release();
  assert(again.slice(0, 4).includes(pool.take(1_048_576)));
});

Deno.test("SlabPool.clear() leaves all to the garbage collector, also what comes back later", () => {
  const pool = new SlabPool();
  const early = pool.take(10);
  const late = pool.take(10);
  early.release();
  pool.clear();
  late.release();
  const next = pool.take(10);
  assert(next !== early && next !== late);
  // Under load again.
  next.release();
  assertStrictEquals(pool.take(10), next);
});
