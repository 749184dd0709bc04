import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { createNode } from "@devts/devts";
import { silent } from "./_support_test.ts";
import { start } from "./_process.ts";

const PROGRAMS = [
  "chat.ts",
  "demo.ts",
  "kv.ts",
  "own_router.ts",
  "own_transport.ts",
  "combined.ts",
  "own_codec.ts",
  "value_node.ts",
  "value_writer.ts",
  "web.ts",
];

for (const script of PROGRAMS) {
  Deno.test(`${script} shows its help`, async () => {
    await using process = start(script, ["--help"]);
    assertEquals((await process.status).code, 0);
    const [usage = ""] = process.lines;
    assertStringIncludes(usage, `examples/${script}`);
    const text = await Deno.readTextFile(new URL(script, import.meta.url));
    const named = text.split("*/", 1)[0]?.match(/--allow-[a-z]+=\S+/g) ?? [];
    for (const permission of named) assertStringIncludes(usage, permission);
  });

  Deno.test(`${script} ends with status 2 where an option is unknown`, async () => {
    await using process = start(script, ["--nope"]);
    assertEquals((await process.status).code, 2);
    assertEquals(process.lines[0], "error: There is no option --nope");
  });
}

for (
  const script of [
    "chat.ts",
    "kv.ts",
    "value_node.ts",
    "value_writer.ts",
    "web.ts",
  ]
) {
  Deno.test(`${script} ends with status 2 where the cluster port is none`, async () => {
    await using process = start(script, ["79x46"]);
    assertEquals((await process.status).code, 2);
    assertMatch(
      process.lines[0] ?? "",
      /^error: The cluster port is a number .* not "79x46"$/,
    );
  });

  Deno.test(`${script} joins at the cluster port and says goodbye`, async () => {
    await using node = createNode({ cluster: "example", logger: silent });
    const address = await node.listen("tcp://127.0.0.1:0");
    const { promise: joined, resolve: join } = Promise.withResolvers<string>();
    const { promise: left, resolve: leave } = Promise.withResolvers<string>();
    node.onSystem("join", ({ id }) => join(id));
    node.onSystem("leave", ({ reason }) => leave(reason));

    await using process = start(script, [
      address.split(":").at(-1) ?? "",
      "--id",
      "newcomer",
    ]);
    assertEquals(await joined, "newcomer");
    await process.line(/cluster port \d+/);
    process.kill("SIGTERM");
    assertEquals(await left, "left");
    const { success } = await process.status;
    assert(success, process.lines.join("\n"));
  });
}

Deno.test("run() ends with status 1 and the reason where a program fails", async () => {
  await using stranger = createNode({ cluster: "other", logger: silent });
  const address = await stranger.listen("tcp://127.0.0.1:0");
  await using process = start("chat.ts", [address]);
  assertEquals((await process.status).code, 1);
  assertMatch(process.lines.at(-1) ?? "", /^error: Cannot join /);
});
