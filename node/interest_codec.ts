/**
 * The messages by which nodes tell which names they handle: payloads of kind 4.
 *
 * ```text
 * message  kind u8 = 4 · type u8 · …
 * all      1 · version · index u16 · count u16 · entry…   one of `count` pieces
 * change   2 · version · since u32 · entry…               from that sequence on
 * digest   3 · version
 * want     4                                              tell me all
 * ping     5 · number u32
 * pong     6 · number u32
 * version  incarnation f64 · run u32 · sequence u32
 * entry    flags u8 · name · [group · strategy u8 · key]
 * flags    1: in a group; 2: not any more
 * name     length u8 and bytes; so are group and key
 * ```
 *
 * Numbers are big-endian. Unknown types are ignored.
 */
import { Pattern } from "./names.ts";
import type { GroupStrategy } from "./types.ts";

/** The first byte of a payload that carries such a message. */
export const PAYLOAD_INTEREST = 4;

/** A message says all that its sender handles. */
export const ALL = 1;
/** It says what has changed. */
export const CHANGE = 2;
/** It says how far its sender is. */
export const DIGEST = 3;
/** It asks for all. */
export const WANT = 4;
/** It asks for a `pong`. */
export const PING = 5;
/** It answers a `ping`. */
export const PONG = 6;

/** What one piece of a message holds at most, in bytes, before the last entry. */
const PIECE = 16_384;
/** What stands before the entries of all, and of a change, in bytes. */
const HEAD = 22;
const IN_GROUP = 1;
const REMOVED = 2;
/** All strategies; their places are their numbers on the wire. */
export const STRATEGIES: readonly GroupStrategy[] = [
  "round-robin",
  "random",
  "least-latency",
  "sticky",
];

/** A group, as a member tells it. */
export interface GroupOf {
  /** Its name. */
  readonly name: string;
  /** How a member is chosen. */
  readonly strategy: GroupStrategy;
  /** The field of the data that it is chosen by; "": none. */
  readonly key: string;
}

/** That a node handles a name, or those of a pattern. */
export interface Subscription {
  readonly name: string;
  /** The group in which it does; null: every event. */
  readonly group: GroupOf | null;
}

/** How new it is what a node tells. */
export interface Version {
  /** Of the node when it told it. */
  readonly incarnation: number;
  /** One number per start of the node. */
  readonly run: number;
  /** Rises with each change within a run. */
  readonly sequence: number;
}

/** A message, read. */
export type InterestMessage =
  | {
    readonly type: typeof ALL;
    readonly version: Version;
    readonly index: number;
    readonly count: number;
    readonly added: readonly Subscription[];
  }
  | {
    readonly type: typeof CHANGE;
    readonly version: Version;
    readonly since: number;
    readonly added: readonly Subscription[];
    readonly removed: readonly Subscription[];
  }
  | { readonly type: typeof DIGEST; readonly version: Version }
  | { readonly type: typeof WANT }
  | { readonly type: typeof PING | typeof PONG; readonly number: number };

/** Identifies a subscription of a node. */
export function keyOf({ name, group }: Subscription): string {
  return group === null ? `p:${name}` : `g:${name}\0${group.name}`;
}

/** All that a node handles, in pieces. */
export function writeAll(
  version: Version,
  subscriptions: Iterable<Subscription>,
): Uint8Array[] {
  const pieces: number[][] = [[]];
  for (const subscription of subscriptions) {
    let piece = pieces.at(-1) ?? [];
    if (piece.length >= PIECE) pieces.push(piece = []);
    pushEntry(piece, subscription, 0);
  }
  return pieces.map((entries, index) => {
    const bytes = start(ALL, version);
    pushUint16(bytes, index);
    pushUint16(bytes, pieces.length);
    return Uint8Array.from([...bytes, ...entries]);
  });
}

/** What has changed; null: it is longer than one piece. */
export function writeChange(
  version: Version,
  since: number,
  added: Iterable<Subscription>,
  removed: Iterable<Subscription>,
): Uint8Array | null {
  const bytes = start(CHANGE, version);
  pushUint32(bytes, since);
  for (const one of removed) pushEntry(bytes, one, REMOVED);
  for (const one of added) pushEntry(bytes, one, 0);
  return bytes.length > PIECE ? null : Uint8Array.from(bytes);
}

/** How far a node is. */
export function writeDigest(version: Version): Uint8Array {
  return Uint8Array.from(start(DIGEST, version));
}

/** Asks for all. */
export function writeWant(): Uint8Array {
  return Uint8Array.of(PAYLOAD_INTEREST, WANT);
}

/** A question or an answer that measures time. */
export function writePing(
  type: typeof PING | typeof PONG,
  number: number,
): Uint8Array {
  const bytes = [PAYLOAD_INTEREST, type];
  pushUint32(bytes, number);
  return Uint8Array.from(bytes);
}

/**
 * Reads a message; null: its type is not known here.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function readInterest(payload: Uint8Array): InterestMessage | null {
  const reader = new Reader(payload);
  reader.uint8();
  const type = reader.uint8();
  switch (type) {
    case ALL: {
      const version = readVersion(reader);
      const index = reader.uint16();
      const count = reader.uint16();
      if (index >= count) throw malformed();
      return { type, version, index, count, added: readEntries(reader).added };
    }
    case CHANGE: {
      const version = readVersion(reader);
      return { type, version, since: reader.uint32(), ...readEntries(reader) };
    }
    case DIGEST:
      return { type, version: readVersion(reader) };
    case WANT:
      return { type };
    case PING:
    case PONG:
      return { type, number: reader.uint32() };
    default:
      return null;
  }
}

function readVersion(reader: Reader): Version {
  const incarnation = reader.float64();
  if (!Number.isSafeInteger(incarnation)) throw malformed();
  return { incarnation, run: reader.uint32(), sequence: reader.uint32() };
}

function readEntries(
  reader: Reader,
): { added: Subscription[]; removed: Subscription[] } {
  const added: Subscription[] = [];
  const removed: Subscription[] = [];
  while (!reader.atEnd) {
    const { isRemoved, ...subscription } = readEntry(reader);
    (isRemoved ? removed : added).push(subscription);
  }
  return { added, removed };
}

function readEntry(
  reader: Reader,
): Subscription & { readonly isRemoved: boolean } {
  const flags = reader.uint8();
  const name = reader.text();
  checkPattern(name);
  const group = (flags & IN_GROUP) === 0 ? null : {
    name: reader.text(),
    // A strategy of a later version is replaced by the usual one.
    strategy: STRATEGIES[reader.uint8()] ?? "round-robin",
    key: reader.text(true),
  };
  return { name, group, isRemoved: (flags & REMOVED) !== 0 };
}

/**
 * Takes out of a message what its sender may not handle.
 *
 * @param mayHandle Whether it may handle a name, or all that a pattern stands for.
 * @throws {SyntaxError} If it is malformed.
 */
export function siftInterest(
  payload: Uint8Array,
  mayHandle: (name: string) => boolean,
): Uint8Array {
  const type = readInterest(payload)?.type;
  if (type !== ALL && type !== CHANGE) return payload;
  const reader = new Reader(payload);
  reader.skip(HEAD);
  const kept = [...payload.subarray(0, HEAD)];
  while (!reader.atEnd) {
    const { at } = reader;
    const { name, isRemoved } = readEntry(reader);
    if (!isRemoved && !mayHandle(name)) continue;
    kept.push(...payload.subarray(at, reader.at));
  }
  return kept.length === payload.length ? payload : Uint8Array.from(kept);
}

function checkPattern(name: string): void {
  try {
    Pattern.of(name);
  } catch {
    throw malformed();
  }
}

function start(type: number, version: Version): number[] {
  const bytes = [PAYLOAD_INTEREST, type];
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, version.incarnation);
  for (let at = 0; at < 8; at++) bytes.push(view.getUint8(at));
  pushUint32(bytes, version.run);
  pushUint32(bytes, version.sequence);
  return bytes;
}

function pushEntry(
  bytes: number[],
  { name, group }: Subscription,
  flags: number,
): void {
  bytes.push(group === null ? flags : flags | IN_GROUP);
  pushText(bytes, name);
  if (group === null) return;
  pushText(bytes, group.name);
  bytes.push(STRATEGIES.indexOf(group.strategy));
  pushText(bytes, group.key);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function pushText(bytes: number[], text: string): void {
  const encoded = encoder.encode(text);
  bytes.push(encoded.length, ...encoded);
}

function pushUint16(bytes: number[], number: number): void {
  bytes.push(number >>> 8 & 0xff, number & 0xff);
}

function pushUint32(bytes: number[], number: number): void {
  pushUint16(bytes, number >>> 16);
  pushUint16(bytes, number & 0xffff);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Where the next byte stands. */
  get at(): number {
    return this.#at;
  }

  skip(count: number): void {
    this.#take(count);
  }

  uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  text(mayBeEmpty = false): string {
    const length = this.uint8();
    if (length === 0 && !mayBeEmpty) throw malformed();
    const at = this.#take(length);
    try {
      return decoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      throw malformed();
    }
  }

  #take(length: number): number {
    const at = this.#at;
    if (this.#bytes.length - at < length) throw malformed();
    this.#at = at + length;
    return at;
  }
}

function malformed(): SyntaxError {
  return new SyntaxError("Cannot read what a node handles: it is malformed");
}
