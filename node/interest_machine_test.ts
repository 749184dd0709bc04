/** What nodes tell each other of the names that they handle, over a lossy network. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { Interest } from "./interest.ts";
import {
  CHANGE,
  DIGEST,
  readInterest,
  type Subscription,
  type Version,
  WANT,
  writeAll,
  writeChange,
  writeDigest,
  writeWant,
} from "./interest_codec.ts";

/** Nodes that are all reached from each other, by messages that may be lost or late. */
class Net {
  readonly clock = new VirtualClock();
  readonly nodes = new Map<string, Interest>();
  /** Whom each of them has a way to. */
  readonly ways = new Map<string, Set<string>>();
  readonly met = { subscriptions: 0 };
  /** Messages handed to the network. */
  sent = 0;
  readonly #random;
  readonly #loss: number;

  constructor(ids: string, { seed = 1, loss = 0, limit = 1_024 } = {}) {
    this.#random = seededRandom(seed);
    this.#loss = loss;
    for (const id of ids) this.#add(id, ids, limit);
    for (const node of this.nodes.values()) {
      for (const id of this.nodes.keys()) node.met(id);
    }
  }

  node(id: string): Interest {
    const node = this.nodes.get(id);
    assert(node);
    return node;
  }

  /** Who handles a name, as a node knows it. */
  handling(id: string, name: string): string {
    const { nodes, groups } = this.node(id).table.find(name);
    const inGroups = groups.map(({ of, members }) =>
      `${of.name}(${members.join("")})`
    );
    return [[...nodes].sort().join(""), ...inGroups.sort()].join(" ");
  }

  close(): void {
    for (const node of this.nodes.values()) node.close();
    this.clock.tick(50); // what was on its way
    assertEquals(this.clock.pending, 0);
  }

  #add(id: string, ids: string, limit: number): void {
    const others = new Set([...ids].filter((other) => other !== id));
    this.ways.set(id, others);
    this.nodes.set(
      id,
      new Interest({
        id,
        clock: this.clock,
        random: this.#random,
        limit,
        met: this.met,
        incarnation: () => 1,
        nodes: () => others,
        send: (to, payload) => {
          for (const other of to === "all" ? others : to) {
            this.#carry(id, other, payload);
          }
        },
        changed: () => {},
      }),
    );
  }

  #carry(from: string, to: string, payload: Uint8Array): void {
    if (from === to) return;
    this.sent++;
    if (this.#random() < this.#loss) return;
    this.clock.after(
      1 + 20 * this.#random(),
      () => this.nodes.get(to)?.receive(from, payload),
    );
  }
}

function plain(name: string): Subscription {
  return { name, group: null };
}

function inGroup(name: string, group: string): Subscription {
  return { name, group: { name: group, strategy: "random", key: "" } };
}

Deno.test("Interest repairs what changed while nobody could be reached, though nobody was met anew", async () => {
  const net = new Net("ab");
  net.clock.tick(100);
  net.ways.get("a")?.clear();
  net.node("a").add(plain("x"));
  await Promise.resolve();
  net.clock.tick(60_000);
  assertEquals(net.handling("b", "x"), "");
  net.ways.get("a")?.add("b");
  net.clock.tick(34_000);
  assertEquals(net.handling("b", "x"), "a");
  net.close();
});

Deno.test("Interest is known to all, also what changes", async () => {
  const net = new Net("abc");
  net.node("a").add(plain("x"));
  net.node("b").add(plain("x.*"));
  net.node("c").add(inGroup("x", "g"));
  net.node("b").add(inGroup("x", "g"));
  await Promise.resolve();
  net.clock.tick(100);
  for (const id of "abc") {
    assertEquals(net.handling(id, "x"), "a g(bc)");
    assertEquals(net.handling(id, "x.y"), "b");
  }
  net.node("a").remove(plain("x"));
  net.node("b").remove(inGroup("x", "g"));
  await Promise.resolve();
  net.clock.tick(100);
  for (const id of "abc") assertEquals(net.handling(id, "x"), " g(c)");
  net.close();
});

Deno.test("Interest is repaired however much is lost, and then costs next to nothing", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const net = new Net("abcdef", { seed, loss: 0.5 });
    const random = seededRandom(seed);
    const expected = new Map(
      [..."abcdef"].map((id) => [id, new Set<string>()]),
    );
    for (let i = 0; i < 40; i++) {
      const [id = "a"] = "abcdef"[Math.floor(6 * random())] ?? "a";
      const name = `n${Math.floor(5 * random())}`;
      const names = expected.get(id);
      assert(names);
      if (names.has(name)) net.node(id).remove(plain(name));
      else net.node(id).add(plain(name));
      if (!names.delete(name)) names.add(name);
      await Promise.resolve();
      net.clock.tick(100 * random());
    }
    net.clock.tick(200_000);
    for (let i = 0; i < 5; i++) {
      const wanted = [...expected].filter(([, names]) => names.has(`n${i}`))
        .map(([id]) => id).join("");
      for (const id of "abcdef") {
        assertEquals(net.handling(id, `n${i}`), wanted, `seed ${seed}`);
      }
    }
    const before = net.sent;
    net.clock.tick(60_000);
    // A digest to each other node every 30 s.
    assert(net.sent - before <= 6 * 5 * 3, `${net.sent - before} messages`);
    net.close();
  }
});

Deno.test("Interest of a node that tells too much is everything", async () => {
  const net = new Net("ab", { limit: 10 });
  const version: Version = { incarnation: 1, run: 7, sequence: 1 };
  const many = Array.from({ length: 50 }, (_, i) => plain(`n${i}`));
  for (const message of writeAll(version, many)) {
    net.node("a").receive("b", message);
  }
  assertEquals(net.handling("a", "never.told"), "b");
  assertEquals(net.node("a").table.size("b"), 1);
  assertEquals(net.met.subscriptions, 1);
  const later = { ...version, sequence: 2 };
  const change = writeChange(later, 1, many, []);
  assert(change);
  net.node("a").receive("b", change);
  assert(net.node("a").table.size("b") <= 10);
  assertEquals(net.met.subscriptions, 2);
  await Promise.resolve();
  net.close();
});

Deno.test("Interest in more names than others remember is told as everything, groups as they are", async () => {
  const net = new Net("ab", { limit: 10 });
  const { node } = { node: net.node("b") };
  node.add(inGroup("job", "g"));
  for (let i = 0; i < 20; i++) node.add(plain(`n${i}`));
  assertThrows(
    () => node.add(inGroup("other", "g")),
    RangeError,
    "handles 10 names already",
  );
  await Promise.resolve();
  net.clock.tick(5_000);
  assertEquals(net.handling("a", "n19"), "b");
  assertEquals(net.handling("a", "job"), "b g(b)");
  net.close();
});

Deno.test("Interest takes no older news, and asks where some is missing", () => {
  const sent: (readonly [string, number])[] = [];
  const clock = new VirtualClock();
  const interest = new Interest({
    id: "a",
    clock,
    random: () => 0.5,
    limit: 10,
    met: { subscriptions: 0 },
    incarnation: () => 1,
    nodes: () => new Set(["b"]),
    send: (to, payload) => sent.push([`${to}`, payload[1] ?? 0]),
    changed: () => {},
  });
  const tell = (version: Version, ...names: string[]): void => {
    for (const message of writeAll(version, names.map(plain))) {
      interest.receive("b", message);
    }
  };
  const has = (name: string): boolean =>
    interest.table.find(name).nodes.has("b");
  tell({ incarnation: 5, run: 1, sequence: 3 }, "x");
  tell({ incarnation: 5, run: 1, sequence: 2 }, "old");
  tell({ incarnation: 4, run: 2, sequence: 9 }, "past");
  assertEquals([has("x"), has("old"), has("past")], [true, false, false]);
  const gap = writeChange(
    { incarnation: 5, run: 1, sequence: 5 },
    4,
    [plain("y")],
    [],
  );
  assert(gap);
  interest.receive("b", gap);
  assertEquals(sent, [["b", WANT]]);
  assertEquals(has("y"), false);
  interest.receive("b", writeDigest({ incarnation: 5, run: 1, sequence: 3 }));
  assertEquals(sent.length, 1);
  interest.receive("b", writeDigest({ incarnation: 6, run: 9, sequence: 0 }));
  assertEquals(sent.length, 2);
  // A restart replaces all.
  tell({ incarnation: 6, run: 9, sequence: 0 }, "new");
  assertEquals([has("x"), has("new")], [false, true]);
  // What its past incarnation told is gone already.
  interest.gone("b", 5);
  assertEquals(has("new"), true);
  interest.gone("b", 6);
  assertEquals([has("new"), interest.knows("b")], [false, false]);
  interest.close();
});

Deno.test("Interest asks a node that was taken for dead and is still there", async () => {
  const net = new Net("ab");
  net.node("b").add(plain("x"));
  await Promise.resolve();
  net.clock.tick(100_000); // digests are rare by now
  assertEquals(net.handling("a", "x"), "b");
  net.node("a").gone("b", 1);
  assert(!net.node("a").knows("b"));
  net.clock.tick(500);
  assertEquals(net.handling("a", "x"), "b");
  net.close();
});

Deno.test("Interest answers whoever asks again and again only ten times a second", () => {
  const net = new Net("ab");
  net.clock.tick(1_000);
  const before = net.sent;
  for (let i = 0; i < 1_000; i++) net.node("a").receive("b", writeWant());
  assertEquals(net.sent - before, 1);
  net.close();
});

Deno.test("Interest keeps little of pieces that never become whole", () => {
  const net = new Net("ab", { limit: 10 });
  for (let i = 0; i < 5_000; i++) {
    const version = { incarnation: 1, run: 7, sequence: i };
    const [message] = writeAll(version, [plain(`n${i}`)]);
    assert(message);
    message[20] = 4; // the first of 1,025
    net.node("a").receive("b", message);
  }
  assertEquals(net.handling("a", "n7"), "");
  net.close();
});

Deno.test("Interest measures how long others take while somebody wants to know", () => {
  const net = new Net("abc");
  const { latencies } = net.node("a");
  assertEquals(latencies.of("b"), Infinity);
  net.clock.tick(100);
  const first = latencies.of("b");
  assert(first > 2 && first < 42, `${first} ms`);
  net.clock.tick(4_000);
  assert(latencies.of("b") < 42);
  net.clock.tick(60_000);
  const before = net.sent;
  net.clock.tick(10_000);
  assert(net.sent - before < 10, "it measures though nobody asks");
  net.close();
});

Deno.test("readInterest() reads what was written, and gives nothing but a SyntaxError for the rest", () => {
  const text = fc.string({ minLength: 1, maxLength: 40, unit: "binary" })
    .filter((one) => !/(^|\.)>\./.test(one) && one.isWellFormed());
  const subscription = fc.record({
    name: text,
    group: fc.option(
      fc.record({
        name: text,
        strategy: fc.constantFrom(
          "round-robin" as const,
          "random" as const,
          "least-latency" as const,
          "sticky" as const,
        ),
        key: fc.oneof(fc.constant(""), text),
      }),
    ),
  });
  const version = { incarnation: 2 ** 52 + 1, run: 0xffff_fffe, sequence: 9 };
  fc.assert(
    fc.property(
      fc.array(subscription, { maxLength: 8 }),
      fc.array(subscription, { maxLength: 3 }),
      fc.nat(300),
      fc.nat(255),
      (added, removed, at, byte) => {
        const change = writeChange(version, 8, added, removed);
        assert(change);
        assertEquals(readInterest(change), {
          type: CHANGE,
          version,
          since: 8,
          added,
          removed,
        });
        if (at >= change.length) return;
        for (const bad of [change.slice(0, at), change]) {
          if (bad === change) bad[at] = byte;
          try {
            readInterest(bad);
          } catch (error) {
            assert(error instanceof SyntaxError, String(error));
          }
        }
      },
    ),
    { seed: 5, numRuns: 1_000 },
  );
  assertEquals(readInterest(writeDigest(version)), { type: DIGEST, version });
  assertEquals(readInterest(Uint8Array.of(4, 99, 1)), null);
});
