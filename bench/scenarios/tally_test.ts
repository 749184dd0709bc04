import { assertEquals, assertGreater } from "@std/assert";
import { Tally } from "./tally.ts";

function expecting(first: number, step: number, total: number): Tally {
  const tally = new Tally();
  tally.expect({ first, step, total });
  return tally;
}

function add(tally: Tally, from: string, ...sequences: number[]): void {
  for (const sequence of sequences) tally.add(from, sequence);
}

Deno.test("Tally counts each sender's messages for itself", async () => {
  const tally = expecting(5, 1, 6);
  add(tally, "a", 5, 6);
  add(tally, "b", 5, 6, 7);
  add(tally, "a", 7);
  const { endedAt, ...counts } = await tally.arrived(6);
  assertEquals(counts, { received: 6, wrong: 0, lost: 0 });
  assertGreater(Number(endedAt), 0);
});

Deno.test("Tally takes only every nth where others get the rest", async () => {
  const tally = expecting(6, 7, 3);
  add(tally, "a", 6, 13, 20);
  const { received, wrong, lost } = await tally.arrived(3);
  assertEquals([received, wrong, lost], [3, 0, 0]);
});

Deno.test("Tally counts what was jumped over as lost", async () => {
  const tally = expecting(0, 2, 5);
  add(tally, "a", 0, 6, 8);
  const { received, wrong, lost } = await tally.arrived(5);
  assertEquals([received, wrong, lost], [3, 0, 2]);
});

Deno.test("Tally counts as wrong what comes twice, late, malformed or to another", () => {
  const tally = expecting(0, 2, 9);
  add(tally, "a", 0, 0);
  assertEquals(tally.wrong, 1, "twice");
  add(tally, "a", 4, 2);
  assertEquals(tally.wrong, 2, "late");
  add(tally, "a", -1);
  assertEquals(tally.wrong, 3, "malformed");
  add(tally, "a", 7);
  assertEquals(tally.wrong, 4, "to another");
});

Deno.test("Tally.expect() starts anew", async () => {
  const tally = expecting(0, 1, 2);
  add(tally, "a", 3, 4);
  tally.expect({ first: 0, step: 1, total: 1 });
  add(tally, "a", 0);
  const { received, wrong, lost } = await tally.arrived(1);
  assertEquals([received, wrong, lost], [1, 0, 0]);
});
