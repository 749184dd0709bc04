import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  type Connection,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { memory } from "@devts/transport/memory";
import type { LinkPlugin, Plugin } from "./types.ts";
import { withLinkPlugins, withPlugins } from "./with_plugins.ts";

function sendLogger(
  connection: Connection,
  name: string,
  calls: string[],
): Connection {
  return wrapConnection(connection, {
    async send(message) {
      calls.push(`${name} send`);
      await connection.send(message);
      calls.push(`${name} sent`);
    },
  });
}

function logger(name: string, calls: string[]): Plugin {
  return (transport) =>
    wrapTransport(transport, {
      async connect(address, options) {
        calls.push(`${name} connect`);
        const connection = await transport.connect(address, options);
        calls.push(`${name} connected`);
        return connection;
      },
    });
}

function linkLogger(name: string, calls: string[]): LinkPlugin {
  return (connection, { id }) => {
    calls.push(`${name} around ${id}`);
    return sendLogger(connection, name, calls);
  };
}

Deno.test("withPlugins() calls the first listed first", async () => {
  const calls: string[] = [];
  const transport = withPlugins(
    memory(),
    logger("a", calls),
    logger("b", calls),
  );
  await using listener = await transport.listen("memory://inbox");
  await using _connection = await transport.connect(listener.address);
  assertEquals(calls, ["a connect", "b connect", "b connected", "a connected"]);
});

Deno.test("withPlugins() gives back the transport when there are none", () => {
  const transport = memory();
  assertStrictEquals(withPlugins(transport), transport);
});

Deno.test("withLinkPlugins() makes the first listed the outermost", async () => {
  const calls: string[] = [];
  const transport = memory();
  await using listener = await transport.listen("memory://inbox");
  await using connection = await transport.connect(listener.address);
  const link = withLinkPlugins(connection, { id: "n1" }, [
    linkLogger("a", calls),
    linkLogger("b", calls),
  ]);
  assertEquals(calls, ["b around n1", "a around n1"]);
  calls.length = 0;
  await link.send(new Uint8Array(1));
  assertEquals(calls, ["a send", "b send", "b sent", "a sent"]);
});

Deno.test("withLinkPlugins() gives back the connection when there are none", async () => {
  const transport = memory();
  await using listener = await transport.listen("memory://inbox");
  await using connection = await transport.connect(listener.address);
  assertStrictEquals(withLinkPlugins(connection, { id: "n1" }, []), connection);
});
