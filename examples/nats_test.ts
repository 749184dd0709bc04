import { assert, assertEquals, assertRejects } from "@std/assert";
import { createNode, JoinError, type Node } from "@devts/devts";
import { natsRouter } from "@devts/routing/nats";
import { linesOf } from "./_lines.ts";
import { start } from "./_process.ts";
import { isMember, silent } from "./_support_test.ts";
import { store, webApp, type WebEvents } from "./web.ts";

/** Where `nats-server` is installed: Debian's folder may not be in `PATH`. */
const SERVER = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin"]
  .map((folder) => `${folder}/nats-server`)
  .find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });

interface NatsServer extends AsyncDisposable {
  readonly port: number;
}

/** Starts a NATS server; -1 is any free port. */
async function natsServer(port = -1): Promise<NatsServer> {
  const child = new Deno.Command(SERVER ?? "nats-server", {
    args: ["-a", "127.0.0.1", "-p", `${port}`],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const read = (async (): Promise<void> => {
    for await (const line of linesOf(child.stderr)) {
      const bound = /client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (bound !== undefined) port = Number(bound);
      if (line.includes("Server is ready")) resolve();
    }
    reject(new Error("nats-server has ended"));
  })();
  await ready;
  const { status } = child;
  let killed = false;
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      if (!killed) child.kill("SIGKILL");
      killed = true;
      await Promise.all([status, read]);
    },
  };
}

function test(fact: string, fn: () => Promise<void>): void {
  const why = SERVER === undefined
    ? " (skipped: no nats-server is installed; apt-get install nats-server)"
    : "";
  Deno.test({ name: fact + why, ignore: SERVER === undefined, fn });
}

function web(port: number, id: string): Node<WebEvents> {
  const servers = `nats://127.0.0.1:${port}`;
  return createNode<WebEvents>({
    cluster: "test",
    id,
    router: natsRouter({ servers, cluster: "test" }),
    logger: silent,
    meta: { type: "web" },
  });
}

test("join() without addresses finds the nodes of a NATS server", async () => {
  await using server = await natsServer();
  await using ada = web(server.port, "ada");
  await using bob = web(server.port, "bob");
  const original = ada.use("store", store());
  const copy = bob.use("store", store());
  const app = webApp(ada, original);
  const { promise: told, resolve } = Promise.withResolvers<string>();
  bob.on("test_broadcast", (text, { from }) => resolve(`${from}: ${text}`));

  assertEquals(await ada.join(), 0);
  await original.set("colour", "blue");
  await bob.join();
  await bob.ready({ members: 1 });
  assertEquals(bob.members.get("ada")?.meta, { type: "web" });
  await copy.fetch();
  assertEquals(copy.dump(), { colour: "blue" });
  const reply = await app.request("/");
  assertEquals(await reply.text(), "test_event says hello");
  assertEquals(await told, "ada: test_event says hello");
  assertEquals(
    await bob.request("ada", "test_event", "x"),
    "test_event says x",
  );
});

test("close() takes leave over NATS", async () => {
  await using server = await natsServer();
  await using ada = web(server.port, "ada");
  const bob = web(server.port, "bob");
  const { promise: left, resolve } = Promise.withResolvers<string>();
  ada.onSystem("leave", ({ reason }) => resolve(reason));
  await ada.join();
  await bob.join();
  await isMember(ada, "bob");
  await bob.close();
  assertEquals(await left, "left");
});

test("nodes recover once a killed NATS server is back", async () => {
  await using first = await natsServer();
  const { port } = first;
  await using ada = web(port, "ada");
  await using bob = web(port, "bob");
  ada.on("test_event", (text) => `ada says ${text}`);
  await ada.join();
  await bob.join();
  await bob.ready({ members: 1 });
  assertEquals(await bob.request("ada", "test_event", "1"), "ada says 1");

  await first[Symbol.asyncDispose]();
  const waiting = bob.request("ada", "test_event", "2");
  await using _second = await natsServer(port);
  assertEquals(await waiting, "ada says 2");
});

test("deliver(), gather() and drain() work over NATS, also past a killed server", async () => {
  await using first = await natsServer();
  const { port } = first;
  await using ada = web(port, "ada");
  await using bob = web(port, "bob");
  const got: string[] = [];
  ada.on("test_broadcast", (text) => got.push(text));
  ada.on("test_event", (text) => `ada says ${text}`);
  await ada.join();
  await bob.join();
  await bob.ready({ handles: ["test_broadcast", "test_event"] });
  const { acknowledged } = await bob.deliver("test_broadcast", "1");
  assertEquals(acknowledged, [{ node: "ada", group: null }]);

  await first[Symbol.asyncDispose]();
  const waiting = bob.deliver("test_broadcast", "2");
  await using _second = await natsServer(port);
  assertEquals((await waiting).acknowledged.length, 1);
  assertEquals(got, ["1", "2"]);
  const replies = await Array.fromAsync(bob.gather("test_event", "hi"));
  assertEquals(replies, [{ from: "ada", data: "ada says hi" }]);
  assertEquals(await ada.drain(), true);
});

test("groups are queue groups of NATS: who is gone gets nothing more", async () => {
  await using server = await natsServer();
  const { port } = server;
  const handled = new Map<string, number[]>();
  await using sender = web(port, "sender");
  const workers = ["w1", "w2", "w3"].map((id) => web(port, id));
  await using stack = new AsyncDisposableStack();
  for (const worker of workers) {
    stack.use(worker);
    worker.on("test_broadcast", (text) => {
      const known = handled.get(worker.id) ?? [];
      handled.set(worker.id, [...known, Number(text)]);
    }, { group: "workers" });
    // Whoever knows of this knows all that it handles.
    (worker as unknown as Node).on(worker.id, () => {});
    await worker.join();
  }
  await sender.join();
  await sender.ready({ members: 3, handles: workers.map(({ id }) => id) });
  const answers = (ids: readonly string[]): Promise<unknown> =>
    Promise.allSettled(ids.map((id) => sender.request(id, "test_event", "x")));
  for (let i = 0; i < 300; i++) {
    const { nodes } = await sender.emit("test_broadcast", `${i}`);
    assertEquals(nodes, 1);
  }
  await answers(["w1", "w2", "w3"]);
  const all = [...handled.values()];
  assertEquals(all.flat().sort((a, b) => a - b), numbers(300));
  assertEquals(all.length, 3);
  for (const one of all) assertEquals(one, one.toSorted((a, b) => a - b));

  handled.clear();
  await workers[0]?.close();
  for (let i = 0; i < 60; i++) sender.emit("test_broadcast", `${i}`);
  await answers(["w2", "w3"]);
  const rest = [...handled.values()].flat();
  assertEquals(rest.sort((a, b) => a - b), numbers(60));
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

test("join() says where no NATS server is", async () => {
  const server = await natsServer();
  await server[Symbol.asyncDispose]();
  await using node = web(server.port, "ada");
  const error = await assertRejects(() => node.join(), JoinError);
  assert(error.message.includes(`nats://127.0.0.1:${server.port}`));
});

test("nats.ts shares its store through a NATS server", async () => {
  await using server = await natsServer();
  const url = `nats://127.0.0.1:${server.port}`;
  await using first = start("nats.ts", [url]);
  const [, one = ""] = await first.line(/host port (\d+)/);
  const set = await fetch(`http://127.0.0.1:${one}/set/colour/blue`);
  await set.body?.cancel();
  await using second = start("nats.ts", [url]);
  const [, two = ""] = await second.line(/host port (\d+)/);
  const response = await fetch(`http://127.0.0.1:${two}/store`);
  assertEquals(await response.json(), { colour: "blue" });
});
