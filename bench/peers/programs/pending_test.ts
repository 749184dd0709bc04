import { assertEquals } from "@std/assert";
import { Pending } from "./pending.ts";

Deno.test("Pending.close() gives each request its reply, in any order", async () => {
  const pending = new Pending();
  const one = pending.open(Uint8Array.of(1));
  const two = pending.open(Uint8Array.of(2));
  pending.close(two.message);
  pending.close(one.message);
  assertEquals([...await one.reply], [1]);
  assertEquals([...await two.reply], [2]);
});

Deno.test("Pending.open() copies the bytes", () => {
  const bytes = Uint8Array.of(1, 2);
  const { message } = new Pending().open(bytes);
  bytes.fill(0);
  assertEquals([...message.subarray(-2)], [1, 2]);
});

Deno.test("Pending.close() lets go what nobody waits for", () => {
  new Pending().close(Uint8Array.of(0, 0, 0, 9, 1));
});
