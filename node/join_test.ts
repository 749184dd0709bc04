import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { incarnationAt } from "@devts/routing";
import { hopRouter } from "@devts/routing/hop";
import { json } from "@devts/protocol/json";
import { v1 } from "@devts/protocol/v1";
import { memory } from "@devts/transport/memory";
import {
  ConnectionError,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { ClosedError, JoinError } from "./errors.ts";
import { isSettled, pass, passFor, passUntil, START } from "./_support_test.ts";
import {
  delayed,
  pair,
  tally,
  type Told,
  virtualWorld,
} from "./_world_test.ts";

Deno.test("Node.join() resolves to 0 and warns with the addresses tried when nobody answers", async () => {
  await using world = virtualWorld();
  const { node, log, told } = world.add("ada");
  assertEquals(
    await passFor(world.clock, node.join("memory://one", "memory://two")),
    0,
  );
  const [warning, ...more] = log.of("warn");
  assertEquals(more, []);
  assert(warning?.includes('first of cluster "test"'), warning);
  for (const name of ["one", "two"]) {
    assert(warning?.includes(`memory://${name}`), warning);
  }
  assertEquals(tally(told), { ready: 1 });
});

Deno.test("Node.join() without addresses resolves to 0", async () => {
  await using world = virtualWorld();
  const { node, log, told } = world.add("ada");
  assertEquals(await passFor(world.clock, node.join()), 0);
  assertEquals(log.of("warn"), []);
  assertEquals(tally(told), { ready: 1 });
});

Deno.test("Node.join() dials again until its entry node is there", async () => {
  await using world = virtualWorld();
  const early = world.add("ada");
  assertEquals(await passFor(world.clock, early.node.join("memory://bob")), 0);
  await pass(world.clock, 30_000);
  const late = world.add("bob");
  await late.node.listen("memory://bob");
  const waited = await passUntil(
    world.clock,
    () => early.node.members.size === 1 && late.node.members.size === 1,
  );
  assert(waited <= 10_000, `it took ${waited} ms`);
  assertEquals(tally(late.told), { ready: 1, join: 1 });
  assert(early.log.of("info").some((line) => line.includes("answered")));
});

Deno.test("Node.join() dials again when its entry node comes back under another id", async () => {
  await using world = virtualWorld();
  const entry = world.add("old");
  await entry.node.listen("memory://entry");
  const { node } = world.add("ada");
  await passFor(world.clock, node.join("memory://entry"));
  await passFor(world.clock, entry.node.close());
  await pass(world.clock, 5_000);
  assertEquals(node.members.size, 0);
  const next = world.add("new");
  await next.node.listen("memory://entry");
  await passUntil(world.clock, () => node.members.has("new"), 11_000);
});

Deno.test("Node.join() counts the entry nodes that answered, each once", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  await passFor(world.clock, one.node.listen("memory://other"));
  const { node } = world.add("cyd");
  const count = await passFor(
    world.clock,
    node.join(
      "memory://ada",
      "memory://nobody",
      "memory://bob",
      "memory://other",
      "memory://ada",
    ),
  );
  assertEquals(count, 2);
  assertEquals([...node.members.keys()].sort(), [one.node.id, two.node.id]);
});

Deno.test("Node.join() resolves after every member can be reached", async () => {
  await using world = virtualWorld();
  const entry = world.add("entry");
  entry.node.on("x", () => {});
  await entry.node.listen("memory://entry");
  for (let i = 0; i < 8; i++) {
    const { node } = world.add(`n${i}`);
    node.on("x", () => {});
    await node.listen(`memory://n${i}`);
    assertEquals(
      await passFor(world.clock, node.join("memory://entry"), 1_400),
      1,
    );
    assertEquals(node.members.size, i + 1);
    const ids = [...node.members.keys()];
    for (const id of ids) {
      assertEquals(await node.send(id, "x", null), { nodes: 1, dropped: 0 });
    }
    assertEquals(await node.emit("x"), { nodes: i + 1, dropped: 0 });
  }
});

Deno.test("Node.join() waits for the way to every member where messages take their time", async () => {
  await using world = virtualWorld();
  const slow = () => delayed(world.network, world.clock, () => 20);
  const entry = world.add("entry", { transport: slow() });
  entry.node.on("x", () => {});
  await passFor(world.clock, entry.node.listen("memory://entry"));
  for (let i = 0; i < 5; i++) {
    const { node } = world.add(`n${i}`, { transport: slow() });
    node.on("x", () => {});
    await passFor(world.clock, node.listen(`memory://n${i}`));
    const join = node.join("memory://entry");
    assertEquals(await passFor(world.clock, join, 1_400), 1);
    assertEquals(node.members.size, i + 1);
    assertEquals(await node.emit("x"), { nodes: i + 1, dropped: 0 });
  }
});

Deno.test("Node.join() of several entry nodes does not wait long for one that tells nothing", async () => {
  await using world = virtualWorld();
  const mute = wrapTransport(memory(world.network), {
    connection(connection) {
      // What it says to introduce itself, and no more.
      let left = 2;
      return wrapConnection(connection, {
        send: (message) =>
          left-- > 0 ? connection.send(message) : Promise.resolve(),
      });
    },
  });
  const { node: ada } = world.add("ada");
  const { node: bob } = world.add("bob", { transport: mute });
  await ada.listen("memory://ada");
  await bob.listen("memory://bob");
  const took: number[] = [];
  for (const entries of [["memory://ada", "memory://bob"], ["memory://bob"]]) {
    const { node } = world.add(`to-${entries.length}`);
    const start = world.clock.now();
    const count = await passFor(world.clock, node.join(...entries), 2_000);
    assertEquals(count, entries.length);
    took.push(world.clock.now() - start);
  }
  assertEquals(took, [400, 1_500]);
});

Deno.test("Node.join() does not wait for members that neither side can dial", async () => {
  await using world = virtualWorld();
  const hub = world.add("hub");
  await hub.node.listen("memory://hub");
  const first = world.add("first");
  assertEquals(await passFor(world.clock, first.node.join("memory://hub")), 1);
  const second = world.add("second");
  const start = world.clock.now();
  assertEquals(await passFor(world.clock, second.node.join("memory://hub")), 1);
  assertEquals(world.clock.now() - start, 0);
});

Deno.test("Node.join() resolves although a member cannot be dialled", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  // A member that tells an address at which nobody is.
  const hidden = world.add("hidden", { advertise: ["memory://nowhere"] });
  await passFor(world.clock, hidden.node.join("memory://ada"));
  const { node } = world.add("cyd");
  assertEquals(await passFor(world.clock, node.join("memory://ada"), 2_000), 1);
  assert(node.members.has(one.node.id));
});

Deno.test("Node.join() refuses a malformed address and a scheme that it cannot dial", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  await assertRejects(() => node.join("nonsense"), TypeError, "URL");
  await assertRejects(
    () => node.join("tcp://127.0.0.1:1"),
    TypeError,
    '"memory://"',
  );
});

Deno.test("Node.join() to itself is not an entry node, and is not dialled again", async () => {
  await using world = virtualWorld();
  const { node, log } = world.add("ada");
  await node.listen("memory://ada");
  assertEquals(await passFor(world.clock, node.join("memory://ada")), 0);
  const before = log.lines.length;
  await pass(world.clock, 60_000);
  assertEquals(log.lines.length, before, "nothing is tried again");
  assertEquals(node.members.size, 0);
});

Deno.test("Node.join() takes a list in which the node itself is, without a warning", async () => {
  await using world = virtualWorld();
  const list = ["memory://ada", "memory://bob"];
  const ada = world.add("ada");
  await ada.node.listen("memory://ada");
  const bob = world.add("bob");
  await bob.node.listen("memory://bob");
  assertEquals(await passFor(world.clock, bob.node.join(...list)), 1);
  assertEquals(await passFor(world.clock, ada.node.join(...list)), 1);
  assertEquals([...ada.log.of("warn"), ...bob.log.of("warn")], []);
});

Deno.test("Node.join() rejects with a JoinError that says why, and both sides log it", async () => {
  const wrongs = [
    [
      "cluster",
      { cluster: "other" },
      'this node belongs to cluster "other", it',
    ],
    ["format", { codec: json() }, "this node's data has the format"],
    ["version", {
      protocol: {
        ...v1(),
        introduce: async (
          ...[channel]: Parameters<ReturnType<typeof v1>["introduce"]>
        ) => {
          // A hello of version 9 to 9, then the refusal.
          const hello = Uint8Array.of(1, 0, 0, 0, 0x44, 0x56, 0x54, 0x53, 9, 9);
          await channel.send(hello);
          await channel.receive();
          return {
            refusal: { code: "version", detail: "versions 9 and 1" } as const,
            by: "them" as const,
          };
        },
      },
    }, "versions 9 and 1"],
  ] as const;
  for (const [what, overrides, why] of wrongs) {
    await using world = virtualWorld();
    const entry = world.add("ada");
    await entry.node.listen("memory://ada");
    const { node, log, told } = world.add("bob", overrides);
    await assertRejects(
      () => passFor(world.clock, node.join("memory://ada")),
      JoinError,
      `Cannot join "memory://ada": ${why}`,
    );
    await pass(world.clock, 30_000);
    assertEquals(log.of("warn").length, 1, what);
    assertEquals(
      entry.log.of("warn").length,
      1,
      `${what}: ${entry.log.of("warn")}`,
    );
    assert(entry.log.of("warn")[0]?.includes(what), entry.log.of("warn")[0]);
    assertEquals(entry.node.counters.refused, 1);
    assertEquals(tally(told), {});
    assertEquals(entry.node.members.size, 0);
  }
});

Deno.test("Node.join() rejects, and logs it, where the program has no permission to dial", async () => {
  await using world = virtualWorld();
  const { node, log } = world.add("ada", {
    transport: wrapTransport(memory(world.network), {
      connect: (address) =>
        Promise.reject(
          new ConnectionError(`Cannot connect to "${address}": Requires net`, {
            cause: new Deno.errors.NotCapable("Requires net"),
          }),
        ),
    }),
  });
  const reason = 'Cannot join "memory://bob": Requires net';
  const error = await assertRejects(
    () => passFor(world.clock, node.join("memory://bob")),
    JoinError,
  );
  assertEquals(error.message, reason);
  await pass(world.clock, 60_000);
  assertEquals(log.of("warn").length, 1, "nothing is tried again");
  assertStringIncludes(log.of("warn")[0] ?? "", reason);
});

Deno.test("Node.join() says that what answers is no node", async () => {
  await using world = virtualWorld();
  await using server = await memory(world.network).listen("memory://web");
  const serving = (async () => {
    for await (const connection of server) {
      connection.send(new Uint8Array(10_000)).catch(() => {});
    }
  })();
  const { node, log } = world.add("ada");
  assertEquals(await passFor(world.clock, node.join("memory://web")), 0);
  assertStringIncludes(
    log.of("warn")[0] ?? "",
    "no node answers there, but something else; is it a cluster port?",
  );
  await passFor(world.clock, node.close());
  await server.close();
  await serving;
});

Deno.test("Node whose router is another is told of in the log, and why it is refused then", async () => {
  await using world = virtualWorld();
  const { node, log } = world.add("ada");
  const other = world.add("bob", { router: hopRouter() });
  await node.listen("memory://ada");
  await passFor(world.clock, other.node.join("memory://ada"));
  await pass(world.clock, 30_000);
  assertStringIncludes(
    log.of("error").join(),
    "do both nodes have the same router?",
  );
  const warnings = [...log.of("warn"), ...other.log.of("warn")].join("\n");
  assertStringIncludes(warnings, "it is banned for now: its links broke");
});

Deno.test("Node.listen() and Node.join() warn of what went wrong, as nobody may await them", async () => {
  await using world = virtualWorld();
  const { node, log } = world.add("ada");
  node.listen("here");
  node.join("there");
  await pass(world.clock, 1);
  const warnings = log.of("warn");
  assertEquals(warnings.length, 2, warnings.join());
  for (const address of ["here", "there"]) {
    assertStringIncludes(warnings.join(), `the address "${address}"`);
  }
  assertEquals(node.counters.rejections, 2);
});

Deno.test("Node.join() resolves where one entry node refuses and another answers", async () => {
  await using world = virtualWorld();
  const right = world.add("right");
  const wrong = world.add("wrong", { cluster: "other" });
  await right.node.listen("memory://right");
  await wrong.node.listen("memory://wrong");
  const { node } = world.add("ada");
  const join = node.join("memory://wrong", "memory://right");
  assertEquals(await passFor(world.clock, join), 1);
});

Deno.test("Node gives up a handshake that never ends after 5 s", async () => {
  await using world = virtualWorld();
  const { node, log } = world.add("ada");
  await node.listen("memory://ada");
  const stranger = await memory(world.network).connect("memory://ada");
  await pass(world.clock, 4_999);
  assertEquals(node.counters.refused, 0);
  await pass(world.clock, 1);
  assertEquals(node.counters.refused, 1);
  assert(log.of("warn").length === 1);
  await assertRejects(() => stranger.receive());
  // The other way around: a listener that never answers.
  const mute = await memory(world.network).listen("memory://mute");
  const started = world.clock.now();
  assertEquals(await passFor(world.clock, node.join("memory://mute")), 0);
  assertEquals(world.clock.now() - started, 5_000);
  await mute.close();
});

Deno.test("Node gives up a dial that never ends after 10 s", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada", {
    transport: wrapTransport(memory(world.network), {
      connect: (_address, options) =>
        new Promise((_resolve, reject) =>
          options?.signal?.addEventListener(
            "abort",
            () => reject(options.signal?.reason),
          )
        ),
    }),
  });
  assertEquals(await passFor(world.clock, node.join("memory://bob")), 0);
  assertEquals(world.clock.now(), 10_000);
});

Deno.test("Node bounds the connections in the handshake", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada", { limits: { pending: 3 } });
  await node.listen("memory://ada");
  const transport = memory(world.network);
  const strangers = [];
  for (let i = 0; i < 5; i++) {
    strangers.push(await transport.connect("memory://ada"));
  }
  await pass(world.clock, 0);
  assertEquals(node.counters.refused, 2);
  await pass(world.clock, 5_000);
  assertEquals(node.counters.refused, 5);
  const { node: friend } = world.add("bob");
  assertEquals(await passFor(world.clock, friend.join("memory://ada")), 1);
});

Deno.test("Node bounds its links", async () => {
  await using world = virtualWorld();
  const { node } = world.add("hub", { limits: { links: 2 } });
  await node.listen("memory://hub");
  const counts = [];
  for (const id of ["a", "b", "c"]) {
    const tested = world.add(id);
    counts.push(await passFor(world.clock, tested.node.join("memory://hub")));
  }
  assertEquals(counts, [1, 1, 0]);
  assertEquals(node.members.size, 2);
});

Deno.test("Node bounds its links also where all dial at once", async () => {
  await using world = virtualWorld();
  const { node } = world.add("hub", { limits: { links: 2 } });
  await node.listen("memory://hub");
  const joins = ["a", "b", "c", "d", "e"].map((id) =>
    world.add(id).node.join("memory://hub")
  );
  const counts = await passFor(world.clock, Promise.all(joins));
  assertEquals(counts.reduce((sum, count) => sum + count), 2);
});

Deno.test("Node takes a restart under the same id while the old link is half open", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  // The old program is gone without a word.
  world.cut("bob");
  const later = incarnationAt(Date.UTC(2026, 0, 1) + 60_000);
  const restarted = world.add("bob", {
    transport: memory(world.network),
    incarnations: { ...world.parts("x").incarnations, first: later },
  });
  const join = restarted.node.join("memory://ada");
  assertEquals(await passFor(world.clock, join, 1_000), 1);
  await pass(world.clock, 100);
  assertEquals(
    one.node.members.get("bob")?.incarnation,
    restarted.node.incarnation,
  );
  const heard: unknown[] = [];
  restarted.node.on("x", (data) => heard.push(data));
  await one.node.send("bob", "x", 1);
  await pass(world.clock, 20_000);
  assertEquals(heard, [1]);
  const events = one.told.filter(({ name }) => name !== "ready");
  assertEquals(events.map(({ name }) => name), ["join", "leave", "join"]);
  const leave = events.find((told) => told.name === "leave");
  assertEquals(leave?.event.reason, "restarted");
});

Deno.test("Node that restarts with its clock set back continues above its past", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  const before = one.node.members.get("bob")?.incarnation ?? 0;
  world.cut("bob");
  await passUntil(world.clock, () => one.node.members.size === 0, 20_000);
  const restarted = world.add("bob", {
    transport: memory(world.network),
    incarnations: {
      ...world.parts("x").incarnations,
      first: START - 4096 * 1e6,
    },
  });
  const join = restarted.node.join("memory://ada");
  assertEquals(await passFor(world.clock, join), 1);
  await pass(world.clock, 3_000);
  assert(restarted.node.incarnation > before);
  const known = one.node.members.get("bob")?.incarnation;
  assertEquals(known, restarted.node.incarnation);
});

Deno.test("Node that changes while it is being linked is not taken for a restart", async () => {
  for (let wait = 0; wait < 12; wait++) {
    await using world = virtualWorld();
    const { one, two } = await pair(world);
    const slow = memory(world.network);
    const late = world.add("cyd", {
      transport: wrapTransport(slow, {
        connection: (connection) => ({
          remote: connection.remote,
          receive: (options) => connection.receive(options),
          close: (reason) => connection.close(reason),
          [Symbol.asyncIterator]: () => connection[Symbol.asyncIterator](),
          [Symbol.asyncDispose]: () => connection.close(),
          send: async (message) => {
            await new Promise<void>((resolve) => world.clock.after(5, resolve));
            await connection.send(message);
          },
        }),
      }),
    });
    const join = late.node.join("memory://ada", "memory://bob");
    await pass(world.clock, wait);
    const listening = late.node.listen("memory://cyd");
    assertEquals(await passFor(world.clock, join), 2);
    await listening;
    await pass(world.clock, 3_000);
    for (const { told, node } of [one, two]) {
      assertEquals(
        tally(told)["leave"],
        undefined,
        `${node.id}, after ${wait}`,
      );
      assertEquals(node.members.get("cyd")?.addresses, ["memory://cyd"]);
    }
  }
});

for (
  const [when, first] of [
    ["an earlier", START - 4096],
    ["a later", START + 4096],
    ["a much later", START + 86_400_000 * 4096],
  ] as const
) {
  Deno.test(`Node with the id of another and ${when} start is refused as a conflict`, async () => {
    await using world = virtualWorld();
    const { one, two } = await pair(world);
    const heard: unknown[] = [];
    two.node.on("x", (data) => heard.push(data));
    const before = [one.node.incarnation, two.node.incarnation];
    const clone = world.add("bob", {
      transport: memory(world.network),
      incarnations: { ...world.parts("x").incarnations, first },
    });
    const error = await assertRejects(
      () => passFor(world.clock, clone.node.join("memory://ada")),
      JoinError,
      'two programs share the id "bob"',
    );
    assertStringIncludes(error.message, "gives signs of life");
    for (const { log } of [one, clone]) {
      assert(log.of("warn").some((line) => line.includes("share the id")));
    }
    assertEquals(conflictsOf(one.told), ["bob"]);
    assertEquals(conflictsOf(clone.told), ["bob"]);
    await one.node.send("bob", "x", 1);
    await pass(world.clock, 60_000);
    assertEquals(heard, [1]);
    assertEquals([one.node.incarnation, two.node.incarnation], before);
    for (const { told } of [one, two]) {
      assertEquals(tally(told)["leave"], undefined);
    }
  });
}

Deno.test("Node that has just changed and is dialled again is no other program", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  await pass(world.clock, 10_000);
  const address = await one.node.listen("memory://ada-too");
  // What changed travels as news, and takes longer than the dial.
  assertEquals(await passFor(world.clock, two.node.join(address)), 1);
  one.node.update({ changed: true });
  two.node.update({ changed: true });
  assertEquals(await passFor(world.clock, two.node.join(address)), 1);
  await pass(world.clock, 1_000);
  for (const { told } of [one, two]) {
    assertEquals([conflictsOf(told), tally(told)["leave"]], [[], undefined]);
  }
});

Deno.test("Node that joins a node of its own id is refused as a conflict", async () => {
  await using world = virtualWorld();
  const { two } = await pair(world);
  const clone = world.add("bob", {
    transport: memory(world.network),
    incarnations: { ...world.parts("x").incarnations, first: START + 4096 },
  });
  await assertRejects(
    () => passFor(world.clock, clone.node.join("memory://bob")),
    JoinError,
    'two programs share the id "bob"',
  );
  assertEquals(conflictsOf(clone.told), ["bob"]);
  assertEquals(conflictsOf(two.told), ["bob"]);
});

Deno.test("Node takes a restart whose clock was set back while the old link is half open", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  world.cut("bob");
  const restarted = world.add("bob", {
    transport: memory(world.network),
    incarnations: {
      ...world.parts("x").incarnations,
      first: START - 4096 * 1e6,
    },
  });
  const join = restarted.node.join("memory://ada");
  assertEquals(await passFor(world.clock, join, 1_000), 1);
  await pass(world.clock, 3_000);
  assert(restarted.node.incarnation > START);
  const known = one.node.members.get("bob")?.incarnation;
  assertEquals(known, restarted.node.incarnation);
  assertEquals(conflictsOf(one.told), []);
});

Deno.test("Node tells others its metadata and its changes", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world, { meta: { role: "first" } });
  assertEquals(one.node.members.get("bob")?.meta, { role: "first" });
  two.node.update({ role: "second" });
  await pass(world.clock, 100);
  assertEquals(one.node.members.get("bob")?.meta, { role: "second" });
  const updates = one.told.filter(({ name }) => name === "update");
  assertEquals(updates.length, 1);
  two.node.update(undefined);
  await pass(world.clock, 100);
  assertEquals(one.node.members.get("bob")?.meta, undefined);
  assertThrows(() => two.node.update("x".repeat(600)), RangeError, "512");
  assertThrows(() => two.node.update(() => {}), TypeError);
  assertEquals(one.node.members.get("bob")?.meta, undefined);
  assertEquals(tally(one.told), { ready: 1, join: 1, update: 2 });
});

Deno.test("Node tells each system event once and in order, with the reason of a leave", async () => {
  await using world = virtualWorld();
  const watcher = world.add("ada");
  await watcher.node.listen("memory://ada");
  const left = world.add("left");
  const failed = world.add("failed");
  await left.node.listen("memory://left");
  await failed.node.listen("memory://failed");
  await passFor(world.clock, left.node.join("memory://ada"));
  await passFor(world.clock, failed.node.join("memory://ada"));
  await pass(world.clock, 2_000);
  await passFor(world.clock, left.node.close());
  await pass(world.clock, 2_000);
  world.cut("failed");
  await pass(world.clock, 20_000);
  await passFor(world.clock, watcher.node.close());
  const short = watcher.told.map((told) => {
    switch (told.name) {
      case "join":
        return `join ${told.event.id}`;
      case "leave":
        return `leave ${told.event.member.id} ${told.event.reason}`;
      default:
        return told.name;
    }
  });
  assertEquals(short, [
    "ready",
    "join left",
    "join failed",
    "leave left left",
    "leave failed failed",
    "close",
  ]);
});

Deno.test("Node sees a crash with a broken link as a failure, soon", async () => {
  await using world = virtualWorld();
  const { one } = await pair(world);
  const crashing = world.add("cyd");
  await crashing.node.listen("memory://cyd");
  await passFor(world.clock, crashing.node.join("memory://ada"));
  await pass(world.clock, 1_000);
  world.cut("cyd");
  const took = await passUntil(
    world.clock,
    () => !one.node.members.has("cyd"),
    20_000,
  );
  assert(took <= 7_000, `it took ${took} ms`);
  const leave = one.told.find((told) => told.name === "leave");
  assertEquals(leave?.event.reason, "failed");
});

Deno.test("Node.listen() needs `insecure` outside loopback", async () => {
  const refused = [
    "tcp://0.0.0.0:0",
    "tcp://[::]:0",
    "tcp://0:0",
    "tcp://[::ffff:0.0.0.0]:0",
    "tcp://[0:0:0:0:0:0:0:0]:0",
    "tcp://10.0.0.7:0",
    "tcp://192.168.1.1:7946",
    "tcp://[2001:db8::1]:0",
    "tcp://[fe80::1]:0",
    "tcp://[::ffff:10.0.0.1]:0",
    "tcp://example.org:0",
    "ws://0.0.0.0/",
    "wss://example.org/",
    "tcp://:7946",
    "tcp://0.0.0.0:7946?x",
  ];
  await using world = virtualWorld();
  const asked: string[] = [];
  const transport = {
    schemes: ["tcp"],
    connect: () => Promise.reject(new ConnectionError("no")),
    listen: (address: string) => {
      asked.push(address);
      return Promise.reject(new ConnectionError("asked"));
    },
  };
  const { node } = world.add("ada", { transport });
  for (const address of refused) {
    await assertRejects(
      () => node.listen(address),
      Error,
      "insecure",
      address,
    );
  }
  assertEquals(asked, []);
  const open = world.add("bob", { transport, insecure: true });
  for (const address of ["tcp://0.0.0.0:0", "tcp://10.0.0.7:0"]) {
    await assertRejects(() => open.node.listen(address), ConnectionError);
  }
  await assertRejects(
    () => node.listen("tcp://127.0.0.1:0"),
    ConnectionError,
    "asked",
  );
  assertEquals(asked.length, 3);
});

Deno.test("Node.listen() refuses a listener outside loopback, too", async () => {
  await using world = virtualWorld();
  const inner = await memory(world.network).listen("memory://x");
  const { node } = world.add("ada");
  const listener = {
    address: "ws://0.0.0.0:80/",
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
    [Symbol.asyncIterator]: () => inner[Symbol.asyncIterator](),
  };
  await assertRejects(() => node.listen(listener), Error, "insecure");
  await inner.close();
});

Deno.test("Node tells others where it listens, or what it advertises", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  assertEquals(node.addresses, []);
  const before = node.incarnation;
  assertEquals(await node.listen("memory://ada"), "memory://ada");
  await node.listen("memory://second");
  assertEquals(node.addresses, ["memory://ada", "memory://second"]);
  assert(node.incarnation > before);
  const other = world.add("bob", { advertise: ["tcp://10.0.0.7:7946"] });
  await other.node.listen("memory://bob");
  assertEquals(other.node.addresses, ["tcp://10.0.0.7:7946"]);
  await passFor(world.clock, other.node.join("memory://ada"));
  assertEquals(node.members.get("bob")?.addresses, ["tcp://10.0.0.7:7946"]);
  assertEquals(other.node.members.get("ada")?.addresses, node.addresses);
});

Deno.test("Node never tells a wildcard, and a loopback address only over loopback", async () => {
  await using world = virtualWorld();
  // Addresses of the network and of loopback over one transport in memory.
  const inner = memory(world.network);
  const port = (address: string): string =>
    `memory://${/:(\d+)$/.exec(address)?.[1] ?? "none"}`;
  const transport = (from: string) => ({
    schemes: ["tcp"],
    connect: async (address: string) => ({
      ...wrap(await inner.connect(port(address)), address),
    }),
    listen: async (address: string) => {
      const listener = await inner.listen(port(address));
      return {
        address,
        close: () => listener.close(),
        [Symbol.asyncDispose]: () => listener.close(),
        async *[Symbol.asyncIterator]() {
          for await (const connection of listener) {
            yield wrap(connection, from);
          }
        },
      };
    },
  });
  function wrap(
    connection: Awaited<ReturnType<typeof inner.connect>>,
    remote: string,
  ) {
    return {
      remote,
      send: (message: Uint8Array) => connection.send(message),
      receive: (options?: { limit?: number }) => connection.receive(options),
      close: (reason?: Error) => connection.close(reason),
      [Symbol.asyncIterator]: () => connection[Symbol.asyncIterator](),
      [Symbol.asyncDispose]: () => connection.close(),
    };
  }
  for (
    const [remote, expected] of [
      ["tcp://10.0.0.9:1234", ["tcp://10.0.0.7:2"]],
      ["tcp://127.0.0.1:1234", ["tcp://127.0.0.1:1", "tcp://10.0.0.7:2"]],
    ] as const
  ) {
    const { node, log } = world.add(`ada-${expected.length}`, {
      transport: transport(remote),
      insecure: true,
    });
    await node.listen("tcp://127.0.0.1:1");
    await node.listen("tcp://10.0.0.7:2");
    await node.listen("tcp://0.0.0.0:3");
    assertEquals(node.addresses, ["tcp://127.0.0.1:1", "tcp://10.0.0.7:2"]);
    assert(log.of("warn").some((line) => line.includes("advertise")));
    const other = world.add(`bob-${expected.length}`, {
      transport: transport("tcp://10.0.0.8:1"),
    });
    const dialled = remote.startsWith("tcp://10.")
      ? "10.0.0.7:2"
      : "127.0.0.1:1";
    await passFor(world.clock, other.node.join(`tcp://${dialled}`));
    await pass(world.clock, 2_000);
    assertEquals(other.node.members.get(node.id)?.addresses, expected);
    await passFor(world.clock, node.close());
    await passFor(world.clock, other.node.close());
  }
});

Deno.test("Node refuses to listen and to join once it is closed", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  await passFor(world.clock, node.close());
  await assertRejects(() => node.listen("memory://ada"), ClosedError);
  await assertRejects(() => node.join("memory://bob"), ClosedError);
  await assertRejects(() => node.emit("x"), ClosedError);
  await assertRejects(() => node.send("ada", "x"), ClosedError);
  await assertRejects(() => node.request("ada", "x"), ClosedError);
  assert(await isSettled(node.closed));
});

Deno.test("Node.join() of one address twice at once leaves no timer behind", async () => {
  const world = virtualWorld();
  const { node } = world.add("ada");
  await passFor(
    world.clock,
    Promise.all([node.join("memory://nobody"), node.join("memory://nobody")]),
  );
  await passFor(world.clock, node.close());
  assertEquals(world.clock.pending, 0);
});

/** The ids that two programs were found to share. */
function conflictsOf(told: readonly Told[]): string[] {
  return told.flatMap(({ name, event }) =>
    name === "conflict" ? [event.id] : []
  );
}
