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
 * {@linkcode VirtualNetwork} loses, delays, parts, stops and restarts what runs in it,
 * routers as well as whole nodes ({@linkcode VirtualNetwork.machine}).
 * {@linkcode simulate} tries a {@linkcode Scenario} of one's own with many seeds, and cuts
 * down what makes one fail; for a store on whole nodes, `simulate` of
 * `@devts/node/testing` brings the scenario. {@linkcode sealed} proves that code knows no
 * time and no randomness but what it is given.
 *
 * @module
 */

export { withLinks } from "./_context.ts";
export { seededRandom } from "./_random.ts";
export { VirtualClock } from "./_virtual_clock.ts";
export {
  type ClockSkew,
  type Delivery,
  type LinkShape,
  type RestartOptions,
  type SelfChange,
  type Undelivered,
  type VirtualHost,
  type VirtualMachine,
  type VirtualMachineOptions,
  VirtualNetwork,
  type VirtualNetworkOptions,
  type VirtualNode,
  type VirtualNodeOptions,
} from "./_virtual_network.ts";
export type {
  VirtualConnection,
  VirtualListener,
  VirtualTransport,
} from "./_virtual_transport.ts";
export type { Tap } from "./_virtual_world.ts";
export { InvariantError } from "./_invariant.ts";
export type { Cut, Fault, Timed } from "./_faults.ts";
export type { Figures, Scenario, ScenarioRun, Target } from "./_scenario.ts";
export { sealed, sealedAsync, type SealedAsyncOptions } from "./_sealed.ts";
export {
  simulate,
  type SimulateOptions,
  type SimulationFailure,
  type SimulationReport,
  type Spread,
} from "./_simulate.ts";
export { graph, type GraphKind } from "./_graphs.ts";
export {
  testRouter,
  type TestRouterOptions,
  type Topology,
} from "./_router_suite.ts";
export {
  testMembership,
  type TestMembershipOptions,
} from "./_membership_suite.ts";
