import { assert, assertEquals, assertThrows } from "@std/assert";
import { Writer } from "./_bytes.ts";
import { Liar } from "./_liar_test.ts";
import { type Stamp, writeStamp } from "./_order_stamp.ts";
import { heartbeat } from "./heartbeat.ts";
import { epochOf, incarnationAt } from "./incarnation.ts";
import { hopRouter } from "./hop.ts";
import {
  graph,
  seededRandom,
  testMembership,
  testRouter,
  VirtualNetwork,
} from "./testing.ts";
import {
  type Counted,
  type NodeId,
  NodeNotFoundError,
  type Router,
  type RouterFactory,
} from "./types.ts";

testRouter("hopRouter()", hopRouter());
testRouter("hopRouter()", hopRouter(), { topology: "line" });
testRouter("hopRouter()", hopRouter(), { topology: "ring" });
testMembership("heartbeat() over hopRouter()", heartbeat(), {
  router: hopRouter(),
  skip: {
    "fifty nodes that start together know each other":
      "each of 2,450 heartbeats a second is a flood",
  },
});

// Kinds of packets, as they travel.
const PAYLOAD = 1;
const HELLO = 2;
const LOST = 3;
const SIGNS = 4;
const EPOCH = epochOf(incarnationAt(Date.UTC(2026, 0, 1)));

function line(
  count: number,
  router: RouterFactory = hopRouter(),
  options = {},
): VirtualNetwork {
  const ids = Array.from({ length: count }, (_, i) => `n${i}`);
  const network = new VirtualNetwork(options);
  for (const id of ids) network.add(id, { router });
  for (const [a, b] of graph("line", ids, seededRandom(1))) {
    network.connect(a, b);
  }
  network.clock.tick(1000);
  return network;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function texts(network: VirtualNetwork, id: NodeId): string[] {
  return network.node(id).delivered.map(({ payload }) =>
    new TextDecoder().decode(payload)
  );
}

function counter(router: Router & Partial<Counted>, name: string): number {
  return router.counters?.[name] ?? NaN;
}

/** A flood as a node writes it. */
function flooded(
  kind: number,
  ttl: number,
  number: number,
  stamp: Partial<Stamp>,
  body: Uint8Array = new Uint8Array(),
): Uint8Array {
  const writer = new Writer().u8(kind).u8(ttl).u53(number);
  writeStamp(writer, {
    origin: "stranger",
    epoch: EPOCH,
    to: null,
    lane: "data",
    number,
    broadcasts: 0,
    unicasts: 0,
    isRecent: false,
    mentions: [],
    ...stamp,
  });
  const header = writer.take();
  const packet = new Uint8Array(header.length + body.length);
  packet.set(header);
  packet.set(body, header.length);
  return packet;
}

/** A ring of honest nodes, and a liar linked to the first. */
function withLiar(count: number): { network: VirtualNetwork; liar: Liar } {
  const network = new VirtualNetwork({ outbox: 1_000_000 });
  const liar = new Liar();
  const ids = Array.from({ length: count }, (_, i) => `n${i}`);
  for (const id of ids) network.add(id, { router: hopRouter() });
  network.add("liar", { router: liar.router });
  for (const [a, b] of graph("ring", ids, seededRandom(1))) {
    network.connect(a, b);
  }
  network.connect("liar", "n0");
  network.clock.tick(100);
  return { network, liar };
}

// -- Options --

Deno.test("hopRouter() refuses options out of range", () => {
  for (const ttl of [0, 256, 1.5, NaN]) {
    assertThrows(() => hopRouter({ ttl }), RangeError, `TTL of ${ttl}`);
  }
  for (const links of [-1, 257, 1.5, NaN]) {
    assertThrows(() => hopRouter({ links }), RangeError, `links of ${links}`);
  }
});

// -- Ways --

Deno.test("hopRouter() hands what is for a neighbour to that one only", () => {
  const network = line(3);
  const before = network.node("n1").sent;
  network.node("n1").send(["n2"], bytes("x"));
  assertEquals(network.node("n1").sent - before, 1);
});

Deno.test("hopRouter() does not pass on what is for the node itself", () => {
  const network = line(3);
  let packets = 0;
  network.tap((_from, _to, _packet, lane) => {
    if (lane === "data") packets++;
  });
  network.node("n0").send(["n1"], bytes("x"));
  network.clock.tick(100);
  assertEquals([packets, texts(network, "n1"), texts(network, "n2")], [
    1,
    ["x"],
    [],
  ]);
});

Deno.test("hopRouter() reaches as far as its TTL, and says so", () => {
  const network = line(6, hopRouter({ ttl: 3 }));
  const { router } = network.node("n0");
  network.node("n0").send("all", bytes("all"));
  network.node("n0").send(["n3"], bytes("near"));
  network.node("n0").send(["n5"], bytes("far"));
  network.clock.tick(6000);
  assertEquals(texts(network, "n3"), ["all", "near"]);
  assertEquals([texts(network, "n4"), texts(network, "n5")], [[], []]);
  assertEquals(network.node("n0").undelivered, [{
    to: "n5",
    head: bytes("far"),
    lastHop: "n3",
    reason: "it had gone through too many nodes",
  }]);
  network.clock.tick(30_000);
  assertEquals([...router.nodes].sort(), ["n1", "n2", "n3"]);
});

Deno.test("hopRouter() names the relay whose link had no room", () => {
  const network = line(4, hopRouter(), { outbox: 4, latency: 50 });
  // They come to n2 just after it has filled its link to n3.
  for (let i = 0; i < 4; i++) network.node("n1").send(["n3"], bytes(`${i}`));
  network.clock.tick(49);
  for (let i = 0; i < 4; i++) network.node("n2").send(["n3"], bytes("filler"));
  network.clock.tick(10_000);
  const { undelivered } = network.node("n1");
  const arrived = texts(network, "n3").filter((text) => text !== "filler");
  assertEquals(undelivered.length + arrived.length, 4);
  assert(undelivered.length > 0);
  for (const { lastHop, reason } of undelivered) {
    assertEquals([lastHop, reason], ["n2", "its link had no room"]);
  }
});

Deno.test("hopRouter() tells what was lost in between", () => {
  const missed: [NodeId, number][] = [];
  const network = line(3, (context) => {
    const { up } = context;
    return hopRouter()({
      ...context,
      self: context.self,
      up: {
        deliver: (from, payload) => up.deliver(from, payload),
        undelivered: (...args) => up.undelivered(...args),
        missed: (from, count) => missed.push([from, count]),
      },
    });
  }, { outbox: 2 });
  for (let i = 0; i < 5; i++) {
    network.node("n0").send("all", bytes(`${i}`));
  }
  network.clock.tick(10);
  network.node("n0").send("all", bytes("last"));
  network.clock.tick(5000);
  for (const id of ["n1", "n2"]) {
    assertEquals(texts(network, id), ["0", "1", "last"]);
  }
  assertEquals(missed, [["n0", 3], ["n0", 3]]);
});

// -- Nodes --

Deno.test("hopRouter() knows everyone on both sides of a new link at once", () => {
  const network = line(10);
  network.cut("n4", "n5", "links");
  network.clock.tick(4000);
  assertEquals(network.node("n0").router.nodes.size, 4);
  assertEquals(network.node("n9").router.nodes.size, 4);
  network.healAll();
  network.connect("n4", "n5");
  network.clock.tick(20);
  for (const node of network.nodes) assertEquals(node.router.nodes.size, 9);
});

Deno.test("hopRouter() keeps those who can be reached another way when a link ends", () => {
  const network = line(6);
  network.connect("n0", "n5");
  network.clock.tick(100);
  network.cut("n2", "n3", "links");
  let least = Infinity;
  for (let i = 0; i < 100; i++) {
    network.clock.tick(100);
    for (const node of network.nodes) {
      least = Math.min(least, node.router.nodes.size);
    }
  }
  assertEquals(least, 5);
});

Deno.test("hopRouter() forgets whom the membership gave up, unless it is a neighbour", () => {
  const network = line(3);
  const { router } = network.node("n0");
  for (const id of ["n1", "n2"]) {
    const member = network.node(id).self;
    router.member({ type: "leave", member, reason: "restarted" });
  }
  assertEquals(router.nodes.size, 2);
  for (const id of ["n1", "n2"]) {
    const member = network.node(id).self;
    router.member({ type: "leave", member, reason: "failed" });
  }
  assertEquals([...router.nodes], ["n1"]);
  assertThrows(() => router.send(["n2"], bytes("x")), NodeNotFoundError);
});

Deno.test("hopRouter() is quiet in a quiet network", () => {
  const network = line(10);
  network.clock.tick(60_000);
  const before = network.nodes.reduce((sum, { sent }) => sum + sent, 0);
  network.clock.tick(60_000);
  const packets = network.nodes.reduce((sum, { sent }) => sum + sent, 0) -
    before;
  // A hello of each node every 15 s, over 9 links.
  assert(packets <= 10 * 9 * 5, `${packets} packets`);
});

// -- Bad input --

Deno.test("hopRouter() passes on a TTL of 255 as its own", () => {
  const { network, liar } = withLiar(3);
  const ttls: number[] = [];
  network.tap((from, _to, packet) => {
    if (from !== "liar" && packet[0] === PAYLOAD) ttls.push(packet[1] ?? 0);
  });
  liar.send("n0", flooded(PAYLOAD, 255, 1, { number: 1 }, bytes("x")));
  network.clock.tick(1000);
  assertEquals(ttls.sort(), [62, 62, 63, 63]);
});

Deno.test("hopRouter() delivers a packet once however often and wherever it comes", () => {
  const { network, liar } = withLiar(5);
  for (let i = 0; i < 1000; i++) {
    liar.send("n0", flooded(PAYLOAD, 64, 1, { number: 1 }, bytes("x")));
    liar.send("n0", flooded(PAYLOAD, 64, i, { number: 1 }, bytes("x")));
  }
  network.clock.tick(10_000);
  for (let i = 0; i < 5; i++) assertEquals(texts(network, `n${i}`), ["x"]);
});

Deno.test("hopRouter() drops what claims to be its own", () => {
  const { network, liar } = withLiar(3);
  liar.send("n0", flooded(PAYLOAD, 64, 1, { origin: "n0" }, bytes("x")));
  network.clock.tick(100);
  assertEquals(counter(network.node("n0").router, "looped"), 1);
  assertEquals(texts(network, "n1"), []);
});

Deno.test("hopRouter() lets no made-up numbers multiply", () => {
  const { network, liar } = withLiar(8);
  for (let i = 0; i < 8; i += 2) network.connect(`n${i}`, `n${(i + 4) % 8}`);
  network.clock.tick(100);
  let packets = 0;
  network.tap((from, _to, packet) => {
    if (from !== "liar" && packet[0] === PAYLOAD) packets++;
  });
  for (let i = 0; i < 100; i++) {
    liar.send("n0", flooded(PAYLOAD, 255, i * 1e9, { number: i * 1e9 }));
  }
  network.clock.tick(60_000);
  assert(packets < 100, `${packets} packets`);
});

Deno.test("hopRouter() hears an honest node although others speak in its name", () => {
  const { network, liar } = withLiar(4);
  const expected: string[] = [];
  for (let i = 0; i < 100; i++) {
    const number = Math.floor(seededRandom(i)() * 2 ** 53);
    liar.send("n0", flooded(PAYLOAD, 64, number, { origin: "n2", number }));
    liar.send(
      "n0",
      flooded(PAYLOAD, 64, i, { origin: "n2", epoch: EPOCH + 1000 + i }),
    );
    expected.push(`${i}`);
    network.node("n2").send("all", bytes(`${i}`));
    network.clock.tick(100);
  }
  network.clock.tick(10_000);
  const got = texts(network, "n0").filter((text) => text !== "");
  assertEquals(got, expected);
});

Deno.test("hopRouter() keeps its tables small when told of a million nodes", () => {
  const { network, liar } = withLiar(3);
  for (let i = 0; i < 8000; i++) {
    const writer = new Writer().u8(SIGNS).u8(128);
    for (let j = 0; j < 128; j++) writer.string(`${i * 128 + j}`).u32(0);
    liar.send("n0", writer.take(), "control");
  }
  network.clock.tick(1000);
  const { router } = network.node("n0");
  assert(router.nodes.size <= 1024 + 3, `${router.nodes.size} nodes`);
  assert(counter(router, "unknown") > 1_000_000);
  network.clock.tick(30_000);
  assertEquals(router.nodes.size, 3);
});

Deno.test("hopRouter() keeps its tables small when 100,000 origins are made up", () => {
  const { network, liar } = withLiar(3);
  for (let i = 0; i < 100_000; i++) {
    const stamp: Partial<Stamp> = { origin: `${i}`, lane: "control" };
    liar.send("n0", flooded(HELLO, 64, 1, stamp), "control");
  }
  network.node("n1").send("all", bytes("x"));
  network.clock.tick(1000);
  for (const id of ["n0", "n1", "n2"]) {
    const { router } = network.node(id);
    assert(router.nodes.size <= 1024 + 3, `${id}: ${router.nodes.size} nodes`);
  }
  assert(counter(network.node("n0").router, "crowded") > 98_000);
  assertEquals(texts(network, "n2"), ["x"]);
});

Deno.test("hopRouter() answers at most once a second who calls it lost", () => {
  const { network, liar } = withLiar(6);
  let hellos = 0;
  network.tap((from, _to, packet) => {
    if (from === "n3" && packet[0] === HELLO) hellos++;
  });
  for (let i = 1; i <= 5000; i++) {
    const body = new Writer().u8(0).u8(2).string("n3").string("n4").take();
    const stamp: Partial<Stamp> = { lane: "control", number: i };
    liar.send("n0", flooded(LOST, 64, i, stamp, body), "control");
    network.clock.tick(1);
  }
  network.clock.tick(5000);
  assert(hellos <= 2 * (5 + 5), `${hellos} hellos`);
  for (let i = 0; i < 6; i++) {
    assert(network.node(`n${i}`).router.nodes.has("n3") || i === 3);
  }
});

Deno.test("hopRouter() believes nobody but the target that a unicast has come", () => {
  const network = new VirtualNetwork();
  const liar = new Liar();
  network.add("a", { router: hopRouter() });
  network.add("liar", { router: liar.router });
  network.connect("a", "liar");
  network.clock.tick(100);
  liar.send(
    "a",
    new Writer().u8(SIGNS).u8(1).string("b").u32(0).take(),
    "control",
  );
  network.clock.tick(100);
  network.node("a").send(["b"], bytes("x"));
  const note = new Writer().u8(7).u8(64);
  writeStamp(note, {
    origin: "liar",
    epoch: EPOCH,
    to: "a",
    lane: "control",
    number: 1,
    broadcasts: 0,
    unicasts: 0,
    isRecent: false,
    mentions: [],
  });
  note.u53(epochOf(network.node("a").self.incarnation)).u8(0).string("b")
    .string("b").u8(1).u53(1);
  liar.send("a", note.take(), "control");
  network.clock.tick(10_000);
  assertEquals(network.node("a").undelivered.map(({ to }) => to), ["b"]);
});
