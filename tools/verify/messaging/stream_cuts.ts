import { Node, type Stream, StreamError } from "@devts/node";
import { simulatedParts } from "@devts/node/testing";
import type { RouterFactory } from "@devts/routing";
import {
  seededRandom,
  type VirtualMachine,
  VirtualNetwork,
} from "@devts/routing/testing";
import {
  ConnectionError,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";

/** What is done to a transfer while it runs. */
export const CUTS = [
  "nothing",
  "the sender aborts",
  "the receiver aborts",
  "the sender's node closes",
  "the receiver's node closes",
  "the relay's node closes",
  "the sender is killed",
  "the receiver is killed",
  "the relay is killed",
  "the sender loses power",
  "the receiver loses power",
  "the relay loses power",
  "the receiver restarts",
  "the network is cut",
  "the network is cut for a moment",
  "the relay stalls",
  "the receiver stalls",
  "a message is lost on its way",
] as const;

/** What is done to a transfer while it runs. */
export type Cut = typeof CUTS[number];

/** How a transfer is run. */
export interface CutOptions {
  readonly seed: number;
  readonly cut: Cut;
  /** Makes the router of every node. */
  readonly router: () => RouterFactory;
  /** Whether the two ends reach each other only through a third node. */
  readonly relayed: boolean;
}

/** How long both ends may take to know that a transfer is over, in ms. */
const BOUND = 40_000;
/** When it is cut at the latest, in ms; most transfers take longer. */
const LONGEST_BEFORE = 100;
const MESSAGES = 60;
const LONGEST = 150_000;
/** Longer messages of a connection are pieces of the stream, in bytes. */
const LONG = 4_096;

const SENDER = "ada";
const RELAY = "bob";
const RECEIVER = "cyd";

/** One end of a transfer: what it knows of its outcome. */
interface End {
  /** Null while it does not know; then what it saw. */
  outcome: "complete" | Error | null;
}

/**
 * Sends messages over a stream in a simulated network, cuts it at a moment that the
 * seed chooses, and throws where
 *
 * - the receiver got anything but the first messages, whole and in order;
 * - one end takes the transfer for complete, and the other does not have all of it;
 * - an end that runs does not know within 40 s that the transfer is over;
 * - it failed although nothing was done to it.
 *
 * @returns Whether it was complete at the receiver.
 */
export async function cutTransfer(options: CutOptions): Promise<boolean> {
  const { seed, cut, relayed } = options;
  const random = seededRandom(seed);
  const network = new VirtualNetwork({
    seed,
    latency: 1 + 5 * random(),
    jitter: 5 * random(),
    giveUp: 15_000,
  });
  const { clock } = network;
  const nodes = new Map<string, Node>();
  const losing = { next: false };
  const ids = relayed ? [SENDER, RELAY, RECEIVER] : [SENDER, RECEIVER];
  for (const id of ids) {
    network.machine(id, {
      connectionError: ConnectionError,
      start: (machine) => {
        nodes.set(id, start(machine, options, losing));
      },
    });
  }
  const sent = messages(random);
  const received: Uint8Array[] = [];
  const sender: End = { outcome: null };
  const receiver: End = { outcome: null };
  let there: Stream | undefined;
  let here: Stream | undefined;
  node(nodes, RECEIVER).onOpen("copy", (stream) => {
    there ??= stream;
    receive(stream, random, clock.soon.bind(clock), received, receiver);
  });
  await clock.passUntil(() =>
    node(nodes, SENDER).members.size > ids.length - 2
  );
  transfer(node(nodes, SENDER), sent, sender, (stream) => here = stream);
  await clock.pass(LONGEST_BEFORE * random());
  inflict(network, nodes, cut, { here, there, relayed, losing });
  await clock.passUntil(
    () =>
      isKnown(network, SENDER, sender) &&
      (there === undefined || cut === "the receiver restarts" ||
        isKnown(network, RECEIVER, receiver)),
    BOUND,
  );
  check(sent, received, sender, receiver, options);
  for (const each of nodes.values()) each.close();
  await clock.pass(6_000);
  return receiver.outcome === "complete";
}

function node(nodes: ReadonlyMap<string, Node>, id: string): Node {
  const found = nodes.get(id);
  if (found === undefined) throw new TypeError(`There is no node "${id}"`);
  return found;
}

function isKnown(network: VirtualNetwork, id: string, end: End): boolean {
  const machine = network.machines.find((each) => each.id === id);
  return end.outcome !== null || machine?.running !== true;
}

function messages(random: () => number): Uint8Array[] {
  return Array.from({ length: MESSAGES }, (_, index) => {
    const message = new Uint8Array(Math.floor(LONGEST * random() ** 3));
    for (let i = 0; i < message.length; i++) message[i] = index + i * 7;
    return message;
  });
}

async function transfer(
  from: Node,
  sent: readonly Uint8Array[],
  end: End,
  opened: (stream: Stream) => void,
): Promise<void> {
  try {
    const stream = await from.open(RECEIVER, "copy");
    opened(stream);
    for (const message of sent) await stream.send(message);
    await stream.close();
    end.outcome = "complete";
  } catch (error) {
    end.outcome = error instanceof Error ? error : new Error(String(error));
  }
}

async function receive(
  stream: Stream,
  random: () => number,
  soon: (callback: () => void) => void,
  received: Uint8Array[],
  end: End,
): Promise<void> {
  try {
    for await (const message of stream) {
      if (message instanceof Uint8Array) received.push(message);
      // Sometimes it takes its time.
      if (random() < 0.1) await new Promise<void>((resolve) => soon(resolve));
    }
    end.outcome = "complete";
    await stream.close();
  } catch (error) {
    if (end.outcome !== null) return;
    end.outcome = error instanceof Error ? error : new Error(String(error));
  }
}

function check(
  sent: readonly Uint8Array[],
  received: readonly Uint8Array[],
  sender: End,
  receiver: End,
  { cut }: CutOptions,
): void {
  if (received.length > sent.length) throw new Error("It got too much");
  for (const [i, message] of received.entries()) {
    if (!equal(message, sent[i])) throw new Error(`Message ${i} is wrong`);
  }
  const isWhole = received.length === sent.length;
  if (receiver.outcome === "complete" && !isWhole) {
    throw new Error(`It ended after ${received.length} messages`);
  }
  for (const { outcome } of [sender, receiver]) {
    if (outcome === null || outcome === "complete") continue;
    if (cut === "nothing") throw outcome;
    if (!isExpected(outcome)) throw outcome;
  }
}

function isExpected(error: Error): boolean {
  return error instanceof StreamError || error.name === "NodeNotFoundError" ||
    error.name === "ClosedError";
}

function equal(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return one.length === other?.length &&
    one.every((byte, index) => byte === other[index]);
}

function inflict(
  network: VirtualNetwork,
  nodes: ReadonlyMap<string, Node>,
  cut: Cut,
  { here, there, relayed, losing }: {
    readonly here: Stream | undefined;
    readonly there: Stream | undefined;
    readonly relayed: boolean;
    readonly losing: { next: boolean };
  },
): void {
  const relay = relayed ? RELAY : RECEIVER;
  const machine = (id: string) => {
    const found = network.machines.find((each) => each.id === id);
    if (found === undefined) throw new TypeError(`There is no machine "${id}"`);
    return found;
  };
  switch (cut) {
    case "nothing":
      return;
    case "the sender aborts":
      return here?.abort(new Error("enough"));
    case "the receiver aborts":
      return there?.abort(new Error("enough"));
    case "the sender's node closes":
      return void node(nodes, SENDER).close();
    case "the receiver's node closes":
      return void node(nodes, RECEIVER).close();
    case "the relay's node closes":
      return void node(nodes, relay).close();
    case "the sender is killed":
      return machine(SENDER).crash("links");
    case "the receiver is killed":
      return machine(RECEIVER).crash("links");
    case "the relay is killed":
      return machine(relay).crash("links");
    case "the sender loses power":
      return machine(SENDER).crash("silence");
    case "the receiver loses power":
      return machine(RECEIVER).crash("silence");
    case "the relay loses power":
      return machine(relay).crash("silence");
    case "the receiver restarts":
      machine(RECEIVER).crash("silence");
      return machine(RECEIVER).restart();
    case "the network is cut":
      return network.partition([SENDER], [relay]);
    case "the network is cut for a moment":
      return network.play([
        {
          at: network.clock.now() + 1,
          do: "cut",
          from: [SENDER],
          to: [relay],
          for: 1_500,
        },
      ]);
    case "the relay stalls":
      return machine(relay).stall(3_000);
    case "the receiver stalls":
      return machine(RECEIVER).stall(3_000);
    case "a message is lost on its way":
      losing.next = true;
  }
}

function start(
  machine: VirtualMachine,
  { router, relayed }: CutOptions,
  losing: { next: boolean },
): Node {
  const { id, transport } = machine;
  const isEnd = relayed && id !== RELAY;
  const started = new Node({
    ...simulatedParts(machine),
    transport: wrapTransport(transport, {
      connect: (address, options) =>
        isEnd && address !== `virtual://${RELAY}`
          ? Promise.reject(new Error("no route to host"))
          : transport.connect(address, options),
      // As a relay drops what it has no room for.
      connection: (connection) =>
        id === RECEIVER ? connection : wrapConnection(connection, {
          send(message) {
            if (!losing.next || message.length < LONG) {
              return connection.send(message);
            }
            losing.next = false;
            return Promise.resolve();
          },
          receive: (options) => connection.receive(options),
          close: (reason) => connection.close(reason),
        }),
    }),
    router: router(),
  });
  started.listen(`virtual://${id}`);
  const entry = relayed ? RELAY : SENDER;
  if (id !== entry) started.join(`virtual://${entry}`);
  return started;
}
