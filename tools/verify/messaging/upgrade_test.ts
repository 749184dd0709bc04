import { assert, assertEquals } from "@std/assert";
import { rollOut } from "./upgrade.ts";

Deno.test("two versions of a program run together, and one takes the place of the other", async () => {
  const { due, faults, named } = await rollOut();
  assertEquals(faults, []);
  assert(due > 1_000, `${due}`);
  assertEquals(named[0], 'node "b": "user.created" lacks "email"');
});
