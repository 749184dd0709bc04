/** The most characters that a text for the other side's log keeps. */
const TEXT_LENGTH = 200;
/** The longest character in UTF-8. */
const BYTES_PER_CHARACTER = 4;

/**
 * What may not stand in a name or in a line of a log: control characters,
 * invisible formatting (it can turn a line around), line separators and halves
 * of a character.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, "gu");
/** A UTF-8 decoder puts this where the bytes made no sense. */
const REPLACEMENT = "\uFFFD";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether a text can be shown as it is, and came out of UTF-8 unharmed. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text) && !text.includes(REPLACEMENT);
}

/** Makes a text fit for a log: at most 200 characters, all of them printable. */
export function clean(text: string): string {
  // A character is at most two code units, so the rest need not be looked at.
  const characters = Array.from(text.slice(0, 2 * TEXT_LENGTH));
  return characters.slice(0, TEXT_LENGTH).join("")
    .replace(EACH_UNPRINTABLE, REPLACEMENT);
}

/** Encodes a text, cleaned. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(clean(text));
}

/** Decodes what another node wrote with {@linkcode encodeText}, or anything else. */
export function decodeText(bytes: Uint8Array): string {
  const enough = bytes.subarray(0, BYTES_PER_CHARACTER * TEXT_LENGTH);
  return clean(decoder.decode(enough));
}
