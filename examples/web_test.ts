import { assertEquals } from "@std/assert";
import { createNode, type Node } from "@devts/devts";
import { map, type ReplicatedMap } from "@devts/node/state";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { type Process, start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";
import { type Store, store, webApp, type WebEvents } from "./web.ts";

interface Web extends AsyncDisposable {
  readonly node: Node<WebEvents>;
  readonly store: Store;
  readonly app: ReturnType<typeof webApp>;
}

async function web(transport: Transport, id: string): Promise<Web> {
  const node = createNode<WebEvents>({
    cluster: "test",
    id,
    transport,
    logger: silent,
  });
  const entries = node.use("store", store());
  const app = webApp(node, entries);
  await node.listen(`memory://${id}`);
  return {
    node,
    store: entries,
    app,
    [Symbol.asyncDispose]: () => node.close(),
  };
}

async function get({ app }: Web, path: string): Promise<string> {
  return await (await app.request(path)).text();
}

Deno.test("GET / answers with the node's own reply and tells the others", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await using bob = await web(transport, "bob");
  const { promise: told, resolve } = Promise.withResolvers<string>();
  bob.node.on(
    "test_broadcast",
    (text, { from }) => resolve(`${from}: ${text}`),
  );
  await meet(bob.node, ada.node);

  assertEquals(await get(ada, "/"), "test_event says hello");
  assertEquals(await told, "ada: test_event says hello");
});

Deno.test("GET /set/:name/:value reaches the store of every web node", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await using bob = await web(transport, "bob");
  await meet(bob.node, ada.node);

  assertEquals(
    JSON.parse(await get(ada, "/set/__proto__/a%20b")),
    { name: "__proto__", value: "a b", nodes: 1 },
  );
  await bob.store.fetch();
  for (const node of [ada, bob]) {
    assertEquals(await get(node, "/store"), '{"__proto__":"a b"}');
  }
});

Deno.test("Store.fetch() gives a newcomer what the others have", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await ada.store.set("colour", "blue");
  await ada.store.set("size", "small");

  await using bob = await web(transport, "bob");
  await meet(bob.node, ada.node);
  await bob.store.fetch();
  assertEquals(bob.store.dump(), { colour: "blue", size: "small" });
});

Deno.test("Store.fetch() keeps what was set meanwhile", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await ada.store.set("colour", "blue");
  await using bob = await web(transport, "bob");
  await meet(bob.node, ada.node);

  const fetching = bob.store.fetch();
  await bob.store.set("colour", "red");
  await fetching;
  assertEquals(bob.store.dump(), { colour: "red" });
});

Deno.test("Store shows no values but texts", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await using stranger = createNode({
    cluster: "test",
    transport,
    logger: silent,
  });
  const entries = stranger.use<ReplicatedMap<unknown>>(
    "store",
    (scope) => scope.use("entries", map<unknown>({ replicas: 2 })),
  );
  await meet(stranger, ada.node);
  await entries.set("number", 42);
  await entries.set("text", "x");
  await ada.store.fetch();
  assertEquals(ada.store.dump(), { text: "x" });
});

Deno.test("web.ts serves on the host port, and says so where that is in use", async () => {
  await using first = start("web.ts", []);
  const [, port = ""] = await first.line(/host port (\d+)/);
  const response = await fetch(`http://127.0.0.1:${port}/store`);
  assertEquals(await response.json(), {});

  const [, cluster = ""] = await first.line(/cluster port (\d+)/);
  await using second = start("web.ts", [cluster, port]);
  assertEquals((await second.status).code, 1);
  const message =
    `error: Cannot serve on host port ${port}: it is in use; choose another`;
  assertEquals(second.lines.at(-1), message);
});

/** A web node in a process of its own, and the ports it printed. */
async function webProcess(
  args: readonly string[],
): Promise<{ process: Process; url: string; clusterPort: string }> {
  const process = start("web.ts", args);
  const [, clusterPort = ""] = await process.line(/cluster port (\d+)/);
  const [, port = ""] = await process.line(/host port (\d+)/);
  return { process, clusterPort, url: `http://127.0.0.1:${port}` };
}

Deno.test("web.ts keeps its store in --data while every node is down", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const one = ["--data", `${folder}/one`];
    const two = ["--data", `${folder}/two`];
    const first = await webProcess(one);
    await using _first = first.process;
    const second = await webProcess([first.clusterPort, ...two]);
    await using _second = second.process;
    const made = await fetch(`${second.url}/set/colour/blue`);
    assertEquals((await made.json()).value, "blue");
    for (const { process } of [first, second]) {
      process.kill("SIGTERM");
      await process.status;
    }
    const again = await webProcess(two);
    await using _again = again.process;
    const store = await fetch(`${again.url}/store`);
    assertEquals(await store.json(), { colour: "blue" });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
