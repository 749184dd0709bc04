import type { Connection } from "@devts/transport";
import type { Protocol } from "@devts/protocol";
import type { Clock, Lane, Peer } from "@devts/routing";
import { Fifo } from "./_fifo.ts";
import { reasonOf } from "./errors.ts";

/** A link that makes no progress for this long, in ms, is slow: events for it are dropped. */
const SLOW_AFTER = 1_000;
/** A link that makes no progress for this long, in ms, is closed. */
const CLOSE_AFTER = 10_000;
// Closing politely may take this long, in ms; a node has 5 s for all of it.
const FAREWELL_TIMEOUT = 2_000;
// Acknowledgements and probes are small: a peer that lets this much of them pile
// up takes nothing.
const CONTROL_LIMIT = 1_048_576;

/** Bounds of a link, in bytes. */
export interface LinkLimits {
  /** Above this, the link is congested. */
  readonly highWaterMark: number;
  /** Above this, events are dropped. */
  readonly outbox: number;
}

/** What a link tells the program that owns it. */
export interface LinkOwner {
  /**
   * A message arrived. A promise pauses reading until it settles.
   *
   * @throws Whatever is wrong with the message: it ends the link.
   */
  received(link: Link, message: Uint8Array): Promise<void> | undefined;
  /** Whether senders should wait for the link has changed. */
  congestion(link: Link): void;
  /** It stopped to take what is sent, or takes it again. */
  slow(link: Link, slow: boolean): void;
  /** A message was too long for the transport, and is lost. */
  oversized(link: Link, error: RangeError): void;
  /** It is over; `error` is what broke it, null where one of the two wanted it. */
  ended(link: Link, reason: string, error: unknown): void;
}

/**
 * One authenticated connection to one peer.
 *
 * - Two lanes: everything in the control lane leaves before anything in the data lane.
 * - Above the high-water mark it is congested, and senders who wait, wait for it as
 *   long as it makes progress. Above the outbox limit, or after a second without
 *   progress, new events for it are dropped and counted; once it has room again, a
 *   `gap` stands where they are missing. After ten seconds without progress it ends.
 */
export class Link {
  /** The node at the other end. */
  readonly peer: Peer;
  /** The longest message that it accepts. */
  readonly maxMessage: number;
  /** When it came up, on the node's clock. */
  readonly since: number;
  /** What carries it. */
  readonly connection: Connection;
  readonly #owner: LinkOwner;
  readonly #protocol: Protocol;
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  readonly #control = new Fifo<Uint8Array>();
  readonly #data = new Fifo<Uint8Array>();
  readonly #done = Promise.withResolvers<void>();
  #controlBytes = 0;
  #dataBytes = 0;
  #pumping = false;
  #progressAt = 0;
  #congested = false;
  #slow = false;
  #dropping = false;
  #dropped = 0;
  #ended = false;
  #closing = false;
  #farewell: string | null = null;
  #room: PromiseWithResolvers<void> | null = null;
  #cancelWatch: (() => void) | null = null;

  constructor(
    owner: LinkOwner,
    options: {
      readonly peer: Peer;
      readonly connection: Connection;
      readonly maxMessage: number;
      readonly protocol: Protocol;
      readonly clock: Clock;
      readonly limits: LinkLimits;
    },
  ) {
    this.peer = options.peer;
    this.connection = options.connection;
    this.maxMessage = options.maxMessage;
    this.since = options.clock.now();
    this.#owner = owner;
    this.#protocol = options.protocol;
    this.#clock = options.clock;
    this.#limits = options.limits;
  }

  /** Resolves once it is over. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Whether a sender who can wait should: it is behind, but makes progress. */
  get congested(): boolean {
    return this.#congested && !this.#dropping;
  }

  /** Whether events for it are being dropped. */
  get dropping(): boolean {
    return this.#dropping;
  }

  /** Whether it takes anything. */
  get open(): boolean {
    return !this.#ended && !this.#closing;
  }

  /** Bytes queued and not yet taken by the connection. */
  get queued(): number {
    return this.#controlBytes + this.#dataBytes;
  }

  /** Starts to read. Separate from the constructor, so that the owner knows the link first. */
  start(): void {
    this.#read();
  }

  /**
   * Queues a frame. False: it was dropped, with the `events` in it.
   */
  send(message: Uint8Array, lane: Lane, events: number): boolean {
    if (!this.open) return false;
    if (lane === "control") return this.#sendControl(message);
    if (this.#dropping || this.#isOver(message.length)) {
      this.#dropping = true;
      this.#dropped += events;
      this.#changed();
      return false;
    }
    this.#queueData(message);
    this.#pump();
    return true;
  }

  /** Resolves once senders need not wait for it any more. */
  room(): Promise<void> {
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** The peer said why it is about to close. */
  farewell(reason: string): void {
    this.#farewell = reason;
  }

  /** Says goodbye after what is queued, then ends. Resolves once it is over. */
  close(reason: string): Promise<void> {
    if (this.#ended || this.#closing) return this.done;
    this.#closing = true;
    if (this.#dropped > 0) this.#queueData(this.#protocol.gap(this.#dropped));
    this.#dropped = 0;
    this.#queueData(this.#protocol.goodbye(reason));
    const cancel = this.#clock.after(
      FAREWELL_TIMEOUT,
      () =>
        this.end(
          `${reason}; the other end took too long to take what was left`,
        ),
    );
    this.done.then(cancel);
    this.#pump();
    return this.done;
  }

  /** Ends at once; what is queued is lost. */
  end(reason: string, error: unknown = null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelWatch?.();
    this.#control.clear();
    this.#data.clear();
    this.#controlBytes = 0;
    this.#dataBytes = 0;
    this.#congested = false;
    this.#changed();
    // Never rejects, by the contract of a connection; not ours to trust.
    this.connection.close(error instanceof Error ? error : new Error(reason))
      .catch(() => {});
    this.#done.resolve();
    this.#owner.ended(this, reason, error);
  }

  /** A single message is taken, however long: something must be in flight to make room. */
  #isOver(length: number): boolean {
    return this.#dataBytes > 0 &&
      this.#dataBytes + length > this.#limits.outbox;
  }

  #sendControl(message: Uint8Array): boolean {
    if (this.#controlBytes + message.length > CONTROL_LIMIT) return false;
    this.#control.push(message);
    this.#controlBytes += message.length;
    this.#pump();
    return true;
  }

  #queueData(message: Uint8Array): void {
    this.#data.push(message);
    this.#dataBytes += message.length;
    if (!this.#congested && this.#dataBytes >= this.#limits.highWaterMark) {
      this.#congested = true;
      this.#changed();
    }
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#progressAt = this.#clock.now();
    try {
      for (let next = this.#take(); next !== null; next = this.#take()) {
        const { message, control } = next;
        await this.#hand(message);
        if (this.#ended) return;
        this.#sent(message.length, control);
      }
      if (this.#closing) await this.#finish();
    } catch (error) {
      this.end(reasonOf(error), error);
    } finally {
      this.#pumping = false;
    }
  }

  /** A message too long for the transport is lost; the connection stays usable. */
  async #hand(message: Uint8Array): Promise<void> {
    try {
      await this.connection.send(message);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#owner.oversized(this, error);
    }
  }

  #take(): { readonly message: Uint8Array; readonly control: boolean } | null {
    const control = this.#control.shift();
    if (control) return { message: control, control: true };
    const message = this.#data.shift();
    return message ? { message, control: false } : null;
  }

  async #finish(): Promise<void> {
    await this.connection.close();
    this.end("this node closed the link");
  }

  #sent(bytes: number, control: boolean): void {
    this.#progressAt = this.#clock.now();
    if (control) this.#controlBytes -= bytes;
    else this.#dataBytes -= bytes;
    if (this.#slow) {
      this.#slow = false;
      this.#owner.slow(this, false);
    }
    if (this.#dataBytes >= this.#limits.highWaterMark) return;
    if (this.#dropping) this.#resume();
    if (!this.#congested) return;
    this.#congested = false;
    this.#changed();
  }

  /** There is room again: tells the peer what it missed, at the place where it is missing. */
  #resume(): void {
    this.#dropping = false;
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0 && !this.#closing) {
      this.#queueData(this.#protocol.gap(dropped));
    }
    this.#changed();
  }

  #changed(): void {
    if (!this.congested && this.#room) {
      this.#room.resolve();
      this.#room = null;
    }
    if (!this.#ended && (this.#congested || this.#dropping)) this.#watch();
    this.#owner.congestion(this);
  }

  #watch(): void {
    if (this.#cancelWatch || this.#ended) return;
    const idle = this.#clock.now() - this.#progressAt;
    const due = idle < SLOW_AFTER ? SLOW_AFTER : CLOSE_AFTER;
    this.#cancelWatch = this.#clock.after(Math.max(1, due - idle), () => {
      this.#cancelWatch = null;
      this.#judge();
    });
  }

  #judge(): void {
    if (!this.#congested && !this.#dropping) return;
    const idle = this.#clock.now() - this.#progressAt;
    if (idle >= CLOSE_AFTER) {
      const reason = `it took nothing for ${CLOSE_AFTER / 1000} s`;
      return this.end(reason, new Error(reason));
    }
    if (idle >= SLOW_AFTER && !this.#slow) {
      this.#slow = true;
      this.#dropping = true;
      this.#owner.slow(this, true);
    }
    this.#changed();
  }

  async #read(): Promise<void> {
    try {
      while (!this.#ended) {
        const message = await this.connection.receive();
        if (message === null) {
          // What is queued still leaves, then the link ends.
          if (this.#closing) return;
          return this.end(
            this.#farewell ?? "the other end closed the connection",
          );
        }
        if (this.#ended) return;
        const pause = this.#owner.received(this, message);
        if (pause) await pause;
      }
    } catch (error) {
      this.end(this.#farewell ?? reasonOf(error), error);
    }
  }
}
