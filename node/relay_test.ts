import { assert, assertEquals, assertRejects } from "@std/assert";
import type { NodeId, Router } from "@devts/routing";
import { hopRouter } from "@devts/routing/hop";
import { wrapConnection, wrapTransport } from "@devts/transport";
import { withLinks } from "@devts/routing/testing";
import { ROUTERS, row } from "./_row_test.ts";
import { RequestError } from "./errors.ts";
import { isSettled, pass, passFor, passUntil } from "./_support_test.ts";
import { tally, virtualWorld } from "./_world_test.ts";

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`Node over ${name}() reaches whom it cannot dial`, async () => {
    await using world = virtualWorld();
    const [ada, bob, cyd] = await row(world, make());
    assertEquals([...ada.node.members.keys()].sort(), ["bob", "cyd"]);
    assertEquals([...cyd.node.members.keys()].sort(), ["ada", "bob"]);
    const heard: string[] = [];
    for (const { node } of [bob, cyd]) {
      node.on("say", (text, { from }) => heard.push(`${from}: ${text}`) && 0);
    }
    cyd.node.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
    await pass(world.clock, 10);

    assertEquals(await ada.node.emit("say", "all"), { nodes: 2, dropped: 0 });
    assertEquals(await ada.node.send("cyd", "say", "one"), {
      nodes: 1,
      dropped: 0,
    });
    const sum = ada.node.request("cyd", "add", [1, 2, 3]);
    assertEquals(await passFor(world.clock, sum), 6);
    assertEquals(heard, ["ada: all", "ada: all", "ada: one"]);
    const unhandled = passFor(world.clock, ada.node.request("cyd", "never"));
    const error = await assertRejects(() => unhandled, RequestError);
    assertEquals(error.reason, "unhandled");
  });

  Deno.test(`Node over ${name}() keeps the order of a sender`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    const heard: string[] = [];
    cyd.node.on("say", (text) => heard.push(text) && 0);
    await pass(world.clock, 10);
    const expected: string[] = [];
    for (let i = 0; i < 3000; i++) {
      const text = `${i}`;
      expected.push(text);
      if (i % 7 === 0) await ada.node.send("cyd", "say", text);
      else await ada.node.emit("say", text);
      if (i % 100 === 0) await pass(world.clock, 1);
    }
    await pass(world.clock, 1000);
    assertEquals(heard, expected);
    assertEquals(cyd.node.counters.missed, 0);
  });

  Deno.test(`Node over ${name}() fails a request to a node that vanishes`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    cyd.node.on("add", () => 0);
    world.cut("cyd");
    const start = world.clock.now();
    const requests = Array.from(
      { length: 100 },
      () => ada.node.request("cyd", "add", [1], { timeout: 60_000 }),
    );
    for (const request of requests) {
      const error = await assertRejects(
        () => passFor(world.clock, request),
        RequestError,
        "cyd",
      );
      assertEquals(error.reason, "lost");
    }
    assert(world.clock.now() - start <= 6000, `${world.clock.now() - start}`);
  });

  Deno.test(`Node over ${name}() fails a request to a node that closes and starts again`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    cyd.node.on("never", () => new Promise(() => {}));
    await pass(world.clock, 1_000);
    const timeout = 60_000;
    const request = ada.node.request("cyd", "never", undefined, { timeout });
    await pass(world.clock, 100);
    const own = world.parts("cyd").transport;
    const again = world.add("cyd", {
      router: make(),
      transport: wrapTransport(own, {
        connect: (address, options) =>
          address === "memory://bob"
            ? own.connect(address, options)
            : Promise.reject(new Error("no route to host")),
      }),
      incarnations: {
        ...world.parts("cyd").incarnations,
        first: cyd.node.incarnation + 1_000_000,
      },
    });
    const start = world.clock.now();
    const closing = cyd.node.close();
    await passFor(world.clock, again.node.join("memory://bob"));
    await passFor(world.clock, closing);
    const error = await assertRejects(
      () => passFor(world.clock, request),
      RequestError,
      "it is gone",
    );
    assertEquals(error.reason, "lost");
    assert(world.clock.now() - start < 3_000);
  });

  Deno.test(`Node over ${name}() knows no way to a node whose relay is gone`, async () => {
    await using world = virtualWorld();
    const [ada, bob] = await row(world, make());
    await passFor(world.clock, bob.node.close());
    await passUntil(world.clock, () => ada.node.members.size === 0);
    const error = await assertRejects(
      () => ada.node.request("cyd", "add", [1]),
      Error,
      "cyd",
    );
    assertEquals(error.name, "NodeNotFoundError");
  });
}

Deno.test("Node tells a gap when packets of a distant node are lost", async () => {
  await using world = virtualWorld();
  let losing = false;
  const [ada, , cyd] = await row(world, (context) => {
    const { links } = context;
    return hopRouter()(withLinks(context, {
      send: (id, packet, lane) =>
        losing && id === "cyd" && lane === "data"
          ? true // and it never arrives
          : links.send(id, packet, lane),
    }));
  });
  const heard: string[] = [];
  cyd.node.on("say", (text) => heard.push(text) && 0);
  await pass(world.clock, 10);
  for (const text of ["a", "b", "c", "d"]) {
    losing = text === "b" || text === "c";
    await ada.node.emit("say", text);
    await pass(world.clock, 10);
  }
  assertEquals(heard, ["a"]);
  await pass(world.clock, 2000);
  assertEquals([heard, cyd.node.counters.missed], [["a", "d"], 2]);
  const gaps = cyd.told.filter(({ name }) => name === "gap");
  assertEquals(gaps.map(({ event }) => event), [{ from: "ada", missed: 2 }]);
});

Deno.test("Node keeps the link by which a malformed event of another node came", async () => {
  await using world = virtualWorld();
  const routers = new Map<NodeId, Router>();
  const [ada, , cyd] = await row(world, (context) => {
    const router = hopRouter()(context);
    routers.set(context.self.id, router);
    return router;
  });
  cyd.node.on("add", () => 7);
  routers.get("ada")?.send(["cyd"], new Uint8Array([1, 0, 99]));
  await pass(world.clock, 100);
  assertEquals(cyd.node.counters.violations, 1);
  assertEquals(tally(cyd.told)["error"], 1);
  const sum = passFor(world.clock, ada.node.request("cyd", "add", []));
  assertEquals(await sum, 7);
  // Its own neighbour has to answer for what it sends.
  routers.get("bob")?.send(["cyd"], new Uint8Array([1, 0, 99]));
  await pass(world.clock, 100);
  assertEquals(cyd.node.counters.violations, 2);
  const fault = cyd.told.findLast(({ name }) => name === "error");
  assert(fault?.name === "error" && fault.event.message.includes("ended"));
});

Deno.test("Node waits for a link that is behind when it sends to a distant node", async () => {
  await using world = virtualWorld();
  const gate = Promise.withResolvers<void>();
  let isShut = false;
  const [ada, , cyd] = await row(
    world,
    hopRouter(),
    () => isShut ? gate.promise : null,
  );
  const heard: string[] = [];
  cyd.node.on("say", (text) => heard.push(text) && 0);
  isShut = true;
  await ada.node.send("cyd", "say", "x".repeat(2000));
  const second = ada.node.send("cyd", "say", "second");
  assert(!await isSettled(second));
  isShut = false;
  gate.resolve();
  assertEquals(await passFor(world.clock, second), { nodes: 1, dropped: 0 });
  await pass(world.clock, 100);
  assertEquals(heard.length, 2);
});

Deno.test("Node sends streams on at once when the link that was behind ends", async () => {
  await using world = virtualWorld();
  const router = hopRouter();
  let stalls = false;
  const ada = world.add("ada", {
    router,
    limits: { highWaterMark: 50_000, outbox: 100_000 },
    link: (connection, { id }) =>
      wrapConnection(connection, {
        send: (message) =>
          stalls && id === "bob"
            ? new Promise(() => {})
            : connection.send(message),
      }),
  });
  const [bob, cyd, dan] = ["bob", "cyd", "dan"].map((id) =>
    world.add(id, { router })
  );
  assert(bob && cyd && dan);
  for (const { node } of [bob, cyd]) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
    await passFor(world.clock, ada.node.join(`memory://${node.id}`));
  }
  await passFor(world.clock, dan.node.join("memory://cyd"));
  const got: unknown[] = [];
  dan.node.onOpen("talk", async (stream) => {
    for await (const message of stream) got.push(message);
  });
  await pass(world.clock, 2_000);
  const stream = await passFor(world.clock, ada.node.open("dan", "talk"));
  stalls = true;
  for (let i = 0; i < 5; i++) {
    ada.node.send("bob", "work", new Uint8Array(30_000));
  }
  await pass(world.clock, 2_000);
  assertEquals(ada.node.explain("bob").links[0]?.state, "dropping");
  stream.send("at last");
  await pass(world.clock, 1_000);
  assertEquals(got, []);
  await passUntil(world.clock, () => ada.node.counters.broken > 0);
  await pass(world.clock, 10);
  assertEquals(got, ["at last"]);
});
