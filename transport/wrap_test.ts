import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { memory } from "./memory.ts";
import { testTransport } from "./testing.ts";
import { ConnectionError } from "./types.ts";
import { wrapConnection, wrapTransport } from "./wrap.ts";

testTransport("wrapTransport()", {
  transport: () =>
    wrapTransport(memory(), {
      connection: (connection) => wrapConnection(connection, {}),
    }),
  address: "memory://0",
});

Deno.test("wrapConnection() iterates and disposes through what replaces the methods", async () => {
  const transport = memory();
  await using listener = await transport.listen("memory://0");
  await using dialled = await transport.connect(listener.address);
  const accepted = await nextOf(listener);
  const calls: string[] = [];
  {
    await using wrapped = wrapConnection(accepted, {
      receive(options) {
        calls.push("receive");
        return accepted.receive(options);
      },
      close(reason) {
        calls.push("close");
        return accepted.close(reason);
      },
    });
    await dialled.send(Uint8Array.of(1));
    await dialled.close();
    assertEquals(await Array.fromAsync(wrapped), [Uint8Array.of(1)]);
    assertEquals(wrapped.remote, accepted.remote);
  }
  assertEquals(calls, ["receive", "receive", "close"]);
});

Deno.test("wrapTransport() wraps both ends and tells who opened", async () => {
  const roles: string[] = [];
  const transport = wrapTransport(memory(), {
    connection(connection, role) {
      roles.push(role);
      return connection;
    },
  });
  await using listener = await transport.listen("memory://0");
  await using _dialled = await transport.connect(listener.address);
  await using _accepted = await nextOf(listener);
  assertEquals(roles, ["dialer", "acceptor"]);
});

Deno.test("wrapTransport() refuses a dialled connection whose wrapper throws", async () => {
  const inner = memory();
  const cause = new Error("not on the list");
  const transport = wrapTransport(inner, {
    connection() {
      throw cause;
    },
  });
  await using listener = await inner.listen("memory://0");
  const error = await assertRejects(
    () => transport.connect(listener.address),
    ConnectionError,
    "not on the list",
  );
  assertStrictEquals(error.cause, cause);
  await using accepted = await nextOf(listener);
  await assertRejects(() => accepted.receive(), ConnectionError);
});

Deno.test("wrapTransport() skips an accepted connection whose wrapper throws", async () => {
  const inner = memory();
  let seen = 0;
  const transport = wrapTransport(inner, {
    connection(connection) {
      if (++seen === 1) throw new Error("not on the list");
      return connection;
    },
  });
  await using listener = await transport.listen("memory://0");
  await using refused = await inner.connect(listener.address);
  await using welcome = await inner.connect(listener.address);
  await welcome.send(Uint8Array.of(1));
  await using accepted = await nextOf(listener);
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  await assertRejects(() => refused.receive(), ConnectionError);
});

Deno.test("wrapTransport() replaces connect and listen", async () => {
  const inner = memory();
  const transport = wrapTransport(inner, {
    connect: () => Promise.reject(new ConnectionError("Cannot connect")),
    listen: () => inner.listen("memory://elsewhere"),
  });
  assertEquals(transport.schemes, ["memory"]);
  await using listener = await transport.listen("memory://here");
  assertEquals(listener.address, "memory://elsewhere");
  await assertRejects(() => transport.connect("memory://elsewhere"));
});

async function nextOf<T>(items: AsyncIterable<T>): Promise<T> {
  for await (const item of items) return item;
  throw new Error("nothing came");
}
