import type {
  Codec,
  FrameKind,
  Protocol,
  Rights,
  ViewCount,
} from "@devts/protocol";
import type { Clock, Lane, Membership, NodeId, Router } from "@devts/routing";
import {
  PAYLOAD_EVENTS,
  PAYLOAD_MEMBERSHIP,
  PAYLOAD_STREAMS,
} from "./bundle.ts";
import { Copies } from "./copies.ts";
import { reasonOf } from "./errors.ts";
import { PAYLOAD_GUEST } from "./guest_wire.ts";
import type { Guests } from "./guests.ts";
import type { Inbound } from "./inbound.ts";
import { PAYLOAD_INTEREST } from "./interest_codec.ts";
import type { Interest } from "./interest.ts";
import type { Joining } from "./joining.ts";
import type { Journal } from "./journal.ts";
import type { Link } from "./link.ts";
import type { Links } from "./links.ts";
import type { Packets } from "./packets.ts";
import type { Roster } from "./roster.ts";
import { isDirect } from "./routers.ts";
import type { Streams } from "./streams.ts";

// While this node does not read a link, its peer counts as heard this often, in ms.
const PAUSED_BEAT = 500;
// A received bundle from this length on is not copied out of the read buffer, in bytes.
const BORROWED_FROM = 16_384;

/** What receiving is made with. */
export interface ReceivingOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  readonly protocol: Protocol;
  readonly codec: Codec & Partial<ViewCount>;
  /** Whether nodes own their ids. */
  readonly exact: boolean;
  readonly router: Router;
  readonly membership: Membership;
  readonly links: Links;
  readonly packets: Packets;
  readonly inbound: Inbound;
  readonly streams: Streams;
  readonly interest: Interest;
  readonly joining: Joining;
  readonly roster: Roster;
  readonly guests: Guests;
  readonly journal: Journal;
  readonly counts: {
    missed: number;
    violations: number;
    forbidden: number;
    skipped: number;
  };
}

/** What comes: messages of links on their way to the router, and payloads that it delivers. */
export class Receiving {
  readonly #options: ReceivingOptions;
  // What every event needs is at hand.
  readonly #id: NodeId;
  readonly #protocol: Protocol;
  readonly #codec: Codec & Partial<ViewCount>;
  readonly #router: Router;
  readonly #isDirect: boolean;
  readonly #membership: Membership;
  readonly #packets: Packets;
  readonly #inbound: Inbound;
  readonly #copies = new Copies();
  /** Which neighbour sent the packet that the router is taking. */
  #source: NodeId | null = null;
  /** Whose events were handled last. */
  #heard: NodeId = "";
  /** What was wrong with the packet that the router is taking. */
  #violation: unknown = null;
  /** Ends the pause of a link that is not read for a while. */
  readonly #pauses = new Map<Link, () => void>();
  /** Whether that packet is a part of a read buffer, which will be used again. */
  #isLent = false;
  #closed = false;

  constructor(options: ReceivingOptions) {
    this.#options = options;
    this.#id = options.id;
    this.#protocol = options.protocol;
    this.#codec = options.codec;
    this.#router = options.router;
    this.#isDirect = isDirect(options.router);
    this.#membership = options.membership;
    this.#packets = options.packets;
    this.#inbound = options.inbound;
  }

  /** A message came over a link; a promise: the link is not to be read until then. */
  received(
    link: Link,
    message: Uint8Array,
    lent: boolean,
  ): Promise<void> | undefined {
    const { id } = link.peer;
    this.#membership.heard(id);
    const kind = this.#protocol.readHeader(message);
    if (kind !== "data" && kind !== "control") {
      this.#notice(link, message, kind);
      return undefined;
    }
    const { rights } = link.proven;
    if (rights) this.#takeFromGuest(id, rights, message, kind);
    else if (this.#mayBorrow(message)) this.#takeInPlace(link, message, kind);
    else this.#packet(id, lent ? this.#copies.of(message) : message, kind);
    const pause = this.#inbound.room(this.#heard);
    if (!pause || this.#options.links.get(id) !== link) return undefined;
    return this.#paused(link, pause);
  }

  /** A payload came for this node. */
  deliver(from: NodeId, payload: Uint8Array): void {
    const kind = payload[0];
    if (kind !== PAYLOAD_MEMBERSHIP && !this.#mayBeFrom(from)) return;
    if (kind === PAYLOAD_MEMBERSHIP) {
      this.#membership.receive(from, payload.subarray(1));
      this.#options.roster.tell(from);
      return this.#options.joining.informed(from);
    }
    // Kinds that later versions add are for those who know them.
    if (this.#closed) return;
    if (kind === PAYLOAD_EVENTS || kind === PAYLOAD_STREAMS) this.#heard = from;
    try {
      if (kind === PAYLOAD_EVENTS) this.#inbound.take(from, payload);
      else if (kind === PAYLOAD_STREAMS) {
        this.#options.streams.take(from, payload, this.#isLent);
      } else if (kind === PAYLOAD_INTEREST) this.#learn(from, payload);
      else if (kind === PAYLOAD_GUEST && from === this.#source) {
        this.#options.guests.told(from, payload);
      }
    } catch (error) {
      this.#malformed(from, error);
    }
  }

  /** A payload of this node came for itself. */
  deliverOwn(payload: Uint8Array): void {
    this.deliver(this.#id, payload);
    if (this.#violation === null) return;
    const error = this.#violation;
    this.#violation = null;
    const message = `an event to itself was lost: ${reasonOf(error)}`;
    this.#options.journal.fault("handler", error, message);
  }

  /** Events of a node were lost on their way. */
  missed(from: NodeId, missed: number, line: string): void {
    this.#options.counts.missed = Math.min(
      Number.MAX_SAFE_INTEGER,
      this.#options.counts.missed + missed,
    );
    this.#options.journal.warnSometimes(line);
    this.#options.journal.tell("gap", { from, missed });
  }

  /** A link ended: it is not waited for any more. */
  ended(link: Link): void {
    this.#pauses.get(link)?.();
  }

  /** From now on, only what the membership has to say counts. */
  close(): void {
    this.#closed = true;
  }

  #takeFromGuest(
    id: NodeId,
    rights: Rights,
    message: Uint8Array,
    lane: Lane,
  ): void {
    const { guests } = this.#options;
    for (const permitted of guests.take(id, rights, message, lane)) {
      this.#packet(id, permitted, lane);
    }
  }

  #packet(id: NodeId, message: Uint8Array, lane: Lane): void {
    const packet = message.subarray(this.#protocol.headerSize);
    if (!this.#isDirect) this.#packets.received(packet, message, lane);
    this.#source = this.#heard = id;
    this.#router.receive(id, packet, lane);
    this.#packets.forget();
    this.#source = null;
    if (this.#violation === null) return;
    const violation = this.#violation;
    this.#violation = null;
    throw violation;
  }

  /**
   * Whether a message may be taken apart where it was read: it is a bundle of events or
   * a piece of a stream, and so long that a copy would cost more than the rest of its
   * buffer is worth.
   */
  #mayBorrow(message: Uint8Array): boolean {
    if (message.length < BORROWED_FROM || !this.#isDirect) return false;
    const kind = message[this.#protocol.headerSize];
    return kind === PAYLOAD_EVENTS || kind === PAYLOAD_STREAMS;
  }

  #takeInPlace(link: Link, message: Uint8Array, lane: Lane): void {
    if (message[this.#protocol.headerSize] === PAYLOAD_EVENTS) {
      return this.#takeBundle(link, message, lane);
    }
    this.#isLent = true;
    try {
      this.#packet(link.peer.id, message, lane);
    } finally {
      this.#isLent = false;
      link.kept(false);
    }
  }

  /** Takes a message apart where it stands; handlers may keep what they are given. */
  #takeBundle(link: Link, message: Uint8Array, lane: Lane): void {
    const codec = this.#codec;
    const views = viewsOf(codec);
    try {
      this.#packet(link.peer.id, message, lane);
    } finally {
      link.kept(views < 0 || viewsOf(codec) !== views);
    }
  }

  /** While this node does not read, its peer must not look silent to it. */
  async #paused(link: Link, pause: Promise<void>): Promise<void> {
    let cancel = (): void => {};
    const hear = (): void => {
      this.#membership.heard(link.peer.id);
      cancel = this.#options.clock.after(PAUSED_BEAT, hear);
    };
    hear();
    // Not a race with `link.done`, which would remember every pause until the link ends.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pauses.set(link, resolve);
    pause.then(resolve);
    await promise;
    this.#pauses.delete(link);
    cancel();
  }

  #notice(link: Link, message: Uint8Array, kind: FrameKind | null): void {
    const protocol = this.#protocol;
    if (kind === "goodbye") return link.farewell(protocol.readGoodbye(message));
    if (kind === "progress") return link.progressed();
    if (kind === "echo") return link.echo();
    if (kind === "echoed") return link.echoed();
    if (kind === null) this.#options.counts.skipped++;
    if (kind !== "gap") return;
    const from = link.peer.id;
    const missed = protocol.readGap(message);
    this.missed(
      from,
      missed,
      `node "${from}" dropped ${missed} events that this node did not take in time`,
    );
  }

  /** What a node handles; nothing is remembered of nodes that are not there. */
  #learn(from: NodeId, payload: Uint8Array): void {
    if (!this.#router.nodes.has(from)) return;
    this.#options.interest.receive(from, payload);
  }

  /** Where nodes own their ids, what a relay brings is from a member, or from nobody. */
  #mayBeFrom(from: NodeId): boolean {
    const source = this.#source;
    if (source === null || from === source || !this.#options.exact) {
      return true;
    }
    if (this.#membership.members.has(from)) return true;
    this.#options.counts.forbidden++;
    this.#options.journal.warnSometimes(
      `dropped what node "${source}" passed on: it is from "${from}", which is no member`,
    );
    return false;
  }

  /** Who only passed it on has done nothing wrong. */
  #malformed(from: NodeId, error: unknown): void {
    if (from === this.#source || from === this.#id) {
      this.#violation = error;
      return;
    }
    this.#options.counts.violations++;
    const message = `an event of node "${from}" was lost: ${reasonOf(error)}`;
    this.#options.journal.fault("link", error, message);
  }
}

/** How many views a codec has given out; -1: it does not tell. */
function viewsOf(codec: Codec & Partial<ViewCount>): number {
  return codec.views ?? -1;
}
