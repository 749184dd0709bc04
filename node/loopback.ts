import type { Clock } from "@devts/routing";
import type { Bundle } from "./bundle.ts";
import type { QueueLimits } from "./link.ts";

/**
 * Events of a node to itself: handled in a later turn of the event loop, in order,
 * and bounded like a link.
 */
export class Loopback {
  readonly #clock: Clock;
  readonly #limits: QueueLimits;
  readonly #deliver: (payload: Uint8Array) => void;
  #queued = 0;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(
    clock: Clock,
    limits: QueueLimits,
    deliver: (payload: Uint8Array) => void,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#deliver = deliver;
  }

  /** Whether events are being dropped. */
  get dropping(): boolean {
    return this.#queued >= this.#limits.outbox;
  }

  /** A promise while senders should wait. */
  get room(): Promise<void> | null {
    if (this.#queued < this.#limits.highWaterMark) return null;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /**
   * Queues a copy of a bundle: handlers may write to what they get, links send from
   * where it stands. False: it was dropped.
   */
  take(bundle: Bundle): boolean {
    if (this.dropping) return false;
    const payload = bundle.payload.slice();
    this.#queued += payload.length;
    this.#clock.soon(() => {
      this.#queued -= payload.length;
      this.#deliver(payload);
      this.#giveRoom();
    });
    return true;
  }

  #giveRoom(): void {
    if (this.#queued >= this.#limits.highWaterMark) return;
    this.#room?.resolve();
    this.#room = null;
  }
}
