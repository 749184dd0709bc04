import type { Chart } from "./_map_chart.ts";
import type { Guarded } from "./_map_guard.ts";
import type { Letters } from "./_map_letters.ts";
import type { Links, MapCounters } from "./_map_links.ts";
import type { Neighbour } from "./_map_neighbour.ts";
import {
  type Broadcast,
  CARRY,
  readBroadcast,
  writeBroadcast,
  writeRouted,
} from "./_map_packets.ts";
import type { View } from "./_map_view.ts";
import { type Order, OWN_SERIES } from "./_order.ts";
import { epochOf } from "./incarnation.ts";
import type { Lane, NodeId, RouterContext } from "./types.ts";

/** How long a payload is kept for new neighbours, in ms. */
const KEPT_FOR = 1000;
/** What is kept at most, in packets and bytes. */
const MAX_KEPT = 256;
const MAX_KEPT_BYTES = 1024 * 1024;

/** A payload that has just passed. */
interface Passed {
  readonly origin: NodeId;
  readonly packet: Uint8Array;
  readonly lane: Lane;
  readonly time: number;
}

/** What broadcasts are sent with. */
export interface BroadcastsOptions {
  readonly context: RouterContext;
  readonly links: Links;
  readonly chart: Chart;
  readonly view: View;
  readonly order: Order;
  readonly letters: Letters;
  readonly counters: MapCounters;
}

/**
 * Payloads for all. One goes along the tree of shortest paths from its origin while
 * those who pass it on see the same map; whoever sees another one begins a flood, in
 * which each node takes part once.
 */
export class Broadcasts {
  readonly #options: BroadcastsOptions;
  readonly #passed: Passed[] = [];
  #passedBytes = 0;

  constructor(options: BroadcastsOptions) {
    this.#options = options;
  }

  /** Sends a payload of this node; returns for how many nodes. */
  send(payload: Uint8Array, lane: Lane): number {
    const { context: { self }, chart, order } = this.#options;
    const packet = writeBroadcast({
      isFlood: false,
      digest: chart.digest,
      stamp: order.next(null, lane),
      payload,
    });
    this.#keep(self.id, packet, lane);
    let handed = 0;
    for (const { id, size } of this.#nextFrom(self.id, self.id)) {
      if (this.#options.links.pass(id, packet, lane, size === 1)) {
        handed += size;
      }
    }
    return handed;
  }

  /**
   * Takes a payload from a neighbour: passes it on, and hands it up.
   *
   * @param isCarried It came by a path, around a link that broke.
   * @throws {MalformedError} If it is malformed.
   */
  take(
    from: NodeId,
    packet: Uint8Array,
    lane: Lane,
    isCarried: boolean = false,
  ): void {
    const { order } = this.#options;
    const broadcast = readBroadcast(packet);
    const { stamp, payload, isFlood } = broadcast;
    if (!this.#isAdmitted(broadcast, lane)) return;
    const isOwn = stamp.origin === this.#options.context.self.id;
    const isNew = !isOwn && order.first(stamp);
    if (isFlood) this.#flood(broadcast, packet, from);
    else if (isNew && !isCarried) this.#relay(broadcast, packet, from);
    if (!isNew) return;
    this.#keep(stamp.origin, packet, lane);
    order.take(stamp, payload);
  }

  #isAdmitted({ stamp, isFlood }: Broadcast, lane: Lane): boolean {
    const { context: { self }, chart, links, counters } = this.#options;
    const { origin } = stamp;
    if (stamp.lane !== lane || (origin === self.id && !isFlood)) {
      counters.forged++;
      return false;
    }
    if (chart.get(origin) !== undefined || links.neighbours.has(origin)) {
      return true;
    }
    counters.strangers++;
    return false;
  }

  #relay(broadcast: Broadcast, packet: Uint8Array, from: NodeId): void {
    const { links, chart, letters } = this.#options;
    const { digest, stamp: { origin, lane }, payload } = broadcast;
    if (digest !== chart.digest) return this.#startFlood(broadcast);
    for (const { id, size } of this.#nextFrom(origin, from)) {
      if (links.pass(id, packet, lane, size === 1)) continue;
      letters.report(origin, id, payload, "there is no room on the link to it");
    }
  }

  /** Whom this node passes on what an origin sent, and for how many nodes. */
  #nextFrom(
    origin: NodeId,
    from: NodeId,
  ): { readonly id: NodeId; readonly size: number }[] {
    const { view } = this.#options;
    const loose = view.loose.filter((id) => id !== from)
      .map((id) => ({ id, size: 1 }));
    return [...view.branches(origin), ...loose];
  }

  /** Others see another map: from here on it goes to everyone. */
  #startFlood(broadcast: Broadcast): void {
    const { context: { self } } = this.#options;
    const flood = { ...broadcast, isFlood: true };
    this.#flood(flood, writeBroadcast(flood), self.id);
  }

  #flood({ stamp }: Broadcast, packet: Uint8Array, except: NodeId): void {
    const { order, links } = this.#options;
    const { origin, epoch, lane, number } = stamp;
    const series = OWN_SERIES + (lane === "control" ? 1 : 0);
    if (!order.firstOf(origin, epoch, series, number)) return;
    for (const { id } of links.open()) {
      if (id !== except) links.pass(id, packet, lane);
    }
  }

  #keep(origin: NodeId, packet: Uint8Array, lane: Lane): void {
    const time = this.#options.context.clock.now();
    this.#passed.push({ origin, packet, lane, time });
    this.#passedBytes += packet.length;
    this.#tidy(time);
  }

  #tidy(now: number): void {
    for (;;) {
      const oldest = this.#passed[0];
      if (oldest === undefined) return;
      const isOver = this.#passed.length > MAX_KEPT ||
        this.#passedBytes > MAX_KEPT_BYTES;
      if (!isOver && now - oldest.time < KEPT_FOR) return;
      this.#passed.shift();
      this.#passedBytes -= oldest.packet.length;
    }
  }

  /** Forgets what has passed long ago. */
  expire(): void {
    this.#tidy(this.#options.context.clock.now());
  }

  /**
   * A link came up: what has just passed here may have missed the node at its other end,
   * which was on its way from one part of the network to another.
   */
  greet(neighbour: Neighbour): void {
    const { chart, context: { clock }, links } = this.#options;
    const { id } = neighbour;
    const place = chart.get(id);
    if (place === undefined || !this.#isInItsLife(neighbour)) return;
    const start = Math.max(place.since, clock.now() - KEPT_FOR);
    for (const { origin, packet, lane, time } of this.#passed) {
      if (time >= start && origin !== id) links.pass(id, packet, lane);
    }
  }

  /** Whether the map shows the same life of a node as its link: the one before had its own. */
  #isInItsLife({ id, incarnation }: Neighbour): boolean {
    const known = this.#options.chart.get(id)?.advert.incarnation;
    return known !== undefined && epochOf(known) === epochOf(incarnation);
  }

  /**
   * A link has ended with a payload that may be lost.
   *
   * @throws {MalformedError} If it is malformed.
   */
  recover(
    { packet, lane, isAlone }: Guarded,
    neighbour: Neighbour,
    reason: string,
  ): void {
    const { links, view, letters } = this.#options;
    const broadcast = readBroadcast(packet);
    if (!isAlone) return this.#startFlood(broadcast);
    const to = neighbour.id;
    const path = this.#isInItsLife(neighbour) ? view.pathTo(to) : null;
    if (path === null) {
      const { stamp, payload } = broadcast;
      return letters.report(stamp.origin, to, payload, reason);
    }
    const head = { kind: CARRY, path, detours: 0 } as const;
    links.pass(path[1] ?? to, writeRouted(head, [packet]), lane);
  }
}
