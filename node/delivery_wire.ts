/**
 * What acknowledged deliveries say on the wire, in the entries of a bundle.
 *
 * ```text
 * delivery      id u32 = the low half of its sequence · extras: run u32 ·
 *               incarnation u53 · high half of the sequence u32 · ahead u16 ·
 *               number u53
 * run           random, of one start of the origin; ordered by its incarnation
 * sequence      per run and receiver: 0, 1, 2 …
 * ahead         how many from the first that is not settled: all before are
 * number        of the call of `deliver`, whoever the receiver
 * receipt       id u32 = run · kind u8 = 0 · result…
 * result        code u8 · first sequence u53 · count u16 · text length u8 · text
 * echo, echoed  id u32 = any number · kind u8 = 1, 2
 * ```
 *
 * Numbers are big-endian; a u53 takes eight bytes.
 */
import { EXTRA_DELIVERY, extraAt, EXTRAS_HEADER } from "./extras.ts";
import {
  readUint32,
  readUint53,
  writeUint32,
  writeUint53,
} from "./stream_wire.ts";

/** Deliveries to one node that are not settled span so many, at most. */
export const WINDOW = 4_096;

/** What became of a delivery at a node. */
export const RUNNING = 1;
/** Its handlers have returned. */
export const DONE = 2;
/** A handler threw or rejected. */
export const FAILED = 3;
/** Nobody handles the name there. */
export const UNHANDLED = 4;
/** A guest has no right to it. */
export const FORBIDDEN = 5;
/** The data does not fit the contract. */
export const INVALID = 6;
/** One of these. */
export type Code =
  | typeof RUNNING
  | typeof DONE
  | typeof FAILED
  | typeof UNHANDLED
  | typeof FORBIDDEN
  | typeof INVALID;

const RECEIPT = 0;
const ECHO = 1;
const ECHOED = 2;

const LENGTH = 26;
const RESULT_HEADER = 12;
/** What a receipt says of one reason, in UTF-16 code units. */
const MAX_TEXT = 80;
/** A receipt is not longer, in bytes. */
const MAX_RECEIPT = 32_768;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The id of a delivery, and how far its origin is. */
export interface DeliveryId {
  readonly run: number;
  readonly incarnation: number;
  readonly sequence: number;
  /** The first that is not settled. */
  readonly floor: number;
  /** Of the call of `deliver`. */
  readonly number: number;
}

/** Writes the extras of the deliveries of one start of a node. */
export class DeliveryWriter {
  // What it writes is copied before it writes again, so one buffer serves all.
  readonly #own = new Uint8Array(EXTRAS_HEADER + LENGTH);

  constructor(run: number) {
    this.#own[0] = EXTRA_DELIVERY;
    this.#own[2] = LENGTH;
    writeUint32(this.#own, EXTRAS_HEADER, run);
  }

  /** The extras of one: valid until the next call. */
  write(
    incarnation: number,
    sequence: number,
    floor: number,
    number: number,
  ): Uint8Array {
    const own = this.#own;
    const ahead = sequence - floor;
    writeUint53(own, EXTRAS_HEADER + 4, incarnation);
    writeUint32(own, EXTRAS_HEADER + 12, Math.floor(sequence / 2 ** 32));
    own[EXTRAS_HEADER + 16] = ahead >>> 8;
    own[EXTRAS_HEADER + 17] = ahead;
    writeUint53(own, EXTRAS_HEADER + 18, number);
    return own;
  }
}

/**
 * Reads what {@linkcode DeliveryWriter} wrote, from the extras of an entry.
 *
 * @throws {SyntaxError} If it is malformed, or not there.
 */
export function readDelivery(
  source: Uint8Array,
  start: number,
  end: number,
  low: number,
): DeliveryId {
  const at = extraAt(source, start, end, EXTRA_DELIVERY);
  if (at < 0 || source[at - 1] !== LENGTH || source[at - 2] !== 0) {
    throw malformed("delivery");
  }
  const sequence = readUint32(source, at + 12) * 2 ** 32 + low;
  const ahead = (source[at + 16] ?? 0) << 8 | (source[at + 17] ?? 0);
  const floor = sequence - ahead;
  if (floor < 0 || ahead >= WINDOW || !Number.isSafeInteger(sequence)) {
    throw malformed("delivery");
  }
  return {
    run: readUint32(source, at),
    incarnation: readUint53(source, at + 4),
    sequence,
    floor,
    number: readUint53(source, at + 18),
  };
}

/** What became of some deliveries in a row. */
export interface Result {
  readonly code: Code;
  readonly first: number;
  count: number;
  /** Why, where it failed. */
  readonly text: string;
}

/** Receipts of so many results; several where they are many. */
export function writeReceipts(results: readonly Result[]): Uint8Array[] {
  const receipts: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  let length = 1;
  let total = 0;
  for (const result of results) {
    const part = writeResult(result);
    total += result.count;
    if (length + part.length > MAX_RECEIPT || total > WINDOW) {
      receipts.push(joined(parts, length));
      parts = [];
      length = 1;
      total = result.count;
    }
    parts.push(part);
    length += part.length;
  }
  receipts.push(joined(parts, length));
  return receipts;
}

function writeResult({ code, first, count, text }: Result): Uint8Array {
  const bytes = text === ""
    ? null
    : encoder.encode(text.slice(0, MAX_TEXT).toWellFormed());
  const part = new Uint8Array(RESULT_HEADER + (bytes?.length ?? 0));
  part[0] = code;
  writeUint53(part, 1, first);
  part[9] = count >>> 8;
  part[10] = count;
  part[11] = bytes?.length ?? 0;
  if (bytes) part.set(bytes, RESULT_HEADER);
  return part;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const receipt = new Uint8Array(length);
  receipt[0] = RECEIPT;
  let at = 1;
  for (const part of parts) {
    receipt.set(part, at);
    at += part.length;
  }
  return receipt;
}

/** An echo that is asked for, or that answers. */
export function writeEcho(kind: "echo" | "echoed"): Uint8Array {
  return Uint8Array.of(kind === "echo" ? ECHO : ECHOED);
}

/** What a node says of deliveries. */
export type Receipt =
  | { readonly kind: "results"; readonly results: readonly Result[] }
  | { readonly kind: "echo" | "echoed" }
  /** Of a later version. */
  | { readonly kind: "unknown" };

/**
 * Reads a receipt or an echo.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function readReceipt(bytes: Uint8Array): Receipt {
  switch (bytes[0]) {
    case RECEIPT:
      return { kind: "results", results: readResults(bytes) };
    case ECHO:
      return { kind: "echo" };
    case ECHOED:
      return { kind: "echoed" };
    case undefined:
      throw malformed("receipt");
  }
  return { kind: "unknown" };
}

function readResults(bytes: Uint8Array): Result[] {
  const results: Result[] = [];
  // A node that tells of more than a window holds would only keep this one busy.
  let total = 0;
  for (let at = 1; at < bytes.length;) {
    const from = at + RESULT_HEADER;
    const end = from + (bytes[at + 11] ?? 0);
    const code = bytes[at] ?? 0;
    const count = (bytes[at + 9] ?? 0) << 8 | (bytes[at + 10] ?? 0);
    total += count;
    if (end > bytes.length || total > WINDOW) throw malformed("receipt");
    if (isCode(code)) {
      const first = readUint53(bytes, at + 1);
      const text = from === end
        ? ""
        : decoder.decode(bytes.subarray(from, end));
      results.push({ code, first, count, text });
    }
    at = end;
  }
  return results;
}

function isCode(code: number): code is Code {
  return code >= RUNNING && code <= INVALID;
}

function malformed(part: string): SyntaxError {
  return new SyntaxError(
    `Cannot read a bundle of events: its ${part} is malformed`,
  );
}
