import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Protocol, Rights } from "@devts/protocol";
import { v1 } from "@devts/protocol/v1";
import { wrapTransport } from "@devts/transport";
import type {
  Lane,
  Membership,
  NodeId,
  Router,
  RouterFactory,
} from "@devts/routing";
import { heartbeat } from "@devts/routing/heartbeat";
import { hopRouter } from "@devts/routing/hop";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";
import { seededRandom, withLinks } from "@devts/routing/testing";
import { type Events, ROUTERS, row } from "./_row_test.ts";
import { pass, passFor, passUntil, START } from "./_support_test.ts";
import { DeliveryError, RequestError } from "./errors.ts";
import { writeRefusal, writeWelcome } from "./guest_wire.ts";
import type { Node } from "./node.ts";
import type { NodeParts } from "./types.ts";
import { type Tested, virtualWorld, type World } from "./_world_test.ts";

const RIGHTS: Rights = { emit: ["say", "add"], handle: ["say", "add"] };
/** As long as the id of a member, so that one can stand in its place in a packet. */
const GUEST = "eva";
const MEMBERS: readonly NodeId[] = ["ada", "bob", "cyd"];

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

interface GuestEvents extends Events {
  set(value: string): void;
}

/** A protocol by which one node has proven to be a guest. */
function knowingGuest(rights: Rights = RIGHTS): Protocol {
  const inner = v1();
  return {
    ...inner,
    async introduce(channel, options) {
      const introduced = await inner.introduce(channel, {
        ...options,
        admit: (peer) =>
          options.admit(peer, peer.id === GUEST ? { rights } : {}),
      });
      if (!("peer" in introduced)) return introduced;
      const isGuest = introduced.peer.id === GUEST;
      return { ...introduced, proven: isGuest ? { rights } : {} };
    },
  };
}

/** What a guest's router hands to its links, and gets from them. */
interface Wire {
  /** Changes what it sends; null: sends nothing. */
  out: (packet: Uint8Array) => Uint8Array | null;
  /** Sends a packet to the node that it is linked to, past its router. */
  send: (packet: Uint8Array, lane: Lane) => void;
  /** The guest's router. */
  router: Router | null;
  readonly sent: { readonly packet: Uint8Array; readonly lane: Lane }[];
  readonly received: Uint8Array[];
}

/**
 * A router whose packets a test can see and change. The node of a hostile one does not
 * hold back what it passes on for others.
 */
function wiretapped(
  make: RouterFactory,
  wire: Wire,
  isHostile: boolean,
): RouterFactory {
  return (context) => {
    const { links } = context;
    wire.send = (packet, lane) => void links.send("ada", packet, lane);
    const inner = make(withLinks(context, {
      send: (id, packet, lane) => {
        wire.sent.push({ packet, lane });
        const changed = wire.out(packet);
        return changed === null || links.send(id, changed, lane);
      },
    }));
    const receive = inner.receive.bind(inner);
    inner.receive = (from, packet, lane) => {
      wire.received.push(packet.slice());
      receive(from, packet, lane);
    };
    wire.router = inner;
    if (isHostile) Object.assign(inner, { inspect: undefined });
    return inner;
  };
}

/**
 * Three members in a row, "ada", "bob" and "cyd", and a guest that "ada" has let in, and
 * where it is not alone with that, the others, too.
 */
async function scene(
  world: World,
  make: () => RouterFactory,
  { rights = RIGHTS, membership = swim, isHostile = false, isAlone = true } =
    {},
): Promise<{
  readonly members: readonly Tested<GuestEvents>[];
  readonly ada: Tested<GuestEvents>;
  readonly cyd: Tested<GuestEvents>;
  readonly guest: Tested<GuestEvents>;
  readonly wire: Wire;
  /** What the members know of each other. */
  readonly views: readonly Membership[];
}> {
  const views: Membership[] = [];
  const parts: Partial<NodeParts> = {
    protocol: knowingGuest(rights),
    membership: (context) => {
      const view = membership()(context);
      views.push(view);
      return view;
    },
  };
  const members = await row<GuestEvents>(world, make(), undefined, parts);
  const [ada, , cyd] = members;
  const wire: Wire = {
    out: (packet) => packet,
    send: () => {},
    router: null,
    sent: [],
    received: [],
  };
  const own = world.parts(GUEST).transport;
  const guest = world.add<GuestEvents>(GUEST, {
    router: wiretapped(make(), wire, isHostile),
    membership: membership(),
    transport: wrapTransport(own, {
      connect: (address, options) =>
        isAlone && address !== "memory://ada"
          ? Promise.reject(new Error("no route to host"))
          : own.connect(address, options),
    }),
  });
  await passFor(world.clock, guest.node.join("memory://ada"));
  const all = [...members, guest];
  await passUntil(
    world.clock,
    () => all.every(({ node }) => node.members.size === 3),
  );
  await pass(world.clock, 2_000);
  return { members, ada, cyd, guest, wire, views };
}

function forbidden(nodes: readonly Tested<GuestEvents>[]): number {
  return nodes.reduce((sum, { node }) => sum + node.counters.forbidden, 0);
}

function has(packet: Uint8Array, text: string): boolean {
  return decoder.decode(packet).includes(text);
}

function replaced(packet: Uint8Array, from: string, to: string): Uint8Array {
  const bytes = packet.slice();
  const [a, b] = [encoder.encode(from), encoder.encode(to)];
  for (let at = 0; at + a.length <= bytes.length; at++) {
    if (a.every((byte, i) => bytes[at + i] === byte)) bytes.set(b, at);
  }
  return bytes;
}

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`a guest over ${name}() does what it may, behind relays too`, async () => {
    await using world = virtualWorld();
    const { members, cyd, guest } = await scene(world, make, {
      isAlone: false,
    });
    const heard: string[] = [];
    for (const { node } of members) {
      node.on("say", (text, { from }) => {
        heard.push(`${node.id} from ${from}: ${text}`);
      });
      node.on("add", (numbers) => numbers.reduce((a, b) => a + b, 0));
    }
    guest.node.on("add", (numbers) => numbers.length);
    const said: string[] = [];
    guest.node.on(
      "say",
      (text, { from }) => void said.push(`${from}: ${text}`),
    );
    await pass(world.clock, 2_000);

    for (let i = 0; i < 5; i++) guest.node.emit("say", `${i}`);
    await pass(world.clock, 500);
    for (const id of MEMBERS) {
      const own = heard.filter((line) => line.startsWith(id));
      const all = Array.from({ length: 5 }, (_, i) => `${id} from eva: ${i}`);
      assertEquals(own, all);
    }
    const sum = guest.node.request("cyd", "add", [1, 2, 3]);
    assertEquals(await passFor(world.clock, sum), 6);
    const count = cyd.node.request(GUEST, "add", [1, 2, 3]);
    assertEquals(await passFor(world.clock, count), 3);
    cyd.node.emit("say", "to all");
    cyd.node.send(GUEST, "say", "to one");
    await pass(world.clock, 500);
    assertEquals(said, ["cyd: to all", "cyd: to one"]);
    const { acknowledged } = await passFor(
      world.clock,
      guest.node.deliver("say", "surely", { to: "cyd" }),
    );
    assertEquals(acknowledged.map(({ node }) => node), ["cyd"]);
    assertEquals(forbidden(members), 0);
  });

  Deno.test(`a guest over ${name}() does nothing else`, async () => {
    await using world = virtualWorld();
    const { members, ada, cyd, guest, wire } = await scene(world, make);
    const heard: string[] = [];
    for (const { node } of members) {
      node.on("say", (text) => void heard.push(`${node.id}: ${text}`));
      node.on("set", (value) => void heard.push(`${node.id} set: ${value}`));
    }
    guest.node.on("set", () => void heard.push("guest set"));
    await pass(world.clock, 2_000);
    const before = ada.node.counters.forbidden;
    // In one bundle: what it may emit comes all the same, in order.
    guest.node.emit("say", "a");
    guest.node.emit("set", "b");
    guest.node.emit("say", "c");
    await pass(world.clock, 500);
    guest.node.emit("set", "d");
    guest.node.send("cyd", "set", "e");
    await pass(world.clock, 500);
    guest.node.emit("say", "f");
    await pass(world.clock, 500);
    const { node: any } = guest as unknown as { node: Node };
    const start = world.clock.now();
    const refused = await assertRejects(
      () => passFor(world.clock, any.request("cyd", "drop")),
      RequestError,
    );
    assert(refused.message.includes('has no right to "drop"'), refused.message);
    const undelivered = await assertRejects(
      () => passFor(world.clock, any.deliver("drop", 1, { to: "cyd" })),
      DeliveryError,
    );
    assertEquals(undelivered.outcome.missing[0]?.reason, "forbidden");
    const unopened = await assertRejects(
      () => passFor(world.clock, any.open("cyd", "drop")),
    );
    assert(String(unopened).includes('has no right to "drop"'));
    assert(world.clock.now() - start < 1_000);
    const texts = ["a", "c", "f"];
    assertEquals(
      heard.filter((line) => line.startsWith("cyd")),
      texts.map((text) => `cyd: ${text}`),
    );
    assertEquals(heard.length, 9);
    assertEquals(ada.node.counters.forbidden - before, 6);
    assert(
      ada.log.of("warn").join().includes('guest "eva" has no right to "set"'),
    );
    for (const { node } of members) assertEquals(node.counters.missed, 0);

    // What it is no target of, or has no right to, does not come near it.
    wire.received.length = 0;
    ada.node.emit("set", "private-1");
    cyd.node.emit("set", "private-2");
    cyd.node.send(GUEST, "set", "private-3").catch(() => {});
    cyd.node.send("ada", "say", "private-4");
    ada.node.send("cyd", "say", "private-5");
    await pass(world.clock, 500);
    assertEquals(heard.length, 9 + 2 + 2 + 2);
    assertEquals(wire.received.filter((packet) => has(packet, "private")), []);
    cyd.node.emit("say", "at once");
    await pass(world.clock, 200);
    assert(wire.received.some((packet) => has(packet, "at once")));
  });

  Deno.test(`a guest over ${name}() is not asked what it may not handle, and its host says why`, async () => {
    await using world = virtualWorld();
    const { ada } = await scene(world, make);
    const { node: any } = ada as unknown as { node: Node };
    const start = world.clock.now();
    const refused = await assertRejects(
      () => passFor(world.clock, any.request(GUEST, "drop")),
      RequestError,
      "it is a guest without a right to it",
    );
    assertEquals(refused.reason, "handler");
    assert(world.clock.now() - start < 1_000);
    assertEquals(ada.node.counters.forbidden > 0, true);
  });

  Deno.test(`a guest over ${name}() speaks for nobody else`, async () => {
    await using world = virtualWorld();
    const { members, ada, guest, wire } = await scene(world, make, {
      isHostile: true,
    });
    const heard: string[] = [];
    for (const { node } of members) {
      node.on("say", (text, { from }) => {
        heard.push(`${node.id} from ${from}: ${text}`);
      });
    }
    await pass(world.clock, 2_000);
    for (const other of ["bob", "cyd", "ada", "zoe"]) {
      const before = ada.node.counters.forbidden;
      wire.out = (packet) =>
        has(packet, "forged") ? replaced(packet, GUEST, other) : packet;
      guest.node.emit("say", "forged");
      guest.node.send("cyd", "say", "forged").catch(() => {});
      await pass(world.clock, 500);
      assert(ada.node.counters.forbidden > before, other);
    }
    assertEquals(heard, []);
    wire.out = (packet) => packet;
    guest.node.emit("say", "mine");
    await pass(world.clock, 10_000);
    assertEquals(heard.filter((line) => !line.endsWith("from eva: mine")), []);
    assert(
      ada.log.of("warn").join().includes('dropped what guest "eva" passed on'),
    );
  });

  Deno.test(`a guest over ${name}() is believed about nobody else, with ${swim.name} and ${heartbeat.name}`, async () => {
    for (const membership of [swim, heartbeat]) {
      await using world = virtualWorld();
      const { members, views, wire } = await scene(world, make, {
        membership,
        isHostile: true,
      });
      // It tells of a node that is not there, and of itself.
      const made = writeNews(membership === swim, "zoe", GUEST);
      for (const id of MEMBERS) wire.router?.send([id], made, "control");
      wire.router?.send("all", made, "control");
      await pass(world.clock, 40_000);
      assertEquals(views.length, 3);
      for (const { members } of views) {
        assertEquals([members.has("zoe"), members.has(GUEST)], [false, true]);
        assert((members.get(GUEST)?.incarnation ?? 0) > START + 500);
      }
      for (const { node, told } of members) {
        assertEquals(node.members.size, 3);
        assert(!told.some(({ name }) => name === "leave"));
      }
    }
  });

  Deno.test(`a guest over ${name}() may send whatever bytes it likes`, async () => {
    await using world = virtualWorld();
    const { members, ada, cyd, guest, wire } = await scene(world, make, {
      isHostile: true,
    });
    const heard: string[] = [];
    for (const { node } of members) {
      node.on("say", (_, { from }) => void heard.push(from));
      node.on("set", (_, { from }) => void heard.push(`set ${from}`));
    }
    await pass(world.clock, 1_000);
    guest.node.emit("say", "x");
    guest.node.send("cyd", "say", "y");
    await pass(world.clock, 1_000);
    heard.length = 0;
    const random = seededRandom(5);
    const whole = wire.sent.slice();
    for (let i = 0; i < 3_000; i++) {
      const { packet, lane } = whole[Math.floor(random() * whole.length)] ??
        { packet: encoder.encode("?"), lane: "data" };
      wire.send(mutated(packet, random), lane);
      if (i % 100 === 0) await pass(world.clock, 10);
    }
    await pass(world.clock, 5_000);
    assertEquals(heard.filter((from) => from !== GUEST), []);
    // The members have lost nothing of each other.
    cyd.node.emit("say", "still here");
    await pass(world.clock, 5_000);
    assertEquals(
      heard.filter((from) => from === "cyd").length,
      2,
    );
    assert(ada.node.counters.forbidden > 0);
  });
}

/** News that two nodes live, as a payload. */
function writeNews(isSwim: boolean, ...ids: readonly NodeId[]): Uint8Array {
  const bytes = isSwim ? [2, 1, 5] : [2, 1, 2, 0];
  const push16 = (number: number): void => {
    bytes.push(number >>> 8, number & 0xff);
  };
  const pushText = (text: string): void => {
    push16(text.length);
    bytes.push(...encoder.encode(text));
  };
  for (const id of ids) {
    if (isSwim) bytes.push(1);
    pushText(id);
    const incarnation = new DataView(new ArrayBuffer(8));
    incarnation.setBigUint64(0, BigInt(START) + 500n);
    bytes.push(...new Uint8Array(incarnation.buffer), 1);
    pushText("memory://told");
    push16(0);
  }
  return Uint8Array.from(bytes);
}

function mutated(packet: Uint8Array, random: () => number): Uint8Array {
  const bytes = packet.slice();
  const any = (count: number): number => Math.floor(random() * count);
  for (let left = 1 + any(3); left > 0; left--) {
    bytes[any(bytes.length)] = any(256);
  }
  return any(8) === 0 ? bytes.subarray(0, any(bytes.length)) : bytes;
}

Deno.test("a node is no guest because a member says so", async () => {
  await using world = virtualWorld();
  const routers = new Map<NodeId, Router>();
  const make: RouterFactory = (context) => {
    const router = hopRouter()(context);
    routers.set(context.self.id, router);
    return router;
  };
  const [ada, bob, cyd] = await row(world, make);
  const heard: string[] = [];
  for (const { node } of [ada, cyd]) {
    node.on("say", (text) => void heard.push(`${node.id}: ${text}`));
  }
  bob.node.on("add", () => 7);
  cyd.node.on("add", (numbers) => numbers.length);
  await pass(world.clock, 2_000);
  const refusal = writeRefusal({
    ...{ to: "cyd", why: "made up", deliveries: [], stream: null },
    requests: Array.from({ length: 100 }, (_, i) => i),
  });
  // Without a welcome, and from who is no neighbour, it means nothing.
  routers.get("bob")?.send(["ada"], refusal, "control");
  routers.get("cyd")?.send(["ada"], writeWelcome(), "control");
  routers.get("cyd")?.send(["ada"], refusal, "control");
  const count = ada.node.request("cyd", "add", [1, 2]);
  routers.get("bob")?.send(["ada"], refusal, "control");
  assertEquals(await passFor(world.clock, count), 2);
  // Who is told so by one neighbour passes on to the others as before.
  routers.get("ada")?.send(["bob"], writeWelcome(), "control");
  await pass(world.clock, 500);
  ada.node.emit("say", "hello");
  await pass(world.clock, 500);
  assertEquals(heard, ["cyd: hello"]);
});

Deno.test("a guest is refused by a router that cannot say what a packet is", async () => {
  await using world = virtualWorld();
  const make: RouterFactory = (context) => {
    const router = peerRouter()(context);
    return {
      nodes: router.nodes,
      send: (to, payload, lane) => router.send(to, payload, lane),
      receive: (from, packet, lane) => router.receive(from, packet, lane),
      link: (event) => router.link(event),
      member: (event) => router.member(event),
      close: () => router.close(),
    };
  };
  const ada = world.add("ada", { router: make, protocol: knowingGuest() });
  await passFor(world.clock, ada.node.listen("memory://ada"));
  const guest = world.add(GUEST, { router: make });
  await passFor(world.clock, guest.node.join("memory://ada"));
  const reason = "this node cannot check what guests send";
  assert(ada.log.of("warn").join().includes(reason));
  assert(guest.log.lines.some(({ text }) => text.includes(reason)));
  assertEquals(ada.node.members.size, 0);
});
