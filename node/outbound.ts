import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import { Fifo } from "./_fifo.ts";
import { SlabPool } from "./slab.ts";
import {
  type Bundle,
  BUNDLE_SIZE,
  BundleWriter,
  type BundleWriterOptions,
  ENTRY_OVERHEAD,
  EVENT,
} from "./bundle.ts";
import { Readers } from "./readers.ts";
import type { Asked } from "./requests.ts";

/** Where a bundle goes. Compared by identity, so there is one object per destination. */
export interface Target {
  /** The nodes, or all others; none: only this node. */
  readonly to: readonly NodeId[] | "all";
  /** Instead of nodes: one member of a group, whom the network chooses; `to` names it. */
  readonly queue?: { readonly group: string; readonly name: string };
  /** Of one node: the requests that wait for it. */
  readonly asked?: Asked;
}

/** Every other node. */
export const OTHERS: Target = { to: "all" };
/** This node alone. */
export const MYSELF: Target = { to: [] };

const NOTHING = new Uint8Array(0);

// What routers may put in front of a payload.
const ROUTER_OVERHEAD = 4_096;
// Nodes with a bundle of their own while one for several is open, whose events are copied
// into each of those; and nodes that an event for some is copied to, one by one.
const FORKS = 4;
// What a bundle for several brings to a node that is for others, on average, in bytes:
// taking it costs about as much as another message would.
const FOREIGN = 8_192;
// Nodes with a bundle of their own.
const PARTS = 64;
// Of these, what an idle node keeps: requests and replies come and go.
const KEPT_PARTS = 2;
const PART_SLABS = { firstSlab: 4_096, largestSlab: 262_144 };
// How long nothing leaves before memory for load is let go of, in ms: whoever waits for a
// link that is behind goes on in between.
const REST_AFTER = 1_000;
// What leaves in one turn of the event loop before senders who wait let it go on: an
// event costs as much as so many bytes of a long one.
const TURN = 1_048_576;
const EVENT_COST = 512;

/** The open bundle of one node. */
interface Part {
  readonly target: Target;
  readonly writer: BundleWriter;
}

/** A bundle that is to leave. */
interface Leaving {
  readonly bundle: Bundle;
  readonly target: Target;
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
  /** A turn of the event loop has begun in which events may leave. */
  turned?(): void;
  /**
   * Takes a finished bundle; must not throw. What it adds meanwhile, as the program may
   * that is told of a loss, leaves afterwards.
   */
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
 * Several bundles are open at a time, so that events for different nodes do not close
 * each other's:
 *
 * - one for each node that events alone are for, and for each of a few that an event is
 *   for; one for this node itself;
 * - one shared by all events that are for many. It goes to every node that one of them
 *   is for, and each skips what it does not handle. What is meant for one node alone
 *   is never in it.
 *
 * The bundle of a node holds what is for it in the shared one, too, which then goes to
 * the rest: so the order of events at each node is that of the calls.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #pool = new SlabPool();
  readonly #shared: BundleWriter;
  readonly #parts = new Map<NodeId, Part>();
  readonly #spare: BundleWriter[] = [];
  /** What is open for this node itself. */
  readonly #own: BundleWriter;
  /** The longest bundle, in bytes. */
  readonly #longest: number;
  /** Whom the shared bundle is for. */
  readonly #readers = new Readers();
  #busy = false;
  readonly #flush = (): void => this.flush();
  readonly #nextTurn = (): void => this.#turn();
  /** Cancels the look whether the load is over. */
  #cancelRest: (() => void) | null = null;
  /** Whether something has left since that was planned. */
  #used = false;
  /** Whether the codec is at work: it calls the value's own code, which must not add. */
  #encoding = false;
  #closed = false;
  /** Finished bundles, in order. They are shipped once all else is as it is to be. */
  readonly #leaving = new Fifo<Leaving>();
  /** Whether there are any: every event looks. */
  #isDue = false;
  /** Whether one of them is being shipped. */
  #isShipping = false;
  /** What has left in this turn, in bytes of a long event. */
  #left = 0;
  #pause: PromiseWithResolvers<void> | null = null;

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#longest = options.maxMessage - options.headroom - ROUTER_OVERHEAD;
    this.#shared = this.#newWriter({});
    this.#own = this.#newWriter(PART_SLABS);
  }

  /**
   * Adds an entry for one node alone, or for this one.
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
    extras: Uint8Array | null = null,
  ): void {
    if (this.#encoding) throw reentered();
    const writer = this.#writerFor(target);
    this.#encode(writer, target, target, type, name, id, value, extras);
    if (this.#isDue) this.#leave();
    if (!this.#busy) this.#schedule();
  }

  /** As {@linkcode Outbound.add}, for data that is bytes as they are; null: no data. */
  addBytes(
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array | null,
    extras: Uint8Array | null = null,
  ): void {
    const writer = this.#writerFor(target);
    this.#append(writer, target, type, name, id, bytes, extras);
    if (this.#isDue) this.#leave();
    if (!this.#busy) this.#schedule();
  }

  /**
   * The bytes of a value, for {@linkcode Outbound.addBytes}; null: there is none.
   *
   * @throws {TypeError} If it cannot be encoded.
   * @throws {RangeError} If it is too long for a message, with so many bytes of extras.
   */
  encode(value: unknown, extras: number): Uint8Array | null {
    if (this.#encoding) throw reentered();
    if (value === undefined) return null;
    this.#encoding = true;
    try {
      const bytes = this.#options.codec.encode(value);
      this.#checkLength(bytes, extras);
      return bytes;
    } finally {
      this.#encoding = false;
    }
  }

  /**
   * Adds an event for several nodes: those who do not handle its name may get it, too.
   *
   * @throws {TypeError} If the value cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  emit(
    target: Target,
    name: Uint8Array,
    value: unknown,
    extras: Uint8Array | null = null,
  ): void {
    if (this.#encoding) throw reentered();
    if (this.#readers.are(target) && this.#parts.size === 0) {
      const writer = this.#shared;
      this.#encode(writer, target, target, EVENT, name, 0, value, extras);
    } else if (this.#mayPart(target)) {
      this.#emitToParts(target, name, value, extras);
    } else {
      this.#share(target);
      this.#emitShared(target, name, value, extras);
    }
    if (this.#isDue) this.#leave();
    if (!this.#busy) this.#schedule();
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
    this.#finish();
    this.#leave();
  }

  /** Lets the open bundles go, and takes no more. */
  close(): void {
    this.#finish();
    this.#shipAll();
    this.#closed = true;
    this.#cancelRest?.();
  }

  /** The bundle of one node; lets go what must leave before. */
  #writerFor(target: Target): BundleWriter {
    const [node] = target.to;
    if (node === undefined) return this.#own;
    const known = this.#parts.get(node);
    if (known) return known.writer;
    if (!this.#mayAdd(1, this.#copies(node) ? 1 : 0)) this.#finish();
    return this.#newPart(node, target).writer;
  }

  /** Whether events in the shared bundle are for a node, too. */
  #copies(node: NodeId): boolean {
    return this.#shared.count > 0 && this.#readers.has(node);
  }

  /** Whether so many more nodes may have a bundle of their own, some with copies. */
  #mayAdd(added: number, copies: number): boolean {
    if (this.#parts.size + added > PARTS) return false;
    if (this.#shared.count === 0) return true;
    if (this.#options.nodes() === null) return false;
    return copies === 0 || this.#shared.length <= BUNDLE_SIZE &&
        this.#parts.size + copies <= FORKS;
  }

  #newPart(node: NodeId, target: Target): Part {
    const writer = this.#spare.pop() ?? this.#newWriter(PART_SLABS);
    if (this.#copies(node)) writer.copy(this.#shared);
    const part = { target, writer };
    this.#parts.set(node, part);
    return part;
  }

  #newWriter(slabs: BundleWriterOptions): BundleWriter {
    const { codec, headroom } = this.#options;
    return new BundleWriter(codec, headroom, {
      ...slabs,
      pool: this.#pool,
      longest: this.#longest,
    });
  }

  /** Whether an event for some nodes goes into the bundle of each. */
  #mayPart(target: Target): boolean {
    const { to } = target;
    if (to === "all" || to.length > FORKS) return false;
    if (to.length > 1) {
      // A bundle for just these costs less, as long as nothing else is open.
      const isFirst = this.#shared.count === 0 && this.#parts.size === 0;
      if (isFirst || this.#readers.are(target)) return false;
      if (this.#options.nodes() === null) return false;
    }
    let added = 0;
    let copies = 0;
    for (const node of to) {
      if (this.#parts.has(node)) continue;
      added++;
      if (this.#copies(node)) copies++;
    }
    return this.#mayAdd(added, copies);
  }

  /** Encoded once, copied into the bundles of the others. */
  #emitToParts(
    target: Target,
    name: Uint8Array,
    value: unknown,
    extras: Uint8Array | null,
  ): void {
    let first: BundleWriter | null = null;
    for (const node of target.to) {
      const { writer, target: own } = this.#parts.get(node) ??
        this.#newPart(node, target.to.length === 1 ? target : { to: [node] });
      if (first !== null) {
        this.#append(writer, own, EVENT, name, 0, first.lastData, extras);
        continue;
      }
      first = writer;
      if (!this.#encode(first, own, target, EVENT, name, 0, value, extras)) {
        return;
      }
    }
  }

  /** The shared bundle is for those of a target, too, from now on. */
  #share(target: Target): void {
    if (!this.#mayShare(target)) this.#finish();
    if (this.#shared.count === 0) this.#readers.begin(target);
    else this.#readers.add(target);
  }

  /** Whether the shared bundle may stand beside those that are open. */
  #mayShare({ to }: Target): boolean {
    if (this.#parts.size === 0) return true;
    if (this.#options.nodes() === null) return false;
    if (to === "all" || this.#parts.size <= FORKS) {
      return this.#parts.size <= FORKS;
    }
    return to.filter((node) => this.#parts.has(node)).length <= FORKS;
  }

  #emitShared(
    target: Target,
    name: Uint8Array,
    value: unknown,
    extras: Uint8Array | null,
  ): void {
    const writer = this.#shared;
    const before = writer.length;
    const added = this.#encode(
      writer,
      target,
      target,
      EVENT,
      name,
      0,
      value,
      extras,
    );
    if (!added) return;
    if (this.#parts.size > 0) this.#copyToParts(target, name, extras);
    if (!this.#readers.areSeveral) return;
    const reach = this.#options.nodes()?.size ?? Infinity;
    this.#readers.note(target, Math.max(0, writer.length - before), reach);
    if (this.#readers.foreign > FOREIGN) this.#finish();
  }

  /**
   * Adds an entry for `target` to a writer whose bundle goes to `own`. True: it was added;
   * false: it has left in a bundle of its own.
   */
  #encode(
    writer: BundleWriter,
    own: Target,
    target: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
    extras: Uint8Array | null,
  ): boolean {
    this.#encoding = true;
    try {
      if (writer.add(type, name, id, value, extras)) return true;
      if (writer.count > 0) {
        this.#finishWriter(writer, own);
        if (writer === this.#shared) this.#readers.begin(target);
        if (writer.add(type, name, id, value, extras)) return true;
      }
      const bytes = this.#options.codec.encode(value);
      this.#checkLength(bytes, extras?.length ?? 0);
      this.#finish();
      this.#queue(writer.single(type, name, id, bytes, extras), target);
      return false;
    } finally {
      this.#encoding = false;
    }
  }

  #checkLength(bytes: Uint8Array, extras: number): void {
    const most = this.#longest - ENTRY_OVERHEAD - extras;
    if (bytes.length <= most) return;
    throw new RangeError(
      `its data takes ${bytes.length} bytes, and at most ${most} fit in a message: open a stream for more`,
    );
  }

  #append(
    writer: BundleWriter,
    own: Target,
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array | null,
    extras: Uint8Array | null,
  ): void {
    if (writer.addBytes(type, name, id, bytes, extras)) return;
    this.#finishWriter(writer, own);
    if (writer.addBytes(type, name, id, bytes, extras)) return;
    const data = bytes ?? NOTHING;
    this.#queue(writer.single(type, name, id, data, extras), own);
  }

  /** Nodes with a bundle of their own get an event for several in that. */
  #copyToParts(
    { to }: Target,
    name: Uint8Array,
    extras: Uint8Array | null,
  ): void {
    const data = this.#shared.lastData;
    for (const [node, { target, writer }] of this.#parts) {
      if (to !== "all" && !to.includes(node)) continue;
      this.#append(writer, target, EVENT, name, 0, data, extras);
    }
  }

  #finishWriter(writer: BundleWriter, own: Target): void {
    if (writer === this.#shared) this.#finishShared();
    else if (writer.count > 0) this.#queue(writer.take(), own);
  }

  #queue(bundle: Bundle, target: Target): void {
    this.#left += bundle.payload.length + EVENT_COST * bundle.count;
    this.#leaving.push({ bundle, target });
    this.#isDue = true;
  }

  /** Finishes the open bundles. */
  #finish(): void {
    if (this.#shared.count > 0) this.#finishShared();
    if (this.#parts.size > 0) this.#finishParts();
    if (this.#own.count > 0) this.#queue(this.#own.take(), MYSELF);
  }

  /** Ships what is finished; while something is being shipped, the rest waits for it. */
  #leave(): void {
    if (this.#isShipping) return;
    this.#isShipping = true;
    try {
      this.#shipAll();
    } finally {
      this.#isShipping = false;
    }
  }

  #shipAll(): void {
    const leaving = this.#leaving;
    for (let next = leaving.shift(); next; next = leaving.shift()) {
      this.#options.ship(next.bundle, next.target);
    }
    this.#isDue = false;
  }

  /** The shared bundle goes to whom it is for, without those who have all of it already. */
  #finishShared(): void {
    const bundle = this.#shared.take();
    const isExact = this.#parts.size === 0 && !this.#readers.areSeveral;
    this.#queue(bundle, isExact ? this.#readers.first : this.#rest());
  }

  #rest(): Target {
    const { to } = this.#readers;
    if (this.#parts.size === 0) return { to };
    const nodes = to === "all" ? [...this.#options.nodes() ?? []] : to;
    return { to: nodes.filter((id) => !this.#parts.has(id)) };
  }

  #finishParts(): void {
    for (const { target, writer } of this.#parts.values()) {
      this.#finishWriter(writer, target);
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

  get #isOpen(): boolean {
    return this.#shared.count > 0 || this.#parts.size > 0 ||
      this.#own.count > 0 || this.#isDue;
  }

  #turn(): void {
    this.#left = 0;
    this.#pause?.resolve();
    this.#pause = null;
    if (this.#closed) return;
    this.#options.turned?.();
    if (this.#isOpen) {
      this.flush();
      return this.#options.clock.soon(this.#nextTurn);
    }
    this.#busy = false;
    this.#shared.rewind();
    this.#own.rewind();
    for (const writer of this.#spare) writer.rewind();
    if (this.#isLarge()) this.#restLater();
  }

  /** Whether it holds memory that is for load. */
  #isLarge(): boolean {
    return !this.#pool.isEmpty || this.#shared.isLarge || this.#own.isLarge ||
      this.#spare.length > KEPT_PARTS ||
      this.#spare.some(({ isLarge }) => isLarge);
  }

  #restLater(): void {
    this.#used = this.#cancelRest !== null;
    this.#cancelRest ??= this.#options.clock.after(REST_AFTER, () => {
      this.#cancelRest = null;
      // The next turn without an event plans another look.
      if (this.#busy) return;
      if (this.#used) this.#restLater();
      else this.#letGo();
    });
  }

  #letGo(): void {
    this.#shared.rest();
    this.#own.rest();
    this.#spare.length = Math.min(this.#spare.length, KEPT_PARTS);
    for (const writer of this.#spare) writer.rest();
    this.#pool.clear();
  }
}

function reentered(): TypeError {
  return new TypeError("its data sends events while it is encoded");
}
