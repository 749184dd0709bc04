import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { start } from "./_process.ts";

Deno.test("router_alone.ts lets workers reach each other over message ports", async () => {
  await using process = start("router_alone.ts", []);
  await process.line(/^ada says "hello" to cyd, by way of (bob|dan)$/);
  await process.line(/^cyd heard "hello" from ada$/);
  const since = process.lines.length;
  await process.line(/^ada says "hello again" to cyd, by way of dan$/, {
    since,
  });
  await process.line(/^cyd heard "hello again" from ada$/, { since });
  assertEquals((await process.status).code, 0);
  for (const id of ["bob", "cyd", "dan"]) {
    assert(process.lines.includes(`${id} heard "good night" from ada`));
  }
  assert(process.lines.every((line) => !line.includes("did not reach")));
});

Deno.test("router_alone.ts shows its help", async () => {
  await using process = start("router_alone.ts", ["--help"]);
  assertEquals((await process.status).code, 0);
  assertStringIncludes(process.lines[0] ?? "", "examples/router_alone.ts");
});

Deno.test("router_alone.ts and router_sockets.ts import @devts/routing and nothing else of the project", async () => {
  for (const script of ["router_alone.ts", "router_sockets.ts"]) {
    const code = await Deno.readTextFile(
      new URL(import.meta.resolve(`./${script}`)),
    );
    const packages = [...code.matchAll(/from "(@devts\/[^"/]+)/g)];
    assert(packages.length > 0);
    for (const [, name] of packages) assertEquals(name, "@devts/routing");
  }
});
