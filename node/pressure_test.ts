import { assert, assertEquals, assertLess } from "@std/assert";
import { memory } from "@devts/transport/memory";
import { type Connection, wrapConnection } from "@devts/transport";
import type { Outcome } from "./types.ts";
import { isSettled, pass, passFor, passUntil } from "./_support_test.ts";
import { pair, tally, virtualWorld, type World } from "./_world_test.ts";

interface Events {
  blob(bytes: Uint8Array): void;
  count(number: number): void;
}

/** Connections on which a node takes in nothing while the gate is shut. */
class Gate {
  #shut: PromiseWithResolvers<void> | null = null;

  shut(): void {
    this.#shut ??= Promise.withResolvers<void>();
  }

  open(): void {
    this.#shut?.resolve();
    this.#shut = null;
  }

  around(connection: Connection): Connection {
    return wrapConnection(connection, {
      receive: async (options) => {
        const message = await connection.receive(options);
        await this.#shut?.promise;
        return message;
      },
    });
  }
}

async function setUp(limits = {}) {
  const world = virtualWorld();
  const gate = new Gate();
  const small = memory(world.network, { highWaterMark: 1_000 });
  const one = world.add<Events>("ada", { transport: small, limits });
  const two = world.add<Events>("bob", {
    transport: small,
    link: (connection) => gate.around(connection),
  });
  two.node.on("blob", () => {});
  two.node.on("count", () => {});
  await one.node.listen("memory://ada");
  await passFor(world.clock, two.node.join("memory://ada"));
  await pass(world.clock, 1_000);
  return { world, gate, one, two };
}

/** Sends what the receiver's end of the transport takes, and then some. */
async function fill(world: World, send: () => unknown): Promise<void> {
  for (let i = 0; i < 4; i++) {
    send();
    await pass(world.clock, 0);
  }
}

Deno.test("Node.emit() awaited waits for a slow reader and goes on with it", async () => {
  const { world, gate, one, two } = await setUp({ highWaterMark: 100_000 });
  await using _world = world;
  let heard = 0;
  two.node.on("blob", () => {
    heard++;
  });
  gate.shut();
  let sent = 0;
  let outcome: Outcome | null = null;
  const sending = (async () => {
    for (; sent < 50; sent++) {
      outcome = await one.node.emit("blob", new Uint8Array(10_000));
    }
  })();
  await pass(world.clock, 100);
  assert(sent >= 9 && sent < 15, `${sent} went out`);
  // It makes progress within each second, so nothing is dropped.
  for (let i = 0; i < 60; i++) {
    gate.open();
    await pass(world.clock, 0);
    gate.shut();
    await pass(world.clock, 200);
  }
  gate.open();
  await passFor(world.clock, sending);
  assertEquals(outcome, { nodes: 1, dropped: 0 });
  await pass(world.clock, 100);
  assertEquals(heard, 50);
  assertEquals(one.node.counters.dropped, 0);
});

Deno.test("Node.send() awaited waits for its own link only", async () => {
  const { world, gate, one } = await setUp({ highWaterMark: 20_000 });
  await using _world = world;
  const three = world.add<Events>("cyd");
  three.node.on("count", () => {});
  await passFor(world.clock, three.node.join("memory://ada"));
  gate.shut();
  await fill(world, () => one.node.send("bob", "blob", new Uint8Array(45_000)));
  const toSlow = one.node.send("bob", "count", 1);
  const toFast = one.node.send("cyd", "count", 1);
  const toAll = one.node.emit("count", 1);
  assert(await isSettled(toFast));
  assert(!await isSettled(toSlow));
  assert(!await isSettled(toAll));
  gate.open();
  assertEquals(await passFor(world.clock, toSlow), { nodes: 1, dropped: 0 });
  assertEquals(await passFor(world.clock, toAll), { nodes: 2, dropped: 0 });
});

Deno.test("Node.emit() in a loop that nobody awaits is bounded, and the receiver learns what is missing", async () => {
  const { world, gate, one, two } = await setUp({
    highWaterMark: 100_000,
    outbox: 400_000,
  });
  await using _world = world;
  const heard: (number | string)[] = [];
  two.node.on("count", (number) => {
    heard.push(number);
  });
  two.node.onSystem("gap", ({ from, missed }) => {
    assertEquals(from, "ada");
    heard.push(`gap ${missed}`);
  });
  gate.shut();
  const count = 200_000;
  let last: Promise<Outcome> | null = null;
  for (let i = 0; i < count; i++) last = one.node.emit("count", i);
  assert(last);
  assertEquals(await passFor(world.clock, last), { nodes: 0, dropped: 1 });
  await pass(world.clock, 100);
  const { dropped } = one.node.counters;
  assert(dropped > 0);
  // 9 bytes an event, about 400 kB of them and what is in flight.
  assertLess(count - dropped, 70_000);
  gate.open();
  await pass(world.clock, 1_000);
  assertEquals(
    await one.node.emit("count", count),
    { nodes: 1, dropped: 0 },
    "it takes events again",
  );
  await pass(world.clock, 1_000);
  const kept = count - dropped;
  const gap = heard.findIndex((entry) => typeof entry === "string");
  assertEquals(heard[gap], `gap ${dropped}`);
  assertEquals(heard.length, kept + 2);
  const numbers = heard.filter((entry) => typeof entry === "number");
  assertEquals(numbers.slice(0, gap), Array.from({ length: gap }, (_, i) => i));
  assertEquals(numbers.at(gap), gap + dropped, "the gap is where they miss");
  assertEquals(numbers.at(-1), count);
  for (let i = 1; i < numbers.length; i++) {
    assertLess(numbers[i - 1] ?? NaN, numbers[i] ?? NaN);
  }
  assertEquals(two.node.counters.missed, dropped);
  assertEquals(tally(two.told)["gap"], 1);
});

Deno.test("Node tells that a node takes nothing, and that it does again", async () => {
  const { world, gate, one } = await setUp({ highWaterMark: 20_000 });
  await using _world = world;
  gate.shut();
  await fill(world, () => one.node.emit("blob", new Uint8Array(45_000)));
  const waiting = one.node.emit("count", 1);
  await pass(world.clock, 999);
  assertEquals(tally(one.told)["slowLink"], undefined);
  assert(!await isSettled(waiting));
  // It is looked at four times a second.
  await pass(world.clock, 251);
  assertEquals(await waiting, { nodes: 0, dropped: 1 });
  assertEquals(await one.node.emit("count", 2), { nodes: 0, dropped: 1 });
  gate.open();
  await pass(world.clock, 100);
  const slow = one.told.filter((told) => told.name === "slowLink");
  assertEquals(slow.map(({ event }) => event), [
    { id: "bob", slow: true },
    { id: "bob", slow: false },
  ]);
  assertEquals(await one.node.emit("count", 3), { nodes: 1, dropped: 0 });
});

Deno.test("Node ends the link to a node that takes nothing for 10 s, and links again", async () => {
  const { world, gate, one, two } = await setUp({ highWaterMark: 20_000 });
  await using _world = world;
  gate.shut();
  await fill(world, () => one.node.emit("blob", new Uint8Array(45_000)));
  await passUntil(
    world.clock,
    () => one.log.lines.some(({ text }) => text.includes("for 10 s")),
    11_000,
  ).catch(() => {});
  gate.open();
  await pass(world.clock, 30_000);
  assertEquals(one.node.members.size, 1);
  assertEquals(two.node.members.size, 1);
  assertEquals(await one.node.emit("count", 1), { nodes: 1, dropped: 0 });
});

Deno.test("Node.send() to itself in a loop that is awaited lets the event loop turn", async () => {
  await using world = virtualWorld();
  const { node } = world.add<Events>("ada");
  let heard = 0;
  node.on("blob", () => {
    heard++;
  });
  let sent = 0;
  const sending = (async () => {
    for (; sent < 300; sent++) {
      await node.send("ada", "blob", new Uint8Array(60_000));
    }
  })();
  let turned = false;
  setImmediate(() => {
    turned = sent < 300;
  });
  await passFor(world.clock, sending);
  await pass(world.clock, 0);
  assertEquals(heard, 300);
  assert(turned, "18 MB were queued before the first was handled");
});

Deno.test("Node.send() to itself in a loop that nobody awaits is bounded, and says so", async () => {
  await using world = virtualWorld();
  const { node } = world.add<Events>("ada", {
    limits: { outbox: 100_000, highWaterMark: 50_000 },
  });
  let heard = 0;
  node.on("blob", () => {
    heard++;
  });
  const sent: Promise<Outcome>[] = [];
  for (let i = 0; i < 50; i++) {
    sent.push(node.send("ada", "blob", new Uint8Array(9_000)));
  }
  const outcomes = await passFor(world.clock, Promise.all(sent));
  await pass(world.clock, 0);
  const { dropped } = node.counters;
  assert(dropped > 20, `${dropped} were dropped`);
  assertEquals(heard, 50 - dropped);
  // Events of the bundle that is open when the limit is reached may say otherwise.
  const said = outcomes.filter((outcome) => outcome.dropped === 1).length;
  assert(Math.abs(said - dropped) <= 7, `${said} of ${dropped} say so`);
});

Deno.test("Node.emit() in a loop that nobody awaits shares its promises while a link is behind", async () => {
  const { world, gate, one } = await setUp({ highWaterMark: 20_000 });
  await using _world = world;
  gate.shut();
  await fill(world, () => one.node.emit("blob", new Uint8Array(45_000)));
  const promises = new Set<Promise<Outcome>>();
  for (let i = 0; i < 1_000; i++) promises.add(one.node.emit("count", i));
  assertLess(promises.size, 10);
  promises.clear();
  for (let i = 0; i < 1_000; i++) {
    promises.add(one.node.send("bob", "count", i));
  }
  assertLess(promises.size, 10);
  gate.open();
});

Deno.test("Node keeps a link whose outbox is smaller than a message", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Events>(world, {
    limits: { outbox: 65_536, highWaterMark: 16_384 },
  });
  let heard = 0;
  two.node.on("blob", () => {
    heard++;
  });
  await pass(world.clock, 30_000);
  await passFor(world.clock, one.node.emit("blob", new Uint8Array(100_000)));
  await pass(world.clock, 30_000);
  assertEquals(tally(one.told)["leave"], undefined);
  assertEquals(heard, 1);
});

for (const call of ["request", "deliver"] as const) {
  Deno.test(`Node reads the answers that handlers wait for by ${call}, however many run`, async () => {
    await using world = virtualWorld();
    const { one, two } = await pair(world, { limits: { running: 10 } });
    one.node.on(
      "ask",
      () => new Promise<void>((resolve) => world.clock.after(50, resolve)),
    );
    const ended = { done: 0, failed: 0 };
    two.node.on("work", async (_data, { from }) => {
      await new Promise<void>((resolve) => world.clock.after(1, resolve));
      try {
        await (call === "request"
          ? two.node.request(from, "ask")
          : two.node.deliver("ask", 1, { to: from }));
        ended.done++;
      } catch {
        ended.failed++;
      }
    });
    await pass(world.clock, 2_000);
    // What answers come behind: more than one message.
    for (let i = 0; i < 500; i++) {
      one.node.send("bob", "work", new Uint8Array(1_000));
    }
    const ms = await passUntil(
      world.clock,
      () => ended.done + ended.failed === 500,
    );
    assertEquals(ended, { done: 500, failed: 0 });
    assert(ms < 2_000, `${ms} ms`);
    assert(two.node.counters.limits.running > 0);
  });
}
