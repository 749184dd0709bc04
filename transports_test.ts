import { assert, assertEquals } from "@std/assert";
import { createNode, type Logger, type Node } from "@devts/devts";
import { createSecret } from "@devts/protocol/secret";
import { combine, type Transport } from "@devts/transport";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import { websocket } from "@devts/transport/websocket";

interface Talk {
  say(text: string): void;
}

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Told what a node hears. */
const ears = new WeakMap<Node<Talk>, (text: string, from: string) => void>();

/** A node that listens to what others say, from before it meets any. */
function make(
  id: string,
  transport: Transport,
  secret?: Uint8Array,
): Node<Talk> {
  const node = createNode<Talk>({
    cluster: "test",
    id,
    transport,
    logger: quiet,
    ...(secret && { secret }),
  });
  node.on("say", (text, { from }) => ears.get(node)?.(text, from));
  return node;
}

/** Who can reach whom. */
type Reach = readonly (readonly [Node<Talk>, readonly Node<Talk>[]])[];

/** Resolves once each node knows those that it can reach. */
async function met(reach: Reach): Promise<void> {
  await Promise.all(reach.map(([node, others]) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (others.every(({ id }) => node.members.has(id))) resolve();
    };
    node.onSystem("join", check);
    check();
    return promise;
  }));
}

/** Has one node say something; resolves to what all others have heard of it. */
async function heard(
  speaker: Node<Talk>,
  others: readonly Node<Talk>[],
): Promise<string[]> {
  const hearing = others.map((node) =>
    new Promise<string>((resolve) => {
      ears.set(node, (text, from) => {
        if (from === speaker.id) resolve(text);
      });
    })
  );
  await speaker.emit("say", `from ${speaker.id}`);
  return await Promise.all(hearing);
}

Deno.test("nodes that listen on several transports are reached by what each shares", async () => {
  await using both = make("both", combine(tcp(), websocket()));
  await using either = make("either", combine(websocket(), tcp()));
  await using plain = make("plain", tcp());
  await using web = make("web", websocket());
  for (const node of [both, either]) {
    await node.listen("tcp://127.0.0.1:0");
    await node.listen("ws://127.0.0.1:0/cluster");
  }
  // Each entry node is found by the addresses of the kind that the newcomer knows.
  const [byTcp = "", byWeb = ""] = both.addresses;
  await either.join(byWeb);
  await plain.join(byTcp);
  await web.join(byWeb);
  // Nobody relays: those who share no transport do not reach each other.
  const reach: Reach = [
    [both, [either, plain, web]],
    [either, [both, plain, web]],
    [plain, [both, either]],
    [web, [both, either]],
  ];
  await met(reach);
  for (const [speaker, others] of reach) {
    const text = `from ${speaker.id}`;
    assertEquals(await heard(speaker, others), others.map(() => text));
  }
});

Deno.test("a node with a secret speaks QUIC and TLS at once", async () => {
  const secret = createSecret();
  await using both = make("both", combine(quic(), tcp()), secret);
  await using fast = make("fast", quic(), secret);
  await using usual = make("usual", tcp(), secret);
  await using stranger = make("stranger", quic(), createSecret());
  await both.listen("quic://127.0.0.1:0");
  await both.listen("tcp://127.0.0.1:0");
  await fast.listen("quic://127.0.0.1:0");
  const [byQuic = "", byTcp = ""] = both.addresses;
  assertEquals(await fast.join(byQuic), 1);
  assertEquals(await usual.join(byTcp), 1);
  const refused = await stranger.join(byQuic).catch((error) => error);
  assert(refused instanceof Error);
  await met([[both, [fast, usual]], [fast, [both]], [usual, [both]]]);

  assertEquals(await heard(both, [fast, usual]), ["from both", "from both"]);
  assertEquals(await heard(fast, [both]), ["from fast"]);
  assertEquals(await heard(usual, [both]), ["from usual"]);
});
