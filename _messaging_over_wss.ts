// deno-lint-ignore-file no-console -- tells the test how far it is

/**
 * Runs what nodes can say to each other over WebSocket with TLS, which a web server of
 * each node ends: `_messaging_over_wss.ts FOLDER`, where `cert.pem` and `key.pem` are.
 * The runtime has to believe the certificate. Prints each fact that holds.
 *
 * @module
 */
import type { Node } from "@devts/devts";
import { websocket, webSocketListener } from "@devts/transport/websocket";
import { type Events, MESSAGING, trio } from "./_messaging_suite_test.ts";

const [folder = "."] = Deno.args;
const cert = await Deno.readTextFile(`${folder}/cert.pem`);
const key = await Deno.readTextFile(`${folder}/key.pem`);

/** Lets a node take what a web server of its own receives; resolves to its address. */
async function serve(
  node: Node<Events>,
  servers: AsyncDisposableStack,
): Promise<string> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen: () => {} },
    // Addresses of this machine are told to those on this machine alone.
    (request, { remoteAddr: { hostname, port } }) =>
      listener.upgrade(request, `ws://${hostname}:${port}`),
  );
  servers.defer(() => server.shutdown());
  const address = `wss://localhost:${server.addr.port}/cluster`;
  const listener = webSocketListener(address);
  return await node.listen(listener);
}

for (const [fact, holds] of Object.entries(MESSAGING)) {
  // They end after the nodes, whose connections they would wait for.
  await using servers = new AsyncDisposableStack();
  await using stack = new AsyncDisposableStack();
  const options = { transport: websocket() };
  await holds(await trio(stack, options, (node) => serve(node, servers)));
  console.log(fact);
}
// The runtime keeps a timer for each WebSocket that it has accepted, for 15 s.
Deno.exit(0);
