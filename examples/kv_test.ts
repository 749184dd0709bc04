import { assert, assertEquals, assertMatch } from "@std/assert";
import { createNode, type Node } from "@devts/devts";
import { map, type ReplicatedMap } from "@devts/node/state";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { kvApp } from "./kv.ts";
import { linesOf } from "./_lines.ts";
import { type Process, start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";

interface Server extends AsyncDisposable {
  readonly node: Node;
  readonly kv: ReplicatedMap<string>;
  readonly app: ReturnType<typeof kvApp>;
}

async function server(transport: Transport, id: string): Promise<Server> {
  const node = createNode({ cluster: "test", id, transport, logger: silent });
  const kv = node.use("kv", map<string>({ replicas: 2 }));
  const closing = new AbortController();
  await node.listen(`memory://${id}`);
  return {
    node,
    kv,
    app: kvApp(kv, closing.signal),
    [Symbol.asyncDispose]: () => {
      closing.abort();
      return node.close();
    },
  };
}

async function put(
  { app }: Server,
  path: string,
  body: string,
): Promise<Response> {
  return await app.request(path, { method: "PUT", body });
}

Deno.test("kvApp() writes on one node what another one reads", async () => {
  const transport = memory();
  await using ada = await server(transport, "ada");
  await using bob = await server(transport, "bob");
  await meet(bob.node, ada.node);

  const made = await put(ada, "/kv/colour?level=all", "blue");
  assertEquals(made.status, 204);
  const read = await bob.app.request("/kv/colour");
  assertEquals(await read.text(), "blue");
  assertEquals(read.headers.get("etag"), `"${ada.kv.version("colour")}"`);

  await put(ada, "/kv/a%2Fb?level=all", "slash");
  const listed = await bob.app.request("/kv?prefix=a");
  assertEquals(await listed.json(), { "a/b": "slash" });

  const gone = await ada.app.request("/kv/colour?level=all", {
    method: "DELETE",
  });
  assertEquals(gone.status, 204);
  assertEquals((await bob.app.request("/kv/colour")).status, 404);
});

Deno.test("kvApp() says what is wrong with a request", async () => {
  await using ada = await server(memory(), "ada");
  const none = await put(ada, "/kv/a?level=most", "x");
  assertEquals(none.status, 400);
  assertEquals(await none.json(), {
    error: 'There is no level "most": there are memory, fsync, quorum, all',
  });
  const fsync = await put(ada, "/kv/a?level=fsync", "x");
  assertEquals(fsync.status, 400);
  assertMatch((await fsync.json()).error, /storage/);
  const big = await put(ada, "/kv/a", "x".repeat(512 * 1024 + 1));
  assertEquals(big.status, 413);
  await big.body?.cancel();
  const long = await put(ada, `/kv/${"k".repeat(1_025)}?level=memory`, "x");
  assertEquals(long.status, 400);
  assertMatch((await long.json()).error, /1,?024/);
});

Deno.test("kvApp() takes any key and any text as it is, and no other bytes", async () => {
  await using ada = await server(memory(), "ada");
  const texts: [string, string][] = [
    ["__proto__", ""],
    ["constructor", "no mark"],
    ["a b/ü?&#%", "\0\n\u2028"],
    ["\u{1f600}", "\u{1f600}"],
  ];
  for (const [key, text] of texts) {
    const path = `/kv/${encodeURIComponent(key)}`;
    const made = await put(ada, `${path}?level=memory`, text);
    assertEquals(made.status, 204);
    const read = await ada.app.request(path);
    assertEquals(
      await read.bytes(),
      new TextEncoder().encode(text),
    );
  }
  const listed = await (await ada.app.request("/kv")).text();
  const found: unknown[] = [];
  JSON.parse(listed, (key, value) => {
    if (typeof value === "string") found.push([key, value]);
    return value;
  });
  assertEquals(found, texts);
  const body = new Uint8Array([0xff, 0xfe]);
  const bytes = await ada.app.request("/kv/b", { method: "PUT", body });
  assertEquals(bytes.status, 400);
  assertEquals(await bytes.json(), { error: "A value is text in UTF-8" });
  assertEquals(ada.kv.has("b"), false);
});

Deno.test("kvApp() tells those who watch of each change, until they go", async () => {
  await using ada = await server(memory(), "ada");
  const { body } = await ada.app.request("/watch");
  assert(body);
  const lines = linesOf(body);
  await put(ada, "/kv/a?level=memory", "1");
  await ada.app.request("/kv/a?level=memory", { method: "DELETE" });
  const seen: string[] = [];
  for await (const line of lines) {
    if (line !== "" && seen.push(line) === 3) break;
  }
  assertEquals(seen, [
    ": watching",
    'data: {"key":"a","value":"1"}',
    'data: {"key":"a","value":null}',
  ]);
  await put(ada, "/kv/a?level=memory", "2"); // nobody is there any more
});

interface Running {
  readonly process: Process;
  readonly url: string;
  readonly clusterPort: string;
}

async function kvProcess(
  entry: string,
  data: string,
  replicas: number,
): Promise<Running> {
  const process = start("kv.ts", [
    ...entry === "" ? [] : [entry],
    ...["--replicas", `${replicas}`, "--data", data],
  ]);
  const [, clusterPort = ""] = await process.line(/cluster port (\d+)/);
  const [, port = ""] = await process.line(/host port (\d+)/);
  return { process, clusterPort, url: `http://127.0.0.1:${port}` };
}

Deno.test("kv.ts keeps what it has acknowledged when all of its nodes are killed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const first = await kvProcess("", `${folder}/one`, 2);
    const second = await kvProcess(first.clusterPort, `${folder}/two`, 2);
    await using _one = first.process;
    await using _two = second.process;
    const made = await fetch(`${second.url}/kv/colour?level=all`, {
      method: "PUT",
      body: "blue",
    });
    assertEquals(made.status, 204, await made.text());
    for (const { process } of [first, second]) {
      process.kill("SIGKILL");
      await process.status;
    }
    const again = await kvProcess("", `${folder}/one`, 2);
    await using _again = again.process;
    const read = await fetch(`${again.url}/kv/colour`);
    assertEquals(await read.text(), "blue");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("kv.ts ends while somebody watches", async () => {
  await using process = start("kv.ts", []);
  const [, port = ""] = await process.line(/host port (\d+)/);
  const { body } = await fetch(`http://127.0.0.1:${port}/watch`);
  const reader = body?.getReader();
  await reader?.read();
  process.kill("SIGTERM");
  assertEquals((await process.status).code, 0, process.lines.join("\n"));
  await reader?.cancel();
});
