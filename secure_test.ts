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
import type { RouterFactory } from "@devts/routing";
import { hopRouter } from "@devts/routing/hop";
import { createIdentity, keyText } from "@devts/protocol/identity";
import { createSecret, secretText } from "@devts/protocol/secret";
import {
  type ClusterKeyring,
  createNode,
  DeliveryError,
  type DeliveryOutcome,
  JoinError,
  KeyringError,
  type Node,
  type NodeOptions,
  RequestError,
} from "./mod.ts";
import { Changes, tellingOfEnds } from "./_support_test.ts";

interface Events {
  say(text: string): void;
  add(numbers: number[]): number;
}

/** A node that keeps what it logs, and can be waited for. */
function nodeWith(options: Partial<NodeOptions> = {}) {
  const lines: string[] = [];
  const changes = new Changes();
  const log = (line: string): void => {
    lines.push(line);
    changes.changed();
  };
  const logger = { debug: log, info: log, warn: log, error: log };
  const node = createNode<Events>({
    cluster: "demo",
    logger,
    // Not every refusal is logged, but each ends a connection.
    plugins: [(inner) => tellingOfEnds(inner, changes.changed)],
    ...options,
  });
  node.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
  const until = (condition: () => boolean) => changes.until(condition);
  const logged = (text: string) =>
    until(() => lines.some((line) => line.includes(text)));
  return { node, lines, until, logged };
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
    await one.until(() => one.node.counters.refused > before);
  }
  const plain = nodeWith();
  await using _plain = plain.node;
  const before = one.node.counters.refused;
  await assertRejects(
    () => plain.node.join(address),
    JoinError,
    "it encrypts, and this node does not; create this node with the `secret`",
  );
  await one.until(() => one.node.counters.refused > before);
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
  await plain.logged("it encrypts, and this end does not");
  assertEquals(plain.node.members.size, 0);
});

Deno.test("createNode() tells of a secret that it may lack, where it is not told why it is refused", async () => {
  const transport = memory();
  await using one = nodeWith({ transport, secret: createSecret() }).node;
  const address = await one.listen("memory://one");
  const plain = nodeWith({ transport });
  await using _plain = plain.node;
  assertEquals(await plain.node.join(address), 0);
  assertMatch(
    plain.lines.join(),
    /without a word: its cluster may have a `secret`/,
  );
});

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
  await one.logged("nobody vouches for its key");
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
  await one.logged("it does not know the secret");
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

// -- Rotation --

Deno.test("node.keyring changes the secret of a cluster while it runs", async () => {
  const [old, next] = [createSecret(), createSecret()];
  const ended: string[] = [];
  const made = [0, 1, 2].map(() => nodeWith({ secret: old }));
  const nodes = made.map(({ node }) => node);
  await using cleanup = new AsyncDisposableStack();
  for (const node of nodes) cleanup.use(node);
  const [one, two, three] = nodes;
  assert(one && two && three && one.keyring && three.keyring);
  const address = await one.listen("tcp://127.0.0.1:0");
  for (const node of [two, three]) {
    await node.listen("tcp://127.0.0.1:0");
    await node.join(address);
  }
  for (const { node, until } of made) {
    await until(() => node.members.size === 2);
  }
  for (const node of nodes) {
    node.onSystem("leave", ({ member }) => ended.push(member.id));
  }
  const [{ id: oldId } = { id: "" }] = await one.keyring.keys();
  await assertRejects(
    () => keyringOf(one).remove(oldId),
    KeyringError,
    "it still uses it",
  );

  const { id, nodes: installed } = await one.keyring.install(next);
  assertEquals([...installed.values()], [null, null, null]);
  assertEquals([...(await one.keyring.use(id)).values()], [null, null, null]);
  for (const { lines } of made) lines.length = 0;
  assertEquals([...(await one.keyring.remove(oldId)).values()], [
    null,
    null,
    null,
  ]);
  for (const node of nodes) {
    assertEquals(await node.keyring?.keys(), [{ id, inUse: true }]);
  }
  // Each makes its links anew.
  for (const { node, lines, until } of made) {
    const others = nodes.filter(({ id }) => id !== node.id);
    await until(() =>
      others.every(({ id }) =>
        lines.some((line) => line.includes(`link to "${id}" at`))
      )
    );
  }
  for (const [from, to] of [[one, two], [two, three], [three, one]] as const) {
    await adds(from, to);
  }
  assertEquals(ended, []);
  // The old secret opens nothing any more, the new one does.
  await using late = nodeWith({ secret: old }).node;
  await assertRejects(() => late.join(address), JoinError);
  await using fresh = nodeWith({ secret: next }).node;
  assertEquals(await fresh.join(address), 1);
});

Deno.test("node.keyring logs a step that fails, and that nobody awaits", async () => {
  const one = nodeWith({ secret: createSecret() });
  await using _one = one.node;
  keyringOf(one.node).install("short");
  await one.logged("Cannot use the secret");
  keyringOf(one.node).use("nothing");
  await one.logged('Cannot use the key "nothing"');
  assertEquals(one.node.counters.rejections, 2);
});

Deno.test("node.keyring refuses to use what a member has not installed", async () => {
  const secret = createSecret();
  const one = nodeWith({ secret });
  const two = nodeWith({ secret });
  await using _one = one.node;
  await using _two = two.node;
  await two.node.join(await one.node.listen("tcp://127.0.0.1:0"));
  const keyring = keyringOf(one.node);
  const { id } = await keyring.install(createSecret());
  // As if it had been away, and came back without the new secret.
  const ring = keyringOf(two.node);
  await using three = nodeWith({ secret }).node;
  await three.join(one.node.addresses[0] ?? "");
  await one.until(() => one.node.members.size === 2);
  const error = await assertRejects(() => keyring.use(id), KeyringError);
  assertMatch(
    error.message,
    new RegExp(`node "${three.id}": it has not installed it`),
  );
  assertEquals((await ring.keys()).map(({ inUse }) => inUse), [true, false]);
  assertEquals(createNode({ cluster: "demo" }).keyring, null);
});

function keyringOf(node: Node<Events>): ClusterKeyring {
  assert(node.keyring);
  return node.keyring;
}

// -- Guests --

Deno.test("a guest does what its rights allow, and no more", async () => {
  const secret = createSecret();
  const { identity: guest } = await createIdentity();
  const rights = { emit: ["say", "add"], handle: ["add"] };
  const trust = { keys: [{ key: keyText(guest.key), rights }] };
  const transport = memory();
  const home = nodeWith({ secret, trust, transport });
  await using _home = home.node;
  const address = await home.node.listen("memory://home");
  const visitor = nodeWith({ identity: guest, transport });
  await using _visitor = visitor.node;
  const said: string[] = [];
  home.node.on("say", (text) => said.push(text));
  const { node: anyHome } = home as unknown as { node: Node };
  anyHome.on("set", () => said.push("set"));
  const heard: string[] = [];
  visitor.node.on("say", (text) => heard.push(text));
  assertEquals(await visitor.node.join(address), 1);
  assertEquals([...home.node.members.keys()], [guest.id]);

  await visitor.node.emit("say", "hello");
  await adds(visitor.node, home.node);
  await adds(home.node, visitor.node); // it answers what it handles
  assertEquals(said, ["hello"]);

  const { node: any } = visitor as unknown as { node: Node };
  const refused = await assertRejects(
    () => any.request(home.node.id, "drop", 1),
    RequestError,
  );
  assertMatch(refused.message, /has no right to "drop"/);
  const sly = await assertRejects(
    () => any.request(home.node.id, "devts.keyring/do", ""),
    RequestError,
  );
  assertMatch(sly.message, /has no right/);
  const [missed] = (await undelivered(any, "drop", home.node.id)).missing;
  assertEquals(missed?.reason, "forbidden");
  assertMatch(missed?.message ?? "", /has no right to "drop"/);
  const [unsent] = (await undelivered(anyHome, "say", guest.id)).missing;
  assertEquals(unsent?.reason, "forbidden");
  await any.deliver("say", "hello", { to: home.node.id });
  await anyHome.deliver("add", [1], { to: guest.id });
  said.pop();
  await any.emit("set", 1);
  await home.node.emit("say", "not for guests");
  await adds(visitor.node, home.node);
  assertEquals([said, heard], [["hello"], []]);
  assertEquals(home.node.counters.forbidden, 6);
  assert(home.lines.some((line) => line.includes("has no right to")));
});

Deno.test("a guest opens and accepts conversations that its rights allow, and no others", async () => {
  const { identity: guest } = await createIdentity();
  const rights = { emit: ["up.*"], handle: ["down"] };
  const trust = { keys: [{ key: keyText(guest.key), rights }] };
  const transport = memory();
  const home = nodeWith({ secret: createSecret(), trust, transport });
  await using _home = home.node;
  const visitor = nodeWith({ identity: guest, transport });
  await using _visitor = visitor.node;
  const { node: here } = home as unknown as { node: Node };
  const { node: there } = visitor as unknown as { node: Node };
  for (const node of [here, there]) {
    for (const name of ["up.one", "down"]) {
      node.onOpen(name, async (stream) => {
        for await (const message of stream) await stream.send(message);
        await stream.close();
      });
    }
  }
  await there.join(await here.listen("memory://home"));

  for (
    const [from, to, name] of [[there, here.id, "up.one"], [
      here,
      guest.id,
      "down",
    ]] as const
  ) {
    await using stream = await from.open(to, name);
    await stream.send("hello");
    assertEquals(await stream.receive(), "hello");
    await stream.close();
  }
  const own = await assertRejects(() => there.open(here.id, "down"));
  assertMatch(String(own), /guest ".*" has no right to "down"/);
  const others = await assertRejects(() => here.open(guest.id, "up.one"));
  assertMatch(String(others), /guests have no right to it/);
  // The third is that it told that it handles "add".
  assertEquals(here.counters.forbidden, 3);
});

async function undelivered(
  node: Node,
  name: string,
  to: string,
): Promise<DeliveryOutcome> {
  const { outcome } = await assertRejects(
    () => node.deliver(name, "x", { to }),
    DeliveryError,
  );
  return outcome;
}

Deno.test("a guest is not taken where its words could not be checked, nor believed about others", async () => {
  const secret = createSecret();
  const { identity: guest } = await createIdentity();
  const rights = { emit: ["*"], handle: ["*"] };
  const trust = { keys: [{ key: keyText(guest.key), rights }] };
  const transport = memory();
  const router: RouterFactory = (context) =>
    Object.assign(hopRouter()(context), { inspect: undefined });
  const home = nodeWith({ secret, trust, transport, router });
  await using _home = home.node;
  const address = await home.node.listen("memory://home");
  const visitor = nodeWith({ identity: guest, transport });
  await using _visitor = visitor.node;
  assertEquals(await visitor.node.join(address), 0);
  assertEquals(home.node.members.size, 0);
  // A stranger with a key of its own is told nothing.
  const { identity } = await createIdentity();
  await using stranger = nodeWith({ identity, transport }).node;
  assertEquals(await stranger.join(address), 0);
  await home.logged("nobody vouches for its key");
});

Deno.test("a guest reaches members behind a relay, as far as its rights go", async () => {
  const secret = createSecret();
  const { identity: guest } = await createIdentity();
  const rights = { emit: ["say", "add"], handle: ["say"] };
  const trust = { keys: [{ key: keyText(guest.key), rights }] };
  const transport = memory();
  const router = hopRouter();
  const home = nodeWith({ secret, trust, transport, router });
  await using _home = home.node;
  const far = nodeWith({ secret, trust, transport, router });
  await using _far = far.node;
  const visitor = nodeWith({ identity: guest, transport, router });
  await using _visitor = visitor.node;
  const said: string[] = [];
  far.node.on("say", (text, { from }) => said.push(`${from}: ${text}`));
  const { node: anyFar } = far as unknown as { node: Node };
  anyFar.on("drop", () => said.push("dropped"));
  const address = await home.node.listen("memory://home");
  await far.node.join(address);
  await visitor.node.join(address);
  await visitor.until(() => visitor.node.members.has(far.node.id));
  await far.until(() => far.node.members.has(guest.id));

  await visitor.node.emit("say", "hello");
  await adds(visitor.node, far.node);
  assertEquals(said, [`${guest.id}: hello`]);
  const { node: any } = visitor as unknown as { node: Node };
  const refused = await assertRejects(
    () => any.request(far.node.id, "drop", 1),
    RequestError,
  );
  assertMatch(refused.message, /has no right to "drop"/);
  await any.emit("drop", 1);
  await adds(visitor.node, far.node);
  assertEquals(said.length, 1);
  assert(home.node.counters.forbidden >= 2);
  assertEquals(far.node.counters.forbidden, 0);
});

Deno.test("with identities, a relay brings nothing from whoever is no member", async () => {
  const { made: [a, b], trust } = await identities(2);
  assert(a && b);
  const transport = memory();
  // An event "say" without data, as if "nobody" had sent it, with each packet.
  const forged = Uint8Array.of(1, 0, 0x80, 254, 0, 0, 0, 0, 3, 115, 97, 121);
  const router: RouterFactory = (context) => {
    const inner = hopRouter()(context);
    const receive = inner.receive.bind(inner);
    inner.receive = (from, packet, lane) => {
      context.up.deliver("nobody", forged);
      receive(from, packet, lane);
    };
    return inner;
  };
  const one = nodeWith({ identity: a, trust, transport, router });
  await using _one = one.node;
  const heard: string[] = [];
  one.node.on("say", (_, { from }) => heard.push(from));
  await using two =
    nodeWith({ identity: b, trust, transport, router: hopRouter() }).node;
  assertEquals(await two.join(await one.node.listen("memory://one")), 1);
  await one.until(() => one.node.members.size === 1);
  await two.emit("say", "hello");
  await adds(two, one.node);
  assertEquals(heard, [b.id]);
  assert(one.node.counters.forbidden > 0);
  assertMatch(one.lines.join(), /which is no member/);
});

Deno.test("node.keyring asks members, and no guest of anybody", async () => {
  const secret = createSecret();
  const { identity: guest } = await createIdentity();
  const rights = { emit: [], handle: [] };
  const trust = { keys: [{ key: keyText(guest.key), rights }] };
  const transport = memory();
  const { node: one, until } = nodeWith({ secret, trust, transport });
  const { node: two, until: untilTwo } = nodeWith({ secret, trust, transport });
  await using _one = one;
  await using _two = two;
  const address = await one.listen("memory://one");
  await two.listen("memory://two");
  await two.join(address);
  await using visitor = nodeWith({ identity: guest, transport }).node;
  await visitor.join(address);
  await until(() => one.members.size === 2);
  for (const node of [one, two]) {
    const keyring = keyringOf(node);
    const [old] = await keyring.keys();
    const { id, nodes } = await keyring.install(createSecret());
    assertEquals([...nodes.values()], [null, null]);
    assertEquals([...(await keyring.use(id)).values()], [null, null]);
    assertEquals([...(await keyring.remove(old?.id ?? "")).values()], [
      null,
      null,
    ]);
    await until(() => one.members.size === 2);
    await untilTwo(() => two.members.has(one.id));
  }
});
