import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  ConnectionError,
  isInPlace,
  type Listener,
} from "@devts/transport";
import { tcp } from "@devts/transport/tcp";
import { memory } from "@devts/transport/memory";
import { TestClock } from "./_support_test.ts";
import { analytics, ratesBetween } from "./analytics.ts";
import { withPlugins } from "./with_plugins.ts";

const NOTHING = { messages: 0, bytes: 0 };

async function accept(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

async function pair(): Promise<[Connection, Connection]> {
  const transport = memory();
  await using listener = await transport.listen("memory://pair");
  const dialled = await transport.connect(listener.address);
  return [dialled, await accept(listener)];
}

Deno.test("analytics() starts at zero", () => {
  assertEquals(analytics({ clock: new TestClock() }).snapshot(), {
    at: 0,
    connections: { opened: 0, accepted: 0, closed: 0 },
    sent: NOTHING,
    received: NOTHING,
    peers: [],
    others: { links: 0, sent: NOTHING, received: NOTHING },
  });
});

Deno.test("analytics().plugin counts connections by who opened them, and each close once", async () => {
  const near = analytics();
  const far = analytics();
  const inner = memory();
  await using listener = await withPlugins(inner, far.plugin).listen(
    "memory://inbox",
  );
  const dialled = await withPlugins(inner, near.plugin).connect(
    listener.address,
  );
  const accepted = await accept(listener);
  assertEquals(near.snapshot().connections, {
    opened: 1,
    accepted: 0,
    closed: 0,
  });
  assertEquals(far.snapshot().connections, {
    opened: 0,
    accepted: 1,
    closed: 0,
  });
  await dialled.close();
  await dialled.close(new Error("again"));
  await accepted.close();
  assertEquals(near.snapshot().connections, {
    opened: 1,
    accepted: 0,
    closed: 1,
  });
  assertEquals(far.snapshot().connections, {
    opened: 0,
    accepted: 1,
    closed: 1,
  });
});

Deno.test("analytics().plugin counts no attempt that fails", async () => {
  const counts = analytics();
  const transport = withPlugins(memory(), counts.plugin);
  await assertRejects(
    () => transport.connect("memory://nobody"),
    ConnectionError,
  );
  assertEquals(counts.snapshot().connections.opened, 0);
});

Deno.test("analytics().plugin counts messages and bytes each way, but not the end", async () => {
  const near = analytics();
  const far = analytics();
  const inner = memory();
  await using listener = await withPlugins(inner, far.plugin).listen(
    "memory://inbox",
  );
  await using dialled = await withPlugins(inner, near.plugin).connect(
    listener.address,
  );
  await using accepted = await accept(listener);
  await dialled.send(new Uint8Array(3));
  await dialled.send(new Uint8Array(4));
  assertEquals((await accepted.receive())?.length, 3);
  assertEquals((await accepted.receive())?.length, 4);
  await dialled.close();
  assertEquals(await accepted.receive(), null);
  const traffic = { messages: 2, bytes: 7 };
  assertEquals(near.snapshot().sent, traffic);
  assertEquals(near.snapshot().received, NOTHING);
  assertEquals(far.snapshot().sent, NOTHING);
  assertEquals(far.snapshot().received, traffic);
});

Deno.test("analytics().plugin counts what is received by iterating", async () => {
  const counts = analytics();
  const transport = withPlugins(memory(), counts.plugin);
  await using listener = await transport.listen("memory://inbox");
  const dialled = await transport.connect(listener.address);
  await using accepted = await accept(listener);
  await dialled.send(new Uint8Array(3));
  await dialled.close();
  for await (const message of accepted) assertEquals(message.length, 3);
  assertEquals(counts.snapshot().received, { messages: 1, bytes: 3 });
});

Deno.test("analytics() counts no message that was refused", async () => {
  const counts = analytics();
  const [dialled, accepted] = await pair();
  await using _far = accepted;
  const link = counts.link(dialled, { id: "n1" });
  await link.close();
  await assertRejects(() => link.send(new Uint8Array(3)), ConnectionError);
  assertEquals(counts.snapshot().peers[0]?.sent, NOTHING);
});

Deno.test("analytics().link counts by peer, over all links to it", async () => {
  const counts = analytics();
  for (const [id, length] of [["n1", 1], ["n2", 2], ["n1", 3]] as const) {
    const [dialled, accepted] = await pair();
    await using near = counts.link(dialled, { id });
    await using far = accepted;
    await near.send(new Uint8Array(length));
    await far.receive();
    await far.send(new Uint8Array(length * 10));
    await near.receive();
  }
  const { peers, others, sent } = counts.snapshot();
  assertEquals(peers, [
    {
      id: "n1",
      links: 2,
      sent: { messages: 2, bytes: 4 },
      received: { messages: 2, bytes: 40 },
    },
    {
      id: "n2",
      links: 1,
      sent: { messages: 1, bytes: 2 },
      received: { messages: 1, bytes: 20 },
    },
  ]);
  assertEquals(others.links, 0);
  assertEquals(sent, NOTHING);
});

Deno.test("analytics().link counts the peers beyond 1,024 together", async () => {
  const counts = analytics();
  const [dialled, accepted] = await pair();
  await using near = dialled;
  await using _far = accepted;
  for (let i = 0; i < 1024; i++) counts.link(near, { id: `n${i}` });
  await counts.link(near, { id: "late" }).send(new Uint8Array(3));
  await counts.link(near, { id: "later" }).send(new Uint8Array(4));
  await counts.link(near, { id: "n0" }).send(new Uint8Array(5));
  const { peers, others } = counts.snapshot();
  assertEquals(peers.length, 1024);
  assertEquals(peers[0]?.sent.bytes, 5);
  assertEquals(others, {
    links: 2,
    sent: { messages: 2, bytes: 7 },
    received: NOTHING,
  });
});

Deno.test("analytics().snapshot() is a copy", async () => {
  const counts = analytics();
  const [dialled, accepted] = await pair();
  await using near = counts.link(dialled, { id: "n1" });
  await using _far = accepted;
  const before = counts.snapshot();
  await near.send(new Uint8Array(3));
  assertEquals(before.peers[0]?.sent, NOTHING);
});

Deno.test("ratesBetween() says what passed per second, by peer too", async () => {
  const clock = new TestClock();
  const counts = analytics({ clock });
  const [dialled, accepted] = await pair();
  await using near = counts.link(dialled, { id: "n1" });
  await using _far = accepted;
  await near.send(new Uint8Array(100));
  const before = counts.snapshot();
  clock.tick(2_000);
  for (let i = 0; i < 10; i++) await near.send(new Uint8Array(100));
  const after = counts.snapshot();
  const sent = { messages: 5, bytes: 500 };
  assertEquals(ratesBetween(before, after).peers, [
    { id: "n1", sent, received: NOTHING },
  ]);
  assertEquals(ratesBetween(after, after).peers[0]?.sent, NOTHING);
});

Deno.test("analytics() keeps a connection in place, and counts what is sent and lent there", async () => {
  const counts = analytics();
  const transport = tcp();
  await using listener = await transport.listen("tcp://127.0.0.1:0");
  const [dialled, accepted] = await Promise.all([
    transport.connect(listener.address),
    accept(listener),
  ]);
  const near = counts.link(dialled, { id: "n1" });
  const far = counts.link(accepted, { id: "n2" });
  assert(isInPlace(near) && isInPlace(far));
  const frame = new Uint8Array(near.framing.size + 5);
  near.framing.write(frame);
  await near.sendFrame(frame);
  assertEquals((await far.borrow())?.length, 5);
  const [one, two] = counts.snapshot().peers;
  assertEquals(one?.sent, { messages: 1, bytes: 5 });
  assertEquals(two?.received, { messages: 1, bytes: 5 });
  await Promise.all([near.close(), far.close()]);
});
