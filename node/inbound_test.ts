import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Codec } from "@devts/protocol";
import { json } from "@devts/protocol/json";
import { msgpackr } from "@devts/protocol/msgpackr";
import { VirtualClock } from "@devts/routing/testing";
import {
  BundleWriter,
  EVENT,
  FAILURE,
  REPLY,
  REQUEST,
  SENT_EVENT,
} from "./bundle.ts";
import { readReceipt } from "./delivery_wire.ts";
import { Checks } from "./checks.ts";
import { EXTRA_CODEC, writeExtras } from "./extras.ts";
import { Handlers } from "./handlers.ts";
import { Inbound } from "./inbound.ts";
import { noneMet } from "./limits.ts";
import { Receipts } from "./receipts.ts";
import type { Handler } from "./types.ts";
import { isSettled, pass, turn } from "./_support_test.ts";

/** What the inbound side told its owner. */
type Call = readonly unknown[];

interface Setup {
  readonly codec?: Codec;
  readonly running?: number;
  /** For how many answers of a peer the node waits. */
  readonly waiting?: () => number;
}

function setUp(
  { codec = msgpackr(), running = 3, waiting = () => 0 }: Setup = {},
) {
  const clock = new VirtualClock();
  const handlers = new Handlers();
  const calls: Call[] = [];
  const abort = new AbortController();
  const inbound = new Inbound({
    unhandled: (name, from) => calls.push(["unhandled", name, from]),
    handlerFailed: (name, from, error) =>
      calls.push(["failed", name, from, String(error)]),
    handlerStuck: (...args) => calls.push(["stuck", ...args]),
    reply: (...args) => calls.push(["reply", ...args]),
    refuse: (...args) => calls.push(["refuse", ...args]),
    replied: (...args) => calls.push(["replied", ...args]),
    failed: (from, request, bytes) =>
      calls.push(["failure", from, request, [...bytes]]),
    receipt: (...args) => calls.push(["receipt", ...args]),
    invalid: (...args) => calls.push(["invalid", ...args]),
    invalidReply: (...args) => calls.push(["invalidReply", ...args]),
    refusal: () => null,
  }, {
    id: "self",
    codec,
    handlers,
    receipts: new Receipts({
      limit: 2,
      met: noneMet(),
      counts: { duplicates: 0 },
      send: (to, run, receipt) =>
        calls.push(["owed", to, run, readReceipt(receipt)]),
    }),
    checks: new Checks(null, codec),
    clock,
    signal: abort.signal,
    running,
    waiting,
    met: noneMet(),
  });
  const names = new Map<string, Uint8Array>();
  const nameOf = (name: string): Uint8Array => {
    const known = names.get(name) ?? new TextEncoder().encode(name);
    names.set(name, known);
    return known;
  };
  return {
    clock,
    calls,
    inbound,
    signal: abort.signal,
    on: (name: string, handler: Handler) => handlers.add(name, handler),
    /** Takes a bundle of events of a node. */
    take(from: string, ...events: readonly (readonly [string, unknown])[]) {
      const writer = new BundleWriter(codec, 0);
      for (const [name, data] of events) {
        writer.add(SENT_EVENT, nameOf(name), 0, data);
      }
      inbound.take(from, writer.take().payload);
    },
    /** Takes a request of a node. */
    ask(from: string, name: string, id: number, data: unknown) {
      const writer = new BundleWriter(codec, 0);
      writer.add(REQUEST, nameOf(name), id, data);
      inbound.take(from, writer.take().payload);
    },
  };
}

Deno.test("Inbound calls the handlers of an event in the order of registration", () => {
  const { on, take, calls, signal } = setUp();
  const seen: unknown[] = [];
  on("x", (data, context) => {
    seen.push(["first", data, context.from]);
    assert(context.signal === signal);
  });
  on("x", (data) => seen.push(["second", data]));
  take("ada", ["x", 1], ["x", undefined], ["x", { a: [1] }]);
  assertEquals(seen, [
    ["first", 1, "ada"],
    ["second", 1],
    ["first", undefined, "ada"],
    ["second", undefined],
    ["first", { a: [1] }, "ada"],
    ["second", { a: [1] }],
  ]);
  assertEquals(calls, []);
});

Deno.test("Inbound goes on after handlers that throw, reject or never end", async () => {
  const { on, take, calls, inbound } = setUp();
  const seen: unknown[] = [];
  on("x", () => {
    throw new Error("thrown");
  });
  on("x", () => Promise.reject(new Error("rejected")));
  on("x", () => new Promise(() => {}));
  on("x", (data) => seen.push(data));
  on("y", () => {
    throw "no error at all";
  });
  take("ada", ["x", 1], ["y", 2], ["x", 3]);
  assertEquals(seen, [1, 3]);
  await turn();
  assertEquals(calls, [
    ["failed", "x", "ada", "Error: thrown"],
    ["failed", "x", "ada", "Error: rejected"],
    ["failed", "y", "ada", "no error at all"],
    ["failed", "x", "ada", "Error: thrown"],
    ["failed", "x", "ada", "Error: rejected"],
  ]);
  inbound.close();
});

Deno.test("Inbound replies with what the first handler gives", async () => {
  const { on, ask, calls, inbound } = setUp();
  on("sync", (data) => [data, "first"]);
  on("sync", () => "second");
  on("async", (data) => Promise.resolve(data));
  on("async", () => {
    throw new Error("only reported");
  });
  ask("ada", "sync", 7, "a");
  ask("bob", "async", 8, "b");
  ask("bob", "nothing", 9, "c");
  on("void", () => {});
  ask("bob", "void", 10, undefined);
  await turn();
  assertEquals(calls, [
    ["reply", "ada", 7, ["a", "first"], "sync"],
    ["unhandled", "nothing", "bob"],
    ["refuse", "bob", 9, "unhandled", ""],
    ["reply", "bob", 10, undefined, "void"],
    ["reply", "bob", 8, "b", "async"],
    ["failed", "async", "bob", "Error: only reported"],
  ]);
  inbound.close();
});

Deno.test("Inbound refuses a request whose handler fails, with what it said", async () => {
  const { on, ask, calls, inbound } = setUp();
  on("throws", () => {
    throw new RangeError("out of range");
  });
  on("rejects", () => Promise.reject("a text"));
  ask("ada", "throws", 1, null);
  ask("ada", "rejects", 2, null);
  await turn();
  assertEquals(calls, [
    ["failed", "throws", "ada", "RangeError: out of range"],
    ["refuse", "ada", 1, "handler", "out of range"],
    ["failed", "rejects", "ada", "a text"],
    ["refuse", "ada", 2, "handler", "a text"],
  ]);
  inbound.close();
});

Deno.test("Inbound counts what nobody handles and goes on", () => {
  const { on, take, calls, inbound } = setUp();
  const seen: unknown[] = [];
  on("known", (data) => seen.push(data));
  take("ada", ["unknown", 1], ["known", 2], ["unknown", 3]);
  assertEquals(seen, [2]);
  assertEquals(calls, [
    ["unhandled", "unknown", "ada"],
    ["unhandled", "unknown", "ada"],
  ]);
  assertEquals(inbound.received, 3);
});

Deno.test("Inbound reports a handler that has not ended after 30 s, once, and waits no longer", async () => {
  const { on, take, calls, inbound, clock } = setUp({ running: 1 });
  on("forever", () => new Promise(() => {}));
  take("ada", ["forever", 1]);
  const room = inbound.room("ada");
  assert(room);
  await pass(clock, 29_999);
  assertEquals(calls, []);
  assert(!await isSettled(room));
  await pass(clock, 1);
  assertEquals(calls, [["stuck", "forever", "ada"]]);
  assert(await isSettled(room));
  assertEquals(inbound.room("ada"), undefined);
  await pass(clock, 60_000);
  assertEquals(calls.length, 1);
  assertEquals(clock.pending, 0);
});

Deno.test("Inbound watches each handler from its own start", async () => {
  const { on, take, calls, inbound, clock } = setUp();
  on("forever", () => new Promise(() => {}));
  take("ada", ["forever", 1]);
  await pass(clock, 20_000);
  take("bob", ["forever", 1]);
  await pass(clock, 10_000);
  assertEquals(calls, [["stuck", "forever", "ada"]]);
  await pass(clock, 30_000);
  assertEquals(calls, [
    ["stuck", "forever", "ada"],
    ["stuck", "forever", "bob"],
  ]);
  inbound.close();
  assertEquals(clock.pending, 0);
});

Deno.test("Inbound replies late where a handler that was given up ends after all", async () => {
  const { on, ask, calls, clock } = setUp({ running: 1 });
  const { promise, resolve } = Promise.withResolvers<string>();
  on("slow", () => promise);
  ask("ada", "slow", 1, null);
  await pass(clock, 30_000);
  resolve("at last");
  await turn();
  assertEquals(calls, [
    ["stuck", "slow", "ada"],
    ["reply", "ada", 1, "at last", "slow"],
  ]);
});

Deno.test("Inbound.room() holds a peer back while as many of its handlers run as may", async () => {
  const { on, take, inbound } = setUp({ running: 2 });
  const ends: (() => void)[] = [];
  on("x", () => new Promise<void>((resolve) => ends.push(resolve)));
  take("ada", ["x", 1]);
  assertEquals(inbound.room("ada"), undefined);
  take("ada", ["x", 2], ["x", 3]);
  take("bob", ["x", 1]);
  assertEquals(inbound.room("bob"), undefined);
  const room = inbound.room("ada");
  assert(room);
  ends[0]?.();
  assert(!await isSettled(room), "two of three still run");
  ends[1]?.();
  assert(await isSettled(room));
  assertEquals(inbound.room("ada"), undefined);
  inbound.close();
});

Deno.test("Inbound.close() lets go whoever waits and leaves no timer", async () => {
  const { on, take, inbound, clock, calls } = setUp({ running: 1 });
  const { promise, reject } = Promise.withResolvers<void>();
  on("x", () => promise);
  take("ada", ["x", 1]);
  const room = inbound.room("ada");
  assert(room);
  inbound.close();
  assert(await isSettled(room));
  assertEquals(clock.pending, 0);
  reject(new Error("afterwards"));
  await turn();
  assertEquals(calls, [["failed", "x", "ada", "Error: afterwards"]]);
});

Deno.test("Inbound takes a result whose `then` throws for a failed handler", async () => {
  const { on, take, ask, calls, inbound } = setUp();
  const seen: unknown[] = [];
  on("getter", () => ({
    get then(): never {
      throw new Error("in the getter");
    },
  }));
  on("method", () => ({
    then(): never {
      throw new Error("in the method");
    },
  }));
  on("after", (data) => seen.push(data));
  take("ada", ["getter", 1], ["method", 1], ["after", 2]);
  assertEquals(seen, [2]);
  ask("ada", "getter", 5, null);
  ask("ada", "method", 6, null);
  await turn();
  const told = calls.map((call) => call.join(" ")).sort();
  assertEquals(told, [
    "failed getter ada Error: in the getter",
    "failed getter ada Error: in the getter",
    "failed method ada Error: in the method",
    "failed method ada Error: in the method",
    "refuse ada 5 handler in the getter",
    "refuse ada 6 handler in the method",
  ]);
  inbound.close();
});

Deno.test("Inbound takes a thenable that settles twice or with another thenable once", async () => {
  const { on, ask, calls, inbound } = setUp();
  on("twice", () => ({
    then(resolve: (value: unknown) => void, reject: (e: unknown) => void) {
      resolve("first");
      reject(new Error("second"));
      resolve("third");
    },
  }));
  on("nested", () => ({
    then: (resolve: (value: unknown) => void) =>
      resolve({
        then: (inner: (value: unknown) => void) => inner("deep"),
      }),
  }));
  ask("ada", "twice", 1, null);
  ask("ada", "nested", 2, null);
  await turn();
  assertEquals(calls, [
    ["reply", "ada", 1, "first", "twice"],
    ["reply", "ada", 2, "deep", "nested"],
  ]);
  inbound.close();
});

Deno.test("Inbound stops calling a handler that was disposed, also within a bundle", () => {
  const { on, take, calls } = setUp();
  const seen: unknown[] = [];
  const registered = on("x", (data) => {
    seen.push(data);
    registered[Symbol.dispose]();
    registered[Symbol.dispose]();
  });
  take("ada", ["x", 1], ["x", 2]);
  assertEquals(seen, [1]);
  assertEquals(calls, [["unhandled", "x", "ada"]]);
});

Deno.test("Inbound disposes only one of two equal handlers", () => {
  const { on, take } = setUp();
  let calls = 0;
  const handler = () => {
    calls++;
  };
  const first = on("x", handler);
  on("x", handler);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  take("ada", ["x", 1]);
  assertEquals(calls, 1);
});

Deno.test("Inbound calls a handler that an earlier event of the bundle registered", () => {
  const { on, take } = setUp();
  const seen: unknown[] = [];
  on("start", () => {
    on("go", (data) => seen.push(data));
  });
  take("ada", ["go", 1], ["start", null], ["go", 2]);
  assertEquals(seen, [2]);
});

Deno.test("Inbound calls a handler that replaced another within the bundle", () => {
  const { on, take } = setUp();
  const seen: unknown[] = [];
  const first = on("step", (data) => {
    seen.push(["first", data]);
    first[Symbol.dispose]();
    on("step", (later) => seen.push(["second", later]));
  });
  take("ada", ["step", 1], ["step", 2]);
  assertEquals(seen, [["first", 1], ["second", 2]]);
});

Deno.test("Inbound hands on replies and failures", () => {
  const { inbound, calls } = setUp();
  const writer = new BundleWriter(msgpackr(), 0);
  writer.add(REPLY, null, 1, { ok: true });
  writer.add(REPLY, null, 2, undefined);
  writer.addBytes(FAILURE, null, 3, Uint8Array.of(2, 0x61));
  writer.add(FAILURE, null, 4, undefined);
  inbound.take("ada", writer.take().payload);
  assertEquals(calls, [
    ["replied", "ada", 1, { ok: true }],
    ["replied", "ada", 2, undefined],
    ["failure", "ada", 3, [2, 0x61]],
    ["failure", "ada", 4, []],
  ]);
});

Deno.test("Inbound throws a SyntaxError for data that cannot be decoded, after what stood before", () => {
  const { on, take, inbound } = setUp();
  const seen: unknown[] = [];
  on("x", (data) => seen.push(data));
  const writer = new BundleWriter(msgpackr(), 0);
  const name = new TextEncoder().encode("x");
  writer.add(EVENT, name, 0, 1);
  writer.addBytes(EVENT, name, 0, Uint8Array.of(0xc1));
  writer.add(EVENT, name, 0, 2);
  assertThrows(() => inbound.take("eve", writer.take().payload), SyntaxError);
  assertEquals(seen, [1]);
  take("ada", ["x", 3]);
  assertEquals(seen, [1, 3]);
});

Deno.test("Inbound takes extras of no payload that breaks off for those of the next one", () => {
  const { on, take, inbound } = setUp();
  const seen: unknown[] = [];
  on("x", (data) => seen.push(data));
  const writer = new BundleWriter(msgpackr(), 0);
  const format = new TextEncoder().encode("of nobody");
  const extras = writeExtras([[EXTRA_CODEC, format]]);
  const name = new TextEncoder().encode("x");
  writer.addBytes(SENT_EVENT, name, 0, new Uint8Array(100), extras);
  const cut = writer.take().payload.slice(0, -1);
  assertThrows(() => inbound.take("eve", cut), SyntaxError);
  // Where those stood, there now are bytes that look the same.
  const data = new Uint8Array(20);
  data[0] = EXTRA_CODEC;
  data[2] = format.length;
  take("ada", ["x", data]);
  assertEquals(seen, [data]);
});

Deno.test("Inbound does not decode what nobody handles", () => {
  const { inbound, calls } = setUp();
  const writer = new BundleWriter(msgpackr(), 0);
  const name = new TextEncoder().encode("x");
  for (const type of [EVENT, SENT_EVENT]) {
    writer.addBytes(type, name, 0, Uint8Array.of(0xc1));
  }
  inbound.take("ada", writer.take().payload);
  assertEquals(calls, [["unhandled", "x", "ada"]]);
});

Deno.test("Inbound works with a codec that does not work in place", () => {
  const { on, take } = setUp({ codec: json() });
  const seen: unknown[] = [];
  on("x", (data) => seen.push(data));
  take("ada", ["x", { a: [1, "two"] }], ["x", undefined]);
  assertEquals(seen, [{ a: [1, "two"] }, undefined]);
});

Deno.test("Inbound lets as many more handlers of a peer run as wait for its answers", async () => {
  let waiting = 2;
  const { on, take, inbound } = setUp({ waiting: () => waiting });
  const ends: (() => void)[] = [];
  on("x", () => new Promise<void>((resolve) => ends.push(resolve)));
  for (let i = 1; i <= 4; i++) {
    take("ada", ["x", i]);
    assertEquals(inbound.room("ada"), undefined, `${i}`);
  }
  take("ada", ["x", 5]);
  const room = inbound.room("ada");
  assert(room !== undefined);
  inbound.asked("ada");
  inbound.asked("eve");
  assertEquals(await isSettled(room), false);
  waiting++;
  inbound.asked("ada");
  assertEquals(await isSettled(room), true);
  assertEquals(inbound.room("ada"), undefined);
  // The answer came, and the handler that waited for it ends.
  waiting--;
  const again = inbound.room("ada");
  assert(again !== undefined);
  ends.shift()?.();
  assertEquals(await isSettled(again), true);
  assertEquals(inbound.room("ada"), undefined);
  inbound.close();
});

Deno.test("Inbound keeps no peer for ever for which nothing runs", async () => {
  const { on, take, inbound } = setUp({ running: 1 });
  const ended = Promise.withResolvers<void>();
  on("slow", () => ended.promise);
  on("x", () => {});
  take("busy", ["slow", 1]);
  let most = 0;
  for (let i = 0; i < 20_000; i++) {
    take(`passing-${i}`, ["x", i]);
    most = Math.max(most, inbound.size);
  }
  assert(most <= 4_097, `${most} peers`);
  const room = inbound.room("busy");
  assert(room !== undefined);
  ended.resolve();
  await room;
  assertEquals(inbound.room("busy"), undefined);
  inbound.close();
});
