/**
 * A program that opens and closes connections over one transport, and says what is left
 * of them: `churn.ts TRANSPORT SECRET`.
 *
 * @module
 */

import { parseSecret } from "@devts/protocol/secret";
import { secretCredentials } from "@devts/transport/certificates";
import type { Transport } from "@devts/transport";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import { websocket } from "@devts/transport/websocket";
import { collectGarbage, pause, serve } from "../../../bench/serve.ts";

/** Looks at what is in use, at most, and those that must see the same. */
const LOOKS = 60;
const SETTLED = 4;

const [name = "", secret = ""] = Deno.args;
const credentials = secretCredentials({
  id: "churn",
  cluster: "verify",
  secrets: () => Promise.resolve([parseSecret(secret)]),
});
const TRANSPORTS: ReadonlyMap<string, readonly [() => Transport, string]> =
  new Map([
    ["tcp", [() => tcp(), "tcp://127.0.0.1:0"]],
    ["tls", [() => tcp().secure(credentials), "tcp://127.0.0.1:0"]],
    ["quic", [() => quic().secure(credentials), "quic://127.0.0.1:0"]],
    ["websocket", [() => websocket(), "ws://127.0.0.1:0"]],
  ]);
const known = TRANSPORTS.get(name);
if (known === undefined) throw new TypeError(`There is no transport "${name}"`);
const [make, address] = known;
const transport = make();
const listener = await transport.listen(address);
const accepted = listener[Symbol.asyncIterator]();

/** One connection, in use, and closed by both ends. */
async function once(): Promise<void> {
  const accepting = accepted.next();
  const dialled = await transport.connect(listener.address);
  await dialled.send(Uint8Array.of(1));
  const { value } = await accepting;
  if (value === undefined) throw new Error("The listener is closed");
  const message = await value.receive();
  if (message?.[0] !== 1) throw new Error("Something else was received");
  await Promise.all([dialled.close(), value.close()]);
}

/**
 * What is in use once what can go has gone: a socket closes in the background, and the
 * collector comes more than once. Settled is what a whole second does not change.
 */
async function inUse(): Promise<{ files: number; heap: number }> {
  let files = NaN;
  let same = 0;
  for (let looks = 0; looks < LOOKS && same < SETTLED; looks++) {
    collectGarbage();
    await pause(250);
    const now = openFiles();
    same = now === files ? same + 1 : 0;
    files = now;
  }
  return { files, heap: Deno.memoryUsage().heapUsed };
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

await serve({
  run: async (args) => {
    for (let number = args.number("count"); number > 0; number--) await once();
    return {};
  },
  inUse,
});
Deno.exit();
