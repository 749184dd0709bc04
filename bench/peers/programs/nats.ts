/**
 * A program that publishes or subscribes by NATS core, with its official client.
 * Requests are those of NATS: `request()` and `respond()`.
 *
 * @module
 */

// @ts-ignore -- installed when it is first needed
import { connect } from "@nats-io/transport-node";
import type { Kind } from "../../peer.ts";
import { encode, take } from "./codec.ts";
import {
  fail,
  KINDS,
  type Publisher,
  publisherCommands,
  serve,
  subscribing,
} from "./role.ts";

/** The part of the client in use. */
interface Connection {
  closed(): Promise<unknown>;
  flush(): Promise<void>;
  publish(subject: string, payload: Uint8Array): void;
  request(
    subject: string,
    payload: Uint8Array,
    options: { timeout: number },
  ): Promise<Message>;
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: Message) => void },
  ): unknown;
}

interface Message {
  readonly subject: string;
  readonly data: Uint8Array;
  respond(payload: Uint8Array): boolean;
}

const ECHO = "echo";
/** How long a request may take, in ms. */
const TIMEOUT = 30_000;
/**
 * The client buffers without a bound. So it is flushed after so much, and what follows
 * waits for the flush before.
 */
const FLUSHED_MESSAGES = 2_000;
const FLUSHED_BYTES = 1_048_576;

class NatsPublisher implements Publisher<Uint8Array> {
  readonly fromItem = encode;
  readonly #connection: Connection;
  #messages = 0;
  #bytes = 0;
  #flushed: Promise<void> = Promise.resolve();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  fromBytes(bytes: Uint8Array): Uint8Array {
    return bytes;
  }

  publish(kind: Kind, message: Uint8Array): Promise<unknown> | undefined {
    this.#connection.publish(kind, message);
    this.#bytes += message.length;
    const full = ++this.#messages >= FLUSHED_MESSAGES ||
      this.#bytes >= FLUSHED_BYTES;
    if (!full) return undefined;
    this.#messages = this.#bytes = 0;
    const last = this.#flushed;
    this.#flushed = this.#connection.flush();
    return last;
  }

  flush(): Promise<unknown> {
    return this.#connection.flush();
  }

  async request(bytes: Uint8Array): Promise<Uint8Array> {
    // The client sends what it is given later.
    const payload = bytes.slice();
    const options = { timeout: TIMEOUT };
    const { data } = await this.#connection.request(ECHO, payload, options);
    return data;
  }
}

async function join(port: number): Promise<Connection> {
  const servers = `127.0.0.1:${port}`;
  const connection: Connection = await connect({ servers, reconnect: false });
  connection.closed().then((error) => fail(error ?? "The server is gone"));
  return connection;
}

let publisher: Publisher<Uint8Array> | undefined;
const { subscriber, commands } = subscribing();

await serve({
  ...publisherCommands(() => publisher ?? fail("Not connected")),
  ...commands,
  connect: async (args) => {
    publisher = new NatsPublisher(await join(args.number("port")));
    return {};
  },
  subscribe: async (args) => {
    const connection = await join(args.number("port"));
    for (const kind of KINDS) {
      connection.subscribe(kind, {
        callback: (error, { data }) =>
          error ? fail(error) : take(subscriber, kind, data),
      });
    }
    if (args.number("index") === 0) {
      connection.subscribe(ECHO, {
        callback: (error, message) =>
          error ? fail(error) : message.respond(message.data),
      });
    }
    await connection.flush();
    return {};
  },
});
