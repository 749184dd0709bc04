/**
 * Nodes that each link to one other and to nobody else: `dialers.ts NAME`. They
 * know no other member, so they dial none.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { heartbeat } from "@devts/routing/heartbeat";
import { quiet, serve } from "../serve.ts";

const [name = ""] = Deno.args;
let started = 0;

await serve({
  join: async (args) => {
    for (let i = 0; i < args.number("count"); i++) {
      const node = createNode({
        cluster: "bench",
        id: `${name}-${started++}`,
        membership: heartbeat({ maxMembers: 1 }),
        logger: quiet,
      });
      await node.join(args.text("address"));
    }
    return {};
  },
});
Deno.exit(); // saying goodbye a thousand times would take long
