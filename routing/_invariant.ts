import type { NodeId } from "./types.ts";

/**
 * Something did not hold that must; the cause says how.
 *
 * @example An invariant that breaks
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { InvariantError, VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const network = new VirtualNetwork({ latency: 5 });
 * for (const id of ["ada", "bob"]) network.add(id, { router: peerRouter() });
 * network.always("nobody has a link", ({ neighbours }) => assertEquals(neighbours, []));
 * network.connect("ada", "bob");
 * const error = assertThrows(() => network.clock.run(), InvariantError);
 *
 * assertEquals([error.invariant, error.node, error.time], ["nobody has a link", "bob", 5]);
 * ```
 */
export class InvariantError extends Error {
  /** The name under which it was registered. */
  readonly invariant: string;
  /** When it broke, in virtual ms. */
  readonly time: number;
  /** On which node; `null`: for the network as a whole. */
  readonly node: NodeId | null;

  /** Makes the error; `cause` is what the check threw. */
  constructor(
    invariant: string,
    time: number,
    node: NodeId | null,
    cause: unknown,
  ) {
    const where = node === null ? "" : ` on "${node}"`;
    const how = cause instanceof Error ? cause.message : String(cause);
    super(
      `The invariant "${invariant}" broke at ${
        time.toFixed(3)
      } ms${where}: ${how}`,
      { cause },
    );
    this.name = "InvariantError";
    this.invariant = invariant;
    this.time = time;
    this.node = node;
  }
}
