import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { late } from "./late.ts";

Deno.test("late() falls short on a machine of its own", () => {
  assertEquals(late("3 s", { share: 0.1 }), { figure: "3 s", held: false });
});

Deno.test("late() is skipped beside others, and says how much they took", () => {
  const { figure, held, skipped } = late("3 s", { share: 1.53 });
  assert(!held && skipped === true);
  assertStringIncludes(figure, "3 s; other programs took 153 % of a processor");
});
