import { Node } from "@devts/node";
import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import {
  incarnationAbove,
  incarnationAt,
  type MembershipFactory,
  nextIncarnation,
  type RouterFactory,
} from "@devts/routing";
import type { VirtualMachine } from "@devts/routing/testing";
import type { Transport } from "@devts/transport";

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** A whole node on a machine of a simulated network, as `createNode` would make it. */
export function wholeNode<E extends object>(
  machine: VirtualMachine,
  parts: {
    readonly router: RouterFactory;
    readonly membership: MembershipFactory;
    /** Instead of the machine's. */
    readonly transport?: Transport;
  },
): Node<E> {
  const { id, clock, random } = machine;
  const { transport = machine.transport } = parts;
  return new Node<E>({
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
    router: parts.router,
    membership: parts.membership,
    logger: QUIET,
    clock,
    wallClock: () => machine.wallClock(),
    random,
    advertise: [],
    insecure: false,
    meta: undefined,
    limits: {},
  });
}
