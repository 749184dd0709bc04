/** Who gets an event: interest, patterns, groups and `ready`, with whole nodes. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { v1 } from "@devts/protocol/v1";
import { wrapConnection } from "@devts/transport";
import { PAYLOAD_EVENTS } from "./bundle.ts";
import { ReadyError } from "./errors.ts";
import { PAYLOAD_INTEREST } from "./interest_codec.ts";
import { isSettled, pass, passFor } from "./_support_test.ts";
import { pair, type Tested, virtualWorld, type World } from "./_world_test.ts";
import type { AnyEvents, NodeParts } from "./types.ts";

/** Nodes that all know each other. */
async function mesh(
  world: World,
  ids: readonly string[],
  overrides: (id: string) => Partial<NodeParts> = () => ({}),
): Promise<readonly Tested<AnyEvents>[]> {
  const nodes = ids.map((id) => world.add(id, overrides(id)));
  for (const { node } of nodes) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
    if (node.id !== ids[0]) {
      await passFor(world.clock, node.join(`memory://${ids[0]}`));
    }
  }
  await pass(world.clock, 3_000);
  for (const { node } of nodes) assertEquals(node.members.size, ids.length - 1);
  return nodes;
}

Deno.test("Node.emit() reaches only those who handle the name, and says how many", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd, dan] = await mesh(world, ["ada", "bob", "cyd", "dan"]);
  assert(ada && bob && cyd && dan);
  const heard: string[] = [];
  for (const { node } of [bob, cyd]) {
    node.on("order", (data) => heard.push(`${node.id} ${data}`));
  }
  dan.node.on("other", (data) => heard.push(`dan ${data}`));
  await pass(world.clock, 0);
  const two = { nodes: 2, dropped: 0 };
  assertEquals(await ada.node.emit("order", 1), two);
  assertEquals(await ada.node.emit("other", 2), { nodes: 1, dropped: 0 });
  assertEquals(await ada.node.emit("nobody", 3), { nodes: 0, dropped: 0 });
  assertEquals(await ada.node.emit("order", 4), two);
  await pass(world.clock, 0);
  assertEquals(heard.sort(), ["bob 1", "bob 4", "cyd 1", "cyd 4", "dan 2"]);
  for (const { node } of [bob, cyd, dan]) {
    assertEquals(node.counters.unhandled, 0);
  }
});

Deno.test("Node.emit() to 3 of 20 nodes takes 3 payload messages", async () => {
  await using world = virtualWorld();
  let events = 0;
  const ids = Array.from({ length: 20 }, (_, i) => `n${i}`);
  const [first, ...others] = await mesh(world, ids, () => ({
    link: (connection) =>
      wrapConnection(connection, {
        send(message) {
          if (message[v1().headerSize] === PAYLOAD_EVENTS) events++;
          return connection.send(message);
        },
      }),
  }));
  assert(first);
  let heard = 0;
  for (const { node } of others.slice(4, 7)) node.on("rare", () => heard++);
  await pass(world.clock, 10);
  events = 0;
  const outcome = await first.node.emit("rare", { n: 1 });
  await pass(world.clock, 10);
  assertEquals([outcome.nodes, events, heard], [3, 3, 3]);
});

Deno.test("Node.on() with a pattern handles what it stands for, in the order of registration", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: string[] = [];
  two.node.on("order.*", (data, { name }) => heard.push(`* ${name} ${data}`));
  two.node.on("order.new", (data, { name }) => heard.push(`${name} ${data}`));
  two.node.on("order.>", (data, { name }) => heard.push(`> ${name} ${data}`));
  await pass(world.clock, 0);
  assertEquals((await one.node.emit("order.new", 1)).nodes, 1);
  assertEquals((await one.node.emit("order.eu.new", 2)).nodes, 1);
  assertEquals((await one.node.emit("order", 3)).nodes, 0);
  assertEquals((await one.node.emit("orders.new", 4)).nodes, 0);
  await pass(world.clock, 0);
  assertEquals(heard, [
    "* order.new 1",
    "order.new 1",
    "> order.new 1",
    "> order.eu.new 2",
  ]);
  assertThrows(
    () => one.node.emit("order.*"),
    TypeError,
    'Cannot emit "order.*": "order.*" is a pattern',
  );
  assertThrows(
    () => one.node.on("a.>.b", () => {}),
    TypeError,
    "nothing can follow it",
  );
});

Deno.test("Node.emit() follows handlers that come and go", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const handler = two.node.on("x", () => {});
  const again = two.node.on("x", () => {});
  await pass(world.clock, 0);
  assertEquals((await one.node.emit("x")).nodes, 1);
  handler[Symbol.dispose]();
  await pass(world.clock, 0);
  assertEquals((await one.node.emit("x")).nodes, 1);
  again[Symbol.dispose]();
  await pass(world.clock, 0);
  assertEquals((await one.node.emit("x")).nodes, 0);
});

Deno.test("Node.emit() reaches a node of which it is not known yet what it handles", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world, {
    // What nodes handle never arrives.
    router: (context) => deaf(world.parts("x").router(context)),
  });
  const heard: unknown[] = [];
  two.node.on("x", (data) => heard.push(data));
  two.node.on("job", (data) => heard.push(data), { group: "workers" });
  await pass(world.clock, 0);
  assertEquals((await one.node.emit("x", 1)).nodes, 1);
  assertEquals((await one.node.emit("y", 2)).nodes, 1);
  assertEquals((await one.node.emit("job", 3)).nodes, 1);
  await pass(world.clock, 0);
  assertEquals(heard, [1, 3]);
  assertEquals(two.node.counters.unhandled, 0);
});

function deaf(router: ReturnType<NodeParts["router"]>): typeof router {
  const send = router.send.bind(router);
  router.send = (to, payload, lane) =>
    payload[0] === PAYLOAD_INTEREST ? 0 : send(to, payload, lane);
  return router;
}

Deno.test("Node.send() of a name that nobody handles is counted at its target", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  assertEquals((await one.node.send("bob", "x")).nodes, 1);
  await pass(world.clock, 0);
  assertEquals(two.node.counters.unhandled, 1);
});

// -- Groups --

Deno.test("Node.emit() gives each event to one member of each group, and to all others", async () => {
  await using world = virtualWorld();
  const [ada, ...others] = await mesh(world, ["ada", "bob", "cyd", "dan"]);
  assert(ada);
  const counts = new Map<string, number>();
  const count = (who: string): void =>
    void counts.set(who, (counts.get(who) ?? 0) + 1);
  for (const { node } of others) {
    node.on("job", () => count(`${node.id} red`), { group: "red" });
    node.on("job", () => count("plain"));
  }
  for (const { node } of others.slice(1)) {
    node.on("job", () => count(`${node.id} blue`), { group: "blue" });
  }
  await pass(world.clock, 0);
  for (let i = 0; i < 12; i++) {
    assertEquals((await ada.node.emit("job", i)).nodes, 3);
  }
  await pass(world.clock, 0);
  assertEquals(
    [...counts].sort(),
    [
      ["bob red", 4],
      ["cyd blue", 6],
      ["cyd red", 4],
      ["dan blue", 6],
      ["dan red", 4],
      ["plain", 36],
    ],
  );
});

Deno.test("Node.emit() counts this node as a member of its groups, without its other handlers", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: string[] = [];
  for (const { node } of [one, two]) {
    node.on("job", (data) => heard.push(`${node.id} ${data}`), {
      group: "workers",
    });
    node.on("job", (data) => heard.push(`${node.id} plain ${data}`));
  }
  await pass(world.clock, 0);
  for (let i = 0; i < 4; i++) await one.node.emit("job", i);
  await pass(world.clock, 0);
  const plain = heard.filter((line) => line.includes("plain"));
  assertEquals(plain, [0, 1, 2, 3].map((i) => `bob plain ${i}`));
  const workers = heard.filter((line) => !line.includes("plain"));
  assertEquals(workers.filter((line) => line.startsWith("ada")).length, 2);
  assertEquals(workers.filter((line) => line.startsWith("bob")).length, 2);
  heard.length = 0;
  await one.node.emit("job", 9, { self: true });
  await pass(world.clock, 0);
  assertEquals(heard.filter((line) => line.includes("plain")).length, 2);
  assertEquals(heard.length, 3);
});

Deno.test("Node.emit() of a node alone reaches its own group", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  const heard: unknown[] = [];
  node.on("job", (data) => heard.push(data), { group: "workers" });
  assertEquals(await node.emit("job", 1), { nodes: 1, dropped: 0 });
  await pass(world.clock, 0);
  assertEquals(heard, [1]);
});

Deno.test("Node.emit() with self counts this node only where a handler takes the event", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: string[] = [];
  for (const { node } of [one, two]) {
    node.on("job", () => heard.push(node.id), { group: "workers" });
  }
  await pass(world.clock, 0);
  for (let i = 0; i < 4; i++) {
    assertEquals((await one.node.emit("job", i, { self: true })).nodes, 1);
  }
  await pass(world.clock, 0);
  assertEquals(heard.sort(), ["ada", "ada", "bob", "bob"]);
});

Deno.test("Node.on() twice in one group takes turns within the node", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const heard: string[] = [];
  two.node.on("job", (data) => heard.push(`first ${data}`), { group: "g" });
  two.node.on("job", (data) => heard.push(`second ${data}`), { group: "g" });
  await pass(world.clock, 0);
  for (let i = 0; i < 4; i++) await one.node.emit("job", i);
  await pass(world.clock, 0);
  assertEquals(heard, ["first 0", "second 1", "first 2", "second 3"]);
});

Deno.test("Node.send() and request() reach the handlers of a group by the node's id", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  two.node.on("job", (data) => `done ${data}`, { group: "workers" });
  const asked = passFor(world.clock, one.node.request("bob", "job", 1));
  assertEquals(await asked, "done 1");
});

Deno.test("Node.emit() gives the events of a member that is gone to another", async () => {
  await using world = virtualWorld();
  const [ada, bob, cyd] = await mesh(world, ["ada", "bob", "cyd"]);
  assert(ada && bob && cyd);
  const heard: string[] = [];
  for (const { node } of [bob, cyd]) {
    node.on("job", () => heard.push(node.id), { group: "workers" });
  }
  await pass(world.clock, 0);
  await passFor(world.clock, bob.node.close());
  await pass(world.clock, 10);
  for (let i = 0; i < 3; i++) await ada.node.emit("job", i);
  await pass(world.clock, 0);
  assertEquals(heard, ["cyd", "cyd", "cyd"]);
});

Deno.test("Node.emit() to a sticky group goes by the field that it names, or by a key", async () => {
  await using world = virtualWorld();
  const ids = ["ada", "bob", "cyd", "dan", "eve"];
  const [ada, ...others] = await mesh(world, ids);
  assert(ada);
  const owners = new Map<unknown, Set<string>>();
  for (const { node } of others) {
    node.on("order", (data) => {
      assert(typeof data === "object" && data !== null && "user" in data);
      const known = owners.get(data.user) ?? new Set();
      owners.set(data.user, known.add(node.id));
    }, { group: "g", strategy: "sticky", key: "user" });
  }
  await pass(world.clock, 0);
  for (let i = 0; i < 300; i++) await ada.node.emit("order", { user: i % 60 });
  await pass(world.clock, 0);
  assertEquals(owners.size, 60);
  for (const nodes of owners.values()) assertEquals(nodes.size, 1);
  const used = new Set([...owners.values()].map((nodes) => [...nodes].join()));
  assertEquals(used.size, 4);
  owners.clear();
  for (let i = 0; i < 60; i++) {
    await ada.node.emit("order", { user: 1 }, { key: `key ${i}` });
  }
  await pass(world.clock, 0);
  assertEquals(owners.get(1)?.size, 4);
});

Deno.test("Node.on() refuses a malformed group", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  for (const group of ["", "x".repeat(65)]) {
    assertThrows(() => node.on("x", () => {}, { group }), TypeError, "group");
  }
});

// -- Ready --

Deno.test("Node.ready() resolves once the nodes and handlers are there", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  await one.node.ready({ members: 1 });
  const ready = one.node.ready({ members: 1, handles: ["order.new", "y"] });
  two.node.on("order.*", () => {});
  await pass(world.clock, 0);
  assert(!await isSettled(ready));
  two.node.on("y", () => {}, { group: "g" });
  await pass(world.clock, 0);
  await ready;
});

Deno.test("Node.ready() says what is missing", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  const late = one.node.ready({
    members: 3,
    handles: "order.new",
    timeout: 500,
  });
  const error = await assertRejects(
    () => passFor(world.clock, late),
    ReadyError,
  );
  assertEquals(
    error.message,
    'Node "ada" is not ready after 500 ms: 1 of 3 other nodes are there, and no other node handles "order.new"',
  );
  const controller = new AbortController();
  const { signal } = controller;
  const stopped = one.node.ready({ members: 2, signal });
  controller.abort(new Error("no time"));
  await assertRejects(() => stopped, ReadyError, "(no time): 1 of 2 other");
  const closed = one.node.ready({ handles: "x" });
  await passFor(world.clock, one.node.close());
  await assertRejects(() => closed, ReadyError, "is closed");
  assertThrows(() => one.node.ready({ members: -1 }), RangeError);
});
