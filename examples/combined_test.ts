import { assertEquals } from "@std/assert";
import { createNode } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import type { Transport } from "@devts/transport";
import { combine, type Combined } from "./combined.ts";
import type { WebEvents } from "./web.ts";
import { start } from "./_process.ts";
import { meet, silent } from "./_support_test.ts";

async function get({ app }: Combined, path: string): Promise<string> {
  return await (await app.request(path)).text();
}

function node(transport: Transport, id: string) {
  return createNode<WebEvents>({
    cluster: "test",
    id,
    transport,
    logger: silent,
  });
}

Deno.test("combine() puts three behaviours on one node, which end with it", async () => {
  const transport = memory();
  const ada = node(transport, "ada");
  await using bob = node(transport, "bob");
  const written: string[] = [];
  const { promise: wrote, resolve } = Promise.withResolvers<void>();
  const one = combine(ada, () => Promise.resolve());
  const two = combine(bob, (text) => {
    written.push(text);
    resolve();
    return Promise.resolve();
  });
  await ada.listen("memory://ada");
  await one.entries.set("colour", "blue");
  await meet(bob, ada);
  await two.entries.fetch();
  assertEquals(await get(two, "/store"), '{"colour":"blue"}');
  assertEquals(await get(one, "/"), "test_event says hello");
  assertEquals(await get(one, "/value/7"), '"7"');
  await wrote;
  assertEquals(written, ['"7"']);
  assertEquals(await get(two, "/value"), '"7"');
  assertEquals(await get(one, "/store"), '{"colour":"blue"}');

  await ada.close();
  assertEquals(written.length, 1);
  assertEquals(ada.counters.handlerErrors + bob.counters.handlerErrors, 0);
});

Deno.test("combined.ts serves, replicates and writes, each node a process", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const output = (name: string): string[] => [
      "--output",
      `${folder}/${name}`,
    ];
    await using one = start("combined.ts", output("one"));
    const [, port = ""] = await one.line(/cluster port (\d+)/);
    const [, host = ""] = await one.line(/host port (\d+)/);
    await using two = start("combined.ts", [port, ...output("two")]);
    await two.line(/host port (\d+)/);
    const response = await fetch(`http://127.0.0.1:${host}/value/tea`);
    assertEquals(await response.text(), '"tea"');
    await two.line(/^wrote "tea" to /);
    assertEquals(await Deno.readTextFile(`${folder}/two`), '"tea"');
    await fetch(`http://127.0.0.1:${host}/set/a/b`).then((set) => set.text());
    await two.line(/^store: \["a","b"\]/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
