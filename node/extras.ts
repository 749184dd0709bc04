/**
 * What few events carry beside their data: a list of tagged values, of which a reader
 * skips those that it does not know.
 *
 * ```text
 * extras   (tag u8 · length u16 · bytes)…
 * ```
 *
 * Numbers are big-endian.
 */

/** Headers for middleware. */
export const EXTRA_HEADERS = 1;
/** Which members of groups an event is for. */
export const EXTRA_GROUPS = 2;
/** The id of an acknowledged delivery. */
export const EXTRA_DELIVERY = 3;
/** The name of the codec of the data, where it is not the node's. */
export const EXTRA_CODEC = 4;

/** What the extras of one event take at most, in bytes. */
export const MAX_EXTRAS = 4_096;

/** What an extra takes beyond its bytes. */
export const EXTRAS_HEADER = 3;

/**
 * Joins extras into what a bundle carries.
 *
 * @throws {RangeError} If they take more than {@linkcode MAX_EXTRAS}.
 */
export function writeExtras(
  extras: readonly (readonly [tag: number, bytes: Uint8Array])[],
): Uint8Array {
  let length = 0;
  for (const [, bytes] of extras) length += EXTRAS_HEADER + bytes.length;
  if (length > MAX_EXTRAS) {
    throw new RangeError(
      `what it carries beside its data takes ${length} bytes, and at most ${MAX_EXTRAS} may`,
    );
  }
  const written = new Uint8Array(length);
  let at = 0;
  for (const [tag, bytes] of extras) {
    written[at] = tag;
    written[at + 1] = bytes.length >>> 8;
    written[at + 2] = bytes.length;
    written.set(bytes, at + EXTRAS_HEADER);
    at += EXTRAS_HEADER + bytes.length;
  }
  return written;
}

/** Both of them, one behind the other; null: there are none. */
export function joinExtras(
  a: Uint8Array | null,
  b: Uint8Array | null,
): Uint8Array | null {
  if (a === null || b === null) return a ?? b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Whether extras are well-formed: {@linkcode extraIn} reads only such. */
export function areExtras(
  source: Uint8Array,
  start: number,
  end: number,
): boolean {
  let at = start;
  while (at + EXTRAS_HEADER <= end) at += EXTRAS_HEADER + lengthAt(source, at);
  return at === end;
}

/** The bytes of the first extra with a tag, a view; null: there is none. */
export function extraIn(
  source: Uint8Array,
  start: number,
  end: number,
  tag: number,
): Uint8Array | null {
  const from = extraAt(source, start, end, tag);
  if (from < 0) return null;
  return source.subarray(from, from + lengthAt(source, from - EXTRAS_HEADER));
}

/** Where the bytes of the first extra with a tag begin; -1: there is none. */
export function extraAt(
  source: Uint8Array,
  start: number,
  end: number,
  tag: number,
): number {
  for (let at = start; at < end;) {
    const from = at + EXTRAS_HEADER;
    if (source[at] === tag) return from;
    at = from + lengthAt(source, at);
  }
  return -1;
}

function lengthAt(source: Uint8Array, at: number): number {
  return (source[at + 1] ?? 0) << 8 | (source[at + 2] ?? 0);
}
