/**
 * Plugins of one's own, around the chat: one dials again where an entry node does not
 * answer yet, the other one checks that messages arrive as they were sent.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/own_plugin.ts 7946 --name ada  # nobody is there yet: it goes on
 * deno run --allow-net=127.0.0.1 examples/own_plugin.ts --port 7946      # all of them need both plugins
 * ```
 *
 * @module
 */
import type { LinkPlugin, Plugin } from "@devts/plugins";
import {
  type Connection,
  ConnectionError,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import type { Arguments, Usage } from "./_arguments.ts";
import { run } from "./_program.ts";
import { CHAT_USAGE, runChat } from "./chat.ts";

/** The length of a checksum, in bytes. */
const SUM = 4;

/**
 * Around a transport: a function from one to another. It sees each dial and each
 * connection before anybody has said who it is.
 *
 * @param times How often to dial before it gives up.
 */
export function persistent(times: number): Plugin {
  return (transport) =>
    wrapTransport(transport, {
      async connect(address, options) {
        for (let left = times;; left--) {
          try {
            return await transport.connect(address, options);
          } catch (error) {
            const isFinal = !(error instanceof ConnectionError);
            if (isFinal || left <= 1 || options?.signal?.aborted) throw error;
          }
        }
      },
    });
}

/**
 * Around a link: a function from one connection to another, for a peer that is known.
 * What it throws ends this link and no other.
 */
export function checksummed(): LinkPlugin {
  return (connection, { id }) =>
    wrapConnection(connection, {
      send: (message) => connection.send(withSum(message)),
      receive: async (options) => {
        const message = await connection.receive(options);
        return message && await checked(connection, id, message);
      },
    });
}

async function checked(
  connection: Connection,
  id: string,
  message: Uint8Array,
): Promise<Uint8Array> {
  const content = message.subarray(0, -SUM);
  const sum = message.subarray(-SUM);
  if (message.length >= SUM && readSum(sum) === sumOf(content)) return content;
  const error = new ConnectionError(
    `A message of "${id}" has a wrong checksum`,
  );
  await connection.close(error);
  throw error;
}

function withSum(message: Uint8Array): Uint8Array {
  const whole = new Uint8Array(message.length + SUM);
  whole.set(message);
  new DataView(whole.buffer).setUint32(message.length, sumOf(message));
  return whole;
}

function readSum({ buffer, byteOffset }: Uint8Array): number {
  return new DataView(buffer, byteOffset).getUint32(0);
}

/** FNV-1a, by Fowler, Noll and Vo: against accidents, not against people. */
function sumOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

async function main(args: Arguments): Promise<void> {
  await runChat(args, {
    plugins: [persistent(3)],
    linkPlugins: [checksummed()],
  });
}

const USAGE: Usage = {
  ...CHAT_USAGE,
  synopsis: "own_plugin.ts [cluster port]",
};

if (import.meta.main) await run(USAGE, main);
