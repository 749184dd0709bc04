import { assert, assertEquals } from "@std/assert";
import { Presence } from "./_presence.ts";
import { VirtualClock } from "./testing.ts";
import type { NodeId, Peer } from "./types.ts";

/** The presence of a node "me", and what it asked for. */
class Bench {
  readonly clock = new VirtualClock();
  readonly log: string[] = [];
  readonly presence: Presence;

  constructor() {
    this.presence = new Presence({
      clock: this.clock,
      random: () => 0.5,
      hello: () => this.log.push("hello"),
      lost: (ids, isBroken) =>
        this.log.push(`${isBroken ? "broken" : "lost"} ${ids}`),
      tell: (signs, to) => {
        const ids = signs.map(({ id }) => id);
        const whom = "only" in to ? `to ${to.only}` : `to all but ${to.except}`;
        this.log.push(`tell ${ids} ${whom}`);
      },
      gone: (id, reason) => this.log.push(`gone ${id}: ${reason}`),
    }, "me");
  }

  up(id: NodeId): void {
    this.presence.link({ type: "up", peer: peer(id) });
  }

  down(id: NodeId): void {
    this.presence.link({ type: "down", id, reason: "broken" });
  }

  /** What happened within so many ms. */
  within(ms: number): string[] {
    this.clock.tick(ms);
    return this.log.splice(0);
  }

  get nodes(): string {
    return [...this.presence.nodes].sort().join("");
  }
}

function peer(id: NodeId): Peer {
  return { id, incarnation: 1, addresses: [] };
}

Deno.test("Presence tells a new neighbour of the others, and the others of it", () => {
  const bench = new Bench();
  bench.up("a");
  bench.up("b");
  assertEquals(bench.within(0), [
    "tell a to all but a",
    "tell a to b",
    "tell b to all but b",
  ]);
  assertEquals(bench.nodes, "ab");
});

Deno.test("Presence passes on what is news, once", () => {
  const bench = new Bench();
  bench.up("a");
  bench.within(0);
  bench.presence.told("a", [{ id: "x", age: 5 }, { id: "me", age: 0 }]);
  bench.presence.told("a", [{ id: "x", age: 5 }]);
  assertEquals(bench.within(0), ["tell x to all but a"]);
  assertEquals([bench.nodes, bench.presence.via("x")], ["ax", "a"]);
});

Deno.test("Presence says hello every 15 s, while it has neighbours", () => {
  const bench = new Bench();
  assertEquals(bench.clock.pending, 0);
  bench.up("a");
  bench.within(0);
  assertEquals(bench.within(14_999), []);
  assertEquals(bench.within(30_001), ["hello", "hello", "hello"]);
  bench.down("a");
  assertEquals([bench.within(60_000), bench.clock.pending], [
    ["gone a: this node has no links"],
    0,
  ]);
});

Deno.test("Presence asks for those behind a link that ends, and forgets who is not heard", () => {
  const bench = new Bench();
  for (const id of ["a", "b"]) bench.up(id);
  bench.presence.flooded("x", "a", 1, 1);
  bench.presence.flooded("y", "a", 1, 1);
  bench.presence.flooded("z", "b", 1, 1);
  bench.within(0);
  bench.down("a");
  assertEquals(bench.within(1000), ["broken a,x,y"]);
  bench.presence.flooded("x", "b", 1, 2);
  assertEquals(bench.within(1999), []);
  assertEquals(bench.within(1), [
    "gone a: it was not heard any more",
    "gone y: it was not heard any more",
  ]);
  assertEquals([bench.nodes, bench.presence.via("x")], ["bxz", "b"]);
});

Deno.test("Presence says hello to who calls it lost, once a second", () => {
  const bench = new Bench();
  bench.up("a");
  bench.within(100);
  for (let i = 0; i < 10; i++) bench.presence.missed(["me", "b"]);
  assertEquals(bench.within(999), ["hello"]);
  assertEquals(bench.within(1), ["hello"]);
  assertEquals(bench.within(1000), []);
});

Deno.test("Presence doubts nobody at the other end of a link", () => {
  const bench = new Bench();
  bench.up("a");
  bench.within(0);
  bench.presence.missed(["a"]);
  bench.presence.silent("a");
  assertEquals([bench.within(10_000), bench.nodes], [[], "a"]);
});

Deno.test("Presence believes a neighbour that knows a way to who is in doubt", () => {
  const bench = new Bench();
  for (const id of ["a", "b"]) bench.up(id);
  bench.presence.flooded("x", "a", 1, 1);
  bench.down("a");
  bench.within(0);
  bench.presence.told("b", [{ id: "x", age: 10 }]);
  assertEquals(bench.within(5000), [
    "tell x to all but b",
    "gone a: it was not heard any more",
  ]);
  assertEquals([bench.nodes, bench.presence.via("x")], ["bx", "b"]);
});

Deno.test("Presence asks for who does not answer", () => {
  const bench = new Bench();
  bench.up("a");
  bench.presence.flooded("x", "a", 1, 1);
  bench.within(0);
  bench.presence.silent("x");
  bench.presence.silent("x");
  bench.presence.silent("nobody");
  assertEquals(bench.within(3000), [
    "lost x",
    "gone x: it was not heard any more",
  ]);
});

Deno.test("Presence forgets who is not heard at the very time, however that is rounded", () => {
  const bench = new Bench();
  bench.up("a");
  bench.within(15_000.1);
  bench.presence.flooded("x", "a", 1, 1);
  bench.presence.silent("x");
  // 15,000.1 + 3,000 less 15,000.1 is less than 3,000.
  const end = bench.clock.now() + 3_000;
  assert(end - bench.clock.now() < 3_000);
  assertEquals(bench.within(3_000).at(-1), "gone x: it was not heard any more");
});

Deno.test("Presence forgets the silent after 50 s, and those only told of after 20 s", () => {
  const bench = new Bench();
  bench.up("a");
  bench.presence.flooded("x", "a", 1, 1);
  bench.presence.told("a", [{ id: "y", age: 0 }, { id: "z", age: 0 }]);
  bench.presence.flooded("z", "a", 1, 1);
  assertEquals(bench.nodes, "axyz");
  bench.within(20_000);
  assertEquals(bench.nodes, "axz");
  bench.within(29_999);
  assertEquals(bench.nodes, "axz");
  bench.within(5000);
  assertEquals(bench.nodes, "a");
});

Deno.test("Presence changes a way only for a later flood", () => {
  const bench = new Bench();
  for (const id of ["a", "b"]) bench.up(id);
  bench.presence.flooded("x", "a", 1, 5);
  bench.presence.flooded("x", "b", 1, 4);
  assertEquals(bench.presence.via("x"), "a");
  bench.presence.flooded("x", "b", 2, 1);
  assertEquals(bench.presence.via("x"), "b");
  assertEquals(bench.presence.via("b"), "b");
});
