import { assert, assertEquals } from "@std/assert";
import { isLeaf, knowing } from "./_leaves.ts";
import { gossipRouter } from "./gossip.ts";
import { hopRouter } from "./hop.ts";
import { mapRouter } from "./map.ts";
import { pathRouter } from "./path.ts";
import { swim } from "./swim.ts";
import { VirtualNetwork } from "./testing.ts";
import type { RouterFactory } from "./types.ts";

const ROUTERS: Readonly<Record<string, () => RouterFactory>> = {
  hopRouter,
  pathRouter,
  mapRouter,
  gossipRouter,
};

for (const [name, make] of Object.entries(ROUTERS)) {
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
