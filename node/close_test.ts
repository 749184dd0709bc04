import { assert, assertEquals, assertRejects } from "@std/assert";
import { memory } from "@devts/transport/memory";
import {
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { JoinError, RequestError } from "./errors.ts";
import { isSettled, pass, passFor, turn } from "./_support_test.ts";
import { pair, tally, virtualWorld, type World } from "./_world_test.ts";

/** Dials that never end until they are aborted, if at all. */
function deadEnd(world: World, heedsSignal: boolean): Transport {
  const inner = memory(world.network);
  return wrapTransport(inner, {
    connect: (_address, options) =>
      new Promise((_resolve, reject) => {
        if (!heedsSignal) return;
        options?.signal?.addEventListener(
          "abort",
          () => reject(options.signal?.reason),
        );
      }),
  });
}

/** Closes a node, and says how many ms that took. */
async function closeTime(
  world: World,
  close: () => Promise<void>,
): Promise<number> {
  const start = world.clock.now();
  await passFor(world.clock, close());
  return world.clock.now() - start;
}

Deno.test("Node.close() of a node that did nothing leaves nothing", async () => {
  const world = virtualWorld();
  const { node, told } = world.add("ada");
  assertEquals(await closeTime(world, () => node.close()), 0);
  await node.closed;
  assertEquals(tally(told), { close: 1 });
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() is idempotent", async () => {
  const world = virtualWorld();
  const { one, two } = await pair(world);
  const first = one.node.close();
  assert(first === one.node.close());
  assert(first === one.node[Symbol.asyncDispose]());
  await passFor(world.clock, first);
  await one.node.close();
  await passFor(world.clock, two.node.close());
  assertEquals(tally(one.told), { ready: 1, join: 1, close: 1 });
  assertEquals(one.node.members.size, 0);
  assertEquals(world.clock.pending, 0);
  assertEquals(world.network.addresses, []);
});

Deno.test("Node closes at the end of an `await using` block", async () => {
  const world = virtualWorld();
  let closed = false;
  const using = (async () => {
    await using node = world.add("ada").node;
    await node.listen("memory://ada");
    node.closed.then(() => closed = true);
  })();
  await passFor(world.clock, using);
  await turn();
  assert(closed);
  assertEquals(world.clock.pending, 0);
  assertEquals(world.network.addresses, []);
});

Deno.test("Node.close() called by a handler's abort listener is the same close", async () => {
  const world = virtualWorld();
  const { one, two } = await pair<{ wait(): void }>(world);
  const closes: Promise<void>[] = [];
  const outcomes: Promise<unknown>[] = [];
  two.node.on("wait", (_data, { signal }) =>
    new Promise(() => {
      signal.addEventListener("abort", () => {
        closes.push(two.node.close());
        outcomes.push(two.node.emit("wait"));
      });
    }));
  await one.node.send("bob", "wait");
  await pass(world.clock, 10);
  const first = two.node.close();
  assert(closes[0] === first);
  await assertRejects(async () => await outcomes[0]);
  await passFor(world.clock, first);
  assertEquals(tally(two.told)["close"], 1);
  await passFor(world.clock, one.node.close());
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() lets go of a connection that it refused, and whose other end goes on", async () => {
  await using world = virtualWorld();
  const closes: (string | null)[] = [];
  const transport = wrapTransport(memory(world.network), {
    connection: (connection) =>
      wrapConnection(connection, {
        close(reason) {
          closes.push(reason?.message ?? null);
          return reason ? connection.close(reason) : new Promise(() => {});
        },
      }),
  });
  const { node } = world.add("ada", { transport });
  await passFor(world.clock, node.listen("memory://ada"));
  const stranger = world.add("bob", { cluster: "blue" }).node;
  const joining = assertRejects(() => stranger.join("memory://ada"), JoinError);
  await passFor(world.clock, joining);
  assertEquals(closes, [null]);
  await passFor(world.clock, node.close());
  assertEquals(closes, [null, "the node leaves the cluster"]);
});

Deno.test("Node.close() lets what is queued arrive, in order", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<{ blob(bytes: Uint8Array): void }>(world);
  const heard: number[] = [];
  two.node.on("blob", (bytes) => {
    heard.push(bytes[0] ?? -1);
  });
  await pass(world.clock, 0);
  const count = 100;
  for (let i = 0; i < count; i++) {
    one.node.emit("blob", new Uint8Array(40_000).fill(i));
  }
  await passFor(world.clock, one.node.close());
  await pass(world.clock, 3_000);
  assertEquals(heard, Array.from({ length: count }, (_, i) => i));
  const leave = two.told.find((told) => told.name === "leave");
  assertEquals(leave?.event.reason, "left");
});

Deno.test("Node.close() lets a single event before it arrive", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<{ bye(text: string): void }>(world);
  const heard: string[] = [];
  two.node.on("bye", (text) => {
    heard.push(text);
  });
  await pass(world.clock, 0);
  one.node.emit("bye", "and thanks");
  await passFor(world.clock, one.node.close());
  await pass(world.clock, 1_000);
  assertEquals(heard, ["and thanks"]);
});

Deno.test("Node.close() ends at once during a dial", async () => {
  const world = virtualWorld();
  const { node } = world.add("ada", { transport: deadEnd(world, true) });
  const join = node.join("memory://bob");
  await pass(world.clock, 100);
  assertEquals(await closeTime(world, () => node.close()), 0);
  await assertRejects(() => join);
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() ends at once during a dial that cannot be aborted", async () => {
  const world = virtualWorld();
  const { node } = world.add("ada", { transport: deadEnd(world, false) });
  const join = node.join("memory://bob");
  join.catch(() => {});
  await pass(world.clock, 100);
  assert(await closeTime(world, () => node.close()) <= 5_000);
});

Deno.test("Node.close() ends at once during a handshake, dialled or accepted", async () => {
  const world = virtualWorld();
  const { node } = world.add("ada");
  await node.listen("memory://ada");
  const mute = await memory(world.network).listen("memory://mute");
  const join = node.join("memory://mute");
  join.catch(() => {});
  const stranger = await memory(world.network).connect("memory://ada");
  await pass(world.clock, 100);
  assertEquals(await closeTime(world, () => node.close()), 0);
  await assertRejects(() => join);
  await assertRejects(() => stranger.receive());
  await mute.close();
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() ends at once while a join waits for members", async () => {
  const world = virtualWorld();
  const { one, two } = await pair(world);
  // Its membership never says a word, so that the join waits.
  const held = world.add("cyd", {
    membership: () => ({
      members: new Map(),
      receive() {},
      heard() {},
      link() {},
      update() {},
      leave() {},
    }),
    link: (connection) =>
      wrapConnection(connection, { receive: () => new Promise(() => {}) }),
  });
  const join = held.node.join("memory://ada");
  join.catch(() => {});
  await pass(world.clock, 100);
  assert(!await isSettled(join));
  await closeTime(world, () => held.node.close());
  assert(await isSettled(join));
  await passFor(
    world.clock,
    Promise.all([one.node.close(), two.node.close()]),
  );
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() ends within 5 s when a peer takes nothing", async () => {
  const world = virtualWorld();
  let holds = false;
  const { one, two } = await pair<{ blob(bytes: Uint8Array): void }>(world, {
    link: (connection) =>
      wrapConnection(connection, {
        send: (message) =>
          holds ? new Promise(() => {}) : connection.send(message),
        close: (reason) =>
          holds && !reason ? new Promise(() => {}) : connection.close(reason),
      }),
  });
  holds = true;
  for (let i = 0; i < 300; i++) one.node.emit("blob", new Uint8Array(50_000));
  await pass(world.clock, 10);
  const took = await closeTime(world, () => one.node.close());
  assert(took <= 5_000, `it took ${took} ms`);
  assert(await closeTime(world, () => two.node.close()) <= 5_000);
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() ends within 5 s when listeners and connections never close", async () => {
  const world = virtualWorld();
  const inner = memory(world.network);
  const { node } = world.add("ada", {
    transport: {
      schemes: inner.schemes,
      connect: (address, options) => inner.connect(address, options),
      listen: async (address) => {
        const listener = await inner.listen(address);
        return {
          address: listener.address,
          close: () => new Promise(() => {}),
          [Symbol.asyncDispose]: () => new Promise(() => {}),
          [Symbol.asyncIterator]: () => listener[Symbol.asyncIterator](),
        };
      },
    },
  });
  await node.listen("memory://ada");
  const took = await closeTime(world, () => node.close());
  assert(took <= 5_000, `it took ${took} ms`);
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() does not wait for handlers that never end, and tells them", async () => {
  const world = virtualWorld();
  const { one, two } = await pair<{ wait(): void }>(world);
  let aborted = false;
  two.node.on("wait", (_data, { signal }) =>
    new Promise(() => {
      signal.addEventListener("abort", () => aborted = true);
    }));
  const asked = one.node.request("bob", "wait");
  await pass(world.clock, 100);
  const took = await closeTime(world, () => two.node.close());
  assert(took < 1_000, `it took ${took} ms`);
  assert(aborted);
  await assertRejects(() => passFor(world.clock, asked), RequestError);
  await passFor(world.clock, one.node.close());
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() rejects its own open requests", async () => {
  const world = virtualWorld();
  const { one, two } = await pair<{ wait(): void }>(world);
  two.node.on("wait", () => new Promise(() => {}));
  const asked = one.node.request("bob", "wait");
  const asked2 = one.node.request("ada", "wait");
  const closing = one.node.close();
  for (const request of [asked, asked2]) {
    const error = await assertRejects(() => request, RequestError);
    assertEquals(error.reason, "closed");
  }
  await passFor(world.clock, closing);
  await passFor(world.clock, two.node.close());
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() right after an event to itself leaves no timer and calls nobody late", async () => {
  const world = virtualWorld();
  const { node } = world.add<{ own(): Promise<void> }>("ada");
  let closed = false;
  let late = 0;
  node.on("own", () => {
    if (closed) late++;
    return new Promise(() => {});
  });
  node.send("ada", "own");
  await passFor(world.clock, node.close());
  closed = true;
  await pass(world.clock, 0);
  assertEquals(late, 0);
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() while listen() is under way closes the listener", async () => {
  const world = virtualWorld();
  const inner = memory(world.network);
  const { promise, resolve } = Promise.withResolvers<void>();
  const { node } = world.add("ada", {
    transport: wrapTransport(inner, {
      listen: async (address) => {
        await promise;
        return await inner.listen(address);
      },
    }),
  });
  const listening = node.listen("memory://ada");
  await passFor(world.clock, node.close());
  resolve();
  await assertRejects(() => listening, Error, "closed");
  await turn();
  assertEquals(world.network.addresses, []);
  assertEquals(world.clock.pending, 0);
});

Deno.test("Node.close() of both ends at the same time ends", async () => {
  const world = virtualWorld();
  const { one, two } = await pair(world);
  const took = await closeTime(world, async () => {
    await Promise.all([one.node.close(), two.node.close()]);
  });
  assert(took < 100, `it took ${took} ms`);
  assertEquals(world.clock.pending, 0);
});
