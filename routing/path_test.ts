import { assert, assertEquals, assertThrows } from "@std/assert";
import { Writer } from "./_bytes.ts";
import { Liar } from "./_liar_test.ts";
import { type Stamp, writeStamp } from "./_order_stamp.ts";
import { heartbeat } from "./heartbeat.ts";
import { epochOf, incarnationAt } from "./incarnation.ts";
import { type PathRouter, pathRouter } from "./path.ts";
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

testRouter("pathRouter()", pathRouter());
testRouter("pathRouter()", pathRouter(), { topology: "line" });
testRouter("pathRouter()", pathRouter(), { topology: "ring" });
testMembership("heartbeat() over pathRouter()", heartbeat(), {
  router: pathRouter(),
});

// Kinds of packets, as they travel.
const ROUTED = 16;
const ANSWER = 17;
const REQUEST = 18;
const NOTE = 7;
const EPOCH = epochOf(incarnationAt(Date.UTC(2026, 0, 1)));

/** A network, and the routers in it. */
class Paths {
  readonly network: VirtualNetwork;
  readonly #routers = new Map<NodeId, PathRouter>();
  /** Packets that were handed to links, by kind. */
  readonly packets: [from: NodeId, to: NodeId, packet: Uint8Array][] = [];

  constructor(links: readonly (readonly [NodeId, NodeId])[], options = {}) {
    this.network = new VirtualNetwork(options);
    for (const id of new Set(links.flat())) this.add(id);
    for (const [a, b] of links) this.network.connect(a, b);
    this.network.clock.tick(100);
    this.network.tap((from, to, packet) =>
      this.packets.push([from, to, packet])
    );
  }

  add(id: NodeId): void {
    const router: RouterFactory = (context) => {
      const made = pathRouter()(context);
      this.#routers.set(id, made);
      return made;
    };
    this.network.add(id, { router });
  }

  router(id: NodeId): PathRouter {
    const router = this.#routers.get(id);
    if (router === undefined) throw new Error(`no node ${id}`);
    return router;
  }

  /** Packets of a kind since the last time. */
  take(kind: number): [NodeId, NodeId, Uint8Array][] {
    const some = this.packets.filter(([, , packet]) => packet[0] === kind);
    this.packets.length = 0;
    return some;
  }

  texts(id: NodeId): string[] {
    return this.network.node(id).delivered.map(({ payload }) =>
      new TextDecoder().decode(payload)
    );
  }

  get a(): PathRouter {
    return this.router("a");
  }
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** From a to e through b, through c and through d. */
const THREE_WAYS: readonly [NodeId, NodeId][] = ["b", "c", "d"].flatMap((id) =>
  [["a", id], [id, "e"]] as [NodeId, NodeId][]
);

function line(count: number): [NodeId, NodeId][] {
  const ids = Array.from({ length: count }, (_, i) => i === 0 ? "a" : `n${i}`);
  return graph("line", ids, seededRandom(1));
}

// -- Ways --

Deno.test("pathRouter() keeps three ways, the shortest first", () => {
  const paths = new Paths([
    ...THREE_WAYS,
    ["a", "f"],
    ["f", "e"],
    ["a", "g"],
    ["g", "h"],
    ["h", "e"],
  ]);
  paths.a.send(["e"], bytes("x"));
  paths.network.clock.tick(3000);
  assertEquals(paths.texts("e"), ["x"]);
  assertEquals(paths.a.ways("e").map(({ length }) => length), [1, 1, 1]);
  assertEquals(paths.a.ways("b"), [[]]);
});

Deno.test("pathRouter() searches once, and then keeps to the way", () => {
  const paths = new Paths(THREE_WAYS);
  paths.a.send(["e"], bytes("0"));
  paths.network.clock.tick(3000);
  assert(paths.take(REQUEST).length > 0);
  for (let i = 1; i < 10; i++) paths.a.send(["e"], bytes(`${i}`));
  paths.network.clock.tick(1000);
  const routed = paths.packets.filter(([, , packet]) => packet[0] === ROUTED);
  assertEquals(routed.length, 9 * 2);
  assertEquals(paths.take(REQUEST), []);
  assertEquals(paths.texts("e"), Array.from({ length: 10 }, (_, i) => `${i}`));
});

Deno.test("pathRouter() answers without a search of its own", () => {
  const paths = new Paths(line(5));
  paths.a.send(["n4"], bytes("question"));
  paths.network.clock.tick(3000);
  paths.take(REQUEST);
  paths.router("n4").send(["a"], bytes("answer"));
  paths.network.clock.tick(1000);
  assertEquals([paths.take(REQUEST), paths.texts("a")], [[], ["answer"]]);
});

Deno.test("pathRouter() hands on the very bytes that came", () => {
  const paths = new Paths(line(6));
  paths.a.send(["n5"], bytes("x"));
  paths.network.clock.tick(3000);
  const routed = paths.take(ROUTED);
  assertEquals(routed.length, 5);
  assert(routed.every(([, , packet]) => packet === routed[0]?.[2]));
});

Deno.test("pathRouter() searches in rings of 2, 4, 8 and 16 links", () => {
  for (const [links, rings] of [[1, 0], [2, 1], [4, 2], [5, 3], [16, 4]]) {
    const paths = new Paths(line((links ?? 0) + 1));
    const target = `n${links}`;
    paths.a.send([target], bytes("x"));
    paths.network.clock.tick(5000);
    const asked = paths.take(REQUEST).filter(([from]) => from === "a");
    assertEquals(
      asked.map(([, , packet]) => packet[1]),
      [2, 4, 8, 16].slice(0, rings),
    );
    assertEquals(paths.texts(target), ["x"]);
  }
});

Deno.test("pathRouter() says within 2.8 s that there is no way of 16 links", () => {
  const paths = new Paths(line(18));
  for (let i = 0; i < 5; i++) paths.a.send(["n17"], bytes(`${i}`));
  paths.network.clock.tick(2800);
  assertEquals(paths.network.node("a").undelivered.length, 5);
  assertEquals(paths.network.node("a").undelivered[0], {
    to: "n17",
    head: bytes("0"),
    lastHop: "a",
    reason: "no way was found",
  });
});

Deno.test("pathRouter() takes the next way at once when a link of the first one has ended", () => {
  const paths = new Paths(THREE_WAYS);
  paths.a.send(["e"], bytes("0"));
  paths.network.clock.tick(3000);
  const expected = ["0"];
  for (let left = 2; left > 0; left--) {
    const first = paths.a.ways("e")[0]?.[0] ?? "";
    paths.network.cut(first, "e", "links");
    paths.network.clock.tick(10);
    assertEquals(paths.a.ways("e").length, left);
    paths.take(REQUEST);
    paths.a.send(["e"], bytes(`${left}`));
    paths.network.clock.tick(100);
    expected.push(`${left}`);
    assertEquals([paths.take(REQUEST), paths.texts("e")], [[], expected]);
  }
});

Deno.test("pathRouter() learns from a relay that a link has ended, and names it", () => {
  const paths = new Paths(line(4));
  paths.a.send(["n3"], bytes("0"));
  paths.network.clock.tick(3000);
  paths.a.send(["n3"], bytes("1"));
  paths.network.cut("n2", "n3", "links");
  paths.network.clock.tick(10);
  assertEquals(paths.a.ways("n3"), []);
  assertEquals(paths.network.node("a").undelivered, [{
    to: "n3",
    head: bytes("1"),
    lastHop: "n2",
    reason: "there was no link any more",
  }]);
});

Deno.test("pathRouter() gives up a way on which nobody answers", () => {
  const paths = new Paths(THREE_WAYS);
  paths.a.send(["e"], bytes("0"));
  paths.network.clock.tick(3000);
  const first = paths.a.ways("e")[0]?.[0] ?? "";
  paths.network.cut("a", first, "silence");
  paths.a.send(["e"], bytes("1"));
  paths.network.clock.tick(6000);
  assert(paths.a.ways("e").every((hops) => hops[0] !== first));
  paths.a.send(["e"], bytes("2"));
  paths.network.clock.tick(6000);
  assert(paths.texts("e").includes("2"));
});

Deno.test("pathRouter() queues 256 packets for a node that it searches", () => {
  const paths = new Paths(line(4));
  let handed = 0;
  for (let i = 0; i < 1000; i++) handed += paths.a.send(["n3"], bytes(`${i}`));
  assertEquals(handed, 256);
  paths.network.clock.tick(3000);
  assertEquals(
    paths.texts("n3"),
    Array.from({ length: 256 }, (_, i) => `${i}`),
  );
});

Deno.test("pathRouter() queues 4 MiB in all", () => {
  const paths = new Paths(line(4));
  const payload = new Uint8Array(1024 * 1024);
  const handed = Array.from(
    { length: 6 },
    (_, i) => paths.a.send([i % 2 === 0 ? "n2" : "n3"], payload),
  );
  assertEquals(handed, [1, 1, 1, 1, 0, 0]);
  paths.network.clock.tick(3000);
  assertEquals(paths.a.send(["n3"], payload), 1);
});

Deno.test("pathRouter() searches for many nodes at a time, eight by eight", () => {
  const ids = Array.from({ length: 60 }, (_, i) => `n${i}`);
  const links = graph("degree5", ["a", ...ids], seededRandom(5));
  const paths = new Paths(links, { outbox: 100_000 });
  assertEquals(paths.a.send(ids, bytes("x")), 60);
  paths.network.clock.tick(30_000);
  for (const id of ids) assertEquals(paths.texts(id), ["x"]);
});

// -- discover() --

Deno.test("pathRouter().discover() learns every node and a way to each", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const ids = ["a", ...Array.from({ length: 20 }, (_, i) => `n${i}`)];
    const random = seededRandom(seed);
    const links = graph(seed % 2 === 0 ? "degree5" : "random", ids, random);
    const paths = new Paths(links);
    const found = paths.a.discover();
    assert(found === paths.a.discover());
    paths.network.clock.tick(5000);
    const ways = await found;
    assertEquals([...ways.keys()].sort(), ids.slice(1).sort());
    const linked = new Set(
      links.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]),
    );
    for (const [target, hops] of ways) {
      const way = ["a", ...hops, target];
      for (let i = 1; i < way.length; i++) {
        assert(linked.has(`${way[i - 1]} ${way[i]}`), way.join(" "));
      }
    }
    paths.take(REQUEST);
    paths.a.send(ids.slice(1), bytes("x"));
    paths.network.clock.tick(1000);
    assertEquals(paths.take(REQUEST), []);
  }
});

Deno.test("pathRouter().discover() ends with close(), and alone", async () => {
  const paths = new Paths(line(2));
  const found = paths.a.discover();
  paths.a.close();
  assertEquals(await found, new Map());
  assertEquals(await paths.a.discover(), new Map());
  assertEquals(paths.network.node("a").timers, 0);
});

Deno.test("pathRouter().discover() is answered once a second at most", () => {
  const { network, liar } = withLiar();
  let answers = 0;
  network.tap((from, _to, packet) => {
    if (from === "b" && packet[0] === ANSWER) answers++;
  });
  for (let i = 1; i <= 1000; i++) {
    const request = new Writer().u8(REQUEST).u8(16).u53(i);
    writeStamp(request, stampOf({ lane: "control", number: i }));
    liar.send("a", request.u8(0).take(), "control");
    network.clock.tick(2);
  }
  assert(answers >= 2 && answers <= 3, `${answers}`);
});

// -- Bad input --

/** A liar linked to a, which is linked to b. */
function withLiar(): { network: VirtualNetwork; liar: Liar } {
  const network = new VirtualNetwork({ outbox: 100_000 });
  const liar = new Liar();
  for (const id of ["a", "b"]) network.add(id, { router: pathRouter() });
  network.add("liar", { router: liar.router });
  network.connect("a", "b");
  network.connect("liar", "a");
  network.clock.tick(100);
  return { network, liar };
}

function stampOf(stamp: Partial<Stamp>): Stamp {
  return {
    origin: "liar",
    epoch: EPOCH,
    to: null,
    lane: "data",
    number: 1,
    broadcasts: 0,
    unicasts: 0,
    isRecent: false,
    mentions: [],
    ...stamp,
  };
}

function routed(hops: readonly NodeId[], stamp: Partial<Stamp>): Uint8Array {
  const writer = new Writer().u8(ROUTED).u8(hops.length);
  for (const id of hops) writer.string(id);
  writeStamp(writer, stampOf(stamp));
  return writer.take();
}

Deno.test("pathRouter() takes no packet that loops, or did not come the way it says", () => {
  const { network, liar } = withLiar();
  const router: Router & Partial<Counted> = network.node("a").router;
  const counters = (): (number | undefined)[] =>
    ["looped", "strange", "malformed"].map((name) => router.counters?.[name]);
  const many = Array.from({ length: 16 }, (_, i) => `n${i}`);
  for (
    const [hops, stamp, expected] of [
      [["a", "b", "a"], { to: "b" }, [1, 0, 0]],
      [["a", "liar"], { to: "b" }, [2, 0, 0]],
      [["a"], { to: "a" }, [3, 0, 0]],
      [[], { to: "b" }, [3, 1, 0]],
      [["x", "a"], { to: "b" }, [3, 2, 0]],
      [["a"], { to: "b", origin: "x" }, [3, 3, 0]],
      [["a"], { to: null }, [3, 3, 1]],
      [many, { to: "a" }, [3, 3, 2]],
    ] as const
  ) {
    liar.send("a", routed(hops, stamp));
    network.clock.tick(10);
    assertEquals(counters(), [...expected]);
  }
  assertEquals(network.node("b").delivered, []);
  liar.send("a", routed(["a"], { to: "b" }));
  network.clock.tick(10);
  assertEquals(network.node("b").delivered.length, 1);
});

Deno.test("pathRouter() delivers a packet once, and goes no made-up way twice", () => {
  const { network, liar } = withLiar();
  for (let i = 0; i < 100; i++) liar.send("a", routed(["a"], { to: "b" }));
  const answer = new Writer().u8(ANSWER).u8(1).string("liar");
  writeStamp(answer, stampOf({ origin: "x", to: "a", lane: "control" }));
  liar.send("a", answer.take(), "control");
  network.clock.tick(100);
  assertEquals(network.node("b").delivered.length, 1);
  network.node("a").send(["x"], bytes("hello"));
  network.clock.tick(20_000);
  assertEquals(network.node("a").undelivered.length, 1);
  assertThrows(
    () => network.node("a").send(["x"], bytes("x")),
    NodeNotFoundError,
  );
});

Deno.test("pathRouter() learns no way from a leaf that it does not know itself", () => {
  for (const isLeaf of [false, true]) {
    const network = new VirtualNetwork();
    const liar = new Liar();
    const routers: PathRouter[] = [];
    for (const id of ["a", "b", "c"]) {
      network.add(id, {
        router: (context) => {
          const router = pathRouter()(context);
          const link = router.link.bind(router);
          router.link = (event) =>
            link(
              isLeaf && event.type === "up" && event.peer.id === "liar"
                ? { ...event, isLeaf }
                : event,
            );
          routers.push(router);
          return router;
        },
      });
    }
    network.add("liar", { router: liar.router });
    for (const [one, other] of [["a", "b"], ["b", "c"], ["liar", "a"]]) {
      network.connect(one ?? "", other ?? "");
    }
    network.clock.tick(100);
    const answer = new Writer().u8(ANSWER).u8(3);
    for (const id of ["a", "b", "nobody"]) answer.string(id);
    writeStamp(answer, stampOf({ to: "c", lane: "control" }));
    liar.send("a", answer.take(), "control");
    network.clock.tick(10);
    assertEquals(routers[0]?.ways("c"), isLeaf ? [] : [["b", "nobody"]]);
  }
});

Deno.test("pathRouter() tells of a link that is gone in both lanes, once in 100 ms", () => {
  for (const lane of ["data", "control"] as const) {
    const { network, liar } = withLiar();
    for (let number = 1; number <= 10; number++) {
      liar.send("a", routed(["a"], { to: "x", lane, number }), lane);
    }
    network.clock.tick(50);
    const notes = liar.got.filter(([kind]) => kind === NOTE);
    assertEquals(notes.length, 1, lane);
  }
});
