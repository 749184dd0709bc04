/**
 * What is published, and whether what arrives is that. Runs under any runtime.
 *
 * @module
 */

import type { Kind } from "./peer.ts";

/** An object: 128 bytes as MessagePack, where maps have a header of three bytes. */
export interface Item {
  /** The sequence number. */
  readonly id: number;
  /** The same in all. */
  readonly name: string;
  /** Ends in a checksum of the sequence number. */
  readonly s: string;
}

/** A kind whose messages are bytes: a sequence number, a pattern, a checksum. */
export type BytesKind = Exclude<Kind, "object128">;

/** The first sequence number: from it on, all take five bytes as MessagePack. */
export const FIRST = 1_000_000;

/** The length of the messages, in bytes. */
export const SIZES: Readonly<Record<Kind, number>> = {
  object128: 128,
  bytes128: 128,
  bytes1k: 1_024,
  bytes64k: 65_536,
};

const NAME = "order.created";
const TEXTS: readonly string[] = Array.from(
  { length: 256 },
  (_, sum) => "x".repeat(92) + sum.toString(16).padStart(2, "0"),
);
const ENDS = 4;

/**
 * The kind of a name.
 *
 * @throws {TypeError} If there is none.
 */
export function kindOf(name: string): Kind {
  switch (name) {
    case "object128":
    case "bytes128":
    case "bytes1k":
    case "bytes64k":
      return name;
  }
  throw new TypeError(`There is no kind "${name}"`);
}

/** Makes an object to publish. */
export function itemOf(sequence: number): Item {
  return { id: sequence, name: NAME, s: textOf(sequence) };
}

/** Whether an object is the one of its sequence number, to the last character. */
export function isRight({ id, name, s }: Item): boolean {
  return name === NAME && s === textOf(id);
}

/**
 * Bytes to publish, yet without a sequence number: {@linkcode stamp} them, or a copy
 * of them where a system keeps what it is given.
 */
export function template(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => patternAt(index));
}

/** Writes a sequence number and its checksum into bytes, and returns them. */
export function stamp<Bytes extends Uint8Array>(
  bytes: Bytes,
  sequence: number,
): Bytes {
  writeNumber(bytes, 0, sequence);
  writeNumber(bytes, bytes.length - ENDS, checksum(sequence));
  return bytes;
}

/** The sequence number of bytes; -1: they are not what was sent, by their checksum. */
export function sequenceOf(bytes: Uint8Array): number {
  if (bytes.length < 2 * ENDS) return -1;
  const sequence = readNumber(bytes, 0);
  const sum = readNumber(bytes, bytes.length - ENDS);
  return sum === checksum(sequence) ? sequence : -1;
}

/** Whether bytes are those of a sequence number, one by one. */
export function isWhole(bytes: Uint8Array, sequence: number): boolean {
  if (sequenceOf(bytes) !== sequence) return false;
  for (let index = ENDS; index < bytes.length - ENDS; index++) {
    if (bytes[index] !== patternAt(index)) return false;
  }
  return true;
}

function textOf(sequence: number): string {
  return TEXTS[checksum(sequence) >>> 24] ?? "";
}

function checksum(sequence: number): number {
  return Math.imul(sequence, 0x9e3779b1) >>> 0;
}

function patternAt(index: number): number {
  return (7 + 31 * index) & 0xff;
}

// By hand, since a `DataView` of each message would cost more than the message.
function readNumber(bytes: Uint8Array, start: number): number {
  const high = (bytes[start] ?? 0) << 24 | (bytes[start + 1] ?? 0) << 16;
  const low = (bytes[start + 2] ?? 0) << 8 | (bytes[start + 3] ?? 0);
  return (high | low) >>> 0;
}

function writeNumber(bytes: Uint8Array, start: number, value: number): void {
  bytes[start] = value >>> 24;
  bytes[start + 1] = value >>> 16;
  bytes[start + 2] = value >>> 8;
  bytes[start + 3] = value;
}
