import { assert, assertEquals, assertThrows } from "@std/assert";
import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { seededRandom } from "./_random.ts";
import {
  ALIVE,
  aliveItem,
  DEAD,
  Item,
  LEFT,
  type News,
  type NewsFilter,
  readNews,
  SUSPECT,
} from "./_swim_codec.ts";
import { Gossip } from "./_swim_gossip.ts";
import { Graves } from "./_swim_graves.ts";
import { Health } from "./_swim_health.ts";
import { Roster } from "./_swim_roster.ts";
import { Suspicion } from "./_swim_suspicion.ts";
import { VirtualClock } from "./_virtual_clock.ts";
import type { Peer } from "./types.ts";

const EVERYTHING: NewsFilter = { wants: () => true };
const TIMES = { interval: 1000, multiplier: 4 };
const may = () => true;

function peer(id: string, incarnation = 7): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}

function bytesOf(...items: readonly Item[]): Uint8Array {
  const writer = new Writer();
  for (const item of items) writer.raw(item.bytesFor("x", may));
  return writer.take();
}

function parse(bytes: Uint8Array, filter = EVERYTHING): readonly News[] {
  return readNews(new Reader(bytes), "x", filter);
}

// -- News on the wire --

Deno.test("readNews() reads what an Item writes", () => {
  const whole: Peer = {
    ...peer("a", Number.MAX_SAFE_INTEGER),
    meta: new Uint8Array(512).fill(9),
  };
  const all: News[] = [
    { kind: ALIVE, id: "a", incarnation: whole.incarnation, peer: whole },
    { kind: SUSPECT, id: "b", incarnation: 0, accusers: ["c", "d"] },
    { kind: DEAD, id: "c", incarnation: 3 },
    { kind: LEFT, id: "d".repeat(64), incarnation: 4 },
  ];
  assertEquals(parse(bytesOf(...all.map((news) => new Item(news)))), all);
  assertEquals(parse(new Uint8Array()), []);
});

Deno.test("readNews() passes over records that nobody wants", () => {
  const bytes = bytesOf(
    aliveItem(peer("a")),
    aliveItem({ ...peer("b"), meta: new Uint8Array(100) }),
    aliveItem(peer("c")),
  );
  const read = parse(bytes, { wants: (_from, id) => id !== "b" });
  assertEquals(read.map(({ id }) => id), ["a", "c"]);
});

Deno.test("readNews() throws at every cut, and at every impossible field", () => {
  const bytes = bytesOf(
    aliveItem(peer("a")),
    new Item({ kind: SUSPECT, id: "b", incarnation: 1, accusers: ["c"] }),
  );
  const first = aliveItem(peer("a")).bytesFor("x", may).length;
  for (const filter of [EVERYTHING, { wants: () => false }]) {
    for (let end = 1; end < bytes.length; end++) {
      if (end === first) continue;
      assertThrows(() => parse(bytes.subarray(0, end), filter), MalformedError);
    }
  }
  const bad = [
    new Writer().u8(9).string("a").u53(1),
    new Writer().u8(DEAD).string("").u53(1),
    new Writer().u8(DEAD).string("a b").u53(1),
    new Writer().u8(DEAD).string("a".repeat(65)).u53(1),
    new Writer().u8(DEAD).string("a").u32(2 ** 31).u32(0),
    new Writer().u8(SUSPECT).string("a").u53(1).u8(0),
    new Writer().u8(SUSPECT).string("a").u53(1).u8(9),
    new Writer().u8(ALIVE).string("a").u53(1).u8(9),
    new Writer().u8(ALIVE).string("a").u53(1).u8(0).u16(513),
  ];
  for (const writer of bad) {
    assertThrows(() => parse(writer.take()), MalformedError);
  }
});

Deno.test("Item keeps back addresses that a node may not know", () => {
  const item = aliveItem({ ...peer("a"), addresses: ["one", "two"] });
  const told = (to: string) => {
    const bytes = item.bytesFor(
      to,
      (id, address) => id === "x" || address === "two",
    );
    const [news] = parse(bytes);
    return news?.kind === ALIVE ? news.peer.addresses : [];
  };
  assertEquals([told("x"), told("y"), told("x")], [["one", "two"], ["two"], [
    "one",
    "two",
  ]]);
});

// -- Gossip --

function dead(id: string, incarnation = 1): Item {
  return new Item({ kind: DEAD, id, incarnation });
}

/** Whose news the next message carries. */
function told(gossip: Gossip, limit = 2): string[] {
  const writer = new Writer();
  gossip.write(writer, "x", may);
  gossip.sent(limit);
  return parse(writer.take()).map(({ id, incarnation }) => id + incarnation);
}

Deno.test("Gossip tells each piece of news so many times", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a1"],
    ["a1"],
    [],
  ]);
  assertEquals(gossip.size, 0);
});

Deno.test("Gossip tells later news of a node instead of earlier", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  assertEquals(told(gossip), ["a1"]);
  gossip.add(dead("a", 2));
  assertEquals(gossip.size, 1);
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a2"],
    ["a2"],
    [],
  ]);
});

Deno.test("Gossip does not count what was not sent", () => {
  const gossip = new Gossip(100, () => {});
  gossip.add(dead("a"));
  for (let i = 0; i < 10; i++) gossip.write(new Writer(), "x", may);
  assertEquals([told(gossip), told(gossip), told(gossip)], [
    ["a1"],
    ["a1"],
    [],
  ]);
});

Deno.test("Gossip tells first what it told least, in messages of 1,400 bytes", () => {
  const gossip = new Gossip(1000, () => {});
  const ids = Array.from({ length: 100 }, (_, i) => `${i}`.padStart(50, "n"));
  for (const id of ids) gossip.add(dead(id));
  const writer = new Writer();
  gossip.write(writer, "x", may);
  assert(writer.length > 1300 && writer.length <= 1400, `${writer.length}`);
  const heard: string[] = [];
  while (heard.length < 100) heard.push(...told(gossip, 9));
  assertEquals(new Set(heard.slice(0, 100)).size, 100);
  gossip.add(dead("fresh"));
  assertEquals(told(gossip, 9)[0], "fresh1");
});

Deno.test("Gossip tells a piece of news that is too long for the rest alone", () => {
  const gossip = new Gossip(10, () => {});
  const addresses = Array.from({ length: 8 }, () => "x".repeat(256));
  for (const id of ["a", "b"]) {
    gossip.add(aliveItem({ ...peer(id), addresses }));
  }
  assertEquals([told(gossip, 1), told(gossip, 1), told(gossip, 1)], [
    ["a7"],
    ["b7"],
    [],
  ]);
});

Deno.test("Gossip is bounded", () => {
  const gossip = new Gossip(3, () => {});
  const kept = ["a", "b", "c", "d"].map((id) => gossip.add(dead(id)));
  assertEquals(kept, [true, true, true, false]);
  assertEquals(told(gossip), ["b1", "c1", "d1"]);
  assertEquals(gossip.add(dead("e")), false);
  assertEquals(told(gossip), ["e1", "c1", "d1"]);
});

// -- Suspicion --

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
  made.condemned = true;
  made.heard(4500);
  assertEquals(made.deadline, 8500);
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

// -- Health --

Deno.test("Health stays between 0 and 7", () => {
  const health = new Health(new VirtualClock(), 250);
  health.note(-1);
  assertEquals(health.score, 0);
  for (let i = 0; i < 9; i++) health.note(1);
  assertEquals(health.score, 7);
  health.note(-2);
  assertEquals(health.score, 5);
});

Deno.test("Health counts no time that the node did not notice, and once only", () => {
  const clock = new VirtualClock();
  const health = new Health(clock, 250);
  clock.tick(1000);
  assertEquals(health.isLate(800), false);
  assertEquals([health.now, health.score], [1000, 0]);
  clock.tick(10_000);
  // Two timers were due meanwhile.
  assertEquals([health.isLate(2000), health.isLate(4000)], [true, true]);
  assertEquals([health.now, health.score], [2000, 1]);
  clock.tick(100);
  assertEquals(health.isLate(11_050), false);
  assertEquals([health.now, health.score], [2100, 1]);
});

// -- Roster --

Deno.test("Roster.next() gives everyone once in each turn", () => {
  const roster = new Roster(seededRandom(3));
  const ids = Array.from({ length: 20 }, (_, i) => `n${i}`);
  for (const id of ids) roster.add(peer(id));
  const turns = [0, 1, 2].map(() => ids.map(() => roster.next()?.id ?? ""));
  for (const turn of turns) assertEquals([...turn].sort(), [...ids].sort());
  assert(turns[1]?.join() !== turns[2]?.join(), "the order changes");
});

Deno.test("Roster.next() gives newcomers in this turn, and nobody who is gone", () => {
  const roster = new Roster(seededRandom(3));
  for (const id of ["a", "b", "c"]) roster.add(peer(id));
  const gone = roster.get("b");
  assert(gone !== undefined);
  roster.remove(gone);
  roster.add(peer("d"));
  const turn = [roster.next(), roster.next(), roster.next()];
  assertEquals(turn.map((entry) => entry?.id).sort(), ["a", "c", "d"]);
  assertEquals([...roster.members.keys()], ["a", "c", "d"]);
});

Deno.test("Roster holds little of those who came and went", () => {
  const roster = new Roster(seededRandom(3));
  roster.add(peer("a"));
  for (let i = 0; i < 10_000; i++) roster.remove(roster.add(peer(`n${i}`)));
  let calls = 0;
  while (roster.next()?.id !== "a") calls++;
  assert(calls === 0, "those who are gone take no turn");
  assertEquals([roster.size, roster.members.size], [1, 1]);
});

Deno.test("Roster.some() offers different members, as many as are taken", () => {
  const roster = new Roster(seededRandom(3));
  assertEquals(taken(roster, 3, () => true), []);
  for (const id of ["a", "b", "c", "d", "e"]) roster.add(peer(id));
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
  for (const id of ["a", "b", "c"]) one.add(peer(id));
  for (const id of ["c", "x", "a"]) other.add(peer(id));
  assert(one.digest !== other.digest);
  const x = other.get("x");
  assert(x !== undefined);
  other.remove(x);
  const b = other.add(peer("b", 1));
  assert(one.digest !== other.digest);
  other.renew(b, peer("b"));
  assertEquals(one.digest, other.digest);
});

// -- Graves --

Deno.test("Graves looks for those who failed, less and less often", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "failed", true, 0);
  const times: number[] = [];
  for (let now = 0; now < 600_000; now += 1000) {
    if (graves.due(now, 2) !== null) times.push(now);
  }
  const pauses = times.map((time, at) => time - (times[at - 1] ?? 0));
  assertEquals(pauses.slice(0, 6), [3000, 5000, 5000, 5000, 5000, 6000]);
  assert(pauses.every((pause) => pause <= 60_000));
  assertEquals(pauses.at(-1), 60_000);
});

Deno.test("Graves looks for one at a time, in turn, and less often among many", () => {
  const graves = new Graves(() => 0.5, 10);
  for (const id of ["a", "b", "c"]) graves.bury(peer(id), "failed", true, 0);
  const looked = [5000, 5000, 5000, 5000].map((now) =>
    graves.due(now, 2)?.peer.id
  );
  assertEquals(looked, ["a", "b", "c", undefined]);
  graves.bury(peer("d"), "failed", true, 0);
  assertEquals(graves.due(5000, 160)?.peer.id, "d");
  assertEquals(graves.due(54_000, 160)?.peer.id !== "d", true);
});

Deno.test("Graves looks for nobody who left, nor by addresses that are hearsay", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "left", true, 0);
  graves.bury(peer("b"), "failed", false, 0);
  assertEquals(graves.due(60_000, 2), null);
});

Deno.test("Graves forgets those who left after ten minutes, who failed after a day", () => {
  const graves = new Graves(() => 0.5, 10);
  graves.bury(peer("a"), "left", true, 0);
  graves.bury(peer("b"), "failed", true, 0);
  graves.due(601_000, 2);
  assertEquals([graves.get("a"), graves.get("b")?.peer.id], [undefined, "b"]);
  graves.due(86_401_000, 2);
  assertEquals(graves.get("b"), undefined);
});

Deno.test("Graves is bounded", () => {
  const graves = new Graves(() => 0.5, 2);
  const kept = ["a", "b", "c"].map((id) =>
    graves.bury(peer(id), "failed", true, 0)
  );
  assertEquals(kept, [true, true, false]);
  assertEquals(graves.get("a"), undefined);
});
