import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Codec } from "@devts/protocol";
import type { Behaviour, Scope } from "./behaviour.ts";
import { contract } from "./contract.ts";
import { StreamError } from "./errors.ts";
import type { DeadLetter } from "./types.ts";
import { isSettled, pass, passFor } from "./_support_test.ts";
import { pair, virtualWorld } from "./_world_test.ts";

Deno.test("drain() ends what runs, sends what it owes and closes, in that order", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const order: string[] = [];
  two.node.on("work", async () => {
    order.push("begun");
    await new Promise<void>((resolve) => world.clock.after(3_000, resolve));
    await two.node.request("ada", "ask");
    order.push("ended");
    return "done";
  });
  one.node.on("ask", () => order.push("asked"));
  two.node.onSystem("close", () => order.push("closed"));
  one.node.onSystem("leave", ({ reason }) => order.push(reason));
  await pass(world.clock, 2_000);
  const reply = one.node.request("bob", "work");
  const receipt = one.node.deliver("work");
  await pass(world.clock, 100);
  const drained = two.node.drain();
  await pass(world.clock, 100);
  // It is not told of any more.
  const outcome = await one.node.emit("work");
  assertEquals(outcome.nodes, 0);
  assertEquals(await passFor(world.clock, reply), "done");
  assertEquals((await passFor(world.clock, receipt)).acknowledged.length, 1);
  assertEquals(await passFor(world.clock, drained), true);
  await pass(world.clock, 1_000);
  assertEquals(order, [
    "begun",
    "begun",
    "asked",
    "ended",
    "asked",
    "ended",
    "left",
    "closed",
  ]);
});

Deno.test("drain() of a member lets the rest of its group go on without a loss", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const cyd = world.add("cyd");
  await passFor(world.clock, cyd.node.listen("memory://cyd"));
  await passFor(world.clock, cyd.node.join("memory://ada"));
  const handled = new Map<unknown, number>();
  for (const { node } of [two, cyd]) {
    node.on("job", async (number) => {
      await new Promise<void>((resolve) => world.clock.after(50, resolve));
      handled.set(number, (handled.get(number) ?? 0) + 1);
    }, { group: "workers" });
  }
  await pass(world.clock, 2_000);
  let drained: Promise<boolean> | null = null;
  for (let number = 0; number < 100; number++) {
    one.node.emit("job", number);
    if (number === 50) drained = two.node.drain();
    if (number % 10 === 0) await pass(world.clock, 1);
  }
  assert(drained);
  assertEquals(await passFor(world.clock, drained), true);
  await pass(world.clock, 1_000);
  assertEquals(handled.size, 100);
  assert([...handled.values()].every((times) => times === 1));
});

Deno.test("drain() closes after its timeout, whatever runs, and is idempotent", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  two.node.on("work", () => new Promise(() => {}));
  one.node.send("bob", "work");
  await pass(world.clock, 100);
  const start = world.clock.now();
  const drained = two.node.drain({ timeout: 2_000 });
  assertEquals(two.node.drain(), drained);
  assertEquals(await isSettled(drained), false);
  assertEquals(await passFor(world.clock, drained), false);
  assert(world.clock.now() - start < 7_000);
  assertThrows(() => one.node.drain({ timeout: 0 }), RangeError);
  await assertRejects(() => two.node.send("ada", "x"), Error, "is closed");
});

Deno.test("drain() waits for nobody any more once the node is closed", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  world.cut("bob");
  const drained = one.node.drain();
  await pass(world.clock, 1);
  await passFor(world.clock, one.node.close());
  assertEquals(await isSettled(drained), true);
});

Deno.test("Node tells of dead letters, and why they are", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const letters: DeadLetter[] = [];
  for (const { node } of [one, two]) {
    node.onSystem("deadLetter", (letter) => letters.push(letter));
  }
  one.node.send("bob", "nobody", { a: 1 });
  await pass(world.clock, 100);
  assertEquals(letters.splice(0), [{
    reason: "unhandled",
    name: "nobody",
    from: "ada",
    to: "bob",
    data: { a: 1 },
    message: 'nobody handles "nobody", sent by node "ada"',
    skipped: 0,
  }]);
  await assertRejects(() => one.node.deliver("nowhere", [2]));
  assertEquals(letters.splice(0), [{
    reason: "undelivered",
    name: "nowhere",
    from: "ada",
    to: null,
    data: [2],
    message: 'Cannot deliver "nowhere": no node is known to handle it',
    skipped: 0,
  }]);
  for (let i = 0; i < 1_000; i++) one.node.send("bob", "nobody", i);
  await pass(world.clock, 100);
  assertEquals(letters.length, 100);
  await pass(world.clock, 1_000);
  one.node.send("bob", "nobody");
  await pass(world.clock, 100);
  assertEquals(letters.at(-1)?.skipped, 900);
});

Deno.test("Node tells of dead letters that it cannot read itself", async () => {
  await using world = virtualWorld();
  const codec: Codec = {
    name: "written",
    encode: () => Uint8Array.of(1),
    decode: () => {
      throw new Error("it only writes");
    },
  };
  const { one, two } = await pair(world, {
    contract: contract({ put: { codec }, nobody: { codec } }),
  });
  const letters: unknown[] = [];
  one.node.onSystem("deadLetter", ({ data }) => letters.push(data));
  two.node.on("put", () => {});
  await pass(world.clock, 2_000);
  world.cut("bob");
  const outcomes = Promise.allSettled([
    one.node.deliver("put", 1, { timeout: 1_000 }),
    one.node.deliver("nobody", 1),
  ]);
  const settled = await passFor(world.clock, outcomes);
  assertEquals(settled.map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals(letters, [undefined, undefined]);
});

Deno.test("Node lets those who hear of dead letters send them on", async () => {
  await using world = virtualWorld();
  const limits = { outbox: 100_000, highWaterMark: 50_000 };
  const { one, two } = await pair(world, { limits });
  const cyd = world.add("cyd");
  await passFor(world.clock, cyd.node.listen("memory://cyd"));
  await passFor(world.clock, cyd.node.join("memory://ada"));
  const [letters, sentOn]: [unknown[], unknown[]] = [[], []];
  two.node.on("work", () => {});
  cyd.node.on("lost", (data) => sentOn.push(data));
  await pass(world.clock, 2_000);
  one.node.onSystem("deadLetter", ({ name, reason }) => {
    letters.push([name, reason]);
    one.node.send("cyd", "lost", [name, reason]);
  });
  // More at a time than may be queued.
  for (let i = 0; i < 5; i++) {
    one.node.send("bob", "work", new Uint8Array(90_000));
  }
  for (let i = 0; i < 5; i++) {
    one.node.send("cyd", "other", i);
    one.node.send("bob", "work", i);
    await pass(world.clock, 1);
  }
  await pass(world.clock, 1_000);
  assert(letters.length > 3);
  assertEquals(sentOn, letters);
  assertEquals(one.told.filter(({ name }) => name === "error"), []);
});

Deno.test("Scope.drain() ends a behaviour without a loss, and its node goes on", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const done: unknown[] = [];
  /** Works on jobs, one of a group, and says that it has ended. */
  const worker: Behaviour<Scope> = (scope) => {
    scope.on("job", async (number) => {
      await new Promise<void>((resolve) => scope.clock.after(50, resolve));
      done.push(number);
    }, { group: "workers" });
    scope.onOpen("talk", () => {});
    scope.defer(() => done.push("ended"));
    return scope;
  };
  two.node.on("other", () => 7);
  const scope = two.node.use("work", worker);
  const mine = one.node.use("work", (own: Scope) => own);
  await pass(world.clock, 2_000);
  for (let number = 0; number < 10; number++) mine.emit("job", number);
  await pass(world.clock, 1);
  const drained = scope.drain();
  assertEquals(scope.drain(), drained);
  mine.emit("job", "on its way"); // before it is known that nobody takes it
  await pass(world.clock, 10);
  assertEquals((await mine.emit("job", "late")).nodes, 0);
  await assertRejects(
    () => passFor(world.clock, mine.open("bob", "talk")),
    StreamError,
    "does not handle",
  );
  assertEquals(await passFor(world.clock, drained), true);
  assertEquals(done, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "on its way", "ended"]);
  // The node goes on, and so does the next behaviour of that name.
  const reply = one.node.request("bob", "other");
  assertEquals(await passFor(world.clock, reply), 7);
  two.node.use("work", worker);
  await pass(world.clock, 100);
  assertEquals((await mine.emit("job", "again")).nodes, 1);
  await passFor(world.clock, mine.open("bob", "talk"));
  await pass(world.clock, 100);
  assertEquals(done.at(-1), "again");
});
