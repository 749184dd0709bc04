/** Plugins around whole nodes: their order, and what one that misbehaves can do. */
import { createNode, type Node, type NodeOptions } from "@devts/devts";
import { assert, assertEquals } from "@std/assert";
import {
  combine,
  type Connection,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";
import { allow } from "@devts/plugins/allow";
import { analytics } from "@devts/plugins/analytics";
import { balance } from "@devts/plugins/balance";
import { compress } from "@devts/plugins/compress";
import { faults } from "@devts/plugins/faults";
import { limit } from "@devts/plugins/limit";
import { trace } from "@devts/plugins/trace";
import type { LinkPlugin, Plugin } from "@devts/plugins";
import { Changes, tellingOfEnds } from "./_support_test.ts";

interface Events {
  echo(value: unknown): unknown;
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Nodes in a network of their own. */
class Cluster implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly #nodes = new AsyncDisposableStack();

  add(id: string, options: Partial<NodeOptions> = {}): Node<Events> {
    const node = this.#nodes.use(
      createNode<Events>({
        cluster: "plugins",
        id,
        transport: memory(this.network),
        logger: silent,
        ...options,
      }),
    );
    node.on("echo", (value) => value);
    return node;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#nodes.disposeAsync();
  }
}

/** Says who sees what, and when. */
function noted(name: string, notes: string[]): Plugin {
  return (inner) =>
    wrapTransport(inner, {
      connect(address, options) {
        notes.push(`${name} connect`);
        return inner.connect(address, options);
      },
    });
}

function notedLink(name: string, notes: string[]): LinkPlugin {
  return (connection, { id }) => {
    notes.push(`${name} around ${id}`);
    return wrapConnection(connection, {
      send(message) {
        notes.push(`${name} send`);
        return connection.send(message);
      },
    });
  };
}

Deno.test("createNode() puts plugins around its transport before, and link plugins around a link after the handshake, the first one outermost", async () => {
  await using cluster = new Cluster();
  const notes: string[] = [];
  const one = cluster.add("one");
  const two = cluster.add("two", {
    plugins: [noted("a", notes), noted("b", notes)],
    linkPlugins: [notedLink("c", notes), notedLink("d", notes)],
  });
  await one.listen("memory://one");
  await two.join("memory://one");
  await two.request("one", "echo", 1);
  assertEquals(notes.slice(0, 6), [
    ...["a connect", "b connect"],
    ...["d around one", "c around one", "c send", "d send"],
  ]);
});

Deno.test("A node works over all plugins at once, on any combination of transports", async () => {
  await using cluster = new Cluster();
  const counts = analytics();
  const lines: string[] = [];
  const linkPlugins = (): LinkPlugin[] => [
    counts.link,
    trace({ write: (line) => lines.push(line) }),
    compress(),
    limit({ receive: { bytes: 1e9 }, send: { messages: 1e6 } }),
  ];
  const transport = combine(tcp(), memory(cluster.network));
  const one = cluster.add("one", { transport, linkPlugins: linkPlugins() });
  const two = cluster.add("two", {
    transport,
    linkPlugins: linkPlugins(),
    plugins: [
      balance({
        entry: ["memory://nobody", "tcp://127.0.0.1:1", "memory://one"],
      }),
      allow(["127.0.0.1", "one", "nobody"]),
      faults({ delay: [0, 2] }).plugin,
      counts.plugin,
    ],
  });
  await one.listen("memory://one");
  await one.listen("tcp://127.0.0.1:0");
  assertEquals(await two.join("balance://entry"), 1);
  const text = "over and over again ".repeat(500);
  for (let i = 0; i < 20; i++) {
    assertEquals(await two.request("one", "echo", text), text);
  }
  const { peers, connections } = counts.snapshot();
  assertEquals(connections.opened, 1);
  assert(peers.every(({ sent }) => sent.bytes > 20 * text.length));
  assert(lines.some((line) => line.includes("one ->")));
});

/** A link to one peer that misbehaves; those to others are left alone. */
function against(
  id: string,
  misbehave: (connection: Connection) => Connection,
): LinkPlugin {
  return (connection, peer) =>
    peer.id === id ? misbehave(connection) : connection;
}

const never = <T>(): Promise<T> => new Promise(() => {});

const BAD: readonly (readonly [what: string, LinkPlugin])[] = [
  [
    "throws where it is put around",
    against("bad", () => {
      throw new Error("no");
    }),
  ],
  [
    "throws from send",
    against("bad", (connection) =>
      wrapConnection(connection, {
        send: () => {
          throw new TypeError("no");
        },
      })),
  ],
  [
    "rejects from receive",
    against("bad", (connection) =>
      wrapConnection(connection, {
        receive: () => Promise.reject(new RangeError("no")),
      })),
  ],
  [
    "gives what is no message",
    against("bad", (connection) =>
      wrapConnection(connection, {
        receive: async () => {
          const message = await connection.receive();
          return message && Uint8Array.of(7, 7, 7, 7);
        },
      })),
  ],
  [
    "never sends, receives or closes",
    against(
      "bad",
      (connection) =>
        wrapConnection(connection, {
          send: never,
          receive: never,
          close: never,
        }),
    ),
  ],
];

for (const [what, plugin] of BAD) {
  Deno.test(`A link plugin that ${what} harms only its link`, async () => {
    await using cluster = new Cluster();
    let links = 0;
    const changes = new Changes();
    const count: LinkPlugin = (connection) => {
      links++;
      changes.changed();
      return connection;
    };
    const hub = cluster.add("hub", {
      plugins: [(inner) => tellingOfEnds(inner, changes.changed)],
      linkPlugins: [plugin, count],
    });
    const good = cluster.add("good");
    const bad = cluster.add("bad");
    await hub.listen("memory://hub");
    await good.join("memory://hub");
    const joining = bad.join("memory://hub").catch(() => 0);
    await changes.until(() => hub.counters.refused + links > 1);
    for (let i = 0; i < 50; i++) {
      assertEquals(await good.request("hub", "echo", i), i);
      void hub.emit("echo", i);
    }
    assert(hub.members.has("good"));
    await bad.close();
    await joining;
    const { broken, refused, violations } = hub.counters;
    if (!what.startsWith("never")) assert(broken + refused + violations > 0);
  });
}

Deno.test("A plugin that throws on a dial, or never ends one, harms only that dial", async () => {
  await using cluster = new Cluster();
  const inner = memory(cluster.network);
  const transport = wrapTransport(inner, {
    connect(address, options) {
      if (address === "memory://throws") throw new TypeError("no");
      if (address === "memory://hangs") return never();
      return inner.connect(address, options);
    },
  });
  const hub = cluster.add("hub");
  const node = cluster.add("node", { transport });
  await hub.listen("memory://hub");
  const hanging = node.join("memory://hangs").catch(() => 0);
  const throwing = node.join("memory://throws").catch((error) => error.name);
  assertEquals(await throwing, "TypeError");
  assertEquals(await node.join("memory://hub"), 1);
  assertEquals(await node.request("hub", "echo", 1), 1);
  await node.close();
  await hanging;
});

Deno.test("A plugin that throws on an accepted connection refuses it, and the next one comes in", async () => {
  await using cluster = new Cluster();
  const inner = memory(cluster.network);
  let left = 3;
  const hub = cluster.add("hub", {
    plugins: [(transport) =>
      wrapTransport(transport, {
        connection(connection, role) {
          if (role === "acceptor" && left-- > 0) throw new Error("no");
          return connection;
        },
      })],
  });
  await hub.listen("memory://hub");
  for (let i = 0; i < 3; i++) {
    const stranger = await inner.connect("memory://hub");
    await stranger.receive().catch(() => null);
    await stranger.close();
  }
  const { promise: joined, resolve } = Promise.withResolvers<string>();
  hub.onSystem("join", ({ id }) => resolve(id));
  const good = cluster.add("good");
  assertEquals(await good.join("memory://hub"), 1);
  assertEquals(await joined, "good");
});
