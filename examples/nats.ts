/**
 * The web application of `web.ts` for nodes that cannot reach each other, but the same
 * NATS server.
 *
 * ```sh
 * nats-server -a 127.0.0.1                           # or one that runs already
 * deno run --allow-net=127.0.0.1 examples/nats.ts                       # prints its host port
 * deno run --allow-net=127.0.0.1 examples/nats.ts nats://127.0.0.1 8000 # the same server, host port 8000
 * ```
 *
 * @module
 */
import { createNode } from "@devts/devts";
import { natsRouter } from "@devts/routing/nats";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";
import { serve, store, webApp, type WebEvents } from "./web.ts";

const { id, cluster } = NODE_OPTIONS;

const USAGE: Usage = {
  synopsis: "nats.ts [NATS server] [host port]",
  permissions: "--allow-net=127.0.0.1",
  about: "A web application beside a node that reaches the others through a\n" +
    "NATS server (nats://127.0.0.1 if left out). It serves on the host port (any free\n" +
    "one if left out): GET /, GET /store, GET /set/NAME/VALUE.",
  positional: 2,
  options: {
    ...id !== undefined && { id },
    ...cluster !== undefined && { cluster },
  },
};

async function main(args: Arguments): Promise<void> {
  const [servers = "nats://127.0.0.1", port = "0"] = args.positional;
  const hostPort = portOf(port, "The host port");
  const { options } = await nodeArguments({ ...args, positional: [] });
  const stop = interrupted();

  await using node = createNode<WebEvents>({
    ...options,
    router: natsRouter({ servers, cluster: options.cluster }),
  });
  const entries = node.use("store", store());
  const app = webApp(node, entries);
  await node.join(); // without addresses: the router connects, and looks who is there
  await entries.fetch();

  await using _server = serve(app, hostPort);
  await stop;
}

if (import.meta.main) await run(USAGE, main);
