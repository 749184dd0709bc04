import { type Packet, Unconfirmed } from "./_nats_unconfirmed.ts";
import type { Clock, NodeId } from "./types.ts";

const MIB = 1_048_576;
/** What a server takes unless it says otherwise, in bytes. */
const MAX_PAYLOAD = MIB;
/** How long what waits is held back at most for others to reconnect as well, in ms. */
const HOLD = 1_000;

/** What is needed of a connection to a server. */
export interface Carrier {
  readonly info?: { readonly "max_payload": number };
  publish(subject: string, bytes: Uint8Array): void;
  /** Resolves once the server has taken all that was published before. */
  flush(): Promise<void>;
}

/** What an outbox is made with. */
export interface OutboxOptions {
  readonly clock: Clock;
  /** How many bytes wait at most until the server has taken them. */
  readonly maxPending: number;
  readonly counters: { dropped: number; oversized: number; failed: number };
  /** Data flows again: what was held back has just left. */
  resumed(): void;
}

/**
 * What leaves over a connection that comes and goes. Data is kept until the server has
 * taken it; while there is no connection, and on a new one until it is resumed, it waits.
 * The control lane is for what is of no use later.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #unconfirmed = new Unconfirmed();
  #carrier: Carrier | null = null;
  #heldSince = -1;
  #cancelHold: () => void = nothing;
  #maxPayload = MAX_PAYLOAD;
  #isConfirming = false;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#carrier !== null;
  }

  /** Since when data is held back on a new connection; -1: it is not. */
  get heldSince(): number {
    return this.#heldSince;
  }

  /** Whether data leaves as it comes. */
  get flows(): boolean {
    return this.#carrier !== null && this.#heldSince < 0;
  }

  /** The longest packet that the server takes, in bytes. */
  get maxPayload(): number {
    return this.#maxPayload;
  }

  /** Resolves once less waits; null: little does, or there is no connection. */
  get room(): Promise<void> | null {
    if (!this.isConnected || this.#unconfirmed.bytes <= MIB) return null;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** How much is not confirmed, for a person. */
  get pending(): string {
    const { packets, bytes } = this.#unconfirmed;
    return `${packets.length} packets of ${bytes} bytes are not confirmed`;
  }

  /** There is a connection, the first one. */
  connected(carrier: Carrier): void {
    this.#maxPayload = carrier.info?.max_payload ?? this.#maxPayload;
    this.#carrier = carrier;
  }

  /**
   * There is one again. Others may still be on their way back: what is sent too early,
   * they miss. So it is held back until `resume`, or for 1 s.
   */
  reconnected(carrier: Carrier): void {
    this.connected(carrier);
    this.#unconfirmed.dropControl();
    const { clock } = this.#options;
    this.#heldSince = clock.now();
    this.#cancelHold = clock.after(HOLD, () => this.resume());
  }

  disconnected(): void {
    this.#carrier = null;
    this.#cancelHold();
    this.#heldSince = -1;
    this.#giveRoom();
  }

  /** What the server has not confirmed may have come, and goes again all the same. */
  resume(): void {
    this.#cancelHold();
    this.#heldSince = -1;
    for (const { subject, bytes, number } of this.#unconfirmed.packets) {
      if (number > 0) this.publish(subject, bytes);
    }
    this.#options.resumed();
    this.#confirm();
  }

  /** Hands a packet to the connection, and forgets it; whether that took it. */
  publish(subject: string, bytes: Uint8Array): boolean {
    try {
      this.#carrier?.publish(subject, bytes);
      return true;
    } catch {
      this.#options.counters.failed++;
      return false;
    }
  }

  /** Sends what has a number, now or later. False: there is no room. */
  data(packet: Packet): boolean {
    const { maxPending } = this.#options;
    if (!this.#fits(packet.bytes, maxPending)) return false;
    this.#unconfirmed.add(packet);
    if (this.flows) this.publish(packet.subject, packet.bytes);
    this.#confirm();
    return true;
  }

  /** Sends what is of no use later. False: there is no connection, or no room. */
  control(subject: string, bytes: Uint8Array): boolean {
    if (!this.isConnected || this.isOversized(bytes)) return false;
    const { maxPending } = this.#options;
    if (!this.#fits(bytes, maxPending + MIB)) return false;
    if (!this.publish(subject, bytes)) return false;
    this.#unconfirmed.add({ subject, bytes, to: null, number: 0 });
    this.#confirm();
    return true;
  }

  /** Whether a packet is longer than the server takes, which is then counted. */
  isOversized(bytes: Uint8Array): boolean {
    if (bytes.length <= this.#maxPayload) return false;
    this.#options.counters.oversized++;
    return true;
  }

  /** The last number of a series that has left; the others are held back. */
  left(to: NodeId | null, last: number): number {
    if (this.flows) return last;
    const first = this.#unconfirmed.packets
      .find((packet) => packet.number > 0 && packet.to === to);
    return first === undefined ? last : first.number - 1;
  }

  /** Takes out what is for one node. */
  take(id: NodeId): readonly Packet[] {
    return this.#unconfirmed.take(id);
  }

  #fits(bytes: Uint8Array, most: number): boolean {
    if (this.#unconfirmed.bytes + bytes.length <= most) return true;
    this.#options.counters.dropped++;
    return false;
  }

  /** Asks the server, one question at a time, what it has taken. */
  #confirm(): void {
    const carrier = this.#carrier;
    if (this.#isConfirming || !this.flows || carrier === null) return;
    const { last } = this.#unconfirmed;
    if (last === 0) return;
    this.#isConfirming = true;
    carrier.flush().then(() => {
      this.#isConfirming = false;
      this.#unconfirmed.confirm(last);
      if (this.#unconfirmed.bytes <= MIB / 2) this.#giveRoom();
      this.#confirm();
    }, () => {
      this.#isConfirming = false;
      // The connection broke; a new one may be there already.
      this.#options.clock.soon(() => this.#confirm());
    });
  }

  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = null;
  }
}

function nothing(): void {}
