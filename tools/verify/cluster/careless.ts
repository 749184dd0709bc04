/**
 * A program that awaits nothing of what `emit`, `send` and `request` return, while
 * its peers die: `careless.ts ADDRESS`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { serve, silent, until } from "../../../bench/serve.ts";

const NOBODY = "a node that never was";

const node = createNode({
  cluster: "verify",
  logger: silent,
});
let calls = 0;
let peers: readonly string[] = [];

const timer = setInterval(() => {
  for (const id of [...peers, NOBODY]) {
    for (let i = 0; i < 50; i++) {
      node.emit("hello", i);
      node.send(id, "hello", i);
      node.request(id, "hello", i, { timeout: 200 });
      calls += 3;
    }
  }
}, 1);

await serve({
  join: async (args) => {
    await node.join(args.text("address"));
    await until(() => node.members.size === args.number("nodes"), 60_000);
    peers = [...node.members.keys()];
    return { members: node.members.size };
  },
  // Waits until no peer is left, and says what the calls came to.
  calls: async () => {
    await until(() => node.members.size === 0, 60_000);
    return {
      calls,
      members: node.members.size,
      rejections: node.counters.rejections,
    };
  },
});

clearInterval(timer);
for (const id of peers) node.request(id, "hello");
await node.close();
node.emit("hello");
node.request(NOBODY, "hello");
