import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import {
  incarnationAbove,
  incarnationAt,
  nextIncarnation,
} from "@devts/routing";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";
import type { VirtualMachine } from "@devts/routing/testing";
import type { NodeParts } from "./types.ts";

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * What a node on a machine of a simulated network is made of: what `createNode` would
 * take, with the time, the chance and the network of the simulation, and a logger that
 * says nothing. The cluster is `"simulated"`.
 *
 * @example A node that does not relay, on a machine of its own
 * ```ts
 * import { Node } from "@devts/node";
 * import { simulatedParts } from "@devts/node/testing";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork({ seed: 1 });
 * let node: Node | undefined;
 * network.machine("a", {
 *   start: (machine) => {
 *     node = new Node(simulatedParts(machine));
 *   },
 * });
 * assertEquals(node?.id, "a");
 * ```
 *
 * @param machine Where it runs; what it uses ends with the machine's life.
 * @returns Parts to spread, and to replace some of.
 */
export function simulatedParts(machine: VirtualMachine): NodeParts {
  const { id, clock, random, transport } = machine;
  return {
    cluster: "simulated",
    id,
    incarnations: {
      first: incarnationAt(machine.wallClock()),
      next: nextIncarnation,
      above: incarnationAbove,
    },
    transport,
    link: (connection) => connection,
    protocol: v1(),
    codec: msgpackr(),
    router: peerRouter(),
    membership: swim(),
    logger: QUIET,
    clock,
    wallClock: () => machine.wallClock(),
    random,
    advertise: [],
    insecure: false,
    meta: undefined,
    limits: {},
  };
}
