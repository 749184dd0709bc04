import { assertEquals, assertRejects } from "@std/assert";
import { shared } from "./shared.ts";

const OPTIONS = { short: true, progress: () => {} };

Deno.test("shared() measures once, for all who ask", async () => {
  let count = 0;
  const measure = shared(() => Promise.resolve(++count));
  assertEquals(await measure(OPTIONS), 1);
  assertEquals(await measure(OPTIONS), 1);
});

Deno.test("shared() tells everyone what went wrong", async () => {
  const measure = shared(() => Promise.reject(new Error("no room")));
  await assertRejects(() => measure(OPTIONS), Error, "no room");
  await assertRejects(() => measure(OPTIONS), Error, "no room");
});
