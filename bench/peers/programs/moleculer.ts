/**
 * A program that publishes or subscribes by Moleculer, with its TCP transporter and its
 * JSON serializer. JSON has no bytes: they travel as base64. Requests are `call`s.
 *
 * @module
 */

import { Buffer } from "node:buffer";
// @ts-ignore -- installed when it is first needed
import moleculer from "moleculer";
import { type Item, SIZES } from "../../payload.ts";
import type { Kind } from "../../peer.ts";
import {
  fail,
  KINDS,
  type Publisher,
  publisherCommands,
  serve,
  subscribing,
} from "./role.ts";
import { Window } from "./window.ts";

/** The part of the broker in use. */
interface Broker {
  broadcast(
    event: string,
    payload: Message,
    options: { throwError: boolean },
  ): Promise<unknown>;
  call(action: string, params: Message): Promise<Message>;
  createService(service: unknown): void;
  start(): Promise<void>;
  waitForServices(names: readonly string[], timeout: number): Promise<unknown>;
  readonly localBus: { on(event: string, listener: () => void): void };
  readonly registry: { readonly nodes: { readonly localNode: LocalNode } };
}

interface LocalNode {
  readonly port: number;
}

interface Context {
  readonly params: Message;
}

/** What travels: an item, or bytes as base64. */
type Message = Item | { readonly bytes: string };

const PUBLISHER = "publisher";
/** How long other nodes may take to appear, in ms. */
const TIMEOUT = 30_000;
/** How much may be under way to the sockets: more costs it more. */
const MESSAGES = 64;
const BYTES = 1_048_576;

class MoleculerPublisher implements Publisher<Message> {
  readonly #broker: Broker;
  readonly #window = new Window(MESSAGES, BYTES);

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  fromItem(item: Item): Message {
    return item;
  }

  fromBytes(bytes: Uint8Array): Message {
    return toMessage(bytes);
  }

  publish(kind: Kind, message: Message): Promise<unknown> | undefined {
    const options = { throwError: true };
    const done = this.#broker.broadcast(kind, message, options);
    return this.#window.add(done, SIZES[kind]);
  }

  flush(): Promise<unknown> {
    return this.#window.empty();
  }

  async request(bytes: Uint8Array): Promise<Uint8Array> {
    const action = `${serviceOf(0)}.echo`;
    return toBytes(await this.#broker.call(action, toMessage(bytes)));
  }
}

function toMessage({ buffer, byteOffset, length }: Uint8Array): Message {
  const bytes = Buffer.from(buffer, byteOffset, length).toString("base64");
  return { bytes };
}

function toBytes(message: Message): Uint8Array {
  if (!("bytes" in message)) fail("Bytes arrived as an object");
  return Buffer.from(message.bytes, "base64");
}

function receive({ params }: Context): void {
  if ("bytes" in params) subscriber.addBytes(toBytes(params));
  else subscriber.addItem(params);
}

function serviceOf(index: number): string {
  return `subscriber${index}`;
}

async function start(
  nodeID: string,
  urls: readonly string[],
  services: readonly unknown[],
): Promise<Broker> {
  const broker: Broker = new moleculer.ServiceBroker({
    nodeID,
    logLevel: "warn",
    transporter: {
      type: "TCP",
      // By address, since multicast may be off, and twice as soon as by default.
      options: { urls, udpDiscovery: false, gossipPeriod: 1 },
    },
  });
  for (const service of services) broker.createService(service);
  await broker.start();
  broker.localBus.on("$node.disconnected", () => fail("A node is gone"));
  return broker;
}

let broker: Broker | undefined;
let publisher: Publisher<Message> | undefined;
const { subscriber, commands } = subscribing();

await serve({
  ...publisherCommands(() => publisher ?? fail("Not connected")),
  ...commands,
  listen: async () => {
    broker = await start(PUBLISHER, [], []);
    const { port } = broker.registry.nodes.localNode;
    return { url: `127.0.0.1:${port}/${PUBLISHER}` };
  },
  subscribe: async (args) => {
    const name = serviceOf(args.number("index"));
    await start(name, [args.text("url")], [{
      name,
      events: Object.fromEntries(KINDS.map((kind) => [kind, receive])),
      actions: { echo: ({ params }: Context) => params },
    }]);
    return {};
  },
  connect: async (args) => {
    if (broker === undefined) throw new Error("Not listening");
    const length = args.number("subscribers");
    const names = Array.from({ length }, (_, index) => serviceOf(index));
    await broker.waitForServices(names, TIMEOUT);
    publisher = new MoleculerPublisher(broker);
    return {};
  },
});
