/**
 * The layout of a bundle: the events that travel together.
 *
 * ```text
 * bundle   kind u8 = 1 · flags u8 = 0 · entry…
 * entry    type u8 · name u8 · length u32 · [id u32] · [name bytes] · [extras] · data
 * type     0 event, 1 request, 2 reply, 3 failure, 4 delivery, 5 receipt; + 0x80:
 *          there is no data; + 0x40: there are extras; + 0x20: an event for this node
 *          alone
 * name     0…253: the nth name of this bundle; 254: a new one follows as
 *          length u8 and bytes; 255: none (replies, failures and receipts)
 * length   of the data, in bytes
 * id       of the request, in requests, replies and failures; in deliveries and
 *          receipts see `delivery_wire.ts`
 * extras   length u16 and bytes: what few entries carry; see `extras.ts`
 * ```
 *
 * Numbers are big-endian. A bundle stands alone: a relay or a group of receivers
 * needs no state to read it.
 */
import type { BufferCodec, Codec } from "@devts/protocol";
import { areExtras } from "./extras.ts";
import { KnownTexts } from "./known_texts.ts";
import { type Slab, SlabPool } from "./slab.ts";

/** The first byte of what a node sends by its router. */
export const PAYLOAD_EVENTS = 1;
/** The first byte of a payload that carries a message of the membership. */
export const PAYLOAD_MEMBERSHIP = 2;
/** The first byte of a payload that belongs to a stream. */
export const PAYLOAD_STREAMS = 3;

/** What an entry is. */
export const EVENT = 0;
/** An event for one node alone: if that does not handle it, something is wrong. */
export const SENT_EVENT = 0x20;
/** An event that wants a reply. */
export const REQUEST = 1;
/** The reply to a request. */
export const REPLY = 2;
/** Why there is no reply. */
export const FAILURE = 3;
/** An event that wants a receipt. */
export const DELIVERY = 4;
/** What became of deliveries. */
export const RECEIPT = 5;

const NOTHING = new Uint8Array(0);
const NO_DATA = 0x80;
const EXTRAS = 0x40;
const ALONE = SENT_EVENT;
const TYPE = 0x1f;
const NEW_NAME = 254;
const NO_NAME = 255;
const BUNDLE_HEADER = 2;
const ENTRY_HEADER = 6;

/** A bundle is closed when it has grown to this many bytes. */
export const BUNDLE_SIZE = 65536;
/** What an entry without extras costs beyond its data, at most. */
export const ENTRY_OVERHEAD = BUNDLE_HEADER + ENTRY_HEADER + 4 + 256;
/** What a slab holds at first, in bytes. */
const FIRST_SLAB = 65536;
/** What a slab holds under load, in bytes. */
const LARGEST_SLAB = 1048576;
// A slab with less room than this is not worth starting a bundle in.
const SMALLEST_BUNDLE = 4096;

/** A finished bundle. */
export interface Bundle {
  /** The payload, with the headroom asked for in front. */
  readonly message: Uint8Array;
  /** The payload alone, a view of `message`. */
  readonly payload: Uint8Array;
  /** How many events are in it. */
  readonly count: number;
  /** Its memory, retained for whoever takes the bundle; null: memory of its own. */
  readonly slab: Slab | null;
}

/** Options of {@linkcode BundleWriter}. */
export interface BundleWriterOptions {
  /** Where its slabs come from. */
  readonly pool?: SlabPool;
  /** What a slab holds at first, in bytes. */
  readonly firstSlab?: number;
  /** What a slab holds under load, in bytes. */
  readonly largestSlab?: number;
  /** The longest bundle that it makes of an event that is alone in it, in bytes. */
  readonly longest?: number;
}

/**
 * Packs events into bundles. Bundles are cut out of slabs one behind the other, so
 * that a small one costs no buffer of its own, and several leave in one write; a slab
 * is not written again where a bundle has been, before all have let go of it. Slabs
 * grow as long as they fill up.
 */
export class BundleWriter {
  readonly #headroom: number;
  readonly #codec: Codec;
  readonly #inPlace: BufferCodec | null;
  readonly #firstSlab: number;
  readonly #largestSlab: number;
  readonly #longest: number;
  readonly #pool: SlabPool;
  #memory: Slab | null = null;
  #slab: Uint8Array<ArrayBuffer> = NOTHING;
  /** What the next slab holds. */
  #nextSlab: number;
  #start = 0;
  #end = 0;
  /** Where the open bundle is full. */
  #limit = 0;
  #count = 0;
  #names: Uint8Array[] = [];
  /** Where the data of the last entry begins; -1: it has none. */
  #lastData = -1;

  constructor(
    codec: Codec,
    headroom: number,
    options: BundleWriterOptions = {},
  ) {
    const { firstSlab = FIRST_SLAB, largestSlab = LARGEST_SLAB } = options;
    this.#codec = codec;
    this.#headroom = headroom;
    this.#pool = options.pool ?? new SlabPool();
    this.#firstSlab = this.#nextSlab = firstSlab;
    this.#largestSlab = largestSlab;
    this.#longest = options.longest ?? Infinity;
    this.#inPlace = isBufferCodec(codec) ? codec : null;
  }

  /** Bytes in the open bundle. */
  get length(): number {
    return this.#count === 0 ? 0 : this.#end - this.#start;
  }

  /** How many events are in the open bundle. */
  get count(): number {
    return this.#count;
  }

  /** The data of the entry that was added last, a view; null: it has none. */
  get lastData(): Uint8Array | null {
    return this.#lastData < 0
      ? null
      : this.#slab.subarray(this.#lastData, this.#end);
  }

  /** Begins, while it is empty, with a copy of another one's open bundle. */
  copy(other: BundleWriter): void {
    const bundle = other.#slab.subarray(other.#start, other.#end);
    if (this.#slab.length - this.#start < bundle.length + SMALLEST_BUNDLE) {
      this.#newSlab(bundle.length);
    }
    this.#open();
    this.#slab.set(bundle, this.#start);
    this.#end = this.#start + bundle.length;
    this.#count = other.#count;
    this.#names = other.#names.slice();
  }

  /** Whether its slab has grown. */
  get isLarge(): boolean {
    return this.#slab.length > this.#firstSlab + this.#headroom;
  }

  /**
   * Writes its slab again from the beginning, while it is empty, where all have let go of
   * what was cut out of it: requests and replies that come one after the other need no
   * memory.
   */
  rewind(): void {
    if (this.#memory?.isShared === false) this.#start = this.#headroom;
  }

  /** The load is over, while it is empty: lets go of a large slab. */
  rest(): void {
    this.#nextSlab = this.#firstSlab;
    if (!this.isLarge) return;
    this.#memory?.release();
    this.#memory = null;
    this.#slab = NOTHING;
    this.#start = 0;
  }

  /**
   * Adds an entry whose data is a value for the codec, or nothing where it is
   * `undefined`; `extras`: as `writeExtras` joins them, null: none.
   *
   * @returns False when it does not fit: take the bundle, then try again; when the
   * bundle was empty, use {@linkcode BundleWriter.single}.
   * @throws {TypeError} If the codec cannot carry the value.
   */
  add(
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
    extras: Uint8Array | null = null,
  ): boolean {
    if (value === undefined) {
      return this.addBytes(type, name, id, null, extras);
    }
    const codec = this.#inPlace;
    if (codec === null) {
      const bytes = this.#codec.encode(value);
      return this.addBytes(type, name, id, bytes, extras);
    }
    return this.#addInPlace(codec, type, name, id, value, extras) ||
      (this.#renew() &&
        this.#addInPlace(codec, type, name, id, value, extras));
  }

  /** As {@linkcode BundleWriter.add}, for data that is bytes as they are; null: no data. */
  addBytes(
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array | null,
    extras: Uint8Array | null = null,
  ): boolean {
    return this.#tryBytes(type, name, id, bytes, extras) ||
      (this.#renew() && this.#tryBytes(type, name, id, bytes, extras));
  }

  /** A bundle of its own for one entry with encoded data of any size. */
  single(
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array,
    extras: Uint8Array | null = null,
  ): Bundle {
    const headroom = this.#headroom;
    const message = new Uint8Array(
      headroom + ENTRY_OVERHEAD + roomFor(extras) + bytes.length,
    );
    const start = writeBundleHeader(message, headroom);
    const at = writeEntry(
      message,
      start,
      type,
      name,
      name ? NEW_NAME : NO_NAME,
      id,
      extras,
    );
    message.set(bytes, at);
    writeLength(message, start, bytes.length);
    const end = at + bytes.length;
    return {
      message: message.subarray(0, end),
      payload: message.subarray(headroom, end),
      count: 1,
      slab: null,
    };
  }

  /** Takes the open bundle; the next entry starts another. */
  take(): Bundle {
    const start = this.#start - this.#headroom;
    const bundle = {
      message: this.#slab.subarray(start, this.#end),
      payload: this.#slab.subarray(this.#start, this.#end),
      count: this.#count,
      slab: this.#memory,
    };
    this.#memory?.retain();
    this.#start = this.#end + this.#headroom;
    this.#count = 0;
    if (this.#names.length > 0) this.#names = [];
    return bundle;
  }

  #addInPlace(
    codec: BufferCodec,
    type: number,
    name: Uint8Array | null,
    id: number,
    value: unknown,
    extras: Uint8Array | null,
  ): boolean {
    const at = this.#begin(type, name, id, extras);
    if (at < 0) return false;
    const end = codec.encodeInto(value, this.#slab, at);
    if (end < 0 || end > this.#mostEnd()) return false;
    this.#lastData = at;
    return this.#commit(at, end, name);
  }

  #tryBytes(
    type: number,
    name: Uint8Array | null,
    id: number,
    bytes: Uint8Array | null,
    extras: Uint8Array | null,
  ): boolean {
    const flags = bytes === null ? type | NO_DATA : type;
    const at = this.#begin(flags, name, id, extras);
    if (at < 0) return false;
    this.#lastData = -1;
    if (bytes === null) return this.#commit(at, at, name);
    const end = at + bytes.length;
    if (end > this.#mostEnd()) return false;
    this.#slab.set(bytes, at);
    this.#lastData = at;
    return this.#commit(at, end, name);
  }

  /** Where an entry must end: one that is alone in its bundle may be longer. */
  #mostEnd(): number {
    return this.#count > 0
      ? this.#limit
      : Math.min(this.#slab.length, this.#start + this.#longest);
  }

  #open(): void {
    if (this.#slab.length - this.#start < SMALLEST_BUNDLE) this.#newSlab();
    this.#end = writeBundleHeader(this.#slab, this.#start);
    this.#limit = Math.min(this.#slab.length, this.#start + BUNDLE_SIZE);
  }

  /** Takes another slab: twice the last one, and more where `needed` says so. */
  #newSlab(needed = 0): void {
    const size = Math.min(
      this.#largestSlab,
      Math.max(this.#nextSlab, 2 * needed + SMALLEST_BUNDLE),
    );
    this.#memory?.release();
    this.#memory = this.#pool.take(this.#headroom + size);
    this.#slab = this.#memory.bytes;
    this.#start = this.#headroom;
    this.#nextSlab = Math.min(this.#largestSlab, 2 * size);
  }

  /** What does not fit in the rest of a slab may fit in a new one. */
  #renew(): boolean {
    if (this.#count > 0 || this.#isLargest()) return false;
    this.#newSlab(this.#slab.length);
    return true;
  }

  /** Whether it stands at the beginning of a slab as large as they get. */
  #isLargest(): boolean {
    return this.#start === this.#headroom &&
      this.#slab.length >= this.#largestSlab;
  }

  /** Writes the entry up to its data; -1: no room. */
  #begin(
    type: number,
    name: Uint8Array | null,
    id: number,
    extras: Uint8Array | null,
  ): number {
    if (this.#count === 0) this.#open();
    const at = this.#end;
    if (this.#limit - at < ENTRY_OVERHEAD + roomFor(extras)) return -1;
    const ref = name === null ? NO_NAME : this.#refOf(name);
    return writeEntry(this.#slab, at, type, name, ref, id, extras);
  }

  #refOf(name: Uint8Array): number {
    const known = this.#names.indexOf(name);
    return known < 0 ? NEW_NAME : known;
  }

  #commit(dataStart: number, end: number, name: Uint8Array | null): true {
    const start = this.#end;
    writeLength(this.#slab, start, end - dataStart);
    if (
      name !== null && this.#slab[start + 1] === NEW_NAME &&
      this.#names.length < NEW_NAME
    ) {
      this.#names.push(name);
    }
    this.#end = end;
    this.#count++;
    return true;
  }
}

/** Whether a codec works in place. */
export function isBufferCodec(codec: Codec): codec is BufferCodec {
  return "encodeInto" in codec && typeof codec.encodeInto === "function" &&
    "decodeAt" in codec && typeof codec.decodeAt === "function";
}

function writeBundleHeader(target: Uint8Array, at: number): number {
  target[at] = PAYLOAD_EVENTS;
  target[at + 1] = 0;
  return at + BUNDLE_HEADER;
}

function writeEntry(
  target: Uint8Array,
  at: number,
  type: number,
  name: Uint8Array | null,
  ref: number,
  id: number,
  extras: Uint8Array | null,
): number {
  target[at] = extras === null ? type : type | EXTRAS;
  target[at + 1] = ref;
  let next = at + ENTRY_HEADER;
  if ((type & TYPE) !== EVENT) {
    target[next] = id >>> 24;
    target[next + 1] = id >>> 16;
    target[next + 2] = id >>> 8;
    target[next + 3] = id;
    next += 4;
  }
  if (ref === NEW_NAME && name !== null) {
    target[next] = name.length;
    target.set(name, next + 1);
    next += 1 + name.length;
  }
  if (extras === null) return next;
  target[next] = extras.length >>> 8;
  target[next + 1] = extras.length;
  target.set(extras, next + 2);
  return next + 2 + extras.length;
}

function roomFor(extras: Uint8Array | null): number {
  return extras === null ? 0 : 2 + extras.length;
}

function writeLength(target: Uint8Array, entry: number, length: number): void {
  target[entry + 2] = length >>> 24;
  target[entry + 3] = length >>> 16;
  target[entry + 4] = length >>> 8;
  target[entry + 5] = length;
}

/** Takes the entries of a bundle. */
export interface BundleVisitor<Name> {
  /** Looks a name up, once per bundle. */
  resolve(name: string): Name;
  /**
   * The next entry has extras: where they stand in the payload. They are well-formed;
   * `extraIn` finds one.
   */
  extras(start: number, end: number): void;
  /**
   * An event or a request; `alone`: for this node alone, as every request. The data
   * stands in the payload from `start` to `end`; `start` is -1 where there is none.
   */
  event(
    name: Name,
    request: number,
    alone: boolean,
    start: number,
    end: number,
  ): void;
  /** A reply, or a failure. */
  reply(id: number, failed: boolean, start: number, end: number): void;
  /** A delivery; its extras come before. */
  delivery(name: Name, id: number, start: number, end: number): void;
  /** What became of deliveries. */
  receipt(id: number, start: number, end: number): void;
}

/** In {@linkcode BundleVisitor.event}: the event wants no reply. */
export const NO_REQUEST = -1;

/**
 * Walks a bundle by offsets.
 *
 * @throws {SyntaxError} If it is malformed; the entries before have been visited.
 */
export function readBundle<Name>(
  payload: Uint8Array,
  visitor: BundleVisitor<Name>,
): void {
  if (payload.length < BUNDLE_HEADER || payload[1] !== 0) {
    throw malformed("header");
  }
  const names: Name[] = [];
  let at = BUNDLE_HEADER;
  while (at < payload.length) {
    if (payload.length - at < ENTRY_HEADER) throw malformed("entry");
    const flags = byteAt(payload, at);
    const type = flags & TYPE;
    const ref = byteAt(payload, at + 1);
    const length = uint32At(payload, at + 2);
    at += ENTRY_HEADER;
    if (flags === EVENT && ref < names.length) {
      // Most entries by far: a shorter way to the same.
      const name = names[ref];
      const end = at + length;
      if (name === undefined) throw malformed("name");
      if (end > payload.length) throw malformed("length");
      visitor.event(name, NO_REQUEST, false, at, end);
      at = end;
      continue;
    }
    let id = NO_REQUEST;
    if (type !== EVENT) {
      if (type > RECEIPT || (flags & ALONE) !== 0) throw malformed("type");
      if (payload.length - at < 4) throw malformed("id");
      id = uint32At(payload, at);
      at += 4;
    }
    let name: Name | undefined;
    if (ref === NEW_NAME) {
      const size = at < payload.length ? byteAt(payload, at) : 0;
      at++;
      if (size === 0 || payload.length - at < size) throw malformed("name");
      name = visitor.resolve(texts.read(payload, at, at + size));
      if (names.length < NEW_NAME) names.push(name);
      at += size;
    } else if (ref !== NO_NAME) {
      if (ref >= names.length) throw malformed("name");
      name = names[ref];
    }
    if ((flags & EXTRAS) !== 0) {
      const first = at + 2;
      if (first > payload.length) throw malformed("extras");
      at = first + uint16At(payload, at);
      if (at > payload.length || !areExtras(payload, first, at)) {
        throw malformed("extras");
      }
      visitor.extras(first, at);
    }
    const hasData = (flags & NO_DATA) === 0;
    const end = at + length;
    if (end > payload.length || (!hasData && length > 0)) {
      throw malformed("length");
    }
    const start = hasData ? at : -1;
    if (type === EVENT || type === REQUEST) {
      if (name === undefined) throw malformed("name");
      const alone = type === REQUEST || (flags & ALONE) !== 0;
      visitor.event(name, id, alone, start, end);
    } else if (type === DELIVERY) {
      if (name === undefined) throw malformed("name");
      visitor.delivery(name, id, start, end);
    } else {
      if (ref !== NO_NAME) throw malformed("name");
      if (type === RECEIPT) visitor.receipt(id, start, end);
      else visitor.reply(id, type === FAILURE, start, end);
    }
    at = end;
  }
}

/** The ids of the requests in the head of a bundle, as far as it shows them. */
export function requestsIn(head: Uint8Array): number[] {
  return idsIn(head, REQUEST);
}

/** The ids of the deliveries in the head of a bundle, as far as it shows them. */
export function deliveriesIn(head: Uint8Array): number[] {
  return idsIn(head, DELIVERY);
}

/** So many names of a lost bundle are told. */
const LOST_NAMES = 16;

/** The names of events in the head of a bundle, as far as it shows them: 16 at most, once each. */
export function namesIn(head: Uint8Array): string[] {
  const names: string[] = [];
  const note = (name: string): string => {
    if (names.length < LOST_NAMES) names.push(name);
    return name;
  };
  const nothing = (): void => {};
  try {
    readBundle(head, {
      resolve: note,
      extras: nothing,
      event: nothing,
      reply: nothing,
      delivery: nothing,
      receipt: nothing,
    });
  } catch {
    // The head ends where it was cut off.
  }
  return names;
}

function idsIn(head: Uint8Array, wanted: number): number[] {
  const ids: number[] = [];
  let at = BUNDLE_HEADER;
  while (at + ENTRY_HEADER + 4 <= head.length) {
    const flags = byteAt(head, at);
    const type = flags & TYPE;
    const isNamed = byteAt(head, at + 1) === NEW_NAME;
    const length = uint32At(head, at + 2);
    at += ENTRY_HEADER;
    if (type === wanted) ids.push(uint32At(head, at));
    if (type !== EVENT) at += 4;
    if (isNamed) at += 1 + byteAt(head, at);
    if ((flags & EXTRAS) !== 0) at += 2 + uint16At(head, at);
    at += length;
  }
  return ids;
}

function malformed(part: string): SyntaxError {
  return new SyntaxError(
    `Cannot read a bundle of events: its ${part} is malformed`,
  );
}

function byteAt(source: Uint8Array, at: number): number {
  return source[at] ?? 0;
}

function uint16At(source: Uint8Array, at: number): number {
  return byteAt(source, at) << 8 | byteAt(source, at + 1);
}

function uint32At(source: Uint8Array, at: number): number {
  return (byteAt(source, at) << 24 | byteAt(source, at + 1) << 16 |
    byteAt(source, at + 2) << 8 | byteAt(source, at + 3)) >>> 0;
}

/** Names that came before. */
const texts = new KnownTexts(() => malformed("name"));
