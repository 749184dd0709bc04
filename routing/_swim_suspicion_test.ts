import { assert, assertEquals } from "@std/assert";
import { SUSPECT } from "./_swim_codec.ts";
import { Suspicion } from "./_swim_suspicion.ts";

const TIMES = { interval: 1000, multiplier: 4 };

function suspicion(nodes: number): Suspicion {
  const made = new Suspicion("x", 5, 1000, nodes, TIMES);
  assert(made.accuse("a"));
  return made;
}

Deno.test("Suspicion ends sooner with each further accuser", () => {
  const made = suspicion(10);
  assertEquals(made.deadline, 25_000);
  assertEquals(made.accuse("a"), false);
  assertEquals(made.deadline, 25_000);
  assert(made.accuse("b"));
  assertEquals(Math.round(made.deadline), 12_381);
  assert(made.accuse("c"));
  assertEquals(made.deadline, 5000);
  assertEquals(made.accuse("d"), false);
});

Deno.test("Suspicion takes a verdict of others for all accusers that are missing", () => {
  const made = suspicion(10);
  made.condemned = true;
  assertEquals(made.deadline, 5000);
});

Deno.test("Suspicion waits for one that makes itself heard", () => {
  const made = suspicion(10);
  made.accuse("b");
  made.accuse("c");
  made.heard(4500);
  assertEquals(made.deadline, 8500);
  made.condemned = true;
  made.heard(4600);
  assertEquals(made.condemned, false);
});

Deno.test("Suspicion says who accuses, under the highest incarnation", () => {
  const made = suspicion(10);
  const { item } = made;
  assertEquals(made.item, item);
  assertEquals(made.raise(5), false);
  assert(made.raise(6));
  made.accuse("b");
  assertEquals(made.item.news, {
    kind: SUSPECT,
    id: "x",
    incarnation: 6,
    accusers: ["a", "b"],
  });
});

Deno.test("Suspicion believes each node one accuser, itself first", () => {
  const made = suspicion(10);
  assert(made.told("b", ["c", "d", "b"]));
  assertEquals(Math.round(made.deadline), 12_381);
  assertEquals(made.told("b", ["c", "d", "e"]), false);
  assertEquals(Math.round(made.deadline), 12_381);
  // Nothing new, and so the next word of that node may still be.
  assertEquals(made.told("c", ["a", "b"]), false);
  assert(made.told("c", ["a", "d"]));
  assertEquals(made.deadline, 5000);
  assert(made.item.news.kind === SUSPECT);
  assertEquals(made.item.news.accusers, ["a", "b", "d"]);
});
