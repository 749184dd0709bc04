import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import { type Bundle, BundleWriter, ENTRY_OVERHEAD } from "./bundle.ts";

/** Where a bundle goes. Compared by identity, so there is one object per destination. */
export interface Target {
  /** The nodes, or all others; none: only this node. */
  readonly to: readonly NodeId[] | "all";
  /** Whether this node handles it, too. */
  readonly self: boolean;
}

/** Every other node. */
export const OTHERS: Target = { to: "all", self: false };
/** Every node. */
export const EVERYONE: Target = { to: "all", self: true };
/** This node alone. */
export const MYSELF: Target = { to: [], self: true };

// Names beyond this many are encoded each time they are used.
const NAMES = 4_096;
// What routers may put in front of a payload.
const ROUTER_OVERHEAD = 1_024;

const encoder = new TextEncoder();

/** What the outbound side is made with. */
export interface OutboundOptions {
  readonly codec: Codec;
  readonly headroom: number;
  readonly maxMessage: number;
  readonly clock: Clock;
  /** Takes a finished bundle; must not throw. */
  ship(bundle: Bundle, target: Target): void;
}

/**
 * Packs events into bundles and decides when a bundle leaves: when it is full,
 * when an event goes elsewhere (which keeps the order), and otherwise
 *
 * - in the same turn of the event loop, when nothing has left in this turn: an idle
 *   node adds no latency;
 * - once per turn, when something has: a busy node fills its bundles.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #writer: BundleWriter;
  readonly #names = new Map<string, Uint8Array>();
  readonly #maxData: number;
  #target: Target = OTHERS;
  #lastName: string | null = null;
  #lastBytes: Uint8Array = new Uint8Array(0);
  #busy = false;
  /** Whether the codec is at work: it calls the value's own code, which must not add. */
  #encoding = false;
  #closed = false;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#writer = new BundleWriter(options.codec, options.headroom);
    this.#maxData = options.maxMessage - options.headroom - ROUTER_OVERHEAD -
      ENTRY_OVERHEAD;
  }

  /**
   * Adds an entry for a target.
   *
   * @throws {TypeError} If the value cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  add(
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
  ): void {
    if (this.#encoding) throw reentered();
    this.#turnTo(target);
    this.#encoding = true;
    try {
      if (!this.#writer.add(type, name, id, value)) {
        this.#addToNext(target, type, name, id, value);
      }
    } finally {
      this.#encoding = false;
    }
    this.#schedule();
  }

  /** As {@linkcode Outbound.add}, for data that is bytes as they are. */
  addBytes(target: Target, type: number, id: number, bytes: Uint8Array): void {
    this.#turnTo(target);
    if (!this.#writer.addBytes(type, null, id, bytes)) {
      this.flush();
      this.#writer.addBytes(type, null, id, bytes);
    }
    this.#schedule();
  }

  /**
   * The bytes of an event's name, the same object each time.
   *
   * @throws {TypeError} If it is not a name.
   */
  name(name: string): Uint8Array {
    if (name === this.#lastName) return this.#lastBytes;
    const known = this.#names.get(name);
    if (!known) return this.#encodeName(name);
    this.#lastName = name;
    this.#lastBytes = known;
    return known;
  }

  #encodeName(name: string): Uint8Array {
    if (typeof name !== "string" || name.length === 0 || !name.isWellFormed()) {
      throw new TypeError(
        `Cannot use ${JSON.stringify(name)} as the name of an event`,
      );
    }
    const bytes = encoder.encode(name);
    if (bytes.length > 255) {
      throw new TypeError(
        `Cannot use "${
          name.slice(0, 40)
        }…" as the name of an event: it takes more than 255 bytes`,
      );
    }
    if (this.#names.size < NAMES) this.#names.set(name, bytes);
    return bytes;
  }

  /** Lets the open bundle go. */
  flush(): void {
    if (this.#writer.count === 0) return;
    this.#options.ship(this.#writer.take(), this.#target);
  }

  /** Lets the open bundle go, and takes no more. */
  close(): void {
    this.flush();
    this.#closed = true;
  }

  #turnTo(target: Target): void {
    if (target === this.#target) return;
    this.flush();
    this.#target = target;
  }

  #addToNext(
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
  ): void {
    if (this.#writer.count > 0) {
      this.flush();
      if (this.#writer.add(type, name, id, value)) return;
    }
    const bytes = this.#options.codec.encode(value);
    if (bytes.length > this.#maxData) {
      throw new RangeError(
        `its data takes ${bytes.length} bytes, and at most ${this.#maxData} fit in a message`,
      );
    }
    this.#options.ship(this.#writer.single(type, name, id, bytes), target);
  }

  #schedule(): void {
    if (this.#busy || this.#closed) return;
    this.#busy = true;
    queueMicrotask(() => this.flush());
    this.#options.clock.soon(() => this.#turn());
  }

  #turn(): void {
    if (this.#writer.count === 0 || this.#closed) {
      this.#busy = false;
      return;
    }
    this.flush();
    this.#options.clock.soon(() => this.#turn());
  }
}

function reentered(): TypeError {
  return new TypeError("its data sends events while it is encoded");
}
