/**
 * A machine that has no node, and counts who dials it all the same: `bystander.ts HOSTNAME`.
 *
 * @module
 */

import { serve } from "../../../../bench/serve.ts";

const [hostname = ""] = Deno.args;
let dials = 0;
const listeners = Array.from(
  { length: 20 },
  (_, i) => Deno.listen({ hostname, port: 7_000 + i }),
);
for (const listener of listeners) {
  (async () => {
    for await (const conn of listener) {
      dials++;
      conn.close();
    }
  })();
}

await serve({ dials: () => ({ dials }) });
for (const listener of listeners) listener.close();
