/** How many texts are known at a time: a power of two. */
const PLACES = 64;
/** Longer ones are read anew each time, in bytes. */
const LONGEST = 64;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

interface Known {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/**
 * Short texts that come again and again, like the names of events: comparing a few bytes
 * costs far less than decoding them, and a string that is known has its hash. A table
 * with one place for each hash: whoever sends others takes the places of these, and
 * costs what decoding does.
 */
export class KnownTexts {
  readonly #malformed: () => Error;
  readonly #places: (Known | undefined)[] = Array(PLACES).fill(undefined);

  /** `malformed` makes the error of what is no UTF-8. */
  constructor(malformed: () => Error) {
    this.#malformed = malformed;
  }

  /**
   * The text in a part of some bytes.
   *
   * @throws What `malformed` makes, if it is no UTF-8.
   */
  read(source: Uint8Array, start: number, end: number): string {
    if (end - start > LONGEST) return this.#decode(source.subarray(start, end));
    let hash = end - start;
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash, 31) + (source[at] ?? 0) | 0;
    }
    const place = hash & (PLACES - 1);
    const known = this.#places[place];
    if (known && isAt(known.bytes, source, start, end)) return known.text;
    const bytes = source.slice(start, end);
    const text = this.#decode(bytes);
    this.#places[place] = { bytes, text };
    return text;
  }

  #decode(bytes: Uint8Array): string {
    try {
      return decoder.decode(bytes);
    } catch {
      throw this.#malformed();
    }
  }
}

/** Whether bytes are those of a part of others. */
function isAt(
  bytes: Uint8Array,
  source: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (bytes.length !== end - start) return false;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== source[start + i]) return false;
  }
  return true;
}
