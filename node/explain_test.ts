import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { peerRouter } from "@devts/routing/peer";
import type { Router } from "@devts/routing";
import { explanationText } from "./explain.ts";
import { ROUTERS, row } from "./_row_test.ts";
import { pass, passFor, passUntil } from "./_support_test.ts";
import { pair, virtualWorld } from "./_world_test.ts";

Deno.test("explain() tells of the link to a neighbour", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  await pass(world.clock, 2000);
  const { links, ...rest } = one.node.explain("bob");
  assertEquals(rest, {
    target: "bob",
    isReachable: true,
    how: "link",
    why: "there is a link to it",
    ways: [{ nodes: ["ada", "bob"], isWhole: true }],
    state: "alive",
    lastError: null,
    unanswered: [],
  });
  const [link] = links;
  assert(link !== undefined && link.age >= 2000);
  const { to, state, queued, roundTrip, lastError } = link;
  assertEquals(
    { to, state, queued, roundTrip, lastError },
    { to: "bob", state: "open", queued: 0, roundTrip: null, lastError: null },
  );
});

Deno.test("explain() tells that a message to this node stays here", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  const { how, isReachable, ways } = node.explain("ada");
  assertEquals([how, isReachable, ways], ["self", true, []]);
});

Deno.test("explain() tells why an unknown node cannot be reached", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  assertEquals(
    explanationText(node.explain("__proto__")),
    'A message to "__proto__" cannot be sent: it is no member, and nobody links to it',
  );
  await passFor(world.clock, node.join("memory://nobody"));
  const explanation = node.explain("bob");
  assertEquals([explanation.isReachable, explanation.state], [false, null]);
  const [entry] = explanation.unanswered;
  assertEquals(entry?.address, "memory://nobody");
  assertStringIncludes(
    entry?.reason ?? "",
    'Cannot connect to "memory://nobody"',
  );
  assertStringIncludes(
    explanationText(explanation),
    '\n  entry node "memory://nobody": Cannot connect',
  );
});

Deno.test("explain() tells of the last error, and that a node is gone", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  world.cut("bob");
  await passUntil(world.clock, () => one.node.members.size === 0);
  await pass(world.clock, 1000);
  const { isReachable, how, state, lastError } = one.node.explain("bob");
  assertEquals([isReachable, how, state], [false, "none", "failed"]);
  assert(lastError !== null && lastError.age >= 1000 && lastError.age < 5000);
  assertStringIncludes(lastError.reason, "its link ended: ");
  await passFor(world.clock, two.node.close());
});

Deno.test("explain() tells who is under suspicion, and who left", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  world.cut("bob");
  await passUntil(world.clock, () => one.node.explain("bob").state !== "alive");
  assertEquals(one.node.explain("bob").state, "suspect");
  assertEquals(
    one.node.topology().nodes.map(({ id, state }) => [id, state]),
    [["ada", "self"], ["bob", "suspect"]],
  );
  await passFor(world.clock, two.node.close());
  const cyd = world.add("cyd");
  await passFor(world.clock, cyd.node.join("memory://ada"));
  await passFor(world.clock, cyd.node.close());
  await passUntil(world.clock, () => !one.node.members.has("cyd"));
  assertEquals(one.node.explain("cyd").state, "left");
});

Deno.test("explain() tells of queues, and of a link that takes nothing", async () => {
  await using world = virtualWorld();
  const gate = Promise.withResolvers<void>();
  let isShut = false;
  const [ada] = await row(
    world,
    peerRouter(),
    () => isShut ? gate.promise : null,
  );
  isShut = true;
  ada.node.send("bob", "say", "x".repeat(2000));
  ada.node.send("bob", "say", "y".repeat(2000));
  await pass(world.clock, 10);
  const [behind] = ada.node.explain("bob").links;
  assertEquals(behind?.state, "congested");
  assert(behind !== undefined && behind.queued > 2000, `${behind?.queued}`);
  await pass(world.clock, 2000);
  assertEquals(ada.node.explain("bob").links[0]?.state, "dropping");
  assertEquals(ada.node.topology().links[0]?.state, "dropping");
  isShut = false;
  gate.resolve();
  await pass(world.clock, 10);
  assertEquals(ada.node.explain("bob").links[0]?.state, "open");
});

Deno.test("explain() and topology() do with a router that tells nothing", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world, {
    router: (context): Router => {
      const inner = peerRouter()(context);
      return {
        nodes: inner.nodes,
        send: (to, payload, lane) => inner.send(to, payload, lane),
        receive: (from, packet, lane) => inner.receive(from, packet, lane),
        link: (event) => inner.link(event),
        member: (event) => inner.member(event),
        close: () => inner.close(),
      };
    },
  });
  assertEquals(one.node.explain("bob").how, "link");
  assertEquals(one.node.explain("cyd").how, "none");
  assertEquals(one.node.topology().links.length, 1);
});

const WAYS: Readonly<Record<string, readonly [how: string, text: string]>> = {
  hopRouter: ["flood", "ada → bob ⇢ cyd"],
  pathRouter: ["route", "ada → bob → cyd"],
  mapRouter: ["route", "ada → bob → cyd (cost 2)"],
  gossipRouter: ["next-hop", "ada → bob ⇢ cyd"],
};

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`explain() names the way through a relay over ${name}()`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    cyd.node.on("add", () => 7);
    await passFor(world.clock, ada.node.request("cyd", "add", []));
    const explanation = ada.node.explain("cyd");
    const [how, way] = WAYS[name] ?? [];
    assertEquals([explanation.how, explanation.state], [how, "alive"]);
    assertEquals(explanation.links.map(({ to }) => to), ["bob"]);
    // What it says of the way is no promise: the last error is that of a direct dial.
    const text = explanationText(explanation);
    assertStringIncludes(text, `\n  way: ${way}\n`);
    assertStringIncludes(text, '\n  link to "bob" at memory:');
  });

  Deno.test(`topology() tells what ${name}() knows`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    cyd.node.on("add", () => 7);
    await passFor(world.clock, ada.node.request("cyd", "add", []));
    const { self, nodes, links } = ada.node.topology();
    const isMap = name === "mapRouter" || name === "pathRouter";
    assertEquals(self, "ada");
    assertEquals(
      nodes.map(({ id, state, isReachable, via }) =>
        [id, state, isReachable, via] as const
      ).sort(),
      [
        ["ada", "self", true, null],
        ["bob", "alive", true, null],
        ["cyd", "alive", true, isMap ? null : "bob"],
      ],
    );
    assertEquals(
      links.map(({ a, b, source }) => [a, b, source]),
      [
        ["ada", "bob", "own"],
        ...isMap ? [["bob", "cyd", "told"]] : [],
      ],
    );
  });
}
