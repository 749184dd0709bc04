import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RequestError } from "./errors.ts";
import type { Middleware } from "./middleware.ts";
import { pair, virtualWorld } from "./_world_test.ts";
import { pass, passFor } from "./_support_test.ts";

/** Notes when it goes in and out. */
function noted(name: string, notes: string[]): Middleware {
  return {
    handle({ name: event }, next) {
      notes.push(`${name} > ${event}`);
      const result = next();
      notes.push(`${name} < ${event}`);
      return result;
    },
    send({ kind, name: event }, next) {
      notes.push(`${name} > ${kind} ${event}`);
      const result = next();
      notes.push(`${name} < ${kind} ${event}`);
      return result;
    },
  };
}

Deno.test("the first middleware is outermost, and all of it synchronous", async () => {
  await using world = virtualWorld();
  const notes: string[] = [];
  const middleware = [noted("a", notes), noted("b", notes)];
  const { one, two } = await pair(world, { middleware });
  two.node.on("say", (data) => notes.push(`handler ${data}`));
  await pass(world.clock, 1_000);
  const sent = one.node.emit("say", 1);
  // Before anything is awaited.
  assertEquals(notes.splice(0), [
    "a > emit say",
    "b > emit say",
    "b < emit say",
    "a < emit say",
  ]);
  assertEquals((await sent).nodes, 1);
  await pass(world.clock, 100);
  assertEquals(notes.splice(0), [
    "a > say",
    "b > say",
    "handler 1",
    "b < say",
    "a < say",
  ]);
});

Deno.test("middleware replaces data, replies and outcomes", async () => {
  await using world = virtualWorld();
  const doubling: Middleware = {
    handle(event, next) {
      event.data = Number(event.data) * 2;
      return Number(next()) + 1;
    },
    async send(event, next) {
      event.data = Number(event.data) + 10;
      return await next();
    },
  };
  const { one, two } = await pair(world, { middleware: [doubling] });
  two.node.on("twice", (data) => data);
  const reply = one.node.request("bob", "twice", 1);
  assertEquals(await passFor(world.clock, reply), 23);
});

Deno.test("headers reach handlers, with groups and without", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world, {
    middleware: [{
      send(event, next) {
        if (event.name === "marked") event.headers.set("who", "ädá");
        return next();
      },
    }],
  });
  const got: unknown[] = [];
  two.node.on("marked", (_, { headers }) => got.push([...headers]));
  two.node.on("marked", (_, { headers }) => got.push(headers.get("who")), {
    group: "g",
  });
  two.node.on("bare", (_, { headers }) => got.push(headers.size));
  await pass(world.clock, 1_000);
  await one.node.emit("marked", 1);
  await one.node.send("bob", "bare", 1);
  await pass(world.clock, 100);
  assertEquals(got, [[["who", "ädá"]], "ädá", 0]);
});

Deno.test("headers have bounds", async () => {
  await using world = virtualWorld();
  let headers: [string, string][] = [];
  const { one } = await pair(world, {
    middleware: [{
      send(event, next) {
        for (const [name, value] of headers) event.headers.set(name, value);
        return next();
      },
    }],
  });
  headers = Array.from({ length: 65 }, (_, i) => [`h${i}`, ""]);
  assertThrows(() => one.node.emit("x"), RangeError, "at most 64 travel");
  headers = [["h", "x".repeat(5_000)]];
  assertThrows(() => one.node.emit("x"), RangeError, 'Cannot emit "x"');
  headers = [["", "x"]];
  assertThrows(() => one.node.emit("x"), RangeError);
  const number: unknown = 7;
  headers = [["h", number as string]];
  assertThrows(() => one.node.emit("x"), TypeError, "is no text");
});

Deno.test("what middleware throws is what the handler or the call threw", async () => {
  await using world = virtualWorld();
  const refusing: Middleware = {
    handle({ name }, next) {
      if (name === "secret") throw new Error("not for you");
      return next();
    },
    send({ name }, next) {
      if (name === "typo") throw new TypeError("no such event");
      if (name === "late") return Promise.reject(new Error("too late"));
      return next();
    },
  };
  const { one, two } = await pair(world, { middleware: [refusing] });
  let handled = 0;
  two.node.on("secret", () => handled++);
  const error = await assertRejects(
    () => passFor(world.clock, one.node.request("bob", "secret")),
    RequestError,
    "not for you",
  );
  assertEquals(error.reason, "handler");
  assertEquals([handled, two.node.counters.handlerErrors], [0, 1]);
  assertThrows(() => one.node.emit("typo"), TypeError, "no such event");
  // Nobody awaits it: counted, and harmless.
  one.node.emit("late");
  await pass(world.clock, 10);
  assertEquals(one.node.counters.rejections, 2);
  // Middleware that hands the promise on adds no rejection of its own.
  one.node.send("nobody", "x");
  await pass(world.clock, 10);
  assertEquals(one.node.counters.rejections, 3);
});

Deno.test("handlers of streams have middleware around them, those of the node none", async () => {
  await using world = virtualWorld();
  const seen: string[] = [];
  const { one, two } = await pair(world, {
    middleware: [{
      handle({ kind, name }, next) {
        seen.push(`${kind} ${name}`);
        return next();
      },
    }],
  });
  two.node.onOpen("talk", (stream) => stream.close());
  two.node.use("cart", (scope) => scope.on("set", () => {}));
  two.node.use("devts.own", (scope) => scope.on("set", () => {}));
  const stream = await passFor(world.clock, one.node.open("bob", "talk"));
  stream.close();
  await one.node.send("bob", "cart/set");
  await one.node.send("bob", "devts.own/set");
  await pass(world.clock, 1_000);
  assertEquals(seen, ["stream talk", "event cart/set"]);
  assertEquals(two.node.counters.unhandled, 0);
});
