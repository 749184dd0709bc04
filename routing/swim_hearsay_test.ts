import { assert, assertEquals } from "@std/assert";
import {
  alive,
  Bench,
  cluster,
  dead,
  INCARNATION,
  left,
  peer,
  start,
  suspect,
  WANTED,
} from "./_swim_bench_test.ts";
import { Item, NEWS, type News, PAGE, PING } from "./_swim_codec.ts";
import { nextEpoch, nextIncarnation } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import { swim } from "./swim.ts";
import type { VirtualNetwork } from "./testing.ts";
import type { NodeId, Peer } from "./types.ts";

/** Nodes that there are not. */
function madeUp(count: number, round = 0): Peer[] {
  return Array.from({ length: count }, (_, i) => peer(`x${round}-${i}`));
}

/** A member tells of nodes to which there is no way. */
function tell(bench: Bench, by: NodeId, peers: readonly Peer[]): void {
  for (const { id } of peers) bench.unreachable.add(id);
  bench.news(by, ...peers.map(alive));
}

// -- What is confirmed --

Deno.test("swim() makes no member of whom another tells until there is a way to it", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  tell(bench, "a", [peer("x")]);
  bench.pass(30_000, "a", "b", "c");
  assertEquals([bench.take(), bench.candidates], [[], ["x"]]);
  bench.unreachable.delete("x");
  bench.pass(200, "a", "b", "c");
  assertEquals([bench.take(), bench.candidates], [["join x"], []]);
});

Deno.test("swim() tells others of nobody that is not confirmed", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  tell(bench, "a", [peer("x")]);
  tell(bench, "b", [peer("x")]);
  for (const id of ["a", "b", "c", "d"]) bench.page(id, [], 0, WANTED);
  bench.pass(40_000, "a", "b", "c", "d");
  const told = bench.sent().flatMap(({ news }) => news.map(({ id }) => id));
  assert(!told.includes("x"));
  bench.linked(peer("x"));
  bench.pass(200, "a", "b", "c", "d");
  assert(bench.sent().some(({ news }) => news.some(({ id }) => id === "x")));
});

Deno.test("swim() dials whom it is told of, where only a link makes a way", () => {
  const bench = new Bench({}, true);
  bench.settle("a");
  tell(bench, "a", [peer("x")]);
  bench.pass(20, "a");
  assertEquals(bench.met, [peer("x")]);
  assertEquals(bench.take(), []);
  bench.linked(peer("x"));
  assertEquals([bench.take(), bench.candidates], [["join x"], []]);
});

Deno.test("swim() lets the node with the smaller id dial first", () => {
  const bench = new Bench({}, true);
  bench.settle("z");
  tell(bench, "z", [peer("b")]);
  bench.pass(490, "z");
  assertEquals(bench.met, []);
  bench.pass(400, "z");
  assertEquals(bench.met, [peer("b")]);
});

Deno.test("swim() believes three members about a node that it cannot reach", () => {
  const bench = new Bench({}, true);
  const others = ["a", "b", "c", "d"];
  bench.settle(...others);
  tell(bench, "a", [peer("x")]);
  tell(bench, "a", [peer("x")]);
  tell(bench, "b", [peer("x")]);
  bench.pass(20, ...others);
  bench.refused("x");
  bench.pass(5000, ...others);
  assertEquals(bench.take(), []);
  tell(bench, "c", [peer("x")]);
  bench.pass(30_000, ...others);
  assertEquals(bench.take()[0], "join x");
  // It has not met it, and so is no witness itself.
  bench.page("d", [], 0, WANTED);
  assert(
    !bench.sent(PAGE).some(({ news }) => news.some(({ id }) => id === "x")),
  );
});

Deno.test("swim() believes the only member that it has about a node that it cannot reach", () => {
  const bench = new Bench({}, true);
  bench.settle("a");
  tell(bench, "a", [peer("x")]);
  bench.pass(20, "a");
  bench.refused("x");
  bench.pass(200, "a");
  assertEquals(bench.take(), ["join x"]);
});

Deno.test("swim() dials where others say when an address was wrong", () => {
  const bench = new Bench({}, true);
  bench.settle("a", "b", "c", "d");
  tell(bench, "a", [{
    ...peer("x", nextIncarnation(INCARNATION)),
    addresses: ["virtual://trap"],
  }]);
  tell(bench, "b", [peer("x")]);
  bench.pass(20, "a", "b", "c", "d");
  bench.refused("x");
  bench.pass(3000, "a", "b", "c", "d");
  assertEquals(bench.met.map(({ addresses: [first] }) => first), [
    "virtual://trap",
    "virtual://x",
  ]);
});

Deno.test("swim() takes a restart at another address, told by others, once it is there", () => {
  const bench = new Bench({}, true);
  bench.settle("a", "b", "c");
  bench.down("c");
  const later = {
    ...peer("c", nextEpoch(INCARNATION)),
    addresses: ["virtual://elsewhere"],
  };
  bench.news("a", alive(later));
  bench.pass(700, "a", "b");
  assertEquals(bench.met, [later]);
  assertEquals(bench.take(), []);
  bench.linked(later);
  assertEquals(bench.take(), ["leave c restarted", "join c"]);
});

Deno.test("swim() lets others not say where a member can be dialled", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  const told = {
    ...peer("b", nextIncarnation(INCARNATION)),
    addresses: ["virtual://trap"],
  };
  bench.news("a", alive(told));
  assertEquals(bench.membership.members.get("b"), {
    ...told,
    addresses: ["virtual://b"],
  });
  // It asks b at once what is true.
  const pings = bench.sent(PING).filter(({ to }) => to === "b");
  assertEquals(pings.map(({ number }) => number), [0]);
  bench.news("b", alive({ ...told, addresses: ["virtual://moved"] }));
  assertEquals(bench.membership.members.get("b")?.addresses, [
    "virtual://moved",
  ]);
});

// -- Bounds --

Deno.test("swim() bounds whom one member can introduce, and dials few of them", () => {
  const bench = new Bench({}, true);
  const others = ["a", "b", "c", "d"];
  bench.settle(...others);
  const seconds = 60;
  for (let round = 0; round < 10 * seconds; round++) {
    tell(bench, "a", madeUp(20, round));
    bench.pass(100, ...others);
    for (const { id } of bench.met.slice(-12)) bench.refused(id);
    assert(bench.candidates.length <= 256, `${bench.candidates.length} wait`);
  }
  assertEquals(bench.take(), []);
  assert(bench.met.length <= 16 + 5 * seconds, `${bench.met.length} dials`);
  const { crowded = 0, full } = bench.counters;
  assert(crowded > 11_000, `${crowded} turned away`);
  assertEquals(full, 0);
});

Deno.test("swim() keeps a place for an honest member's word among a hundred others", () => {
  const bench = new Bench({}, true);
  const sybils = Array.from({ length: 100 }, (_, i) => `s${i}`);
  bench.settle("honest", ...sybils);
  for (const [at, id] of sybils.entries()) tell(bench, id, madeUp(100, at));
  assertEquals(bench.candidates.length, 1024);
  tell(bench, "honest", [peer("t1"), peer("t2")]);
  for (const [at, id] of sybils.entries()) {
    tell(bench, id, madeUp(100, 100 + at));
  }
  assertEquals(bench.candidates.length, 1024);
  assert(["t1", "t2"].every((id) => bench.candidates.includes(id)));
  // Dials of made-up nodes hang, and at most so many are under way.
  bench.pass(2_000, "honest", ...sybils);
  assert(bench.met.length <= 12, `${bench.met.length} dials`);
});

Deno.test("swim() bounds how many are members by the word of others", () => {
  const bench = new Bench({}, true);
  bench.settle("a");
  for (let round = 0; round < 100; round++) {
    tell(bench, "a", madeUp(20, round));
    bench.pass(1000, "a");
    for (const { id } of bench.met.splice(0)) bench.refused(id);
    const { size } = bench.membership.members;
    assert(size <= 1 + 256, `${size} members`);
  }
});

Deno.test("swim() holds nothing of made-up nodes once nobody tells of them", () => {
  const bench = new Bench({}, true);
  bench.settle("a", "b", "c", "d");
  tell(bench, "a", madeUp(100));
  bench.pass(125_000, "a", "b", "c", "d");
  assertEquals(bench.candidates, []);
  const { length } = bench.met;
  bench.pass(60_000, "a", "b", "c", "d");
  assertEquals(bench.met.length, length);
});

// -- What it must not harm --

Deno.test("swim() gives up a silent member that tells of fifty made-up ones", () => {
  for (const isDirect of [true, false]) {
    const bench = new Bench({}, isDirect);
    bench.up("m");
    tell(bench, "m", madeUp(50));
    bench.unreachable.add("m");
    for (let second = 0; second < 15; second++) {
      bench.pass(1000);
      for (const { id } of bench.met.splice(0)) bench.refused(id);
    }
    assert(bench.take().includes("leave m failed"), `direct: ${isDirect}`);
    bench.pass(60_000);
    assertEquals(bench.membership.members.size, 0);
  }
});

Deno.test("swim() sees a silent crash as soon while members tell of thousands", () => {
  const calm = cluster(10);
  const quiet = detection(calm, () => {});
  const stormy = cluster(10);
  let round = 0;
  const besieged = detection(stormy, () => {
    // Three of them, so that they may vouch for each other's.
    for (const by of ["n7", "n8", "n9"]) {
      tellAll(stormy, by, madeUp(100, round % 100).map(alive));
    }
    round++;
  });
  assert(besieged <= quiet + 6_000, `${besieged} ms, without ${quiet} ms`);
  for (const node of stormy.nodes) {
    const shown = [...node.members.keys()].filter((id) => id.startsWith("x"));
    assert(shown.length <= 256, `${node.id} believes in ${shown.length}`);
  }
});

Deno.test("swim() gives up no honest member for what hostile ones tell together", () => {
  const network = cluster(12);
  const hostile = ["n9", "n10", "n11"];
  for (let second = 0; second < 60; second++) {
    for (const { id, self } of network.nodes) {
      if (hostile.includes(id)) continue;
      const { incarnation } = self;
      const lies = [
        dead(id, incarnation),
        left(id, incarnation),
        suspect(id, hostile, incarnation),
        alive({ ...self, addresses: ["virtual://trap"] }),
      ];
      for (const by of hostile) tellAll(network, by, lies);
    }
    network.clock.tick(1000);
  }
  for (const { id, events } of network.nodes) {
    if (hostile.includes(id)) continue;
    assertEquals(events.filter(({ type }) => type === "leave"), []);
  }
});

Deno.test("swim() takes fifty that join at once, though one member makes up others", () => {
  const network = cluster(2);
  const ids = Array.from({ length: 50 }, (_, i) => `j${i}`);
  const options = { router: peerRouter(), membership: swim() };
  for (const id of ids) network.add(id, options);
  for (const id of ids) network.connect(id, "n0");
  let ms = 0;
  const knowAll = () =>
    network.nodes.every(({ members }) =>
      [...members.keys()].filter((id) => !id.startsWith("x")).length === 51
    );
  for (; ms < 10_000 && !knowAll(); ms += 100) {
    tellAll(network, "n1", madeUp(50, ms % 1000).map(alive));
    network.clock.tick(100);
  }
  assert(ms <= 5_000, `${ms} ms`);
});

/** After how many ms all others have given up one whose machine lost its power. */
function detection(network: VirtualNetwork, meanwhile: () => void): number {
  for (let i = 0; i < 50; i++) {
    meanwhile();
    network.clock.tick(100);
  }
  network.node("n3").crash("silence");
  let ms = 0;
  const isKnown = () =>
    network.nodes.every(({ id, members }) => id === "n3" || !members.has("n3"));
  for (; ms < 60_000 && !isKnown(); ms += 100) {
    meanwhile();
    network.clock.tick(100);
  }
  return ms;
}

/** A member tells all others something, whom it does not tell about themselves. */
function tellAll(
  network: VirtualNetwork,
  by: NodeId,
  news: readonly News[],
): void {
  const writer = start(NEWS);
  for (const each of news) writer.raw(new Item(each).bytesFor("", () => true));
  const message = writer.take();
  for (const node of network.nodes) {
    if (node.id !== by && node.running) node.membership?.receive(by, message);
  }
}
