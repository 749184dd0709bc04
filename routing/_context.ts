import type { RouterContext, RouterLinks } from "./types.ts";

/**
 * The context of a router with other links, so that what the router sends can be seen,
 * changed or lost. What it asks of the node otherwise is as before, also where that
 * changes.
 *
 * @example A router whose packets are counted
 * ```ts
 * import { hopRouter } from "@devts/routing/hop";
 * import type { RouterFactory } from "@devts/routing";
 * import { VirtualNetwork, withLinks } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * let packets = 0;
 * const counted: RouterFactory = (context) =>
 *   hopRouter()(withLinks(context, {
 *     send(id, packet, lane) {
 *       packets++;
 *       return context.links.send(id, packet, lane);
 *     },
 *   }));
 *
 * const network = new VirtualNetwork();
 * network.add("ada", { router: counted });
 * network.add("bob", { router: hopRouter() });
 * network.connect("ada", "bob");
 * network.clock.tick(10);
 * const before = packets;
 * network.node("ada").router.send("all", new Uint8Array(3));
 * assertEquals(packets - before, 1);
 * ```
 *
 * @param context What the router would be made with.
 * @param links What takes the place of its links; the others stay.
 * @returns What to make it with instead.
 */
export function withLinks(
  context: RouterContext,
  links: Partial<RouterLinks>,
): RouterContext {
  const own = context.links;
  return {
    get self() {
      return context.self;
    },
    clock: context.clock,
    random: context.random,
    up: context.up,
    links: {
      send: (id, packet, lane) => own.send(id, packet, lane),
      connect: (peer) => own.connect(peer),
      disconnect: (id, reason) => own.disconnect(id, reason),
      ...links,
    },
  };
}
