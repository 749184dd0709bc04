/**
 * A node to which many others link, and that does nothing: `hub.ts LINKS`, run with
 * `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { collectGarbage, pause, quiet, serve, until } from "../serve.ts";

/** Whoever has just joined is told of all others; garbage is collected until that is over. */
const SETTLE_ROUNDS = 20;

const [links = "1"] = Deno.args;
const node = createNode({
  cluster: "bench",
  logger: quiet,
  limits: { links: Number(links) },
});

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  // Once there are so many links: what the process takes, in bytes.
  memory: async (args) => {
    const links = args.number("links");
    if (!await until(() => node.members.size === links, 10_000)) {
      throw new Error(`There are ${node.members.size} links`);
    }
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      collectGarbage();
      await pause(250);
    }
    collectGarbage();
    const { rss, heapUsed, external } = Deno.memoryUsage();
    return { rss, heapUsed, external };
  },
});
await node.close();
