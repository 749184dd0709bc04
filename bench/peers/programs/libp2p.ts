/**
 * A program that publishes or subscribes by libp2p with gossipsub, over TCP, Noise and
 * Yamux; its argument is the signature policy. The publisher is linked to every
 * subscriber, and no subscriber to another. Requests share one stream.
 *
 * @module
 */

import process from "node:process";
// @ts-ignore -- installed when it is first needed
import { gossipsub } from "@libp2p/gossipsub";
// @ts-ignore -- installed when it is first needed
import { identify } from "@libp2p/identify";
// @ts-ignore -- installed when it is first needed
import { noise } from "@libp2p/noise";
// @ts-ignore -- installed when it is first needed
import { tcp } from "@libp2p/tcp";
// @ts-ignore -- installed when it is first needed
import { yamux } from "@libp2p/yamux";
// @ts-ignore -- installed when it is first needed
import { multiaddr } from "@multiformats/multiaddr";
// @ts-ignore -- installed when it is first needed
import { createLibp2p } from "libp2p";
import type { Kind } from "../../peer.ts";
import { REQUEST_SIZE } from "../../requests.ts";
import { until } from "../../serve.ts";
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

/** The part of libp2p in use. */
interface Libp2p {
  readonly peerId: PeerId;
  readonly services: { readonly pubsub: Gossipsub };
  addEventListener(event: string, listener: () => void): void;
  dial(address: unknown): Promise<Connection>;
  getConnections(): readonly Connection[];
  getMultiaddrs(): readonly { toString(): string }[];
  handle(protocol: string, handler: (stream: Stream) => void): Promise<void>;
}

interface PeerId {
  toString(): string;
}

interface Gossipsub {
  addEventListener(
    event: string,
    listener: (event: { readonly detail: Message }) => void,
  ): void;
  getSubscribers(topic: string): readonly unknown[];
  publish(
    topic: string,
    data: Uint8Array,
  ): Promise<{ readonly recipients: readonly unknown[] }>;
  subscribe(topic: string): void;
}

interface Message {
  readonly topic: string;
  readonly data: Uint8Array;
}

interface Connection {
  readonly remotePeer: PeerId;
  readonly streams: readonly Stream[];
  newStream(protocol: string): Promise<Stream>;
}

interface Stream {
  readonly protocol: string;
  readonly direction: "inbound" | "outbound";
  readonly writableNeedsDrain: boolean;
  addEventListener(
    event: "message",
    listener: (event: { readonly data: Data }) => void,
  ): void;
  onDrain(): Promise<void>;
  /** Also where the stream is full: it buffers. */
  send(data: Uint8Array): boolean;
}

/** Bytes, or a list of them that makes one of them by `subarray`. */
interface Data {
  subarray(): Uint8Array;
}

const PROTOCOL = "/echo/1";
/** The length of a frame on a stream: a number that pairs, and the bytes. */
const FRAME = 4 + REQUEST_SIZE;
/** A frame that says that a subscriber has all. */
const END = new Uint8Array(FRAME);
/** How long the subscriptions may take to arrive, in ms. */
const TIMEOUT = 30_000;

class Libp2pPublisher implements Publisher<Uint8Array> {
  readonly fromItem = encode;
  readonly #pubsub: Gossipsub;
  readonly #events: readonly Stream[];
  readonly #server: Stream;
  readonly #pending = new Pending();
  #all = Promise.withResolvers<void>();
  #ends = 0;

  /** `events` are the streams of gossipsub, `requests` those to the same subscribers. */
  constructor(
    pubsub: Gossipsub,
    events: readonly Stream[],
    requests: readonly Stream[],
    server: Stream,
  ) {
    this.#pubsub = pubsub;
    this.#events = events;
    this.#server = server;
    for (const stream of requests) {
      readFrames(stream, (frame) => this.#receive(frame));
    }
  }

  fromBytes(bytes: Uint8Array): Uint8Array {
    return bytes;
  }

  async publish(kind: Kind, message: Uint8Array): Promise<void> {
    const { recipients } = await this.#pubsub.publish(kind, message);
    if (recipients.length !== this.#events.length) {
      throw new Error(`Only ${recipients.length} subscribers were sent to`);
    }
    // Gossipsub itself never waits, and buffers without a bound.
    for (const stream of this.#events) {
      if (stream.writableNeedsDrain) await stream.onDrain();
    }
  }

  async flush(): Promise<void> {
    await this.#all.promise;
    this.#all = Promise.withResolvers();
  }

  request(bytes: Uint8Array): Promise<Uint8Array> {
    const { message, reply } = this.#pending.open(bytes);
    this.#server.send(message);
    return reply;
  }

  #receive(frame: Uint8Array): void {
    if (!isEnd(frame)) return this.#pending.close(frame);
    this.#ends++;
    if (this.#ends < this.#events.length) return;
    this.#ends = 0;
    this.#all.resolve();
  }
}

/** The numbers of requests count from 1. */
function isEnd(frame: Uint8Array): boolean {
  return frame.subarray(0, 4).every((byte) => byte === 0);
}

function readFrames(stream: Stream, read: (frame: Uint8Array) => void): void {
  let unread = new Uint8Array();
  stream.addEventListener("message", ({ data }) => {
    const part = data.subarray();
    const bytes = new Uint8Array(unread.length + part.length);
    bytes.set(unread);
    bytes.set(part, unread.length);
    let start = 0;
    for (; start + FRAME <= bytes.length; start += FRAME) {
      read(bytes.subarray(start, start + FRAME));
    }
    unread = bytes.subarray(start);
  });
}

async function start(listen: readonly string[]): Promise<Libp2p> {
  const node: Libp2p = await createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      pubsub: gossipsub({
        globalSignaturePolicy: process.argv[2],
        batchPublish: true,
      }),
    },
  });
  node.addEventListener("peer:disconnect", () => fail("A node is gone"));
  return node;
}

async function publishing(
  node: Libp2p,
  subscribers: number,
  server: string,
): Promise<Publisher<Uint8Array>> {
  const { pubsub } = node.services;
  const events = () =>
    node.getConnections().flatMap(({ streams }) => streams).filter((stream) =>
      stream.protocol.startsWith("/meshsub/") && stream.direction === "outbound"
    );
  const complete = await until(
    () =>
      events().length === subscribers &&
      KINDS.every((kind) => pubsub.getSubscribers(kind).length === subscribers),
    TIMEOUT,
  );
  if (!complete) throw new Error("Not all subscriptions arrived");
  const streams = new Map<string, Stream>();
  for (const connection of node.getConnections()) {
    const stream = await connection.newStream(PROTOCOL);
    streams.set(connection.remotePeer.toString(), stream);
  }
  const stream = streams.get(server);
  if (stream === undefined) throw new Error("The server is not connected");
  return new Libp2pPublisher(pubsub, events(), [...streams.values()], stream);
}

async function subscribe(node: Libp2p): Promise<void> {
  const { pubsub } = node.services;
  pubsub.addEventListener("message", ({ detail: { topic, data } }) => {
    take(subscriber, topic, data);
  });
  for (const kind of KINDS) pubsub.subscribe(kind);
  await node.handle(PROTOCOL, (stream) => {
    readFrames(stream, (request) => stream.send(request));
    subscriber.onAll = () => stream.send(END);
  });
}

let node: Libp2p | undefined;
let publisher: Publisher<Uint8Array> | undefined;
const { subscriber, commands } = subscribing();

await serve({
  ...publisherCommands(() => publisher ?? fail("Not connected")),
  ...commands,
  listen: async () => {
    node = await start(["/ip4/127.0.0.1/tcp/0"]);
    return { address: String(node.getMultiaddrs()[0]) };
  },
  subscribe: async (args) => {
    node = await start([]);
    await subscribe(node);
    await node.dial(multiaddr(args.text("address")));
    return { id: node.peerId.toString() };
  },
  connect: async (args) => {
    if (node === undefined) throw new Error("Not listening");
    const subscribers = args.number("subscribers");
    publisher = await publishing(node, subscribers, args.text("server"));
    return {};
  },
});
