import type { Protocol, Rights } from "@devts/protocol";
import type {
  Clock,
  Inspected,
  InspectingRouter,
  Lane,
  Membership,
  NodeId,
  Router,
  SiftingMembership,
} from "@devts/routing";
import { PAYLOAD_MEMBERSHIP } from "./bundle.ts";
import type { Delivering } from "./delivering.ts";
import type { DeliveryId } from "./delivery_wire.ts";
import { Frame } from "./frame.ts";
import {
  PAYLOAD_GUEST,
  readFromHost,
  type Refused,
  writeRefusal,
  writeWelcome,
} from "./guest_wire.ts";
import type { Journal } from "./journal.ts";
import type { Link } from "./link.ts";
import type { Replies } from "./replies.ts";
import { forGuest, fromGuest, type Permitted } from "./rights.ts";
import { isDirect, isInspecting, isSifting } from "./routers.ts";
import type { Streams } from "./streams.ts";

const NO_RIGHT = "it is a guest without a right to it";
const NOTHING = new Uint8Array(0);

/** What guests are checked with. */
export interface GuestsOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  readonly protocol: Protocol;
  readonly router: Router;
  readonly membership: Membership;
  readonly journal: Journal;
  readonly counts: { forbidden: number };
  readonly replies: Replies;
  readonly delivering: Delivering;
  readonly streams: Streams;
  /** Whether both ends of a link have proven that they know the secret of the cluster. */
  isOfMembers(id: NodeId): boolean;
}

/** A router that relays, and the membership beside it. */
interface Relaying {
  readonly router: InspectingRouter;
  readonly membership: SiftingMembership;
}

/**
 * Guests of this node: what they send and are sent is within their rights. Only the node
 * that holds the link of a guest knows that it is one, so it checks before anything is
 * passed on. Where the router sends straight to each node, packets are payloads; where it
 * relays, payloads stand at the end of packets, which the router can read.
 */
export class Guests {
  readonly #options: GuestsOptions;
  readonly #isDirect: boolean;
  /** Null: the router does not relay, or cannot say what it relays. */
  readonly #relaying: Relaying | null;
  /** The neighbours where this node is a guest itself. */
  readonly #hosts = new Set<NodeId>();

  constructor(options: GuestsOptions) {
    const { router, membership } = options;
    this.#options = options;
    this.#isDirect = isDirect(router);
    this.#relaying = isInspecting(router) && isSifting(membership)
      ? { router, membership }
      : null;
  }

  /** Whether what guests send can be checked. */
  get areTaken(): boolean {
    return this.#isDirect || this.#relaying !== null;
  }

  /** A guest is sent what it may handle, and no more. False: nothing was sent. */
  send(link: Link, rights: Rights, packet: Uint8Array, lane: Lane): boolean {
    if (!this.#isDirect) return this.#relayTo(link, rights, packet, lane);
    const { payloads, ...permitted } = forGuest(packet, rights);
    const isForbidden = this.#noteNotSent(link.peer.id, permitted);
    let taken = payloads.length > 0 || isForbidden;
    for (const payload of payloads) {
      if (!this.#hand(link, payload, lane, 1)) taken = false;
    }
    return taken;
  }

  /**
   * What a guest may not send is dropped, counted and logged; its requests fail.
   *
   * @returns Messages with what it may send.
   * @throws {SyntaxError} If what it sent is malformed.
   */
  take(
    id: NodeId,
    rights: Rights,
    message: Uint8Array,
    lane: Lane,
  ): readonly Uint8Array[] {
    const packet = message.slice(this.#options.protocol.headerSize);
    const permitted = this.#isDirect
      ? this.#permit(id, rights, packet, this.#options.id)
      : this.#relayFrom(id, rights, packet);
    return permitted.map((rest) => this.#message(rest, lane));
  }

  // -- Hosts and guests --

  /** A guest was let in: it is told so, where it might pass on what others send. */
  welcome(id: NodeId): void {
    if (this.#relaying !== null) this.#tell(id, writeWelcome());
  }

  /**
   * A neighbour tells something to this node as to a guest.
   *
   * @throws {SyntaxError} If it is malformed.
   */
  told(from: NodeId, payload: Uint8Array): void {
    if (this.#relaying === null || this.#options.isOfMembers(from)) return;
    const message = readFromHost(payload);
    if (message === "welcome") this.#hosts.add(from);
    else if (message !== null && this.#hosts.has(from)) this.#refused(message);
  }

  /** The link to a node has ended. */
  ended(id: NodeId): void {
    this.#hosts.delete(id);
  }

  /** Whether a packet of the router may leave for a neighbour: a guest passes nothing on. */
  mayLeave(to: NodeId, packet: Uint8Array): boolean {
    if (this.#hosts.size === 0 || !this.#hosts.has(to)) return true;
    const { id } = this.#options;
    const read = this.#relaying?.router.inspect(id, packet);
    return read?.origin === id && read.own !== null;
  }

  #refused({ to, why, requests, deliveries, stream }: Refused): void {
    const { replies, delivering, streams } = this.#options;
    for (const request of requests) replies.forbidden(to, request, why);
    delivering.refused(to, deliveries, why);
    if (stream !== null) streams.forbade(to, stream, why);
  }

  #tell(id: NodeId, payload: Uint8Array): void {
    try {
      this.#options.router.send([id], payload, "control");
    } catch {
      // It is gone; it is told when it comes again.
    }
  }

  // -- Where others relay --

  /** What is for others is none of its business: a guest passes nothing on. */
  #relayTo(
    link: Link,
    rights: Rights,
    packet: Uint8Array,
    lane: Lane,
  ): boolean {
    const { id } = link.peer;
    const read = this.#relaying?.router.inspect(this.#options.id, packet);
    if (!read) return false;
    const { origin, to, payload } = read;
    if (payload === null || origin === id) {
      return this.#hand(link, packet, lane, 0);
    }
    if (to !== null && to !== id) return false;
    if (payload[0] === PAYLOAD_GUEST) return this.#hand(link, packet, lane, 0);
    const permitted = this.#permitTo(id, rights, read);
    if (permitted === null) return false;
    return this.#hand(link, withPayload(packet, payload, permitted), lane, 0);
  }

  /** What a guest may be sent of a payload that others made; null: nothing of it. */
  #permitTo(
    id: NodeId,
    rights: Rights,
    { origin, to, payload }: Inspected,
  ): Uint8Array | null {
    let permitted: Permitted;
    try {
      permitted = forGuest(payload ?? NOTHING, rights);
    } catch {
      return null; // who made it is not this node's to judge
    }
    const isOwn = origin === this.#options.id;
    const isTold = isOwn && this.#noteNotSent(id, permitted);
    if (!isOwn) this.#options.counts.forbidden += permitted.dropped;
    const rest = onlyOne(permitted);
    // An empty place keeps the order of what goes to all; who sends to one is told.
    return rest.length > 0 || to === null || isTold ? rest : null;
  }

  /** What a guest says is its own, and what it passes on for others is dropped. */
  #relayFrom(
    id: NodeId,
    rights: Rights,
    packet: Uint8Array,
  ): readonly Uint8Array[] {
    const { counts, journal } = this.#options;
    const read = this.#relaying?.router.inspect(id, packet) ?? null;
    if (read === null || read.origin !== id || read.own === null) {
      counts.forbidden++;
      const why = fault(id, read);
      journal.warnSometimes(`dropped what guest "${id}" passed on: ${why}`);
      return [];
    }
    const { own, to, payload } = read;
    if (payload === null) return [own];
    if (payload[0] === PAYLOAD_MEMBERSHIP) {
      return [withPayload(packet, payload, this.#sift(id, payload))];
    }
    const [rest = NOTHING, ...more] = this.#permit(id, rights, payload, to);
    // What does not fit in one place any more is more than this node would have sent.
    if (more.length > 0) counts.forbidden++;
    return [withPayload(packet, payload, more.length > 0 ? NOTHING : rest)];
  }

  /** Nobody who gets it by others knows that it is a guest's: it tells of itself alone. */
  #sift(id: NodeId, payload: Uint8Array): Uint8Array {
    const told = payload.subarray(1);
    const sifted = this.#relaying?.membership.sift(id, told) ?? null;
    return sifted === null
      ? NOTHING
      : Uint8Array.of(PAYLOAD_MEMBERSHIP, ...sifted);
  }

  // -- Rights --

  /** What a guest may send of a payload. Null: to all. */
  #permit(
    id: NodeId,
    rights: Rights,
    payload: Uint8Array,
    to: NodeId | null,
  ): readonly Uint8Array[] {
    const permitted = fromGuest(payload, rights);
    if (permitted.dropped === 0) return permitted.payloads;
    const { counts, journal } = this.#options;
    counts.forbidden += permitted.dropped;
    const why = `guest "${id}" has no right to ${
      permitted.name === "" ? "that" : `"${permitted.name}"`
    }`;
    journal.warnSometimes(`dropped what came: ${why}`);
    if (to === this.#options.id) this.#answer(id, permitted, why);
    else if (to !== null) this.#answerFor(to, id, permitted, why);
    return permitted.payloads;
  }

  #answer(id: NodeId, permitted: Permitted, why: string): void {
    const { replies, delivering, streams } = this.#options;
    for (const request of permitted.requests) {
      replies.refuse(id, request, "handler", why);
    }
    delivering.forbade(id, permitted.deliveries, why);
    if (permitted.stream !== null) streams.forbid(id, permitted.stream, why);
  }

  /** A guest waits for an answer of a node that was not asked. */
  #answerFor(
    to: NodeId,
    id: NodeId,
    { requests, deliveries, stream }: Permitted,
    why: string,
  ): void {
    if (requests.length + deliveries.length === 0 && stream === null) return;
    const sequences = sequencesOf(deliveries);
    this.#tell(
      id,
      writeRefusal({ to, why, requests, deliveries: sequences, stream }),
    );
  }

  /** Something of this node was not sent to a guest; whether a stream is told so. */
  #noteNotSent(
    id: NodeId,
    { dropped, requests, deliveries, stream }: Omit<Permitted, "payloads">,
  ): boolean {
    const { clock, counts, replies, delivering, streams } = this.#options;
    counts.forbidden += dropped;
    for (const request of requests) replies.forbidden(id, request, NO_RIGHT);
    delivering.refused(id, sequencesOf(deliveries), NO_RIGHT);
    if (stream === null) return false;
    clock.soon(() => streams.forbade(id, stream, "guests have no right to it"));
    return true;
  }

  // -- Messages --

  #hand(link: Link, packet: Uint8Array, lane: Lane, events: number): boolean {
    const frame = Frame.of(this.#message(packet, lane));
    return frame.length <= link.maxMessage && link.send(frame, lane, events);
  }

  #message(packet: Uint8Array, lane: Lane): Uint8Array {
    const { protocol } = this.#options;
    const message = new Uint8Array(protocol.headerSize + packet.length);
    protocol.writeHeader(lane, message);
    message.set(packet, protocol.headerSize);
    return message;
  }
}

/** The only payload that is left; empty: none, or more than one. */
function onlyOne({ payloads }: Permitted): Uint8Array {
  const [only = NOTHING, ...more] = payloads;
  return more.length > 0 ? NOTHING : only;
}

/** A packet with another payload at its end. */
function withPayload(
  packet: Uint8Array,
  payload: Uint8Array,
  rest: Uint8Array,
): Uint8Array {
  if (rest === payload) return packet;
  const head = packet.length - payload.length;
  const whole = new Uint8Array(head + rest.length);
  whole.set(packet.subarray(0, head));
  whole.set(rest, head);
  return whole;
}

function sequencesOf(ids: readonly DeliveryId[]): readonly number[] {
  return ids.map(({ sequence }) => sequence);
}

function fault(id: NodeId, read: Inspected | null): string {
  if (read === null) return "it cannot be read";
  return read.origin === id
    ? "it tells of others"
    : `it is from node "${read.origin}"`;
}
