/**
 * What one needs to test a router or a membership without a network: virtual time,
 * nodes and links in it, and the suites that every implementation must pass, a
 * user's own included.
 *
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork({ latency: 5 });
 * const ada = network.add("ada", { router: peerRouter() });
 * const bob = network.add("bob", { router: peerRouter() });
 *
 * network.connect("ada", "bob");
 * network.clock.run();
 * assertEquals(bob.neighbours, ["ada"]);
 *
 * network.disconnect("ada", "bob");
 * network.clock.run();
 * assertEquals([...ada.router.nodes], []);
 * ```
 *
 * @module
 */

export { seededRandom } from "./_random.ts";
export { VirtualClock } from "./_virtual_clock.ts";
export {
  type Delivery,
  type RestartOptions,
  type SelfChange,
  type Undelivered,
  VirtualNetwork,
  type VirtualNetworkOptions,
  type VirtualNode,
  type VirtualNodeOptions,
} from "./_virtual_network.ts";
export {
  testRouter,
  type TestRouterOptions,
  type Topology,
} from "./_router_suite.ts";
export {
  testMembership,
  type TestMembershipOptions,
} from "./_membership_suite.ts";
