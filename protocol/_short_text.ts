/**
 * Values that are nothing but a text of at most 255 bytes, in MessagePack: by hand, since
 * the way of all values costs more than the text.
 */

const FIXED = 0xa0;
const MOST_FIXED = 31;
const WITH_LENGTH = 0xd9;
const MOST = 255;
/** A text that begins with it may begin with a byte order mark. */
const MARK = 0xef;

/** Writes a text of ASCII; returns its end, -1: it is another one, or does not fit. */
export function writeShortText(
  text: string,
  target: Uint8Array,
  offset: number,
): number {
  const { length } = text;
  if (length > MOST || offset + 2 + length > target.length) return -1;
  let at = offset;
  if (length <= MOST_FIXED) target[at++] = FIXED | length;
  else {
    target[at++] = WITH_LENGTH;
    target[at++] = length;
  }
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return -1;
    target[at++] = code;
  }
  return at;
}

/** Where a value that is nothing but a short text has its characters; -1: it is another one. */
export function shortTextAt(
  source: Uint8Array,
  start: number,
  end: number,
): number {
  const first = source[start] ?? 0;
  let at = start + 1;
  let length = first ^ FIXED;
  if (length > MOST_FIXED) {
    if (first !== WITH_LENGTH) return -1;
    length = source[at++] ?? 0;
  }
  const isWhole = at + length === end && end <= source.length;
  return isWhole && source[at] !== MARK ? at : -1;
}
