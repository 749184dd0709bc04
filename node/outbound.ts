import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import { SlabPool } from "./slab.ts";
import {
  type Bundle,
  BUNDLE_SIZE,
  BundleWriter,
  type BundleWriterOptions,
  ENTRY_OVERHEAD,
} from "./bundle.ts";

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
const ROUTER_OVERHEAD = 4_096;
// Nodes with a bundle of their own while one for all is open: each event for all is
// copied into each of those.
const FORKS = 4;
// Nodes with a bundle of their own.
const PARTS = 64;
// Of these, what an idle node keeps: requests and replies come and go.
const KEPT_PARTS = 2;
const PART_SLABS = { firstSlab: 4_096, largestSlab: 262_144 };
// What leaves in one turn of the event loop before senders who wait let it go on: an
// event costs as much as so many bytes of a long one.
const TURN = 1_048_576;
const EVENT_COST = 512;

const encoder = new TextEncoder();

/** The open bundle of one node. */
interface Part {
  readonly target: Target;
  readonly writer: BundleWriter;
}

/** What the outbound side is made with. */
export interface OutboundOptions {
  readonly codec: Codec;
  readonly headroom: number;
  readonly maxMessage: number;
  readonly clock: Clock;
  /**
   * The other nodes, where sending to some of them costs what sending to all does:
   * then events for one and events for all may take turns without closing each
   * other's bundles. Null: it does not.
   */
  nodes(): ReadonlySet<NodeId> | null;
  /** Takes a finished bundle; must not throw. */
  ship(bundle: Bundle, target: Target): void;
}

/**
 * Packs events into bundles and decides when a bundle leaves: when it is full,
 * and otherwise
 *
 * - in the same turn of the event loop, when nothing has left in this turn: an idle
 *   node adds no latency;
 * - once per turn, when something has: a busy node fills its bundles.
 *
 * Several bundles are open at a time: one for all others (or what was sent to last
 * beside single nodes), and one for each node that events were addressed to. Where
 * both are open, the bundle of a node holds what is in the one for all, too, which
 * then goes to the rest: so the order of events at each node is that of the calls.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #pool = new SlabPool();
  readonly #shared: BundleWriter;
  readonly #parts = new Map<NodeId, Part>();
  readonly #spare: BundleWriter[] = [];
  readonly #names = new Map<string, Uint8Array>();
  /** The longest bundle, in bytes. */
  readonly #longest: number;
  /** What the shared bundle goes to. */
  #target: Target = OTHERS;
  #lastName: string | null = null;
  #lastBytes: Uint8Array = new Uint8Array(0);
  #busy = false;
  readonly #flush = (): void => this.flush();
  readonly #nextTurn = (): void => this.#turn();
  /** Whether the codec is at work: it calls the value's own code, which must not add. */
  #encoding = false;
  #closed = false;
  /** What has left in this turn, in bytes of a long event. */
  #left = 0;
  #pause: PromiseWithResolvers<void> | null = null;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#longest = options.maxMessage - options.headroom - ROUTER_OVERHEAD;
    this.#shared = this.#newWriter({});
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
    const writer = this.#writerFor(target);
    this.#encoding = true;
    let added;
    try {
      added = writer.add(type, name, id, value) ||
        this.#addToNext(writer, target, type, name, id, value);
    } finally {
      this.#encoding = false;
    }
    if (added && writer === this.#shared && this.#parts.size > 0) {
      this.#copyToParts(type, name, id);
    }
    if (!this.#busy) this.#schedule();
  }

  /** As {@linkcode Outbound.add} to one node, for data that is bytes as they are. */
  addBytes(target: Target, type: number, id: number, bytes: Uint8Array): void {
    this.#append(this.#writerFor(target), target, type, null, id, bytes);
    if (!this.#busy) this.#schedule();
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

  /**
   * A promise of the next turn of the event loop, once much has left in this one: a
   * loop of calls that are awaited must not hold up everything else.
   */
  get pause(): Promise<void> | null {
    if (this.#left < TURN) return null;
    this.#pause ??= Promise.withResolvers<void>();
    return this.#pause.promise;
  }

  /** Lets the open bundles go. */
  flush(): void {
    if (this.#shared.count > 0) this.#shipShared();
    if (this.#parts.size > 0) this.#shipParts();
  }

  /** Lets the open bundles go, and takes no more. */
  close(): void {
    this.flush();
    this.#closed = true;
  }

  /** The bundle that an event for a target belongs into; lets go what must leave before. */
  #writerFor(target: Target): BundleWriter {
    if (target === this.#target && this.#parts.size === 0) return this.#shared;
    const node = nodeOf(target);
    if (node !== null) {
      return this.#parts.get(node)?.writer ?? this.#part(node, target);
    }
    if (target !== this.#target) {
      this.flush();
      this.#target = target;
    } else if (!this.#canFork(FORKS)) this.flush();
    return this.#shared;
  }

  /** Begins the bundle of a node. */
  #part(node: NodeId, target: Target): BundleWriter {
    const { count, length } = this.#shared;
    const copies = this.#canFork(FORKS - 1) && length <= BUNDLE_SIZE;
    if (this.#parts.size >= PARTS || count > 0 && !copies) this.flush();
    const writer = this.#spare.pop() ?? this.#newWriter(PART_SLABS);
    if (this.#shared.count > 0) writer.copy(this.#shared);
    this.#parts.set(node, { target, writer });
    return writer;
  }

  #newWriter(slabs: BundleWriterOptions): BundleWriter {
    const { codec, headroom } = this.#options;
    return new BundleWriter(codec, headroom, {
      ...slabs,
      pool: this.#pool,
      longest: this.#longest,
    });
  }

  /** Whether the bundle for all may stand beside bundles of at most so many nodes. */
  #canFork(most: number): boolean {
    return this.#options.nodes() !== null && this.#target === OTHERS &&
      this.#parts.size <= most;
  }

  /** True: it was added to `writer`; false: it has left in a bundle of its own. */
  #addToNext(
    writer: BundleWriter,
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
  ): boolean {
    if (writer.count > 0) {
      this.#ship(writer, target);
      if (writer.add(type, name, id, value)) return true;
    }
    const bytes = this.#options.codec.encode(value);
    const most = this.#longest - ENTRY_OVERHEAD;
    if (bytes.length > most) {
      throw new RangeError(
        `its data takes ${bytes.length} bytes, and at most ${most} fit in a message: open a stream for more`,
      );
    }
    this.flush();
    this.#send(writer.single(type, name, id, bytes), target);
    return false;
  }

  #append(
    writer: BundleWriter,
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array | null,
  ): void {
    if (writer.addBytes(type, name, id, bytes)) return;
    this.#ship(writer, target);
    if (writer.addBytes(type, name, id, bytes) || bytes === null) return;
    this.#send(writer.single(type, name, id, bytes), target);
  }

  /** Nodes with a bundle of their own get an event for all in that. */
  #copyToParts(type: number, name: Uint8Array | null, id: number): void {
    const data = this.#shared.lastData;
    for (const { target, writer } of this.#parts.values()) {
      this.#append(writer, target, type, name, id, data);
    }
  }

  #ship(writer: BundleWriter, target: Target): void {
    if (writer === this.#shared) this.#shipShared();
    else if (writer.count > 0) this.#send(writer.take(), target);
  }

  #send(bundle: Bundle, target: Target): void {
    this.#left += bundle.payload.length + EVENT_COST * bundle.count;
    this.#options.ship(bundle, target);
  }

  /** The shared bundle goes to whom it is for, without those who have all of it already. */
  #shipShared(): void {
    const bundle = this.#shared.take();
    this.#send(
      bundle,
      this.#parts.size === 0 ? this.#target : this.#rest(),
    );
  }

  #rest(): Target {
    const nodes = this.#options.nodes() ?? [];
    return {
      to: [...nodes].filter((id) => !this.#parts.has(id)),
      self: false,
    };
  }

  #shipParts(): void {
    for (const { target, writer } of this.#parts.values()) {
      this.#ship(writer, target);
      this.#spare.push(writer);
    }
    this.#parts.clear();
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#busy = true;
    queueMicrotask(this.#flush);
    this.#options.clock.soon(this.#nextTurn);
  }

  #turn(): void {
    this.#left = 0;
    this.#pause?.resolve();
    this.#pause = null;
    if (this.#closed) return;
    if (this.#shared.count > 0 || this.#parts.size > 0) {
      this.flush();
      return this.#options.clock.soon(this.#nextTurn);
    }
    this.#busy = false;
    this.#shared.rest();
    this.#spare.length = Math.min(this.#spare.length, KEPT_PARTS);
    for (const writer of this.#spare) writer.rest();
    this.#pool.clear();
  }
}

/** The one other node that it is; null: it is something else. */
function nodeOf({ to, self }: Target): NodeId | null {
  return to === "all" || to.length !== 1 || self ? null : to[0] ?? null;
}

function reentered(): TypeError {
  return new TypeError("its data sends events while it is encoded");
}
