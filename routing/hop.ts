/**
 * The router that needs to know nothing of the network: every packet goes to everyone.
 *
 * ```ts
 * import { hopRouter } from "@devts/routing/hop";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * for (const id of ["ada", "bob", "cyd"]) network.add(id, { router: hopRouter() });
 * network.connect("ada", "bob");
 * network.connect("bob", "cyd");
 * network.clock.tick(10);
 *
 * network.node("ada").send(["cyd"], new Uint8Array([1, 2, 3]));
 * network.clock.tick(10);
 *
 * assertEquals(network.node("cyd").delivered, [
 *   { from: "ada", payload: new Uint8Array([1, 2, 3]) },
 * ]);
 * assertEquals(network.node("bob").delivered, []);
 * ```
 *
 * @module
 */

import { sendToEach } from "./_each.ts";
import { orNull } from "./_bytes.ts";
import { LINKS } from "./_dialer.ts";
import { inRange, Relay, TTL } from "./_relay.ts";
import type { ExplainingRouter, RouteExplanation } from "./explain.ts";
import type {
  Counted,
  Inspected,
  InspectingRouter,
  Lane,
  LinkEvent,
  MemberEvent,
  NodeId,
  RouterContext,
  RouterFactory,
} from "./types.ts";

/** Options of {@linkcode hopRouter}. */
export interface HopRouterOptions {
  /**
   * The longest way of a packet, in links: 1 to 255. A packet that comes with more is
   * passed on with this.
   *
   * @default {64}
   */
  readonly ttl?: number;
  /**
   * How many links a node is to have: 0 to 256. While it has fewer, it dials members;
   * with 0 it dials nobody.
   *
   * @default {3}
   */
  readonly links?: number;
}

/**
 * Makes routers that flood: what a node gets for the first time, it hands to all its
 * neighbours but the one it came from. Nothing about the network needs to be known, and
 * as long as there is a way, it is found, the shortest in time. Made for networks of up
 * to some tens of nodes whose links change often, and those that cannot all reach each
 * other.
 *
 * - **Cost.** With E links between N nodes a broadcast takes at most 2E − (N − 1)
 *   packets. A unicast takes as many, less what the target would have passed on; to
 *   a neighbour it is one. Each packet has about 110 bytes in front of the payload,
 *   with ids of 32 characters. A relay makes one copy of a packet, however many
 *   neighbours it has.
 * - **Nodes.** There is a way to whom this node has heard of: through its links, by what
 *   came from them, and from what neighbours tell when a link comes up. When a link
 *   ends, those behind it are asked to say hello, and forgotten unless heard within 3 s.
 *   In a quiet network each node floods one hello of about 80 bytes every 15 s.
 * - **Once, in order.** A node delivers each packet once, and what one node sent in the
 *   data lane in its order. What is lost in between is told as `missed`.
 * - **Receipts.** The target of unicasts in the data lane acknowledges them, at most ten
 *   times a second, the way they came. What is not acknowledged within 5 s, or whose
 *   target is forgotten before, is `undelivered`. A relay that had no room is named as
 *   the last hop. Unicasts in the control lane, and broadcasts, are not acknowledged.
 * - **Links** are those that the program opens, and while these are fewer than three,
 *   links to members chosen at random, as far as they can be dialled: so the network stays
 *   connected when an entry node is gone.
 * - **Memory.** For each origin about 1 KiB: windows of 1,024 numbers. At most 4,096
 *   packets or 8 MiB wait for their turn, and 8,192 unicasts for their receipt.
 *
 * What it drops is in `counters`: `dropped` (a link had no room), `duplicates`, `stale`
 * (too old, or of an earlier life of the origin), `late` (its turn was over), `expired`
 * (TTL), `looped` (it came back to its origin), `malformed`, `strange` (unknown kinds, or
 * not from a neighbour), `implausible` (of a life too far ahead), `absurd` (numbers far
 * from all others), `crowded` and `unknown` (no room for another node), `overflowed`
 * (no room to wait), `missed` (given up), `lost` (undelivered), `unwatched` and
 * `unnoted` (no room for a receipt).
 *
 * @example A longer line than usual
 * ```ts
 * import { hopRouter } from "@devts/routing/hop";
 * import type { RouterFactory } from "@devts/routing";
 *
 * const router: RouterFactory = hopRouter({ ttl: 128 });
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function hopRouter(options: HopRouterOptions = {}): RouterFactory {
  const ttl = inRange("a TTL of", options.ttl ?? TTL, 1, 255);
  const links = inRange("links of", options.links ?? LINKS, 0, 256);
  return (context) => new HopRouter(context, ttl, links);
}

class HopRouter implements ExplainingRouter, InspectingRouter, Counted {
  readonly #relay: Relay;

  constructor(context: RouterContext, ttl: number, links: number) {
    this.#relay = new Relay(context, {
      ttl,
      links,
      single: false,
      receive: () => this.#relay.count("strange"),
      broken: nothing,
      silent: nothing,
      gone: nothing,
    });
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#relay.presence.nodes;
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#relay.counters;
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#relay.closed) return 0;
    if (to === "all") return this.#relay.broadcast(payload, lane);
    return sendToEach(
      to,
      this.nodes,
      (id) => this.#relay.unicast(id, payload, lane),
    );
  }

  receive(from: NodeId, packet: Uint8Array, lane: Lane): void {
    this.#relay.receive(from, packet, lane);
  }

  inspect(by: NodeId, packet: Uint8Array): Inspected | null {
    return orNull(() => this.#relay.inspect(by, packet));
  }

  link(event: LinkEvent): void {
    this.#relay.link(event);
  }

  member(event: MemberEvent): void {
    this.#relay.member(event);
  }

  explain(target: NodeId): RouteExplanation {
    return this.#relay.explain(target);
  }

  close(): void {
    this.#relay.close();
  }
}

function nothing(): void {}
