import { assert, assertEquals } from "@std/assert";
import { Entries } from "./_entries.ts";
import { lacking } from "./_lacking.ts";
import { bucketOf, BUCKETS, firstOf } from "./_merkle.ts";

/** Entries with so many keys, and their buckets in order. */
function filled(count: number): { entries: Entries; held: number[] } {
  const entries = new Entries(0.5);
  const replica = entries.replicas.intern("a@1");
  const held = new Set<number>();
  for (let seq = 1; seq <= count; seq++) {
    const key = `key ${seq}`;
    const write = { key, replica, seq, time: seq, counter: 0 };
    entries.merge({ ...write, isDelete: seq % 2 === 0, value: 1 });
    held.add(bucketOf(entries.hashAt(entries.find(key))));
  }
  return { entries, held: [...held].sort((a, b) => a - b) };
}

const ALL = Array.from({ length: BUCKETS }, (_, bucket) => bucket);

Deno.test("lacking() is everything in one range where nothing is held", () => {
  const { held, ranges } = lacking(filled(0).entries, ALL);
  assertEquals(held, []);
  assertEquals(ranges, [{ from: { hash: 0, after: null }, to: 2 ** 32 }]);
  assertEquals(lacking(filled(0).entries, []).ranges, []);
});

Deno.test("lacking() joins what differs over what is empty here, not over what is held", () => {
  const { entries, held } = filled(2);
  const [one = 0, two = 0] = held;
  assert(one > 10 && two > one + 10 && two < BUCKETS - 10);
  const buckets = [3, one - 1, one, one + 1, two - 1, two + 2];
  const range = (first: number, last: number) => ({
    from: { hash: firstOf(first), after: null },
    to: firstOf(last + 1),
  });
  const { held: found, ranges } = lacking(entries, buckets);
  assertEquals(found, [one]);
  const expected = [
    range(3, one - 1),
    range(one + 1, two - 1),
    range(two + 2, two + 2),
  ].sort((a, b) => b.to - b.from.hash - (a.to - a.from.hash));
  assertEquals(ranges, expected);
});

Deno.test("lacking() leaves out no bucket that differs, and asks for few ranges", () => {
  const { entries, held } = filled(5_000);
  const lacked = lacking(entries, ALL);
  assertEquals(lacked.held, held);
  assert(lacked.ranges.length <= 256, `${lacked.ranges.length}`);
  const isHeld = new Set(held);
  for (const bucket of ALL) {
    const hash = firstOf(bucket);
    const isAsked = lacked.ranges.some(({ from, to }) =>
      hash >= from.hash && hash < to
    );
    assert(isAsked || isHeld.has(bucket), `${bucket}`);
  }
});
