/**
 * What the two ends of a stream tell each other: one frame is one payload of the
 * router. Numbers are big-endian.
 *
 * ```text
 * frame    kind u8 = 3 · type u8 · stream u32 · body
 * type     below; + 0x80: the stream was opened by the node that the frame goes to
 * stream   chosen by the node that opened it
 *
 * open     1: limit u64 · longest u32 · name (the rest, UTF-8)
 * accept   2: limit u64 · longest u32
 * credit   3: received u64 · limit u64
 * data     4: offset u64 · bytes (the rest)
 * end      5: offset u64
 * reset    6: code u8 · text (the rest, UTF-8, at most 1 KiB)
 * probe    7: offset u64
 *
 * message  kind u8 (0 a value of the codec, 1 bytes) · length u32 · data
 * ```
 *
 * Each direction is a sequence of messages that is cut into pieces without regard to
 * where they end. Offsets count its bytes from 0.
 *
 * - `limit` is the offset up to which the sender of the frame takes bytes: credit. It
 *   never falls. `longest`: the longest message that it takes, in bytes.
 * - `received` is the offset up to which bytes have come, one more once the end has.
 * - `end`: nothing follows. `offset`: where it stands.
 * - `probe` asks whether all up to `offset` has come, and is answered with `credit`, or
 *   with `reset`. It travels behind the data, so what has not come is lost.
 *
 * `open`, `data`, `end` and `probe` travel in the data lane, in order; the others in the
 * control lane. They hold nothing that may not come early, late, or not at all.
 */
import { PAYLOAD_STREAMS } from "./bundle.ts";

/** Asks for a stream. */
export const OPEN = 1;
/** The stream is taken. */
export const ACCEPT = 2;
/** What has come, and what may come. */
export const CREDIT = 3;
/** A piece of the sequence. */
export const DATA = 4;
/** The sequence has ended. */
export const END = 5;
/** The stream is over, both ways. */
export const RESET = 6;
/** Asks what has come. */
export const PROBE = 7;
/** Added to the type: the stream was opened by the node that the frame goes to. */
export const YOURS = 0x80;

/** Bytes in front of the body. */
export const FRAME_HEADER = 6;
/** Bytes in front of the data of a piece. */
export const DATA_HEADER = FRAME_HEADER + 8;
/** Bytes in front of the data of a message. */
export const MESSAGE_HEADER = 5;
/** A message that is a value of the codec. */
export const VALUE = 0;
/** A message that is bytes. */
export const BYTES = 1;

/** Why a stream is reset; the place in the list is what travels. */
const CODES = [
  "aborted",
  "unhandled",
  "limit",
  "lost",
  "unknown",
  "closed",
  "violation",
] as const;

/** Why a stream is reset. */
export type ResetCode = typeof CODES[number];

/** The most of a reset's text that travels, in characters. */
const MAX_TEXT = 256;
const MAX_TEXT_BYTES = 1_024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/** Writes the header of a frame; returns where the body begins. */
export function writeFrameHeader(
  target: Uint8Array,
  at: number,
  type: number,
  stream: number,
): number {
  target[at] = PAYLOAD_STREAMS;
  target[at + 1] = type;
  writeUint32(target, at + 2, stream);
  return at + FRAME_HEADER;
}

/** A frame of two numbers, or of one. */
export function numbersFrame(
  type: number,
  stream: number,
  first: number,
  second?: number,
): Uint8Array {
  const length = second === undefined ? 8 : 16;
  const frame = new Uint8Array(FRAME_HEADER + length);
  const at = writeFrameHeader(frame, 0, type, stream);
  writeUint53(frame, at, first);
  if (second !== undefined) writeUint53(frame, at + 8, second);
  return frame;
}

/** A frame that opens a stream; `name`: its name, encoded. */
export function openFrame(
  stream: number,
  limit: number,
  longest: number,
  name: Uint8Array,
): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + 12 + name.length);
  writeLimits(frame, OPEN, stream, limit, longest);
  frame.set(name, FRAME_HEADER + 12);
  return frame;
}

/** A frame that accepts a stream of the node that it goes to. */
export function acceptFrame(
  stream: number,
  limit: number,
  longest: number,
): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + 12);
  writeLimits(frame, ACCEPT | YOURS, stream, limit, longest);
  return frame;
}

function writeLimits(
  frame: Uint8Array,
  type: number,
  stream: number,
  limit: number,
  longest: number,
): void {
  const at = writeFrameHeader(frame, 0, type, stream);
  writeUint53(frame, at, limit);
  writeUint32(frame, at + 8, longest);
}

/** A frame that ends a stream both ways. */
export function resetFrame(
  type: number,
  stream: number,
  code: ResetCode,
  text: string,
): Uint8Array {
  const body = encoder.encode(text.slice(0, MAX_TEXT));
  const frame = new Uint8Array(FRAME_HEADER + 1 + body.length);
  const at = writeFrameHeader(frame, 0, type, stream);
  frame[at] = CODES.indexOf(code);
  frame.set(body, at + 1);
  return frame;
}

/** What a reset says; a code of a later version counts as `aborted`. */
export function readReset(
  frame: Uint8Array,
): { readonly code: ResetCode; readonly text: string } {
  if (frame.length <= FRAME_HEADER) throw malformed();
  const text = frame.subarray(FRAME_HEADER + 1);
  return {
    code: CODES[frame[FRAME_HEADER] ?? 0] ?? "aborted",
    text: decoder.decode(text.subarray(0, MAX_TEXT_BYTES)),
  };
}

/** The name in a frame that opens a stream. */
export function readName(frame: Uint8Array): string {
  const bytes = frame.subarray(FRAME_HEADER + 12);
  if (bytes.length === 0 || bytes.length > 255) throw malformed();
  try {
    return strictDecoder.decode(bytes);
  } catch {
    throw malformed();
  }
}

/** Writes a safe integer in 8 bytes. */
export function writeUint53(
  target: Uint8Array,
  at: number,
  value: number,
): void {
  writeUint32(target, at, Math.floor(value / 2 ** 32));
  writeUint32(target, at + 4, value >>> 0);
}

/**
 * Reads a safe integer of 8 bytes.
 *
 * @throws {SyntaxError} If it is none, or cut short.
 */
export function readUint53(source: Uint8Array, at: number): number {
  const value = readUint32(source, at) * 2 ** 32 + readUint32(source, at + 4);
  if (!Number.isSafeInteger(value)) throw malformed();
  return value;
}

/** Writes 4 bytes. */
export function writeUint32(
  target: Uint8Array,
  at: number,
  value: number,
): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/**
 * Reads 4 bytes.
 *
 * @throws {SyntaxError} If there are fewer.
 */
export function readUint32(source: Uint8Array, at: number): number {
  if (source.length < at + 4) throw malformed();
  return ((source[at] ?? 0) << 24 | (source[at + 1] ?? 0) << 16 |
    (source[at + 2] ?? 0) << 8 | (source[at + 3] ?? 0)) >>> 0;
}

/** What is thrown for a frame that makes no sense. */
export function malformed(): SyntaxError {
  return new SyntaxError("Cannot read a frame of a stream: it is malformed");
}
