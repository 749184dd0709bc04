import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  alive,
  Bench,
  cluster,
  dead,
  HELPLESS,
  HOUR,
  INCARNATION,
  isOneView,
  left,
  LOST,
  peer,
  REACHED,
  SETTLED,
  SILENT,
  start,
  suspect,
  WANTED,
} from "./_swim_bench_test.ts";
import {
  ACK,
  ALIVE,
  aliveItem,
  ANSWER,
  ASK,
  Item,
  MORE,
  NEWS,
  PAGE,
  PING,
  SUSPECT,
} from "./_swim_codec.ts";
import { hopRouter } from "./hop.ts";
import { nextEpoch, nextIncarnation } from "./incarnation.ts";
import { swim } from "./swim.ts";
import { testMembership, VirtualNetwork } from "./testing.ts";
import type { NodeId, Peer } from "./types.ts";

testMembership("swim()", swim());

// -- Options --

Deno.test("swim() refuses options out of range", () => {
  assertThrows(() => swim({ interval: 0 }), RangeError, "0 ms");
  assertThrows(() => swim({ interval: NaN }), RangeError, "NaN ms");
  assertThrows(() => swim({ timeout: 1001 }), RangeError, "1001 ms");
  assertThrows(() => swim({ timeout: 0 }), RangeError, "0 ms");
  assertThrows(() => swim({ suspicion: 0.5 }), RangeError, "0.5 intervals");
  assertThrows(() => swim({ maxMembers: 0 }), RangeError, "0 members");
});

// -- Probes --

Deno.test("swim() pings one member each interval, all in turn", () => {
  const bench = new Bench();
  const ids = ["a", "b", "c", "d", "e"];
  bench.settle(...ids);
  const pings: string[] = [];
  for (let i = 0; i < 10; i++) {
    bench.pass(1000, ...ids);
    const sent = bench.sent(PING);
    assertEquals(sent.length, 1);
    pings.push(...sent.map(({ to }) => to));
  }
  for (const id of ids) {
    assertEquals(pings.filter((to) => to === id).length, 2);
  }
});

Deno.test("swim() asks three helpers after the timeout, and pings again itself", () => {
  const bench = new Bench();
  const ids = ["a", "b", "c", "d", "e"];
  bench.settle(...ids);
  const { to } = bench.until(PING, "a", "b", "c", "d", "e");
  bench.sent();
  bench.pass(490, "b", "c", "d", "e");
  assertEquals(bench.sent(ASK), []);
  bench.pass(20);
  const sent = bench.sent();
  const asks = sent.filter(({ type }) => type === ASK);
  assertEquals(asks.length, 3);
  assertEquals(new Set(asks.map((ask) => ask.to)).size, 3);
  assert(asks.every((ask) => ask.target === to && ask.to !== to));
  assertEquals(
    sent.filter(({ type }) => type === PING).map((ping) => ping.to),
    ["a"],
  );
});

Deno.test("swim() takes any message for a sign of life", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  for (let i = 0; i < 60; i++) {
    bench.pass(400);
    for (const id of ["a", "b"]) bench.membership.heard(id);
  }
  assertEquals([bench.sent(ASK), bench.take()], [[], []]);
});

Deno.test("swim() is content with a member that one helper reaches", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  for (let i = 0; i < 100; i++) {
    bench.pass(100, "b", "c", "d");
    for (const { to, number } of bench.sent(ASK)) {
      bench.answer(to, number, to === "b" ? REACHED : SILENT);
    }
  }
  assertEquals([bench.take(), bench.warned()], [[], []]);
});

Deno.test("swim() asks first whoever reached a member before", () => {
  const bench = new Bench();
  const alive = [..."abcdefghijklmno"];
  bench.settle("x", ...alive);
  const helpers: NodeId[] = [];
  for (let i = 0; i < 1000; i++) {
    bench.pass(100, ...alive);
    const [first] = bench.sent(ASK);
    if (first === undefined) continue;
    assertEquals(first.target, "x");
    bench.answer(first.to, first.number, REACHED);
    helpers.push(first.to);
  }
  assert(helpers.length >= 5);
  assertEquals(new Set(helpers).size, 1);
});

Deno.test("swim() tries to reach a member for another, and says what it found", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.unreachable.add("d");
  for (const [at, target] of ["b", "c", "d", "nobody"].entries()) {
    bench.ask("a", at, target);
  }
  bench.membership.heard("b");
  bench.pass(390, "a", "b", "d");
  const outcomes = () =>
    bench.sent(ANSWER).map(({ number, outcome }) => [number, outcome]);
  assertEquals(outcomes(), [[2, HELPLESS], [3, HELPLESS], [0, REACHED]]);
  bench.pass(20);
  assertEquals(outcomes(), [[1, SILENT]]);
});

Deno.test("swim() answers at once what it knows of a member's broken link", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.down("b");
  bench.ask("a", 1, "b");
  assertEquals(bench.sent(ANSWER), []);
  bench.refused("b");
  bench.ask("a", 2, "b");
  assertEquals(
    bench.sent(ANSWER).map(({ number, outcome }) => [number, outcome]),
    [[1, LOST], [2, LOST]],
  );
});

// -- Suspicion --

Deno.test("swim() makes a suspect of a member that nobody reached, and tells it so", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.until(ASK, "b", "b", "c", "d");
  bench.sent();
  bench.pass(480, "b", "c", "d");
  assertEquals(bench.warned(), []);
  bench.pass(30, "b", "c", "d");
  assertEquals(bench.warned(), ["a: suspect a"]);
  bench.pass(400, "b", "c", "d");
  const told = bench.warned();
  assert(told.length >= 3, `${told}`);
  assert(told.every((line) => line.endsWith("suspect a")));
});

Deno.test("swim() tells a suspect what it is suspected of with each ping", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.news("b", suspect("a", ["b"]));
  bench.pass(1500, "b", "c", "d");
  bench.sent();
  const ping = bench.until(PING, "a", "b", "c", "d");
  assertEquals(ping.news[0]?.kind, SUSPECT);
});

Deno.test("swim() gives a suspect up the sooner, the more accuse it", () => {
  // Of 12 nodes: after 25.9 s with one accuser, 12.2 s with two, 4.3 s with three. This
  // one does not reach it either, and so may come to accuse it too.
  for (
    const [accusers, from, to] of [
      [["b"], 12_100, 26_000],
      [["b", "c", "d"], 4_200, 4_400],
    ] as const
  ) {
    const bench = new Bench();
    const others = [..."bcdefghijk"];
    bench.settle("a", ...others);
    for (const by of accusers) bench.news(by, suspect("a", [...accusers]));
    bench.pass(from, ...others);
    assertEquals(bench.take(), []);
    bench.pass(to - from, ...others);
    assertEquals(bench.take(), ["leave a failed"]);
  }
});

Deno.test("swim() does not give a suspect up sooner for all whom one member names", () => {
  const bench = new Bench();
  const others = [..."bcdefghijk"];
  bench.settle("a", ...others);
  for (let i = 0; i < 20; i++) {
    bench.news("b", suspect("a", ["c", "d", "e", "f", "g"].slice(i % 4)));
  }
  bench.pass(12_100, ...others);
  assertEquals(bench.take(), []);
});

Deno.test("swim() counts each accuser once, and strangers never", () => {
  const bench = new Bench();
  const others = [..."bcdefghijk"];
  bench.settle("a", ...others);
  for (let i = 0; i < 20; i++) {
    bench.news("b", suspect("a", ["b", `stranger${i}`]));
  }
  bench.pass(6000, ...others);
  assertEquals(bench.take(), []);
});

Deno.test("swim() names helpers that failed as accusers, but none without a way", () => {
  const bench = new Bench();
  const others = [..."bcdefghijk"];
  bench.settle("a", ...others);
  const witnesses: NodeId[] = [];
  for (let i = 0; i < 200 && witnesses.length === 0; i++) {
    bench.pass(100, ...others);
    for (const [at, { to, number }] of bench.sent(ASK).entries()) {
      bench.answer(to, number, at === 0 ? HELPLESS : SILENT);
      if (at > 0) witnesses.push(to);
    }
  }
  bench.pass(600, ...others);
  const [warning] = bench.sent(NEWS);
  assertEquals([warning?.to, warning?.news], ["a", [
    suspect("a", ["self", ...witnesses]),
  ]]);
});

Deno.test("swim() believes a suspect that refutes", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("b", suspect("a", ["b", "c"]));
  bench.pass(3000, "b", "c");
  bench.news("b", alive(peer("a", nextIncarnation(INCARNATION))));
  bench.pass(2000, "b", "c");
  bench.membership.heard("a");
  bench.pass(60_000, "a", "b", "c");
  assertEquals(bench.take(), []);
});

Deno.test("swim() does not give up a suspect that it hears", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.news("b", suspect("a", ["b", "c", "d"]));
  for (let i = 0; i < 60; i++) {
    bench.pass(1000, "b", "c", "d");
    bench.membership.heard("a");
  }
  assertEquals(bench.take(), []);
  bench.pass(10_000, "b", "c", "d");
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() asks a suspect a last time before it gives it up", () => {
  const bench = new Bench();
  const others = [..."bcdefghijk"];
  bench.settle("a", ...others);
  for (const by of ["b", "c", "d"]) bench.news(by, suspect("a", [by]));
  bench.pass(3000, ...others);
  bench.sent();
  bench.pass(400, ...others);
  assert(bench.sent(PING).some(({ to }) => to === "a"));
  bench.membership.heard("a");
  bench.pass(2000, ...others);
  assertEquals(bench.take(), []);
});

Deno.test("swim() does not believe others that a member is dead that it can reach", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  for (let i = 0; i < 30; i++) {
    bench.news("b", dead("a"));
    bench.pass(1000, "a", "b", "c", "d");
  }
  assertEquals(bench.take(), []);
});

Deno.test("swim() believes others that a member is dead if it does not answer", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.news("b", dead("a"));
  bench.pass(990, "b", "c", "d");
  assertEquals(bench.take(), []);
  bench.pass(20, "b", "c", "d");
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() believes others that a member is dead that it suspected for long", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.news("b", suspect("a", ["b"]));
  bench.pass(6000, "b", "c", "d");
  bench.news("b", dead("a"));
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() tells the accused, whom others hold for dead", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.news("b", dead("a"));
  assertEquals(bench.warned(), ["a: suspect a"]);
});

// -- Refutation --

Deno.test("swim() refutes what it is accused of, and tells the accuser first", () => {
  for (
    const accusation of [suspect("self", ["b"]), dead("self"), left("self")]
  ) {
    const bench = new Bench();
    bench.settle("a", "b");
    bench.news("a", accusation);
    assert(bench.self.incarnation > INCARNATION);
    const [first] = bench.sent(NEWS);
    assertEquals([first?.to, first?.news], ["a", [alive(bench.self)]]);
    assertEquals(bench.counters.refuted, 1);
    bench.news("a", accusation);
    assertEquals(bench.counters.refuted, 1);
  }
});

Deno.test("swim() refutes once in half a second", () => {
  const bench = new Bench();
  bench.settle("a");
  for (let i = 0; i < 100; i++) {
    bench.news("a", dead("self", bench.self.incarnation));
    bench.pass(10, "a");
  }
  assertEquals(bench.counters.refuted, 2);
  assertEquals(bench.counters.hasty, 98);
});

Deno.test("swim() continues above what a member knows of it", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.ping("a", nextIncarnation(INCARNATION));
  assert(bench.self.incarnation > nextIncarnation(INCARNATION));
  const known = bench.self.incarnation;
  bench.ping("stranger", nextIncarnation(known));
  bench.ping("a", INCARNATION + 2 * HOUR);
  bench.ping("a", known + 1025);
  assertEquals(bench.self.incarnation, known);
});

Deno.test("swim() tells who knows it under another incarnation what it is now", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.ping("a", INCARNATION);
  bench.ping("a", 0);
  const acks = bench.sent(ACK).map(({ news }) => news);
  assertEquals(acks, [[], [alive(bench.self)]]);
});

// -- Local health --

Deno.test("swim() holds nothing against anybody that it slept through", () => {
  const network = cluster(3);
  network.node("n0").pause();
  network.cut("n0", "n1");
  network.cut("n0", "n2");
  network.clock.tick(60_000);
  network.node("n0").resume();
  network.clock.tick(1500);
  assertEquals(network.node("n0").members.size, 2);
  network.clock.tick(20_000);
  assertEquals(network.node("n0").members.size, 0);
});

Deno.test("swim() probes less often while its helpers do not answer", () => {
  const bench = new Bench();
  const ids = [..."abcdefgh"];
  bench.settle(...ids);
  bench.pass(8000);
  bench.sent();
  const probed = new Set<string>();
  for (let i = 0; i < 100; i++) {
    bench.pass(100);
    for (const ask of bench.sent(ASK)) probed.add(`${ask.number}`);
  }
  assert(probed.size <= 5, `${probed.size} probes in 10 s`);
});

Deno.test("swim() probes on while its helpers answer that they failed too", () => {
  const bench = new Bench();
  const ids = [..."abcdefgh"];
  bench.settle(...ids);
  const probed = new Set<number>();
  for (let i = 0; i < 40; i++) {
    bench.pass(100);
    for (const { to, number } of bench.sent(ASK)) {
      probed.add(number);
      bench.answer(to, number, SILENT);
    }
  }
  assert(probed.size >= 3, `${probed.size} probes in 4 s`);
});

// -- Broken links --

Deno.test("swim() gives up at once whom nobody can dial any more", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.down("a");
  const asks = bench.sent(ASK);
  assertEquals(asks.length, 3);
  bench.refused("a");
  for (const { to, number } of asks) bench.answer(to, number, LOST);
  bench.pass(240);
  assertEquals(bench.take(), []);
  bench.pass(20);
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() keeps whom one helper still reaches, though its own link is lost", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.down("a");
  bench.refused("a");
  for (const [at, { to, number }] of bench.sent(ASK).entries()) {
    bench.answer(to, number, at === 0 ? REACHED : LOST);
  }
  bench.pass(400, "b", "c", "d");
  assertEquals(bench.take(), []);
});

Deno.test("swim() suspects whom a helper could not reach in time, though its own link is lost", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c", "d");
  bench.down("a");
  bench.refused("a");
  for (const [at, { to, number }] of bench.sent(ASK).entries()) {
    bench.answer(to, number, at === 0 ? SILENT : LOST);
  }
  bench.pass(1500, "b", "c", "d");
  assertEquals(bench.take(), []);
});

Deno.test("swim() believes others that a member is dead whose link it lost itself", () => {
  for (const isFirst of [true, false]) {
    const bench = new Bench();
    bench.settle("a", "b", "c", "d");
    bench.down("a");
    if (isFirst) bench.news("b", dead("a"));
    assertEquals(bench.take(), []);
    bench.refused("a");
    if (!isFirst) bench.news("b", dead("a"));
    assertEquals(bench.take(), ["leave a failed"]);
  }
});

Deno.test("swim() has nobody to ask among two, and waits for the other to come back", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.down("a");
  bench.refused("a");
  bench.pass(240);
  bench.up("a");
  bench.unreachable.clear();
  bench.pass(5000, "a");
  assertEquals(bench.take(), []);
  bench.down("a");
  bench.refused("a");
  bench.pass(260);
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() gives a node that cannot be dialled half a second to come back", () => {
  const bench = new Bench();
  const shy: Peer = { ...peer("a"), addresses: [] };
  bench.membership.link({ type: "up", peer: shy });
  bench.down("a");
  bench.pass(490);
  assertEquals(bench.take(), ["join a"]);
  bench.pass(20);
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("swim() takes a failed dial without a broken link for a hint only", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.refused("a");
  bench.pass(60_000, "a", "b", "c");
  bench.news("b", alive(peer("x")));
  bench.unreachable.add("x");
  bench.refused("x");
  bench.pass(2000, "a", "b", "c");
  assertEquals(bench.take(), ["join x"]);
});

Deno.test("swim() sees a killed process in a second, wherever it is", () => {
  for (const count of [2, 3, 10]) {
    const network = cluster(count);
    network.node("n1").crash("links");
    const ms = network.clock.until(() => isOneView(network));
    assert(ms <= 1000, `${ms} ms among ${count}`);
  }
});

// -- News --

Deno.test("swim() tells news to three members at a time, so many times", () => {
  const bench = new Bench();
  const ids = [..."abcdefghij"];
  bench.settle(...ids);
  bench.news("a", alive(peer("x")));
  bench.pass(20, ...ids);
  assertEquals(bench.sent(NEWS).length, 3);
  bench.pass(5000, ...ids, "x");
  const carried = bench.sent().filter(({ news }) =>
    news.some(({ kind, id }) => kind === ALIVE && id === "x")
  );
  assertEquals(3 + carried.length, 8);
});

Deno.test("swim() tells a newcomer everything, and asks it the same", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  bench.pass(2000, "a", "b");
  bench.sent();
  bench.up("c");
  const [page] = bench.sent(PAGE);
  assertEquals([page?.to, page?.flags, page?.number], ["c", WANTED, 0]);
  assertEquals(page?.news.map(({ id }) => id), ["self", "a", "b", "c"]);
  // It is asked again until it tells.
  bench.pass(3000, "a", "b", "c");
  assertEquals(bench.sent(PAGE).length, 3);
  bench.page("c", [peer("d")]);
  bench.pass(3000, "a", "b", "c", "d");
  assertEquals(bench.sent(PAGE), []);
});

Deno.test("swim() exchanges with one newcomer a second, and leaves the rest to news", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.pass(2000, "a");
  bench.sent();
  bench.up(..."bcdefghij");
  assertEquals(bench.sent(PAGE).map(({ to }) => to), ["b"]);
});

Deno.test("swim() answers whoever wants to know everything, but not at once again", () => {
  const bench = new Bench();
  bench.settle("a");
  for (let i = 0; i < 10; i++) bench.page("a", [], 0, WANTED);
  bench.page("stranger", [], 0, WANTED);
  assertEquals(bench.sent(PAGE).map(({ to, flags }) => [to, flags]), [[
    "a",
    0,
  ]]);
});

Deno.test("swim() tells everything in pages, each on demand", () => {
  const bench = new Bench();
  const long = (id: string) => ({
    ...peer(id),
    meta: new Uint8Array(512),
  });
  bench.settle("a");
  const ids = Array.from({ length: 100 }, (_, i) => `n${i}`);
  for (let at = 0; at < 100; at += 20) {
    bench.page("a", ids.slice(at, at + 20).map(long));
  }
  bench.sent();
  bench.page("a", [], 0, WANTED);
  const heard = new Set<NodeId>();
  let pages = 0;
  for (;;) {
    const [page, ...rest] = bench.sent(PAGE);
    assert(page !== undefined && rest.length === 0);
    assert(page.length <= 16 * 1024);
    pages++;
    for (const { id } of page.news) heard.add(id);
    if (page.number === 0) break;
    const more = start(MORE).u53(page.number).take();
    bench.membership.receive("a", more);
  }
  assertEquals([heard.size, pages], [102, 4]);
});

Deno.test("swim() asks for the rest of what it is told", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.page("a", [peer("b")], 17);
  assertEquals(bench.sent(MORE).map(({ to, number }) => [to, number]), [[
    "a",
    17,
  ]]);
});

Deno.test("swim() exchanges everything where views differ though nothing is new", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  bench.ping("a", INCARNATION, 0, 12345);
  assertEquals(bench.sent(PAGE), []);
  bench.ping("a", INCARNATION, SETTLED, 12345);
  assertEquals(bench.sent(PAGE).map(({ to, flags }) => [to, flags]), [[
    "a",
    WANTED,
  ]]);
  bench.page("a", []);
  // Where that does not help, it is tried less and less often.
  let pages = 0;
  for (let i = 0; i < 600; i++) {
    bench.pass(100, "a", "b");
    bench.ping("a", INCARNATION, SETTLED, 12345);
    for (const { to } of bench.sent(PAGE)) {
      bench.page(to, []);
      pages++;
    }
  }
  assert(pages >= 4 && pages <= 9, `${pages} in a minute`);
});

Deno.test("swim() keeps a quiet cluster at two messages per node and second", () => {
  const network = cluster(20);
  network.clock.tick(60_000);
  const sum = (what: "sent" | "sentBytes") =>
    network.nodes.reduce((total, node) => total + node[what], 0);
  const [sent, bytes] = [sum("sent"), sum("sentBytes")];
  network.clock.tick(600_000);
  const perSecond = (sum("sent") - sent) / 20 / 600;
  assert(perSecond >= 2 && perSecond < 2.3, `${perSecond} messages`);
  const bytesPerSecond = (sum("sentBytes") - bytes) / 20 / 600;
  assert(bytesPerSecond < 120, `${bytesPerSecond} bytes`);
});

Deno.test("swim() forwards accusations of nodes that it does not know, once", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("a", dead("x"));
  // There is a way to it, though it is no member.
  assertEquals(bench.warned(), ["x: dead x"]);
  bench.news("b", dead("x"));
  assertEquals(bench.warned(), []);
  bench.unreachable.add("y");
  bench.news("a", suspect("y", ["a"]));
  bench.pass(100, "a", "b", "c");
  assert(bench.warned().every((line) => line.endsWith("dead y")));
});

// -- The gone --

Deno.test("swim() answers news of one that is gone with the accusation", () => {
  for (const [how, line] of [[left, "left x"], [dead, "dead x"]] as const) {
    const bench = new Bench();
    bench.settle("a", "b", "x");
    bench.news("x", left("x"));
    if (how === dead) {
      bench.news("x", alive(peer("x", nextEpoch(INCARNATION))));
      bench.news("a", suspect("x", ["a", "b"], nextEpoch(INCARNATION)));
      bench.pass(10_000, "a", "b");
    }
    bench.pass(3000, "a", "b");
    bench.take();
    bench.sent();
    bench.page("a", [peer("x")]);
    assertEquals(bench.warned(), [`a: ${line}`]);
    assertEquals(bench.take(), []);
    assertEquals(bench.counters.stale, 1);
  }
});

Deno.test("swim() takes back one that failed when it links or speaks, and has it refute", () => {
  const ways: ((bench: Bench) => void)[] = [
    (bench) => bench.up("x"),
    (bench) => bench.news("x", alive(peer("x"))),
  ];
  for (const way of ways) {
    const bench = new Bench();
    bench.settle("x");
    bench.pass(20_000);
    assertEquals(bench.take(), ["leave x failed"]);
    bench.sent();
    way(bench);
    assertEquals(bench.take(), ["join x"]);
    assert(bench.warned().includes("x: dead x"));
  }
});

Deno.test("swim() tells one that failed and does not know it", () => {
  const bench = new Bench();
  bench.settle("x");
  bench.pass(20_000);
  bench.take();
  bench.sent();
  bench.ping("x", INCARNATION);
  assertEquals(bench.warned(), ["x: dead x"]);
  assertEquals(bench.take(), []);
});

Deno.test("swim() takes back who left under a higher incarnation only", () => {
  const bench = new Bench();
  bench.settle("a", "x");
  bench.news("x", left("x"));
  bench.up("x");
  bench.news("x", alive(peer("x")));
  bench.news("a", alive(peer("x")));
  assertEquals(bench.take(), ["leave x left"]);
  bench.news("a", alive(peer("x", nextEpoch(INCARNATION))));
  assertEquals(bench.take(), ["join x"]);
});

Deno.test("swim() dials those who failed, where there is no other way", () => {
  const bench = new Bench();
  bench.settle("a", "x", "y");
  bench.news("y", left("y"));
  bench.unreachable.add("x").add("y").add("z");
  bench.news("a", alive(peer("z")));
  bench.pass(120_000, "a");
  assertEquals(bench.membership.members.size, 1);
  // Of z only others told where it can be dialled.
  assertEquals(new Set(bench.dialled), new Set(["x"]));
  assert(bench.dialled.length >= 8 && bench.dialled.length <= 20);
});

// -- Leaving --

Deno.test("swim() says goodbye to every member", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  bench.membership.leave();
  assertEquals(bench.warned(), ["a: left self", "b: left self"]);
});

Deno.test("swim() believes others that a member left if it does not answer", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("b", left("a"));
  assertEquals(bench.take(), []);
  bench.pass(1100, "b", "c");
  assertEquals(bench.take(), ["leave a left"]);
});

Deno.test("swim() keeps a member of which others say that it left, and that answers", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("b", left("a"));
  bench.pass(3000, "a", "b", "c");
  assertEquals(bench.take(), []);
  assert(bench.warned().includes("a: left a"));
});

// -- Restarts --

Deno.test("swim() tells a restart from an update", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.news("a", alive(peer("b")));
  bench.take();
  for (const from of ["a", "b"]) {
    const known = bench.membership.members.get("b")?.incarnation ?? 0;
    const meta = new TextEncoder().encode(from);
    bench.news(from, alive(peer("b", nextIncarnation(known), meta)));
    assertEquals(bench.take(), ["update b"]);
    bench.news(from, alive(peer("b", nextIncarnation(known) + 1, meta)));
    assertEquals(bench.take(), []);
    bench.news(from, alive(peer("b", nextEpoch(known))));
    assertEquals(bench.take(), ["leave b restarted", "join b"]);
  }
});

Deno.test("swim() believes only itself that a member with an open link started anew", () => {
  const later = peer("a", nextEpoch(INCARNATION));
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("b", alive(later));
  bench.pass(3000, "a", "b", "c");
  assertEquals(bench.take(), []);
  assertEquals(bench.counters.contradicted, 1);
  // It was told, so that it refutes.
  assert(
    bench.sent(NEWS).some(({ to, news }) => to === "a" && news[0]?.id === "a"),
  );
  bench.news("a", alive(later));
  assertEquals(bench.take(), []);
  assertEquals(bench.membership.members.get("a"), later);
});

Deno.test("swim() believes others that a member started anew whose link is silent", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  bench.news("b", alive(peer("a", nextEpoch(INCARNATION))));
  bench.pass(1100, "b", "c");
  assertEquals(bench.take(), ["leave a restarted", "join a"]);
});

Deno.test("swim() prefers what a node says of itself, and asks for it", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.news("a", alive({ ...peer("b"), addresses: ["virtual://rumour"] }));
  assertEquals(bench.until(PING, "b", "a").number, 0);
  bench.news("b", alive(peer("b")));
  assertEquals(bench.take(), ["join b", "update b"]);
  bench.sent();
  assertEquals(bench.until(PING, "b", "a", "b").number, INCARNATION);
});

// -- Attacks --

Deno.test("swim() survives accusations by one member against all others", () => {
  const network = cluster(10);
  const { membership } = network.node("n0");
  assert(membership !== null);
  for (let second = 0; second < 120; second++) {
    for (const { id, self } of network.nodes) {
      if (id === "n0" || id === "n9") continue;
      const { incarnation } = self;
      const kinds = [dead(id, incarnation), left(id, incarnation)];
      const everyone = ["n1", "n2", "n3", "n9"];
      const accused = suspect(id, everyone, incarnation);
      for (const news of [...kinds, accused]) {
        const bytes = new Item(news).bytesFor("n0", () => true);
        membership.receive("n9", start(NEWS).raw(bytes).take());
      }
    }
    network.clock.tick(1000);
  }
  for (const { events } of network.nodes) {
    assertEquals(events.filter(({ type }) => type !== "join"), []);
  }
});

Deno.test("swim() bounds its members and counts the rest", () => {
  const bench = new Bench({ maxMembers: 100 });
  bench.settle("a");
  for (let i = 0; i < 500; i++) bench.news("a", alive(peer(`x${i}`)));
  bench.up("b");
  assertEquals(bench.membership.members.size, 100);
  assertEquals(bench.counters.full, 402);
});

Deno.test("swim() forgets what 100,000 made-up nodes were accused of", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  for (let i = 0; i < 100_000; i++) {
    bench.unreachable.add(`x${i}`);
    bench.news("a", dead(`x${i}`));
  }
  assertEquals(bench.counters.busy, 100_000 - 256);
  bench.pass(60_000, "a", "b");
  bench.sent();
  bench.pass(2000, "a", "b");
  assertEquals(bench.warned(), []);
});

Deno.test("swim() bounds what it tries and tells for others", () => {
  const bench = new Bench();
  bench.settle("a", "b", "c");
  for (let i = 0; i < 100; i++) bench.ask("a", i, "b");
  assertEquals(bench.counters.busy, 92);
  assertEquals(bench.sent(PING).length, 8);
  for (let i = 0; i < 1000; i++) {
    bench.membership.receive("a", start(MORE).u53(1).take());
  }
  assertEquals(bench.sent(PAGE).length, 100);
});

Deno.test("swim() does not let a far incarnation lock a node out", () => {
  const bench = new Bench();
  bench.settle("a", "b");
  for (
    const far of [
      INCARNATION + 2 * HOUR,
      Number.MAX_SAFE_INTEGER,
      INCARNATION + 1025,
    ]
  ) {
    bench.news("a", alive(peer("b", far)), suspect("b", ["a"], far));
    bench.news("a", dead("b", far), dead("self", far), left("b", far));
  }
  assertEquals(bench.counters.implausible, 15);
  bench.news("a", alive(peer("c", Number.MAX_SAFE_INTEGER)));
  assertEquals(bench.counters.implausible, 16);
  bench.pass(30_000, "a", "b");
  assertEquals(bench.take(), []);
  assertEquals(bench.self.incarnation, INCARNATION);
});

Deno.test("swim() believes news up to the clock of a neighbour that is ahead", () => {
  const bench = new Bench();
  const ahead = INCARNATION + 24 * HOUR;
  bench.membership.link({ type: "up", peer: peer("a", ahead) });
  bench.news("a", alive(peer("b", ahead)));
  assertEquals(bench.take(), ["join a", "join b"]);
});

Deno.test("swim() believes strangers about themselves only", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.news("x", dead("a"), suspect("a", ["x"]), alive(peer("y")));
  assertEquals(bench.counters.stranger, 3);
  assertEquals(bench.take(), []);
  bench.news("x", alive(peer("y")), alive(peer("x")));
  assertEquals(bench.take(), ["join x", "join y"]);
});

Deno.test("swim() asks a stranger that pings who it is", () => {
  const bench = new Bench();
  bench.settle("a");
  bench.ping("x", 0);
  const [ping] = bench.sent(PING);
  assertEquals([ping?.to, ping?.number], ["x", 0]);
});

Deno.test("swim() drops malformed and unknown messages and counts them", () => {
  const bench = new Bench();
  bench.settle("a");
  const whole = start(NEWS).raw(
    aliveItem(peer("b")).bytesFor("self", () => true),
  ).take();
  const malformed = [
    new Uint8Array(),
    new Uint8Array([1]),
    whole.subarray(0, whole.length - 1),
    start(PING).u8(0).u53(1).take(),
    start(ANSWER).u32(1).u8(4).take(),
    start(MORE).u53(1).u8(0).take(),
    start(ASK).u32(1).string("\n").u53(0).take(),
    new Uint8Array(16 * 1024 + 1).fill(1),
  ];
  for (const message of malformed) bench.membership.receive("a", message);
  assertEquals(bench.counters.malformed, malformed.length);
  bench.membership.receive("a", new Uint8Array([1, 99]));
  bench.membership.receive("a", new Uint8Array([2, 1]));
  assertEquals(bench.counters.unknown, 2);
  assertEquals(bench.take(), []);
});

Deno.test("swim() takes nothing of a message that is partly malformed", () => {
  const bench = new Bench();
  bench.settle("a");
  const item = aliveItem(peer("b")).bytesFor("self", () => true);
  bench.membership.receive("a", start(NEWS).raw(item).u8(9).take());
  assertEquals(bench.take(), []);
});

// -- Whole clusters --

Deno.test("swim() makes a silent crash known to fifty, though a tenth is lost", () => {
  for (const datagrams of [false, true]) {
    const network = cluster(50, {
      latency: 2,
      jitter: 8,
      loss: 0.1,
      backoff: true,
      giveUp: 30_000,
      datagrams,
    });
    network.node("n17").crash("silence");
    const ms = network.clock.until(() => isOneView(network), 25_000);
    assert(ms <= 15_000, `${ms} ms`);
    for (const { id, events } of network.nodes) {
      const gone = events.filter(({ type }) => type === "leave");
      assert(gone.every(({ member }) => member.id === "n17"), id);
    }
  }
});

Deno.test("swim() finds the other part of a parted network by itself", () => {
  for (const how of ["silence", "links", "one-way"] as const) {
    const network = cluster(6, { giveUp: 30_000 });
    network.partition(["n0", "n1", "n2"], ["n3", "n4", "n5"], how);
    network.clock.tick(60_000);
    for (const { members } of network.nodes) assertEquals(members.size, 2);
    network.healAll();
    const ms = network.clock.until(() => isOneView(network), 35_000);
    assert(ms <= 35_000, `${how}: ${ms} ms`);
  }
});

Deno.test("swim() knows who lives where only helpers reach them", () => {
  const network = cluster(4);
  const [, ...leaves] = network.nodes.map(({ id }) => id);
  for (const one of leaves) {
    for (const other of leaves) {
      if (one < other) network.cut(one, other, "links");
    }
  }
  network.clock.tick(300_000);
  for (const { events } of network.nodes) assertEquals(events.length, 3);
  network.node("n3").crash("silence");
  const ms = network.clock.until(() =>
    network.nodes.every(({ id, members }) => id === "n3" || !members.has("n3"))
  );
  assert(ms <= 15_000, `${ms} ms`);
});

Deno.test("swim() knows who lives where a router carries the probes", () => {
  const network = new VirtualNetwork();
  const ids = ["a", "b", "c", "d"];
  const router = hopRouter();
  for (const id of ids) {
    network.add(id, { router, membership: swim() });
  }
  for (const pair of ["ac", "ad", "bd"]) {
    network.cut(pair.charAt(0), pair.charAt(1));
  }
  for (const [at, id] of ids.slice(1).entries()) {
    network.connect(id, ids[at] ?? "");
  }
  network.clock.until(() => isOneView(network));
  network.clock.tick(120_000);
  for (const { events } of network.nodes) assertEquals(events.length, 3);
  network.node("d").crash("silence");
  const ms = network.clock.until(() => isOneView(network));
  assert(ms <= 15_000, `${ms} ms`);
});
