import { assert, assertEquals, assertThrows } from "@std/assert";
import { withLinks } from "./_context.ts";
import { isInspecting, knowing } from "./_leaves.ts";
import { seededRandom } from "./_random.ts";
import {
  assertSelfContained,
  garbage,
  registerSuite,
  type Suite,
} from "./_suite.ts";
import {
  VirtualNetwork,
  type VirtualNetworkOptions,
} from "./_virtual_network.ts";
import type { ExplainingRouter } from "./explain.ts";
import {
  type Inspected,
  type Lane,
  type NodeId,
  NodeNotFoundError,
  type Router,
  type RouterFactory,
} from "./types.ts";

/** How the nodes of a suite are linked: each to each, in a row, or in a circle. */
export type Topology = "mesh" | "line" | "ring";

/** Options of {@linkcode testRouter}. */
export interface TestRouterOptions {
  /**
   * The links that the router has to do with.
   *
   * @default {"mesh"}
   */
  readonly topology?: Topology;
  /** Tests that the implementation skips: the fact, and why. */
  readonly skip?: Readonly<Record<string, string>>;
}

const IDS = ["a", "b", "c", "d"] as const;
/** Virtual ms in which every link is up at both ends. */
const SETUP = 100;
/** Virtual ms in which a router has to find its ways. */
const SETTLE = 60_000;

/**
 * Registers the tests that every router must pass: the sentences of
 * {@linkcode Router}, on four nodes in virtual time. On a line and on a ring, some
 * nodes have no link to each other: there it is tested, too, what a router owes that
 * relays.
 *
 * @example A router's test file
 * ```ts ignore
 * import { peerRouter } from "@devts/routing/peer";
 * import { testRouter } from "@devts/routing/testing";
 *
 * testRouter("peerRouter()", peerRouter());
 * ```
 *
 * @param name What the names of the tests begin with.
 * @param factory Makes the router under test.
 */
export function testRouter(
  name: string,
  factory: RouterFactory,
  options: TestRouterOptions = {},
): void {
  const { topology = "mesh", skip = {} } = options;
  const links = linksOf(topology);
  const suite = {
    ...routerSuite(factory, links),
    ...(explains(factory) ? explainSuite(factory, links) : {}),
    ...(inspects(factory) ? inspectSuite(factory, links) : {}),
  };
  registerSuite(
    `${name} on a ${topology}`,
    topology === "mesh" ? suite : { ...suite, ...relaySuite(factory, links) },
    skip,
  );
}

type Pairs = readonly (readonly [NodeId, NodeId])[];

/** Four linked nodes that know ways to each other. */
function networkOf(
  links: Pairs,
  router: RouterFactory,
  options: VirtualNetworkOptions,
): VirtualNetwork {
  const network = new VirtualNetwork(options);
  for (const id of IDS) network.add(id, { router });
  for (const [a, b] of links) network.connect(a, b);
  settle(network);
  // Ways may be there before the last link is.
  network.clock.tick(SETUP);
  return network;
}

/** Whether a router has the optional interface by which it explains itself. */
function explains(factory: RouterFactory): boolean {
  const network = new VirtualNetwork();
  return isExplaining(network.add("a", { router: factory }).router);
}

function isExplaining(router: Router): router is ExplainingRouter {
  return "explain" in router && typeof router.explain === "function";
}

function explainSuite(factory: RouterFactory, links: Pairs): Suite {
  function explain(network: VirtualNetwork, from: NodeId, to: NodeId) {
    const { router } = network.node(from);
    assert(isExplaining(router));
    return router.explain(to);
  }

  return {
    "explain() names ways to every one of `nodes`, and why": () => {
      const network = networkOf(links, factory, {});
      for (const { id, neighbours, router } of network.nodes) {
        for (const other of router.nodes) {
          const { how, why, ways } = explain(network, id, other);
          assert(how !== "none" && why !== "", `${how}: ${why}`);
          assertEquals(how === "link", neighbours.includes(other));
          assert(ways.length <= 3);
          for (const { nodes, isWhole } of ways) {
            assertEquals([nodes[0], nodes.at(-1)], [id, other]);
            assertEquals(new Set(nodes).size, nodes.length);
            for (const [at, next] of nodes.entries()) {
              if (at === 0 || (!isWhole && at === nodes.length - 1)) continue;
              const before = network.node(nodes[at - 1] ?? "");
              assert(before.neighbours.includes(next), nodes.join(" "));
            }
          }
        }
      }
    },

    "explain() names no way to who is unknown, itself and who is gone": () => {
      const network = networkOf(links, factory, {});
      for (const id of IDS) if (id !== "d") network.disconnect(id, "d");
      network.clock.tick(SETTLE);
      for (const id of ["a", "d", "nobody", "__proto__"]) {
        const { how, why, ways } = explain(network, "a", id);
        assertEquals([how, ways], ["none", []], id);
        assert(why !== "");
      }
    },

    "explain() changes nothing": () => {
      const network = networkOf(links, factory, {});
      const before = network.events;
      for (const { id } of network.nodes) {
        for (const other of [...IDS, "nobody"]) explain(network, id, other);
      }
      assertEquals(network.events, before);
      assertEquals(explain(network, "a", "d"), explain(network, "a", "d"));
    },
  };
}

/** Whether a router has the optional interface by which it reads packets. */
function inspects(factory: RouterFactory): boolean {
  const network = new VirtualNetwork();
  return isInspecting(network.add("a", { router: factory }).router);
}

/** A packet that one node handed to a neighbour. */
interface Handed {
  readonly by: NodeId;
  readonly packet: Uint8Array;
  readonly lane: Lane;
}

function inspectSuite(factory: RouterFactory, links: Pairs): Suite {
  function make(): { network: VirtualNetwork; handed: Handed[] } {
    const handed: Handed[] = [];
    const router = altered(factory, (one) => {
      handed.push(one);
      return one.packet;
    });
    return { network: networkOf(links, router, {}), handed };
  }

  function inspect(
    network: VirtualNetwork,
    { by, packet }: Omit<Handed, "lane">,
  ): Inspected | null {
    const { router } = network.node("b");
    assert(isInspecting(router));
    return router.inspect(by, packet);
  }

  /** Nodes that know leaves by their ids. */
  function leafy(ids: readonly NodeId[], pairs: Pairs): VirtualNetwork {
    const network = new VirtualNetwork({ seed: 3, outbox: 100_000 });
    for (const id of ids) network.add(id, { router: knowing(factory) });
    for (const [a, b] of pairs) network.connect(a, b);
    network.clock.tick(SETTLE);
    return network;
  }

  function textsOf(network: VirtualNetwork, id: NodeId): string[] {
    return network.node(id).delivered.map(({ from, payload }) =>
      `${from}: ${new TextDecoder().decode(payload)}`
    );
  }

  return {
    "inspect() tells who made a packet, for whom, and what it carries": () => {
      const { network, handed } = make();
      for (const { id } of network.nodes) {
        const others = IDS.filter((other) => other !== id);
        for (const lane of ["data", "control"] as const) {
          network.node(id).send("all", text(`*${id}>all`), lane);
          for (const to of others) {
            network.node(id).send([to], text(`*${id}>${to}`), lane);
          }
        }
      }
      network.clock.tick(SETTLE);
      const seen = new Set<string>();
      for (const one of handed) {
        const read = inspect(network, one);
        assert(read !== null, `${one.packet}`);
        const { origin, to, payload, own } = read;
        if (payload === null) continue;
        const { packet, by } = one;
        assertEquals(payload, packet.subarray(packet.length - payload.length));
        assertEquals(payload.buffer, packet.buffer);
        assertEquals(payload, text(`*${origin}>${to ?? "all"}`));
        if (by === origin) assertEquals(own, packet);
        seen.add(`${origin}>${to ?? "all"}`);
      }
      assertEquals(seen.size, 16);
    },

    "inspect() shows where another payload may stand": () => {
      const { router: reader } = new VirtualNetwork()
        .add("reader", { router: factory });
      assert(isInspecting(reader));
      const others = [text("another one, which is longer"), text("")];
      for (const other of others) {
        const network = networkOf(
          links,
          altered(factory, ({ by, packet }) => {
            const read = reader.inspect(by, packet);
            if (!read?.payload || read.payload.length !== 5) return packet;
            const head = packet.length - read.payload.length;
            return Uint8Array.of(...packet.subarray(0, head), ...other);
          }),
          {},
        );
        network.node("a").send(["d"], text("hello"));
        network.node("a").send("all", text("hello"));
        network.clock.tick(SETTLE);
        const expected = { from: "a", payload: other };
        assertEquals(network.node("d").delivered, [expected, expected]);
        assertEquals(network.node("b").delivered, [expected]);
      }
    },

    "inspect() leaves of what a node says what it says of itself": () => {
      const { network, handed } = make();
      network.cut("a", "b", "links");
      network.clock.tick(SETTLE);
      network.connect("a", "b");
      network.clock.tick(SETTLE);
      for (const one of handed) {
        const read = inspect(network, one);
        assert(read !== null);
        // Nothing is left of what it passes on, and all of it if it is read again.
        const { own } = read;
        if (own === null) continue;
        assertEquals(inspect(network, { ...one, packet: own })?.own, own);
      }
    },

    "no way leads through a leaf, though it were shorter": () => {
      const ids = ["a", "b", "c", "d", "e", "leaf"];
      const network = leafy(ids, [
        ...[["a", "b"], ["b", "c"], ["c", "d"], ["d", "e"]] as const,
        ...[["leaf", "a"], ["leaf", "e"]] as const,
      ]);
      const expected: Record<NodeId, string[]> = { a: [], e: [], leaf: [] };
      for (let i = 0; i < 20; i++) {
        for (const [from, to] of [["a", "e"], ["e", "a"]] as const) {
          assertEquals(network.node(from).send([to], text(`one ${i}`)), 1);
          network.node(from).send("all", text(`all ${i}`));
          expected[to]?.push(`${from}: one ${i}`, `${from}: all ${i}`);
          expected.leaf?.push(`${from}: all ${i}`);
        }
        network.clock.tick(500);
      }
      network.clock.tick(10_000);
      for (const [id, texts] of Object.entries(expected)) {
        assertEquals(textsOf(network, id).sort(), texts.sort(), id);
      }
      for (const { undelivered } of network.nodes) {
        assertEquals(undelivered, []);
      }
      // It is reached, and heard, all the same.
      network.node("c").send(["leaf"], text("to the leaf"));
      network.node("leaf").send("all", text("from the leaf"));
      network.clock.tick(10_000);
      assertEquals(textsOf(network, "leaf").at(-1), "c: to the leaf");
      for (const id of ["a", "b", "c", "d", "e"]) {
        assertEquals(textsOf(network, id).at(-1), "leaf: from the leaf");
      }
    },

    "there is no way where only a leaf is between two nodes": () => {
      const network = leafy(["a", "b", "leaf"], [
        ["leaf", "a"],
        ["leaf", "b"],
      ]);
      for (const id of ["a", "b"]) {
        assertEquals([...network.node(id).router.nodes], ["leaf"]);
      }
      assertEquals([...network.node("leaf").router.nodes].sort(), ["a", "b"]);
    },

    "inspect() takes whatever bytes, and changes nothing": () => {
      const { network, handed } = make();
      network.node("a").send("all", text("hello"));
      network.node("a").send(["d"], text("hello"));
      network.clock.tick(SETTLE);
      const random = seededRandom(3);
      const known = handed.slice(-500).map(({ packet }) => packet);
      const { events } = network;
      const packets = known.map((packet) => packet.slice());
      for (let i = 0; i < 20_000; i++) {
        const packet = garbage(random, known);
        const read = inspect(network, { by: "a", packet });
        if (read?.payload) {
          const head = packet.length - read.payload.length;
          assertEquals(read.payload.byteOffset, packet.byteOffset + head);
        }
      }
      assertEquals(network.events, events);
      assertEquals(known, packets);
      network.node("a").send(["b"], text("still here"));
      network.clock.tick(SETTLE);
      assertEquals(
        network.node("b").delivered.at(-1)?.payload,
        text("still here"),
      );
    },
  };
}

function routerSuite(factory: RouterFactory, links: Pairs): Suite {
  function make(
    options: VirtualNetworkOptions = {},
    made = factory,
  ): VirtualNetwork {
    return networkOf(links, made, options);
  }

  function neighboursOf(id: NodeId): NodeId[] {
    return links.filter((link) => link.includes(id)).flat()
      .filter((other) => other !== id);
  }

  return {
    "nodes names every other node and never its own": () => {
      const network = make();
      for (const node of network.nodes) {
        assertEquals(
          [...node.router.nodes].sort(),
          IDS.filter((id) => id !== node.id),
        );
      }
    },

    "send() to one reaches that one only": () => {
      const network = make();
      assertEquals(network.node("a").send(["d"], text("hello")), 1);
      network.clock.tick(SETTLE);
      assertEquals(network.node("d").delivered, [{
        from: "a",
        payload: text("hello"),
      }]);
      assertEquals(network.node("b").delivered, []);
      assertEquals(network.node("c").delivered, []);
    },

    "send() to some reaches each of them once": () => {
      const network = make();
      assertEquals(network.node("b").send(["a", "d"], text("hello")), 2);
      network.clock.tick(SETTLE);
      assertEquals(network.node("a").delivered, [{
        from: "b",
        payload: text("hello"),
      }]);
      assertEquals(network.node("c").delivered, []);
      assertEquals(network.node("d").delivered, [{
        from: "b",
        payload: text("hello"),
      }]);
    },

    "send() to all reaches every other node once": () => {
      const network = make();
      for (const node of network.nodes) {
        assertEquals(node.send("all", text(node.id)), 3);
      }
      network.clock.tick(SETTLE);
      for (const node of network.nodes) {
        const senders = node.delivered.map(({ from }) => from).sort();
        assertEquals(senders, IDS.filter((id) => id !== node.id));
        for (const { from, payload } of node.delivered) {
          assertEquals(payload, text(from));
        }
      }
    },

    "send() to nobody hands nothing on": () => {
      const network = make();
      assertEquals(network.node("a").send([], text("hello")), 0);
    },

    "send() to a node without a way names it and sends nothing": () => {
      const network = make();
      const { router } = network.node("a");
      const before = network.node("a").sent;
      for (const id of ["nobody", "a"]) {
        const error = assertThrows(
          () => router.send(["b", id], text("x")),
          NodeNotFoundError,
          id,
        );
        assertEquals(error.id, id);
      }
      assertEquals(network.node("a").sent, before);
    },

    "send() keeps the order of a pair": () => {
      const network = make({ jitter: 20, outbox: 100_000 });
      const sent = Array.from({ length: 200 }, (_, i) => text(`${i}`));
      for (const payload of sent) {
        assertEquals(network.node("a").send(["d"], payload), 1);
        network.clock.tick(1);
      }
      network.clock.tick(SETTLE);
      assertEquals(
        network.node("d").delivered.map(({ payload }) => payload),
        sent,
      );
    },

    "send() leaves the payload as it was": () => {
      const network = make();
      const payload = text("hello");
      network.node("a").send("all", payload);
      network.clock.tick(SETTLE);
      assertEquals(payload, text("hello"));
    },

    "send() carries an empty payload and one of 64 KiB": () => {
      const network = make();
      const payloads = [
        new Uint8Array(),
        new Uint8Array(65_536).map((_, i) => i),
      ];
      for (const payload of payloads) network.node("a").send(["d"], payload);
      network.clock.tick(SETTLE);
      assertEquals(
        network.node("d").delivered.map(({ payload }) => payload),
        payloads,
      );
    },

    "send() keeps to its lane on every link": () => {
      const lanes: Lane[] = [];
      const network = make(
        {},
        spied(factory, (packet, lane) => {
          if (packet.length >= 1000) lanes.push(lane);
        }),
      );
      for (const lane of ["control", "data", undefined] as const) {
        lanes.length = 0;
        network.node("a").send(["d"], new Uint8Array(1000), lane);
        network.clock.tick(SETTLE);
        assert(lanes.length > 0);
        assert(
          lanes.every((used) => used === (lane ?? "data")),
          `${lane}: ${lanes}`,
        );
      }
    },

    "send() does not count what a link has no room for": () => {
      const network = make({ outbox: 4 });
      let handed = 0;
      for (let i = 0; i < 10; i++) {
        handed += network.node("a").send(["b"], text(`${i}`));
      }
      network.clock.tick(SETTLE);
      const { length } = network.node("b").delivered;
      assert(
        length > 0 && handed < 10,
        `${handed} handed on, ${length} delivered`,
      );
      assert(length <= handed, `${handed} handed on, ${length} delivered`);
    },

    "link() down takes away the way": () => {
      const network = make();
      for (const id of neighboursOf("d")) network.cut("d", id, "links");
      network.clock.until(
        () => !network.node("a").router.nodes.has("d"),
        SETTLE,
      );
      assertThrows(
        () => network.node("a").send(["d"], text("x")),
        NodeNotFoundError,
        "d",
      );
      assertEquals(network.node("a").send("all", text("x")), 2);
    },

    "link() up brings the way back": () => {
      const network = make();
      for (const id of neighboursOf("d")) network.cut("d", id, "links");
      network.clock.until(
        () => !network.node("a").router.nodes.has("d"),
        SETTLE,
      );
      network.healAll();
      for (const [a, b] of links) network.connect(a, b);
      settle(network);
      network.node("a").send(["d"], text("back"));
      network.node("d").send(["a"], text("back"));
      network.clock.tick(SETTLE);
      assertEquals(network.node("d").delivered, [{
        from: "a",
        payload: text("back"),
      }]);
      assertEquals(network.node("a").delivered, [{
        from: "d",
        payload: text("back"),
      }]);
    },

    "finds a node again after its restart": () => {
      const network = make();
      network.node("a").send(["d"], text("before"));
      network.clock.tick(SETTLE);
      network.node("d").crash();
      network.clock.until(
        () => !network.node("a").router.nodes.has("d"),
        SETTLE,
      );
      network.node("d").restart();
      for (const id of neighboursOf("d")) network.connect("d", id);
      settle(network);
      network.node("a").send(["d"], text("after"));
      network.node("d").send(["a"], text("after"));
      network.clock.tick(SETTLE);
      assertEquals(network.node("d").delivered, [{
        from: "a",
        payload: text("after"),
      }]);
      assertEquals(network.node("a").delivered, [{
        from: "d",
        payload: text("after"),
      }]);
    },

    "link() and member() bear events about strangers": () => {
      const network = make();
      const { router } = network.node("a");
      const member = { id: "x", incarnation: 1, addresses: ["virtual://x"] };
      router.link({ type: "down", id: "x", reason: "?" });
      router.link({ type: "unreachable", id: "x", reason: "?" });
      router.member({ type: "leave", member, reason: "left" });
      router.member({ type: "update", member });
      router.member({ type: "leave", member, reason: "failed" });
      network.clock.tick(SETTLE);
      assertEquals([...router.nodes].sort(), ["b", "c", "d"]);
    },

    "receive() never throws for 10,000 bad packets": () => {
      const samples: Uint8Array[] = [];
      const network = make(
        { outbox: 100_000 },
        spied(factory, (packet) => samples.push(packet)),
      );
      network.node("b").send("all", text("sample"));
      network.clock.tick(SETTLE);
      const random = seededRandom(42);
      const { router } = network.node("a");
      const known = samples.slice(0, 1000);
      for (let i = 0; i < 10_000; i++) {
        const from = random() < 0.9 ? "b" : "stranger";
        router.receive(
          from,
          garbage(random, known),
          random() < 0.5 ? "data" : "control",
        );
      }
      settle(network);
      network.node("a").send(["b"], text("still here"));
      network.clock.tick(SETTLE);
      assertEquals(network.node("b").delivered.at(-1), {
        from: "a",
        payload: text("still here"),
      });
    },

    "close() ends its timers, twice without effect": () => {
      const network = make();
      const node = network.node("d");
      const { router } = node;
      const member = { id: "a2", incarnation: 1, addresses: ["virtual://a2"] };
      router.member({ type: "join", member });
      router.close();
      router.close();
      const { sent, timers } = node;
      assertEquals(timers, 0);
      assertEquals([
        router.send("all", text("x")),
        router.send(["a"], text("x")),
      ], [0, 0]);
      router.receive("a", text("x"), "data");
      router.link({ type: "up", peer: member });
      router.link({ type: "down", id: "a", reason: "?" });
      router.member({ type: "leave", member, reason: "left" });
      assertEquals([node.timers, node.sent, node.delivered.length], [
        0,
        sent,
        0,
      ]);
    },

    "knows no time and no randomness but the context's": () => {
      assertSelfContained(() => {
        const network = make({ jitter: 5, seed: 9 });
        for (const node of network.nodes) node.send("all", text(node.id));
        network.clock.tick(SETTLE);
        return network.nodes.map((
          { delivered, sent, sentBytes },
        ) => [delivered, sent, sentBytes]);
      });
    },
  };
}

/** What holds for routers by which a node reaches others through those between. */
function relaySuite(factory: RouterFactory, links: Pairs): Suite {
  return {
    "send() reaches everyone once, in the order of each sender": () => {
      const options = { jitter: 20, outbox: 100_000 };
      const network = networkOf(links, factory, options);
      const expected = new Map<string, string[]>();
      const expect = (from: NodeId, to: NodeId, content: string): void => {
        const pair = `${from} to ${to}`;
        expected.set(pair, [...expected.get(pair) ?? [], content]);
      };
      for (let i = 0; i < 200; i++) {
        for (const node of network.nodes) {
          const others = IDS.filter((id) => id !== node.id);
          const to = others[i % 7];
          node.send(to === undefined ? "all" : [to], text(`${i}`));
          for (const id of others) {
            if (to === undefined || to === id) expect(node.id, id, `${i}`);
          }
        }
        network.clock.tick(1);
      }
      network.clock.tick(SETTLE);
      const seen = new Map<string, string[]>();
      for (const { id, delivered } of network.nodes) {
        for (const { from, payload } of delivered) {
          const pair = `${from} to ${id}`;
          const content = new TextDecoder().decode(payload);
          seen.set(pair, [...seen.get(pair) ?? [], content]);
        }
      }
      for (const [pair, contents] of expected) {
        assertEquals(seen.get(pair), contents, pair);
      }
    },

    "send() to all uses each link twice at most": () => {
      let packets = 0;
      const router = spied(factory, (_packet, lane) => {
        if (lane === "data") packets++;
      });
      const network = networkOf(links, router, {});
      network.node("b").send("all", text("hello"));
      network.clock.tick(SETTLE);
      assert(packets >= 3 && packets <= 2 * links.length, `${packets} packets`);
    },

    "receive() takes a packet once, whoever brings it again": () => {
      const packets: [Uint8Array, Lane][] = [];
      const router = spied(
        factory,
        (packet, lane) => packets.push([packet, lane]),
      );
      const network = networkOf(links, router, { outbox: 100_000 });
      network.node("a").send("all", text("to all"));
      network.node("a").send(["d"], text("to one"));
      network.clock.tick(1000);
      const recorded = packets.slice();
      for (const node of network.nodes) {
        for (const neighbour of node.neighbours) {
          for (const [packet, lane] of recorded) {
            node.router.receive(neighbour, packet, lane);
          }
        }
      }
      network.clock.tick(SETTLE);
      for (const { id, delivered } of network.nodes) {
        assertEquals(delivered.length, id === "a" ? 0 : id === "d" ? 2 : 1, id);
      }
    },

    "undelivered() names all that is lost with a link": () => {
      const network = networkOf(links, factory, { latency: 5 });
      const { id: last } = network.node("d");
      const lost: string[] = [];
      for (let i = 0; i < 20; i++) {
        network.node("a").send(["d"], text(`payload ${i}`));
        network.clock.tick(1);
        if (i === 10) {
          for (const [a, b] of links) {
            if (a === last || b === last) network.cut(a, b, "links");
          }
        }
        if (!network.node("a").router.nodes.has("d")) break;
      }
      const sent = network.node("a").router.nodes.has("d") ? 20 : 11;
      network.clock.tick(SETTLE);
      for (const one of network.node("a").undelivered) {
        assertEquals(one.to, "d");
        assert(IDS.some((id) => id === one.lastHop), one.lastHop);
        assert(one.reason !== "");
        lost.push(new TextDecoder().decode(one.head));
      }
      const arrived = network.node("d").delivered.map(({ payload }) =>
        new TextDecoder().decode(payload)
      );
      const known = new Set([...arrived, ...lost]);
      for (let i = 0; i < sent; i++) {
        assert(known.has(`payload ${i}`), `payload ${i} was lost in silence`);
      }
    },

    "undelivered() names what is for a node that has fallen silent": () => {
      const network = networkOf(links, factory, {});
      network.node("d").crash("silence");
      network.node("a").send(["d"], text("hello"));
      network.clock.tick(SETTLE);
      const [lost] = network.node("a").undelivered;
      assertEquals([lost?.to, lost?.head], ["d", text("hello")]);
    },
  };
}

/** Waits until every node has a way to every other. */
function settle(network: VirtualNetwork): void {
  const others = network.nodes.length - 1;
  network.clock.until(
    () => network.nodes.every(({ router }) => router.nodes.size === others),
    SETTLE,
  );
}

/** The same router, with an eye on the packets that it hands to its links. */
function spied(
  factory: RouterFactory,
  spy: (packet: Uint8Array, lane: Lane) => void,
): RouterFactory {
  return altered(factory, ({ packet, lane }) => {
    spy(packet, lane);
    return packet;
  });
}

/** The same router, whose packets are changed on their way to its links. */
function altered(
  factory: RouterFactory,
  alter: (handed: Handed) => Uint8Array,
): RouterFactory {
  return (context) => {
    const { links } = context;
    const send: typeof links.send = (to, packet, lane) => {
      const altered = alter({ by: context.self.id, packet, lane });
      return links.send(to, altered, lane);
    };
    return factory(withLinks(context, { send }));
  };
}

function linksOf(topology: Topology): Pairs {
  const [a, b, c, d] = IDS;
  const line: [NodeId, NodeId][] = [[a, b], [b, c], [c, d]];
  if (topology === "line") return line;
  if (topology === "ring") return [...line, [d, a]];
  return [...line, [d, a], [a, c], [b, d]];
}

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}
