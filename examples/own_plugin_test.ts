import { assertEquals, assertRejects } from "@std/assert";
import { withPlugins } from "@devts/plugins";
import {
  type Connection,
  ConnectionError,
  type Listener,
  wrapTransport,
} from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { start } from "./_process.ts";
import { greet } from "./_support_test.ts";
import { checksummed, persistent } from "./own_plugin.ts";

async function accept(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

/** A transport whose first dials fail. */
function failing(times: number) {
  const inner = memory();
  let dials = 0;
  const transport = wrapTransport(inner, {
    connect(address, options) {
      dials++;
      return dials > times
        ? inner.connect(address, options)
        : Promise.reject(new ConnectionError("nobody is there"));
    },
  });
  return { transport, dials: () => dials };
}

Deno.test("persistent() dials again, but not for ever", async () => {
  const twice = failing(2);
  const transport = withPlugins(twice.transport, persistent(3));
  await using listener = await transport.listen("memory://inbox");
  await (await transport.connect(listener.address)).close();
  assertEquals(twice.dials(), 3);

  const always = failing(Infinity);
  await assertRejects(
    () => withPlugins(always.transport, persistent(3)).connect("memory://x"),
    ConnectionError,
    "nobody is there",
  );
  assertEquals(always.dials(), 3);
});

Deno.test("checksummed() hands on what is right, and ends a link over what is not", async () => {
  const transport = memory();
  await using listener = await transport.listen("memory://inbox");
  const [dialled, accepted] = await Promise.all([
    transport.connect(listener.address),
    accept(listener),
  ]);
  const near = checksummed()(dialled, { id: "bob" });
  const far = checksummed()(accepted, { id: "ada" });
  for (const length of [0, 1, 1_000]) {
    await near.send(new Uint8Array(length).fill(7));
    assertEquals(await far.receive(), new Uint8Array(length).fill(7));
  }
  await dialled.send(Uint8Array.of(1, 2, 3, 4, 5));
  await assertRejects(
    () => far.receive(),
    ConnectionError,
    'A message of "ada" has a wrong checksum',
  );
  await Promise.all([near.close(), far.close()]);
});

Deno.test("Plugins of one's own carry a chat", async () => {
  const { ada, bob } = await greet("memory://ada", {
    transport: memory(),
    plugins: [persistent(2)],
    linkPlugins: [checksummed()],
  });
  assertEquals(ada, ["* b is here", "b: hi"]);
  assertEquals(bob, ["* Ada is here", "Ada: hello"]);
});

Deno.test("own_plugin.ts runs the chat of chat.ts", async () => {
  await using ada = start("own_plugin.ts", ["--name", "Ada"]);
  const [, port = ""] = await ada.line(/cluster port (\d+)/);
  await using bob = start("own_plugin.ts", [port]);
  await ada.line(/is here$/);
  await ada.type("hello");
  await bob.line(/^Ada: hello$/);
});
