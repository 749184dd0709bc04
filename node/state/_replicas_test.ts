import { assert, assertEquals } from "@std/assert";
import { MAX_SETTLED, Replicas } from "./_replicas.ts";

Deno.test("Replicas remembers what of a node is settled, of so many nodes", () => {
  const replicas = new Replicas();
  replicas.settle("a", { incarnation: 5, mark: 10 });
  replicas.settle("a", { incarnation: 4, mark: 20 });
  replicas.settle("a", { incarnation: 5, mark: 9 });
  // Nobody tells anew what was settled of it; what came after that counts.
  const again = replicas.intern("a@5");
  assertEquals([again.mark, again.floor], [10, 10]);
  assert(replicas.isSettled(again));
  again.mark = 11;
  assert(!replicas.isSettled(again));
  assertEquals(
    ["a@4", "a@5", "a@6"].map((id) => replicas.isPast(replicas.intern(id))),
    [true, false, false],
  );
  for (let i = 0; i < MAX_SETTLED; i++) {
    replicas.settle(`node-${i}`, { incarnation: 1, mark: 1 });
  }
  assertEquals(replicas.settled.size, MAX_SETTLED);
  assert(!replicas.settled.has("n:a"));
});
