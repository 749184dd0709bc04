import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { DeliveryError } from "./errors.ts";
import { EventFeed } from "./feed.ts";
import { isSettled, pass, passFor, turn } from "./_support_test.ts";
import { pair, virtualWorld, type World } from "./_world_test.ts";

interface Events {
  tick(number: number): void;
  ask(number: number): number;
}

async function two(world: World) {
  const { one, two } = await pair<Events>(world);
  return { ada: one.node, bob: two.node, log: two.log };
}

Deno.test("events() gives what comes, in order, until the loop ends", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  const feed = bob.events("tick");
  for (const number of [1, 2, 3]) ada.send("bob", "tick", number);
  await pass(world.clock, 100);
  const got: unknown[] = [];
  for await (const received of feed) {
    const { data, from, name, headers, delivery } = received;
    got.push([data, from, name, headers.size, delivery]);
    if (received.data === 2) break;
  }
  assertEquals(got, [
    [1, "ada", "tick", 0, undefined],
    [2, "ada", "tick", 0, undefined],
  ]);
  assertEquals(await feed.next(), { done: true, value: undefined });
  ada.send("bob", "tick", 4);
  await pass(world.clock, 100);
  assertEquals(bob.counters.unhandled, 1);
});

Deno.test("events() gives to those who ask first what comes first", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  using feed = bob.events("tick");
  const both = Promise.all([feed.next(), feed.next()]);
  ada.send("bob", "tick", 1);
  ada.send("bob", "tick", 2);
  const [first, second] = await passFor(world.clock, both);
  assertEquals([first.value?.data, second.value?.data], [1, 2]);
});

for (
  const [overflow, kept] of [
    ["drop-oldest", [3, 4]],
    ["drop-newest", [1, 2]],
  ] as const
) {
  Deno.test(`events() with overflow "${overflow}" keeps its limit, and counts`, async () => {
    await using world = virtualWorld();
    const { ada, bob, log } = await two(world);
    using feed = bob.events("tick", { limit: 2, overflow });
    for (const number of [1, 2, 3, 4]) ada.send("bob", "tick", number);
    await pass(world.clock, 100);
    const got = [await feed.next(), await feed.next()];
    assertEquals(got.map(({ value }) => value?.data), [...kept]);
    assertEquals([feed.dropped, bob.counters.overflowed], [2, 2]);
    assertEquals(
      log.of("warn").filter((line) => line.includes("as many wait")).length,
      2,
    );
  });
}

Deno.test('events() with overflow "fail" gives what it kept, and then fails', async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  const feed = bob.events("tick", { limit: 1, overflow: "fail" });
  ada.send("bob", "tick", 1);
  ada.send("bob", "tick", 2);
  await pass(world.clock, 100);
  assertEquals((await feed.next()).value?.data, 1);
  await assertRejects(() => feed.next(), RangeError, "More than 1 events");
  assertEquals((await feed.next()).done, true);
});

Deno.test('events() with overflow "fail" that is left tells who delivered', async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  const feed = bob.events("tick", { limit: 1, overflow: "fail" });
  await pass(world.clock, 2_000);
  const outcomes = Promise.allSettled([
    ada.deliver("tick", 1),
    ada.deliver("tick", 2),
  ]);
  await pass(world.clock, 100);
  await feed.return();
  const settled = await passFor(world.clock, outcomes);
  assertEquals(settled.map(({ status }) => status), ["rejected", "rejected"]);
});

Deno.test("events() ends with its signal, and with the node", async () => {
  await using world = virtualWorld();
  const { bob } = await two(world);
  const abort = new AbortController();
  const one = bob.events("tick", { signal: abort.signal });
  const other = bob.events("tick");
  const [asked, waiting] = [one.next(), other.next()];
  abort.abort();
  assertEquals((await asked).done, true);
  assertEquals(await isSettled(waiting), false);
  await passFor(world.clock, bob.close());
  assertEquals((await waiting).done, true);
  assertThrows(() => bob.events("tick", { limit: 0 }), RangeError);
});

Deno.test("events() keeps more deliveries than handlers may run, and the answers come", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, { limits: { running: 10 } });
  const feed = two.node.events("tick");
  one.node.on("ask", (number) => number);
  await pass(world.clock, 2_000);
  const outcomes = Promise.all(
    // What answers come behind: more than one message.
    Array.from({ length: 300 }, (_, i) => one.node.deliver("tick", i)),
  );
  const answers: unknown[] = [];
  const taken = (async () => {
    for await (const { data, from } of feed) {
      answers.push(await two.node.request(from, "ask", data));
      if (data === 299) break;
    }
  })();
  await passFor(world.clock, Promise.all([outcomes, taken]), 2_000);
  assertEquals(answers, Array.from({ length: 300 }, (_, i) => i));
});

Deno.test("events() that another handler of the same event ends does not hold it back", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  bob.on("tick", () => void feed.return());
  const feed = bob.events("tick");
  await pass(world.clock, 2_000);
  const outcome = ada.deliver("tick", 1, { timeout: 1_000 });
  const { acknowledged } = await passFor(world.clock, outcome);
  assertEquals(acknowledged, [{ node: "bob", group: null }]);
  assertEquals((await feed.next()).done, true);
});

Deno.test("EventFeed that ends before it begins leaves nothing at its signals", () => {
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  type Args = Parameters<AbortSignal["addEventListener"]>;
  signal.addEventListener = (...[, listener]: Args): void => {
    listeners.add(listener);
  };
  signal.removeEventListener = (...[, listener]: Args): void => {
    listeners.delete(listener);
  };
  new EventFeed({
    name: "tick",
    limit: undefined,
    overflow: undefined,
    signals: [AbortSignal.abort(), signal],
    on: () => ({ [Symbol.dispose]: () => {} }),
    dropped: () => {},
  });
  assertEquals(listeners.size, 0);
});

Deno.test("events() acknowledges a delivery once the loop goes on", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  using feed = bob.events("tick");
  await pass(world.clock, 2_000);
  const outcome = ada.deliver("tick", 1);
  const { value } = await passFor(world.clock, feed.next());
  assertMatch(value?.delivery ?? "", /^ada\//);
  await pass(world.clock, 5_000);
  assertEquals(await isSettled(outcome), false);
  feed.next();
  const { acknowledged } = await passFor(world.clock, outcome);
  assertEquals(acknowledged, [{ node: "bob", group: null }]);
});

Deno.test("events() acknowledges all that several have taken at a time", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  using feed = bob.events("tick");
  await pass(world.clock, 2_000);
  const taken = Promise.all([feed.next(), feed.next()]);
  const outcomes = Promise.all([
    ada.deliver("tick", 1),
    ada.deliver("tick", 2),
  ]);
  await passFor(world.clock, taken);
  feed.next();
  assertEquals((await passFor(world.clock, outcomes)).length, 2);
});

Deno.test("events() that drops a delivery says so to who sent it", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  const feed = bob.events("tick", { limit: 1 });
  await pass(world.clock, 2_000);
  const [first, second] = [ada.deliver("tick", 1), ada.deliver("tick", 2)];
  const { outcome } = await assertRejects(
    () => passFor(world.clock, first),
    DeliveryError,
  );
  assertEquals(outcome.missing[0]?.reason, "handler");
  feed[Symbol.dispose]();
  await assertRejects(
    () => passFor(world.clock, second),
    DeliveryError,
    "nobody takes it any more",
  );
});

Deno.test("events() of a behaviour end with it", async () => {
  await using world = virtualWorld();
  const { ada, bob } = await two(world);
  const behaviour = bob.use("clock", (scope) => ({
    feed: scope.events("tick"),
    close: () => scope.close(),
  }));
  await pass(world.clock, 2_000);
  const sender = ada.use("clock", (scope) => scope);
  sender.emit("tick", 5);
  const first = await passFor(world.clock, behaviour.feed.next());
  assertEquals(first.value?.data, 5);
  const rest = behaviour.feed.next();
  await behaviour.close();
  await turn();
  assertEquals((await rest).done, true);
});
