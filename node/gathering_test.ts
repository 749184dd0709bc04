import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RequestError } from "./errors.ts";
import type { Gathering } from "./gathering.ts";
import type { Node } from "./node.ts";
import { pass, passFor } from "./_support_test.ts";
import { virtualWorld, type World } from "./_world_test.ts";

interface Events {
  price(of: string): number;
  other(): void;
}

const IDS = ["ada", "bob", "cyd", "dan"] as const;

/** Nodes of which each but the first answers after so many ms: its place times a hundred. */
async function market(world: World): Promise<Node<Events>[]> {
  const nodes = IDS.map((id) => world.add<Events>(id).node);
  for (const [at, node] of nodes.entries()) {
    await passFor(world.clock, node.listen(`memory://${node.id}`));
    if (at === 0) continue;
    await passFor(world.clock, node.join("memory://ada"));
    node.on(
      "price",
      () =>
        new Promise((resolve) =>
          world.clock.after(100 * at, () => resolve(at))
        ),
    );
  }
  await pass(world.clock, 2_000);
  return nodes;
}

/** Everything that it gives, and how long that took. */
async function all(
  world: World,
  gathering: Gathering<number>,
): Promise<{ readonly got: unknown[]; readonly ms: number }> {
  const start = world.clock.now();
  const got = await passFor(world.clock, Array.fromAsync(gathering));
  return {
    got: got.map(({ from, data }) => [from, data]),
    ms: world.clock.now() - start,
  };
}

Deno.test("gather() gives a reply of each, and ends once all have come", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  const gathering = ada?.gather("price", "tea");
  assert(gathering);
  assertEquals([...gathering.asked].sort(), ["bob", "cyd", "dan"]);
  const { got, ms } = await all(world, gathering);
  assertEquals(got, [["bob", 1], ["cyd", 2], ["dan", 3]]);
  assertEquals([ms, gathering.missing], [300, []]);
});

Deno.test("gather() ends after a count, a quiet time or a deadline", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  assert(ada);
  const count = await all(world, ada.gather("price", "tea", { count: 2 }));
  assertEquals([count.got.length, count.ms], [2, 200]);
  const quiet = ada.gather("price", "tea", { quiet: 90 });
  assertEquals((await all(world, quiet)).ms, 90);
  assertEquals(quiet.missing.length, 3);
  const late = ada.gather("price", "tea", { timeout: 250 });
  assertEquals((await all(world, late)).got.length, 2);
  const [miss] = late.missing;
  assertEquals(miss?.node, "dan");
  assertEquals(
    miss?.error instanceof RequestError && miss.error.reason,
    "timeout",
  );
});

Deno.test("gather() goes on without those who cannot answer", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  assert(ada);
  const to = ["bob", "eve", "ada"];
  const gathering = ada.gather("price", "tea", { to });
  const { got, ms } = await all(world, gathering);
  assertEquals([got, ms], [[["bob", 1]], 100]);
  assertEquals(gathering.missing.map(({ node }) => node).sort(), [
    "ada",
    "eve",
  ]);
  const nobody = await all(world, ada.gather("price", "tea", { to: [] }));
  assertEquals(nobody, { got: [], ms: 0 });
});

Deno.test("gather() asks one member of a group", async () => {
  await using world = virtualWorld();
  const nodes = await market(world);
  for (const node of nodes.slice(1)) {
    node.on("other", () => {}, { group: "some" });
  }
  await pass(world.clock, 2_000);
  assertEquals(nodes[0]?.gather("other").asked.length, 1);
});

Deno.test("gather() rejects with the reason of its signal, once", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  assert(ada);
  const abort = new AbortController();
  const gathering = ada.gather("price", "tea", { signal: abort.signal });
  const first = await passFor(world.clock, gathering.next());
  assertEquals(first.value, { from: "bob", data: 1 });
  const next = gathering.next();
  abort.abort(new Error("enough"));
  await assertRejects(() => next, Error, "enough");
  assertEquals(await gathering.next(), { done: true, value: undefined });
});

Deno.test("gather() asks nobody where its signal has aborted already", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  assert(ada);
  const { sent } = ada.counters;
  const signal = AbortSignal.abort(new Error("too late"));
  const gathering = ada.gather("price", "tea", { signal });
  await assertRejects(() => gathering.next(), Error, "too late");
  assertEquals([gathering.asked, ada.counters.sent - sent], [[], 0]);
});

Deno.test("gather() that is left leaves nothing behind", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  assert(ada);
  const gathering = ada.gather("price", "tea");
  const first = await passFor(world.clock, gathering.next());
  assertEquals(first.done, false);
  await gathering.return();
  await pass(world.clock, 1_000);
  assertEquals((await gathering.next()).done, true);
  assertEquals(ada.counters.lateReplies, 2);
});

Deno.test("gather() refuses what it cannot do", async () => {
  await using world = virtualWorld();
  const [ada] = await market(world);
  for (const options of [{ count: 0 }, { quiet: 0 }, { timeout: 0 }]) {
    assertThrows(() => ada?.gather("price", "tea", options), RangeError);
  }
});
