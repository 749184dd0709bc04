/**
 * The router in which everyone knows everyone: one link per pair of nodes, and
 * every packet goes straight to its target.
 *
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const ada = network.add("ada", { router: peerRouter() });
 * const bob = network.add("bob", { router: peerRouter() });
 * network.connect("ada", "bob");
 * network.clock.tick(10);
 *
 * ada.send("all", new Uint8Array([1, 2, 3]));
 * network.clock.tick(10);
 *
 * assertEquals(bob.delivered, [{ from: "ada", payload: new Uint8Array([1, 2, 3]) }]);
 * ```
 *
 * @module
 */

import { IdMap } from "./_id_map.ts";
import type { ExplainingRouter, RouteExplanation } from "./explain.ts";
import {
  type Counted,
  type DirectRouter,
  type Lane,
  type LinkEvent,
  type MemberEvent,
  type NodeId,
  NodeNotFoundError,
  type Peer,
  type RouterContext,
  type RouterFactory,
} from "./types.ts";
import { epochOf } from "./incarnation.ts";

/** How long the node with the larger id leaves the first dial to the other, in ms. */
const FIRST_DIAL_DELAY = 500;
/** The same after a link ended, which both ends notice at once. */
const REDIAL_DELAY = 100;
/** Bounds of the time between two attempts to reach a member, in ms. */
const MIN_RETRY = 250;
const MAX_RETRY = 10_000;

/**
 * Makes routers that send each packet straight to its target, over a link to
 * every other node: one hop, N − 1 packets for a broadcast, N − 1 links per node.
 * Made for up to some tens of nodes that can all reach each other.
 *
 * - **Packets.** A packet is the payload itself. The same `Uint8Array` is handed
 *   to every link, unchanged, so that it can be framed once.
 * - **Nodes.** There is a way to exactly those nodes to which a link is open. What
 *   a link has no room for is not counted by `send`; the counter `dropped` tells
 *   how often that was.
 * - **Dialling.** A member without a link is dialled as long as it is a member: of
 *   two nodes the one with the smaller id dials at once, the other 0.5 to 0.75 s
 *   later if there is still no link, so that they seldom dial each other at the
 *   same time. A node that cannot be dialled itself dials at once. After a link
 *   ended the other waits 0.1 to 0.15 s.
 * - **Retries.** A member that cannot be reached is dialled again after a random
 *   part of 250 ms, doubled with each failure up to 10 s (exponential backoff with
 *   full jitter).
 * - **Leaving.** The link to a member that left, failed or was replaced by its
 *   restart is ended; a link to the restart itself stays.
 *
 * @example Two nodes
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const ada = network.add("ada", { router: peerRouter() });
 * network.add("bob", { router: peerRouter() });
 * network.connect("ada", "bob");
 * network.clock.tick(10);
 *
 * assertEquals([...ada.router.nodes], ["bob"]);
 * ```
 */
export function peerRouter(): RouterFactory {
  return (context) => new PeerRouter(context);
}

/** A member, and how far this node is with dialling it. */
interface Target {
  peer: Peer;
  /** A dial was asked for and is not answered. */
  dialling: boolean;
  /** Failed attempts in a row. */
  failures: number;
  /** Cancels the next attempt; without effect when none is planned. */
  cancel: () => void;
  /** Why there is no link. */
  lastError: string;
}

class PeerRouter implements DirectRouter, ExplainingRouter, Counted {
  readonly direct = true;
  readonly #context: RouterContext;
  readonly #nodes = new Set<NodeId>();
  /** The incarnation at the other end of each open link. */
  readonly #incarnations = new IdMap<number>();
  readonly #targets = new IdMap<Target>();
  #closed = false;
  readonly counters = { dropped: 0 };

  constructor(context: RouterContext) {
    this.#context = context;
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#nodes;
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#closed) return 0;
    if (to === "all") return this.#hand(this.#nodes, payload, lane);
    for (const id of to) {
      if (!this.#nodes.has(id)) throw this.#notFound(id);
    }
    return this.#hand(to, payload, lane);
  }

  receive(from: NodeId, packet: Uint8Array): void {
    if (!this.#closed) this.#context.up.deliver(from, packet);
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    if (event.type === "up") this.#up(event.peer);
    else if (event.type === "down") this.#down(event.id, event.reason);
    else this.#unreachable(event.id, event.reason);
  }

  member(event: MemberEvent): void {
    if (this.#closed) return;
    if (event.type === "leave") this.#forget(event.member, event.reason);
    else this.#learn(event.member);
  }

  close(): void {
    this.#closed = true;
    for (const target of this.#targets.values()) target.cancel();
    this.#targets.clear();
    this.#incarnations.clear();
    this.#nodes.clear();
  }

  explain(target: NodeId): RouteExplanation {
    if (this.#nodes.has(target)) {
      const nodes = [this.#context.self.id, target];
      const why = "there is a link to it";
      return { how: "link", why, ways: [{ nodes, isWhole: true }] };
    }
    return { how: "none", why: this.#whyNot(target), ways: [] };
  }

  #whyNot(id: NodeId): string {
    const target = this.#targets.get(id);
    if (target === undefined) return "it is no member, and nobody links to it";
    const { peer, dialling, failures, lastError } = target;
    const why = lastError === "" ? "" : `, the last one failed: ${lastError}`;
    if (peer.addresses.length === 0) {
      return `there is no link to it, and it has no address to dial${why}`;
    }
    if (dialling) return `it is being dialled${why}`;
    return `there is no link to it, after ${failures} failed dials${why}`;
  }

  #hand(to: Iterable<NodeId>, payload: Uint8Array, lane: Lane): number {
    let handed = 0;
    for (const id of to) {
      if (this.#context.links.send(id, payload, lane)) handed++;
      else this.counters.dropped++;
    }
    return handed;
  }

  #notFound(id: NodeId): NodeNotFoundError {
    const target = this.#targets.get(id);
    if (target === undefined) return new NodeNotFoundError(id);
    const why = target.lastError === ""
      ? ""
      : ` (last error: ${target.lastError})`;
    return new NodeNotFoundError(
      id,
      `Cannot reach node "${id}": no link to it${why}`,
    );
  }

  #up(peer: Peer): void {
    this.#nodes.add(peer.id);
    this.#incarnations.set(peer.id, peer.incarnation);
    const target = this.#targets.get(peer.id);
    if (target === undefined) return;
    target.cancel();
    target.dialling = false;
    target.failures = 0;
    target.lastError = "";
  }

  #down(id: NodeId, reason: string): void {
    this.#nodes.delete(id);
    this.#incarnations.delete(id);
    const target = this.#targets.get(id);
    if (target === undefined) return;
    target.lastError = reason;
    this.#dialInTurn(target, REDIAL_DELAY);
  }

  #unreachable(id: NodeId, reason: string): void {
    const target = this.#targets.get(id);
    if (target === undefined || this.#nodes.has(id)) return;
    target.dialling = false;
    target.lastError = reason;
    const longest = Math.min(MAX_RETRY, MIN_RETRY * 2 ** target.failures);
    target.failures++;
    this.#dialAfter(target, longest * this.#context.random());
  }

  #learn(peer: Peer): void {
    const known = this.#targets.get(peer.id);
    if (known === undefined) {
      const target = {
        peer,
        dialling: false,
        failures: 0,
        cancel: nothing,
        lastError: "",
      };
      this.#targets.set(peer.id, target);
      this.#dialInTurn(target, FIRST_DIAL_DELAY);
      return;
    }
    known.peer = peer;
    known.failures = 0;
    this.#dialInTurn(known, FIRST_DIAL_DELAY);
  }

  #forget(peer: Peer, reason: string): void {
    this.#targets.get(peer.id)?.cancel();
    this.#targets.delete(peer.id);
    const linked = this.#incarnations.get(peer.id);
    // The link may already be one to the restart that replaces this member.
    if (linked === undefined || epochOf(linked) > epochOf(peer.incarnation)) {
      return;
    }
    this.#context.links.disconnect(peer.id, reason);
  }

  /** Of two nodes one dials at once, the other after `delay` and up to half of it again. */
  #dialInTurn(target: Target, delay: number): void {
    const self = this.#context.self;
    if (self.id < target.peer.id || self.addresses.length === 0) {
      this.#dial(target);
    } else this.#dialAfter(target, delay * (1 + this.#context.random() / 2));
  }

  #dialAfter(target: Target, delay: number): void {
    target.cancel();
    target.cancel = this.#context.clock.after(delay, () => this.#dial(target));
  }

  #dial(target: Target): void {
    target.cancel();
    const { peer, dialling } = target;
    if (dialling || this.#nodes.has(peer.id) || peer.addresses.length === 0) {
      return;
    }
    target.dialling = true;
    this.#context.links.connect(peer);
  }
}

function nothing(): void {}
