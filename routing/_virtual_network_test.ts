import { assert, assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "./_invariant.ts";
import {
  VirtualNetwork,
  type VirtualNetworkOptions,
} from "./_virtual_network.ts";
import { heartbeat } from "./heartbeat.ts";
import { epochOf } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import { swim } from "./swim.ts";
import type { Lane, NodeId, RouterContext, RouterFactory } from "./types.ts";

/** A router of two nodes that shows its context, and when what arrived. */
class Probe {
  readonly arrivals: [time: number, number: number][] = [];
  context: RouterContext | null = null;

  readonly factory: RouterFactory = (context) => {
    this.context = context;
    const inner = peerRouter()(context);
    return {
      get nodes() {
        return inner.nodes;
      },
      send: (to, payload, lane) => inner.send(to, payload, lane),
      receive: (from, packet, lane) => {
        this.arrivals.push([context.clock.now(), packet[0] ?? -1]);
        inner.receive(from, packet, lane);
      },
      link: (event) => inner.link(event),
      member: (event) => inner.member(event),
      close: () => inner.close(),
    };
  };

  get times(): number[] {
    return this.arrivals.map(([time]) => time);
  }

  get numbers(): number[] {
    return this.arrivals.map(([, number]) => number);
  }
}

/** Two linked nodes, "a" and "b", and what arrives at "b". */
function pair(
  options: VirtualNetworkOptions = {},
): { network: VirtualNetwork; probe: Probe; clockAt: number } {
  const network = new VirtualNetwork(options);
  const probe = new Probe();
  network.add("a", { router: peerRouter() });
  network.add("b", { router: probe.factory });
  network.connect("a", "b");
  network.clock.until(() => network.node("a").neighbours.length > 0);
  return { network, probe, clockAt: network.clock.now() };
}

function send(
  network: VirtualNetwork,
  numbers: readonly number[],
  lane: Lane = "data",
  from: NodeId = "a",
  to: NodeId = "b",
): void {
  for (const number of numbers) {
    network.node(from).send([to], Uint8Array.of(number), lane);
  }
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}

// -- Links --

Deno.test("VirtualNetwork makes loss on a link a delay that doubles, and keeps the order", () => {
  const { network, probe } = pair({ loss: 0.5, latency: 10, outbox: 1e6 });
  const delays: number[] = [];
  for (const number of upTo(200)) {
    const start = network.clock.now();
    send(network, [number]);
    network.clock.until(() => probe.arrivals.length > number, 600_000);
    delays.push(network.clock.now() - start);
  }
  assertEquals(probe.numbers, upTo(200));
  const known = upTo(10).map((lost) => 10 + 200 * (2 ** lost - 1));
  assert(
    delays.every((delay) => known.includes(Math.round(delay))),
    `${delays}`,
  );
  const once = delays.filter((delay) => Math.round(delay) === 210).length;
  assert(once > 30 && once < 70, `${once} were lost once`);
});

Deno.test("VirtualNetwork lets what follows a lost packet wait for it", () => {
  const { network, probe } = pair({ loss: 0.3, outbox: 1e6 });
  send(network, upTo(100));
  network.clock.run();
  assertEquals(probe.numbers, upTo(100));
  assertEquals(probe.times, [...probe.times].sort((a, b) => a - b));
});

Deno.test("VirtualNetwork breaks an end that gets nothing through, and not before", () => {
  const { network } = pair({ giveUp: 5_000 });
  network.cut("a", "b");
  send(network, [1]);
  network.clock.tick(5_000);
  assertEquals(network.node("a").neighbours, ["b"]);
  network.clock.tick(10);
  assertEquals(network.node("a").neighbours, []);
  assertEquals(network.node("b").neighbours, ["a"]);
  assertEquals([...network.node("a").router.nodes], []);
  network.healAll();
  network.clock.tick(1_000);
  assertEquals(network.node("b").delivered, []);
  send(network, [2], "data", "b", "a");
  network.clock.tick(1_000);
  assertEquals(network.node("b").neighbours, []);
});

Deno.test("VirtualNetwork breaks an end whose transmissions are lost for too long", () => {
  const { network, probe } = pair({ giveUp: 1_000 });
  network.shape({ loss: 0.9 });
  for (const number of upTo(50)) {
    if (network.node("a").neighbours.length > 0) send(network, [number]);
    network.clock.tick(1_000);
  }
  assertEquals(network.node("a").neighbours, []);
  assertEquals(probe.numbers, upTo(probe.numbers.length));
});

Deno.test("VirtualNetwork lets what a cut held arrive when it is tried again, with backoff", () => {
  // First lost 1 ms after it was sent, then tried after 200, 400 and 800 ms.
  const expected = new Map([[false, [1_000, 1_001]], [true, [1_401, 1_401]]]);
  for (const [backoff, times] of expected) {
    const { network, probe, clockAt } = pair({ backoff });
    network.cut("a", "b");
    send(network, [1]);
    network.clock.tick(1_000);
    network.heal("a", "b");
    send(network, [2]);
    network.clock.run();
    assertEquals(probe.numbers, [1, 2]);
    assertEquals(probe.times.map((time) => time - clockAt), times);
  }
});

Deno.test("VirtualNetwork.cut() one way lets the other way pass", () => {
  const { network, probe } = pair();
  network.cut("a", "b", "one-way");
  send(network, [1]);
  send(network, [2], "data", "b", "a");
  network.clock.tick(10_000);
  assertEquals(probe.numbers, []);
  assertEquals(network.node("a").delivered.length, 1);
  network.healAll();
  network.clock.tick(10);
  assertEquals(probe.numbers, [1]);
});

Deno.test("VirtualNetwork.partition() leaves a bridge that belongs to neither side", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "b", "c"]) network.add(id, { router: peerRouter() });
  for (const [from, to] of [["a", "b"], ["b", "c"], ["a", "c"]] as const) {
    network.connect(from, to);
  }
  network.clock.run();
  network.partition(["a"], ["c"], "links");
  network.clock.run();
  assertEquals(network.node("a").neighbours, ["b"]);
  assertEquals(network.node("c").neighbours, ["b"]);
});

Deno.test("VirtualNetwork.shape() changes one direction of one link, or all others", () => {
  const { network, probe, clockAt } = pair();
  const before = network.shape({ latency: 50 }, { from: "a", to: "b" });
  assertEquals(before.latency, 1);
  network.shape({ latency: 5 });
  send(network, [1]);
  send(network, [2], "data", "b", "a");
  network.clock.tick(5);
  assertEquals(network.node("a").delivered.length, 1);
  network.clock.run();
  assertEquals(probe.times, [clockAt + 50]);
});

Deno.test("VirtualNetwork refuses chances and times out of their range", () => {
  for (
    const options of [
      { loss: 0.95 },
      { loss: -0.1 },
      { duplicate: 2 },
      { reorder: NaN },
      { latency: -1 },
      { jitter: Infinity },
    ]
  ) {
    assertThrows(() => new VirtualNetwork(options), RangeError);
    assertThrows(() => new VirtualNetwork().shape(options), RangeError);
  }
});

// -- Datagrams --

Deno.test("VirtualNetwork loses, doubles and disorders datagrams, not the data lane", () => {
  const { network, probe } = pair({
    datagrams: true,
    loss: 0.2,
    duplicate: 0.2,
    reorder: 0.2,
    latency: 5,
    outbox: 1e6,
  });
  for (const number of upTo(200)) {
    send(network, [number], "control");
    network.clock.tick(10);
  }
  network.clock.run();
  const { numbers } = probe;
  const different = new Set(numbers).size;
  assert(different > 140 && different < 180, `${different} arrived`);
  assert(numbers.length > different + 15, "some arrived twice");
  assert(numbers.some((number, at) => number < (numbers[at - 1] ?? 0)));
  probe.arrivals.length = 0;
  send(network, upTo(200), "data");
  network.clock.run();
  assertEquals(probe.numbers, upTo(200));
});

Deno.test("VirtualNetwork drops datagrams behind a cut", () => {
  const { network, probe } = pair({ datagrams: true });
  network.cut("a", "b");
  send(network, [1], "control");
  network.clock.tick(100);
  network.healAll();
  send(network, [2], "control");
  network.clock.run();
  assertEquals(probe.numbers, [2]);
});

// -- Dials --

Deno.test("VirtualNetwork gives up a dial that a paused node does not answer", () => {
  const network = new VirtualNetwork({ dialTimeout: 300 });
  const probe = new Probe();
  network.add("a", { router: probe.factory });
  const { self } = network.add("b", { router: peerRouter() });
  const told: string[] = [];
  const { router } = network.node("a");
  const link = router.link.bind(router);
  router.link = (event) => {
    told.push(event.type === "up" ? "up" : `${event.type}: ${event.reason}`);
    link(event);
  };
  network.node("b").pause();
  probe.context?.links.connect(self);
  network.clock.tick(1_000);
  network.node("b").resume();
  network.clock.run();
  assertEquals(told, ["unreachable: timed out"]);
  assertEquals(network.node("b").neighbours, []);
  probe.context?.links.connect(self);
  network.clock.run();
  assertEquals(told, ["unreachable: timed out", "up"]);
});

// -- Slow nodes and clocks --

Deno.test("VirtualNode.slow() makes a node take its time for each event", () => {
  const { network, probe, clockAt } = pair();
  network.node("b").slow(100);
  send(network, upTo(4));
  network.clock.run();
  assertEquals(
    probe.times.map((time) => time - clockAt),
    [1, 101, 201, 301],
  );
  network.node("b").slow(0);
  network.clock.tick(100);
  send(network, [4, 5]);
  const start = network.clock.now();
  network.clock.run();
  assertEquals(probe.times.slice(4), [start + 1, start + 1]);
});

Deno.test("VirtualNode.stall() lets timers come late, and the node see it", () => {
  const { network, probe } = pair();
  const { clock } = probe.context ?? {};
  assert(clock);
  const fired: number[] = [];
  const start = clock.now();
  clock.after(500, () => fired.push(clock.now() - start));
  network.node("b").stall(2_000);
  send(network, [1]);
  network.clock.tick(1_999);
  assertEquals([fired, probe.numbers], [[], []]);
  network.clock.tick(1);
  assertEquals([fired, probe.numbers], [[2_000], [1]]);
});

Deno.test("VirtualNode.stall() within a stall ends with the later of the two", () => {
  const { network, probe } = pair();
  network.node("b").stall(1_000);
  network.clock.tick(500);
  network.node("b").stall(200);
  send(network, [1]);
  network.clock.tick(499);
  assertEquals(probe.numbers, []);
  network.clock.tick(1);
  assertEquals(probe.numbers, [1]);
});

Deno.test("VirtualNode sees the time as its clock goes", () => {
  const network = new VirtualNetwork();
  const probe = new Probe();
  network.add("a", {
    router: probe.factory,
    clock: { offset: 5_000, drift: 0.25 },
  });
  const { clock } = probe.context ?? {};
  assert(clock);
  assertEquals(clock.now(), 5_000);
  const fired: number[] = [];
  clock.after(1_000, () => fired.push(network.clock.now(), clock.now()));
  network.clock.tick(4_000);
  assertEquals(fired, [800, 6_000]);
  assertEquals(clock.now(), 10_000);
  network.node("a").setClock({ drift: 0, offset: -60_000 });
  network.clock.tick(1_000);
  assertEquals(clock.now(), 11_000);
  assertThrows(() => network.node("a").setClock({ drift: -1 }), RangeError);
});

Deno.test("VirtualNode.restart() takes its incarnation from its wall clock", () => {
  const network = new VirtualNetwork();
  const node = network.add("a", {
    router: peerRouter(),
    clock: { offset: 60_000 },
  });
  const other = network.add("b", { router: peerRouter() });
  const epochs = () =>
    [node, other].map(({ self }) => epochOf(self.incarnation));
  const [first = 0, second = 0] = epochs();
  assertEquals(first - second, 60_000);
  network.clock.tick(10);
  node.crash();
  node.setClock({ offset: -60_000 });
  node.restart();
  assertEquals(epochs()[0], second - 60_000 + 10);
});

// -- Chance, hash and trace --

function busy(seed: number, extra = 0): VirtualNetwork {
  const network = new VirtualNetwork({
    seed,
    jitter: 10,
    loss: 0.1,
    record: 200,
  });
  const ids = ["a", "b", "c", "d"];
  for (const id of ids) {
    network.add(id, { router: peerRouter(), membership: heartbeat() });
    if (id !== "a") network.connect(id, "a");
  }
  network.play([
    { at: 3_000, do: "crash", node: "b", how: "silence", for: 4_000 },
    { at: 4_000, do: "cut", from: ["a"], to: ["c"], for: 3_000 },
    { at: 5_000, do: "slow", node: "d", pace: 20, for: 2_000 },
  ]);
  if (extra > 0) network.clock.after(extra, () => network.node("d").stall(1));
  network.clock.tick(20_000);
  return network;
}

Deno.test("VirtualNetwork does the same for the same seed, and says so", () => {
  const [one, same, other] = [busy(1), busy(1), busy(2)];
  assertEquals(one.hash, same.hash);
  assertEquals([one.trace, one.events], [same.trace, same.events]);
  assert(one.hash !== other.hash);
  assert(busy(1, 19_990).hash !== one.hash);
});

Deno.test("VirtualNetwork.trace holds the last lines, and none unless asked for", () => {
  const network = busy(1);
  assertEquals(network.trace.length, 200);
  const times = network.trace.map((line) => parseFloat(line));
  assertEquals(times, [...times].sort((a, b) => a - b));
  assert((times.at(-1) ?? 0) > 19_000);
  assertEquals(pair().network.trace, []);
});

// -- Faults --

Deno.test("VirtualNetwork.play() does what faults say, and ends what ends", () => {
  const network = new VirtualNetwork({ jitter: 1 });
  for (const id of ["a", "b", "c"]) {
    network.add(id, { router: peerRouter(), membership: heartbeat() });
    if (id !== "a") network.connect(id, "a");
  }
  network.clock.tick(2_000);
  const { clock } = network;
  const [a, b, c] = ["a", "b", "c"].map((id) => network.node(id));
  assert(a && b && c);
  network.play([
    { at: 0, do: "disconnect", from: "a", to: "b" },
    { at: 1_000, do: "crash", node: "b", for: 1_000 },
    { at: 3_000, do: "leave", node: "c" },
    { at: 4_000, do: "restart", node: "c" },
    { at: 4_000, do: "restart", node: "a" },
    { at: 4_100, do: "connect", from: "c", to: "a" },
    { at: 5_000, do: "cut", from: ["a"], to: ["b", "c"], how: "links" },
    { at: 6_000, do: "heal" },
    { at: 6_100, do: "connect", from: "b", to: "a" },
    { at: 6_100, do: "connect", from: "c", to: "a" },
    { at: 7_000, do: "shape", shape: { latency: 400 }, for: 1_000 },
    { at: 7_000, do: "clock", node: "a", skew: { offset: 9 } },
    { at: 7_000, do: "stall", node: "a", for: 100 },
  ]);
  clock.tick(1);
  assert(!a.neighbours.includes("b"));
  clock.tick(1_009);
  assert(!b.running);
  clock.tick(1_000);
  assert(b.running);
  clock.tick(1_100);
  assert(!c.running);
  clock.tick(1_000);
  assert(c.running);
  clock.tick(1_000);
  assertEquals(a.neighbours, []);
  clock.tick(10_000);
  assertEquals(a.neighbours.length, 2);
  a.send(["b"], Uint8Array.of(1));
  clock.tick(5);
  assertEquals(b.delivered.length, 1);
});

// -- Invariants --

Deno.test("VirtualNetwork.always() checks a node after each of its events", () => {
  const { network, clockAt } = pair();
  const checked: NodeId[] = [];
  network.always("few arrive", ({ id, delivered }) => {
    checked.push(id);
    if (delivered.length > 2) throw new Error(`${delivered.length} arrived`);
  });
  send(network, upTo(2));
  network.clock.run();
  assertEquals(checked, ["b", "b"]);
  send(network, [2]);
  const error = assertThrows(
    () => network.clock.run(),
    InvariantError,
    'The invariant "few arrive" broke at',
  );
  assertEquals(
    [error.invariant, error.node, error.time],
    ["few arrive", "b", clockAt + 2],
  );
});

Deno.test("VirtualNetwork.rest() checks what holds at rest, then", () => {
  const { network } = pair();
  network.atRest("something arrived", ({ nodes }) => {
    assert(nodes.some(({ delivered }) => delivered.length > 0), "nothing did");
  });
  const error = assertThrows(
    () => network.rest(10),
    InvariantError,
    "nothing did",
  );
  assertEquals(error.node, null);
  send(network, [1]);
  network.rest(10);
});

Deno.test("VirtualNetwork.tap() sees each packet that a link takes", () => {
  const { network } = pair({ outbox: 2 });
  const seen: unknown[] = [];
  network.tap((from, to, packet, lane) => {
    seen.push([from, to, packet[0], lane]);
  });
  send(network, [1, 2, 3], "control");
  assertEquals(seen, [["a", "b", 1, "control"], ["a", "b", 2, "control"]]);
});

Deno.test("VirtualNetwork.topology() tells who runs, who is doubted, and what is cut", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "b", "c", "d"]) {
    network.add(id, { router: peerRouter(), membership: swim() });
  }
  network.machine("m");
  for (const id of ["b", "c", "d"]) network.connect(id, "a");
  network.clock.tick(5_000);
  network.cut("a", "b", "one-way");
  network.node("c").crash();
  network.node("d").crash("silence");
  network.clock.tick(1_000);
  const { self, nodes, links } = network.topology();
  assertEquals(self, null);
  assertEquals(
    nodes.map(({ id, state }) => `${id} ${state}`),
    ["a alive", "b alive", "c failed", "d failed", "m alive"],
  );
  assertEquals(links.map(({ a, b, state }) => `${a} ${b} ${state}`), [
    "a b slow",
  ]);
  network.healAll();
  network.node("b").pause();
  network.clock.tick(4_000);
  assertEquals(network.topology().nodes[1]?.state, "suspect");
  assertEquals(network.topology().links[0]?.state, "open");
});
