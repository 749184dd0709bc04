import { assertEquals, assertRejects } from "@std/assert";
import { memory, MemoryNetwork } from "./memory.ts";
import { testTransport } from "./testing.ts";
import { type Connection, ConnectionError } from "./types.ts";

testTransport("memory()", { transport: () => memory(), address: "memory://0" });

Deno.test("memory() reaches only those of its own network", async () => {
  const network = new MemoryNetwork();
  await using _listener = await memory(network).listen("memory://a");
  await using connection = await memory(network).connect("memory://a");
  assertEquals(connection.remote, "memory://a");
  await assertRejects(() => memory().connect("memory://a"), ConnectionError);
});

Deno.test("memory() refuses connections beyond those that may wait", async () => {
  const transport = memory();
  const listener = await transport.listen("memory://a");
  const waiting: Connection[] = [];
  for (let number = 0; number < 128; number++) {
    waiting.push(await transport.connect("memory://a"));
  }
  await assertRejects(
    () => transport.connect("memory://a"),
    ConnectionError,
    "128 connections wait",
  );
  await listener.close();
  for (const connection of waiting) {
    await assertRejects(() => connection.receive(), ConnectionError);
  }
});

Deno.test("memory() makes a sender wait for a receiver of empty messages too", async () => {
  const transport = memory(new MemoryNetwork(), { highWaterMark: 1_000 });
  await using listener = await transport.listen("memory://a");
  await using dialled = await transport.connect("memory://a");
  const shared = dialled.send(new Uint8Array(0));
  let queued = 1;
  while (dialled.send(new Uint8Array(0)) === shared) queued++;
  assertEquals(queued < 20, true);
  await listener.close();
});

Deno.test("memory() delivers what waits although close with a reason follows", async () => {
  const transport = memory();
  await using listener = await transport.listen("memory://a");
  const dialled = await transport.connect("memory://a");
  await dialled.send(Uint8Array.of(1));
  await dialled.close();
  await dialled.close(new Error("late"));
  for await (const accepted of listener) {
    assertEquals(await Array.fromAsync(accepted), [Uint8Array.of(1)]);
    await accepted.close();
    break;
  }
});
