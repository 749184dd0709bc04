import type {
  Clock,
  Lane,
  LinkingRouter,
  NodeId,
  QueueingRouter,
  Router,
} from "@devts/routing";
import { type Bundle, requestsIn } from "./bundle.ts";
import { reasonOf } from "./errors.ts";
import type { Guests } from "./guests.ts";
import type { Journal } from "./journal.ts";
import type { Links } from "./links.ts";
import type { Lookout } from "./lookout.ts";
import type { Loopback } from "./loopback.ts";
import { MYSELF, type Target } from "./outbound.ts";
import type { Outcomes } from "./outcomes.ts";
import type { Packets } from "./packets.ts";
import type { Requests } from "./requests.ts";
import { isDirect, isLinking, isQueueing, isSelective } from "./routers.ts";
import type { Slab } from "./slab.ts";

/** What shipping is made with. */
export interface ShippingOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  /** The room in front of a payload, in bytes. */
  readonly headroom: number;
  readonly router: Router;
  readonly links: Links;
  readonly packets: Packets;
  readonly guests: Guests;
  readonly loopback: Loopback;
  readonly outcomes: Outcomes;
  readonly requests: Requests;
  readonly lookout: Lookout;
  readonly journal: Journal;
  readonly counts: { dropped: number; undelivered: number };
  /** A bundle for one node was lost. */
  lost(payload: Uint8Array, to: NodeId, why: string): void;
  /** Takes a payload of this node for itself. */
  toSelf(payload: Uint8Array): void;
  /** Streams may go on. */
  pump(): void;
}

/** What leaves: payloads on their way to the router, and its packets on theirs to the links. */
export class Shipping {
  readonly #options: ShippingOptions;
  // What every event needs is at hand.
  readonly #id: NodeId;
  readonly #router: Router;
  readonly #isDirect: boolean;
  /** The router, where it brings its own links. */
  readonly #linking: LinkingRouter | null;
  /** The router, where its network chooses members of groups. */
  readonly #queueing: QueueingRouter | null;
  readonly #links: Links;
  readonly #packets: Packets;
  readonly #requests: Requests;
  readonly #counts: { dropped: number; undelivered: number };
  /** What streams wait for, where the router brings its own links. */
  #awaited: Promise<void> | null = null;

  constructor(options: ShippingOptions) {
    const { router } = options;
    this.#options = options;
    this.#id = options.id;
    this.#router = router;
    this.#isDirect = isDirect(router);
    this.#linking = isLinking(router) ? router : null;
    this.#queueing = isQueueing(router) ? router : null;
    this.#links = options.links;
    this.#packets = options.packets;
    this.#requests = options.requests;
    this.#counts = options.counts;
  }

  /** A bundle is full, or its turn has come. */
  ship(bundle: Bundle, target: Target): void {
    const { payload, count, slab } = bundle;
    if (target === MYSELF) {
      if (!this.#options.loopback.take(bundle)) this.#counts.dropped += count;
      slab?.release();
      return;
    }
    if (target.queue !== undefined) {
      if (!this.#shipToOne(target.queue, payload)) {
        this.#counts.dropped += count;
      }
      return;
    }
    const to = this.#cheapest(target);
    if (to.length === 0) return;
    let handed = 0;
    let isBare = true;
    let why = "its link takes nothing";
    try {
      isBare = this.#packets.during(bundle, () => {
        handed = this.#router.send(to, payload, "data");
      });
      // Other routers may keep what they are given.
      if (this.#isDirect) slab?.release();
    } catch (error) {
      this.#counts.undelivered += count;
      why = reasonOf(error);
      this.#options.journal.debug(why);
    }
    const [only] = to;
    if (handed === 0 && only !== undefined && to !== "all") {
      this.#options.lost(payload, only, why);
    }
    if (to === "all" || this.#requests.size === 0) return;
    if (handed === 0) this.#requests.rejectLost(requestsIn(payload), why);
    else if (!isBare) this.#requests.sentTogether(requestsIn(payload));
  }

  /** Sends a payload of a stream, which stands in a message with room in front. */
  shipStream(
    to: NodeId,
    message: Uint8Array,
    slab: Slab | null,
    lane: Lane,
  ): boolean {
    const { headroom, clock, toSelf } = this.#options;
    const payload = message.subarray(headroom);
    if (to === this.#id) {
      clock.soon(() => toSelf(payload));
      return true;
    }
    const bundle: Bundle = { message, payload, count: 0, slab };
    let handed = 0;
    try {
      this.#packets.during(bundle, () => {
        handed = this.#router.send([to], payload, lane);
      });
      // Other routers may keep what they are given.
      if (this.#isDirect) slab?.release();
      else this.#options.lookout.begin();
    } catch (error) {
      this.#options.journal.debug(reasonOf(error));
    }
    return handed > 0;
  }

  /** A packet of the router for a neighbour. False: it has no link, or no room. */
  send(id: NodeId, packet: Uint8Array, lane: Lane): boolean {
    const link = this.#links.get(id);
    if (!link) return false;
    const { rights } = link.proven;
    if (rights) return this.#options.guests.send(link, rights, packet, lane);
    if (!this.#isDirect && !this.#options.guests.mayLeave(id, packet)) {
      return true;
    }
    const frame = this.#packets.frame(packet, lane);
    const { events } = this.#packets;
    if (frame.length > link.maxMessage) {
      this.#counts.undelivered += events;
      this.#options.journal.warnSometimes(
        `a message of ${frame.length} bytes to node "${id}" was lost: it takes at most ${link.maxMessage}`,
      );
      return false;
    }
    // What has numbers of the router's in front is missed by those, at its target.
    const missed = this.#packets.isBundle(packet) ? events : 0;
    const taken = link.send(frame, lane, missed);
    if (!taken && lane === "data") this.#counts.dropped += events;
    return taken;
  }

  /** Whether what a stream sends to a node now leaves soon. */
  hasRoom(to: NodeId): boolean {
    if (this.#linking) return this.#linkingHasRoom(this.#linking);
    const link = this.#links.get(to);
    return link
      ? !link.congested && !link.dropping
      : !this.#options.outcomes.isBehind;
  }

  #shipToOne(
    { group, name }: { readonly group: string; readonly name: string },
    payload: Uint8Array,
  ): boolean {
    try {
      return this.#queueing?.sendToOne(group, name, payload) === true;
    } catch (error) {
      this.#options.journal.debug(reasonOf(error));
      return false;
    }
  }

  /** Sending to all may take fewer packets: who does not handle an event skips it. */
  #cheapest({ to }: Target): readonly NodeId[] | "all" {
    const router = this.#router;
    const { nodes } = router;
    if (to === "all" || to.length < 2) return to;
    const there = to.every((id) => nodes.has(id))
      ? to
      : to.filter((id) => nodes.has(id));
    if (this.#isDirect || there.length < 2) return there;
    if (there.length >= nodes.size) return "all";
    return isSelective(router) && router.prefersEach(there) ? there : "all";
  }

  #linkingHasRoom({ room }: LinkingRouter): boolean {
    if (room === null) return true;
    if (this.#awaited === room) return false;
    this.#awaited = room;
    room.then(() => this.#options.pump());
    return false;
  }
}
