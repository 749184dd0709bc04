import { assert, assertEquals } from "@std/assert";
import { hopRouter } from "./hop.ts";
import { peerRouter } from "./peer.ts";
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
  type VirtualNode,
} from "./_virtual_network.ts";
import type {
  MemberEvent,
  Membership,
  MembershipFactory,
  NodeId,
  Peer,
  RouterFactory,
  SiftingMembership,
} from "./types.ts";

/** Options of {@linkcode testMembership}. */
export interface TestMembershipOptions {
  /**
   * The router underneath.
   *
   * @default {peerRouter()}
   */
  readonly router?: RouterFactory;
  /**
   * Virtual milliseconds within which every node must know of any change.
   *
   * @default {60000}
   */
  readonly within?: number;
  /**
   * Virtual milliseconds of silence that must not make a node fail.
   *
   * @default {3000}
   */
  readonly patience?: number;
  /** Tests that the implementation skips: the fact, and why. */
  readonly skip?: Readonly<Record<string, string>>;
}

/**
 * Registers the tests that every membership must pass: the sentences of
 * {@linkcode Membership}, in virtual time, with crashes, partitions and restarts.
 *
 * @example A membership's test file
 * ```ts ignore
 * import { heartbeat } from "@devts/routing/heartbeat";
 * import { testMembership } from "@devts/routing/testing";
 *
 * testMembership("heartbeat()", heartbeat(), { within: 30_000 });
 * ```
 *
 * @param name What the names of the tests begin with.
 * @param factory Makes the membership under test.
 */
export function testMembership(
  name: string,
  factory: MembershipFactory,
  options: TestMembershipOptions = {},
): void {
  const suite = {
    ...membershipSuite(factory, options),
    ...(sifts(factory) ? siftSuite(factory, options) : {}),
  };
  registerSuite(name, suite, options.skip ?? {});
}

/** Whether a membership has the optional interface by which it sifts messages. */
function sifts(factory: MembershipFactory): boolean {
  return isSifting(lone(factory));
}

function isSifting(membership: Membership): membership is SiftingMembership {
  return "sift" in membership && typeof membership.sift === "function";
}

/** A membership that has met nobody. */
function lone(factory: MembershipFactory): Membership {
  const { membership } = new VirtualNetwork()
    .add("lone", { router: peerRouter(), membership: factory });
  assert(membership !== null);
  return membership;
}

/** What one node tells another. */
interface Telling {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Uint8Array;
}

function siftSuite(
  factory: MembershipFactory,
  { within = 60_000 }: TestMembershipOptions,
): Suite {
  /** Nodes in a row over routers that relay; `alter` changes what they tell, null drops it. */
  function rowOf(
    ids: readonly NodeId[],
    alter: (telling: Telling) => Uint8Array | null,
  ): VirtualNetwork {
    const network = new VirtualNetwork({ seed: 11 });
    for (const id of ids) {
      network.add(id, {
        router: hopRouter({ links: 0 }),
        membership: (context) => {
          const send = (to: NodeId, message: Uint8Array): boolean => {
            const left = alter({ from: id, to, message });
            return left === null || context.send(to, left);
          };
          return factory(Object.create(context, { send: { value: send } }));
        },
      });
    }
    for (const [i, id] of ids.slice(1).entries()) {
      network.connect(ids[i] ?? "", id);
    }
    return network;
  }

  return {
    "sift() leaves of what a node tells what it tells of itself": () => {
      const reader = lone(factory);
      assert(isSifting(reader));
      for (const isSifted of [false, true]) {
        // Of the last one, only the last but one can tell the others.
        const network = rowOf(["a", "b", "c", "d", "e"], (telling) => {
          const { from, to, message } = telling;
          if (from === "e") return to === "d" ? message : null;
          if (from !== "d" || !isSifted) return message;
          const before = message.slice();
          const left = reader.sift(from, message);
          assertEquals(message, before);
          if (left !== null) assertEquals(reader.sift(from, left), left);
          return left;
        });
        network.clock.tick(2 * within);
        for (const id of ["a", "b"]) {
          const { members, events } = network.node(id);
          assertEquals(members.has("d"), true, id);
          const isTold = events.some(({ member }) => member.id === "e");
          assertEquals(isTold, !isSifted, id);
        }
        network.node("d").crash();
        network.clock.tick(2 * within);
        assertEquals([...network.node("a").members.keys()].sort(), ["b", "c"]);
      }
    },

    "sift() takes whatever bytes, and changes nothing": () => {
      const samples: Uint8Array[] = [];
      const network = rowOf(["a", "b", "c"], ({ message }) => {
        samples.push(message);
        return message;
      });
      network.clock.tick(within);
      const { membership, members } = network.node("a");
      assert(membership !== null && isSifting(membership));
      const { events } = network;
      const random = seededRandom(9);
      for (let i = 0; i < 20_000; i++) {
        const message = garbage(random, samples);
        const before = message.slice();
        const left = membership.sift("c", message);
        if (left !== null) assertEquals(membership.sift("c", left), left);
        assertEquals(message, before);
      }
      assertEquals(network.events, events);
      assertEquals(members.size, 2);
    },
  };
}

function membershipSuite(
  factory: MembershipFactory,
  options: TestMembershipOptions,
): Suite {
  const { router = peerRouter(), within = 60_000, patience = 3000 } = options;

  /** A cluster in which everybody knows everybody, by way of the first node. */
  function cluster(
    ids: readonly NodeId[],
    settings: VirtualNetworkOptions = {},
  ): VirtualNetwork {
    const network = new VirtualNetwork(settings);
    for (const id of ids) join(network, id, ids[0] ?? id);
    settle(network);
    // To know of a node is not yet to have a way to it.
    const isLinked = ({ router }: VirtualNode) =>
      router.nodes.size === ids.length - 1;
    network.clock.until(() => network.nodes.every(isLinked), within);
    return network;
  }

  function join(
    network: VirtualNetwork,
    id: NodeId,
    entry: NodeId,
  ): VirtualNode {
    const node = network.add(id, { router, membership: factory });
    if (id !== entry) network.connect(id, entry);
    return node;
  }

  /** Waits until all running nodes have one view, and it is true. */
  function settle(network: VirtualNetwork): number {
    return network.clock.until(() => isTrueView(network), within);
  }

  /** Lets time pass in which nothing more should happen, then checks what happened before. */
  function rest(network: VirtualNetwork): void {
    network.clock.tick(2 * within);
    assert(isTrueView(network), "the view did not last");
    for (const node of network.nodes) if (node.running) checkEvents(node);
  }

  return {
    "a newcomer learns of everybody from its entry node": () => {
      const network = cluster(["a", "b", "c", "d"]);
      const newcomer = join(network, "e", "c");
      network.clock.until(() => newcomer.members.size === 4, within);
      assertEquals([...newcomer.members.keys()].sort(), ["a", "b", "c", "d"]);
      rest(network);
    },

    "everybody learns of a newcomer": () => {
      const network = cluster(["a", "b", "c", "d"]);
      join(network, "e", "c");
      settle(network);
      for (const id of ["a", "b", "c", "d"]) {
        assertEquals(network.node(id).members.get("e")?.addresses, [
          "virtual://e",
        ]);
      }
      rest(network);
    },

    "everybody joins once where all start together": () => {
      const ids = ["a", "b", "c", "d", "e", "f"];
      const network = new VirtualNetwork({ jitter: 3 });
      for (const id of ids) network.add(id, { router, membership: factory });
      for (const id of ids) {
        for (const other of ids) if (id !== other) network.connect(id, other);
      }
      settle(network);
      rest(network);
      for (const { id, events } of network.nodes) {
        const others = ids.filter((other) => other !== id);
        assertEquals(
          events.map(labelOf).sort(),
          others.map((other) => `join ${other}`),
        );
      }
    },

    "members holds what a node says of itself": () => {
      const network = new VirtualNetwork();
      const meta = new Uint8Array(512).fill(7);
      network.add("a", { router, membership: factory, meta });
      network.add("b", { router, membership: factory });
      network.connect("b", "a");
      settle(network);
      assertEquals(network.node("b").members.get("a"), network.node("a").self);
      assertEquals(
        network.node("a").members.get("b")?.meta ?? new Uint8Array(),
        new Uint8Array(),
      );
      rest(network);
    },

    "a killed program fails everywhere, once": () => {
      const network = cluster(["a", "b", "c", "d", "e"]);
      network.node("b").crash("links");
      settle(network);
      rest(network);
      for (const node of network.nodes) {
        if (node.running) {
          assertEquals(eventsOf(node, "b"), ["join b", "leave b failed"]);
        }
      }
    },

    "a machine without power fails everywhere, once": () => {
      const network = cluster(["a", "b", "c", "d", "e"]);
      network.node("b").crash("silence");
      settle(network);
      rest(network);
      for (const node of network.nodes) {
        if (node.running) {
          assertEquals(eventsOf(node, "b"), ["join b", "leave b failed"]);
        }
      }
    },

    "two that crash together both fail": () => {
      const network = cluster(["a", "b", "c", "d", "e"]);
      network.node("a").crash("silence");
      network.node("e").crash("links");
      settle(network);
      rest(network);
      for (const id of ["b", "c", "d"]) {
        assertEquals(eventsOf(network.node(id), "a"), [
          "join a",
          "leave a failed",
        ]);
        assertEquals(eventsOf(network.node(id), "e"), [
          "join e",
          "leave e failed",
        ]);
      }
    },

    "nobody fails while all live": () => {
      const network = cluster(["a", "b", "c", "d", "e"], { jitter: 50 });
      network.clock.tick(600_000);
      for (const { events } of network.nodes) {
        assert(events.every(({ type }) => type === "join"));
      }
    },

    "a link that ends and is dialled again means nothing": () => {
      const network = cluster(["a", "b", "c"]);
      network.disconnect("a", "b", "test");
      rest(network);
      for (const { events } of network.nodes) assertEquals(events.length, 2);
    },

    "leave() makes a node leave everywhere, once": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.node("c").leave();
      settle(network);
      rest(network);
      for (const id of ["a", "b", "d"]) {
        assertEquals(eventsOf(network.node(id), "c"), [
          "join c",
          "leave c left",
        ]);
      }
    },

    "leave() ends its timers, twice without effect": () => {
      const network = cluster(["a", "b"]);
      const node = network.node("a");
      const { membership } = node;
      assert(membership !== null);
      const message = new Uint8Array(8);
      membership.leave();
      node.router.close();
      const { sent, events } = node;
      const before = events.length;
      membership.leave();
      membership.update();
      membership.heard("b");
      membership.receive("b", message);
      membership.link({ type: "down", id: "b", reason: "?" });
      membership.link({ type: "unreachable", id: "b", reason: "?" });
      membership.link({ type: "up", peer: peer("x", 1) });
      assertEquals([node.timers, node.sent, node.events.length], [
        0,
        sent,
        before,
      ]);
    },

    "a restart replaces its past": () => {
      const network = cluster(["a", "b", "c", "d"]);
      const first = network.node("d").self.incarnation;
      network.clock.tick(1000);
      network.node("d").crash("silence");
      network.node("d").restart();
      network.connect("d", "a");
      settle(network);
      rest(network);
      const second = network.node("d").self.incarnation;
      assert(second > first);
      for (const id of ["a", "b", "c"]) {
        const node = network.node(id);
        assertEquals(eventsOf(node, "d"), [
          "join d",
          "leave d restarted",
          "join d",
        ]);
        assertEquals(node.members.get("d")?.incarnation, second);
      }
    },

    "a node comes back after it failed": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.node("d").crash("links");
      settle(network);
      network.clock.tick(1000);
      network.node("d").restart();
      network.connect("d", "b");
      settle(network);
      rest(network);
      for (const id of ["a", "b", "c"]) {
        const expected = ["join d", "leave d failed", "join d"];
        assertEquals(eventsOf(network.node(id), "d"), expected);
      }
    },

    "a node comes back after it left": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.node("d").leave();
      settle(network);
      network.node("d").restart();
      network.connect("d", "b");
      settle(network);
      rest(network);
      for (const id of ["a", "b", "c"]) {
        const expected = ["join d", "leave d left", "join d"];
        assertEquals(eventsOf(network.node(id), "d"), expected);
      }
    },

    "a restart with the clock set back is taken up under a higher incarnation":
      () => {
        for (
          const [how, reason] of [["links", "failed"], [
            "silence",
            "restarted",
          ]] as const
        ) {
          const network = cluster(["a", "b", "c"]);
          const first = network.node("c").self.incarnation;
          network.node("c").crash(how);
          if (how === "links") settle(network);
          network.node("c").restart({ incarnation: first - 1000 * 4096 });
          network.connect("c", "a");
          settle(network);
          rest(network);
          assert(network.node("c").self.incarnation > first);
          for (const id of ["a", "b"]) {
            const expected = ["join c", `leave c ${reason}`, "join c"];
            assertEquals(eventsOf(network.node(id), "c"), expected);
          }
        }
      },

    "update() tells everybody": () => {
      const network = cluster(["a", "b", "c", "d"]);
      const meta = new Uint8Array([1, 2, 3]);
      network.node("b").update({ meta });
      network.node("c").update({
        addresses: ["virtual://c", "virtual://c.example"],
      });
      settle(network);
      rest(network);
      for (const id of ["a", "d"]) {
        const node = network.node(id);
        assertEquals(node.members.get("b")?.meta, meta);
        assertEquals(node.members.get("c")?.addresses.length, 2);
        assertEquals(eventsOf(node, "b"), ["join b", "update b"]);
        assertEquals(eventsOf(node, "c"), ["join c", "update c"]);
      }
    },

    "a node that moved is dialled where it is": () => {
      const network = cluster(["a", "b", "c"]);
      network.node("c").update({ addresses: ["virtual://elsewhere"] });
      settle(network);
      for (const id of ["a", "b"]) network.disconnect(id, "c", "test");
      settle(network);
      network.clock.until(
        () => network.node("c").neighbours.length === 2,
        within,
      );
      rest(network);
    },

    "what was missed behind a short cut is made good": () => {
      const network = cluster(["a", "b", "c"]);
      network.cut("a", "c");
      network.node("a").update({ meta: new Uint8Array([1]) });
      network.clock.tick(10);
      network.node("a").update({ meta: new Uint8Array([2]) });
      network.clock.tick(patience);
      network.heal("a", "c");
      settle(network);
      rest(network);
      assertEquals(
        network.node("c").members.get("a")?.meta,
        new Uint8Array([2]),
      );
      assert(!eventsOf(network.node("c"), "a").includes("leave a failed"));
    },

    "an entry node that has not noticed does not bring back a dead one": () => {
      const network = cluster(["a", "b", "c", "x"]);
      network.cut("a", "x", "silence");
      network.node("x").crash("links");
      // By its broken links, b and c see at once what a can only find out by silence.
      network.clock.tick(patience);
      join(network, "n", "a");
      for (const id of ["b", "c"]) network.disconnect("a", id, "test");
      settle(network);
      rest(network);
      for (const id of ["a", "b", "c"]) {
        assertEquals(eventsOf(network.node(id), "x"), [
          "join x",
          "leave x failed",
        ]);
      }
      assert(eventsOf(network.node("n"), "x").length <= 2);
    },

    "a partition heals to one view": () => {
      for (const how of ["silence", "links"] as const) {
        const network = cluster(["a", "b", "c", "d", "e", "f"]);
        const [one, other] = [["a", "b", "c"], ["d", "e", "f"]] as const;
        network.partition(one, other, how);
        network.clock.until(
          () =>
            one.every((id) => network.node(id).members.size === 2) &&
            other.every((id) => network.node(id).members.size === 2),
          within,
        );
        network.clock.tick(120_000);
        network.healAll();
        network.connect("d", "a");
        settle(network);
        rest(network);
        for (const node of network.nodes) {
          const gone = node.events.filter(({ type }) => type === "leave");
          assertEquals(gone.length, 3, `${how}: ${node.events.map(labelOf)}`);
        }
      }
    },

    "a partition that was just noticed heals to one view": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.partition(["a", "b"], ["c", "d"], "links");
      network.clock.until(
        () => network.nodes.every(({ members }) => members.size === 1),
        within,
      );
      network.healAll();
      network.connect("c", "a");
      settle(network);
      rest(network);
    },

    "a partition shorter than the patience goes unnoticed": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.partition(["a", "b"], ["c", "d"], "silence");
      network.clock.tick(patience);
      network.healAll();
      rest(network);
      for (const { events } of network.nodes) assertEquals(events.length, 3);
    },

    "a short pause goes unnoticed": () => {
      const network = cluster(["a", "b", "c"]);
      network.node("b").pause();
      network.clock.tick(patience);
      network.node("b").resume();
      rest(network);
      for (const { events } of network.nodes) assertEquals(events.length, 2);
    },

    "a node that slept accuses nobody and comes back": () => {
      const network = cluster(["a", "b", "c", "d"]);
      network.node("b").pause();
      network.clock.tick(2 * within);
      for (const id of ["a", "c", "d"]) {
        assert(!network.node(id).members.has("b"));
      }
      network.node("b").resume();
      settle(network);
      rest(network);
      assert(network.node("b").events.every(({ type }) => type === "join"));
      for (const id of ["a", "c", "d"]) {
        const expected = ["join b", "leave b failed", "join b"];
        assertEquals(eventsOf(network.node(id), "b"), expected);
      }
    },

    "an address is told to those only who may know it": () => {
      const secret = "virtual://inside";
      const mayTell = (_from: NodeId, to: NodeId, address: string) =>
        address !== secret || to === "b";
      const network = new VirtualNetwork({ mayTell });
      const addresses = ["virtual://a", secret];
      network.add("a", { router, membership: factory, addresses });
      for (const id of ["b", "c", "d"]) join(network, id, "a");
      settle(network);
      network.node("a").update({ meta: new Uint8Array([1]) });
      network.clock.tick(2 * within);
      assertEquals(network.node("b").members.get("a")?.addresses, addresses);
      for (const id of ["c", "d"]) {
        assertEquals(network.node(id).members.get("a")?.addresses, [
          "virtual://a",
        ]);
      }
    },

    "receive() never throws for 10,000 bad messages": () => {
      const samples: Uint8Array[] = [];
      const spied: MembershipFactory = (context) =>
        factory({
          get self() {
            return context.self;
          },
          clock: context.clock,
          random: context.random,
          mayTell: (to, address) => context.mayTell(to, address),
          refute: (accused) => context.refute(accused),
          changed: (event) => context.changed(event),
          send: (to, message) => {
            samples.push(message);
            return context.send(to, message);
          },
        });
      const network = new VirtualNetwork({ outbox: 1_000_000 });
      for (const id of ["a", "b", "c"]) {
        network.add(id, { router, membership: spied });
      }
      for (const id of ["b", "c"]) network.connect(id, "a");
      settle(network);
      network.clock.tick(40_000);
      const { membership } = network.node("a");
      assert(membership !== null);
      const random = seededRandom(42);
      const known = samples.slice(0, 1000);
      for (let i = 0; i < 10_000; i++) {
        membership.receive(
          random() < 0.9 ? "b" : "stranger",
          garbage(random, known),
        );
      }
      network.clock.tick(2 * within);
      assert(network.node("a").members.has("c"));
      checkEvents(network.node("a"));
    },

    "fifty nodes that start together know each other": () => {
      const ids = Array.from(
        { length: 50 },
        (_, i) => `node-${String(i).padStart(2, "0")}`,
      );
      const network = cluster(ids, { jitter: 2, outbox: 100_000 });
      network.node("node-07").crash("links");
      network.node("node-31").crash("silence");
      network.node("node-44").leave();
      settle(network);
      network.clock.tick(within);
      for (const node of network.nodes) {
        if (!node.running) continue;
        checkEvents(node);
        assertEquals(
          node.events.filter(({ type }) => type === "join").length,
          49,
        );
        assertEquals(eventsOf(node, "node-44").at(-1), "leave node-44 left");
      }
    },

    "knows no time and no randomness but the context's": () => {
      assertSelfContained(() => {
        const network = cluster(["a", "b", "c"], { jitter: 5, seed: 9 });
        network.node("b").crash("silence");
        network.clock.tick(2 * within);
        return network.nodes.map((
          { events, sent, sentBytes },
        ) => [events, sent, sentBytes]);
      });
    },
  };
}

/** Whether every running node knows exactly the other running nodes, as they are. */
function isTrueView(network: VirtualNetwork): boolean {
  const running = network.nodes.filter((node) => node.running);
  return running.every((node) =>
    node.members.size === running.length - 1 &&
    running.every((other) =>
      other === node ||
      node.members.get(other.id)?.incarnation === other.self.incarnation
    )
  );
}

/** The events of a node add up to its members, and none is out of place. */
function checkEvents(node: VirtualNode): void {
  const view = new Map<NodeId, Peer>();
  const latest = new Map<NodeId, number>();
  for (const event of node.events) {
    const { id, incarnation } = event.member;
    const label = `${node.id}: ${labelOf(event)}`;
    assertEquals(view.has(id), event.type !== "join", label);
    assert(incarnation >= (latest.get(id) ?? 0), `${label} goes back in time`);
    latest.set(id, incarnation);
    if (event.type === "leave") view.delete(id);
    else view.set(id, event.member);
  }
  assertEquals([...view.keys()].sort(), [...node.members.keys()].sort());
  assert(!view.has(node.id), `${node.id} knows itself`);
}

function eventsOf(node: VirtualNode, id: NodeId): string[] {
  return node.events.filter(({ member }) => member.id === id).map(labelOf);
}

function labelOf(event: MemberEvent): string {
  const label = `${event.type} ${event.member.id}`;
  return event.type === "leave" ? `${label} ${event.reason}` : label;
}

function peer(id: NodeId, incarnation: number): Peer {
  return { id, incarnation, addresses: [`virtual://${id}`] };
}
