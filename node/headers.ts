/**
 * Headers of an event, as one of its extras.
 *
 * ```text
 * headers  (name length u8 and bytes · value length u16 and bytes)…
 * ```
 */
import { EXTRA_HEADERS, extraIn, writeExtras } from "./extras.ts";

/** Headers of one event. */
const MOST = 64;
/** How long a name may be, in bytes. */
const MAX_NAME = 255;

/** Of an event without headers. */
export const NO_HEADERS: ReadonlyMap<string, string> = new Map();

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The extras that carry headers; null: there are none.
 *
 * @throws {TypeError} If one is no text.
 * @throws {RangeError} If there are more than 64, or all take more than 4 KiB.
 */
export function writeHeaders(
  headers: ReadonlyMap<string, string>,
): Uint8Array | null {
  if (headers.size === 0) return null;
  if (headers.size > MOST) {
    throw new RangeError(
      `it has ${headers.size} headers, and at most ${MOST} travel`,
    );
  }
  const bytes: number[] = [];
  for (const [name, value] of headers) {
    if (typeof name !== "string" || typeof value !== "string") {
      throw new TypeError(`its header "${String(name)}" is no text`);
    }
    const key = encoder.encode(name);
    const text = encoder.encode(value);
    if (key.length === 0 || key.length > MAX_NAME || text.length > 0xffff) {
      throw new RangeError(
        `its header "${name}" is too long: a name has 1 to ${MAX_NAME} bytes`,
      );
    }
    bytes.push(key.length, ...key, text.length >>> 8, text.length & 0xff);
    for (const byte of text) bytes.push(byte);
  }
  return writeExtras([[EXTRA_HEADERS, Uint8Array.from(bytes)]]);
}

/** Reads headers from extras. From the first malformed one on, there are none. */
export function readHeaders(
  payload: Uint8Array,
  start: number,
  end: number,
): ReadonlyMap<string, string> {
  const bytes = extraIn(payload, start, end, EXTRA_HEADERS);
  if (bytes === null) return NO_HEADERS;
  const headers = new Map<string, string>();
  for (let at = 0; at < bytes.length && headers.size < MOST;) {
    const nameEnd = at + 1 + (bytes[at] ?? 0);
    const length = (bytes[nameEnd] ?? 0) << 8 | (bytes[nameEnd + 1] ?? 0);
    const valueEnd = nameEnd + 2 + length;
    if (nameEnd === at + 1 || valueEnd > bytes.length) break;
    headers.set(
      decoder.decode(bytes.subarray(at + 1, nameEnd)),
      decoder.decode(bytes.subarray(nameEnd + 2, valueEnd)),
    );
    at = valueEnd;
  }
  return headers;
}
