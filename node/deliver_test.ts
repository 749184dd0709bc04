import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { hopRouter } from "@devts/routing/hop";
import { peerRouter } from "@devts/routing/peer";
import { NodeNotFoundError } from "@devts/routing";
import { DeliveryError } from "./errors.ts";
import type { Node } from "./node.ts";
import type { AnyEvents, DeliverOptions, DeliveryOutcome } from "./types.ts";
import { pair, type Tested, virtualWorld, type World } from "./_world_test.ts";
import { pass, passFor } from "./_support_test.ts";

/** Nodes that listen, and all know each other. */
async function cluster(
  world: World,
  ids: readonly string[],
): Promise<Tested<AnyEvents>[]> {
  const nodes = ids.map((id) => world.add(id));
  for (const [at, { node }] of nodes.entries()) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
    if (at > 0) await passFor(world.clock, node.join(`memory://${ids[0]}`));
  }
  await pass(world.clock, 2_000);
  return nodes;
}

/** How a delivery failed. */
async function failure(
  world: World,
  node: Node<AnyEvents>,
  name: string,
  options: DeliverOptions = {},
): Promise<DeliveryError> {
  return await assertRejects(
    () => passFor(world.clock, node.deliver(name, 1, options)),
    DeliveryError,
  );
}

Deno.test("deliver() resolves once every node that handles it has", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd, dan] = await cluster(world, [
    "ada",
    "bob",
    "cyd",
    "dan",
  ]);
  assert(ada && bob && cyd && dan);
  const got: unknown[] = [];
  const slow = Promise.withResolvers<void>();
  bob.node.on("set", (data, { from }) => {
    got.push([from, data]);
  });
  cyd.node.on("set", () => slow.promise);
  dan.node.on("other", () => got.push("other"));
  await pass(world.clock, 2_000);
  let done = false;
  const outcome = ada.node.deliver("set", { a: 1 });
  outcome.then(() => {
    done = true;
  });
  await pass(world.clock, 20_000);
  assertEquals(done, false);
  slow.resolve();
  assertEquals(await passFor(world.clock, outcome), {
    acknowledged: [
      { node: "bob", group: null },
      { node: "cyd", group: null },
    ],
    missing: [],
  });
  assertEquals(got, [["ada", { a: 1 }]]);
  const { delivered, deliveriesFailed } = ada.node.counters;
  assertEquals([delivered, deliveriesFailed], [1, 0]);
});

Deno.test("deliver() is acknowledged by a node that handles it and then closes at once", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const handled: unknown[] = [];
  two.node.on("set", (data) => handled.push(data));
  two.node.on("stop", () => void two.node.close());
  await pass(world.clock, 2_000);
  const outcome = one.node.deliver("set", 1);
  one.node.send("bob", "stop"); // in the same bundle
  const { acknowledged } = await passFor(world.clock, outcome);
  assertEquals([acknowledged, handled], [[{ node: "bob", group: null }], [1]]);
  await passFor(world.clock, two.node.closed);
});

Deno.test("deliver() says who does not have it and why", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  bob.node.on("set", () => {
    throw new Error("disk full");
  });
  cyd.node.on("set", () => {});
  await pass(world.clock, 2_000);
  const { message, outcome } = await failure(world, ada.node, "set");
  assertEquals(outcome.acknowledged, [{ node: "cyd", group: null }]);
  assertEquals(outcome.missing, [{
    node: "bob",
    group: null,
    reason: "handler",
    message: 'node "bob" failed to handle it: disk full',
  }]);
  assertEquals(
    message,
    'Delivery of "set" was acknowledged by 1, and 2 were to: node "bob" failed to handle it: disk full',
  );
  assertEquals(bob.node.counters.handlerErrors, 1);
  const some = await passFor(
    world.clock,
    ada.node.deliver("set", 1, { acks: 1 }),
  );
  assertEquals(some.acknowledged, [{ node: "cyd", group: null }]);
});

Deno.test("deliver() fails at once where nobody handles the name", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const { message } = await failure(world, one.node, "nothing");
  assertEquals(
    message,
    'Cannot deliver "nothing": no node is known to handle it',
  );
  const { outcome } = await failure(world, one.node, "x", { to: "bob" });
  assertEquals(outcome.missing[0]?.reason, "unhandled");
  assertEquals(two.node.counters.unhandled, 1);
  await assertRejects(
    () => passFor(world.clock, one.node.deliver("x", 1, { to: "eve" })),
    NodeNotFoundError,
  );
});

Deno.test("deliver() refuses options out of their range", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  for (
    const options of [
      { timeout: 0 },
      { timeout: NaN },
      { patience: 2 ** 31 },
      { acks: 0 },
      { acks: 1.5 },
    ]
  ) {
    assertThrows(() => one.node.deliver("x", 1, options), RangeError);
  }
  assertThrows(() => one.node.deliver("x", () => {}), TypeError);
  assertThrows(
    () => one.node.deliver("x", new Uint8Array(2_000_000)),
    RangeError,
  );
});

Deno.test("deliver() is tried until a node that was cut off is back", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  let handled = 0;
  two.node.on("set", () => handled++);
  await pass(world.clock, 2_000);
  world.cut("bob");
  const outcome = one.node.deliver("set", 1);
  await pass(world.clock, 3_000);
  assertEquals(handled, 0);
  world.mend("bob");
  assertEquals(await passFor(world.clock, outcome), {
    acknowledged: [{ node: "bob", group: null }],
    missing: [],
  });
  assertEquals(handled, 1);
  assert(one.node.counters.redelivered > 0);
});

Deno.test("deliver() is handled once though its receipts are lost", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  let handled = 0;
  const gate = Promise.withResolvers<void>();
  two.node.on("set", () => {
    handled++;
    return gate.promise;
  });
  await pass(world.clock, 2_000);
  const outcome = one.node.deliver("set", 1);
  await pass(world.clock, 100);
  world.cut("bob");
  gate.resolve();
  await pass(world.clock, 3_000);
  world.mend("bob");
  await passFor(world.clock, outcome);
  assertEquals(handled, 1);
  assert(two.node.counters.duplicates > 0);
});

Deno.test("deliver() gives up when its time is over, and says so", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  two.node.on("set", () => new Promise(() => {}));
  await pass(world.clock, 2_000);
  const start = world.clock.now();
  const { outcome } = await failure(world, one.node, "set", { timeout: 5_000 });
  assertEquals(outcome.missing[0]?.reason, "timeout");
  assertEquals(world.clock.now() - start, 5_000);
});

Deno.test("deliver() stops when its signal aborts", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  two.node.on("set", () => new Promise(() => {}));
  await pass(world.clock, 2_000);
  const abort = new AbortController();
  const { signal } = abort;
  const outcome = one.node.deliver("set", 1, { signal });
  abort.abort(new Error("enough"));
  await assertRejects(() => outcome, Error, "enough");
  await assertRejects(
    () => one.node.deliver("set", 1, { signal }),
    Error,
    "enough",
  );
});

Deno.test("deliver() asks one member of each group, and another one when that fails", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  const handled: string[] = [];
  let broken = true;
  for (const { node } of [bob, cyd]) {
    node.on("job", () => {
      handled.push(node.id);
      if (broken && node === bob.node) throw new Error("no");
    }, { group: "workers" });
  }
  await pass(world.clock, 2_000);
  for (let i = 0; i < 4; i++) {
    const { acknowledged } = await passFor(
      world.clock,
      ada.node.deliver("job", i),
    );
    assertEquals(acknowledged, [{ node: "cyd", group: "workers" }]);
  }
  broken = false;
  handled.length = 0;
  for (let i = 0; i < 4; i++) {
    await passFor(world.clock, ada.node.deliver("job", i));
  }
  assertEquals(handled.sort(), ["bob", "bob", "cyd", "cyd"]);
});

Deno.test("deliver() to a group whose members all fail says why", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  for (const { node } of [bob, cyd]) {
    node.on("job", () => Promise.reject(new Error("no")), { group: "workers" });
  }
  await pass(world.clock, 2_000);
  const { outcome: { missing } } = await failure(world, ada.node, "job");
  assertEquals(missing.map(({ group, reason }) => [group, reason]), [
    ["workers", "handler"],
  ]);
});

Deno.test("deliver() gives the work of a member that dies to another one", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  const begun: string[] = [];
  for (const { node } of [bob, cyd]) {
    node.on("job", () => {
      begun.push(node.id);
      return begun.length === 1 ? new Promise(() => {}) : undefined;
    }, { group: "workers" });
  }
  await pass(world.clock, 2_000);
  const outcome = ada.node.deliver("job", 1, { patience: 29_000 });
  await pass(world.clock, 100);
  const [first = ""] = begun;
  world.cut(first);
  const { acknowledged } = await passFor(world.clock, outcome);
  assertEquals(acknowledged[0]?.node, first === "bob" ? "cyd" : "bob");
  assertEquals(begun.length, 2);
});

Deno.test("deliver() to a group loses patience with a member that does not end", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  const begun: string[] = [];
  const ids = new Set<string | undefined>();
  for (const { node } of [bob, cyd]) {
    node.on("job", (_, { delivery }) => {
      begun.push(node.id);
      ids.add(delivery);
      return begun.length === 1 ? new Promise(() => {}) : undefined;
    }, { group: "workers" });
  }
  await pass(world.clock, 2_000);
  const start = world.clock.now();
  await passFor(world.clock, ada.node.deliver("job", 1, { patience: 2_000 }));
  assertEquals(new Set(begun).size, 2);
  assertEquals(ids.size, 1);
  assert(world.clock.now() - start <= 2_200);
});

Deno.test("deliver() reaches this node where it is in a group, or named", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  let handled = 0;
  one.node.on("job", () => handled++, { group: "workers" });
  one.node.on("plain", () => handled++);
  await pass(world.clock, 1_000);
  const { acknowledged } = await passFor(world.clock, one.node.deliver("job"));
  assertEquals(acknowledged, [{ node: "ada", group: "workers" }]);
  await passFor(world.clock, one.node.deliver("plain", 1, { to: "ada" }));
  assertEquals(handled, 2);
});

Deno.test("deliver() works over relays", async () => {
  await using world = virtualWorld();
  const overrides = { router: hopRouter() };
  const [ada, bob, cyd] = ["ada", "bob", "cyd"].map((id) =>
    world.add(id, overrides)
  );
  assert(ada && bob && cyd);
  for (const { node } of [ada, bob, cyd]) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
  }
  await passFor(world.clock, ada.node.join("memory://bob"));
  await passFor(world.clock, cyd.node.join("memory://bob"));
  let handled = 0;
  cyd.node.on("set", () => handled++);
  await pass(world.clock, 5_000);
  const { acknowledged } = await passFor(
    world.clock,
    ada.node.deliver("set", 1),
  );
  assertEquals(acknowledged, [{ node: "cyd", group: null }]);
  assertEquals(handled, 1);
});

for (
  const [name, router] of [["peer", peerRouter], ["hop", hopRouter]] as const
) {
  Deno.test(`deliver() is not for a node that has left, though there is a way to it still: ${name}Router()`, async () => {
    await using world = virtualWorld();
    const parts = { router: router() };
    const { one, two } = await pair(world, parts);
    const cyd = world.add("cyd", parts);
    for (const { node } of [two, cyd]) node.on("set", () => {});
    await passFor(world.clock, cyd.node.join("memory://ada"));
    await pass(world.clock, 2_000);
    const outcomes: Promise<DeliveryOutcome>[] = [];
    const named: Promise<DeliveryOutcome>[] = [];
    one.node.onSystem("leave", () => {
      // What bob handles is not known any more, and its link is still there.
      outcomes.push(one.node.deliver("set", 1));
      named.push(one.node.deliver("set", 1, { to: "bob" }));
      queueMicrotask(() => outcomes.push(one.node.deliver("set", 2)));
    });
    const { clock } = world;
    const start = clock.now();
    await passFor(clock, two.node.close());
    outcomes.push(one.node.deliver("set", 3));
    for (const outcome of await passFor(clock, Promise.all(outcomes))) {
      const acknowledged = [{ node: "cyd", group: null }];
      assertEquals(outcome, { acknowledged, missing: [] });
    }
    const [only] = named;
    assert(only);
    const error = await assertRejects(() => passFor(clock, only));
    assert(error instanceof DeliveryError);
    assertEquals(error.outcome.missing[0]?.reason, "left");
    assert(clock.now() - start < 1_000, `${clock.now() - start}`);
    // Who is back is a recipient like any other.
    const back = world.add("bob", {
      ...parts,
      incarnations: {
        ...world.parts("bob").incarnations,
        first: two.node.incarnation + 1_000,
      },
    });
    back.node.on("set", () => {});
    await passFor(clock, back.node.join("memory://ada"));
    await pass(clock, 2_000);
    const last = await passFor(clock, one.node.deliver("set", 4));
    assertEquals(last.acknowledged.map(({ node }) => node).sort(), [
      "bob",
      "cyd",
    ]);
  });
}

Deno.test("deliver() sends no more than a window at a time to a node", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  let handled = 0;
  two.node.on("set", () => handled++);
  await pass(world.clock, 2_000);
  const outcomes = Array.from(
    { length: 10_000 },
    (_, i) => one.node.deliver("set", i),
  );
  await passFor(world.clock, Promise.all(outcomes));
  assertEquals(handled, 10_000);
  assertEquals(one.node.counters.redelivered, 0);
});

/** More deliveries than a window holds. */
const MANY = 5_000;
const STUCK = (): Promise<void> => new Promise(() => {});

/** Two nodes, of which the second one never ends what the first one delivers. */
async function stuckPair(world: ReturnType<typeof virtualWorld>) {
  const nodes = await pair(world, { limits: { running: 2 * MANY } });
  nodes.two.node.on("set", STUCK);
  await pass(world.clock, 2_000);
  return nodes;
}

Deno.test("deliver() fails what waits for room, too, when its node leaves", async () => {
  await using world = virtualWorld();
  const { one, two } = await stuckPair(world);
  const outcomes = Promise.allSettled(
    Array.from({ length: MANY }, (_, i) => one.node.deliver("set", i)),
  );
  await pass(world.clock, 100);
  const start = world.clock.now();
  await passFor(world.clock, two.node.close());
  const reasons = new Set<unknown>();
  for (const settled of await passFor(world.clock, outcomes)) {
    assert(settled.status === "rejected");
    const { outcome: { missing } } = settled.reason;
    reasons.add(missing[0]?.reason);
  }
  assertEquals([...reasons], ["left"]);
  assert(world.clock.now() - start < 5_000);
});

Deno.test("deliver() gives what waits for room at a member that leaves to another one at once", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await cluster(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  bob.node.on("job", () => {}, { group: "workers" });
  await pass(world.clock, 2_000);
  world.cut("bob");
  const outcomes = Promise.all(
    Array.from({ length: MANY }, (_, i) => ada.node.deliver("job", i)),
  );
  let handled = 0;
  cyd.node.on("job", () => handled++, { group: "workers" });
  const all = await passFor(world.clock, outcomes);
  assertEquals(
    new Set(all.map(({ acknowledged }) => acknowledged[0]?.node)),
    new Set(["cyd"]),
  );
  assertEquals(handled, MANY);
});

Deno.test("deliver() sends what waits for room to the node that comes back", async () => {
  await using world = virtualWorld();
  const { one, two } = await stuckPair(world);
  const outcomes = Promise.all(
    Array.from({ length: MANY }, (_, i) => one.node.deliver("set", i)),
  );
  await pass(world.clock, 100);
  world.cut("bob");
  await pass(world.clock, 1_000);
  const again = world.add("bob", {
    incarnations: {
      ...world.parts("bob").incarnations,
      first: two.node.incarnation + 1_000,
    },
  });
  const handled = new Set<unknown>();
  again.node.on("set", (data) => handled.add(data));
  await passFor(world.clock, again.node.listen("memory://bob-2"));
  await passFor(world.clock, again.node.join("memory://ada"));
  await passFor(world.clock, outcomes);
  assertEquals(handled.size, MANY);
});

Deno.test("deliver() refuses more than limits.deliveries", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world, { limits: { deliveries: 2 } });
  two.node.on("set", () => new Promise(() => {}));
  await pass(world.clock, 2_000);
  one.node.deliver("set");
  one.node.deliver("set");
  await assertRejects(
    () => one.node.deliver("set"),
    DeliveryError,
    'Cannot deliver "set": 2 deliveries of 0 bytes wait already',
  );
  assertEquals(one.node.counters.limits.deliveries, 1);
});

Deno.test("deliver() keeps no more data than limits.outboxTotal until it is settled", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world, { limits: { outboxTotal: 1_000 } });
  let end = (): void => {};
  two.node.on("set", () => new Promise<void>((resolve) => end = resolve));
  await pass(world.clock, 2_000);
  const first = one.node.deliver("set", new Uint8Array(900));
  await assertRejects(
    () => one.node.deliver("set", new Uint8Array(900)),
    DeliveryError,
    "deliveries of 90",
  );
  await pass(world.clock, 100);
  end();
  await passFor(world.clock, first);
  one.node.deliver("set", new Uint8Array(900));
  assertEquals(one.node.counters.limits.deliveries, 1);
});

Deno.test("deliver() comes again to a node that has restarted, and is handled there", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const handled: string[] = [];
  two.node.on("set", () => {
    handled.push("before");
    return new Promise(() => {});
  });
  await pass(world.clock, 2_000);
  const outcome = one.node.deliver("set", 1, { acks: "all" });
  await pass(world.clock, 100);
  world.cut("bob");
  await pass(world.clock, 1_000);
  const again = world.add("bob", {
    incarnations: {
      ...world.parts("bob").incarnations,
      first: two.node.incarnation + 1_000,
    },
  });
  again.node.on("set", () => handled.push("after"));
  await passFor(world.clock, again.node.listen("memory://bob-2"));
  await passFor(world.clock, again.node.join("memory://ada"));
  assertEquals((await passFor(world.clock, outcome)).acknowledged, [
    { node: "bob", group: null },
  ]);
  assertEquals(handled, ["before", "after"]);
});
