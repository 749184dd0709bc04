import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Writer } from "./_bytes.ts";
import { NatsServer, SERVER } from "./_nats_server_test.ts";
import { writePeer } from "./_peer_codec.ts";
import { seededRandom } from "./_random.ts";
import { garbage } from "./_suite.ts";
import { VirtualClock } from "./_virtual_clock.ts";
import { systemClock } from "./clock.ts";
import type { ExplainingRouter } from "./explain.ts";
import { incarnationAt, nextEpoch } from "./incarnation.ts";
import { natsRouter, type NatsRouterOptions } from "./nats.ts";
import {
  type Clock,
  type LinkingRouter,
  type NodeId,
  NodeNotFoundError,
  type Router,
  type RouterContext,
} from "./types.ts";

const MIB = 1_048_576;
const START = incarnationAt(Date.now());

/** A router over a real server, and what it handed up. */
class Station implements AsyncDisposable {
  readonly router: LinkingRouter;
  readonly #counters: Readonly<Record<string, number>>;
  readonly delivered: string[] = [];
  readonly payloads: Uint8Array[] = [];
  readonly undelivered: string[] = [];
  readonly links: string[] = [];
  missed = 0;

  constructor(
    readonly id: NodeId,
    options: NatsRouterOptions,
    { incarnation = START, clock = systemClock() }: {
      incarnation?: number;
      clock?: Clock;
    } = {},
  ) {
    const context: RouterContext = {
      self: { id, incarnation, addresses: [] },
      clock,
      random: Math.random,
      links: { send: () => false, connect() {}, disconnect() {} },
      up: {
        deliver: (from, payload) => {
          this.delivered.push(`${from}: ${new TextDecoder().decode(payload)}`);
          this.payloads.push(payload);
        },
        undelivered: (to, head, lastHop, reason) => {
          assertEquals(lastHop, id);
          assert(reason !== "");
          this.undelivered.push(`${to}: ${new TextDecoder().decode(head)}`);
        },
        missed: (_from, count) => {
          this.missed += count;
        },
        link: (event) => {
          const who = event.type === "up" ? event.peer.id : event.id;
          this.links.push(`${event.type} ${who}`);
        },
      },
    };
    const router = natsRouter(options)(context);
    const { counters = {} } = router;
    assert(isLinking(router));
    this.router = router;
    this.#counters = counters;
  }

  get nodes(): string[] {
    return [...this.router.nodes].sort();
  }

  send(to: readonly NodeId[] | "all", content: string): number {
    return this.router.send(to, text(content));
  }

  count(name: string): number {
    return this.#counters[name] ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.router.close();
    await this.router.closed;
  }
}

function isExplaining(router: Router): router is ExplainingRouter {
  return "explain" in router;
}

function isLinking(router: Router): router is LinkingRouter {
  return "open" in router;
}

/** Registers a test with a server of its own. */
function test(fact: string, fn: (server: NatsServer) => Promise<void>): void {
  const why = SERVER === undefined
    ? " (skipped: no nats-server is installed; apt-get install nats-server)"
    : "";
  Deno.test({
    name: `natsRouter() ${fact}${why}`,
    ignore: SERVER === undefined,
    fn: async () => {
      await using server = await NatsServer.start();
      await fn(server);
    },
  });
}

/** Four routers that know each other. */
async function four(
  server: NatsServer,
  stack: AsyncDisposableStack,
): Promise<[Station, Station, Station, Station]> {
  const options = { servers: server.url, cluster: "test" };
  const make = (id: string): Station => stack.use(new Station(id, options));
  const all: [Station, Station, Station, Station] = [
    make("a"),
    make("b"),
    make("c"),
    make("d"),
  ];
  for (const { router } of all) await router.open();
  await until(() => all.every(({ nodes }) => nodes.length === 3));
  return all;
}

/** What `open` resolves to where the others have all the time that they take to answer. */
async function opened(station: Station, clock: VirtualClock): Promise<number> {
  const opening = station.router.open();
  await until(() => station.nodes.length > 0);
  return await passed(opening, clock);
}

/** What a promise resolves to, while virtual time passes. */
async function passed<T>(promise: Promise<T>, clock: VirtualClock): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  promise.then(over, over);
  await until(() => {
    clock.tick(100);
    return isOver;
  });
  return await promise;
}

/** A way to a server that keeps back what that says, from the first connection on. */
class FarServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #near = Promise.withResolvers<void>();
  readonly #serving: Promise<void>;

  constructor({ url }: NatsServer) {
    this.#serving = this.#serve(Number(url.split(":").at(-1)));
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Passes on what was kept, and all that follows. */
  come(): void {
    this.#near.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.come();
    await this.#serving;
    this.#listener.close();
  }

  async #serve(port: number): Promise<void> {
    using client = await this.#listener.accept();
    using server = await Deno.connect({ hostname: "127.0.0.1", port });
    let isConnected = false;
    await Promise.all([
      pass(client, server, () => Promise.resolve()),
      pass(server, client, async (said) => {
        if (isConnected) await this.#near.promise;
        isConnected ||= said.includes("PONG");
      }),
    ]);
  }
}

/** Passes on what comes, as soon as it may, until either end closes. */
async function pass(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  may: (said: string) => Promise<void>,
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      const part = buffer.slice(0, count);
      await may(new TextDecoder().decode(part));
      for (let at = 0; at < count;) at += await to.write(part.subarray(at));
    }
    await to.closeWrite();
  } catch {
    // The other direction has ended this one, too.
  }
}

/** Looks again and again, in turns of the event loop, until something holds. */
async function until(condition: () => boolean): Promise<void> {
  const clock = systemClock();
  const end = clock.now() + 60_000;
  while (!condition()) {
    assert(clock.now() < end, `not within 60 s: ${condition}`);
    await new Promise<void>((resolve) => clock.after(2, resolve));
  }
}

/** Whatever a node has sent before has come where its last word has. */
async function settle(from: Station, to: readonly Station[]): Promise<void> {
  from.send("all", "end");
  const end = `${from.id}: end`;
  await until(() => to.every(({ delivered }) => delivered.at(-1) === end));
  for (const { delivered } of to) delivered.pop();
}

/** Packets of a node that is not there, made by hand. */
function forged(type: number, incarnation = START): Writer {
  return new Writer().u8(1).u8(type).u53(incarnation);
}

/** What the node "ghost" announces: how many broadcasts it has sent. */
function here(broadcasts: number, incarnation = START): Uint8Array {
  const writer = forged(4, incarnation).u8(0).u53(broadcasts).u53(0).u53(0);
  writePeer(writer, { id: "ghost", incarnation, addresses: [] }, () => true);
  return writer.take();
}

async function client({ url }: NatsServer): Promise<
  NatsConnection & AsyncDisposable
> {
  const connection = await connect({ servers: url, reconnect: false });
  return Object.assign(connection, {
    [Symbol.asyncDispose]: () => connection.close(),
  });
}

Deno.test("natsRouter() refuses options out of range", () => {
  const servers = "nats://127.0.0.1";
  assertThrows(() => natsRouter({ servers, cluster: "" }), TypeError);
  assertThrows(() => natsRouter({ servers: [], cluster: "x" }), TypeError);
  assertThrows(
    () => natsRouter({ servers, cluster: "x", maxPending: 1 }),
    RangeError,
  );
});

Deno.test("natsRouter() open() names the server that does not answer", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `nats://127.0.0.1:${listener.addr.port}`;
  listener.close();
  await using one = new Station("a", { servers: url, cluster: "test" });
  await assertRejects(() => one.router.open(), Error, url);
  await assertRejects(() => one.router.open(), Error, "Cannot connect to NATS");
});

test("open() resolves to how many nodes are there", async (server) => {
  const options = { servers: server.url, cluster: "test" };
  const clock = new VirtualClock();
  await using one = new Station("a", options);
  await using two = new Station("b", options, { clock });
  assertEquals(await one.router.open(), 0);
  assertEquals(await opened(two, clock), 1);
  assertEquals([one.nodes, two.nodes], [["b"], ["a"]]);
  assertEquals([one.links, two.links], [["up b"], ["up a"]]);
});

test("open() gives nodes more time where the server answers late", async (server) => {
  await using far = new FarServer(server);
  const clock = new VirtualClock();
  const cluster = "test";
  await using one = new Station("a", { servers: server.url, cluster });
  await using two = new Station("b", { servers: far.url, cluster }, { clock });
  await one.router.open();
  const opening = two.router.open();
  await until(() => one.nodes.length === 1);
  clock.tick(1_000);
  far.come();
  await until(() => two.nodes.length === 1);
  assertEquals(await passed(opening, clock), 1);
});

test("passes the sentences of Router", async (server) => {
  await using stack = new AsyncDisposableStack();
  const all = await four(server, stack);
  const [a, b, c, d] = all;
  for (const { id, nodes } of all) {
    assertEquals(nodes, ["a", "b", "c", "d"].filter((other) => other !== id));
  }
  assertEquals(a.send(["d"], "to one"), 1);
  assertEquals(a.send(["b", "d"], "to some"), 2);
  assertEquals(a.send("all", "to all"), 3);
  assertEquals(a.send([], "to nobody"), 0);
  for (const id of ["nobody", "a"]) {
    const error = assertThrows(
      () => a.send(["b", id], "x"),
      NodeNotFoundError,
      id,
    );
    assertEquals(error.id, id);
  }
  const payload = text("control");
  assertEquals(a.router.send(["c"], payload, "control"), 1);
  assertEquals(payload, text("control"));
  await settle(a, [b, c, d]);
  assertEquals(a.delivered, []);
  assertEquals(b.delivered, ["a: to some", "a: to all"]);
  assertEquals(c.delivered, ["a: to all", "a: control"]);
  assertEquals(d.delivered, ["a: to one", "a: to some", "a: to all"]);
});

test("explains that the server passes on what is sent, or that it waits for it", async (server) => {
  await using stack = new AsyncDisposableStack();
  const [{ router }] = await four(server, stack);
  assert(isExplaining(router));
  const { how, why, ways } = router.explain("b");
  assertEquals([how, ways], ["server", [{
    nodes: ["a", "b"],
    isWhole: false,
  }]]);
  assertStringIncludes(why, "it was heard at the NATS server ");
  assertEquals(router.explain("nobody"), {
    how: "none",
    why: "it has not announced itself at the NATS server",
    ways: [],
  });
  await server.kill();
  await until(() => router.explain("b").how === "wait");
  assertStringIncludes(
    router.explain("b").why,
    "there is no connection to NATS",
  );
});

test("reaches everyone once, in the order of each sender", async (server) => {
  await using stack = new AsyncDisposableStack();
  const all = await four(server, stack);
  const expected = new Map<string, string[]>();
  for (let i = 0; i < 500; i++) {
    for (const from of all) {
      const others = all.filter((to) => to !== from);
      const only = others[i % 7];
      from.send(only === undefined ? "all" : [only.id], `${i}`);
      for (const { id } of only === undefined ? others : [only]) {
        const pair = `${from.id} to ${id}`;
        expected.set(pair, [
          ...expected.get(pair) ?? [],
          `${from.id}: ${i}`,
        ]);
      }
    }
  }
  for (const from of all) {
    from.send("all", "end");
    for (const to of all) {
      if (to !== from) {
        await until(() => to.delivered.includes(`${from.id}: end`));
      }
    }
  }
  for (const [pair, contents] of expected) {
    const [from, , to] = pair.split(" ");
    const seen = all.find(({ id }) => id === to)?.delivered
      .filter((line) => line.startsWith(`${from}:`) && !line.endsWith("end"));
    assertEquals(seen, contents, pair);
  }
  assertEquals(all.map(({ missed }) => missed), [0, 0, 0, 0]);
});

test("send() carries an empty payload and 64 KiB, and tells what is too long", async (server) => {
  await using stack = new AsyncDisposableStack();
  const [a, b] = await four(server, stack);
  const bytes = new Uint8Array(65_536).map((_, i) => i);
  assertEquals(a.router.send(["b"], bytes.subarray(0, 0)), 1);
  assertEquals(a.router.send(["b"], bytes), 1);
  assertEquals(a.router.send(["b"], new Uint8Array(MIB)), 0);
  assertEquals(a.router.send("all", new Uint8Array(MIB)), 0);
  assertEquals([a.count("oversized"), a.undelivered.length], [2, 1]);
  await settle(a, [b]);
  const [empty, long] = b.payloads;
  assertEquals(empty?.length, 0);
  assert(long?.length === 65_536 && long.every((byte, i) => byte === i % 256));
  assertEquals(b.missed, 0);
});

test("keeps clusters apart, whatever their names and ids", async (server) => {
  const servers = server.url;
  await using one = new Station("a.*>", { servers, cluster: "x.>" });
  await using two = new Station("b%2E", { servers, cluster: "x.>" });
  await using other = new Station("c", { servers, cluster: "x" });
  for (const { router } of [one, other, two]) await router.open();
  await until(() => one.nodes.length > 0 && two.nodes.length > 0);
  assertEquals([one.nodes, two.nodes, other.nodes], [["b%2E"], ["a.*>"], []]);
  one.send(["b%2E"], "hello");
  await until(() => two.delivered.length > 0);
  assertEquals(two.delivered, ["a.*>: hello"]);
});

test("close() says goodbye, twice without effect", async (server) => {
  await using stack = new AsyncDisposableStack();
  const [a, b, , d] = await four(server, stack);
  d.send("all", "last");
  d.router.close();
  d.router.close();
  await d.router.closed;
  await until(() => !a.router.nodes.has("d") && !b.router.nodes.has("d"));
  assertEquals([a.delivered, b.delivered], [["d: last"], ["d: last"]]);
  assertEquals(a.links.at(-1), "down d");
  assertEquals([d.send("all", "x"), d.send(["a"], "x")], [0, 0]);
  assertThrows(() => a.send(["d"], "x"), NodeNotFoundError);
});

test("finds a node again after its restart", async (server) => {
  const options = { servers: server.url, cluster: "test" };
  await using a = new Station("a", options);
  await a.router.open();
  await using before = new Station("d", options);
  await before.router.open();
  await until(() => a.nodes.length === 1 && before.nodes.length === 1);
  // The first is still there, as if its program had not been noticed to be dead.
  const incarnation = nextEpoch(START);
  const clock = new VirtualClock();
  await using after = new Station("d", options, { incarnation, clock });
  assertEquals(await opened(after, clock), 1);
  assertEquals(a.links, ["up d", "down d", "up d"]);
  before.send(["a"], "of an earlier life");
  await until(() => a.count("stale") > 0);
  after.send(["a"], "hello");
  await until(() => a.delivered.length > 0);
  assertEquals(a.delivered, ["d: hello"]);
});

test("member() gives up a node that has left", async (server) => {
  await using stack = new AsyncDisposableStack();
  const [a, b] = await four(server, stack);
  const member = { id: "b", incarnation: START, addresses: [] };
  a.router.member({ type: "leave", member, reason: "left" });
  assertEquals(a.nodes, ["c", "d"]);
  b.send(["a"], "from beyond");
  await until(() => a.count("stale") > 0);
  assertEquals([a.delivered, a.nodes], [[], ["c", "d"]]);
});

test("forgets who falls silent", async (server) => {
  const clock = new VirtualClock();
  const options = { servers: server.url, cluster: "test" };
  await using a = new Station("a", options, { clock });
  await using ghost = await client(server);
  await passed(a.router.open(), clock);
  ghost.publish("devts.1.test.all.ghost", here(0));
  await until(() => a.nodes.length === 1);
  clock.tick(6_000);
  assertEquals(a.nodes, ["ghost"]);
  clock.tick(4_000);
  assertEquals([a.nodes, a.links], [[], ["up ghost", "down ghost"]]);
  a.router.close();
  // The clock that bounds the last word stands still.
  await a.router.closed;
});

test("tells what is missing, takes nothing twice, nothing absurd", async (server) => {
  await using a = new Station("a", { servers: server.url, cluster: "test" });
  await using ghost = await client(server);
  await a.router.open();
  const all = (number: number, content: string): void =>
    ghost.publish(
      "devts.1.test.all.ghost",
      forged(1).u53(number).raw(text(content)).take(),
    );
  const one = (number: number, content: string): void =>
    ghost.publish(
      "devts.1.test.to.a.ghost",
      forged(2).u53(10).u53(number).raw(text(content)).take(),
    );
  all(5, "unannounced");
  ghost.publish("devts.1.test.all.ghost", here(5));
  all(6, "6");
  all(6, "again");
  all(9, "9");
  one(11, "11");
  one(14, "14");
  one(13, "late");
  all(2 ** 50, "absurd");
  one(2 ** 50, "absurd");
  ghost.publish("devts.1.test.all.ghost", here(12));
  ghost.publish(
    "devts.1.test.all.ghost",
    here(12, incarnationAt(Date.now() + 2 * 3_600_000)),
  );
  all(13, "13");
  await until(() => a.delivered.at(-1) === "ghost: 13");
  assertEquals(
    a.delivered,
    ["6", "9", "11", "14", "13"].map((n) => `ghost: ${n}`),
  );
  assertEquals(a.missed, 2 + 2 + 3);
  const names = ["strangers", "duplicates", "absurd", "implausible", "missed"];
  assertEquals(names.map((name) => a.count(name)), [1, 2, 2, 1, 7]);
  a.send(["ghost"], "hello");
  ghost.publish("devts.1.test.to.a.ghost", forged(5).u53(1).u53(9).take());
  await until(() => a.undelivered.length > 0);
  assertEquals(a.undelivered, ["ghost: hello"]);
});

test("bears 10,000 bad packets", async (server) => {
  await using stack = new AsyncDisposableStack();
  const [a, b] = await four(server, stack);
  await using stranger = await client(server);
  const samples: Uint8Array[] = [];
  const listening = stranger.subscribe("devts.1.test.>", {
    callback: (_, { data }) => {
      samples.push(data);
    },
  });
  await stranger.flush();
  for (let i = 0; i < 20; i++) b.send(i % 2 ? "all" : ["a"], "sample");
  await until(() => samples.length >= 20);
  listening.unsubscribe();
  const random = seededRandom(42);
  const tokens = ["x", "b", "a", "%", "%2e", "x".repeat(65)];
  for (let i = 0; i < 10_000; i++) {
    const from = tokens[Math.floor(random() * tokens.length)];
    const where = random() < 0.5 ? "all" : "to.a";
    stranger.publish(`devts.1.test.${where}.${from}`, garbage(random, samples));
    if (i % 1000 === 0) await stranger.flush();
  }
  await stranger.flush();
  await until(() => {
    // Numbers made up in the name of "b" may have passed its own.
    a.send(["b"], "still here");
    return b.delivered.at(-1) === "a: still here";
  });
  assert(a.count("malformed") > 1000);
  assert(a.router.nodes.size < 6);
});

test("what waits for the server is bounded", async (server) => {
  const options = { servers: server.url, cluster: "test", maxPending: MIB * 2 };
  await using a = new Station("a", options);
  await using b = new Station("b", options);
  await a.router.open();
  await b.router.open();
  await until(() => a.nodes.length === 1 && b.nodes.length === 1);
  await server.pause();
  const payload = new Uint8Array(65_536 - 100);
  const handed = Array.from(
    { length: 100 },
    () => a.router.send("all", payload),
  ).reduce((x, y) => x + y);
  assertEquals([handed, a.count("dropped")], [32, 68]);
  const { room } = a.router;
  assert(room !== null);
  server.resume();
  await room;
  a.send("all", "end");
  await until(() => b.delivered.at(-1) === "a: end");
  assertEquals([b.delivered.length, b.missed], [33, 68]);
});

test("recovers from a server that was killed, and tells what was lost", async (server) => {
  await using stack = new AsyncDisposableStack();
  const all = await four(server, stack);
  const [a, b, c, d] = all;
  let sent = 0;
  const send = (times: number): void => {
    for (let i = 0; i < times; i++) {
      assertEquals(a.send(["b"], `only ${sent}`), 1);
      assertEquals(a.send("all", `${sent++}`), 3);
    }
  };
  send(100);
  await until(() => d.delivered.length > 50);
  send(100);
  await server.kill();
  send(100);
  await until(() => a.router.room === null);
  send(100);
  await server.restart();
  await until(() => all.every((one) => one.count("reconnects") === 1));
  send(100);
  await until(() => all.every(({ nodes }) => nodes.length === 3));
  const end = "a: end";
  a.send("all", "end");
  await until(() =>
    [b, c, d].every(({ delivered }) => delivered.at(-1) === end)
  );
  for (const one of [c, d]) {
    assertEquals(one.delivered.length - 1 + one.missed, sent, one.id);
    assertEquals(new Set(one.delivered).size, one.delivered.length);
  }
  assertEquals(new Set(b.delivered).size, b.delivered.length);
  assertEquals(b.delivered.length - 1 + b.missed, 2 * sent);
  const only = b.delivered.filter((line) => line.includes("only"));
  await until(() => a.undelivered.length === sent - only.length);
});

test("goes on with another server of the cluster, and tells what was lost", async (first) => {
  await using second = await NatsServer.start(first);
  const options = { cluster: "test" };
  await using a = new Station("a", { ...options, servers: first.url });
  await using b = new Station("b", { ...options, servers: second.url });
  await using c = new Station("c", { ...options, servers: [first.url] });
  const all = [a, b, c];
  for (const { router } of all) await router.open();
  await until(() => all.every(({ nodes }) => nodes.length === 2));
  a.send(["b"], "before");
  await until(() => b.delivered.length === 1);

  await second.pause();
  for (let i = 0; i < 10; i++) {
    a.send(["b"], `${i}`);
    a.send("all", `${i}`);
  }
  await settle(a, [c]); // the first server has handed on what it could
  await second.kill();
  await until(() => a.undelivered.length > 0 && b.missed === 21);
  assertEquals(a.undelivered, Array.from({ length: 10 }, (_, i) => `b: ${i}`));
  assertEquals([b.count("reconnects"), a.count("reconnects")], [1, 0]);
  a.send(["b"], "after");
  await until(() => b.delivered.length === 2);
  assertEquals(b.delivered, ["a: before", "a: after"]);
});

test("leaves a server of the cluster that answers nothing", async (first) => {
  await using second = await NatsServer.start(first);
  const cluster = "test";
  await using a = new Station("a", { cluster, servers: second.url });
  await using b = new Station("b", { cluster, servers: first.url });
  for (const { router } of [a, b]) await router.open();
  await until(() => a.nodes.length === 1 && b.nodes.length === 1);
  await second.pause();
  await until(() => a.count("reconnects") === 1 && a.nodes.length === 1);
  a.send(["b"], "still here");
  await until(() => b.delivered.at(-1) === "a: still here");
});

test("goes on with a server that did not run when it connected", async (first) => {
  // In no cluster: the first one does not tell of it.
  await using second = await NatsServer.start();
  await second.kill();
  const servers = [second.url, first.url];
  await using stack = new AsyncDisposableStack();
  // Which server is tried first is left to chance.
  const all = ["a", "b", "c", "d", "e", "f"].map((id) =>
    stack.use(new Station(id, { servers, cluster: "test" }))
  );
  for (const { router } of all) await router.open();
  await until(() => all.every(({ nodes }) => nodes.length === 5));
  await second.restart();
  await first.kill();
  await until(() => all.every((one) => one.count("reconnects") === 1));
  const [sender, ...others] = all;
  sender?.send("all", "still here");
  await until(() =>
    others.every(({ delivered }) => delivered.at(-1) === "a: still here")
  );
});

test("loses no broadcast while the server is gone for so long that nodes are forgotten", async (server) => {
  const options = { servers: server.url, cluster: "test" };
  await using a = new Station("a", options);
  await using b = new Station("b", options);
  for (const { router } of [a, b]) await router.open();
  await until(() => a.nodes.length === 1 && b.nodes.length === 1);
  a.send("all", "first");
  await until(() => b.delivered.length === 1);
  await server.kill();
  a.send("all", "second");
  a.send(["b"], "only");
  await until(() => a.nodes.length === 0 && b.nodes.length === 0);
  assertEquals(a.undelivered, ["b: only"]);
  await server.restart();
  await until(() => a.nodes.length === 1 && b.nodes.length === 1);
  a.send("all", "third");
  await until(() => b.delivered.at(-1) === "a: third");
  assertEquals(b.delivered, ["a: first", "a: second", "a: third"]);
  assertEquals([b.missed, a.undelivered.length], [0, 1]);
});

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}
