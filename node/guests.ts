import type { Protocol, Rights } from "@devts/protocol";
import type { Clock, Lane, NodeId } from "@devts/routing";
import type { Delivering } from "./delivering.ts";
import { Frame } from "./frame.ts";
import type { Journal } from "./journal.ts";
import type { Link } from "./link.ts";
import type { Replies } from "./replies.ts";
import { forGuest, fromGuest } from "./rights.ts";
import type { Streams } from "./streams.ts";

/** What guests are checked with. */
export interface GuestsOptions {
  readonly clock: Clock;
  readonly protocol: Protocol;
  readonly journal: Journal;
  readonly counts: { forbidden: number };
  readonly replies: Replies;
  readonly delivering: Delivering;
  readonly streams: Streams;
}

/** Guests of this node: what they send and are sent is within their rights. */
export class Guests {
  readonly #options: GuestsOptions;

  constructor(options: GuestsOptions) {
    this.#options = options;
  }

  /** A guest is sent what it may handle, and no more. False: nothing was sent. */
  send(link: Link, rights: Rights, packet: Uint8Array, lane: Lane): boolean {
    const { counts, delivering } = this.#options;
    const { id } = link.peer;
    const { payloads, stream, ...permitted } = forGuest(packet, rights);
    counts.forbidden += permitted.dropped;
    const why = "it is a guest without a right to it";
    delivering.refused(id, permitted.deliveries, why);
    if (stream !== null) this.#forbid(id, stream);
    let taken = payloads.length > 0 || stream !== null;
    for (const payload of payloads) {
      const frame = Frame.of(this.#message(payload, lane));
      if (frame.length > link.maxMessage || !link.send(frame, lane, 1)) {
        taken = false;
      }
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
    const { protocol, counts, journal, replies, delivering, streams } =
      this.#options;
    const payload = message.slice(protocol.headerSize);
    const permitted = fromGuest(payload, rights);
    if (permitted.dropped > 0) {
      counts.forbidden += permitted.dropped;
      const why = `guest "${id}" has no right to ${
        permitted.name === "" ? "that" : `"${permitted.name}"`
      }`;
      journal.warnSometimes(`dropped what came: ${why}`);
      for (const request of permitted.requests) {
        replies.refuse(id, request, "handler", why);
      }
      delivering.forbade(id, permitted.deliveries, why);
      if (permitted.stream !== null) streams.forbid(id, permitted.stream, why);
    }
    return permitted.payloads.map((rest) => this.#message(rest, lane));
  }

  #forbid(id: NodeId, stream: number): void {
    const { clock, streams } = this.#options;
    clock.soon(() => streams.forbade(id, stream, "guests have no right to it"));
  }

  #message(payload: Uint8Array, lane: Lane): Uint8Array {
    const { protocol } = this.#options;
    const message = new Uint8Array(protocol.headerSize + payload.length);
    protocol.writeHeader(lane, message);
    message.set(payload, protocol.headerSize);
    return message;
  }
}
