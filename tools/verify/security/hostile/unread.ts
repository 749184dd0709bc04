/**
 * Accepts connections over QUIC and never reads of them: `unread.ts`.
 *
 * @module
 */

import { secretCredentials } from "@devts/transport/certificates";
import type { Connection } from "@devts/transport";
import { quic } from "@devts/transport/quic";
import { serve } from "../../../../bench/serve.ts";

const credentials = secretCredentials({
  id: "unread",
  cluster: "verify",
  secrets: () => Promise.resolve([new Uint8Array(32).fill(7)]),
  onChange: () => ({ [Symbol.dispose]() {} }),
});
const listener = await quic().secure(credentials).listen("quic://127.0.0.1:0");
const { caCerts } = await credentials.current();
const held: Connection[] = [];
const accepting = (async () => {
  for await (const connection of listener) held.push(connection);
})();

await serve({
  where: () => ({ address: listener.address, authority: caCerts.join("\n") }),
  held: () => ({ count: held.length }),
});
await Promise.all(held.map((each) => each.close(new Error("enough"))));
await listener.close();
await accepting;
