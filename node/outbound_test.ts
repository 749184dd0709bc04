import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import * as fc from "fast-check";
import { json } from "@devts/protocol/json";
import { msgpackr } from "@devts/protocol/msgpackr";
import type { Clock } from "@devts/routing";
import {
  BUNDLE_SIZE,
  FAILURE,
  readBundle,
  REPLY,
  REQUEST,
  SENT_EVENT,
} from "./bundle.ts";
import {
  MYSELF,
  OTHERS,
  Outbound,
  type OutboundOptions,
  type Target,
} from "./outbound.ts";
import { writeExtras } from "./extras.ts";
import type { Slab } from "./slab.ts";
import { isSettled, turn } from "./_support_test.ts";

const codec = msgpackr();
const HEADROOM = 4;

/** A bundle that left: for whom, and the data of its events. */
interface Shipped {
  readonly target: Target;
  readonly data: readonly unknown[];
  readonly count: number;
}

/** A clock whose turns, and time, pass when a test says so. */
class TurnClock implements Clock {
  #queue: (() => void)[] = [];
  #timers: (() => void)[] = [];

  /** How many callbacks wait for the next turn. */
  get waiting(): number {
    return this.#queue.length;
  }

  now(): number {
    return 0;
  }

  after(_delay: number, callback: () => void): () => void {
    this.#timers.push(callback);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== callback);
    };
  }

  soon(callback: () => void): void {
    this.#queue.push(callback);
  }

  /** How many timers run. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Ends the timers that run. */
  elapse(): void {
    for (const callback of this.#timers.splice(0)) callback();
  }

  /** Ends the turn: what was put off before it runs. */
  turn(): void {
    for (const callback of this.#queue.splice(0)) callback();
  }
}

function setUp(options: Partial<OutboundOptions> = {}) {
  const clock = new TurnClock();
  const bundles: { target: Target; payload: Uint8Array; count: number }[] = [];
  const outbound = new Outbound({
    codec,
    headroom: HEADROOM,
    maxMessage: 1_048_576,
    clock,
    nodes: () => null,
    ship: ({ payload, count }, target) =>
      bundles.push({ target, payload, count }),
    ...options,
  });
  const name = new TextEncoder().encode("n");
  return {
    clock,
    outbound,
    /** Adds an event: for one node alone, or for several. */
    add: (value: unknown, target = OTHERS) =>
      target.to.length < 2
        ? outbound.add(target, SENT_EVENT, name, 0, value)
        : outbound.emit(target, name, value),
    /** How many bundles have left. */
    get left(): number {
      return bundles.length;
    },
    get shipped(): Shipped[] {
      return bundles.map(({ target, payload, count }) => ({
        target,
        data: dataOf(payload),
        count,
      }));
    },
  };
}

function dataOf(payload: Uint8Array, decode = codec.decode): unknown[] {
  const data: unknown[] = [];
  const take = (start: number, end: number) =>
    data.push(start < 0 ? undefined : decode(payload.slice(start, end)));
  readBundle(payload, {
    resolve: (name) => name,
    extras: () => {},
    delivery: () => {},
    receipt: () => {},
    event: (_name, _request, _alone, start, end) => take(start, end),
    reply: (_id, failed, start, end) =>
      failed ? data.push(payload.slice(start, end)) : take(start, end),
  });
  return data;
}

Deno.test("Outbound sends the first event of an idle node in the same turn", async () => {
  const out = setUp();
  const { add } = out;
  add(1);
  add(2);
  assertEquals(out.shipped.length, 0);
  await Promise.resolve();
  assertEquals(out.shipped.map(({ data }) => data), [[1, 2]]);
});

Deno.test("Outbound sends one bundle per turn under load", async () => {
  const out = setUp();
  const { clock, add } = out;
  add(0);
  await turn();
  for (let round = 1; round <= 3; round++) {
    add(round);
    await turn();
    add(round + 0.5);
    await turn();
    assertEquals(out.shipped.length, round, "it waits for the turn to end");
    clock.turn();
    assertEquals(out.shipped.at(-1)?.data, [round, round + 0.5]);
  }
  // A turn without an event: idle again.
  clock.turn();
  assertEquals(clock.waiting, 0);
  add(9);
  await Promise.resolve();
  assertEquals(out.shipped.at(-1)?.data, [9]);
});

Deno.test("Outbound closes a bundle when an event goes elsewhere", async () => {
  const out = setUp();
  const { add } = out;
  const one: Target = { to: ["one"] };
  add(1);
  add(2);
  add(3, one);
  add(4, one);
  add(5);
  await Promise.resolve();
  assertEquals(out.shipped.map(({ target, data }) => [target, data]), [
    [OTHERS, [1, 2]],
    [one, [3, 4]],
    [OTHERS, [5]],
  ]);
});

Deno.test("Outbound sends a full bundle at once", () => {
  const out = setUp();
  const { add } = out;
  const sent: number[] = [];
  for (let i = 0; out.left < 3; i++) {
    add(i);
    sent.push(i);
  }
  const left = out.shipped.flatMap(({ data }) => data);
  assertEquals(left, sent.slice(0, left.length));
  assert(left.length > 10_000, `only ${left.length} events in three bundles`);
});

Deno.test("Outbound sends a large value alone and in order", async () => {
  const out = setUp();
  const { add } = out;
  const large = new Uint8Array(200_000).fill(3);
  add(1);
  add(large);
  add(2);
  await Promise.resolve();
  assertEquals(out.shipped.map(({ data }) => data), [[1], [large], [2]]);
  assertEquals(out.shipped.map(({ count }) => count), [1, 1, 1]);
});

Deno.test("Outbound takes what just fits into a message and refuses more with a RangeError", async () => {
  const maxMessage = 100_000;
  const lengths: number[] = [];
  const { outbound, add } = setUp({
    maxMessage,
    ship: ({ message }) => lengths.push(message.length),
  });
  let longest = maxMessage;
  for (let low = 0; low < longest;) {
    const middle = Math.ceil((low + longest) / 2);
    try {
      add(new Uint8Array(middle));
      low = middle;
    } catch (error) {
      assert(error instanceof RangeError);
      longest = middle - 1;
    }
  }
  assert(longest > maxMessage - 5_120, `at most ${longest} bytes`);
  await Promise.resolve();
  for (const length of lengths) assert(length <= maxMessage);
  const before = lengths.length;
  assertThrows(() => add(new Uint8Array(maxMessage)), RangeError);
  outbound.flush();
  assertEquals(lengths.length, before);
});

Deno.test("Outbound.add() that throws leaves the open bundle intact", async () => {
  const out = setUp();
  const { add } = out;
  add(1);
  assertThrows(() => add(() => {}), TypeError);
  assertThrows(() => add({ a: { b: Symbol() } }), TypeError);
  assertThrows(() => add(new Uint8Array(2_000_000)), RangeError);
  add(2);
  await Promise.resolve();
  assertEquals(out.shipped.flatMap(({ data }) => data), [1, 2]);
});

Deno.test("Outbound.add() survives a value that adds an entry while it is encoded", async () => {
  const out = setUp();
  const { add } = out;
  const sneaky = {
    get inner(): number {
      add("from within");
      return 1;
    },
  };
  let refused = false;
  try {
    add(sneaky);
  } catch (error) {
    // Refusing is as good as taking it.
    assert(error instanceof TypeError);
    refused = true;
  }
  add("after");
  await Promise.resolve();
  const data = out.shipped.flatMap((bundle) => bundle.data);
  assertEquals(data.at(-1), "after");
  if (!refused) assert(data.length >= 3);
});

Deno.test("Outbound.addBytes() sends bytes as they are, also where the bundle is full", async () => {
  const out = setUp();
  const { outbound } = out;
  const failure = new Uint8Array(3_000).fill(9);
  const one: Target = { to: ["one"] };
  for (let i = 0; i < 50; i++) {
    outbound.addBytes(one, FAILURE, null, i, failure);
    outbound.add(one, REPLY, null, i, i);
  }
  await Promise.resolve();
  const data = out.shipped.flatMap((bundle) => bundle.data);
  assertEquals(data.length, 100);
  for (let i = 0; i < 50; i++) {
    assertEquals(data[2 * i], failure);
    assertEquals(data[2 * i + 1], i);
  }
});

Deno.test("Outbound.close() lets the open bundle go and plans nothing more", async () => {
  const out = setUp();
  const { clock, outbound, add } = out;
  add(1);
  outbound.close();
  assertEquals(out.shipped.map(({ data }) => data), [[1]]);
  await turn();
  clock.turn();
  assertEquals(clock.waiting, 0);
});

Deno.test("Outbound works with a codec that does not work in place", async () => {
  const plain = json();
  const data: unknown[] = [];
  const { outbound } = setUp({
    codec: plain,
    ship: ({ payload }) =>
      data.push(...dataOf(payload, (bytes) => plain.decode(bytes))),
  });
  const name = new TextEncoder().encode("n");
  const long = "x".repeat(100_000);
  const values = [{ a: 1 }, long, [null, true], undefined, "end"];
  for (const value of values) outbound.emit(OTHERS, name, value);
  assertThrows(
    () => outbound.emit(OTHERS, name, { at: [new Date()] }),
    TypeError,
    "$.at[0]",
  );
  await Promise.resolve();
  assertEquals(data, values);
});

// -- Several open bundles --

/** The target of each node. */
function targetsOf(ids: string): readonly Target[] {
  return [...ids].map((id) => ({ to: [id] }));
}

/** As {@linkcode setUp}, where sending to some nodes costs what sending to all does. */
function setUpDirect(ids: string) {
  const nodes = new Set(ids);
  return Object.assign(setUp({ nodes: () => nodes }), { nodes });
}

/** What left, in short: for whom, and what. */
function shortly(shipped: readonly Shipped[]): unknown[] {
  return shipped.map(({ target: { to }, data }) => [
    to === "all" ? "all" : to.join(""),
    ...data,
  ]);
}

Deno.test("Outbound lets events for one and for all take turns in open bundles", () => {
  const out = setUpDirect("abc");
  const [a, b] = targetsOf("ab");
  for (let i = 0; i < 100; i++) {
    out.add(i);
    out.add(-i, i % 2 === 0 ? a : b);
  }
  assertEquals(out.left, 0);
  out.outbound.flush();
  assertEquals(out.left, 3);
  const numbers = Array.from({ length: 100 }, (_, i) => i);
  assertEquals(shortly(out.shipped), [
    ["c", ...numbers],
    ["a", ...numbers.flatMap((i) => i % 2 === 0 ? [i, -i] : [i])],
    ["b", ...numbers.flatMap((i) => i % 2 === 1 ? [i, -i] : [i])],
  ]);
});

Deno.test("Outbound keeps bundles for single nodes open, beside each other", async () => {
  for (const out of [setUp(), setUpDirect("ab")]) {
    const [a, b] = targetsOf("ab");
    for (let i = 0; i < 3; i++) {
      out.add(`a${i}`, a);
      out.add(`b${i}`, b);
    }
    await Promise.resolve();
    assertEquals(shortly(out.shipped), [
      ["a", "a0", "a1", "a2"],
      ["b", "b0", "b1", "b2"],
    ]);
  }
});

Deno.test("Outbound keeps bundles for four nodes beside one for all, not more", () => {
  const out = setUpDirect("abcdef");
  const targets = targetsOf("abcde");
  const [a, b, c, d, e] = targets;
  out.add("all1");
  for (const one of [a, b, c, d]) out.add(1, one);
  out.add("all2");
  assertEquals(out.left, 0);
  out.add(2, e);
  const both = ["all1", "all2"];
  const first = [
    ["ef", ...both],
    ...["a", "b", "c", "d"].map((id) => [id, "all1", 1, "all2"]),
  ];
  assertEquals(shortly(out.shipped), first);
  // Bundles for five nodes: the next one for all closes them.
  for (const one of [a, b, c, d]) out.add(3, one);
  assertEquals(out.left, 5);
  out.add("all3");
  assertEquals(shortly(out.shipped).slice(5), [
    ["e", 2],
    ...["a", "b", "c", "d"].map((id) => [id, 3]),
  ]);
  out.outbound.flush();
  assertEquals(shortly(out.shipped).slice(10), [["all", "all3"]]);
});

Deno.test("Outbound keeps bundles for 64 single nodes open, not more", () => {
  const out = setUp();
  const targets = Array.from({ length: 65 }, (_, i): Target => ({
    to: [`node${i}`],
  }));
  for (const target of [...targets.slice(0, 64), ...targets.slice(0, 64)]) {
    out.add(1, target);
  }
  assertEquals(out.left, 0);
  out.add(1, targets[64]);
  assertEquals(out.left, 64);
  out.outbound.flush();
  assertEquals(out.left, 65);
});

Deno.test("Outbound sends what is for all to those there are when it leaves", () => {
  const out = setUpDirect("ab");
  const [a] = targetsOf("a");
  out.add("all");
  out.add(1, a);
  out.nodes.add("c");
  out.nodes.delete("b");
  out.outbound.flush();
  assertEquals(shortly(out.shipped), [["c", "all"], ["a", "all", 1]]);
});

Deno.test("Outbound keeps what is for this node itself open beside everything else", async () => {
  for (const out of [setUp(), setUpDirect("abc")]) {
    const [a] = targetsOf("a");
    for (let i = 0; i < 3; i++) {
      out.add(i, a);
      out.add(-i, MYSELF);
    }
    await Promise.resolve();
    assertEquals(shortly(out.shipped), [["a", 0, 1, 2], ["", 0, -1, -2]]);
  }
});

Deno.test("Outbound sends events for some nodes in one bundle for just these", () => {
  for (const out of [setUp(), setUpDirect("abcdefgh")]) {
    const some: Target = { to: ["b", "d"] };
    for (let i = 0; i < 3; i++) out.add(i, some);
    out.outbound.flush();
    assertEquals(shortly(out.shipped), [["bd", 0, 1, 2]]);
  }
});

Deno.test("Outbound lets events for different nodes take turns without closing bundles", () => {
  const out = setUpDirect("abcdefghijkl");
  const few: Target = { to: ["a", "b"] };
  const others: Target = { to: ["c", "d"] };
  for (let i = 0; i < 50; i++) {
    out.add(`few${i}`, few);
    out.add(`others${i}`, others);
  }
  assertEquals(out.left, 0);
  out.outbound.flush();
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  assertEquals(shortly(out.shipped), [
    ["ab", ...numbers.map((i) => `few${i}`)],
    ["c", ...numbers.map((i) => `others${i}`)],
    ["d", ...numbers.map((i) => `others${i}`)],
  ]);
});

Deno.test("Outbound sends what is for many of several sets to all of them, who skip the rest", () => {
  for (const out of [setUp(), setUpDirect("abcdefghijkl")]) {
    const some: Target = { to: [..."abcdef"] };
    const others: Target = { to: [..."efghij"] };
    for (let i = 0; i < 50; i++) {
      out.add(2 * i, some);
      out.add(2 * i + 1, others);
    }
    assertEquals(out.left, 0);
    out.outbound.flush();
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    assertEquals(shortly(out.shipped), [["abcdefghij", ...numbers]]);
  }
});

Deno.test("Outbound closes a bundle that brings its readers too much that is for others", () => {
  const out = setUpDirect("abcdefghijkl");
  const some: Target = { to: [..."abcdef"] };
  const others: Target = { to: [..."ghijkl"] };
  let i = 0;
  while (out.left === 0) out.add(new Uint8Array(100), i++ % 2 ? some : others);
  // Half of each bundle is for others.
  assert(i > 120 && i < 180, `${i} events`);
  assertEquals(out.shipped[0]?.target.to.length, 12);
});

Deno.test("Outbound sends all open bundles in the same turn, and once per turn under load", async () => {
  const out = setUpDirect("abc");
  const { clock, add } = out;
  const [a, b] = targetsOf("ab");
  const send = (): void => {
    add("all");
    add("a", a);
    add("b", b);
  };
  send();
  assertEquals(out.left, 0);
  await Promise.resolve();
  assertEquals(out.left, 3);
  for (let round = 1; round <= 3; round++) {
    send();
    await turn();
    send();
    await turn();
    assertEquals(out.left, 3 * round);
    clock.turn();
    assertEquals(out.left, 3 * round + 3);
  }
  // A turn in which nothing but an event for one node was sent is one with load.
  add("a", a);
  clock.turn();
  assertEquals(out.left, 13);
  clock.turn();
  assertEquals(clock.waiting, 0);
});

Deno.test("Outbound sends a large event for all, and what follows it to one, in order", () => {
  const out = setUpDirect("ab");
  const [a] = targetsOf("a");
  const large = new Uint8Array(300_000);
  // The slab grows until such an event stands in an open bundle.
  for (let round = 0; round < 8; round++) {
    out.add(large);
    out.add(round, a);
    out.add(large);
    out.outbound.flush();
  }
  const forA = out.shipped.filter(({ target: { to } }) =>
    to === "all" || to.includes("a")
  ).flatMap(({ data }) => data);
  assertEquals(
    forA.map((data) => data instanceof Uint8Array ? data.length : data),
    Array.from({ length: 8 }, (_, i) => [300_000, i, 300_000]).flat(),
  );
});

Deno.test("Outbound never makes a message longer than the limit, however much it sends", () => {
  const maxMessage = 131_072;
  const nodes = new Set("ab");
  const [a] = targetsOf("a");
  const lengths: number[] = [];
  const { add } = setUp({
    maxMessage,
    nodes: () => nodes,
    ship: ({ message }) => lengths.push(message.length),
  });
  for (let size = 1_000; size < 400_000; size += 997) {
    for (const target of [OTHERS, a]) {
      try {
        add(new Uint8Array(size), target);
        assert(size < maxMessage, `${size} bytes were taken`);
      } catch (error) {
        assert(error instanceof RangeError, String(error));
        assert(size > maxMessage - 5_120, `${size} bytes were refused`);
      }
    }
  }
  for (const length of lengths) assert(length <= maxMessage, `${length} bytes`);
});

Deno.test("Outbound gives each node an event for all once, whichever object stands for the node", () => {
  const out = setUpDirect("ab");
  const [first] = targetsOf("a");
  const [second] = targetsOf("a");
  out.add("all1");
  out.add(1, first);
  out.add(2, second);
  out.add("all2");
  out.outbound.flush();
  assertEquals(shortly(out.shipped), [
    ["b", "all1", "all2"],
    ["a", "all1", 1, 2, "all2"],
  ]);
});

Deno.test("Outbound.pause asks for a turn of the event loop once half a MiB has left", async () => {
  const out = setUpDirect("ab");
  const { clock, outbound, add } = out;
  const [a] = targetsOf("a");
  for (let round = 0; round < 3; round++) {
    while (outbound.pause === null) {
      add(new Uint8Array(30_000));
      add(new Uint8Array(30_000), a);
    }
    const { pause } = outbound;
    assert(pause !== null);
    assertStrictEquals(outbound.pause, pause);
    assert(!await isSettled(pause));
    clock.turn();
    await pause;
    assertEquals(outbound.pause, null);
  }
});

Deno.test("Outbound lets go of large slabs once nothing has left for a while", () => {
  const slabs: Slab[] = [];
  const { clock, add } = setUp({
    ship: ({ slab }) => {
      assert(slab !== null);
      slabs.push(slab);
      slab.release();
    },
  });
  const small = BUNDLE_SIZE + HEADROOM;
  const load = (): void => {
    for (let i = 0; i < 1_000; i++) add(new Uint8Array(8_000));
  };
  load();
  const large = slabs.at(-1);
  assert(large !== undefined && large.bytes.length > 4 * small);
  // Under load they are used again.
  load();
  assert(new Set(slabs).size < 12, `${new Set(slabs).size} slabs`);
  clock.turn();
  const before = new Set(slabs);
  clock.turn();
  assertEquals(clock.waiting, 0);
  // A pause of some turns changes nothing, nor does a look that comes too soon.
  load();
  assert(new Set(slabs).size < 12, `${new Set(slabs).size} slabs`);
  clock.turn();
  clock.turn();
  clock.elapse();
  assertEquals(clock.timers, 1);
  clock.elapse();
  assertEquals(clock.timers, 0);
  const rested = slabs.length;
  add(1);
  clock.turn();
  assertEquals(slabs.at(-1)?.bytes.length, small);
  load();
  const again = slabs.slice(rested).filter((slab) => before.has(slab));
  assertEquals(again, [], "large slabs were kept while there was no load");
});

/** One thing that a program does. */
type Step =
  | {
    readonly to: "all" | "self" | number | readonly number[];
    readonly type: "event" | "request" | "failure" | "empty";
    readonly size: number;
  }
  | "flush"
  | "microtask"
  | "turn"
  | { readonly letGo: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      to: fc.oneof(
        { weight: 8, arbitrary: fc.constant("all" as const) },
        { weight: 8, arbitrary: fc.nat(2) },
        { weight: 2, arbitrary: fc.nat(6) },
        { weight: 1, arbitrary: fc.constant("self" as const) },
        {
          weight: 8,
          arbitrary: fc.constantFrom([0, 1], [1, 2, 3], [0, 1, 2, 3, 4], [
            1,
            3,
            4,
            5,
            6,
          ], [2, 6]),
        },
      ),
      type: fc.constantFrom("event", "event", "request", "failure", "empty"),
      size: fc.oneof(
        { weight: 20, arbitrary: fc.nat(60) },
        { weight: 20, arbitrary: fc.nat(4_000) },
        { weight: 2, arbitrary: fc.integer({ min: 30_000, max: 70_000 }) },
        { weight: 1, arbitrary: fc.integer({ min: 70_000, max: 500_000 }) },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom("flush", "microtask") },
  { weight: 2, arbitrary: fc.constant("turn") },
  { weight: 8, arbitrary: fc.record({ letGo: fc.nat() }) },
);

/** What each node of a model is handed, and what it should be. */
class Model {
  readonly maxMessage = 262_144;
  readonly out;
  readonly #targets = targetsOf("abcdefg");
  readonly #expected = new Map<string, number[]>();
  readonly #arrived = new Map<string, number[]>();
  /** Messages on their way, as they were when they left. */
  readonly #held: {
    message: Uint8Array;
    copy: Uint8Array;
    slab: Slab | null;
  }[] = [];
  readonly #direct: boolean;
  /** The nodes that each event is for, and whether others may get it, too. */
  readonly #for: {
    readonly ids: readonly string[];
    readonly skipped: boolean;
  }[] = [];
  readonly #sets = new Map<string, Target>();
  readonly #names = new Map<string, Uint8Array>();

  constructor(direct: boolean) {
    this.#direct = direct;
    const nodes = new Set("abcdefg");
    this.out = setUp({
      maxMessage: this.maxMessage,
      nodes: () => direct ? nodes : null,
      ship: ({ message, payload, count, slab }, { to }) => {
        assert(message.length <= this.maxMessage, `${message.length} bytes`);
        assertEquals(message.subarray(HEADROOM), payload);
        const events = numbersIn(payload);
        assertEquals(events.length, count);
        assert(count === 1 || payload.length <= BUNDLE_SIZE);
        const ids = to === "all" ? "abcdefg" : to.length === 0 ? ["self"] : to;
        for (const id of ids) {
          for (const event of events) this.#take(id, event);
        }
        this.#hold(message, slab);
      },
    });
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step === "flush") this.out.outbound.flush();
      else if (step === "microtask") await Promise.resolve();
      else if (step === "turn") this.out.clock.turn();
      else if ("letGo" in step) this.#letGo(step.letGo);
      else this.#add(step);
    }
    await Promise.resolve();
    while (this.out.clock.waiting > 0) this.out.clock.turn();
    while (this.#held.length > 0) this.#letGo(0);
    assertEquals(this.#arrived, this.#expected);
  }

  /** A node skips what it does not handle. */
  #take(id: string, event: number): void {
    const { ids, skipped } = this.#for[event] ?? { ids: [], skipped: false };
    if (ids.includes(id)) noted(this.#arrived, id).push(event);
    else assert(skipped, `"${id}" got what was for "${ids}" alone`);
  }

  #add({ to, type, size }: Exclude<Step, string | { letGo: number }>): void {
    const { outbound } = this.out;
    const target = this.#targetOf(to);
    const ids = target.to === "all"
      ? [..."abcdefg"]
      : to === "self"
      ? ["self"]
      : target.to;
    const isShared = to === "all" || typeof to === "object";
    const number = this.#for.push({ ids, skipped: isShared }) - 1;
    const bytes = new Uint8Array(4 + size).fill(number);
    new DataView(bytes.buffer).setUint32(0, number);
    const name = this.#name(type === "empty" ? `${number}` : "event");
    try {
      if (isShared) {
        const extras = size % 3 === 0
          ? writeExtras([[7, new Uint8Array(size % 50)]])
          : null;
        outbound.emit(
          target,
          name,
          type === "empty" ? undefined : bytes,
          extras,
        );
      } else if (type === "event") {
        outbound.add(target, SENT_EVENT, name, 0, bytes);
      } else if (type === "empty") {
        outbound.add(target, SENT_EVENT, name, 0, undefined);
      } else if (type === "request") {
        outbound.add(target, REQUEST, name, number, [bytes, "text"]);
      } else if (typeof to === "number") {
        // Failures are short, and go to one node.
        outbound.addBytes(target, FAILURE, null, number, bytes.slice(0, 500));
      } else return;
    } catch (error) {
      assert(error instanceof RangeError, String(error));
      assert(size > this.maxMessage - 5_120);
      return;
    }
    for (const id of ids) noted(this.#expected, id).push(number);
  }

  #targetOf(to: "all" | "self" | number | readonly number[]): Target {
    if (to === "all") return OTHERS;
    if (to === "self") return MYSELF;
    if (typeof to === "number") return this.#targets[to] ?? MYSELF;
    const key = to.join();
    const known = this.#sets.get(key) ??
      { to: to.map((i) => "abcdefg"[i] ?? "") };
    this.#sets.set(key, known);
    return known;
  }

  #name(name: string): Uint8Array {
    const known = this.#names.get(name) ?? new TextEncoder().encode(name);
    this.#names.set(name, known);
    return known;
  }

  /** As links do, which need the memory until the bytes have left. */
  #hold(message: Uint8Array, slab: Slab | null): void {
    message.fill(0xee, 0, HEADROOM);
    slab?.retain();
    this.#held.push({ message, copy: message.slice(), slab });
    if (this.#direct) slab?.release();
  }

  #letGo(which: number): void {
    const [gone] = this.#held.splice(which % (this.#held.length || 1), 1);
    if (gone === undefined) return;
    const { message, copy, slab } = gone;
    const same = message.every((byte, index) => byte === copy[index]);
    assert(same, "a bundle was written over that is on its way");
    slab?.release();
  }
}

function noted(lists: Map<string, number[]>, id: string): number[] {
  const known = lists.get(id) ?? [];
  lists.set(id, known);
  return known;
}

/** The numbers of the events in a bundle, with all of their bytes as they should be. */
function numbersIn(payload: Uint8Array): number[] {
  const numbers: number[] = [];
  const check = (bytes: unknown): void => {
    const data = Array.isArray(bytes) ? bytes[0] : bytes;
    assert(data instanceof Uint8Array);
    const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
    assert(data.subarray(4).every((byte) => byte === (number & 0xff)));
    numbers.push(number);
  };
  readBundle(payload, {
    resolve: (name) => name,
    extras: () => {},
    delivery: () => {},
    receipt: () => {},
    event: (name, request, _alone, start, end) => {
      if (start < 0) return void numbers.push(Number(name));
      check(codec.decode(payload.slice(start, end)));
      if (request >= 0) assertEquals(numbers.at(-1), request);
    },
    reply: (id, failed, start, end) => {
      assert(failed);
      check(payload.slice(start, end));
      assertEquals(numbers.at(-1), id);
    },
  });
  return numbers;
}

for (const direct of [true, false]) {
  const how = direct ? "a direct router" : "any router";
  Deno.test(`Outbound gives each node exactly its events in the order of the calls, with ${how}`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 30, maxLength: 250 }),
        (steps) => new Model(direct).run(steps),
      ),
      { seed: 1, numRuns: 150 },
    );
  });
}

// -- What is added while a bundle is shipped --

for (const flushes of [false, true]) {
  const how = flushes ? ", and lets all of it go" : "";
  Deno.test(`Outbound takes what is added while it ships${how}: none is lost, or goes elsewhere`, () => {
    const [a, b, c] = targetsOf("abc");
    const nodes = new Set("abc");
    const got = new Map([...nodes].map((id) => [id, [] as unknown[]]));
    const out = setUp({
      nodes: () => nodes,
      ship: ({ payload }, { to }) => {
        const data = dataOf(payload);
        for (const id of to === "all" ? nodes : to) got.get(id)?.push(...data);
        if (!data.includes("b")) return;
        for (const target of [a, c, OTHERS]) out.add("told", target);
        if (flushes) out.outbound.flush();
      },
    });
    // Bundles of their own, which leave in this order.
    for (const [data, target] of [["a", a], ["b", b], ["c", c]] as const) {
      out.add(data, target);
    }
    out.outbound.flush();
    for (const target of [a, b, c]) out.add("end", target);
    out.outbound.flush();
    assertEquals([...got.values()], [
      ["a", "told", "told", "end"],
      ["b", "told", "end"],
      ["c", "told", "told", "end"],
    ]);
  });
}

Deno.test("Outbound takes what is added while it ships a bundle that is full", () => {
  const got: unknown[] = [];
  let told = 0;
  const out = setUp({
    ship: ({ payload }) => {
      got.push(...dataOf(payload));
      if (told++ < 3) out.add("told");
    },
  });
  const long = "x".repeat(20_000);
  for (let i = 0; i < 20; i++) {
    out.add(i % 5 === 4 ? new Uint8Array(90_000) : long);
  }
  out.outbound.flush();
  assertEquals(got.filter((data) => data === "told").length, 3);
  const rest = got.filter((data) => data !== "told");
  assertEquals(rest.map((data) => data === long), [
    ...Array.from({ length: 20 }, (_, i) => i % 5 !== 4),
  ]);
});

Deno.test("Outbound.close() lets go what was added while it ships, and what waits", () => {
  const got: unknown[] = [];
  const [a, b] = targetsOf("ab");
  const out = setUp({
    ship: ({ payload }) => {
      const data = dataOf(payload);
      got.push(...data);
      if (!data.includes("a")) return;
      out.add("told", a);
      out.outbound.close();
      got.push("closed");
    },
  });
  out.add("a", a);
  out.add("b", b);
  out.outbound.flush();
  assertEquals(got, ["a", "b", "told", "closed"]);
});
