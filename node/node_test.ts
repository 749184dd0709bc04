import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type MembershipContext, NodeNotFoundError } from "@devts/routing";
import { heartbeat } from "@devts/routing/heartbeat";
import { peerRouter } from "@devts/routing/peer";
import { json } from "@devts/protocol/json";
import { RequestError } from "./errors.ts";
import { pass, passFor, passUntil, START, turn } from "./_support_test.ts";
import { pair, tally, virtualWorld } from "./_world_test.ts";

interface Events {
  say(text: string): void;
  count(number: number): void;
  sum(numbers: number[]): number;
  later(value: unknown): Promise<unknown>;
  boom(): void;
  bad(): unknown;
  nobody(): void;
}

Deno.test("Node.emit() reaches every other node, and not its own", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  const three = world.add<Events>("cyd");
  await passFor(world.clock, three.node.join("memory://ada"));
  await pass(world.clock, 1_000);
  const heard: unknown[] = [];
  for (const { node } of [one, two, three]) {
    node.on("say", (text, { from }) => {
      heard.push([node.id, from, text]);
    });
  }
  await pass(world.clock, 0);
  assertEquals(await one.node.emit("say", "hi"), { nodes: 2, dropped: 0 });
  await pass(world.clock, 0);
  assertEquals(heard.sort(), [["bob", "ada", "hi"], ["cyd", "ada", "hi"]]);
});

Deno.test("Node.emit() with `self` also reaches its own", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  const heard: unknown[] = [];
  for (const { node } of [one, two]) {
    node.on("say", (text) => {
      heard.push([node.id, text]);
    });
  }
  await pass(world.clock, 0);
  const emitted = one.node.emit("say", "hi", { self: true });
  assertEquals(heard, [], "never before emit returns");
  assertEquals(await emitted, { nodes: 2, dropped: 0 });
  await pass(world.clock, 0);
  assertEquals(heard.sort(), [["ada", "hi"], ["bob", "hi"]]);
});

Deno.test("Node.emit() of a node alone reaches nobody", async () => {
  await using world = virtualWorld();
  const { node } = world.add<Events>("ada");
  assertEquals(await node.emit("say", "hi"), { nodes: 0, dropped: 0 });
  const self = { self: true };
  assertEquals(await node.emit("say", "hi", self), { nodes: 0, dropped: 0 });
  await pass(world.clock, 0);
  assertEquals(node.counters.unhandled, 0);
});

Deno.test("Node.send() and request() work to itself", async () => {
  await using world = virtualWorld();
  const { node } = world.add<Events>("ada");
  const heard: unknown[] = [];
  node.on("say", (text, { from }) => {
    heard.push([text, from]);
  });
  node.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
  assertEquals(await node.send("ada", "say", "me"), { nodes: 1, dropped: 0 });
  assertEquals(
    await passFor(world.clock, node.request("ada", "sum", [1, 2])),
    3,
  );
  assertEquals(heard, [["me", "ada"]]);
});

Deno.test("Node keeps the order of one sender across emit, send and request, awaited or not", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  const heard: number[] = [];
  two.node.on("count", (number) => {
    heard.push(number);
  });
  two.node.on("later", (value) => {
    assert(typeof value === "number");
    heard.push(value);
    return Promise.resolve(value);
  });
  await pass(world.clock, 0);
  const ways = [
    (i: number) => one.node.emit("count", i),
    (i: number) => one.node.send("bob", "count", i),
    (i: number) => one.node.request("bob", "later", i),
  ];
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 300; i++) {
    const way = ways[(i * 7 + Math.floor(i / 11)) % 3];
    assert(way);
    const done = way(i);
    pending.push(done);
    if (i % 13 === 0) await passFor(world.clock, done);
    if (i % 29 === 0) await turn();
  }
  await passFor(world.clock, Promise.all(pending));
  await pass(world.clock, 0);
  assertEquals(heard, Array.from({ length: 300 }, (_, i) => i));
});

Deno.test("Node keeps the order of large and small events", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  const lengths: number[] = [];
  two.node.on("say", (text) => {
    lengths.push(text.length);
  });
  await pass(world.clock, 0);
  const sent = [1, 200_000, 2, 3, 70_000, 4, 900_000, 5];
  for (const length of sent) {
    // Much leaves at once: the event loop gets its turns in between.
    await passFor(world.clock, one.node.emit("say", "x".repeat(length)));
  }
  await pass(world.clock, 0);
  assertEquals(lengths, sent);
});

Deno.test("Node.request() to a node without a handler fails in one round trip", async () => {
  await using world = virtualWorld();
  const { one } = await pair<Events>(world);
  const start = world.clock.now();
  const error = await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "nobody")),
    RequestError,
    'Request "nobody" to node "bob" failed',
  );
  assertEquals(error.reason, "unhandled");
  assertEquals(world.clock.now(), start);
});

Deno.test("Node.request() tells what the handler threw", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  two.node.on("boom", () => {
    throw new Error("out of order");
  });
  two.node.on("later", () => Promise.reject(new RangeError("too far")));
  const first = await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "boom")),
    RequestError,
    "out of order",
  );
  assertEquals(first.reason, "handler");
  await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "later", 1)),
    RequestError,
    "too far",
  );
  assertEquals(two.node.counters.handlerErrors, 2);
  assertEquals(tally(two.told)["error"], 2);
});

Deno.test("Node.request() fails where the reply cannot be encoded", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  two.node.on("bad", () => ({ at: [() => {}] }));
  const error = await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "bad")),
    RequestError,
    "Cannot reply to",
  );
  assertEquals(error.reason, "handler");
  two.node.on("later", () => Promise.resolve(new Uint8Array(2_000_000)));
  await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "later", 0)),
    RequestError,
    "2000005 bytes",
  );
  two.node.on("sum", () => 5);
  assertEquals(
    await passFor(world.clock, one.node.request("bob", "sum", [])),
    5,
    "the link goes on",
  );
});

Deno.test("Node.request() ends by its timeout and its signal", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  two.node.on("later", () => new Promise(() => {}));
  const start = world.clock.now();
  const late = one.node.request("bob", "later", 1, { timeout: 250 });
  const error = await assertRejects(
    () => passFor(world.clock, late),
    RequestError,
  );
  assertEquals([error.reason, world.clock.now() - start], ["timeout", 250]);
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = one.node.request("bob", "later", 1, { signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  await assertRejects(
    () => one.node.request("bob", "later", 1, { signal }),
    Error,
    "enough",
  );
  for (const timeout of [0, -1, NaN, 2 ** 31, Infinity]) {
    assertThrows(
      () => one.node.request("bob", "later", 1, { timeout }),
      RangeError,
      "timeout",
    );
  }
});

Deno.test("Node.request() to a node that dies fails as lost", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  two.node.on("later", () => new Promise(() => {}));
  const asked = one.node.request("bob", "later", 1);
  await pass(world.clock, 10);
  const closing = two.node.close();
  const error = await assertRejects(
    () => passFor(world.clock, asked),
    RequestError,
  );
  assertEquals(error.reason, "lost");
  await passFor(world.clock, closing);
});

Deno.test("Node.send() and request() name the node that they do not know", async () => {
  await using world = virtualWorld();
  const { one } = await pair<Events>(world);
  for (
    const call of [
      () => one.node.send("eve", "say", "hi"),
      () => one.node.request("eve", "sum", [1]),
    ]
  ) {
    const error = await assertRejects(call, NodeNotFoundError, '"eve"');
    assertEquals(error.id, "eve");
  }
  assertEquals(one.node.counters.rejections, 2);
});

Deno.test("Node throws a TypeError for what cannot be encoded, and goes on", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<{ any(data: unknown): unknown }>(world);
  const heard: unknown[] = [];
  two.node.on("any", (data) => {
    heard.push(data);
  });
  await pass(world.clock, 0);
  one.node.emit("any", 1);
  const bad = { user: { tags: [0, 1, () => {}] } };
  const path = 'Cannot emit "any": Cannot encode value at $.user.tags[2]';
  assertThrows(() => one.node.emit("any", bad), TypeError, path);
  assertThrows(() => one.node.send("bob", "any", bad), TypeError, "tags[2]");
  assertThrows(() => one.node.request("bob", "any", bad), TypeError, "tags[2]");
  assertThrows(
    () => one.node.emit("any", new Uint8Array(2_000_000)),
    RangeError,
    'Cannot emit "any"',
  );
  one.node.emit("any", 2);
  await pass(world.clock, 0);
  assertEquals(heard, [1, 2]);
  assertEquals(one.node.counters.sent, 2);
});

Deno.test("Node counts an event that nobody handles, and goes on", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  await one.node.send("bob", "nobody");
  await one.node.send("bob", "nobody");
  two.node.on("say", () => {});
  await one.node.send("bob", "say", "hi");
  await pass(world.clock, 0);
  assertEquals(two.node.counters.unhandled, 2);
  assertEquals(two.node.counters.received, 3);
  assertEquals(two.node.members.size, 1);
  const lines = two.log.of("debug").filter((line) => line.includes("nobody"));
  assertEquals(lines.length, 1, "each name is logged once");
});

Deno.test("Node lets a thenable with a throwing `then` harm nobody", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  two.node.on("bad", () => ({
    get then(): never {
      throw new Error("in then");
    },
  }));
  two.node.on("sum", () => 1);
  const asked = one.node.request("bob", "bad");
  await assertRejects(() => passFor(world.clock, asked), RequestError);
  assertEquals(
    await passFor(world.clock, one.node.request("bob", "sum", [])),
    1,
  );
  assertEquals(two.node.counters.violations, 0);
  assertEquals(tally(one.told)["leave"], undefined);
});

Deno.test("Node stops reading a peer while as many of its handlers run as may", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, {
    limits: { running: 4 },
  });
  const ends: (() => void)[] = [];
  two.node.on(
    "later",
    () => new Promise<void>((resolve) => ends.push(resolve)),
  );
  for (let i = 0; i < 20; i++) {
    one.node.send("bob", "later", i);
    await pass(world.clock, 1);
  }
  assertEquals(ends.length, 4);
  // The peer that is not read counts as alive.
  await pass(world.clock, 20_000);
  assertEquals(two.node.members.size, 1);
  assertEquals(one.node.members.size, 1);
  for (let i = 0; i < 20; i++) {
    ends[i]?.();
    await pass(world.clock, 1);
  }
  assertEquals(ends.length, 20);
});

Deno.test("Node does not take a dead peer for alive while its handlers run", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, { limits: { running: 1 } });
  two.node.on("later", () => new Promise(() => {}));
  one.node.send("bob", "later", 1);
  await pass(world.clock, 10);
  // The other side is gone without a word, and cannot be dialled.
  await world.cut("ada");
  const dead = await passUntil(
    world.clock,
    () => two.node.members.size === 0,
    29_000,
  );
  assert(dead <= 20_000, `it took ${dead} ms`);
});

Deno.test("Node reports a handler that never ends, and reads on", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, { limits: { running: 1 } });
  let calls = 0;
  two.node.on("later", () => {
    calls++;
    return new Promise(() => {});
  });
  one.node.send("bob", "later", 1);
  await pass(world.clock, 10);
  one.node.send("bob", "later", 2);
  await pass(world.clock, 10);
  assertEquals(calls, 1);
  await pass(world.clock, 30_000);
  assertEquals(calls, 2);
  assertEquals(two.node.counters.handlersStuck, 1);
  assert(two.log.of("error").some((line) => line.includes("30 s")));
});

Deno.test("Node.on() stops when it is disposed", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world);
  const heard: string[] = [];
  {
    using _handler = two.node.on("say", (text) => {
      heard.push(text);
    });
    await pass(world.clock, 0);
    await one.node.emit("say", "first");
    await pass(world.clock, 0);
  }
  await one.node.emit("say", "second");
  await pass(world.clock, 0);
  assertEquals(heard, ["first"]);
});

Deno.test("Node.onSystem() survives a callback that throws", async () => {
  await using world = virtualWorld();
  const { node, log, told } = world.add<Events>("ada");
  node.onSystem("join", () => {
    throw new Error("in the callback");
  });
  await node.listen("memory://ada");
  const other = world.add<Events>("bob");
  await passFor(world.clock, other.node.join("memory://ada"));
  assertEquals(tally(told), { ready: 1, join: 1, error: 1 });
  assert(log.of("error").some((line) => line.includes("in the callback")));
});

Deno.test("Node.onSystem() survives a callback that rejects, or fails on the failure", async () => {
  await using world = virtualWorld();
  const { node, log, told } = world.add<Events>("ada");
  node.onSystem("ready", () => Promise.reject(new Error("in the promise")));
  node.onSystem("error", () => {
    throw new Error("once more");
  });
  await node.listen("memory://ada");
  await pass(world.clock, 1);
  assertEquals(tally(told), { ready: 1, error: 1 });
  const lines = log.of("error");
  assert(lines.some((line) => line.includes("in the promise")));
  assert(lines.some((line) => line.includes("once more")));
});

Deno.test("Node works with a codec that does not work in place", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, {
    codec: json(),
    meta: { role: "json" },
  });
  two.node.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
  const numbers = Array.from({ length: 10_000 }, (_, i) => i);
  assertEquals(
    await passFor(world.clock, one.node.request("bob", "sum", numbers)),
    49_995_000,
  );
  assertEquals(one.node.members.get("bob")?.meta, { role: "json" });
});

Deno.test("Node refuses a malformed name, cluster, address or metadata", () => {
  const world = virtualWorld();
  const bad: [Parameters<typeof world.parts>[1], string][] = [
    [{ id: "" }, "id"],
    [{ id: "a b" }, "id"],
    [{ id: "x".repeat(65) }, "id"],
    [{ cluster: "" }, "cluster"],
    [{ cluster: "a\nb" }, "cluster"],
    [{ cluster: "x".repeat(65) }, "cluster"],
    [{ cluster: "😀".repeat(33) }, "cluster"],
    [{ cluster: "a\u2028b" }, "cluster"],
    [{ advertise: ["tcp://0.0.0.0:1"] }, "advertise"],
    [{ advertise: ["nonsense"] }, "URL"],
    [{ advertise: Array.from({ length: 9 }, (_, i) => `tcp://h:${i}`) }, ""],
    [{ meta: () => {} }, "encode"],
    [{ limits: { maxMessage: 100 } }, "maxMessage"],
    [{ limits: { outbox: NaN } }, "outbox"],
    [{ limits: { running: 0 } }, "running"],
  ];
  const taken: string[] = [];
  for (const [parts, message] of bad) {
    try {
      world.add("ada", parts);
      taken.push(JSON.stringify(parts));
    } catch (error) {
      assert(
        error instanceof TypeError || error instanceof RangeError,
        String(error),
      );
      assert(error.message.includes(message), error.message);
    }
  }
  assertEquals(taken, []);
  assertThrows(
    () => world.add("ada", { meta: "x".repeat(600) }),
    RangeError,
    "at most 512",
  );
});

Deno.test("Node leaves its bundles to a router that sends them later", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, {
    router: (context) => {
      const router = peerRouter()(context);
      return {
        get nodes() {
          return router.nodes;
        },
        send(to, payload, lane) {
          context.clock.after(500, () => router.send(to, payload, lane));
          return 1;
        },
        receive: (from, packet, lane) => router.receive(from, packet, lane),
        link: (event) => router.link(event),
        member: (event) => router.member(event),
        close: () => router.close(),
      };
    },
  });
  const heard: number[] = [];
  two.node.on("say", (text) => {
    const number = Number(text.slice(0, 4));
    assertEquals(text, `${number}`.padStart(4, "0").repeat(1_000));
    heard.push(number);
  });
  await pass(world.clock, 1_000);
  const numbers = Array.from({ length: 1_000 }, (_, i) => i);
  // So much that memory is used again where it may be.
  for (const number of numbers) {
    one.node.emit("say", `${number}`.padStart(4, "0").repeat(1_000));
  }
  await pass(world.clock, 1_000);
  assertEquals(heard, numbers);
});

Deno.test("Node.emit() reaches a node once that restarts while its bundle is open", async () => {
  await using world = virtualWorld();
  let tell: MembershipContext["changed"] = () => {};
  const { one, two } = await pair<Events>(world, {
    membership: (context) => {
      if (context.self.id === "ada") tell = context.changed;
      return heartbeat()(context);
    },
  });
  const heard: number[] = [];
  two.node.on("count", (number) => {
    heard.push(number);
  });
  await pass(world.clock, 0);
  one.node.send("bob", "count", 1);
  // The one before it is given up; the link is to the one that runs.
  const member = { id: "bob", incarnation: START - 2 ** 30, addresses: [] };
  tell({ type: "leave", member, reason: "restarted" });
  one.node.send("bob", "count", 2);
  one.node.emit("count", 3);
  await pass(world.clock, 0);
  assertEquals(heard, [1, 2, 3]);
});
