/** Bytes of a packet that count for the hash: enough to tell two runs apart. */
const HASHED = 256;

/**
 * What happened, as a number and as lines: two runs with the same hash did the same.
 * (cyrb53 by bryc, public domain, fed number by number.)
 */
export class Trace {
  readonly #limit: number;
  readonly #lines: string[] = [];
  /** Where the oldest line stands once there are `#limit`. */
  #oldest = 0;
  #one = 0xdeadbeef;
  #two = 0x41c6ce57;

  /** @param limit How many lines are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether lines are kept at all: making one takes longer than what it tells of. */
  get isRecorded(): boolean {
    return this.#limit > 0;
  }

  /** The last lines, oldest first. */
  get lines(): string[] {
    return [
      ...this.#lines.slice(this.#oldest),
      ...this.#lines.slice(0, this.#oldest),
    ];
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    const one = Math.imul(this.#one ^ (this.#one >>> 16), 2246822507) ^
      Math.imul(this.#two ^ (this.#two >>> 13), 3266489909);
    const two = Math.imul(this.#two ^ (this.#two >>> 16), 2246822507) ^
      Math.imul(one ^ (one >>> 13), 3266489909);
    return hex(two) + hex(one);
  }

  /** Keeps a line. */
  line(text: string): void {
    if (this.#lines.length < this.#limit) {
      this.#lines.push(text);
      return;
    }
    this.#lines[this.#oldest] = text;
    this.#oldest = (this.#oldest + 1) % this.#limit;
  }

  /** Takes an integer of 32 bits into the hash. */
  int(value: number): void {
    const one = Math.imul(this.#one ^ value, 2654435761);
    this.#one = one ^ (one >>> 15);
    this.#two = Math.imul(this.#two ^ value, 1597334677) ^ (one >>> 13);
  }

  /** Takes a time into the hash, in ms. */
  time(ms: number): void {
    this.int(Math.trunc(ms * 1024) | 0);
  }

  /** Takes a text into the hash. */
  text(value: string): void {
    this.int(value.length);
    for (let at = 0; at < value.length; at++) this.int(value.charCodeAt(at));
  }

  /** Takes the length and the first 256 bytes of a packet into the hash. */
  packet(bytes: Uint8Array): void {
    const { length } = bytes;
    this.int(length);
    const end = length < HASHED ? length : HASHED;
    let at = 0;
    for (; at + 4 <= end; at += 4) {
      this.int(
        (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) |
          ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24),
      );
    }
    for (; at < end; at++) this.int(bytes[at] ?? 0);
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
