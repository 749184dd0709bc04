import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { incarnationAt, nextEpoch } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import { testRouter, VirtualClock, VirtualNetwork } from "./testing.ts";
import {
  type NodeId,
  NodeNotFoundError,
  type Peer,
  type Router,
} from "./types.ts";

testRouter("peerRouter()", peerRouter());

const INCARNATION = incarnationAt(Date.UTC(2026, 0, 1));

/** A router whose links are a list of what it asked of them. */
class Bench {
  readonly clock = new VirtualClock();
  readonly asked: string[] = [];
  readonly packets: Uint8Array[] = [];
  readonly delivered: Uint8Array[] = [];
  readonly full = new Set<NodeId>();
  random = 0;
  readonly router: Router;

  constructor(id: NodeId, addresses = [`virtual://${id}`]) {
    this.router = peerRouter()({
      self: { id, incarnation: INCARNATION, addresses },
      clock: this.clock,
      random: () => this.random,
      links: {
        send: (to, packet) => {
          if (!this.full.has(to)) this.packets.push(packet);
          return !this.full.has(to);
        },
        connect: (peer) =>
          this.asked.push(`connect ${peer.id} ${peer.addresses}`),
        disconnect: (to, reason) =>
          this.asked.push(`disconnect ${to} ${reason}`),
      },
      up: {
        deliver: (_from, payload) => this.delivered.push(payload),
        undelivered: () => {},
      },
    });
  }

  up(id: NodeId, incarnation = INCARNATION): void {
    this.router.link({ type: "up", peer: peer(id, incarnation) });
  }

  down(id: NodeId, reason = "broken"): void {
    this.router.link({ type: "down", id, reason });
  }

  unreachable(id: NodeId, reason = "refused"): void {
    this.router.link({ type: "unreachable", id, reason });
  }

  /** What was asked within so many ms, as far as it is new. */
  within(ms: number): string[] {
    const before = this.asked.length;
    this.clock.tick(ms);
    return this.asked.slice(before);
  }
}

function peer(id: NodeId, incarnation = INCARNATION): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}

// -- Packets --

Deno.test("peerRouter() is direct: it delivers a packet itself, at once, and keeps nothing of it", () => {
  const bench = new Bench("a");
  assert("direct" in bench.router && bench.router.direct === true);
  bench.up("b");
  const packet = Uint8Array.of(1, 2, 3);
  bench.router.receive("b", packet, "data");
  assertEquals(bench.delivered.length, 1);
  assertStrictEquals(bench.delivered[0], packet);
  // Whoever lent it writes to it now.
  packet.fill(9);
  bench.router.receive("b", Uint8Array.of(4), "data");
  bench.router.send("all", Uint8Array.of(5));
  bench.clock.tick(60_000);
  assertEquals(bench.delivered.slice(1), [Uint8Array.of(4)]);
  assertEquals(bench.packets, [Uint8Array.of(5)]);
});

Deno.test("peerRouter().send() hands the same payload object to every link", () => {
  const bench = new Bench("a");
  for (const id of ["b", "c", "d"]) bench.up(id);
  const payload = new Uint8Array([1, 2, 3]);
  assertEquals(bench.router.send("all", payload), 3);
  assertEquals(bench.router.send(["c", "d"], payload), 2);
  assertEquals(bench.packets.length, 5);
  for (const packet of bench.packets) assertStrictEquals(packet, payload);
});

Deno.test("peerRouter().receive() delivers the same packet object", () => {
  const bench = new Bench("a");
  const packet = new Uint8Array([1, 2, 3]);
  bench.router.receive("b", packet, "data");
  assertStrictEquals(bench.delivered[0], packet);
});

Deno.test("peerRouter().send() counts the links that have room", () => {
  const bench = new Bench("a");
  for (const id of ["b", "c", "d"]) bench.up(id);
  bench.full.add("c");
  assertEquals(bench.router.send("all", new Uint8Array(1)), 2);
  assertEquals(bench.router.send(["c"], new Uint8Array(1)), 0);
  assert("counters" in bench.router);
  assertEquals(bench.router.counters, { dropped: 2 });
});

Deno.test("peerRouter().send() names a member that it cannot reach, and why", () => {
  const bench = new Bench("a");
  const send = () => bench.router.send(["b"], new Uint8Array(1));
  assertThrows(send, NodeNotFoundError, 'Cannot find a way to node "b"');
  bench.router.member({ type: "join", member: peer("b") });
  assertThrows(send, NodeNotFoundError, 'Cannot reach node "b": no link to it');
  bench.unreachable("b", "connection refused");
  assertThrows(
    send,
    NodeNotFoundError,
    'Cannot reach node "b": no link to it (last error: connection refused)',
  );
});

// -- Dialling --

Deno.test("peerRouter() dials a new member at once from the smaller id", () => {
  const bench = new Bench("a");
  bench.router.member({ type: "join", member: peer("b") });
  assertEquals(bench.asked, ["connect b virtual://b"]);
  assertEquals(bench.within(60_000), []);
});

Deno.test("peerRouter() dials a new member after 500 to 750 ms from the larger id", () => {
  for (const random of [0, 0.999]) {
    const bench = new Bench("b");
    bench.random = random;
    bench.router.member({ type: "join", member: peer("a") });
    assertEquals(bench.within(499), []);
    assertEquals(bench.within(251), ["connect a virtual://a"]);
  }
});

Deno.test("peerRouter() does not dial from the larger id if the other was quicker", () => {
  const bench = new Bench("b");
  bench.router.member({ type: "join", member: peer("a") });
  bench.clock.tick(100);
  bench.up("a");
  assertEquals(bench.within(60_000), []);
  assertEquals(bench.clock.pending, 0);
});

Deno.test("peerRouter() dials at once where it cannot be dialled itself", () => {
  const bench = new Bench("b", []);
  bench.router.member({ type: "join", member: peer("a") });
  assertEquals(bench.asked, ["connect a virtual://a"]);
});

Deno.test("peerRouter() does not dial a member without addresses", () => {
  const bench = new Bench("a");
  const member = { ...peer("b"), addresses: [] };
  bench.router.member({ type: "join", member });
  assertEquals(bench.within(60_000), []);
  bench.router.member({ type: "update", member: peer("b") });
  assertEquals(bench.asked, ["connect b virtual://b"]);
});

Deno.test("peerRouter() redials a member after its link ended", () => {
  const smaller = new Bench("a");
  smaller.router.member({ type: "join", member: peer("b") });
  smaller.up("b");
  smaller.down("b");
  assertEquals(smaller.asked, [
    "connect b virtual://b",
    "connect b virtual://b",
  ]);
  const larger = new Bench("c");
  larger.router.member({ type: "join", member: peer("b") });
  larger.up("b");
  larger.down("b");
  assertEquals(larger.within(99), []);
  assertEquals(larger.within(1), ["connect b virtual://b"]);
});

Deno.test("peerRouter() does not redial a node that is no member", () => {
  const bench = new Bench("a");
  bench.up("b");
  bench.down("b");
  assertEquals(bench.within(60_000), []);
});

Deno.test("peerRouter() retries after a random part of 250 ms, doubled up to 10 s", () => {
  const bench = new Bench("a");
  bench.random = 0.5;
  bench.router.member({ type: "join", member: peer("b") });
  for (const longest of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    bench.unreachable("b");
    assertEquals(bench.within(longest / 2 - 1), []);
    assertEquals(bench.within(1), ["connect b virtual://b"]);
  }
});

Deno.test("peerRouter() begins the retries anew after a link and after an update", () => {
  const bench = new Bench("a");
  bench.random = 0.5;
  bench.router.member({ type: "join", member: peer("b") });
  for (let i = 0; i < 8; i++) {
    bench.unreachable("b");
    bench.clock.tick(5000);
  }
  bench.up("b");
  bench.down("b");
  bench.unreachable("b");
  assertEquals(bench.within(125), ["connect b virtual://b"]);
  bench.unreachable("b");
  bench.router.member({
    type: "update",
    member: { ...peer("b"), addresses: ["virtual://new"] },
  });
  assertEquals(bench.asked.at(-1), "connect b virtual://new");
  bench.unreachable("b");
  assertEquals(bench.within(125), ["connect b virtual://new"]);
});

Deno.test("peerRouter() gives up a member that is gone", () => {
  const bench = new Bench("a");
  bench.random = 0.5;
  bench.router.member({ type: "join", member: peer("b") });
  bench.unreachable("b");
  bench.router.member({ type: "leave", member: peer("b"), reason: "failed" });
  bench.unreachable("b");
  assertEquals(bench.within(60_000), []);
  assertEquals(bench.clock.pending, 0);
});

Deno.test("peerRouter() ends the link to a member that is gone", () => {
  const bench = new Bench("b");
  bench.up("a");
  bench.router.member({ type: "join", member: peer("a") });
  bench.router.member({ type: "leave", member: peer("a"), reason: "left" });
  assertEquals(bench.asked, ["disconnect a left"]);
  assertEquals([...bench.router.nodes], ["a"]);
  bench.down("a", "left");
  assertEquals([...bench.router.nodes], []);
});

Deno.test("peerRouter() keeps the link to a restart, and ends the one to its past", () => {
  const later = nextEpoch(INCARNATION);
  const bench = new Bench("b");
  bench.router.member({ type: "join", member: peer("a") });
  bench.up("a", later);
  bench.router.member({
    type: "leave",
    member: peer("a"),
    reason: "restarted",
  });
  bench.router.member({ type: "join", member: peer("a", later) });
  assertEquals(bench.within(60_000), []);
  bench.router.member({
    type: "leave",
    member: peer("a", later),
    reason: "restarted",
  });
  bench.router.member({ type: "join", member: peer("a", nextEpoch(later)) });
  assertEquals(bench.within(60_000), []);
  assertEquals(bench.asked, ["disconnect a restarted"]);
  bench.down("a", "restarted");
  assertEquals(bench.within(100), ["connect a virtual://a"]);
});

Deno.test("peerRouter() says which node it cannot reach where two networks share one node", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "both", "b"]) {
    network.add(id, { router: peerRouter() });
  }
  network.cut("a", "b");
  network.connect("a", "both");
  network.connect("b", "both");
  const { router } = network.node("a");
  router.member({ type: "join", member: network.node("b").self });
  network.clock.tick(2000);
  assertEquals([...router.nodes], ["both"]);
  assertThrows(
    () => network.node("a").send(["both", "b"], new Uint8Array(1)),
    NodeNotFoundError,
    'Cannot reach node "b": no link to it (last error: timed out)',
  );
  assertEquals(network.node("both").delivered, []);
});
