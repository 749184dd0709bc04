import { assert, assertEquals, assertThrows } from "@std/assert";
import { Writer } from "./_bytes.ts";
import { BEATS, I_HAVE, writeName } from "./_gossip_packets.ts";
import { gossipRouter } from "./gossip.ts";
import {
  graph,
  seededRandom,
  testRouter,
  VirtualNetwork,
  type VirtualNode,
} from "./testing.ts";
import type { Counted, NodeId, Router } from "./types.ts";

testRouter("gossipRouter()", gossipRouter());
testRouter("gossipRouter()", gossipRouter(), { topology: "line" });
testRouter("gossipRouter()", gossipRouter(), { topology: "ring" });

/** Nodes that know some others as members, and are linked by their routers. */
function cluster(count: number, seed: number): VirtualNetwork {
  const network = new VirtualNetwork({
    seed,
    latency: 10,
    jitter: 5,
    outbox: 100_000,
  });
  const router = gossipRouter();
  for (let i = 0; i < count; i++) network.add(`n${i}`, { router });
  const random = seededRandom(seed);
  for (const node of network.nodes) {
    for (let i = 0; i < 40; i++) {
      const other = network.node(`n${Math.floor(random() * count)}`);
      if (other === node) continue;
      node.router.member({ type: "join", member: other.self });
    }
  }
  network.clock.tick(10_000);
  return network;
}

/** The nodes that can be reached from one over links between nodes that run. */
function reachable(network: VirtualNetwork, start: NodeId): Set<NodeId> {
  const reached = new Set([start]);
  for (const id of reached) {
    for (const other of network.node(id).neighbours) {
      if (network.node(other).running) reached.add(other);
    }
  }
  return reached;
}

function payloads(network: VirtualNetwork): { count: number } {
  const seen = { count: 0 };
  network.tap((_from, _to, _packet, lane) => {
    if (lane === "data") seen.count++;
  });
  return seen;
}

Deno.test("gossipRouter() sends 1.1 payloads for each of 200 nodes at most, whoever broadcasts", () => {
  const network = cluster(200, 1);
  const random = seededRandom(1);
  const any = (): VirtualNode => network.node(`n${Math.floor(random() * 200)}`);
  for (let i = 0; i < 10; i++) {
    any().send("all", new Uint8Array([i]));
    network.clock.tick(500);
  }
  const sent = payloads(network);
  for (let i = 10; i < 30; i++) {
    any().send("all", new Uint8Array([i]));
    network.clock.tick(500);
  }
  const delivered = network.nodes.map((node) => node.delivered.length);
  assertEquals(delivered.reduce((sum, n) => sum + n), 30 * 199);
  assert(sent.count <= 20 * 1.1 * 200, `${sent.count / 20} for a broadcast`);
  const degrees = network.nodes.map(({ neighbours }) => neighbours.length);
  const mean = degrees.reduce((sum, n) => sum + n) / 200;
  assert(mean <= 6 && Math.max(...degrees) <= 8, `${mean}, ${degrees}`);
});

for (const how of ["silence", "links"] as const) {
  Deno.test(`gossipRouter() reaches all who are connected when 30 % have just crashed: ${how}`, () => {
    for (let seed = 1; seed <= 2; seed++) {
      const network = cluster(200, seed);
      for (let i = 0; i < 10; i++) {
        network.node(`n${i * 7}`).send("all", new Uint8Array([i]));
        network.clock.tick(500);
      }
      const random = seededRandom(seed);
      for (const node of network.nodes.slice(1)) {
        if (random() < 0.3) node.crash(how);
      }
      const connected = reachable(network, "n0");
      network.node("n0").send("all", new Uint8Array([99]));
      network.clock.tick(5000);
      for (const { id, delivered } of network.nodes) {
        if (id === "n0" || !connected.has(id)) continue;
        const last = delivered.filter(({ payload }) => payload[0] === 99);
        assertEquals(last.length, 1, `seed ${seed}: ${id}`);
      }
      assert(connected.size > 120, `${connected.size} connected`);
    }
  });
}

// -- Unicasts --

function counter(network: VirtualNetwork, id: NodeId, name: string): number {
  const { counters }: Partial<Counted> & Router = network.node(id).router;
  return counters?.[name] ?? NaN;
}

/** Nodes of which only those named next to each other have a link. */
function linked(
  links: readonly (readonly [NodeId, NodeId])[],
): VirtualNetwork {
  const network = new VirtualNetwork({ outbox: 1_000_000 });
  for (const id of new Set(links.flat())) {
    network.add(id, { router: gossipRouter() });
  }
  for (const [a, b] of links) network.connect(a, b);
  network.clock.tick(500);
  return network;
}

Deno.test("gossipRouter() sends along the way that the target was heard", () => {
  const network = linked(
    graph("line", ["a", "b", "c", "d", "e"], seededRandom(1)),
  );
  const sent = payloads(network);
  for (let i = 0; i < 10; i++) {
    network.node("a").send(["e"], new Uint8Array([i]));
  }
  network.clock.tick(1000);
  assertEquals(network.node("e").delivered.length, 10);
  assertEquals(sent.count, 4 * 10);
  assertEquals(counter(network, "a", "searches"), 0);
});

Deno.test("gossipRouter() searches when the way has ended, and what waits leaves", () => {
  const network = linked([["a", "b"], ["b", "d"], ["a", "c"], ["c", "e"], [
    "e",
    "d",
  ]]);
  network.cut("a", "b", "links");
  network.cut("b", "d", "links");
  network.clock.tick(10);
  for (let i = 0; i < 10; i++) {
    network.node("a").send(["d"], new Uint8Array([i]));
  }
  network.clock.tick(1000);
  assertEquals(
    network.node("d").delivered.map(({ payload }) => payload[0]),
    Array.from({ length: 10 }, (_, i) => i),
  );
  assertEquals(counter(network, "a", "searches"), 1);
  assertEquals(network.node("a").undelivered, []);
});

Deno.test("gossipRouter() gives back what no search finds a way for", () => {
  const network = linked(graph("line", ["a", "b", "c", "d"], seededRandom(1)));
  network.cut("c", "d", "links");
  network.clock.tick(10);
  network.node("a").send(["d"], new Uint8Array([1]));
  network.clock.tick(10);
  network.node("a").send(["d"], new Uint8Array([2]));
  network.clock.tick(5000);
  const { undelivered } = network.node("a");
  assertEquals(
    undelivered.map(({ to, head, lastHop }) => [to, head[0], lastHop]),
    [["d", 1, "c"], ["d", 2, "c"]],
  );
  assertEquals([...network.node("a").router.nodes].sort(), ["b", "c"]);
});

// -- Bad input --

Deno.test("gossipRouter() keeps its tables small when told of 100,000 nodes", () => {
  const network = linked(graph("line", ["a", "b", "c"], seededRandom(1)));
  const { router } = network.node("a");
  for (let i = 0; i < 800; i++) {
    const writer = new Writer().u8(BEATS).u8(128);
    for (let j = 0; j < 128; j++) writer.string(`${i * 128 + j}`).u53(1).u32(0);
    router.receive("b", writer.take(), "control");
  }
  network.clock.tick(1000);
  assert(router.nodes.size <= 1024, `${router.nodes.size} nodes`);
  assert(counter(network, "a", "unknown") > 100_000);
  network.clock.tick(160_000);
  assertEquals([...router.nodes].sort(), ["b", "c"]);
});

Deno.test("gossipRouter() misses no more broadcasts than it has room for", () => {
  const network = linked(graph("line", ["a", "b", "c"], seededRandom(1)));
  const { router } = network.node("a");
  for (let i = 1; i <= 100_000; i++) {
    const writer = new Writer().u8(I_HAVE).u8(1);
    writeName(writer, { origin: "c", epoch: 1, lane: "data", number: i });
    router.receive("b", writer.take(), "control");
  }
  network.clock.tick(10_000);
  assert(counter(network, "a", "unfetched") >= 99_000);
  assert(counter(network, "a", "grafts") <= 1024);
  network.node("c").send("all", new Uint8Array([1]));
  network.clock.tick(1000);
  assertEquals(network.node("a").delivered.length, 1);
});

Deno.test("gossipRouter() outbids who speaks in its name", () => {
  const network = linked(graph("line", ["a", "b", "c", "d"], seededRandom(1)));
  const beat = new Writer().u8(BEATS).u8(1).string("d").u53(2 ** 51).u32(0);
  network.node("a").router.receive("b", beat.take(), "control");
  network.clock.tick(200_000);
  for (const { router } of network.nodes) assertEquals(router.nodes.size, 3);
  network.node("a").send(["d"], new Uint8Array([1]));
  network.clock.tick(1000);
  assertEquals(network.node("d").delivered.length, 1);
});

Deno.test("gossipRouter() refuses options out of range", () => {
  for (const links of [-1, 33, 1.5, NaN]) {
    assertThrows(
      () => gossipRouter({ links }),
      RangeError,
      `links of ${links}`,
    );
  }
});
