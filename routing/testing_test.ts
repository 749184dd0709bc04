import { assert, assertEquals, assertThrows } from "@std/assert";
import { peerRouter } from "./peer.ts";
import { seededRandom, VirtualClock, VirtualNetwork } from "./testing.ts";

// -- VirtualClock --

Deno.test("VirtualClock runs callbacks by time, then in the order asked for", () => {
  const clock = new VirtualClock();
  const order: string[] = [];
  clock.after(5, () => order.push("c"));
  clock.after(3, () => order.push("a"));
  clock.after(5, () => order.push("d"));
  clock.after(3, () => order.push("b"));
  clock.tick(4);
  assertEquals(order, ["a", "b"]);
  clock.tick(1);
  assertEquals(order, ["a", "b", "c", "d"]);
});

Deno.test("VirtualClock keeps the order of a thousand random delays", () => {
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const expected: [number, number][] = [];
  const seen: [number, number][] = [];
  for (let i = 0; i < 1000; i++) {
    const delay = Math.floor(random() * 50);
    expected.push([delay, i]);
    const cancel = clock.after(delay, () => seen.push([clock.now(), i]));
    if (i % 3 === 0) {
      cancel();
      expected.pop();
    }
  }
  clock.run();
  assertEquals(seen, expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]));
  assertEquals(clock.pending, 0);
});

Deno.test("VirtualClock.soon() runs at the same time, in a later turn", () => {
  const clock = new VirtualClock();
  const order: string[] = [];
  clock.after(1, () => {
    clock.soon(() => order.push(`soon ${clock.now()}`));
    order.push("first");
  });
  clock.after(1, () => order.push("second"));
  clock.tick(1);
  assertEquals(order, ["first", "second", "soon 1"]);
});

Deno.test("VirtualClock.after() is cancelled, twice and late without effect", () => {
  const clock = new VirtualClock();
  let calls = 0;
  const cancel = clock.after(1, () => calls++);
  const late = clock.after(2, () => calls++);
  cancel();
  cancel();
  assertEquals(clock.pending, 1);
  clock.tick(10);
  late();
  assertEquals([calls, clock.pending, clock.now()], [1, 0, 10]);
});

Deno.test("VirtualClock.run() refuses to run for ever", () => {
  const clock = new VirtualClock();
  const again = () => void clock.after(1000, again);
  again();
  assertThrows(
    () => clock.run(10_000),
    RangeError,
    "1 callbacks left after 10000 ms",
  );
});

Deno.test("VirtualClock.until() tells how long it took, or throws", () => {
  const clock = new VirtualClock();
  let done = false;
  clock.after(25, () => done = true);
  assertEquals(clock.until(() => done), 25);
  assertThrows(
    () => clock.until(() => !done, 100),
    RangeError,
    "within 100 ms",
  );
});

// -- seededRandom --

Deno.test("seededRandom() is spread over 0 to 1 and differs by seed", () => {
  const random = seededRandom(1);
  const numbers = Array.from({ length: 10_000 }, random);
  assert(numbers.every((x) => x >= 0 && x < 1));
  const mean = numbers.reduce((sum, x) => sum + x) / numbers.length;
  assert(Math.abs(mean - 0.5) < 0.02);
  assert(seededRandom(2)() !== numbers[0]);
});

// -- VirtualNetwork --

function pair(options = {}): VirtualNetwork {
  const network = new VirtualNetwork(options);
  for (const id of ["a", "b"]) network.add(id, { router: peerRouter() });
  network.connect("a", "b");
  network.clock.tick(100);
  return network;
}

function payloads(network: VirtualNetwork, id: string): number[] {
  return network.node(id).delivered.map(({ payload }) => payload[0] ?? -1);
}

Deno.test("VirtualNetwork.add() refuses a name twice, and node() an unknown one", () => {
  const network = pair();
  assertThrows(
    () => network.add("a", { router: peerRouter() }),
    TypeError,
    '"a"',
  );
  assertThrows(() => network.node("x"), TypeError, '"x"');
});

Deno.test("VirtualNetwork carries a packet in its latency", () => {
  const network = pair({ latency: 30 });
  network.node("a").send(["b"], new Uint8Array([1]));
  assertEquals(
    network.clock.until(() => payloads(network, "b").length > 0),
    30,
  );
});

Deno.test("VirtualNetwork keeps the order of a link under jitter", () => {
  const network = pair({ jitter: 50 });
  for (let i = 0; i < 100; i++) {
    network.node("a").send(["b"], new Uint8Array([i]));
  }
  network.clock.run();
  assertEquals(
    payloads(network, "b"),
    Array.from({ length: 100 }, (_, i) => i),
  );
});

Deno.test("VirtualNetwork bounds what a link holds", () => {
  const network = pair({ outbox: 2 });
  const sent = [1, 2, 3].map((i) =>
    network.node("a").send(["b"], new Uint8Array([i]))
  );
  assertEquals(sent, [1, 1, 0]);
  network.clock.run();
  assertEquals(network.node("a").send(["b"], new Uint8Array([4])), 1);
  network.clock.run();
  assertEquals(payloads(network, "b"), [1, 2, 4]);
});

Deno.test("VirtualNetwork makes one link of two dials", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "b"]) network.add(id, { router: peerRouter() });
  network.connect("a", "b");
  network.connect("b", "a");
  network.clock.run();
  assertEquals(network.node("a").send(["b"], new Uint8Array([1])), 1);
  assertEquals(network.node("b").send(["a"], new Uint8Array([2])), 1);
  network.clock.run();
  assertEquals([payloads(network, "a"), payloads(network, "b")], [[2], [1]]);
});

Deno.test("VirtualNetwork.cut() in silence holds what is sent until heal()", () => {
  const network = pair();
  network.cut("a", "b");
  network.node("a").send(["b"], new Uint8Array([1]));
  network.clock.tick(10_000);
  assertEquals(payloads(network, "b"), []);
  network.heal("a", "b");
  network.node("a").send(["b"], new Uint8Array([2]));
  network.clock.run();
  assertEquals(payloads(network, "b"), [1, 2]);
});

Deno.test("VirtualNetwork.cut() of links ends them, and dials get no answer", () => {
  const network = pair({ dialTimeout: 400 });
  const { router } = network.node("a");
  network.cut("a", "b", "links");
  assertEquals([...router.nodes, ...network.node("b").router.nodes], []);
  const unreachable: string[] = [];
  const link = router.link.bind(router);
  router.link = (event) => {
    if (event.type === "unreachable") {
      unreachable.push(`${event.id} ${event.reason}`);
    }
    link(event);
  };
  network.connect("a", "b");
  network.clock.tick(399);
  assertEquals(unreachable, []);
  network.clock.tick(1);
  assertEquals(unreachable, ["b timed out"]);
});

Deno.test("VirtualNetwork.disconnect() ends a link behind what was sent", () => {
  const network = pair();
  network.node("a").send(["b"], new Uint8Array([1]));
  network.disconnect("a", "b");
  network.clock.run();
  assertEquals(payloads(network, "b"), [1]);
  assertEquals([
    ...network.node("a").neighbours,
    ...network.node("b").neighbours,
  ], []);
  assertEquals([...network.node("b").router.nodes], []);
});

Deno.test("VirtualNode.crash() with its links is noticed at the other end", () => {
  const network = pair();
  network.node("b").crash("links");
  network.clock.run();
  assertEquals([...network.node("a").router.nodes], []);
});

Deno.test("VirtualNode.crash() in silence leaves a link half open until it is used after the restart", () => {
  const network = pair({ outbox: 3 });
  network.node("b").crash("silence");
  network.clock.tick(60_000);
  const sent = [1, 2, 3, 4].map((i) =>
    network.node("a").send(["b"], new Uint8Array([i]))
  );
  assertEquals(sent, [1, 1, 1, 0]);
  network.clock.tick(60_000);
  assertEquals([...network.node("a").router.nodes], ["b"]);
  network.node("b").restart();
  network.clock.run();
  assertEquals([...network.node("a").router.nodes], []);
  assertEquals(payloads(network, "b"), []);
});

Deno.test("VirtualNode.restart() raises the incarnation and forgets the past", () => {
  const network = pair();
  const node = network.node("b");
  const first = node.self.incarnation;
  network.node("a").send(["b"], new Uint8Array([1]));
  network.clock.run();
  assertThrows(() => node.restart(), TypeError, "running");
  node.crash();
  node.restart();
  assert(node.self.incarnation > first);
  assertEquals(node.delivered, []);
});

Deno.test("VirtualNode.pause() holds timers and packets until resume()", () => {
  const network = pair();
  const node = network.node("b");
  node.pause();
  network.node("a").send(["b"], new Uint8Array([1]));
  node.router.member({
    type: "join",
    member: { id: "a2", incarnation: 1, addresses: ["x://y"] },
  });
  network.clock.tick(10_000);
  assertEquals([payloads(network, "b"), node.timers], [[], 1]);
  node.resume();
  assertEquals([payloads(network, "b"), node.timers], [[1], 0]);
});
