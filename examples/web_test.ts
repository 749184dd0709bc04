import { assertEquals, assertStringIncludes } from "@std/assert";
import { createNode, type Node } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { start } from "./_process.ts";
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
  const { promise: replicated, resolve } = Promise.withResolvers<void>();
  bob.node.on(">", (_, { name }) => {
    if (name === "store/replicate") resolve();
  });
  await meet(bob.node, ada.node);

  assertEquals(
    JSON.parse(await get(ada, "/set/__proto__/a%20b")),
    { name: "__proto__", value: "a b", nodes: 1 },
  );
  await replicated;
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

Deno.test("Store.fetch() asks the next web node where one does not answer", async () => {
  const transport = memory();
  const options = { cluster: "test", transport, logger: silent };
  await using other = createNode({
    ...options,
    id: "other",
    meta: { type: "value" },
  });
  await using broken = createNode({
    ...options,
    id: "broken",
    meta: { type: "web" },
  });
  await using ada = await web(transport, "ada");
  await ada.store.set("colour", "blue");
  await using bob = await web(transport, "bob");
  for (const node of [other, broken]) {
    await node.listen(`memory://${node.id}`);
    await bob.node.join(`memory://${node.id}`);
  }
  await meet(bob.node, ada.node);

  assertEquals([...bob.node.members.keys()], ["other", "broken", "ada"]);
  await bob.store.fetch();
  assertEquals(bob.store.dump(), { colour: "blue" });
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

Deno.test("Store refuses what is no entry", async () => {
  const transport = memory();
  await using ada = await web(transport, "ada");
  await using stranger = createNode({
    cluster: "test",
    transport,
    logger: silent,
  });
  const faults: string[] = [];
  const { promise: refused, resolve } = Promise.withResolvers<void>();
  const bad = [null, 42, ["a"], ["a", 1], ["a", "b", "c"], { 0: "a", 1: "b" }];
  ada.node.onSystem("error", ({ message }) => {
    if (faults.push(message) === bad.length) resolve();
  });
  await meet(stranger, ada.node);
  for (const data of bad) await stranger.emit("store/replicate", data);
  await refused;
  assertEquals(ada.store.dump(), {});
  assertStringIncludes(faults[0] ?? "", "That is no entry: null");
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
