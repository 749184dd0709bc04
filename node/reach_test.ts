import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { NodeNotFoundError } from "@devts/routing";
import { peerRouter } from "@devts/routing/peer";
import { RequestError, StreamError } from "./errors.ts";
import { ROUTERS, row } from "./_row_test.ts";
import { pass, passFor, passUntil } from "./_support_test.ts";
import { virtualWorld, type World } from "./_world_test.ts";

/** In which a request to a node that cannot be reached fails, whatever its timeout, in ms. */
const BOUND = 10_000;

async function failureOf(
  { clock }: World,
  request: Promise<unknown>,
): Promise<{ readonly error: RequestError; readonly after: number }> {
  const start = clock.now();
  const error = await assertRejects(
    () => passFor(clock, request),
    RequestError,
  );
  return { error, after: clock.now() - start };
}

for (const [name, make] of Object.entries({ peerRouter, ...ROUTERS })) {
  Deno.test(`Node over ${name}() refuses at once what is for a node that nobody knows`, async () => {
    await using world = virtualWorld();
    const [ada] = await row(world, make());
    const { node } = ada;
    for (
      const call of [
        () => node.send("eve", "say", "hello"),
        () => node.request("eve", "add", [1]),
        () => node.send("__proto__", "say", "hello"),
      ]
    ) {
      const error = await assertRejects(call, NodeNotFoundError);
      assertStringIncludes(error.message, `"${error.id}"`);
    }
    assertEquals(node.explain("eve").isReachable, false);
    assertEquals(node.counters.sent, 0);
  });

  Deno.test(`Node over ${name}() fails only the requests to a node that falls silent`, async () => {
    await using world = virtualWorld();
    const [ada, bob, cyd] = await row(world, make());
    const from = name === "peerRouter" ? bob : ada;
    const near = name === "peerRouter" ? ada : bob;
    const late = Promise.withResolvers<number>();
    for (const { node } of [near, cyd]) node.on("add", () => late.promise);
    const other = from.node.request(near.node.id, "add", [], {
      timeout: 60_000,
    });
    world.cut("cyd");
    const lost = from.node.request("cyd", "add", [], { timeout: 60_000 });
    const { error, after } = await failureOf(world, lost);
    assertEquals(error.reason, "lost");
    assert(after <= BOUND, `${after} ms`);
    late.resolve(7);
    assertEquals(await passFor(world.clock, other), 7);
    assert(!from.node.explain("cyd").isReachable || name !== "peerRouter");
  });
}

Deno.test("Node over peerRouter() says why it cannot reach a member that it cannot dial", async () => {
  await using world = virtualWorld();
  const [ada] = await row(world, peerRouter());
  assert(ada.node.members.has("cyd"));
  const error = await assertRejects(
    () => ada.node.send("cyd", "say", "hello"),
    NodeNotFoundError,
  );
  assertEquals(
    error.message,
    'Cannot reach node "cyd": no link to it (last error: no route to host)',
  );
  const { why, state, lastError } = ada.node.explain("cyd");
  assertStringIncludes(why, "the last one failed: no route to host");
  assertEquals(state, "alive");
  assertEquals(lastError?.reason, "cannot be dialled: no route to host");
});

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`Node over ${name}() names the last hop of what did not arrive`, async () => {
    await using world = virtualWorld();
    const [ada, , cyd] = await row(world, make());
    cyd.node.on("say", () => {});
    world.cut("cyd");
    await ada.node.send("cyd", "say", "hello");
    const after = await passUntil(
      world.clock,
      () => ada.node.counters.undelivered > 0,
    );
    assert(after <= BOUND, `${after} ms`);
    const { lastError } = ada.node.explain("cyd");
    assertStringIncludes(
      lastError?.reason ?? "",
      'something for it was lost: it came no further than node "',
    );
  });

  Deno.test(`Node over ${name}() fails a request whose reply has no way back`, async () => {
    await using world = virtualWorld();
    const [ada, bob, cyd] = await row(world, make());
    let calls = 0;
    cyd.node.on("add", () => {
      calls++;
      return new Promise<number>(() => {});
    });
    const lost = ada.node.request("cyd", "add", [], { timeout: 60_000 });
    await pass(world.clock, 100);
    assertEquals(calls, 1);
    // The relay is gone, and there is no other.
    const closing = bob.node.close();
    const { error, after } = await failureOf(world, lost);
    assertEquals(error.reason, "lost");
    assertStringIncludes(error.message, "it may have been handled");
    assert(after <= BOUND, `${after} ms`);
    await passFor(world.clock, closing);
  });
}

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`Node over ${name}() ends a stream to a node whose relay is gone`, async () => {
    await using world = virtualWorld();
    const [ada, bob, cyd] = await row(world, make());
    const ends: Promise<unknown>[] = [];
    cyd.node.onOpen("talk", (stream) => {
      ends.push(assertRejects(() => stream.receive(), StreamError));
    });
    const opening = ada.node.open("cyd", "talk");
    const stream = await passFor(world.clock, opening);
    ends.push(assertRejects(() => stream.receive(), StreamError));
    await passFor(world.clock, bob.node.close());
    await passFor(world.clock, Promise.all(ends), BOUND);
    assertEquals(ends.length, 2);
  });
}
