import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createNode,
  type Logger,
  type Node,
  type NodeOptions,
} from "@devts/devts";
import { analytics } from "@devts/plugins/analytics";
import { json } from "@devts/protocol/json";
import { msgpack } from "@devts/protocol/msgpack";
import { memory } from "@devts/transport/memory";
import { combine, type Transport, wrapConnection } from "@devts/transport";
import { tcp } from "@devts/transport/tcp";

interface Chat {
  say(text: string): void;
  sum(numbers: number[]): number;
}

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

function make(options: Partial<NodeOptions> = {}): Node<Chat> {
  return createNode<Chat>({ cluster: "test", logger: quiet, ...options });
}

/** Resolves once a condition holds, which is asked whenever a node tells something. */
async function until(
  nodes: readonly Node<Chat>[],
  condition: () => boolean,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = (): void => {
    if (condition()) resolve();
  };
  using stack = new DisposableStack();
  for (const node of nodes) {
    for (const name of ["join", "leave", "update"] as const) {
      stack.use(node.onSystem(name, check));
    }
  }
  check();
  await promise;
}

const MESHES: readonly {
  readonly name: string;
  readonly transport: () => Transport;
  readonly address: string;
}[] = [
  { name: "memory()", transport: shared(memory()), address: "memory://0" },
  { name: "tcp()", transport: () => tcp(), address: "tcp://127.0.0.1:0" },
];

function shared(transport: Transport): () => Transport {
  return () => transport;
}

for (const { name, transport, address } of MESHES) {
  Deno.test(`createNode() makes a full mesh of 50 nodes over ${name}`, async () => {
    const size = 50;
    const open = new Map<string, number>();
    const complete = Promise.withResolvers<void>();
    let single = 0;
    // Links may break and come back before all are there at once.
    const count = (pair: string, change: 1 | -1): void => {
      const before = open.get(pair) ?? 0;
      open.set(pair, before + change);
      if (before === 1) single--;
      if (before + change === 1) single++;
      if (single === size * (size - 1)) complete.resolve();
    };
    const nodes = Array.from({ length: size }, (_, i) =>
      make({
        id: `n${i}`,
        transport: transport(),
        linkPlugins: [(connection, peer) => {
          const key = `n${i}-${peer.id}`;
          count(key, 1);
          let isOpen = true;
          return wrapConnection(connection, {
            close: (reason) => {
              if (isOpen) count(key, -1);
              isOpen = false;
              return connection.close(reason);
            },
          });
        }],
      }));
    const { promise, resolve } = Promise.withResolvers<void>();
    const heard = new Map<string, number>();
    let events = 0;
    for (const node of nodes) {
      node.on("say", (_text, { from }) => {
        assertEquals(from, "n7");
        heard.set(node.id, (heard.get(node.id) ?? 0) + 1);
        if (++events === 10 * (size - 1)) resolve();
      });
    }
    const [first, ...others] = nodes;
    assert(first);
    const entry = await first.listen(address);
    await Promise.all(others.map(async (node) => {
      await node.listen(address);
      // Where all come at once, the entry node may not answer in time: it is asked again.
      await node.join(entry);
    }));
    await until(
      nodes,
      () => nodes.every((node) => node.members.size === size - 1),
    );
    await complete.promise;

    const speaker = nodes[7];
    assert(speaker);
    for (let i = 0; i < 10; i++) {
      assertEquals(await speaker.emit("say", "hi"), {
        nodes: size - 1,
        dropped: 0,
      });
    }
    await promise;
    assertEquals(heard.size, size - 1);
    assert([...heard.values()].every((count) => count === 10));

    await Promise.all(nodes.map((node) => node.close()));
    assertEquals(
      [...open].filter(([, links]) => links !== 0),
      [],
    );
    assert(nodes.every((node) => node.counters.violations === 0));
  });
}

Deno.test("createNode() makes nodes that talk over TCP", async () => {
  await using one = make();
  await using two = make();
  one.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
  const address = await one.listen("tcp://127.0.0.1:0");
  assertEquals(await two.join(address), 1);
  assertEquals(await two.request(one.id, "sum", [1, 2, 3]), 6);
  assertEquals([...two.members.keys()], [one.id]);
});

Deno.test("createNode() gives each node an id of 32 hexadecimal digits", async () => {
  const nodes = Array.from({ length: 20 }, () => make());
  const ids = new Set(nodes.map(({ id }) => id));
  assertEquals(ids.size, 20);
  await Promise.all(nodes.map((node) => node.close()));
  for (const id of ids) assert(/^[0-9a-f]{32}$/.test(id), id);
});

Deno.test("createNode() puts link plugins around each link", async () => {
  const counts = analytics();
  const transport = memory();
  await using one = make({ id: "one", transport, linkPlugins: [counts.link] });
  await using two = make({ id: "two", transport });
  await using three = make({ id: "three", transport });
  const address = await one.listen("memory://one");
  await two.join(address);
  await three.join(address);
  await until([one], () => one.members.size === 2);
  const { promise, resolve } = Promise.withResolvers<void>();
  two.on("say", () => resolve());
  const before = counts.snapshot();
  await one.send("two", "say", "x".repeat(10_000));
  await promise;
  const after = counts.snapshot();
  const sentTo = (id: string, { peers } = after) =>
    peers.find((peer) => peer.id === id)?.sent.bytes ?? NaN;
  assertEquals(after.peers.map(({ id, links }) => [id, links]), [
    ["two", 1],
    ["three", 1],
  ]);
  assert(sentTo("two") - sentTo("two", before) >= 10_000);
  assert(sentTo("three") - sentTo("three", before) < 1_000);
});

Deno.test("createNode() puts plugins around its transport, the first one outermost", async () => {
  const calls: string[] = [];
  const log = (name: string) => (inner: Transport): Transport => ({
    schemes: inner.schemes,
    connect: (address, options) => {
      calls.push(name);
      return inner.connect(address, options);
    },
    listen: (address) => inner.listen(address),
  });
  await using node = make({
    transport: memory(),
    plugins: [log("outer"), log("inner")],
  });
  assertEquals(await node.join("memory://nobody"), 0);
  assertEquals(calls, ["outer", "inner"]);
});

Deno.test("createNode() survives a link plugin that throws", async () => {
  const transport = memory();
  let throws = true;
  await using one = make({
    id: "one",
    transport,
    linkPlugins: [(connection) => {
      if (throws) throw new Error("not this one");
      return connection;
    }],
  });
  const address = await one.listen("memory://one");
  await using two = make({ id: "two", transport });
  await two.join(address);
  throws = false;
  await using three = make({ id: "three", transport });
  assertEquals(await three.join(address), 1);
  one.on("sum", () => 3);
  assertEquals(await three.request("one", "sum", []), 3);
});

Deno.test("createNode() links nodes whose codecs write the same format", async () => {
  const transport = memory();
  await using one = make({ id: "one", transport });
  await using two = make({ id: "two", transport, codec: msgpack() });
  one.on("sum", (numbers) => numbers.length);
  two.on("sum", (numbers) => -numbers.length);
  await two.join(await one.listen("memory://one"));
  assertEquals(await two.request("one", "sum", [1, 2]), 2);
  assertEquals(await one.request("two", "sum", [1, 2]), -2);
  await using three = make({ transport, codec: json() });
  await assertRejects(() => three.join("memory://one"), Error, "format");
});

Deno.test("createNode() links nodes over several transports", async () => {
  const inProcess = memory();
  await using hub = make({ id: "hub", transport: combine(tcp(), inProcess) });
  const outside = await hub.listen("tcp://127.0.0.1:0");
  const inside = await hub.listen("memory://hub");
  await using near = make({ transport: inProcess });
  await using far = make();
  hub.on("sum", () => 1);
  assertEquals(await near.join(inside), 1);
  assertEquals(await far.join(outside), 1);
  assertEquals(await near.request("hub", "sum", []), 1);
  assertEquals(await far.request("hub", "sum", []), 1);
});

Deno.test("createNode() advertises one address or several", async () => {
  await using one = make({ advertise: "tcp://10.0.0.7:1" });
  await using two = make({
    advertise: ["tcp://10.0.0.7:1", "tcp://10.0.0.8:1"],
  });
  assertEquals(one.addresses, ["tcp://10.0.0.7:1"]);
  assertEquals(two.addresses.length, 2);
});

Deno.test("createNode() logs the cluster port at INFO", async () => {
  const lines: string[] = [];
  await using node = make({
    logger: { ...quiet, info: (line) => lines.push(line) },
  });
  const address = await node.listen("tcp://127.0.0.1:0");
  const port = address.slice(address.lastIndexOf(":") + 1);
  assert(lines[0]?.includes(`cluster port ${port}`), lines[0]);
});

Deno.test("createNode() keeps order and count over TCP under load, awaited", async () => {
  await using one = make();
  await using two = make();
  const count = 50_000;
  let next = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  two.on("sum", ([number]) => {
    assertEquals(number, next);
    if (++next === count) resolve();
    return 0;
  });
  await one.join(await two.listen("tcp://127.0.0.1:0"));
  for (let i = 0; i < count; i++) await one.send(two.id, "sum", [i]);
  await promise;
  assertEquals(one.counters.dropped, 0);
});

Deno.test("createNode() lets what is queued arrive over TCP before it closes", async () => {
  const one = make({ id: "one" });
  await using two = make({ id: "two" });
  const lengths: number[] = [];
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  two.on("say", (text) => {
    lengths.push(text.length);
  });
  two.onSystem("leave", () => resolve());
  await one.join(await two.listen("tcp://127.0.0.1:0"));
  // Less than a slow machine carries in the 2 s that a link has for it.
  const sent = Array.from({ length: 25 }, (_, i) => 50_000 + i);
  for (const length of sent) one.emit("say", "x".repeat(length));
  await one.close();
  await gone;
  assertEquals(lengths, sent);
});

Deno.test("createNode() does nothing before listen or join", () => {
  // The sanitizers see the rest: no timer, no resource.
  const node = make();
  assertEquals(node.members.size, 0);
});
