import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Transport } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";
import { createIdentity, keyText } from "@devts/protocol/identity";
import { createSecret, secretText } from "@devts/protocol/secret";
import { createNode, JoinError, type Node, type NodeOptions } from "./mod.ts";

interface Events {
  say(text: string): void;
  add(numbers: number[]): number;
}

/** A node that keeps what it logs. */
function nodeWith(options: Partial<NodeOptions> = {}) {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const logger = { debug: log, info: log, warn: log, error: log };
  const node = createNode<Events>({ cluster: "demo", logger, ...options });
  node.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
  return { node, lines };
}

async function adds(one: Node<Events>, other: Node<Events>): Promise<void> {
  assertEquals(await one.request(other.id, "add", [1, 2]), 3);
}

const TRANSPORTS: readonly [string, string, () => Transport][] = [
  ["tcp", "tcp://127.0.0.1:0", tcp],
  ["memory", "memory://one", memory],
];

for (const [name, address, make] of TRANSPORTS) {
  Deno.test(`createNode({ secret }) joins those who know it, over ${name}`, async () => {
    const secret = createSecret();
    const transport = make();
    await using one = nodeWith({ transport, secret }).node;
    await using two = nodeWith({ transport, secret: secretText(secret) }).node;
    assertEquals(await two.join(await one.listen(address)), 1);
    await adds(one, two);
    await adds(two, one);
  });
}

Deno.test("createNode({ secret }) refuses another secret, another cluster and none, over TCP", async () => {
  const secret = createSecret();
  const one = nodeWith({ secret });
  await using _one = one.node;
  const address = await one.node.listen("tcp://127.0.0.1:0");
  const strangers: readonly Partial<NodeOptions>[] = [
    { secret: createSecret() },
    { secret, cluster: "blue" },
  ];
  for (const options of strangers) {
    const before = one.node.counters.refused;
    const stranger = nodeWith(options);
    await using _stranger = stranger.node;
    const error = await assertRejects(
      () => stranger.node.join(address),
      JoinError,
    );
    assertMatch(
      error.message,
      /it has another secret than this node, or belongs to another cluster/,
    );
    await until(() => one.node.counters.refused > before);
  }
  const plain = nodeWith();
  await using _plain = plain.node;
  const before = one.node.counters.refused;
  assertEquals(await plain.node.join(address), 0);
  await until(() => one.node.counters.refused > before);
  assertEquals(one.node.members.size, 0);
  const reasons = one.lines.filter((line) =>
    line.includes("refused a connection")
  );
  assertMatch(reasons.join(), /it does not encrypt/);
  for (const line of one.lines) assert(!line.includes(secretText(secret)));
});

Deno.test("createNode({ secret }) and a node without one refuse each other, with a reason in both logs", async () => {
  const plain = nodeWith();
  await using _plain = plain.node;
  const address = await plain.node.listen("tcp://127.0.0.1:0");
  const one = nodeWith({ secret: createSecret() });
  await using _one = one.node;
  assertEquals(await one.node.join(address), 0);
  assertMatch(one.lines.join(), /it closed in the TLS handshake/);
  assertMatch(plain.lines.join(), /it encrypts, and this end does not/);
  assertEquals(plain.node.members.size, 0);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

// -- Identities --

async function identities(count: number) {
  const made = [];
  for (let i = 0; i < count; i++) made.push((await createIdentity()).identity);
  return { made, trust: { keys: made.map(({ key }) => keyText(key)) } };
}

Deno.test("createNode({ identity }) joins nodes whose keys are listed, and no other", async () => {
  const { made: [a, b, stranger], trust } = await identities(3);
  assert(a && b && stranger);
  const keys = trust.keys.slice(0, 2);
  const one = nodeWith({ identity: a, trust: { keys } });
  await using _one = one.node;
  await using two = nodeWith({ identity: b, trust: { keys } }).node;
  assertEquals([one.node.id, two.id], [a.id, b.id]);
  const address = await one.node.listen("tcp://127.0.0.1:0");
  assertEquals(await two.join(address), 1);
  await adds(one.node, two);
  await adds(two, one.node);
  await using three = nodeWith({ identity: stranger, trust }).node;
  assertEquals(await three.join(address), 0);
  assert(
    one.lines.some((line) => line.includes("nobody vouches for its key")),
    one.lines.join("\n"),
  );
});

Deno.test("createNode({ identity, secret }) wants both", async () => {
  const { made: [a, b], trust } = await identities(2);
  assert(a && b);
  const secret = createSecret();
  const one = nodeWith({ identity: a, trust, secret });
  await using _one = one.node;
  const address = await one.node.listen("tcp://127.0.0.1:0");
  await using half = nodeWith({ identity: b, trust }).node;
  assertEquals(await half.join(address), 0);
  assert(
    one.lines.some((line) => line.includes("it does not know the secret")),
    one.lines.join("\n"),
  );
  await using two = nodeWith({ identity: b, trust, secret }).node;
  assertEquals(await two.join(address), 1);
  await adds(two, one.node);
});

// -- Options that do not fit together --

Deno.test("createNode() refuses options that would protect nothing", async () => {
  const secret = createSecret();
  const { identity } = await createIdentity();
  const cluster = "demo";
  assertThrows(
    () => createNode({ cluster, secret: "hunter2" }),
    TypeError,
    "secretFromPassphrase()",
  );
  assertThrows(
    () => createNode({ cluster, secret: new Uint8Array(16) }),
    TypeError,
    "32 bytes",
  );
  assertThrows(
    () => createNode({ cluster, secret, insecure: true }),
    TypeError,
    "`insecure`",
  );
  assertThrows(
    () => createNode({ cluster, plaintext: true }),
    TypeError,
    "`plaintext` alone",
  );
  assertThrows(
    () => createNode({ cluster, trust: {} }),
    TypeError,
    "`trust` alone",
  );
  assertThrows(
    () => createNode({ cluster, identity, id: "me" }),
    TypeError,
    "its identity makes it",
  );
});
