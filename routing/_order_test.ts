import { assert, assertEquals, assertThrows } from "@std/assert";
import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { Order, OWN_SERIES } from "./_order.ts";
import { WINDOW } from "./_order_series.ts";
import { readStamp, type Stamp, writeStamp } from "./_order_stamp.ts";
import { seededRandom, VirtualClock } from "./testing.ts";
import type { NodeId, Peer } from "./types.ts";

const START = 4096 * 1_000_000;

/** An order, and what it handed up. */
class Bench {
  readonly clock: VirtualClock;
  readonly order: Order;
  /** What was delivered, as text, and `-3` for three that were missed. */
  readonly got: string[] = [];
  self: Peer;

  constructor(id: NodeId, clock = new VirtualClock(), incarnation = START) {
    this.clock = clock;
    this.self = { id, incarnation, addresses: [] };
    const self = (): Peer => this.self;
    this.order = new Order({
      get self() {
        return self();
      },
      clock,
      random: () => 0.5,
      links: { send: () => true, connect: () => {}, disconnect: () => {} },
      up: {
        deliver: (_from, payload) =>
          this.got.push(new TextDecoder().decode(payload)),
        undelivered: () => {},
        missed: (_from, count) => this.got.push(`-${count}`),
      },
    });
  }

  /** The next packet to a node, or to all. */
  packet(text: string, to: NodeId | null = null): [Stamp, string] {
    return [this.order.next(to, "data"), text];
  }

  take([stamp, text]: readonly [Stamp, string]): void {
    this.order.take(stamp, new TextEncoder().encode(text));
  }

  /** What was handed up since it was asked last. */
  news(): string[] {
    return this.got.splice(0);
  }
}

function pair(): { one: Bench; two: Bench } {
  const clock = new VirtualClock();
  return { one: new Bench("one", clock), two: new Bench("two", clock) };
}

function copied(stamp: Stamp): Stamp {
  const writer = new Writer();
  writeStamp(writer, stamp);
  const reader = new Reader(writer.take());
  const copy = readStamp(reader);
  reader.end();
  return copy;
}

// -- Stamps --

Deno.test("readStamp() reads what writeStamp() wrote", () => {
  const { order } = new Bench("one");
  order.next("two", "data");
  order.next("three", "data");
  for (const lane of ["data", "control"] as const) {
    for (const to of [null, "two", "x".repeat(64)]) {
      const stamp = order.next(to, lane);
      const copy = copied(stamp);
      assertEquals(
        [copy.origin, copy.epoch, copy.to, copy.lane, copy.number],
        [stamp.origin, stamp.epoch, stamp.to, stamp.lane, stamp.number],
      );
      assertEquals(copy.broadcasts, stamp.broadcasts);
      assertEquals(copy.mentions, stamp.mentions);
    }
  }
});

Deno.test("readStamp() refuses other flags, ids that are none, and mentions cut short", () => {
  const { order } = new Bench("one");
  const writer = new Writer();
  writeStamp(writer, order.next(null, "data"));
  const bytes = writer.take();
  const change = (at: number, value: number): Reader => {
    const copy = bytes.slice();
    copy[at] = value;
    return new Reader(copy);
  };
  for (
    const reader of [
      change(0, 4),
      change(3, 0x20),
      change(bytes.length - 1, 1),
    ]
  ) {
    assertThrows(() => readStamp(reader), MalformedError);
  }
});

Deno.test("a stamp takes at most 3,200 bytes", () => {
  const one = new Bench("o".repeat(64));
  for (let i = 0; i < 300; i++) one.order.next(`${i}`.padEnd(64, "x"), "data");
  const writer = new Writer();
  writeStamp(writer, one.order.next(null, "data"));
  assert(writer.length <= 3200, `${writer.length}`);
});

// -- Order --

Deno.test("Order delivers at once what comes in order", () => {
  const { one, two } = pair();
  for (const text of ["a", "b", "c"]) {
    two.take(one.packet(text));
    assertEquals(two.news(), [text]);
  }
  assertEquals(two.clock.pending, 0);
});

Deno.test("Order holds a broadcast for those before it", () => {
  const { one, two } = pair();
  const [a, b, c, d] = ["a", "b", "c", "d"].map((text) => one.packet(text));
  assert(a && b && c && d);
  two.take(a);
  two.take(d);
  two.take(c);
  assertEquals(two.news(), ["a"]);
  two.take(b);
  assertEquals(two.news(), ["b", "c", "d"]);
});

Deno.test("Order holds a unicast for the broadcast that it follows", () => {
  const { one, two } = pair();
  two.take(one.packet("first"));
  const broadcast = one.packet("all");
  const unicast = one.packet("one", "two");
  two.take(unicast);
  assertEquals(two.news(), ["first"]);
  two.take(broadcast);
  assertEquals(two.news(), ["all", "one"]);
});

Deno.test("Order holds a broadcast for the unicast that was sent before it", () => {
  const { one, two } = pair();
  two.take(one.packet("first", "two"));
  const unicast = one.packet("one", "two");
  const broadcast = one.packet("all");
  two.take(broadcast);
  assertEquals(two.news(), ["first"]);
  two.take(unicast);
  assertEquals(two.news(), ["one", "all"]);
});

Deno.test("Order knows no gap for who is not addressed", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  for (let i = 0; i < 100; i++) one.packet("x", "three");
  two.take(one.packet("b"));
  two.take(one.packet("c", "two"));
  assertEquals(two.news(), ["a", "b", "c"]);
});

Deno.test("Order gives up a gap after 2 s, and says how many are missing", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  for (let i = 0; i < 3; i++) one.packet("lost");
  const late = one.packet("late");
  two.take(one.packet("e"));
  two.clock.tick(1999);
  assertEquals(two.news(), ["a"]);
  two.clock.tick(1);
  assertEquals(two.news(), ["-4", "e"]);
  two.take(late);
  assertEquals(two.news(), []);
  assertEquals([two.order.counters.missed, two.order.counters.late], [4, 1]);
});

Deno.test("Order waits longer while packets come after they were given up", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  for (const patience of [2000, 8000, 8000]) {
    const late = one.packet("late");
    two.take(one.packet("b"));
    two.news();
    two.clock.tick(patience - 1);
    assertEquals(two.news(), []);
    two.clock.tick(1);
    assertEquals(two.news(), ["-1", "b"]);
    two.take(late);
  }
  for (const patience of [8000, 4000, 2000, 2000]) {
    one.packet("lost");
    two.take(one.packet("b"));
    two.clock.tick(patience - 1);
    assertEquals(two.news(), []);
    two.clock.tick(1);
    assertEquals(two.news(), ["-1", "b"]);
  }
});

Deno.test("Order holds nothing of the control lane", () => {
  const { one, two } = pair();
  const stamps = [1, 2, 3].map(() => one.order.next("two", "control"));
  for (const stamp of stamps.toReversed()) {
    two.take([stamp, `${stamp.number}`]);
  }
  assertEquals(two.news(), ["3", "2", "1"]);
});

Deno.test("Order begins where a control packet says that its origin is", () => {
  const { one, two } = pair();
  for (let i = 0; i < 50; i++) one.packet("before");
  two.take([one.order.next("two", "control"), "hello"]);
  const first = one.packet("a");
  two.take(one.packet("b"));
  assertEquals(two.news(), ["hello"]);
  two.take(first);
  assertEquals(two.news(), ["a", "b"]);
});

Deno.test("Order learns nothing from what a node has sent to others", () => {
  const { one, two } = pair();
  for (let i = 0; i < 50; i++) one.packet("x", "three");
  two.order.learn(one.order.next("three", "control"));
  const unicast = one.packet("one", "two");
  two.take(one.packet("all"));
  two.take(unicast);
  assertEquals(two.news(), ["one", "all"]);
});

Deno.test("Order takes what a control packet has overtaken", () => {
  const { one, two } = pair();
  const first = one.packet("a");
  const second = one.packet("b");
  two.take([one.order.next("two", "control"), "hello"]);
  two.take(first);
  two.take(second);
  assertEquals(two.news(), ["hello", "a", "b"]);
});

Deno.test("Order notices after 30 s that the last packets are missing", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  one.packet("lost");
  one.packet("lost");
  for (let i = 0; i <= 30; i++) {
    two.order.learn(one.order.next(null, "control"));
    assertEquals(two.news(), i === 0 ? ["a"] : i < 30 ? [] : ["-2"]);
    two.clock.tick(1000);
  }
});

Deno.test("Order delivers in order, once, and counts the missing, whatever happens on the way", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const { one, two } = pair();
    two.order.learn(one.order.next("two", "control"));
    const sent: string[] = [];
    let lost = 0;
    for (let i = 0; i < 400; i++) {
      const isUnicast = random() < 0.3;
      const packet = one.packet(`${i}`, isUnicast ? "two" : null);
      if (random() < 0.2) one.packet("other", "three");
      const isLost = i < 399 && random() < 0.03;
      if (isLost) lost++;
      else {
        sent.push(`${i}`);
        for (let copies = random() < 0.1 ? 2 : 1; copies > 0; copies--) {
          const delay = i * 2 + random() * 300;
          two.clock.after(delay, () => {
            if (two.order.first(packet[0])) two.take(packet);
          });
        }
      }
    }
    two.clock.run();
    const got = two.news();
    const missed = got.filter((text) => text.startsWith("-"))
      .reduce((sum, text) => sum - Number(text), 0);
    assertEquals(got.filter((text) => !text.startsWith("-")), sent, `${seed}`);
    assert(
      missed <= lost && missed >= lost - 3,
      `${seed}: ${missed} of ${lost}`,
    );
  }
});

// -- Lives --

Deno.test("Order begins anew with a later life, and drops the earlier one once it is known", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  two.take(one.packet("b"));
  const old = one.packet("old");
  const next = new Bench("one", one.clock, START + 4096);
  two.take(next.packet("c"));
  assertEquals(two.news(), ["a", "b", "c"]);
  two.order.link({ type: "up", peer: next.self });
  two.take(old);
  assertEquals([two.news(), two.order.counters.stale], [[], 1]);
  two.take(next.packet("d"));
  assertEquals(two.news(), ["d"]);
});

Deno.test("Order numbers anew when its own life is to be a later one", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  one.self = { ...one.self, incarnation: START + 5 };
  assertEquals(one.order.next(null, "data").number, 2);
  one.self = { ...one.self, incarnation: START + 4096 };
  const packet = one.packet("b");
  assertEquals(packet[0].number, 1);
  two.take(packet);
  assertEquals(two.news(), ["a", "b"]);
});

Deno.test("Order hears a member although a later life of it is made up", () => {
  const { one, two } = pair();
  two.order.member({ type: "join", member: one.self });
  two.take(one.packet("a"));
  for (let i = 1; i < 100; i++) {
    const liar = new Bench("one", one.clock, START + i * 4096);
    two.take(liar.packet("made up"));
    two.take(one.packet(`${i}`));
    two.clock.tick(100);
  }
  assertEquals(two.news().filter((text) => text !== "made up").length, 100);
});

Deno.test("Order believes no life that is an hour ahead", () => {
  const { two } = pair();
  const liar = new Bench("one", two.clock, START + 4096 * 3_600_001);
  two.take(liar.packet("made up"));
  assertEquals([two.news(), two.order.counters.implausible], [[], 1]);
});

// -- Lies --

Deno.test("Order hears the true numbers although others are made up", () => {
  const { one, two } = pair();
  const [first] = one.packet("");
  assert(two.order.first(first));
  two.take([first, "0"]);
  for (let i = 1; i < 200; i++) {
    const [stamp] = one.packet("");
    for (const number of [2 ** 53 - 1, i * 1e6, i * 2e6, i * 1e6 + 1]) {
      const forged = { ...stamp, number };
      if (two.order.first(forged)) two.take([forged, "made up"]);
    }
    if (two.order.first(stamp)) two.take([stamp, `${i}`]);
    two.clock.tick(50);
  }
  const got = two.news().filter((text) => /^\d+$/.test(text));
  assertEquals(got, Array.from({ length: 200 }, (_, i) => `${i}`));
});

Deno.test("Order does not wait for broadcasts and unicasts that are made up", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  two.take(one.packet("b", "two"));
  const [unicast] = one.packet("", "two");
  two.take([{ ...unicast, broadcasts: 2 ** 53 - 1 }, "c"]);
  two.take(one.packet("d"));
  assertEquals(two.news(), ["a", "b", "c", "d"]);
});

Deno.test("Order goes on at once where an origin has gone on far beyond what was heard", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  for (let i = 0; i < 5000; i++) one.packet("lost");
  two.take(one.packet("b"));
  assertEquals(two.news(), ["a", "b"]);
  two.take(one.packet("c"));
  assertEquals(two.news(), ["-5000", "c"]);
});

// -- Duplicates --

Deno.test("Order.first() is true once within a window of 1,024", () => {
  const { one, two } = pair();
  const stamps = Array.from(
    { length: 3 * WINDOW },
    () => one.order.next(null, "data"),
  );
  const random = seededRandom(3);
  const seen = new Set<number>();
  for (const [i, stamp] of stamps.entries()) {
    const back = stamps[Math.max(0, i - Math.floor(random() * WINDOW))];
    for (const one of [back, stamp]) {
      if (one === undefined) continue;
      assertEquals(two.order.first(one), !seen.has(one.number));
      seen.add(one.number);
    }
  }
  assertEquals(stamps.filter((stamp) => two.order.first(stamp)), []);
});

Deno.test("Order.firstOf() keeps series apart", () => {
  const { two } = pair();
  for (let series = OWN_SERIES; series < OWN_SERIES + 4; series++) {
    assert(two.order.firstOf("one", START / 4096, series, 7));
    assert(!two.order.firstOf("one", START / 4096, series, 7));
  }
});

Deno.test("Order passes on at most one made-up packet a second", () => {
  const { two } = pair();
  let first = 0;
  for (let i = 0; i < 10_000; i++) {
    const number = (1 + i % 10) * 1e9;
    if (two.order.firstOf("one", START / 4096, OWN_SERIES, number)) first++;
    two.clock.tick(1);
  }
  assert(first <= 12, `${first}`);
});

Deno.test("Order tells of no gap that cannot be", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  const stamp = one.order.next(null, "data");
  for (const number of [2 ** 40, 2 ** 40 + 1]) {
    two.take([{ ...stamp, number, broadcasts: number - 1 }, "made up"]);
  }
  two.clock.tick(10_000);
  const { missed, absurd } = two.order.counters;
  assertEquals([missed, absurd], [0, 1]);
});

// -- Bounds --

Deno.test("Order refuses strangers when it has 1,024, until some have been silent for 60 s", () => {
  const { one, two } = pair();
  for (let i = 0; i < 100_000; i++) {
    two.order.firstOf(`stranger ${i}`, START / 4096, OWN_SERIES, 1);
  }
  assertEquals(two.order.counters.crowded, 100_000 - 1024);
  assert(!two.order.first(one.order.next(null, "data")));
  two.order.member({ type: "join", member: one.self });
  assert(two.order.first(one.order.next(null, "data")));
  two.clock.tick(60_000);
  assert(two.order.firstOf("new", START / 4096, OWN_SERIES, 1));
});

Deno.test("Order holds 8 MiB in all, then gives up what it waits for", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  one.packet("lost");
  const payload = new Uint8Array(1024 * 1024);
  for (let i = 0; i < 8; i++) {
    two.order.take(one.order.next(null, "data"), payload);
  }
  assertEquals(two.got.length, 1);
  two.order.take(one.order.next(null, "data"), payload);
  assertEquals([two.got.length, two.got[1]], [1 + 1 + 9, "-1"]);
  assertEquals(two.order.counters.overflowed, 1);
});

Deno.test("Order holds nothing and plans nothing after close()", () => {
  const { one, two } = pair();
  two.take(one.packet("a"));
  one.packet("lost");
  two.take(one.packet("b"));
  assertEquals(two.clock.pending, 1);
  two.order.close();
  assertEquals(two.clock.pending, 0);
  two.take(one.packet("c"));
  assertEquals(two.news(), ["a"]);
});

Deno.test("Order mentions unicasts to 255 nodes at most", () => {
  const { one } = pair();
  for (let i = 0; i < 1000; i++) one.order.next(`node ${i}`, "data");
  assertEquals(one.order.next(null, "data").mentions.length, 255);
  assertEquals(one.order.next(null, "data").mentions.length, 0);
});
