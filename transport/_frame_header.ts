import type { Framing } from "./types.ts";

/** Bytes in front of a message: its length, big-endian. */
export const HEADER = 4;

/** What every framed stream puts in front of a message. */
export const LENGTH_PREFIX: Framing = {
  size: HEADER,
  write: (frame) => writeLength(frame, 0, frame.length - HEADER),
};

/** In place of a length: nothing follows. Longer than any message. */
export const GOODBYE_LENGTH = 2 ** 32 - 1;
/** The frame that says so. */
export const GOODBYE = Uint8Array.of(255, 255, 255, 255);

/** Reads the length of a message; the header must have arrived. */
export function readLength(bytes: Uint8Array, offset: number): number {
  // Within bounds by the caller: `?? 0` is for the type checker.
  const high = ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  const low = ((bytes[offset + 2] ?? 0) << 8) | (bytes[offset + 3] ?? 0);
  return high * 0x10000 + low;
}

/** Writes the length of a message. */
export function writeLength(
  bytes: Uint8Array,
  offset: number,
  length: number,
): void {
  bytes[offset] = length >>> 24;
  bytes[offset + 1] = length >>> 16;
  bytes[offset + 2] = length >>> 8;
  bytes[offset + 3] = length;
}
