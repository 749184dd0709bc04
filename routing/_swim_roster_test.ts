import { assert, assertEquals } from "@std/assert";
import { seededRandom } from "./_random.ts";
import { type Entry, Roster } from "./_swim_roster.ts";
import type { Peer } from "./types.ts";

function peer(id: string, incarnation = 7): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}

/** Adds one that is heard at once. */
function add(roster: Roster, told: Peer): Entry {
  const entry = roster.add(told);
  roster.hear(entry);
  return entry;
}

Deno.test("Roster.next() gives everyone once in each turn", () => {
  const roster = new Roster(seededRandom(3));
  const ids = Array.from({ length: 20 }, (_, i) => `n${i}`);
  for (const id of ids) add(roster, peer(id));
  const turns = [0, 1, 2].map(() => ids.map(() => roster.next()?.id ?? ""));
  for (const turn of turns) assertEquals([...turn].sort(), [...ids].sort());
  assert(turns[1]?.join() !== turns[2]?.join(), "the order changes");
});

Deno.test("Roster.next() gives newcomers in this turn, and nobody who is gone", () => {
  const roster = new Roster(seededRandom(3));
  for (const id of ["a", "b", "c"]) add(roster, peer(id));
  const gone = roster.get("b");
  assert(gone !== undefined);
  roster.remove(gone);
  add(roster, peer("d"));
  const turn = [roster.next(), roster.next(), roster.next()];
  assertEquals(turn.map((entry) => entry?.id).sort(), ["a", "c", "d"]);
  assertEquals([...roster.members.keys()], ["a", "c", "d"]);
});

Deno.test("Roster holds little of those who came and went", () => {
  const roster = new Roster(seededRandom(3));
  add(roster, peer("a"));
  for (let i = 0; i < 10_000; i++) roster.remove(add(roster, peer(`n${i}`)));
  let calls = 0;
  while (roster.next()?.id !== "a") calls++;
  assert(calls === 0, "those who are gone take no turn");
  assertEquals([roster.size, roster.members.size], [1, 1]);
});

Deno.test("Roster.some() offers different members, as many as are taken", () => {
  const roster = new Roster(seededRandom(3));
  assertEquals(taken(roster, 3, () => true), []);
  for (const id of ["a", "b", "c", "d", "e"]) add(roster, peer(id));
  const three = taken(roster, 3, () => true);
  assertEquals([three.length, new Set(three).size], [3, 3]);
  assertEquals(taken(roster, 9, () => true).sort(), ["a", "b", "c", "d", "e"]);
  assertEquals(taken(roster, 2, (id) => id === "d"), ["d"]);
});

function taken(
  roster: Roster,
  count: number,
  may: (id: string) => boolean,
): string[] {
  const ids: string[] = [];
  roster.some(count, ({ id }) => {
    if (!may(id)) return false;
    ids.push(id);
    return true;
  });
  return ids;
}

Deno.test("Roster.digest is that of the members, however they came", () => {
  const one = new Roster(seededRandom(1));
  const other = new Roster(seededRandom(2));
  for (const id of ["a", "b", "c"]) add(one, peer(id));
  for (const id of ["c", "x", "a"]) add(other, peer(id));
  assert(one.digest !== other.digest);
  const x = other.get("x");
  assert(x !== undefined);
  other.remove(x);
  const b = add(other, peer("b", 1));
  assert(one.digest !== other.digest);
  other.renew(b, peer("b"));
  assertEquals(one.digest, other.digest);
});

Deno.test("Roster gives those who were never heard a turn of their own", () => {
  const roster = new Roster(seededRandom(3));
  add(roster, peer("a"));
  for (const id of ["x", "y", "z"]) roster.add(peer(id), ["a", "b"]);
  assertEquals([roster.size, roster.company], [4, 1]);
  const heard = ["a", "x"].map((one) => roster.heardOf((id) => id === one));
  assertEquals(heard, [1, 0]);
  assertEquals([roster.next(), roster.next()].map((one) => one?.id), [
    "a",
    "a",
  ]);
  const turn = Array.from({ length: 4 }, () => roster.nextUnheard()?.id);
  assertEquals(turn, ["x", "y", "z", "x"]);
  assertEquals(roster.anyone()?.id, "a");
  const y = roster.get("y");
  assert(y !== undefined);
  roster.hear(y);
  assertEquals([roster.company, roster.vouched, y.isVouched], [2, 2, false]);
  assertEquals(roster.orphans("a"), []);
  assertEquals(roster.orphans("b").map(({ id }) => id).sort(), ["x", "z"]);
});
