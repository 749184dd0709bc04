import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { Window } from "./window.ts";

/** Whether a promise has settled once all that could do so has. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  return settled;
}

Deno.test("Window.add() has room below both bounds", () => {
  const window = new Window(3, 100);
  const open = Promise.withResolvers<void>();
  assertStrictEquals(window.add(open.promise, 10), undefined);
  assertStrictEquals(window.add(open.promise, 10), undefined);
});

Deno.test("Window.add() waits at the bound of messages, until half are done", async () => {
  const window = new Window(4, 100);
  const messages = Array.from(
    { length: 4 },
    () => Promise.withResolvers<void>(),
  );
  const room = messages.map(({ promise }) => window.add(promise, 1)).at(-1);
  if (room === undefined) throw new Error("There is room");
  messages[0]?.resolve();
  assertEquals(await isSettled(room), false);
  messages[1]?.resolve();
  await room;
});

Deno.test("Window.add() waits at the bound of bytes", async () => {
  const window = new Window(100, 10);
  const message = Promise.withResolvers<void>();
  const room = window.add(message.promise, 10);
  if (room === undefined) throw new Error("There is room");
  assertEquals(await isSettled(room), false);
  message.resolve();
  await room;
});

Deno.test("Window.empty() waits for all", async () => {
  const window = new Window(10, 10);
  await window.empty();
  const message = Promise.withResolvers<void>();
  window.add(message.promise, 1);
  const empty = window.empty();
  assertEquals(await isSettled(empty), false);
  message.resolve();
  await empty;
});

Deno.test("Window passes on what publishing has failed with, also later", async () => {
  const window = new Window(10, 10);
  window.add(Promise.reject(new Error("The server is gone")), 1);
  await assertRejects(() => window.empty(), Error, "The server is gone");
  await assertRejects(() => window.empty(), Error, "The server is gone");
});
