import { assert, assertEquals } from "@std/assert";
import { VirtualClock } from "@devts/routing/testing";
import { placeOf } from "./address.ts";
import { Gate, type Pass } from "./gate.ts";
import { type NodeLimits, noneMet, withDefaults } from "./limits.ts";

function setUp(limits: NodeLimits = {}) {
  const clock = new VirtualClock();
  const met = noneMet();
  const bans: [place: string, time: number][] = [];
  const gate = new Gate({
    clock,
    limits: withDefaults(limits),
    met,
    banned: (place, time) => bans.push([place, time]),
  });
  return { clock, met, bans, gate };
}

/** Lets a connection in that must come in. */
function enter(gate: Gate, remote: string): Pass {
  const pass = gate.enter(remote, nothing);
  assert(typeof pass !== "string", `${remote}: ${pass}`);
  return pass;
}

function nothing(): void {}

/** The address of a stranger of its own, with a port of its own. */
function stranger(number: number): string {
  return `tcp://10.0.${number >> 8}.${number & 255}:${1024 + number}`;
}

const LOCAL = ["tcp://127.0.0.1:1", "tcp://[::1]:1", "memory://a", "unix:///x"];

Deno.test("Gate holds so many of one address, and takes more once they have left", () => {
  const { gate, met } = setUp({ pendingPerAddress: 2, newPerAddress: 100 });
  const first = enter(gate, "tcp://10.0.0.1:1");
  enter(gate, "tcp://10.0.0.1:2");
  assertEquals(typeof gate.enter("tcp://10.0.0.1:3", nothing), "string");
  assertEquals(met.pendingPerAddress, 1);
  enter(gate, "tcp://10.0.0.2:1"); // another one is not held up
  first.leave();
  assertEquals(
    gate.enter("tcp://10.0.0.1:4", nothing),
    "too many connections come from its address",
  );
});

Deno.test("Gate takes so many per second from one address", () => {
  const { gate, met, clock } = setUp({
    pendingPerAddress: 10,
    newPerAddress: 5,
  });
  let taken = 0;
  const come = (): void => {
    const pass = gate.enter("tcp://10.0.0.1:1", nothing);
    if (typeof pass === "string") return;
    taken++;
    pass.leave();
  };
  for (let i = 0; i < 100; i++) come();
  assertEquals(taken, 10);
  for (let ms = 0; ms < 10_000; ms += 10) {
    clock.tick(10);
    come();
  }
  assert(taken >= 58 && taken <= 60, `${taken} came in`);
  assert(met.newPerAddress > 900);
});

Deno.test("Gate closes the oldest stranger that has had its time, where the next one needs the place", () => {
  const { gate, met, clock } = setUp({ pending: 3 });
  const evicted: number[] = [];
  const come = (i: number) => gate.enter(stranger(i), () => evicted.push(i));
  for (let i = 0; i < 3; i++) come(i);
  clock.tick(499);
  assertEquals(typeof come(3), "string");
  clock.tick(1);
  const passes = [4, 5, 6].map(come);
  assertEquals(evicted, [0, 1, 2]);
  assertEquals(typeof come(7), "string");
  for (const pass of passes) if (typeof pass !== "string") pass.leave();
  for (let i = 8; i < 11; i++) assert(typeof come(i) !== "string");
  assertEquals(met.pending, 5);
});

Deno.test("Gate holds so many strangers in all, and keeps as many places for this machine and whoever proved who it is", () => {
  const { gate, met } = setUp({ pending: 64 });
  for (let i = 0; i < 64; i++) enter(gate, stranger(i));
  assertEquals(typeof gate.enter(stranger(64), nothing), "string");
  assertEquals(met.pending, 1);
  gate.exempt("tcp://10.9.9.9:7946");
  const others = [...LOCAL, "tcp://10.9.9.9:40000"];
  for (let i = 0; i < 64; i++) enter(gate, others[i % others.length] ?? "");
  assertEquals(typeof gate.enter("tcp://127.0.0.1:1", nothing), "string");
  assertEquals(met.pending, 2);
});

Deno.test("Gate takes so many strangers per second in all", () => {
  const { gate, met, clock } = setUp({ newConnections: 20 });
  const come = (from: number): number => {
    let taken = 0;
    for (let i = from; i < from + 100; i++) {
      const pass = gate.enter(stranger(i), nothing);
      if (typeof pass === "string") continue;
      pass.leave();
      taken++;
    }
    return taken;
  };
  assertEquals(come(0), 20);
  assertEquals(met.newConnections, 80);
  clock.tick(500);
  assertEquals(come(100), 10);
});

Deno.test("Gate counts a /64 of IPv6 as one address, and nobody's address not at all", () => {
  assertEquals(placeOf("tcp://[2001:db8::1]:1"), "2001:db8:0:0::/64");
  assertEquals(placeOf("tcp://[2001:db8::2:0:0:1]:1"), "2001:db8:0:0::/64");
  assertEquals(placeOf("tcp://[2001:DB8:0:1:2:3:4:5]:1"), "2001:db8:0:1::/64");
  assertEquals(placeOf("tcp://[::ffff:10.0.0.1]:1"), "10.0.0.1");
  assertEquals(placeOf("ws://unknown.invalid"), "");
  assertEquals(placeOf("nonsense"), "");
  for (const address of LOCAL) assertEquals(placeOf(address), "local");
  const { gate } = setUp({ pendingPerAddress: 1 });
  enter(gate, "tcp://[2001:db8::1]:1");
  assertEquals(typeof gate.enter("tcp://[2001:db8::2]:1", nothing), "string");
  for (let i = 0; i < 10; i++) enter(gate, "ws://unknown.invalid");
});

Deno.test("Gate bans an address that breaks the protocol again and again, twice as long each time", () => {
  const { gate, met, bans, clock } = setUp();
  const remote = "tcp://10.0.0.1:1";
  const misbehave = (times: number): void => {
    for (let i = 0; i < times; i++) gate.fault(remote);
  };
  misbehave(9);
  clock.tick(54_000);
  misbehave(9); // those before are forgotten, one each 6 s
  assertEquals(bans, []);
  misbehave(1);
  assertEquals(bans, [["10.0.0.1", 60_000]]);
  assertEquals(gate.enter(remote, nothing), "its address is banned");
  enter(gate, "tcp://10.0.0.2:1");
  clock.tick(59_999);
  assertEquals(typeof gate.enter(remote, nothing), "string");
  assertEquals(met.banTime, 2);
  clock.tick(1);
  enter(gate, remote).leave();
  for (let i = 0; i < 7; i++) misbehave(10);
  assertEquals(bans.map(([, time]) => time / 60_000), [
    ...[1, 2, 4, 8, 16, 32, 60, 60],
  ]);
  assertEquals([met.banAfter, met.longestBan], [8, 2]);
});

Deno.test("Gate bears what breaks the protocol up to a rate, for ever", () => {
  const { gate, bans, clock } = setUp({ banAfter: 10 });
  for (let i = 0; i < 1_000; i++) {
    gate.fault("tcp://10.0.0.1:1");
    clock.tick(6_000);
  }
  assertEquals(bans, []);
  for (let i = 0; i < 20; i++) {
    gate.fault("tcp://10.0.0.1:1");
    clock.tick(3_000);
  }
  assertEquals(bans.length, 1);
});

Deno.test("Gate forgets bans, one for each time of the longest without another", () => {
  const { gate, bans, clock } = setUp({
    banAfter: 1,
    banTime: 1_000,
    longestBan: 8_000,
  });
  const ban = (after: number): void => {
    clock.tick(after);
    gate.fault("tcp://10.0.0.1:1");
  };
  for (let i = 0; i < 5; i++) ban(0);
  const times = () => bans.splice(0).map(([, time]) => time / 1_000);
  assertEquals(times(), [1, 2, 4, 8, 8]);
  // The ban itself does not count: 8 s of it, and twice 8 s without one.
  ban(24_000);
  ban(4_000 + 7_999);
  assertEquals(times(), [4, 8]);
  ban(8_000 + 2 * 8_000);
  ban(1_000_000);
  assertEquals(times(), [4, 1]);
});

Deno.test("Gate never bans this machine, nor whoever proved who it is", () => {
  const { gate, bans, clock } = setUp({ banAfter: 1 });
  const member = "tcp://10.0.0.1:1";
  gate.exempt(member);
  for (const remote of [...LOCAL, member]) gate.fault(remote);
  assertEquals(bans, []);
  clock.tick(3_600_001); // an address may have another owner by then
  gate.fault(member);
  assertEquals(bans.length, 1);
});

Deno.test("Gate remembers a bounded number of addresses, the latest ones", () => {
  const { gate } = setUp({ newConnections: 2 ** 20, pendingPerAddress: 1 });
  enter(gate, "tcp://10.9.9.9:1");
  for (let i = 0; i < 4_095; i++) enter(gate, stranger(i)).leave();
  assertEquals(typeof gate.enter("tcp://10.9.9.9:2", nothing), "string");
  for (let i = 4_096; i < 8_192; i++) enter(gate, stranger(i)).leave();
  enter(gate, "tcp://10.9.9.9:3");
});

Deno.test("Gate bans a node that has proved its id wherever it comes from", () => {
  const { gate, met, bans, clock } = setUp({ banAfter: 3 });
  const [here, there] = ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"];
  for (let i = 0; i < 3; i++) {
    assert(!gate.isBanned("bad", here));
    gate.faultOf("bad", here, true);
  }
  assert(gate.isBanned("bad", there));
  assert(!gate.isBanned("good", here));
  assertEquals(bans, [['node "bad"', 60_000]]);
  assertEquals([met.banAfter, met.banTime], [1, 1]);
  clock.tick(60_000);
  assert(!gate.isBanned("bad", here));
});

Deno.test("Gate bans who took an id without proof only where it came from", () => {
  const { gate, bans } = setUp({ banAfter: 3 });
  const [thief, owner] = ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"];
  for (let i = 0; i < 3; i++) gate.faultOf("alice", thief, false);
  assertEquals(bans, [['node "alice" at 10.0.0.1', 60_000]]);
  assert(gate.isBanned("alice", thief));
  assert(!gate.isBanned("alice", owner));
});
