import { assertEquals, assertNotEquals } from "@std/assert";
import { DEPTH, FANOUT, Merkle } from "./_merkle.ts";

Deno.test("Merkle.digest() is equal for equal entries, whatever their order", () => {
  const [one, other] = [new Merkle(), new Merkle()];
  const entries = Array.from({ length: 100 }, (_, i) => i * 99_999_989 >>> 0);
  for (const hash of entries) {
    one.toggle(hash, { low: hash, high: ~hash >>> 0 });
  }
  for (const hash of entries.toReversed()) {
    other.toggle(hash, { low: hash, high: ~hash >>> 0 });
  }
  assertEquals(one.digest(0, 0), other.digest(0, 0));
});

Deno.test("Merkle.toggle() changes the digests on the way to its bucket alone, and undoes itself", () => {
  const tree = new Merkle();
  const before = new Merkle();
  const hash = 0x1234_5678;
  tree.toggle(hash, { low: 1, high: 2 });
  for (let level = 0; level <= DEPTH; level++) {
    const own = hash >>> (32 - 4 * level);
    for (const index of [own % FANOUT ** level, 0]) {
      const isOnWay = level === 0 || index === own;
      const assertion = isOnWay ? assertNotEquals : assertEquals;
      assertion(tree.digest(level, index), before.digest(level, index));
    }
  }
  tree.toggle(hash, { low: 1, high: 2 });
  assertEquals(tree.digest(0, 0), before.digest(0, 0));
});
