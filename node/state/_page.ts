import {
  getU48,
  malformed,
  putU48,
  type Reader,
  type ValueCodec,
  type Writer,
} from "./_bytes.ts";

import { grown } from "./_columns.ts";
import type { Settled } from "./_replicas.ts";

/** The version of the messages; those of another one are refused. */
const VERSION = 2;

/** Nothing follows: who has taken this page holds what the sender held. */
export const DONE = 1;
/** The sender waits to hear that it has been taken. */
export const ACK = 2;
/** Cannot be told as a list of changes: compare. */
export const COMPARE = 4;

/** The entries may be of any number: the spans say what the sender holds in all. */
export const SCAN = 8;
/** The other node has heard of exactly the same writes; a hash of what came of them follows. */
export const EQUAL = 16;
/** The sender holds more than it is known to hold: a transfer to it has been cut. */
export const PARTIAL = 32;
/** The sender has not taken over everything itself. */
export const NEW = 64;

const IS_DELETE = 1;
const MAX_REPLICAS = 65_535;

/**
 * The writes of a replica that a message tells of: those after `from`, up to `to`. Where
 * it says what the sender holds in all, tombstones up to `from` have been collected.
 */
export interface Span {
  readonly id: string;
  readonly from: number;
  readonly to: number;
}

/** What stands before the entries of a message. */
export interface Head {
  readonly flags: number;
  /** The time of day at the sender. */
  readonly wallClock: number;
  readonly spans: readonly Span[];
  /** Nodes of which lives are over, and known everywhere. */
  readonly settled: readonly (readonly [node: string, settled: Settled])[];
}

/** A head with nothing in it. */
export const EMPTY: Head = {
  flags: 0,
  wallClock: 0,
  spans: [],
  settled: [],
};

/** Writes what stands before the entries. */
export function writeHead(writer: Writer, head: Head): void {
  writer.u8(VERSION);
  writer.u8(head.flags);
  writer.u64(Math.max(0, Math.floor(head.wallClock)));
  writer.u16(Math.min(MAX_REPLICAS, head.spans.length));
  for (const { id, from, to } of head.spans.slice(0, MAX_REPLICAS)) {
    writer.text(id);
    writer.u64(from);
    writer.u64(to);
  }
  writer.u16(Math.min(MAX_REPLICAS, head.settled.length));
  for (const [node, settled] of head.settled.slice(0, MAX_REPLICAS)) {
    writer.text(node);
    writer.u64(settled.incarnation);
    writer.u64(settled.mark);
  }
}

/**
 * Reads what stands before the entries.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function readHead(reader: Reader): Head {
  const version = reader.u8();
  if (version !== VERSION) {
    throw malformed(`it has version ${version}, this node reads ${VERSION}`);
  }
  const flags = reader.u8();
  const wallClock = reader.u64();
  const spans: Span[] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const id = reader.text();
    const from = reader.u64();
    const to = reader.u64();
    if (from > to) throw malformed(`writes from ${from} to ${to}`);
    spans.push({ id, from, to });
  }
  const settled: [string, Settled][] = [];
  for (let left = reader.u16(); left > 0; left--) {
    const node = reader.text();
    settled.push([node, { incarnation: reader.u64(), mark: reader.u64() }]);
  }
  return { flags, wallClock, spans, settled };
}

/** Writes one entry; returns how many bytes its value takes. */
export function writeEntry(
  writer: Writer,
  codec: ValueCodec,
  span: number,
  seq: number,
  time: number,
  counter: number,
  key: string,
  isDelete: boolean,
  value: unknown,
): number {
  writer.room(ENTRY_HEAD);
  const { bytes, at } = writer;
  bytes[at] = span >>> 8;
  bytes[at + 1] = span;
  putU48(bytes, at + 2, seq);
  putU48(bytes, at + 8, time);
  bytes[at + 14] = counter >>> 8;
  bytes[at + 15] = counter;
  bytes[at + 16] = isDelete ? IS_DELETE : 0;
  writer.at = at + ENTRY_HEAD;
  writer.text(key);
  if (!isDelete) return writer.value(codec, value);
  writer.u32(0);
  return 0;
}

/** What stands before the key of an entry, in bytes: span, number, time, counter, flags. */
const ENTRY_HEAD = 17;
const FIRST_SIZE = 256;

/**
 * The entries of a message, as they are read: a column for each of their fields, used
 * again for the next message.
 */
export class Told {
  count = 0;
  /** The index of the replica of each among the spans. */
  spans: Uint16Array = new Uint16Array(FIRST_SIZE);
  seqs: Float64Array = new Float64Array(FIRST_SIZE);
  times: Float64Array = new Float64Array(FIRST_SIZE);
  counters: Uint16Array = new Uint16Array(FIRST_SIZE);
  deletes: Uint8Array = new Uint8Array(FIRST_SIZE);
  keys: string[] = [];
  values: unknown[] = [];

  /**
   * Reads all entries up to the end: all, or none.
   *
   * @throws {SyntaxError} If one of them is malformed.
   */
  read(
    bytes: Uint8Array,
    reader: Reader,
    { spans, flags }: Head,
    codec: ValueCodec,
  ): void {
    const isScan = (flags & SCAN) !== 0;
    this.clear();
    while (!reader.done) {
      const i = this.count;
      if (i === this.spans.length) this.#grow();
      const at = reader.skip(ENTRY_HEAD) - ENTRY_HEAD;
      const span = (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
      const seq = getU48(bytes, at + 2);
      this.spans[i] = span;
      this.seqs[i] = seq;
      this.times[i] = getU48(bytes, at + 8);
      this.counters[i] = (bytes[at + 14] ?? 0) << 8 | (bytes[at + 15] ?? 0);
      const isDelete = ((bytes[at + 16] ?? 0) & IS_DELETE) !== 0;
      this.deletes[i] = isDelete ? 1 : 0;
      const key = reader.text();
      const length = reader.u32();
      const start = reader.at;
      const end = reader.skip(length);
      const known = spans[span];
      const isOfSpan = isScan || known && seq > known.from && seq <= known.to;
      if (!known || !isOfSpan || seq === 0) {
        throw malformed(`write ${seq} is none of those that it tells of`);
      }
      this.keys.push(key);
      this.values.push(
        isDelete ? undefined : codec.decode(bytes, start, end),
      );
      this.count++;
    }
  }

  /** Lets go of keys and values. */
  clear(): void {
    this.count = 0;
    this.keys.length = 0;
    this.values.length = 0;
  }

  #grow(): void {
    const length = 2 * this.spans.length;
    this.spans = grown(this.spans, new Uint16Array(length));
    this.seqs = grown(this.seqs, new Float64Array(length));
    this.times = grown(this.times, new Float64Array(length));
    this.counters = grown(this.counters, new Uint16Array(length));
    this.deletes = grown(this.deletes, new Uint8Array(length));
  }
}
