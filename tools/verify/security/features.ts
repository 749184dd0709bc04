// deno-lint-ignore-file no-console -- it tells the process that started it

/**
 * A process that uses one feature, named by its argument, with the permissions that it was
 * started with: says "it works", or fails.
 *
 * @module
 */

import { createNode, type NodeOptions } from "@devts/devts";
import {
  createIdentityFile,
  readIdentityFile,
  readSecretFile,
} from "@devts/devts/identity";
import { map } from "@devts/node/state";
import { sqlite } from "@devts/node/storage/sqlite";
import { keyText } from "@devts/protocol/identity";
import { createSecret, secretFromPassphrase } from "@devts/protocol/secret";
import { natsRouter } from "@devts/routing/nats";
import { memory } from "@devts/transport/memory";
import { quic } from "@devts/transport/quic";
import { websocket } from "@devts/transport/websocket";

/** What `docs/security.md` lists, in its words. */
export const FEATURES: Readonly<
  Record<string, (argument: string) => Promise<void>>
> = {
  "nodes in one process, over `memory()`": () =>
    meet("memory://one", { transport: memory() }),
  "TCP": () => meet("tcp://127.0.0.1:0"),
  "TCP with a secret: TLS": () =>
    meet("tcp://127.0.0.1:0", { secret: createSecret() }),
  "QUIC": () =>
    meet("quic://127.0.0.1:0", {
      ...{ secret: createSecret(), transport: quic() },
    }),
  "WebSocket": () => meet("ws://127.0.0.1:0", { transport: websocket() }),
  "`natsRouter()`": join,
  "a secret from a file": async () => {
    const secret = await readSecretFile("secret");
    await meet("tcp://127.0.0.1:0", { secret });
  },
  "a secret from a passphrase": async () => {
    const secret = await secretFromPassphrase(
      "so many words, and more",
      "demo",
    );
    await using _node = createNode({ cluster: "demo", secret });
  },
  "making a key in a file": async () => {
    await createIdentityFile("new.json");
  },
  "a key and its grant, from files": async () => {
    const identity = await readIdentityFile("node.json", "node.grant.json");
    const trust = { keys: [keyText(identity.key)] };
    await using node = createNode({ cluster: "demo", identity, trust });
    await node.listen("tcp://127.0.0.1:0");
  },
  "state in a file, by `sqlite()`": async () => {
    await using node = createNode({ cluster: "demo" });
    const cart = node.use("cart", map<number>({ storage: sqlite("data.db") }));
    await cart.ready;
    await cart.set("apples", 3, { level: "fsync" });
  },
};

/** Two nodes meet over a transport. */
async function meet(
  address: string,
  options: Partial<NodeOptions> = {},
): Promise<void> {
  await using one = createNode({ cluster: "demo", ...options });
  await using two = createNode({ cluster: "demo", ...options });
  await one.listen(address);
  if (await two.join(...one.addresses) === 0) throw new Error("They are apart");
}

async function join(servers: string): Promise<void> {
  const router = natsRouter({ servers, cluster: "demo" });
  await using node = createNode({ cluster: "demo", router });
  await node.join();
}

if (import.meta.main) {
  const [feature = "", argument = ""] = Deno.args;
  await FEATURES[feature]?.(argument);
  console.log("it works");
  Deno.exit();
}
