import { createNode, type Node, type NodeOptions } from "@devts/devts";
import { createIdentity, keyText } from "@devts/protocol/identity";
import { createSecret } from "@devts/protocol/secret";
import { hopRouter } from "@devts/routing/hop";
import {
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { pause, silent, until } from "../../../../bench/serve.ts";
import { all, type Trial } from "./attack.ts";
import type { Events } from "./events.ts";
import { Recorder, replay } from "./recorder.ts";

/** Frames of a link that carry what nodes send each other. */
const DATA = 0x10;
/** How many are sent, of each kind. */
const EVENTS = 100;

/** A relay that puts other names on what it passes on, where nodes have keys. */
export const forgedRelay: Trial = {
  row: 18,
  what:
    "a relay puts another name on 100 events that it passes on, hopRouter() with identities",
  target: "none counts as from a node that is no member",
  async run() {
    await using cluster = new AsyncDisposableStack();
    const made = await Promise.all([1, 2, 3].map(() => createIdentity()));
    const [from, relay, to] = made.map(({ identity }) => identity);
    if (!from || !relay || !to) throw new Error("There is no key");
    const { identity: ghost } = await createIdentity();
    const trust = { keys: made.map(({ identity }) => keyText(identity.key)) };
    const transport = memory();
    const forging = rewriting(
      transport,
      (bytes) =>
        includes(bytes, "throws") ? replaced(bytes, from.id, ghost.id) : bytes,
    );
    const add = (options: Partial<NodeOptions>): Node<Events> =>
      cluster.use(createNode<Events>({
        cluster: "verify",
        logger: silent,
        router: hopRouter(),
        transport,
        trust,
        ...options,
      }));
    const sender = add({ identity: from });
    const liar = add({ identity: relay, transport: forging });
    const taker = add({ identity: to });
    const heard = new Map<string, number>();
    for (const name of ["count", "throws"] as const) {
      taker.on(name, (_, { from }) => {
        const by = name === "count" ? from : "forged";
        heard.set(by, (heard.get(by) ?? 0) + 1);
      });
    }
    // The others do not listen: all goes through the relay.
    const address = await liar.listen("memory://relay");
    for (const node of [sender, taker]) await node.join(address);
    const nodes = [sender, liar, taker];
    await until(() => nodes.every(({ members }) => members.size === 2), 30_000);
    for (let i = 0; i < EVENTS; i++) void sender.emit("count", i);
    await until(() => heard.get(from.id) === EVENTS, 30_000);
    for (let i = 0; i < EVENTS; i++) void sender.emit("throws");
    await until(() => taker.counters.forbidden > 0, 30_000);
    await pause(100); // none of these in a packet with those
    for (let i = 0; i < EVENTS; i++) void sender.emit("count", i);
    await until(() => heard.get(from.id) === 2 * EVENTS, 30_000);
    const { forbidden } = taker.counters;
    return all({
      [`${heard.get(from.id)} as those of their sender`]:
        heard.get(from.id) === 2 * EVENTS,
      [`${heard.get(ghost.id) ?? 0} as those of who is no member`]: !heard.has(
        ghost.id,
      ),
      [`${forbidden} such packets counted`]: forbidden > 0,
    });
  },
};

/** All that passed over a link, once more. */
export const replayedLink: Trial = {
  row: 19,
  what:
    "all that one end of a link sent is sent again, on another link, once the first is gone, after a restart, and to who dials; with a secret, over TLS and over plain TCP",
  target: "none is accepted: no link, no event handled",
  async run() {
    const checks: Record<string, boolean> = {};
    for (const plaintext of [false, true]) {
      const { replays, links, again, heard } = await replayed(plaintext);
      const kind = plaintext ? "plain TCP" : "TLS";
      checks[`${kind}: ${heard} handled once`] = heard === EVENTS;
      checks[
        `${kind}, ${replays} replays: ${links} links, ${again} handled again`
      ] = replays >= 4 && links === 0 && again === 0;
    }
    return all(checks);
  },
};

async function replayed(plaintext: boolean) {
  await using cluster = new AsyncDisposableStack();
  const secret = createSecret();
  const add = (id: string): Node<Events> =>
    createNode<Events>({
      cluster: "verify",
      id,
      secret,
      plaintext,
      logger: silent,
    });
  let heard = 0;
  const start = async (address: string) => {
    const node = cluster.use(add("taker"));
    node.on("count", () => void heard++);
    return { node, address: await node.listen(address) };
  };
  const first = await start("tcp://127.0.0.1:0");
  const recorder = cluster.use(new Recorder(first.address));
  const sender = cluster.use(add("sender"));
  await sender.join(recorder.address);
  for (let i = 0; i < EVENTS; i++) await sender.emit("count", i);
  await sender.request("taker", "echo", 1).catch(() => {}); // behind them
  await until(() => heard === EVENTS, 30_000);

  let links = 0;
  let replays = 0;
  const watch = ({ node }: { node: Node<Events> }): void => {
    node.onSystem("join", () => void links++);
  };
  const attack = async (): Promise<void> => {
    for (const { dialled } of recorder.links) {
      await replay(first.address, dialled);
      replays++;
    }
  };
  watch(first);
  await attack(); // while the link is there
  await sender.close();
  await until(() => first.node.members.size === 0, 30_000);
  await attack();
  const { address } = first;
  await first.node.close();
  const second = await start(address);
  watch(second);
  await attack();
  // Somebody who was never there answers a dial with what the taker had said.
  const dialler = cluster.use(add("dialler"));
  watch({ node: dialler });
  for (const { accepted } of recorder.links) {
    await using answering = new Recorder(null, accepted);
    await dialler.join(answering.address).catch(() => 0);
    replays++;
  }
  return { replays, links, again: heard - EVENTS, heard: EVENTS };
}

/** A transport that changes the data which it sends. */
function rewriting(
  inner: Transport,
  change: (bytes: Uint8Array) => Uint8Array,
): Transport {
  return wrapTransport(inner, {
    connection: (connection) =>
      wrapConnection(connection, {
        send: (message) =>
          connection.send(message[0] === DATA ? change(message) : message),
      }),
  });
}

function includes(bytes: Uint8Array, text: string): boolean {
  return new TextDecoder("latin1").decode(bytes).includes(text);
}

/** With one text in place of another one of its length, wherever that stands. */
function replaced(bytes: Uint8Array, text: string, by: string): Uint8Array {
  const copy = bytes.slice();
  const [wanted, other] = [text, by].map((id) => new TextEncoder().encode(id));
  if (!wanted || !other || wanted.length !== other.length) return copy;
  for (let at = 0; at + wanted.length <= copy.length; at++) {
    if (wanted.every((byte, i) => copy[at + i] === byte)) copy.set(other, at);
  }
  return copy;
}
