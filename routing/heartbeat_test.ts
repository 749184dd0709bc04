import { assert, assertEquals, assertThrows } from "@std/assert";
import { Writer } from "./_bytes.ts";
import { writePeer } from "./_peer_codec.ts";
import { heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
import { incarnationAt, nextEpoch, nextIncarnation } from "./incarnation.ts";
import { peerRouter } from "./peer.ts";
import { testMembership, VirtualClock, VirtualNetwork } from "./testing.ts";
import type {
  Counted,
  MemberEvent,
  Membership,
  NodeId,
  Peer,
} from "./types.ts";

testMembership("heartbeat()", heartbeat(), { within: 30_000 });

const INCARNATION = incarnationAt(Date.UTC(2026, 0, 1));
const HOUR = 3_600_000 * 4096;

/** A membership of node "self" whose other nodes are the test. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: string[] = [];
  readonly sent: { to: NodeId; message: Uint8Array }[] = [];
  readonly refuted: number[] = [];
  readonly membership: Membership & Partial<Counted>;

  constructor(options: HeartbeatOptions = {}) {
    this.membership = heartbeat(options)({
      self: peer("self"),
      clock: this.clock,
      random: () => 0.5,
      send: (to, message) => this.sent.push({ to, message }) > 0,
      mayTell: () => true,
      refute: (accused) => this.refuted.push(accused),
      changed: (event) => this.events.push(labelOf(event)),
    });
  }

  get counters(): Readonly<Record<string, number>> {
    return this.membership.counters ?? {};
  }

  up(...ids: NodeId[]): void {
    for (const id of ids) this.membership.link({ type: "up", peer: peer(id) });
  }

  /** Lets time pass in steps of 500 ms, in which some nodes make themselves heard. */
  pass(ms: number, ...alive: NodeId[]): void {
    for (let passed = 0; passed < ms; passed += 500) {
      for (const id of alive) this.membership.heard(id);
      this.clock.tick(500);
    }
  }

  news(from: NodeId, ...peers: Peer[]): void {
    this.membership.receive(from, newsOf(peers));
  }

  /** Takes the events since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }
}

function peer(id: NodeId, incarnation = INCARNATION, meta?: Uint8Array): Peer {
  const addresses = [`virtual://${id}`];
  return meta === undefined
    ? { id, incarnation, addresses }
    : { id, incarnation, addresses, meta };
}

function newsOf(peers: readonly Peer[], flags = 0): Uint8Array {
  const writer = new Writer().u8(1).u8(2).u8(flags);
  for (const each of peers) writePeer(writer, each, () => true);
  return writer.take();
}

function beat(incarnation = INCARNATION): Uint8Array {
  return new Writer().u8(1).u8(1).u53(incarnation).take();
}

function left(incarnation = INCARNATION): Uint8Array {
  return new Writer().u8(1).u8(3).u53(incarnation).take();
}

function labelOf(event: MemberEvent): string {
  const label = `${event.type} ${event.member.id}`;
  return event.type === "leave" ? `${label} ${event.reason}` : label;
}

// -- Options --

Deno.test("heartbeat() refuses options out of range", () => {
  assertThrows(() => heartbeat({ interval: 0 }), RangeError, "0 ms");
  assertThrows(() => heartbeat({ interval: NaN }), RangeError, "NaN ms");
  assertThrows(() => heartbeat({ timeout: 1999 }), RangeError, "1999 ms");
  assertThrows(() => heartbeat({ maxMembers: 0 }), RangeError, "0 members");
});

// -- Failure --

Deno.test("heartbeat() gives up a silent member after the timeout and at most two intervals", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.pass(60_000, "a", "b");
  bench.take();
  bench.pass(5000, "a");
  assertEquals(bench.take(), []);
  bench.pass(2000, "a");
  assertEquals(bench.take(), ["leave b failed"]);
});

Deno.test("heartbeat() gives up a member that was never heard", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", peer("a"), peer("ghost"));
  bench.pass(7000, "a");
  assertEquals(bench.take(), ["join a", "join ghost", "leave ghost failed"]);
});

Deno.test("heartbeat() takes a broken link and a failed dial as the end", () => {
  const bench = new Bench();
  bench.up("a");
  bench.membership.link({ type: "unreachable", id: "a", reason: "refused" });
  bench.membership.link({ type: "down", id: "a", reason: "end" });
  assertEquals(bench.take(), ["join a"]);
  bench.membership.link({ type: "unreachable", id: "a", reason: "refused" });
  assertEquals(bench.take(), ["leave a failed"]);
});

Deno.test("heartbeat() forgives a broken link that came up again", () => {
  const bench = new Bench();
  bench.up("a");
  bench.membership.link({ type: "down", id: "a", reason: "end" });
  bench.up("a");
  bench.membership.link({ type: "unreachable", id: "a", reason: "late" });
  assertEquals(bench.take(), ["join a"]);
});

Deno.test("heartbeat() waits for a node that cannot be dialled to come back", () => {
  const bench = new Bench();
  bench.membership.link({ type: "up", peer: { ...peer("a"), addresses: [] } });
  bench.membership.link({ type: "down", id: "a", reason: "end" });
  bench.membership.link({ type: "unreachable", id: "a", reason: "no address" });
  assertEquals(bench.take(), ["join a"]);
});

Deno.test("heartbeat() sees a killed process in milliseconds from the smaller id", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "b", "c"]) {
    network.add(id, { router: peerRouter(), membership: heartbeat() });
  }
  network.connect("b", "a");
  network.connect("c", "a");
  network.clock.tick(5000);
  network.node("b").crash("links");
  const smaller = network.clock.until(() =>
    !network.node("a").members.has("b")
  );
  const larger = network.clock.until(() => !network.node("c").members.has("b"));
  assert(smaller <= 5, `${smaller} ms`);
  assert(larger <= 160, `${larger} ms`);
});

Deno.test("heartbeat() accuses nobody after a pause of its own", () => {
  const network = new VirtualNetwork();
  for (const id of ["a", "b"]) {
    network.add(id, { router: peerRouter(), membership: heartbeat() });
  }
  network.connect("a", "b");
  network.clock.tick(5000);
  network.cut("a", "b");
  network.node("a").pause();
  network.clock.tick(60_000);
  network.node("a").resume();
  network.clock.tick(2500);
  assert(network.node("a").members.has("b"));
  network.clock.tick(5000);
  assert(!network.node("a").members.has("b"));
});

// -- Coming back --

Deno.test("heartbeat() does not believe others about a failed node until its quarantine ends", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.pass(7000, "a");
  assertEquals(bench.take(), ["join a", "join b", "leave b failed"]);
  bench.news("a", peer("b"));
  bench.pass(8000, "a");
  bench.news("a", peer("b"));
  assertEquals(bench.take(), []);
  bench.sent.length = 0;
  bench.pass(1000, "a");
  const asked = bench.sent.filter(({ message }) =>
    message[1] === 2 && message[2] === 1
  );
  assertEquals(asked.map(({ to }) => to), ["a"]);
  bench.news("a", peer("b"));
  assertEquals(bench.take(), ["join b"]);
});

Deno.test("heartbeat() doubles the quarantine of a node that only others hear", () => {
  const bench = new Bench();
  bench.up("a");
  const joins: number[] = [];
  for (let time = 0; time < 3_600_000; time += 1000) {
    bench.news("a", peer("ghost"));
    bench.pass(1000, "a");
    if (bench.take().includes("join ghost")) joins.push(time);
  }
  // 20 s after the first failure, then 40, ... up to ten minutes.
  assert(joins.length >= 9 && joins.length <= 12, `${joins.length} joins`);
  const last = joins.slice(-2);
  assert((last[1] ?? 0) - (last[0] ?? 0) >= 600_000);
});

Deno.test("heartbeat() takes back a failed node that makes itself heard", () => {
  for (const message of [beat(), newsOf([peer("b")])]) {
    const bench = new Bench();
    bench.up("b");
    bench.pass(7000);
    bench.membership.receive("b", message);
    assertEquals(bench.take(), ["join b", "leave b failed", "join b"]);
  }
  const bench = new Bench();
  bench.up("b");
  bench.pass(7000);
  bench.up("b");
  assertEquals(bench.take(), ["join b", "leave b failed", "join b"]);
});

Deno.test("heartbeat() takes back a node that left under a higher incarnation only", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.membership.receive("b", left());
  bench.membership.receive("b", beat());
  bench.up("b");
  bench.news("b", peer("b"));
  bench.news("a", peer("b"));
  assertEquals(bench.take(), ["join a", "join b", "leave b left"]);
  bench.news("a", peer("b", nextEpoch(INCARNATION)));
  assertEquals(bench.take(), ["join b"]);
});

Deno.test("heartbeat() takes a goodbye from nobody but the node itself", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.membership.receive("a", left(INCARNATION - 1));
  bench.membership.receive("stranger", left());
  assertEquals(bench.membership.members.size, 2);
  assertEquals(bench.counters.stale, 1);
});

Deno.test("heartbeat() remembers 1,024 gone nodes", () => {
  const bench = new Bench();
  bench.up("a");
  for (let i = 0; i < 1030; i++) {
    bench.up(`b${i}`);
    bench.membership.receive(`b${i}`, left());
  }
  bench.take();
  assertEquals(bench.counters.forgotten, 6);
  bench.news("a", peer("b5"), peer("b6"));
  assertEquals(bench.take(), ["join b5"]);
});

Deno.test("heartbeat() forgets a gone node ten minutes after its quarantine", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.membership.receive("b", left());
  bench.pass(605_000, "a");
  bench.news("a", peer("b"));
  assertEquals(bench.take(), ["join a", "join b", "leave b left"]);
  bench.pass(10_000, "a");
  bench.news("a", peer("b"));
  assertEquals(bench.take(), ["join b"]);
});

// -- News --

Deno.test("heartbeat() tells a restart from an update", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", peer("b"));
  bench.take();
  for (const from of ["a", "b"]) {
    const known = bench.membership.members.get("b")?.incarnation ?? 0;
    const meta = new TextEncoder().encode(from);
    bench.news(from, peer("b", nextIncarnation(known), meta));
    assertEquals(bench.take(), ["update b"]);
    bench.news(from, peer("b", nextEpoch(known)));
    assertEquals(bench.take(), ["leave b restarted", "join b"]);
  }
});

Deno.test("heartbeat() asks a member that it hears about what others tell of it", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.take();
  bench.sent.length = 0;
  bench.news("a", peer("b", nextEpoch(INCARNATION)));
  assertEquals(bench.take(), []);
  assertEquals(bench.sent, [{ to: "b", message: newsOf([peer("self")], 1) }]);
  bench.membership.link({ type: "down", id: "b", reason: "end" });
  bench.news("a", peer("b", nextEpoch(INCARNATION)));
  assertEquals(bench.take(), ["leave b restarted", "join b"]);
});

Deno.test("heartbeat() tells every member of its update at once", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.sent.length = 0;
  bench.membership.update();
  const message = newsOf([peer("self")]);
  assertEquals(bench.sent, [{ to: "a", message }, { to: "b", message }]);
});

Deno.test("heartbeat() says nothing of a higher incarnation with the same content", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", peer("a", nextIncarnation(INCARNATION)));
  assertEquals(bench.take(), ["join a"]);
  assertEquals(
    bench.membership.members.get("a")?.incarnation,
    nextIncarnation(INCARNATION),
  );
});

Deno.test("heartbeat() ignores stale news and counts it", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.take();
  bench.news("a", peer("b", INCARNATION - 1, new Uint8Array([1])));
  bench.news("a", peer("b", INCARNATION, new Uint8Array([1])));
  assertEquals(bench.take(), []);
  assertEquals(bench.counters.stale, 1);
});

Deno.test("heartbeat() prefers what a node says of itself to what others say", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", { ...peer("b"), addresses: ["virtual://rumour"] });
  bench.up("b");
  assertEquals(bench.take(), ["join a", "join b", "update b"]);
  assertEquals(bench.membership.members.get("b")?.addresses, ["virtual://b"]);
});

Deno.test("heartbeat() believes strangers about themselves only", () => {
  const bench = new Bench();
  bench.news("a", peer("b"));
  assertEquals(bench.take(), []);
  assertEquals(bench.counters.stranger, 1);
  bench.news("a", peer("b"), peer("a"));
  assertEquals(bench.take(), ["join a", "join b"]);
});

Deno.test("heartbeat() asks a stranger that beats who it is", () => {
  const bench = new Bench();
  bench.membership.receive("a", beat());
  assertEquals(bench.take(), []);
  assertEquals(bench.sent, [{ to: "a", message: newsOf([peer("self")], 1) }]);
});

Deno.test("heartbeat() asks a member that beats under a higher incarnation", () => {
  const bench = new Bench();
  bench.up("a");
  bench.sent.length = 0;
  bench.membership.receive("a", beat());
  assertEquals(bench.sent, []);
  bench.membership.receive("a", beat(INCARNATION + 1));
  assertEquals(bench.sent, [{ to: "a", message: newsOf([peer("self")], 1) }]);
});

Deno.test("heartbeat() answers members only, once an interval", () => {
  const bench = new Bench();
  bench.up("a");
  bench.sent.length = 0;
  for (let i = 0; i < 100; i++) bench.membership.receive("a", newsOf([], 1));
  bench.membership.receive("stranger", newsOf([], 1));
  assertEquals(bench.sent, [{
    to: "a",
    message: newsOf([peer("self"), peer("a")]),
  }]);
});

Deno.test("heartbeat() vouches only for nodes that it heard itself", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", peer("ghost"));
  bench.sent.length = 0;
  bench.up("b");
  const told = bench.sent.filter(({ to }) => to === "b");
  assertEquals(told, [{
    to: "b",
    message: newsOf([peer("self"), peer("a"), peer("b")]),
  }]);
  bench.sent.length = 0;
  bench.membership.heard("ghost");
  bench.up("c");
  const ids = bench.sent.filter(({ to }) => to === "c").map(({ message }) =>
    message
  );
  const all = ["self", "a", "ghost", "b", "c"].map((id) => peer(id));
  assertEquals(ids, [newsOf(all)]);
});

Deno.test("heartbeat() announces whom it met first, and nobody else", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.sent.length = 0;
  bench.up("c");
  const announced = { message: newsOf([peer("c")]) };
  assertEquals(bench.sent.slice(1), [{ to: "a", ...announced }, {
    to: "b",
    ...announced,
  }]);
  bench.news("a", peer("d"));
  bench.sent.length = 0;
  bench.up("d");
  assertEquals(bench.sent.map(({ to }) => to), ["d"]);
});

Deno.test("heartbeat() sends messages of at most 16 KiB", () => {
  const bench = new Bench();
  for (let i = 0; i < 60; i++) {
    const id = `${i}`.padStart(64, "n");
    const addresses = Array.from(
      { length: 8 },
      (_, j) => `${j}`.padStart(256, "x"),
    );
    const member = {
      id,
      incarnation: INCARNATION,
      addresses,
      meta: new Uint8Array(512),
    };
    bench.news(id, member);
  }
  bench.sent.length = 0;
  bench.up("a");
  const told = bench.sent.filter(({ to }) => to === "a");
  assert(told.length > 8);
  assert(told.every(({ message }) => message.length <= 16 * 1024));
  const other = new Bench();
  other.up("x");
  for (const { message } of told) other.membership.receive("x", message);
  // The sixty, a, and x; what is told of the receiver is no news to it.
  assertEquals(other.membership.members.size, 62);
});

// -- Attacks --

Deno.test("heartbeat() bounds its members and counts the rest", () => {
  const bench = new Bench({ maxMembers: 100 });
  bench.up("a");
  for (let i = 0; i < 500; i++) bench.news("a", peer(`x${i}`));
  bench.up("b");
  assertEquals(bench.membership.members.size, 100);
  assertEquals(bench.counters.full, 402);
});

Deno.test("heartbeat() refutes news of itself, but none from the far future", () => {
  const bench = new Bench();
  bench.up("a");
  bench.news("a", peer("self", INCARNATION));
  assertEquals(bench.refuted, []);
  bench.news("a", peer("self", INCARNATION + 1));
  bench.news("a", peer("self", INCARNATION + HOUR));
  assertEquals(bench.refuted, [INCARNATION + 1, INCARNATION + HOUR]);
  bench.news("a", peer("self", INCARNATION + HOUR + 4096));
  bench.news("a", peer("self", Number.MAX_SAFE_INTEGER));
  assertEquals(bench.refuted.length, 2);
  assertEquals(bench.counters.implausible, 2);
});

Deno.test("heartbeat() does not let a far incarnation lock a node out", () => {
  const bench = new Bench();
  bench.up("a", "b");
  bench.news(
    "a",
    peer("b", INCARNATION + 2 * HOUR),
    peer("c", Number.MAX_SAFE_INTEGER),
  );
  assertEquals(bench.take(), ["join a", "join b"]);
  assertEquals(bench.counters.implausible, 2);
  // Time passes, and so does what is plausible.
  bench.pass(3_600_000, "a", "b");
  const later = INCARNATION + 2 * HOUR;
  bench.news("b", peer("b", later));
  assertEquals(bench.membership.members.get("b")?.incarnation, later);
});

Deno.test("heartbeat() takes a later epoch over a living link for a refutation, not a restart", () => {
  const bench = new Bench();
  bench.up("a", "b");
  assertEquals(bench.take(), ["join a", "join b"]);
  const later = INCARNATION + HOUR / 2;
  bench.news("b", peer("b", later));
  assertEquals(bench.take(), []);
  assertEquals(bench.membership.members.get("b")?.incarnation, later);
});

Deno.test("heartbeat() believes news up to the clock of a neighbour that is ahead", () => {
  const bench = new Bench();
  bench.membership.link({
    type: "up",
    peer: peer("a", INCARNATION + 24 * HOUR),
  });
  bench.news("a", peer("b", INCARNATION + 24 * HOUR));
  assertEquals(bench.take(), ["join a", "join b"]);
});

Deno.test("heartbeat() drops malformed and unknown messages and counts them", () => {
  const bench = new Bench();
  bench.up("a");
  const record = newsOf([peer("b")]);
  const many = new Writer().u8(1).u8(2).u8(0).string("b").u53(1).u8(9).take();
  const unprintable = newsOf([{ ...peer("b"), id: "\n" }]);
  const blank = new Writer().u8(1).u8(2).u8(0).string("b").u53(1).u8(1).string(
    "a b",
  ).u16(0).take();
  const long = new Uint8Array(16 * 1024 + 1).fill(1);
  const malformed = [
    new Uint8Array(),
    new Uint8Array([1]),
    record.subarray(0, record.length - 1),
    new Uint8Array([...beat(), 0]),
    many,
    unprintable,
    blank,
    long,
  ];
  for (const message of malformed) bench.membership.receive("a", message);
  assertEquals(bench.counters.malformed, malformed.length);
  bench.membership.receive("a", new Uint8Array([1, 99]));
  bench.membership.receive("a", new Uint8Array([2, 1]));
  assertEquals(bench.counters.unknown, 2);
  assertEquals(bench.take(), ["join a"]);
});

Deno.test("heartbeat() takes nothing of a message that is partly malformed", () => {
  const bench = new Bench();
  bench.up("a");
  const whole = newsOf([peer("b"), peer("c")]);
  bench.membership.receive("a", whole.subarray(0, whole.length - 1));
  assertEquals(bench.take(), ["join a"]);
});

// -- Cost --

Deno.test("heartbeat() costs N - 1 messages per node and interval", () => {
  const network = new VirtualNetwork({ jitter: 1 });
  const ids = Array.from({ length: 20 }, (_, i) => `node-${i}`);
  for (const id of ids) {
    network.add(id, { router: peerRouter(), membership: heartbeat() });
    if (id !== "node-0") network.connect(id, "node-0");
  }
  network.clock.tick(60_000);
  const before = network.nodes.reduce((sum, { sent }) => sum + sent, 0);
  network.clock.tick(600_000);
  const sent = network.nodes.reduce((sum, node) => sum + node.sent, 0) - before;
  const perSecond = sent / 20 / 600;
  assert(
    perSecond >= 19 && perSecond < 19.1,
    `${perSecond} per node and second`,
  );
});

Deno.test("heartbeat() gives a node that cannot be dialled half a second to come back", () => {
  const bench = new Bench();
  const shy: Peer = { ...peer("a"), addresses: [] };
  bench.membership.link({ type: "up", peer: shy });
  assertEquals(bench.take(), ["join a"]);
  bench.membership.link({ type: "down", id: "a", reason: "broken" });
  bench.clock.tick(400);
  bench.membership.link({ type: "up", peer: shy });
  bench.clock.tick(600);
  assertEquals(bench.take(), []);
  bench.membership.link({ type: "down", id: "a", reason: "broken" });
  bench.clock.tick(499);
  assertEquals(bench.take(), []);
  bench.clock.tick(1);
  assertEquals(bench.take(), ["leave a failed"]);
});
