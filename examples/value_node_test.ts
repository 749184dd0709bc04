import { assertEquals } from "@std/assert";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";
import { textOf, ValueNode } from "./value_node.ts";

async function valueNode(transport: Transport, id: string): Promise<ValueNode> {
  const node = new ValueNode({
    cluster: "test",
    id,
    transport,
    logger: silent,
  });
  await node.listen(`memory://${id}`);
  return node;
}

Deno.test("ValueNode.set() sets the value on every value node", async () => {
  const transport = memory();
  await using ada = await valueNode(transport, "ada");
  await using bob = await valueNode(transport, "bob");
  const { promise: replicated, resolve } = Promise.withResolvers<void>();
  bob.on("replicate", () => resolve());
  await meet(bob, ada);

  const value = { list: [1, 2.5, null], bytes: new Uint8Array([1, 2]) };
  assertEquals(await ada.set(value), { nodes: 1, dropped: 0 });
  await replicated;
  assertEquals(ada.value, value);
  assertEquals(bob.value, value);
});

Deno.test("ValueNode.fetch() gives a newcomer the value", async () => {
  const transport = memory();
  await using ada = await valueNode(transport, "ada");
  await ada.set(42);
  await using bob = await valueNode(transport, "bob");
  await meet(bob, ada);
  await bob.fetch();
  assertEquals(bob.value, 42);
});

Deno.test("ValueNode.fetch() keeps what was set meanwhile", async () => {
  const transport = memory();
  await using ada = await valueNode(transport, "ada");
  await ada.set("old");
  await using bob = await valueNode(transport, "bob");
  await meet(bob, ada);
  const fetching = bob.fetch();
  await bob.set("new");
  await fetching;
  assertEquals(bob.value, "new");
});

Deno.test("ValueNode.fetch() leaves the first value node without a value", async () => {
  await using ada = await valueNode(memory(), "ada");
  await ada.fetch();
  assertEquals(ada.value, undefined);
});

Deno.test("textOf() shows a value on one line where it is short", () => {
  assertEquals(textOf(7), "7");
  assertEquals(textOf({ a: [1, "x"] }), '{ a: [ 1, "x" ] }');
});

Deno.test('value_node.ts with "w" adds 1 to the value each second', async () => {
  await using node = new ValueNode({ cluster: "example", logger: silent });
  await node.set(41);
  const address = await node.listen("tcp://127.0.0.1:0");
  const { promise: replicated, resolve } = Promise.withResolvers<void>();
  node.on("replicate", () => resolve());
  await using _writer = start("value_node.ts", [address, "w"]);
  await replicated;
  assertEquals(node.value, 42);
});

Deno.test("value_node.ts prints the value of the cluster", async () => {
  await using node = new ValueNode({ cluster: "example", logger: silent });
  await node.set("seen");
  const address = await node.listen("tcp://127.0.0.1:0");
  await using reader = start("value_node.ts", [address]);
  assertEquals((await reader.line(/^value: (.*)$/))[1], '"seen"');
});
