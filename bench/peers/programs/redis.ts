/**
 * A program that publishes or subscribes by Redis, with `ioredis`. A request is
 * published to the server, and its reply to the client.
 *
 * @module
 */

import { Buffer } from "node:buffer";
// @ts-ignore -- installed when it is first needed
import { Redis } from "ioredis";
import type { Kind } from "../../peer.ts";
import { encode, take } from "./codec.ts";
import { Pending } from "./pending.ts";
import {
  fail,
  KINDS,
  type Publisher,
  publisherCommands,
  serve,
  subscribing,
} from "./role.ts";
import { Window } from "./window.ts";

/** The part of the client in use. */
interface Client {
  on(event: "error", listener: (error: Error) => void): void;
  on(
    event: "messageBuffer",
    listener: (channel: Uint8Array, message: Uint8Array) => void,
  ): void;
  publish(channel: string, message: Uint8Array): Promise<number>;
  subscribe(...channels: readonly string[]): Promise<unknown>;
}

const REQUESTS = "requests";
const REPLIES = "replies";
/** How much may be under way to Redis: more would not be faster. */
const MESSAGES = 500;
const BYTES = 1_048_576;

class RedisPublisher implements Publisher<Uint8Array> {
  readonly fromItem = encode;
  readonly #client: Client;
  readonly #pending: Pending;
  readonly #window = new Window(MESSAGES, BYTES);

  constructor(client: Client, pending: Pending) {
    this.#client = client;
    this.#pending = pending;
  }

  fromBytes(bytes: Uint8Array): Uint8Array {
    return toBuffer(bytes);
  }

  publish(kind: Kind, message: Uint8Array): Promise<unknown> | undefined {
    const done = this.#client.publish(kind, message);
    return this.#window.add(done, message.length);
  }

  flush(): Promise<unknown> {
    return this.#window.empty();
  }

  request(bytes: Uint8Array): Promise<Uint8Array> {
    const { message, reply } = this.#pending.open(bytes);
    this.#client.publish(REQUESTS, toBuffer(message)).catch(fail);
    return reply;
  }
}

function join(port: number): Client {
  const client: Client = new Redis({
    host: "127.0.0.1",
    port,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  client.on("error", fail);
  return client;
}

/** Whoever subscribes can do nothing else on that connection. */
async function subscribe(
  port: number,
  channels: readonly string[],
  take: (channel: string, message: Uint8Array) => void,
): Promise<void> {
  const client = join(port);
  client.on(
    "messageBuffer",
    (channel, message) => take(channel.toString(), message),
  );
  await client.subscribe(...channels);
}

/** The client takes no other bytes. */
function toBuffer({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return Buffer.from(buffer, byteOffset, length);
}

let publisher: Publisher<Uint8Array> | undefined;
const { subscriber, commands } = subscribing();

await serve({
  ...publisherCommands(() => publisher ?? fail("Not connected")),
  ...commands,
  connect: async (args) => {
    const port = args.number("port");
    const pending = new Pending();
    await subscribe(port, [REPLIES], (_, reply) => pending.close(reply));
    publisher = new RedisPublisher(join(port), pending);
    return {};
  },
  subscribe: async (args) => {
    const port = args.number("port");
    await subscribe(port, KINDS, (kind, bytes) => {
      take(subscriber, kind, bytes);
    });
    if (args.number("index") > 0) return {};
    const client = join(port);
    await subscribe(port, [REQUESTS], (_, bytes) => {
      client.publish(REPLIES, bytes).catch(fail);
    });
    return {};
  },
});
