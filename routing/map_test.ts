import { assert, assertEquals, assertThrows } from "@std/assert";
import { makeAdvert } from "./_map_advert.ts";
import {
  ACK,
  ADVERTS,
  ANSWER,
  BROADCAST,
  HELLO,
  kindOf,
  LETTER,
  MARK,
  readRouted,
  readTalk,
  REPORT,
  RETURN,
  SUMMARY,
  writeBroadcast,
  writeLetterHead,
  writeReport,
  writeRouted,
  writeTalk,
} from "./_map_packets.ts";
import { Order } from "./_order.ts";
import type { Stamp } from "./_order_stamp.ts";
import { incarnationAt } from "./incarnation.ts";
import { type MapRouter, mapRouter } from "./map.ts";
import { swim } from "./swim.ts";
import { testRouter, VirtualClock, VirtualNetwork } from "./testing.ts";
import type {
  Lane,
  NodeId,
  Peer,
  RouterContext,
  RouterFactory,
} from "./types.ts";

for (const topology of ["mesh", "line", "ring"] as const) {
  testRouter("mapRouter()", mapRouter(), { topology });
}

const INCARNATION = incarnationAt(Date.UTC(2026, 0, 1));
const HOUR = 3_600_000 * 4096;

/** A network of map routers, and what they can be asked. */
class Net {
  readonly network: VirtualNetwork;
  readonly routers = new Map<NodeId, MapRouter>();
  /** Packets handed to links, by kind. */
  readonly packets = new Map<number, number>();

  constructor(links: string, latency = 1) {
    this.network = new VirtualNetwork({ latency });
    const router: RouterFactory = (context) => {
      const made = mapRouter()(context);
      this.routers.set(context.self.id, made);
      return made;
    };
    for (const id of new Set(links.replaceAll(/\W/g, ""))) {
      this.network.add(id, { router });
    }
    for (const [a = "", b = ""] of links.split(" ")) this.network.connect(a, b);
    this.pass(1000);
    this.network.tap((_from, _to, packet) => {
      const kind = kindOf(packet) ?? -1;
      this.packets.set(kind, this.count(kind) + 1);
    });
  }

  count(kind: number): number {
    return this.packets.get(kind) ?? 0;
  }

  pass(ms: number): void {
    this.network.clock.tick(ms);
  }

  router(id: NodeId): MapRouter {
    const router = this.routers.get(id);
    if (router === undefined) throw new TypeError(`There is no node "${id}"`);
    return router;
  }

  counter(id: NodeId, name: string): number {
    return this.router(id).counters[name] ?? NaN;
  }

  send(from: NodeId, to: NodeId, content: string): void {
    assertEquals(this.network.node(from).send([to], text(content)), 1);
  }

  /** What arrived at a node: `a: hello`. */
  arrived(id: NodeId): string[] {
    return this.network.node(id).delivered.map(({ from, payload }) =>
      `${from}: ${new TextDecoder().decode(payload)}`
    );
  }

  /** Breaks a link while packets are on it; it may be made again. */
  snap(a: NodeId, b: NodeId): void {
    this.network.cut(a, b, "links");
    this.network.heal(a, b);
  }
}

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

// -- Options --

Deno.test("mapRouter() refuses a map for less than two nodes", () => {
  for (const maxNodes of [1, 0, -1, 2.5, NaN, Infinity]) {
    assertThrows(() => mapRouter({ maxNodes }), RangeError, `${maxNodes}`);
  }
});

// -- Paths --

Deno.test("mapRouter().send() takes the fewest links", () => {
  const net = new Net("ab bc cd de ef fa be");
  net.send("a", "d", "hello");
  net.pass(1000);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assertEquals(net.count(LETTER), 3);
  assertEquals(net.router("a").route("e")?.path, ["a", "b", "e"]);
});

Deno.test("mapRouter().send() takes the quicker way of two", () => {
  const net = new Net("ab bd ac cd ad");
  for (const [from, to] of [["a", "d"], ["d", "a"]] as const) {
    net.network.shape({ latency: 100 }, { from, to });
  }
  net.network.disconnect("a", "d");
  net.pass(1000);
  net.network.connect("a", "d");
  net.pass(3000);
  assertEquals(net.router("a").route("d"), {
    path: ["a", "b", "d"],
    cost: 2,
    alternates: [["a", "c", "d"], ["a", "d"]],
  });
});

Deno.test("mapRouter() does not take a link for slow whose end was busy once", () => {
  const net = new Net("ab bd ac cd");
  net.network.disconnect("a", "b");
  net.pass(100);
  net.network.connect("a", "b");
  net.network.node("b").stall(300);
  net.pass(5000);
  assertEquals(net.router("a").route("d")?.path, ["a", "b", "d"]);
});

Deno.test("mapRouter() goes through 150 nodes in a row", () => {
  const network = new VirtualNetwork();
  const ids = Array.from({ length: 150 }, (_, i) => `node-${i}`);
  for (const id of ids) network.add(id, { router: mapRouter() });
  ids.forEach((id, i) => i > 0 && network.connect(id, ids[i - 1] ?? ""));
  const last = network.node("node-149");
  network.clock.until(() => last.router.nodes.size === 149);
  network.clock.until(() => network.node("node-0").router.nodes.size === 149);
  network.node("node-0").send(["node-149"], text("far"));
  network.clock.tick(1000);
  assertEquals(last.delivered, [{ from: "node-0", payload: text("far") }]);
});

Deno.test("mapRouter().route() names the way and up to two others", () => {
  const net = new Net("ab ac ad ae be ce de");
  assertEquals(net.router("a").route("e"), {
    path: ["a", "e"],
    cost: 1,
    alternates: [["a", "b", "e"], ["a", "c", "e"]],
  });
  assertEquals(net.router("a").route("a"), null);
  assertEquals(net.router("a").route("nobody"), null);
  net.router("a").close();
  assertEquals(net.router("a").route("e"), null);
});

Deno.test("mapRouter().topology() gives the nodes and links within reach", () => {
  const net = new Net("ab bc de");
  assertEquals(net.router("a").topology(), {
    nodes: ["a", "b", "c"],
    links: [{ a: "a", b: "b", cost: 1 }, { a: "b", b: "c", cost: 1 }],
  });
  assertEquals(net.router("d").topology().nodes, ["d", "e"]);
});

// -- Maps --

Deno.test("mapRouter() joins the maps of two networks that meet", () => {
  const net = new Net("ab bc cd wx xy yz");
  net.network.connect("d", "w");
  const ms = net.network.clock.until(() =>
    net.network.nodes.every(({ router }) => router.nodes.size === 7)
  );
  assert(ms <= 20, `${ms} ms`);
});

Deno.test("mapRouter() keeps its map for an hour in which nothing happens", () => {
  const net = new Net("ab bc cd da");
  for (let minute = 0; minute < 60; minute++) {
    net.pass(60_000);
    for (const { router } of net.network.nodes) {
      assertEquals(router.nodes.size, 3);
    }
  }
  // An advert of each node over 5 links of 8 ends, about 120 times.
  assert(net.count(ADVERTS) < 4 * 5 * 135, `${net.count(ADVERTS)} adverts`);
  assertEquals(net.count(SUMMARY), 0);
});

Deno.test("mapRouter() goes around a relay that has fallen silent", () => {
  const net = new Net("ab bd ac cd");
  assertEquals(net.router("a").route("d")?.path, ["a", "b", "d"]);
  net.network.node("b").crash("silence");
  net.send("a", "d", "hello");
  net.pass(8000);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assertEquals(net.router("a").route("d"), {
    path: ["a", "c", "d"],
    cost: 2,
    alternates: [],
  });
});

Deno.test("mapRouter() finds a silent neighbour within 40 s without traffic", () => {
  const net = new Net("ab bc");
  net.network.node("c").crash("silence");
  net.pass(40_000);
  assertEquals([...net.network.node("a").router.nodes], ["b"]);
});

Deno.test("mapRouter() finds a link that carries one way only", () => {
  const net = new Net("ab bd ac cd");
  net.network.cut("a", "b", "one-way");
  net.send("a", "d", "hello");
  net.pass(70_000);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assertEquals(net.router("d").route("a")?.path, ["d", "c", "a"]);
});

Deno.test("mapRouter() takes a neighbour back that was silent", () => {
  const net = new Net("ab bc");
  net.network.node("c").pause();
  net.pass(40_000);
  assertEquals([...net.network.node("a").router.nodes], ["b"]);
  net.network.node("c").resume();
  net.pass(2000);
  net.send("a", "c", "hello");
  net.pass(100);
  assertEquals(net.arrived("c"), ["a: hello"]);
});

Deno.test("mapRouter() blames nobody for a pause of its own", () => {
  const net = new Net("ab bc");
  net.send("b", "c", "hello");
  net.pass(900);
  net.network.node("b").stall(20_000);
  net.send("a", "c", "held up");
  net.pass(20_500);
  const told = net.count(ADVERTS);
  net.pass(1000);
  assertEquals(net.arrived("c"), ["b: hello", "a: held up"]);
  assert(net.count(ADVERTS) <= told + 8);
});

Deno.test("mapRouter() forgets what a node told 100 s ago", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  for (let passed = 0; passed < 99; passed++) {
    bench.clock.tick(1000);
    bench.answer("a");
    bench.tell("a", "a", ["self", "b"], { sequence: 2 + passed });
  }
  assert(bench.router.nodes.has("b"));
  bench.clock.tick(3000);
  assertEquals([...bench.router.nodes], ["a"]);
});

Deno.test("mapRouter() outranks what is still told of its past", () => {
  const net = new Net("ab bc");
  for (let i = 0; i < 5; i++) {
    net.snap("b", "c");
    net.network.connect("b", "c");
    net.pass(100);
  }
  const { incarnation } = net.network.node("a").self;
  net.network.node("a").crash();
  net.pass(100);
  net.network.node("a").restart({ incarnation: incarnation - HOUR });
  net.network.connect("a", "b");
  net.network.clock.until(() => net.network.node("c").router.nodes.has("a"));
  net.send("c", "a", "again");
  net.pass(100);
  assertEquals(net.arrived("a"), ["c: again"]);
});

Deno.test("mapRouter() makes good what links had no room for", () => {
  const network = new VirtualNetwork({ outbox: 2 });
  const ids = [..."abcdefgh"];
  for (const id of ids) network.add(id, { router: mapRouter() });
  for (const a of ids) for (const b of ids) if (a < b) network.connect(a, b);
  network.clock.until(() =>
    network.nodes.every(({ router }) => router.nodes.size === 7)
  );
});

Deno.test("mapRouter() tells its links 5 times per second when they keep changing", () => {
  const net = new Net("ab bc");
  for (let i = 0; i < 100; i++) {
    net.snap("b", "c");
    net.network.connect("b", "c");
    net.pass(50);
  }
  const told = net.count(ADVERTS);
  assert(told < 5 * 5 * 2 * 3 + 50, `${told} adverts in 5 s`);
  net.network.clock.until(() => net.network.node("a").router.nodes.has("c"));
});

// -- Links that end --

Deno.test("mapRouter() takes a packet around a link that ended before its origin knew", () => {
  const net = new Net("ab bc cd be ed", 10);
  net.send("a", "d", "hello");
  net.network.disconnect("b", "c");
  net.pass(100);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assertEquals([net.count(LETTER), net.count(RETURN)], [3, 0]);
});

Deno.test("mapRouter() sends a packet again that found no way on", () => {
  const net = new Net("ab bc cd af fe ed", 10);
  assertEquals(net.router("a").route("d")?.path, ["a", "b", "c", "d"]);
  net.send("a", "d", "hello");
  net.pass(15);
  net.network.disconnect("c", "d");
  net.pass(1000);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assertEquals(net.network.node("a").undelivered, []);
  assertEquals(net.count(RETURN), 2);
});

Deno.test("mapRouter() sends another way what was on a link as it ended", () => {
  const net = new Net("ab bc cd be ed", 10);
  for (let i = 0; i < 3; i++) net.send("a", "d", `${i}`);
  net.pass(15);
  net.snap("b", "c");
  net.pass(1000);
  assertEquals(net.arrived("d"), ["a: 0", "a: 1", "a: 2"]);
  assertEquals(net.network.node("a").undelivered, []);
});

Deno.test("mapRouter() sends nothing again that had come", () => {
  const net = new Net("ab bc cd be ed", 10);
  for (let i = 0; i < 3; i++) net.send("a", "d", `${i}`);
  net.pass(55);
  assertEquals(net.arrived("d").length, 3);
  net.snap("b", "c");
  net.pass(1000);
  assertEquals([net.arrived("d").length, net.count(LETTER)], [3, 9]);
});

Deno.test("mapRouter() sends again to a node that came back what its link lost", () => {
  const net = new Net("ab", 10);
  net.send("a", "b", "hello");
  net.pass(5);
  net.snap("a", "b");
  net.network.connect("a", "b");
  net.pass(1000);
  assertEquals(net.arrived("b"), ["a: hello"]);
});

Deno.test("mapRouter() reports what was on a link as it ended where there is no other way", () => {
  const net = new Net("ab bc", 10);
  net.send("a", "c", "hello");
  net.pass(15);
  net.snap("b", "c");
  net.pass(2500);
  assertEquals(net.arrived("c"), []);
  const [report, ...others] = net.network.node("a").undelivered;
  assertEquals(others, []);
  assertEquals([report?.to, report?.lastHop], ["c", "b"]);
  assertEquals(report?.head, text("hello"));
  assertEquals(report?.reason, "there is no way to it");
});

Deno.test("mapRouter() reports what a relay has no room for", () => {
  const net = new Net("ab bc");
  const { clock } = net.network;
  net.network.shape({ latency: 5000 }, { from: "b", to: "c" });
  const payload = new Uint8Array(1000).fill(7);
  let sent = 0;
  for (; net.network.node("a").undelivered.length === 0; sent++) {
    assertEquals(net.network.node("a").send(["c"], payload), 1);
    clock.tick(1);
  }
  const [report] = net.network.node("a").undelivered;
  assertEquals([report?.to, report?.lastHop], ["c", "b"]);
  assertEquals(report?.head, payload.subarray(0, 256));
  assertEquals(report?.reason, 'there is no room on the link to "c"');
  assert(sent > 1000, `${sent} sent`);
  clock.tick(20_000);
  const { delivered } = net.network.node("c");
  assertEquals(
    delivered.length + net.network.node("a").undelivered.length,
    sent,
  );
});

Deno.test("mapRouter().send() waits for a way that is about to be found", () => {
  const net = new Net("ab bc");
  net.pass(1000);
  net.snap("b", "c");
  net.pass(5);
  net.send("a", "c", "wait");
  net.pass(900);
  assertEquals(net.network.node("a").undelivered, []);
  net.network.connect("c", "b");
  net.pass(50);
  assertEquals(net.arrived("c"), ["a: wait"]);
});

Deno.test("mapRouter() gives up within 1 s what waits for a way", () => {
  const net = new Net("ab bc");
  net.pass(1000);
  net.snap("b", "c");
  net.pass(5);
  net.send("a", "c", "wait");
  net.pass(1000);
  const { undelivered } = net.network.node("a");
  assertEquals(undelivered.map(({ to, lastHop }) => [to, lastHop]), [
    ["c", "a"],
  ]);
  assertEquals([...net.network.node("a").router.nodes], ["b"]);
});

Deno.test("mapRouter() lets 1,024 packets wait for a way, no more", () => {
  const net = new Net("ab bc");
  net.pass(1000);
  net.snap("b", "c");
  net.pass(5);
  let taken = 0;
  for (let i = 0; i < 2000; i++) {
    taken += net.network.node("a").send(["c"], text(`${i}`));
  }
  assertEquals([taken, net.counter("a", "dropped")], [1024, 976]);
  net.pass(2000);
  assertEquals(net.network.node("a").undelivered.length, 1024);
});

// -- To all --

Deno.test("mapRouter().send() to all takes N − 1 packets", () => {
  const net = new Net("ab bc cd de ea ac bd ce da eb");
  for (const { id } of net.network.nodes) {
    net.network.node(id).send("all", text(id));
    net.pass(100);
  }
  assertEquals(net.count(BROADCAST), 5 * 4);
});

Deno.test("mapRouter().send() to all reaches those behind a link that has just ended", () => {
  const net = new Net("ab bc cd de ef fa", 10);
  net.network.disconnect("b", "c");
  assertEquals(net.network.node("a").send("all", text("hello")), 5);
  net.pass(1000);
  for (const id of "bcdef") assertEquals(net.arrived(id), ["a: hello"]);
  const count = net.count(BROADCAST);
  assert(count <= 2 * 6 + 5, `${count} packets`);
});

Deno.test("mapRouter().send() to all reaches those behind a link that ends with it", () => {
  const net = new Net("ab bc cd de ef fa", 10);
  net.network.node("a").send("all", text("hello"));
  net.pass(15);
  net.snap("b", "c");
  net.pass(1000);
  for (const id of "bcdef") assertEquals(net.arrived(id), ["a: hello"]);
});

Deno.test("mapRouter().send() to all reaches a node whose links all ended with it but one", () => {
  const net = new Net("ab ac bd cd", 10);
  net.network.node("a").send("all", text("hello"));
  net.pass(15);
  net.snap("b", "d");
  net.pass(1000);
  assertEquals(net.arrived("d"), ["a: hello"]);
  assert(net.count(BROADCAST) <= 3, `${net.count(BROADCAST)} packets`);
});

Deno.test("mapRouter().send() to all reports whom it was lost for", () => {
  const net = new Net("ab bc", 10);
  net.network.node("a").send("all", text("hello"));
  net.pass(15);
  net.snap("b", "c");
  net.pass(1000);
  const { undelivered } = net.network.node("a");
  assertEquals(undelivered.map(({ to, lastHop }) => [to, lastHop]), [
    ["c", "b"],
  ]);
  assertEquals(undelivered[0]?.head, text("hello"));
});

Deno.test("mapRouter().send() to all reaches a neighbour before that tells of the link", () => {
  const net = new Net("ab cd");
  net.network.connect("b", "c");
  const b = net.network.node("b");
  net.network.clock.until(() => b.neighbours.includes("c"));
  assertEquals(b.send("all", text("hello")), 2);
  net.pass(100);
  for (const id of "acd") assertEquals(net.arrived(id), ["b: hello"]);
});

Deno.test("mapRouter().send() to all reaches a node that moves meanwhile", () => {
  const net = new Net("ab bc cd de ef fg gh", 10);
  net.network.node("a").send("all", text("hello"));
  net.pass(35);
  net.network.connect("b", "g");
  net.pass(20);
  net.network.disconnect("e", "f");
  net.pass(1000);
  for (const id of "bcdefgh") assertEquals(net.arrived(id), ["a: hello"]);
});

Deno.test("mapRouter() tells a restarted node nothing of the time before", () => {
  const net = new Net("ab bc");
  net.network.node("a").send("all", text("hello"));
  net.pass(100);
  net.network.node("c").crash();
  net.pass(100);
  net.network.node("c").restart();
  net.network.connect("c", "b");
  net.pass(1000);
  assertEquals(net.arrived("c"), []);
  assertEquals([...net.network.node("a").router.nodes], ["b", "c"]);
});

Deno.test("mapRouter() gives a restarted node nothing that was for its former life", () => {
  const net = new Net("ab bc", 10);
  const { incarnation } = net.network.node("c").self;
  net.send("a", "c", "one");
  net.network.node("a").send("all", text("all"));
  net.pass(25);
  assertEquals(net.arrived("c"), ["a: one", "a: all"]);
  net.network.node("c").crash();
  net.pass(15);
  net.network.node("c").restart();
  net.network.connect("c", "b");
  net.pass(5000);
  assert(net.network.node("c").self.incarnation > incarnation);
  assertEquals(net.arrived("c"), []);
  const { undelivered } = net.network.node("a");
  assertEquals(undelivered.map(({ to }) => to), ["c", "c"]);
  net.send("a", "c", "two");
  net.pass(100);
  assertEquals(net.arrived("c"), ["a: two"]);
});

// -- Members --

Deno.test("mapRouter().member() ends the link to one that is gone, not to its restart", () => {
  const net = new Net("ab ac");
  const { router } = net.network.node("a");
  const member = (id: NodeId, incarnation: number) => ({
    id,
    incarnation,
    addresses: [],
  });
  const { incarnation } = net.network.node("b").self;
  const earlier = incarnation - HOUR;
  router.member({
    type: "leave",
    member: member("b", earlier),
    reason: "restarted",
  });
  net.pass(10);
  assertEquals(net.network.node("a").neighbours, ["b", "c"]);
  router.member({
    type: "leave",
    member: member("b", incarnation),
    reason: "failed",
  });
  net.pass(10);
  assertEquals(net.network.node("a").neighbours, ["c"]);
});

// -- Hostile neighbours --

/** A router of node "self" whose neighbours are the test. */
class Bench {
  readonly clock = new VirtualClock();
  readonly sent: { to: NodeId; packet: Uint8Array; lane: Lane }[] = [];
  readonly delivered: { from: NodeId; payload: Uint8Array }[] = [];
  readonly undelivered: NodeId[] = [];
  readonly router: MapRouter;

  constructor(maxNodes?: number) {
    const options = maxNodes === undefined ? {} : { maxNodes };
    this.router = mapRouter(options)({
      ...this.#context("self"),
      up: {
        deliver: (from, payload) => this.delivered.push({ from, payload }),
        undelivered: (to) => this.undelivered.push(to),
      },
    });
  }

  #context(id: NodeId): RouterContext {
    return {
      self: peer(id),
      clock: this.clock,
      random: () => 0.5,
      links: {
        send: (to, packet, lane) => this.sent.push({ to, packet, lane }) > 0,
        connect: () => {},
        disconnect: () => {},
      },
      up: { deliver: () => {}, undelivered: () => {} },
    };
  }

  /** The order of another node, for its stamps. */
  order(id: NodeId): Order {
    return new Order(this.#context(id));
  }

  /** Links up, and is told of the links of others: `a: "self b"`. */
  up(links: Readonly<Record<NodeId, string>>): void {
    const [first = ""] = Object.keys(links);
    for (const [id, others] of Object.entries(links)) {
      if (others.split(" ").includes("self")) {
        this.router.link({ type: "up", peer: peer(id) });
      }
    }
    for (const [id, others] of Object.entries(links)) {
      this.tell(first, id, others.split(" "));
    }
  }

  tell(
    by: NodeId,
    origin: NodeId,
    others: readonly NodeId[],
    version: { incarnation?: number; sequence?: number; age?: number } = {},
  ): void {
    const { incarnation = INCARNATION, sequence = 1, age = 0 } = version;
    const { bytes } = makeAdvert(
      origin,
      { incarnation, sequence },
      others.map((id): [NodeId, number] => [id, 1]),
    );
    this.receive(by, writeTalk({ kind: ADVERTS, adverts: [{ age, bytes }] }));
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane = "data"): void {
    this.router.receive(from, packet, lane);
  }

  counter(name: string): number {
    return this.router.counters[name] ?? NaN;
  }

  /** Answers a question, if there was one, with a hash that fits. */
  answer(from: NodeId): void {
    for (const { to, packet } of this.take(HELLO)) {
      const hello = readTalk(packet);
      if (to !== from || hello?.kind !== HELLO) continue;
      const { token } = hello;
      this.receive(from, writeTalk({ kind: ANSWER, token, hash: 0 }));
    }
  }

  /** Takes the packets of a kind that were sent since the last call. */
  take(...kinds: number[]): { to: NodeId; packet: Uint8Array; lane: Lane }[] {
    return this.sent.splice(0).filter(({ packet }) =>
      kinds.includes(kindOf(packet) ?? -1)
    );
  }
}

function peer(id: NodeId): Peer {
  return { id, incarnation: INCARNATION, addresses: [] };
}

function letter(
  path: readonly NodeId[],
  stamp: Stamp,
  kind: typeof LETTER | typeof RETURN = LETTER,
): Uint8Array {
  return writeRouted({ kind, path, detours: 0 }, [
    writeLetterHead({ stamp, life: 0 }),
    text("hello"),
  ]);
}

Deno.test("mapRouter() passes a packet on as the very same bytes", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  const one = letter(
    ["x", "a", "self", "b", "y"],
    bench.order("x").next("y", "data"),
  );
  bench.take();
  bench.receive("a", one);
  assert(bench.take(LETTER)[0]?.packet === one);
  const stamp = bench.order("a").next(null, "data");
  const payload = text("hello");
  const all = writeBroadcast({ isFlood: true, digest: 0, stamp, payload });
  bench.receive("a", all);
  const [passed, ...others] = bench.take(BROADCAST);
  assert(passed?.packet === all && passed.to === "b" && others.length === 0);
});

Deno.test("mapRouter() drops packets whose path cannot be", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  const stamp = bench.order("x").next("y", "data");
  const paths = [
    ["x", "y"],
    ["self", "b"],
    ["x", "b", "self", "a"],
    ["self", "a", "b"],
    // In circles: the second time, it does not come from where it came first.
    ["x", "b", "self", "a", "self", "b"],
  ];
  bench.take();
  for (const path of paths) bench.receive("a", letter(path, stamp));
  assertEquals([bench.counter("forged"), bench.take(LETTER).length], [5, 0]);
});

Deno.test("mapRouter() drops payloads that are not their sender's", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  const path = ["a", "self"];
  const order = bench.order("a");
  bench.receive("a", letter(path, bench.order("b").next("self", "data")));
  bench.receive("a", letter(path, order.next("b", "data")));
  bench.receive("a", letter(path, order.next(null, "data")));
  bench.receive("a", letter(path, order.next("self", "data")), "control");
  assertEquals([bench.counter("forged"), bench.delivered.length], [4, 0]);
});

Deno.test("mapRouter() delivers a replayed packet once", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  const order = bench.order("a");
  const one = letter(["a", "self"], order.next("self", "data"));
  const stamp = order.next(null, "data");
  const payload = text("hello");
  const all = writeBroadcast({ isFlood: true, digest: 0, stamp, payload });
  bench.take();
  for (let i = 0; i < 100; i++) {
    bench.receive("a", one);
    bench.receive(i % 2 === 0 ? "a" : "b", all);
  }
  assertEquals(bench.delivered.length, 2);
  assertEquals(bench.take(BROADCAST).length, 1);
});

Deno.test("mapRouter() drops broadcasts in the name of others", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  const payload = text("hello");
  bench.take();
  for (const id of ["self", "ghost"]) {
    const stamp = bench.order(id).next(null, "data");
    const head = { isFlood: false, digest: 0, stamp, payload };
    bench.receive("a", writeBroadcast(head));
  }
  assertEquals([bench.counter("forged"), bench.counter("strangers")], [1, 1]);
  assertEquals([bench.delivered, bench.take(BROADCAST)], [[], []]);
});

Deno.test("mapRouter() drops what no neighbour sent", () => {
  const bench = new Bench();
  bench.up({ a: "self" });
  bench.receive("b", writeTalk({ kind: MARK, number: 1 }));
  bench.router.link({ type: "down", id: "a", reason: "?" });
  bench.receive("a", writeTalk({ kind: MARK, number: 1 }));
  assertEquals([bench.counter("strangers"), bench.take(ACK)], [2, []]);
});

Deno.test("mapRouter() counts what is malformed, and kinds that it does not know", () => {
  const bench = new Bench();
  bench.up({ a: "self" });
  bench.receive("a", new Uint8Array());
  bench.receive("a", new Uint8Array([1, 99]));
  bench.receive("a", new Uint8Array([9, HELLO]));
  bench.receive("a", new Uint8Array([1, HELLO, 0]));
  bench.receive("a", new Uint8Array([1, LETTER, 0, 200]));
  assertEquals([bench.counter("unknown"), bench.counter("malformed")], [3, 2]);
});

Deno.test("mapRouter() sends no payload again that is not its own", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  const path = ["a", "self"];
  bench.take();
  bench.receive("a", letter(path, bench.order("x").next("b", "data"), RETURN));
  bench.receive(
    "a",
    letter(path, bench.order("self").next(null, "data"), RETURN),
  );
  assertEquals([bench.counter("forged"), bench.take(LETTER)], [2, []]);
  bench.receive(
    "a",
    letter(path, bench.order("self").next("b", "data"), RETURN),
  );
  assertEquals(bench.take(LETTER).length, 1);
});

Deno.test("mapRouter() sends a packet back and forth eight times at most", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  bench.router.send(["b"], text("hello"));
  let rounds = 0;
  for (; bench.undelivered.length === 0; rounds++) {
    const [sent] = bench.take(LETTER);
    const routed = sent && readRouted(sent.packet);
    assert(routed);
    bench.receive(
      "a",
      writeRouted({
        kind: RETURN,
        path: ["a", "self"],
        detours: routed.detours + 1,
      }, [routed.content]),
    );
  }
  assertEquals([rounds, bench.undelivered], [8, ["b"]]);
});

Deno.test("mapRouter() tells of a report, and only of its own", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  const content = [writeReport({ to: "b", reason: "why", head: text("x") })];
  const report = (path: readonly NodeId[]) =>
    writeRouted({ kind: REPORT, path, detours: 0 }, content);
  bench.receive("a", report(["b", "a", "self"]));
  bench.receive("a", report(["b", "a", "c"]));
  assertEquals([bench.undelivered, bench.counter("forged")], [["b"], 1]);
});

Deno.test("mapRouter() does not believe in one end of a link", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self c", c: "b" });
  // "a" claims to be next to everyone.
  bench.tell("a", "a", ["self", "b", "c", "d"], { sequence: 2 });
  assertEquals(bench.router.route("c")?.path, ["self", "b", "c"]);
  assertEquals([...bench.router.nodes].sort(), ["a", "b", "c"]);
});

Deno.test("mapRouter() takes the newest advert of a node, and answers older ones", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  bench.tell("a", "b", ["a", "c"], { sequence: 5 });
  bench.take();
  bench.tell("a", "b", [], { sequence: 4 });
  bench.tell("a", "b", [], { sequence: 5 });
  const [answer, ...others] = bench.take(ADVERTS);
  const talk = answer && readTalk(answer.packet);
  assert(talk?.kind === ADVERTS && answer?.to === "a");
  assertEquals(others, []);
  assertEquals(
    talk.adverts[0]?.bytes,
    makeAdvert("b", { incarnation: INCARNATION, sequence: 5 }, [["a", 1], [
      "c",
      1,
    ]]).bytes,
  );
  assert(bench.router.nodes.has("b"));
});

Deno.test("mapRouter() refuses absurd incarnations, sequence numbers and ages", () => {
  const bench = new Bench();
  bench.up({ a: "self b", b: "a" });
  const absurd = [
    { incarnation: Number.MAX_SAFE_INTEGER },
    { incarnation: INCARNATION + HOUR + 4096 },
    { sequence: 2 ** 32 - 1 },
    { sequence: 2 ** 20 + 2 },
  ];
  for (const version of absurd) bench.tell("a", "b", [], version);
  bench.tell("a", "self", [], { incarnation: Number.MAX_SAFE_INTEGER });
  assertEquals(bench.counter("refused"), 5);
  bench.tell("a", "b", [], { sequence: 3, age: 2 ** 32 - 1 });
  assert(bench.router.nodes.has("b"));
  bench.tell("a", "b", [], { incarnation: INCARNATION + HOUR });
  assertEquals(bench.router.route("b"), null);
});

Deno.test("mapRouter() outranks a forged advert of itself", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  for (
    const forged of [
      { sequence: 1000 },
      { sequence: 2 ** 32 - 1 },
      { incarnation: INCARNATION + HOUR / 2, sequence: 2 ** 32 - 1 },
    ]
  ) {
    bench.take();
    bench.tell("a", "self", ["evil"], forged);
    const told = bench.take(ADVERTS).map(({ to }) => to);
    assertEquals(told, ["a", "b"]);
    assertEquals(bench.router.route("a")?.path, ["self", "a"]);
    bench.clock.tick(200);
  }
});

Deno.test("mapRouter() holds a map of so many nodes, and drops those out of reach first", () => {
  const bench = new Bench(100);
  bench.up({ a: "self b", b: "a" });
  for (let i = 0; i < 50_000; i++) {
    bench.tell("a", `ghost-${i}`, [`ghost-${i + 1}`, `ghost-${i + 2}`]);
    if (i % 100 === 0) bench.clock.tick(100);
  }
  bench.tell("a", "a", ["self", "b", "c"], { sequence: 2 });
  bench.tell("a", "c", ["a"]);
  assertEquals([...bench.router.nodes].sort(), ["a", "b", "c"]);
});

Deno.test("mapRouter() refuses more nodes than fit, although they can be reached", () => {
  const bench = new Bench(50);
  bench.up({ a: "self", b: "self" });
  const crowd = Array.from({ length: 60 }, (_, i) => `c${i}`);
  bench.tell("a", "a", ["self", ...crowd], { sequence: 2 });
  for (const id of crowd) bench.tell("a", id, ["a"]);
  assertEquals([bench.router.nodes.size, bench.counter("full")], [49, 13]);
});

Deno.test("mapRouter() takes 1,000 adverts per second from a neighbour", () => {
  const bench = new Bench(50);
  bench.up({ a: "self" });
  for (let i = 0; i < 5000; i++) bench.tell("a", `ghost-${i}`, []);
  assertEquals(bench.counter("flooded"), 5001 - 100);
  bench.clock.tick(1000);
  for (let i = 0; i < 5000; i++) bench.tell("a", `spook-${i}`, []);
  assertEquals(bench.counter("flooded"), 10_001 - 200);
});

Deno.test("mapRouter() lets one node change 10 times per second", () => {
  const bench = new Bench();
  bench.up({ a: "self", b: "self" });
  bench.take();
  for (let i = 2; i < 1002; i++) {
    bench.tell("a", "c", [i % 2 === 0 ? "a" : "b"], { sequence: i });
  }
  const passed = bench.take(ADVERTS).length;
  assert(passed <= 33, `${passed} adverts`);
  assert(bench.counter("flooded") > 900);
});

Deno.test("mapRouter() answers a flood of questions within bounds", () => {
  const bench = new Bench(100);
  bench.up({ a: "self" });
  for (let i = 0; i < 90; i++) bench.tell("a", `ghost-${i}`, ["a"]);
  bench.take();
  const versions = new Map();
  const page = { after: "", upTo: "", versions };
  for (let i = 0; i < 5000; i++) {
    bench.receive("a", writeTalk({ kind: SUMMARY, page }));
  }
  const adverts = bench.take(ADVERTS).flatMap(({ packet }) => {
    const talk = readTalk(packet);
    return talk?.kind === ADVERTS ? talk.adverts : [];
  });
  assert(adverts.length <= 200, `${adverts.length} adverts`);
  assertEquals(bench.counter("flooded"), 5000 - 64);
});

Deno.test("mapRouter() treats a link as full that confirms nothing", () => {
  const bench = new Bench();
  bench.up({ a: "self" });
  const payload = new Uint8Array(2 ** 20);
  let handed = 0;
  for (let i = 0; i < 20; i++) handed += bench.router.send(["a"], payload);
  assertEquals([handed, bench.counter("dropped")], [8, 12]);
  bench.receive("a", writeTalk({ kind: ACK, lane: "data", number: 8 }));
  assertEquals(bench.router.send(["a"], payload), 1);
});

Deno.test("mapRouter() has no timers before its first link, and none after close()", () => {
  const bench = new Bench();
  assertEquals(bench.clock.pending, 0);
  bench.up({ a: "self b", b: "a" });
  bench.router.send(["b"], text("hello"));
  bench.router.link({ type: "down", id: "a", reason: "?" });
  bench.clock.tick(0);
  assert(bench.clock.pending > 0);
  bench.router.close();
  assertEquals(bench.clock.pending, 0);
});

Deno.test("mapRouter() dials members while it has fewer than three links", () => {
  const network = new VirtualNetwork();
  const ids = ["a", "b", "c", "d", "e"];
  for (const id of ids) {
    network.add(id, { router: mapRouter(), membership: swim() });
  }
  for (const id of ids.slice(1)) network.connect(id, "a");
  network.clock.tick(5000);
  for (const { neighbours } of network.nodes) assert(neighbours.length >= 3);
  network.node("a").crash("silence");
  network.clock.tick(15_000);
  for (const id of ids.slice(1)) {
    assertEquals(network.node(id).router.nodes.size, 3);
  }
});
