import { assert, assertEquals } from "@std/assert";
import type { ExplainingRouter, RouteExplanation } from "./explain.ts";
import { gossipRouter } from "./gossip.ts";
import { hopRouter } from "./hop.ts";
import { mapRouter } from "./map.ts";
import { pathRouter } from "./path.ts";
import { VirtualNetwork } from "./_virtual_network.ts";
import type { NodeId, Router, RouterFactory } from "./types.ts";

/** Nodes that are linked as `links` say, and nobody dials. */
function networkOf(
  router: RouterFactory,
  ...links: readonly (readonly [NodeId, NodeId])[]
): VirtualNetwork {
  const network = new VirtualNetwork({ latency: 2 });
  for (const id of new Set(links.flat())) network.add(id, { router });
  for (const [a, b] of links) network.connect(a, b);
  network.clock.tick(2_000);
  return network;
}

function isExplaining(router: Router): router is ExplainingRouter {
  return "explain" in router;
}

function explain(
  network: VirtualNetwork,
  from: NodeId,
  to: NodeId,
): RouteExplanation {
  const { router } = network.node(from);
  assert(isExplaining(router));
  return router.explain(to);
}

Deno.test("hopRouter() explains who passes a flood on", () => {
  const router = hopRouter({ links: 0 });
  const network = networkOf(router, ["a", "b"], ["b", "c"], ["a", "d"]);
  assertEquals(explain(network, "a", "c"), {
    how: "flood",
    why: 'all 2 neighbours pass it on; it was heard through "b" first',
    ways: [{ nodes: ["a", "b", "c"], isWhole: false }],
  });
  network.disconnect("c", "b");
  network.clock.tick(10_000);
  assertEquals(explain(network, "c", "a").why, "this node has no links");
});

Deno.test("pathRouter() explains that a search comes first, and how far it is", () => {
  const router = pathRouter({ links: 0 });
  const network = networkOf(router, ["a", "b"], ["b", "c"]);
  assertEquals(explain(network, "a", "c"), {
    how: "wait",
    why:
      "no way to it is known: what is sent waits for a search of 2.7 s at most",
    ways: [],
  });
  network.node("a").send(["c"], new Uint8Array(1));
  assertEquals(explain(network, "a", "c"), {
    how: "wait",
    why: "a search for a way to it is under way, payloads that wait: 1",
    ways: [],
  });
  network.clock.tick(1_000);
  assertEquals(explain(network, "a", "c"), {
    how: "route",
    why: "the only known way",
    ways: [{ nodes: ["a", "b", "c"], isWhole: true }],
  });
});

Deno.test("mapRouter() explains costs, alternates, and why there is no way", () => {
  const router = mapRouter({ links: 0 });
  const network = networkOf(router, ["a", "b"], ["b", "c"], ["a", "d"], [
    "d",
    "e",
  ], ["e", "c"]);
  const { how, why, ways } = explain(network, "a", "c");
  assertEquals([how, why], ["route", "the shortest way on the map"]);
  assertEquals(
    ways.map(({ nodes, cost, roundTrip }) => [nodes, cost, roundTrip]),
    [[["a", "b", "c"], 2, 4], [["a", "d", "e", "c"], undefined, 4]],
  );
  network.disconnect("c", "b");
  network.disconnect("c", "e");
  network.clock.tick(500);
  assertEquals(explain(network, "a", "c").how, "wait");
  network.clock.tick(2_000);
  assertEquals(explain(network, "a", "c"), {
    how: "none",
    why: "the map shows it, and no way to it",
    ways: [],
  });
  assertEquals(explain(network, "a", "z").why, "it is not on the map");
});

Deno.test("mapRouter() explains that it goes around a link that does not answer", () => {
  const router = mapRouter({ links: 0 });
  const network = networkOf(router, ["a", "b"], ["b", "c"], ["a", "c"]);
  assertEquals(explain(network, "a", "c").how, "link");
  network.cut("a", "c");
  network.clock.tick(60_000);
  const { how, why, ways } = explain(network, "a", "c");
  assertEquals([how, ways[0]?.nodes], ["route", ["a", "b", "c"]]);
  assertEquals(
    why,
    "its link does not answer, and this is the shortest way around it",
  );
});

Deno.test("gossipRouter() explains that the link through which a node was heard has ended", () => {
  const router = gossipRouter({ links: 0 });
  const network = networkOf(router, ["a", "b"], ["b", "c"], ["a", "d"]);
  assertEquals(explain(network, "a", "c"), {
    how: "next-hop",
    why: 'its latest sign of life came through "b"',
    ways: [{ nodes: ["a", "b", "c"], isWhole: false, roundTrip: 4 }],
  });
  network.disconnect("a", "b");
  network.clock.tick(10);
  const { how, why } = explain(network, "a", "c");
  assertEquals(how, "wait");
  assert(why.startsWith("the link through which it was heard has ended"));
});
