import { assertEquals, assertThrows } from "@std/assert";
import { publishedMembers, ROOT, toMember } from "./members.ts";

Deno.test("publishedMembers() names the packages, the root last, no stand-in", async () => {
  const members = await publishedMembers();
  assertEquals(members.map(({ name }) => name), [
    "@devts/transport",
    "@devts/routing",
    "@devts/protocol",
    "@devts/plugins",
    "@devts/node",
    "@devts/devts",
  ]);
});

Deno.test("publishedMembers() have one version", async () => {
  const members = await publishedMembers();
  assertEquals(new Set(members.map(({ version }) => version)).size, 1);
});

Deno.test("toMember() takes one entry for the main one", () => {
  const config = { name: "@a/b", version: "1.0.0", exports: "./mod.ts" };
  assertEquals(toMember(ROOT, config).exports, new Map([[".", "./mod.ts"]]));
});

Deno.test("toMember() refuses a package without name, version or exports", () => {
  const config = { name: "@a/b", version: "1.0.0", exports: "./mod.ts" };
  for (const key of ["name", "version", "exports"]) {
    assertThrows(
      () => toMember(ROOT, { ...config, [key]: undefined }),
      SyntaxError,
    );
  }
});
