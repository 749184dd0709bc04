import { assert, assertEquals, assertFalse } from "@std/assert";
import { Backlog } from "./_backlog.ts";
import { memory } from "./memory.ts";
import type { Connection } from "./types.ts";

Deno.test("Backlog gives connections in order, those that wait and those to come", async () => {
  const backlog = new Backlog(2);
  const [first, second] = [await connection(), await connection()];
  assert(backlog.reserve());
  assert(backlog.fill(first));
  const iterator = backlog[Symbol.asyncIterator]();
  assertEquals((await iterator.next()).value, first);
  const coming = iterator.next();
  assert(backlog.reserve());
  assert(backlog.fill(second));
  assertEquals((await coming).value, second);
});

Deno.test("Backlog counts places that are kept or filled, until they are free", async () => {
  const backlog = new Backlog(2);
  assert(backlog.reserve());
  assert(backlog.reserve());
  assertFalse(backlog.reserve());
  backlog.release();
  assert(backlog.reserve());
  backlog.fill(await connection());
  assertFalse(backlog.reserve());
  await backlog[Symbol.asyncIterator]().next();
  assert(backlog.reserve());
});

Deno.test("Backlog.close() ends iterations, gives back what waits and takes no more", async () => {
  const waiting = await connection();
  const backlog = new Backlog(2);
  backlog.reserve();
  backlog.reserve();
  backlog.fill(waiting);
  assertEquals(backlog.close(), [waiting]);
  assertFalse(backlog.fill(await connection()));
  assertFalse(backlog.reserve());
  assertEquals(await Array.fromAsync(backlog), []);

  const idle = new Backlog(1);
  const pending = Array.fromAsync(idle);
  assertEquals(idle.close(), []);
  assertEquals(await pending, []);
});

async function connection(): Promise<Connection> {
  const transport = memory();
  const listener = await transport.listen("memory://0");
  return await transport.connect(listener.address);
}
