import { assertArrayIncludes, assertEquals } from "@std/assert";
import { checkTree, format } from "./tools/layers.ts";

Deno.test("every module keeps to the layers", async () => {
  const { files, violations } = await checkTree(new URL("./", import.meta.url));
  assertArrayIncludes(files, ["transport/types.ts", "node/mod.ts", "mod.ts"]);
  assertEquals(violations.map(format), []);
});
