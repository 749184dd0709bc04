import { assert, assertEquals, assertThrows } from "@std/assert";
import { json } from "@devts/protocol/json";
import { msgpackr } from "@devts/protocol/msgpackr";
import type { Clock } from "@devts/routing";
import { EVENT, FAILURE, readBundle, REPLY } from "./bundle.ts";
import {
  EVERYONE,
  MYSELF,
  OTHERS,
  Outbound,
  type OutboundOptions,
  type Target,
} from "./outbound.ts";
import { turn } from "./_support_test.ts";

const codec = msgpackr();
const HEADROOM = 4;

/** A bundle that left: for whom, and the data of its events. */
interface Shipped {
  readonly target: Target;
  readonly data: readonly unknown[];
  readonly count: number;
}

/** A clock without time, whose turns pass when a test says so. */
class TurnClock implements Clock {
  #queue: (() => void)[] = [];

  /** How many callbacks wait for the next turn. */
  get waiting(): number {
    return this.#queue.length;
  }

  now(): number {
    return 0;
  }

  after(): () => void {
    throw new Error("nothing here takes time");
  }

  soon(callback: () => void): void {
    this.#queue.push(callback);
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
    ship: ({ payload, count }, target) =>
      bundles.push({ target, payload, count }),
    ...options,
  });
  const name = outbound.name("n");
  return {
    clock,
    outbound,
    add: (value: unknown, target = OTHERS) =>
      outbound.add(target, EVENT, name, 0, value),
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
    event: (_name, _request, start, end) => take(start, end),
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
  const one: Target = { to: ["one"], self: false };
  add(1);
  add(2);
  add(3, one);
  add(4, one);
  add(5);
  add(6, EVERYONE);
  add(7, MYSELF);
  await Promise.resolve();
  assertEquals(out.shipped.map(({ target, data }) => [target, data]), [
    [OTHERS, [1, 2]],
    [one, [3, 4]],
    [OTHERS, [5]],
    [EVERYONE, [6]],
    [MYSELF, [7]],
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
  assert(longest > maxMessage - 2_048, `at most ${longest} bytes`);
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
  for (let i = 0; i < 50; i++) {
    outbound.addBytes(OTHERS, FAILURE, i, failure);
    outbound.add(OTHERS, REPLY, null, i, i);
  }
  await Promise.resolve();
  const data = out.shipped.flatMap((bundle) => bundle.data);
  assertEquals(data.length, 100);
  for (let i = 0; i < 50; i++) {
    assertEquals(data[2 * i], failure);
    assertEquals(data[2 * i + 1], i);
  }
});

Deno.test("Outbound.name() gives the same object each time and refuses what is no name", () => {
  const { outbound } = setUp();
  assert(outbound.name("event") === outbound.name("event"));
  assertEquals(outbound.name("é"), new TextEncoder().encode("é"));
  assertEquals(outbound.name("x".repeat(255)).length, 255);
  assertThrows(() => outbound.name(""), TypeError, "name of an event");
  assertThrows(() => outbound.name("x".repeat(256)), TypeError, "255 bytes");
  assertThrows(() => outbound.name("é".repeat(128)), TypeError, "255 bytes");
  assertThrows(() => outbound.name("\ud800"), TypeError, "name of an event");
});

Deno.test("Outbound.name() keeps at most 4,096 names, and further ones work", async () => {
  const out = setUp();
  const { outbound } = out;
  for (let i = 0; i < 5_000; i++) {
    outbound.add(OTHERS, EVENT, outbound.name(`n${i}`), 0, i);
  }
  const late = outbound.name("n4999");
  assert(late !== outbound.name("n4999"));
  await Promise.resolve();
  assertEquals(
    out.shipped.flatMap(({ data }) => data),
    Array.from({ length: 5_000 }, (_, i) => i),
  );
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
  const name = outbound.name("n");
  const long = "x".repeat(100_000);
  const values = [{ a: 1 }, long, [null, true], undefined, "end"];
  for (const value of values) outbound.add(OTHERS, EVENT, name, 0, value);
  assertThrows(
    () => outbound.add(OTHERS, EVENT, name, 0, { at: [new Date()] }),
    TypeError,
    "$.at[0]",
  );
  await Promise.resolve();
  assertEquals(data, values);
});
