import { assertEquals, assertRejects } from "@std/assert";
import { start } from "./_process.ts";

Deno.test("demo.ts plays through", async () => {
  await using demo = start("demo.ts", []);
  const { code } = await demo.status;
  assertEquals(code, 0, demo.lines.join("\n"));
  for (
    const pattern of [
      /^\[web\] .*cluster port \d+/,
      /^\[web2\] .*test_broadcast from "web"/,
      /GET .*\/store → \{"colour":"blue"\}/,
      /^\[value\] .*"web2" is gone: failed/,
      /The value is (\d+); valueoutput.txt says \1\./,
      /All went well/,
    ]
  ) {
    await demo.line(pattern);
  }
});

Deno.test("demo.ts --keep keeps the cluster until it is asked to end, and no longer", async () => {
  await using demo = start("demo.ts", ["--keep"]);
  const [, port] = await demo.line(
    /deno run --allow-net=127.0.0.1 .*value_node\.ts (\d+)/,
  );
  (await Deno.connect({ hostname: "127.0.0.1", port: Number(port) })).close();
  demo.kill("SIGTERM");
  assertEquals((await demo.status).code, 0, demo.lines.join("\n"));
  await assertRejects(
    () => Deno.connect({ hostname: "127.0.0.1", port: Number(port) }),
    Deno.errors.ConnectionRefused,
  );
});

Deno.test("demo.ts takes its processes along where it is interrupted", async () => {
  await using demo = start("demo.ts", []);
  const [, port] = await demo.line(/^\[web\] .*cluster port (\d+)/);
  demo.kill("SIGTERM");
  assertEquals((await demo.status).code, 1);
  await assertRejects(
    () => Deno.connect({ hostname: "127.0.0.1", port: Number(port) }),
    Deno.errors.ConnectionRefused,
  );
});
