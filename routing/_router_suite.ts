import { assert, assertEquals, assertThrows } from "@std/assert";
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
import {
  type Lane,
  type NodeId,
  NodeNotFoundError,
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
/** Virtual ms in which a router has to find its ways. */
const SETTLE = 60_000;

/**
 * Registers the tests that every router must pass: the sentences of
 * {@linkcode Router}, on four nodes in virtual time.
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
  registerSuite(
    `${name} on a ${topology}`,
    routerSuite(factory, topology),
    skip,
  );
}

function routerSuite(factory: RouterFactory, topology: Topology): Suite {
  const links = linksOf(topology);

  function make(
    options: VirtualNetworkOptions = {},
    made = factory,
  ): VirtualNetwork {
    const network = new VirtualNetwork(options);
    for (const id of IDS) network.add(id, { router: made });
    for (const [a, b] of links) network.connect(a, b);
    settle(network);
    return network;
  }

  function neighboursOf(id: NodeId): NodeId[] {
    return links.filter((link) => link.includes(id)).flat().filter((other) =>
      other !== id
    );
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
  return (context) => {
    const { links } = context;
    return factory({
      get self() {
        return context.self;
      },
      clock: context.clock,
      random: context.random,
      up: context.up,
      links: {
        send: (id, packet, lane) => {
          spy(packet, lane);
          return links.send(id, packet, lane);
        },
        connect: (peer) => links.connect(peer),
        disconnect: (id, reason) => links.disconnect(id, reason),
      },
    });
  };
}

function linksOf(topology: Topology): [NodeId, NodeId][] {
  const [a, b, c, d] = IDS;
  const line: [NodeId, NodeId][] = [[a, b], [b, c], [c, d]];
  if (topology === "line") return line;
  if (topology === "ring") return [...line, [d, a]];
  return [...line, [d, a], [a, c], [b, d]];
}

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}
