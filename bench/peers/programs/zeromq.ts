/**
 * A program that publishes or subscribes by ZeroMQ: `PUB` and `SUB` sockets, with the
 * event as the first part of a message; requests by `DEALER` and `ROUTER`.
 *
 * @module
 */

// @ts-ignore -- installed when it is first needed
import { Dealer, Pull, Push, Router, Subscriber, XPublisher } from "zeromq";
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

/** The part of a socket in use. */
interface Socket extends AsyncIterable<readonly Uint8Array[]> {
  /** With a port, once it is bound. */
  readonly lastEndpoint: string | null;
  bind(address: string): Promise<void>;
  connect(address: string): void;
  receive(): Promise<readonly Uint8Array[]>;
  send(message: Part | readonly Part[]): Promise<void>;
  subscribe(...prefixes: readonly string[]): void;
}

type Part = Uint8Array | string;

/** Without a bound nothing is dropped. */
const SENDS = { sendHighWaterMark: 0 };
const RECEIVES = { receiveHighWaterMark: 0 };
const BOTH = { ...SENDS, ...RECEIVES };
const ANY_PORT = "tcp://127.0.0.1:*";

/** A `PUB` socket that also tells who subscribes. */
const events: Socket = new XPublisher({ ...BOTH, verbosity: "allSubs" });
/** Hears from each subscriber that it has all: a socket does not tell what has left. */
const ends: Socket = new Pull(RECEIVES);
const client: Socket = new Dealer(BOTH);
const pending = new Pending();
let subscribers = 0;

const publisher: Publisher<Uint8Array> = {
  fromItem: encode,
  fromBytes: (bytes) => bytes,
  publish: (kind: Kind, message: Uint8Array) => events.send([kind, message]),
  async flush() {
    for (let index = 0; index < subscribers; index++) await ends.receive();
  },
  request(bytes) {
    const { message, reply } = pending.open(bytes);
    client.send(message).catch(fail);
    return reply;
  },
};

async function readReplies(): Promise<void> {
  for await (const [reply] of client) if (reply) pending.close(reply);
}

async function readEvents(socket: Socket): Promise<void> {
  for await (const [kind, bytes] of socket) {
    if (kind && bytes) take(subscriber, kind.toString(), bytes);
  }
}

async function echo(socket: Socket): Promise<void> {
  for await (const request of socket) await socket.send(request);
}

function endpointOf({ lastEndpoint }: Socket): string {
  return lastEndpoint ?? fail("A socket is not bound");
}

const { subscriber, commands } = subscribing();

await serve({
  ...publisherCommands(() => publisher),
  ...commands,
  bind: async () => {
    await events.bind(ANY_PORT);
    await ends.bind(ANY_PORT);
    return { events: endpointOf(events), ends: endpointOf(ends) };
  },
  subscribe: async (args) => {
    const end: Socket = new Push(SENDS);
    end.connect(args.text("ends"));
    subscriber.onAll = () => end.send("end").catch(fail);
    const socket: Socket = new Subscriber(RECEIVES);
    socket.connect(args.text("events"));
    socket.subscribe(...KINDS);
    readEvents(socket).catch(fail);
    const server: Socket = new Router(BOTH);
    await server.bind(ANY_PORT);
    echo(server).catch(fail);
    return { requests: endpointOf(server) };
  },
  connect: async (args) => {
    subscribers = args.number("subscribers");
    const subscriptions = subscribers * KINDS.length;
    for (let index = 0; index < subscriptions; index++) await events.receive();
    client.connect(args.text("requests"));
    readReplies().catch(fail);
    return {};
  },
});
