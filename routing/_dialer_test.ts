import { assert, assertEquals } from "@std/assert";
import { Dialer } from "./_dialer.ts";
import { seededRandom, VirtualClock } from "./testing.ts";
import type { NodeId, Peer } from "./types.ts";

/** A dialer, whose dials the test answers. */
class Bench {
  readonly clock = new VirtualClock();
  readonly linked = new Set<NodeId>();
  readonly dialled: string[] = [];
  readonly dialer: Dialer;

  constructor(links: number) {
    this.dialer = new Dialer(
      {
        self: peer("me"),
        clock: this.clock,
        random: seededRandom(1),
        links: {
          send: () => true,
          connect: ({ id, addresses }) =>
            this.dialled.push(`${id} ${addresses[0]}`),
          disconnect: () => {},
        },
        up: { deliver: () => {}, undelivered: () => {} },
      },
      links,
      this.linked,
    );
  }

  join(id: NodeId, addresses?: string[]): void {
    this.dialer.member({ type: "join", member: peer(id, addresses) });
  }

  up(id: NodeId): void {
    this.linked.add(id);
    this.dialer.link({ type: "up", peer: peer(id) });
  }

  down(id: NodeId): void {
    this.linked.delete(id);
    this.dialer.link({ type: "down", id, reason: "?" });
  }

  unreachable(id: NodeId): void {
    this.dialer.link({ type: "unreachable", id, reason: "?" });
  }

  /** Who was dialled within so many ms. */
  within(ms: number): NodeId[] {
    this.clock.tick(ms);
    return this.dialled.splice(0).map((line) => line.split(" ")[0] ?? "");
  }
}

function peer(id: NodeId, addresses = [`virtual://${id}`]): Peer {
  return { id, incarnation: 1, addresses };
}

Deno.test("Dialer dials members until there are as many links as wanted", () => {
  const bench = new Bench(3);
  for (const id of ["a", "b", "c", "d", "e"]) bench.join(id);
  assertEquals(bench.within(249), []);
  const first = bench.within(60_000);
  assertEquals(new Set(first).size, 3);
  for (const id of first) bench.up(id);
  assertEquals([bench.within(60_000), bench.clock.pending], [[], 0]);
  bench.down(first[0] ?? "");
  assertEquals(bench.within(60_000).length, 1);
});

Deno.test("Dialer leaves it to others to dial first", () => {
  const bench = new Bench(3);
  for (const id of ["a", "b", "c"]) bench.join(id);
  bench.within(200);
  for (const id of ["a", "b", "c"]) bench.up(id);
  assertEquals(bench.within(60_000), []);
});

Deno.test("Dialer turns to others when one cannot be reached, and comes back every 10 s at most", () => {
  const bench = new Bench(1);
  bench.join("a");
  const [first] = bench.within(1000);
  assertEquals(first, "a");
  bench.unreachable("a");
  bench.join("b");
  bench.join("c");
  const tried = new Map<NodeId, number>();
  for (let i = 0; i < 600; i++) {
    for (const id of bench.within(100)) {
      tried.set(id, (tried.get(id) ?? 0) + 1);
      bench.unreachable(id);
    }
  }
  for (const id of ["a", "b", "c"]) {
    const times = tried.get(id) ?? 0;
    assert(times >= 6 && times <= 30, `${id}: ${times}`);
  }
});

Deno.test("Dialer dials where a member has moved to, at once", () => {
  const bench = new Bench(1);
  bench.join("a");
  bench.within(1000);
  for (let i = 0; i < 10; i++) {
    bench.unreachable("a");
    bench.clock.tick(10_000);
  }
  bench.unreachable("a");
  bench.dialled.length = 0;
  const member = peer("a", ["virtual://elsewhere"]);
  bench.dialer.member({ type: "update", member });
  bench.clock.tick(0);
  assertEquals(bench.dialled, ["a virtual://elsewhere"]);
});

Deno.test("Dialer dials neither who is gone nor who has no address", () => {
  const bench = new Bench(3);
  bench.join("a");
  bench.join("b", []);
  bench.dialer.member({ type: "leave", member: peer("a"), reason: "left" });
  assertEquals([bench.within(60_000), bench.clock.pending], [[], 0]);
});

Deno.test("Dialer dials nobody when no links are wanted, or after close()", () => {
  const none = new Bench(0);
  none.join("a");
  assertEquals(none.clock.pending, 0);
  const closed = new Bench(3);
  closed.join("a");
  closed.dialer.close();
  assertEquals([closed.within(60_000), closed.clock.pending], [[], 0]);
});
