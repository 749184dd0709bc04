import { assert, assertEquals } from "@std/assert";
import { createNode, type Node } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";
import { textOf, type Value, value } from "./value_node.ts";

interface Valued extends AsyncDisposable {
  readonly node: Node;
  readonly shared: Value;
}

async function valued(
  id: string,
  transport: Transport | null,
): Promise<Valued> {
  const node = createNode({
    cluster: transport ? "test" : "example",
    id,
    ...(transport && { transport }),
    logger: silent,
  });
  const shared = node.use("value", value());
  await node.listen(transport ? `memory://${id}` : "tcp://127.0.0.1:0");
  return { node, shared, [Symbol.asyncDispose]: () => node.close() };
}

/** Resolves to the next value that is set. */
function next(shared: Value): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const watch = shared.watch(resolve);
  return promise.finally(() => watch[Symbol.dispose]());
}

Deno.test("value() is the same on every node that uses it", async () => {
  const transport = memory();
  await using ada = await valued("ada", transport);
  await using bob = await valued("bob", transport);
  await meet(bob.node, ada.node);
  const replicated = next(bob.shared);
  const set = { list: [1, 2.5, null], bytes: new Uint8Array([1, 2]) };
  await ada.shared.set(set);
  assertEquals(await replicated, set);
  assertEquals(ada.shared.get(), set);
});

Deno.test("value() gives a newcomer the value", async () => {
  const transport = memory();
  await using ada = await valued("ada", transport);
  await ada.shared.set(42);
  await using bob = await valued("bob", transport);
  await meet(bob.node, ada.node);
  await bob.shared.sync();
  assertEquals(bob.shared.get(), 42);
});

Deno.test("textOf() shows a value on one line where it is short", () => {
  assertEquals(textOf(7), "7");
  assertEquals(textOf({ a: [1, "x"] }), '{ a: [ 1, "x" ] }');
});

Deno.test('value_node.ts with "w" adds 1 to the value each second', async () => {
  await using ada = await valued("ada", null);
  await ada.shared.set(41);
  const set = next(ada.shared);
  await using _writer = start("value_node.ts", [...ada.node.addresses, "w"]);
  assertEquals(await set, 42);
});

Deno.test("value_node.ts prints the value of the cluster", async () => {
  await using ada = await valued("ada", null);
  await ada.shared.set("seen");
  await using reader = start("value_node.ts", [...ada.node.addresses]);
  assertEquals((await reader.line(/^value: (.*)$/))[1], '"seen"');
});

Deno.test("value_node.ts keeps the value in --data while every node is down", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using first = start("value_node.ts", ["--data", folder]);
    const [, port = ""] = await first.line(/cluster port (\d+)/);
    await using writer = start("value_node.ts", [port, "w"]);
    const [, value = ""] = await first.line(/^value: (\d+)/);
    for (const process of [writer, first]) {
      process.kill("SIGTERM");
      await process.status;
    }
    await using again = start("value_node.ts", ["--data", folder]);
    const [, kept = ""] = await again.line(/^value: (\d+)/);
    assert(Number(kept) >= Number(value), `${kept} after ${value}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
