import { assertEquals, assertRejects } from "@std/assert";
import { createNode } from "@devts/devts";
import { memory } from "@devts/transport/memory";
import { start } from "./_process.ts";
import { isMember, silent } from "./_support_test.ts";
import { value } from "./value_node.ts";
import { replaceFile, valueWriter } from "./value_writer.ts";

async function temporary(): Promise<
  AsyncDisposable & { readonly folder: string }
> {
  const folder = await Deno.makeTempDir();
  return {
    folder,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function namesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

Deno.test("valueWriter() writes each value, one at a time and in order", async () => {
  await using node = createNode({
    cluster: "test",
    transport: memory(),
    logger: silent,
  });
  const faults: string[] = [];
  node.onSystem("error", ({ message }) => faults.push(message));
  const shared = node.use("value", value());
  const log: string[] = [];
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const write = async (text: string): Promise<void> => {
    log.push(`begin ${text}`);
    await Promise.resolve();
    log.push(`end ${text}`);
    if (text === "2") throw new Error("no room");
    if (text === "3") resolve();
  };
  node.use("writer", valueWriter(shared, write));
  for (const number of [1, 2, 3]) await shared.set(number);
  await done;
  assertEquals(log, [
    "begin 1",
    "end 1",
    "begin 2",
    "end 2",
    "begin 3",
    "end 3",
  ]);
  assertEquals(faults, ['"writer": cannot write 2: Error: no room']);
});

Deno.test("replaceFile() leaves the old text to whoever is reading it", async () => {
  await using place = await temporary();
  const file = `${place.folder}/value.txt`;
  await replaceFile(file, "a long old text");
  using reader = await Deno.open(file);
  await replaceFile(file, "new");
  const old = await new Response(reader.readable).text();
  assertEquals(old, "a long old text");
  assertEquals(await Deno.readTextFile(file), "new");
  assertEquals(await namesIn(place.folder), ["value.txt"]);
});

Deno.test("replaceFile() leaves nothing behind where it fails", async () => {
  await using place = await temporary();
  await Deno.mkdir(`${place.folder}/value.txt/full`, { recursive: true });
  await assertRejects(() => replaceFile(`${place.folder}/value.txt`, "new"));
  assertEquals(await namesIn(place.folder), ["value.txt"]);
});

for (
  const { args, expected } of [
    { args: [], expected: '"two"' },
    { args: ["--append"], expected: '1\n"two"\n' },
  ]
) {
  Deno.test(`value_writer.ts ${args.join(" ")} writes what is set`, async () => {
    await using place = await temporary();
    const file = `${place.folder}/value.txt`;
    await using node = createNode({ cluster: "example", logger: silent });
    const shared = node.use("value", value());
    const address = await node.listen("tcp://127.0.0.1:0");
    await using writer = start("value_writer.ts", [
      address,
      "--id",
      "writer",
      "--output",
      file,
      ...args,
    ]);
    await isMember(node, "writer");
    await shared.set(1);
    await writer.line(/^wrote 1 to /);
    await shared.set("two");
    await writer.line(/^wrote "two" to /);
    assertEquals(await Deno.readTextFile(file), expected);
  });
}
