import { assert, assertEquals } from "@std/assert";
import { gossipRouter } from "./gossip.ts";
import { hopRouter } from "./hop.ts";
import { mapRouter } from "./map.ts";
import { pathRouter } from "./path.ts";
import { swim } from "./swim.ts";
import { VirtualNetwork } from "./testing.ts";
import type {
  InspectingRouter,
  NodeId,
  Router,
  RouterFactory,
} from "./types.ts";

const ROUTERS: Readonly<Record<string, () => RouterFactory>> = {
  hopRouter,
  pathRouter,
  mapRouter,
  gossipRouter,
};

function isLeaf(id: NodeId): boolean {
  return id.startsWith("leaf");
}

function isInspecting(router: Router): router is InspectingRouter {
  return "inspect" in router;
}

/** A router that knows leaves by their ids; that of a leaf passes nothing on, as its node does. */
function knowing(make: RouterFactory, isDialling = true): RouterFactory {
  return (context) => {
    const { links } = context;
    const router = make({
      get self() {
        return context.self;
      },
      clock: context.clock,
      random: context.random,
      up: context.up,
      links: {
        send: (id, packet, lane) => {
          const { self } = context;
          assert(isInspecting(router));
          const read = router.inspect(self.id, packet);
          assert(read !== null);
          const isOwn = read.origin === self.id && read.own !== null;
          if (isLeaf(self.id) && !isOwn) return true; // as if it had left
          const isForOthers = read.to !== null && read.to !== id;
          assert(!isLeaf(id) || read.payload === null || !isForOthers);
          return links.send(id, packet, lane);
        },
        connect: (peer) => isDialling && links.connect(peer),
        disconnect: (id, reason) => links.disconnect(id, reason),
      },
    });
    const link = router.link.bind(router);
    router.link = (event) =>
      link(
        event.type === "up" && isLeaf(event.peer.id)
          ? { ...event, isLeaf: true }
          : event,
      );
    return router;
  };
}

function networkOf(
  make: RouterFactory,
  ids: readonly NodeId[],
  links: readonly (readonly [NodeId, NodeId])[],
): VirtualNetwork {
  const network = new VirtualNetwork({ seed: 3, outbox: 100_000 });
  for (const id of ids) network.add(id, { router: knowing(make) });
  for (const [a, b] of links) network.connect(a, b);
  network.clock.tick(60_000);
  return network;
}

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

function textsOf(network: VirtualNetwork, id: NodeId): string[] {
  return network.node(id).delivered.map(({ from, payload }) =>
    `${from}: ${new TextDecoder().decode(payload)}`
  );
}

for (const [name, make] of Object.entries(ROUTERS)) {
  Deno.test(`${name}() leads no way through a leaf, though it were shorter`, () => {
    const ids = ["a", "b", "c", "d", "e", "leaf"];
    const network = networkOf(make(), ids, [
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
    for (const { undelivered } of network.nodes) assertEquals(undelivered, []);
    // It is reached, and heard, all the same.
    network.node("c").send(["leaf"], text("to the leaf"));
    network.node("leaf").send("all", text("from the leaf"));
    network.clock.tick(10_000);
    assertEquals(textsOf(network, "leaf").at(-1), "c: to the leaf");
    for (const id of ["a", "b", "c", "d", "e"]) {
      assertEquals(textsOf(network, id).at(-1), "leaf: from the leaf");
    }
  });

  Deno.test(`${name}() knows no way where only a leaf is between two nodes`, () => {
    const network = networkOf(make(), ["a", "b", "leaf"], [
      ["leaf", "a"],
      ["leaf", "b"],
    ]);
    for (const id of ["a", "b"]) {
      assertEquals([...network.node(id).router.nodes], ["leaf"]);
    }
    assertEquals([...network.node("leaf").router.nodes].sort(), ["a", "b"]);
  });

  Deno.test(`${name}() dials members though it has leaves enough`, () => {
    const network = new VirtualNetwork({ seed: 5 });
    const leaves = Array.from({ length: 8 }, (_, i) => `leaf${i}`);
    const members = ["a", "b", "c", "d", "e", "f"];
    for (const id of [...members, ...leaves]) {
      const addresses = isLeaf(id) ? [] : [`virtual://${id}`];
      const router = knowing(make(), id === "a");
      network.add(id, { router, membership: swim(), addresses });
    }
    for (const id of leaves) network.connect(id, "a");
    for (const id of members) if (id !== "b") network.connect("b", id);
    network.clock.tick(120_000);
    const { neighbours } = network.node("a");
    assertEquals(neighbours.filter(isLeaf).sort(), leaves);
    const relays = neighbours.filter((id) => !isLeaf(id));
    assert(relays.length >= 3, `${relays}`);
    assertEquals(network.node("f").router.nodes.size, 13);
  });
}
