import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { IdMap } from "./_id_map.ts";
import type { Version } from "./_map_advert.ts";
import { readStamp, type Stamp, writeStamp } from "./_order_stamp.ts";
import { readId } from "./_peer_codec.ts";
import type { Lane, NodeId } from "./types.ts";

/** The first byte of every packet; the second is its kind. */
const FORMAT = 1;

/** Between neighbours: tell me your map's hash. */
export const HELLO = 1;
/** The answer to it. */
export const ANSWER = 2;
/** Which adverts the sender has, of the nodes in a range of ids. */
export const SUMMARY = 3;
/** What nodes tell of their links. */
export const ADVERTS = 4;
/** Tell me that you have all that I sent in this lane. */
export const MARK = 5;
/** The answer to it. */
export const ACK = 6;
/** A payload for one node. Like the three after, it carries the path that it takes. */
export const LETTER = 7;
/** A letter that comes back to its origin: it found no way on. */
export const RETURN = 8;
/** Tells the origin of a payload that it could not be carried further. */
export const REPORT = 9;
/** A payload for all that takes another way around a link that broke. */
export const CARRY = 10;
/** How many packets have come over a link that ended. */
export const TALLY = 11;
/** A payload for all. */
export const BROADCAST = 12;

/** What neighbours say to each other, and no further. */
export type Talk =
  | {
    readonly kind: typeof HELLO;
    readonly token: number;
    /** What the sender calls this link. */
    readonly link: number;
  }
  | {
    readonly kind: typeof ANSWER;
    readonly token: number;
    readonly hash: number;
  }
  | { readonly kind: typeof SUMMARY; readonly page: Page }
  | { readonly kind: typeof ADVERTS; readonly adverts: readonly Aged[] }
  | { readonly kind: typeof MARK; readonly number: number }
  | {
    readonly kind: typeof ACK;
    readonly lane: Lane;
    readonly number: number;
  };

/** What the sender has of the nodes whose ids are in `after` < id ≤ `upTo`. */
export interface Page {
  /** Empty: from the first on. */
  readonly after: string;
  /** Empty: to the last. */
  readonly upTo: string;
  readonly versions: ReadonlyMap<NodeId, Version>;
}

/** An advert on its way, and how many ms ago it was made. */
export interface Aged {
  readonly age: number;
  readonly bytes: Uint8Array;
}

/** The kinds of packets that carry their path. */
export type RoutedKind =
  | typeof LETTER
  | typeof RETURN
  | typeof REPORT
  | typeof CARRY
  | typeof TALLY;

/** A packet that carries the path it takes. */
export interface Routed {
  readonly kind: RoutedKind;
  /** From the node that sends it to the one it is for, both included. */
  readonly path: readonly NodeId[];
  /** How often it has left its path for another. */
  readonly detours: number;
  readonly content: Uint8Array;
}

/** A payload for all. */
export interface Broadcast {
  /** To every neighbour; else along the tree of its origin. */
  readonly isFlood: boolean;
  /** The digest of the map on which that tree stands. */
  readonly digest: number;
  readonly stamp: Stamp;
  readonly payload: Uint8Array;
}

/** The content of a letter. */
export interface Letter {
  readonly stamp: Stamp;
  /** The epoch of the target's life that it is for alone; 0: any. */
  readonly life: number;
  readonly payload: Uint8Array;
}

/** The content of a report. */
export interface Report {
  readonly to: NodeId;
  readonly reason: string;
  /** How the payload began. */
  readonly head: Uint8Array;
}

/** How many packets of each lane have come over a link that ended. */
export interface Tally {
  /** What the node that sent them calls the link. */
  readonly link: number;
  readonly control: number;
  readonly data: number;
}

/** The longest path, as text. */
export const MAX_PATH = 60_000;
const PATH = /^[\x21-\x7e]{1,64}(?: [\x21-\x7e]{1,64})+$/;
const MAX_REASON = 256;
/** How much of a payload tells which one it was, in bytes. */
const HEAD = 256;

/** The kind of a packet; null: its format is not known. */
export function kindOf(packet: Uint8Array): number | null {
  return packet[0] === FORMAT ? packet[1] ?? null : null;
}

/** How a payload begins. */
export function headOf(payload: Uint8Array): Uint8Array {
  return payload.subarray(0, HEAD);
}

// -- Between neighbours --

export function writeTalk(talk: Talk): Uint8Array {
  const writer = new Writer().u8(FORMAT).u8(talk.kind);
  switch (talk.kind) {
    case HELLO:
      return writer.u32(talk.token).u32(talk.link).take();
    case ANSWER:
      return writer.u32(talk.token).u53(talk.hash).take();
    case SUMMARY:
      return writePage(writer, talk.page);
    case ADVERTS:
      for (const { age, bytes } of talk.adverts) writer.u32(age).bytes(bytes);
      return writer.take();
    case MARK:
      return writer.u53(talk.number).take();
    case ACK:
      return writer.u8(talk.lane === "control" ? 1 : 0).u53(talk.number)
        .take();
  }
}

function writePage(
  writer: Writer,
  { after, upTo, versions }: Page,
): Uint8Array {
  writer.string(after).string(upTo);
  for (const [id, { incarnation, sequence }] of versions) {
    writer.string(id).u53(incarnation).u32(sequence);
  }
  return writer.take();
}

/**
 * Reads what a neighbour says; null: the kind is another.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function readTalk(packet: Uint8Array): Talk | null {
  const reader = new Reader(packet.subarray(2));
  const talk = readFields(kindOf(packet), reader);
  if (talk !== null) reader.end();
  return talk;
}

function readFields(kind: number | null, reader: Reader): Talk | null {
  switch (kind) {
    case HELLO:
      return { kind, token: reader.u32(), link: reader.u32() };
    case ANSWER:
      return { kind, token: reader.u32(), hash: reader.u53() };
    case SUMMARY:
      return { kind, page: readPage(reader) };
    case ADVERTS:
      return { kind, adverts: readAdverts(reader) };
    case MARK:
      return { kind, number: reader.u53() };
    case ACK: {
      const lane = reader.u8() === 1 ? "control" : "data";
      return { kind, lane, number: reader.u53() };
    }
    default:
      return null;
  }
}

function readPage(reader: Reader): Page {
  const after = reader.string(64);
  const upTo = reader.string(64);
  const versions = new IdMap<Version>();
  while (!reader.done) {
    const id = readId(reader);
    versions.set(id, { incarnation: reader.u53(), sequence: reader.u32() });
  }
  return { after, upTo, versions };
}

function readAdverts(reader: Reader): Aged[] {
  const adverts: Aged[] = [];
  while (!reader.done) {
    adverts.push({ age: reader.u32(), bytes: reader.bytes(65_535) });
  }
  return adverts;
}

// -- Along a path --

/** Writes a packet; its content may come in parts. Its path must not be too long. */
export function writeRouted(
  { kind, path, detours }: Omit<Routed, "content">,
  content: readonly Uint8Array[],
): Uint8Array {
  const writer = new Writer().u8(detours).string(path.join(" "));
  return join(kind, writer.take(), content);
}

/**
 * Reads a packet that carries its path; null: the kind is another.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function readRouted(packet: Uint8Array): Routed | null {
  const kind = kindOf(packet);
  if (!isRouted(kind)) return null;
  const { head, rest } = split(packet.subarray(2));
  const reader = new Reader(head);
  const detours = reader.u8();
  const path = reader.string(MAX_PATH);
  reader.end();
  if (!PATH.test(path)) throw new MalformedError("A path is malformed");
  return { kind, path: path.split(" "), detours, content: rest };
}

function isRouted(kind: number | null): kind is RoutedKind {
  return kind === LETTER || kind === RETURN || kind === REPORT ||
    kind === CARRY || kind === TALLY;
}

/** What comes before the payload in the content of a letter. */
export function writeLetterHead(
  { stamp, life }: Omit<Letter, "payload">,
): Uint8Array {
  const writer = new Writer().u53(life);
  writeStamp(writer, stamp);
  return block(writer.take());
}

/** @throws {MalformedError} If it is malformed. */
export function readLetter(content: Uint8Array): Letter {
  const { head, rest } = split(content);
  const reader = new Reader(head);
  const life = reader.u53();
  const stamp = readStamp(reader);
  reader.end();
  return { stamp, life, payload: rest };
}

export function writeReport({ to, reason, head }: Report): Uint8Array {
  return new Writer().string(to).string(reason.slice(0, MAX_REASON))
    .bytes(head).take();
}

/** @throws {MalformedError} If it is malformed. */
export function readReport(content: Uint8Array): Report {
  const reader = new Reader(content);
  const to = readId(reader);
  const reason = reader.string(3 * MAX_REASON);
  const head = reader.bytes(HEAD);
  reader.end();
  return { to, reason, head };
}

export function writeTally({ link, control, data }: Tally): Uint8Array {
  return new Writer().u32(link).u53(control).u53(data).take();
}

/** @throws {MalformedError} If it is malformed. */
export function readTally(content: Uint8Array): Tally {
  const reader = new Reader(content);
  const tally = {
    link: reader.u32(),
    control: reader.u53(),
    data: reader.u53(),
  };
  reader.end();
  return tally;
}

// -- To all --

export function writeBroadcast(broadcast: Broadcast): Uint8Array {
  const { isFlood, digest, stamp, payload } = broadcast;
  const writer = new Writer().u8(isFlood ? 1 : 0).u53(digest);
  writeStamp(writer, stamp);
  return join(BROADCAST, writer.take(), [payload]);
}

/**
 * Reads a payload for all.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function readBroadcast(packet: Uint8Array): Broadcast {
  const { head, rest } = split(packet.subarray(2));
  const reader = new Reader(head);
  const isFlood = reader.u8() === 1;
  const digest = reader.u53();
  const stamp = readStamp(reader);
  reader.end();
  if (stamp.to !== null) {
    throw new MalformedError("A payload for all is for one");
  }
  return { isFlood, digest, stamp, payload: rest };
}

// -- Parts --

function join(
  kind: number,
  header: Uint8Array,
  content: readonly Uint8Array[],
): Uint8Array {
  return concat([Uint8Array.of(FORMAT, kind), block(header), ...content]);
}

/** Bytes behind their length. */
function block(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(2 + bytes.length);
  whole[0] = bytes.length >>> 8;
  whole[1] = bytes.length & 0xff;
  whole.set(bytes, 2);
  return whole;
}

/** Takes bytes behind their length from what follows them. */
function split(
  bytes: Uint8Array,
): { readonly head: Uint8Array; readonly rest: Uint8Array } {
  const high = bytes[0] ?? 0;
  const low = bytes[1] ?? 0;
  const end = 2 + 256 * high + low;
  if (end > bytes.length) throw new MalformedError("A header is cut short");
  return { head: bytes.subarray(2, end), rest: bytes.subarray(end) };
}

/** Puts parts together. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
