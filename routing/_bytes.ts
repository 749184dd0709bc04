/** What a {@linkcode Reader} throws, so that its caller can drop the message and count it. */
export class MalformedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedError";
  }
}

/** Strings up to so many characters are faster without the runtime's own encoder. */
const SHORT = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Builds a message: big-endian numbers, bytes and strings behind a 16-bit length. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Writes a byte. */
  u8(value: number): this {
    check(value, 0xff);
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  /** Writes a number of 16 bits. */
  u16(value: number): this {
    check(value, 0xffff);
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
    return this;
  }

  /** Writes a number of 32 bits. */
  u32(value: number): this {
    check(value, 0xffff_ffff);
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
    return this;
  }

  /** Writes a safe integer from 0 on, in 8 bytes. */
  u53(value: number): this {
    check(value, Number.MAX_SAFE_INTEGER);
    return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
  }

  /** Writes at most 65,535 bytes behind their length. */
  bytes(value: Uint8Array): this {
    this.u16(value.length);
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Writes a string of at most 65,535 bytes as UTF-8 behind its length. */
  string(value: string): this {
    const length = value.length;
    if (length > SHORT) return this.bytes(encoder.encode(value));
    const start = this.#length;
    this.u16(length);
    let at = this.#grow(length);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) {
        this.#length = start;
        return this.bytes(encoder.encode(value));
      }
      this.#bytes[at++] = code;
    }
    return this;
  }

  /** Writes bytes as they are, without their length. */
  raw(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** What was written, in a buffer of its own; the writer is empty again. */
  take(): Uint8Array {
    const message = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return message;
  }

  #grow(count: number): number {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = end;
    return start;
  }
}

/**
 * Reads what a {@linkcode Writer} wrote, and trusts nothing: every length is
 * checked before anything is allocated for it.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Whether everything was read. */
  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Reads a byte. */
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** Reads a number of 16 bits. */
  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  /** Reads a number of 32 bits. */
  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  /** Reads a safe integer. */
  u53(): number {
    const high = this.u32();
    const low = this.u32();
    if (high >= 2 ** 21) {
      throw new MalformedError("A number is not a safe integer");
    }
    return high * 2 ** 32 + low;
  }

  /** Reads at most `limit` bytes, as a view of the message. */
  bytes(limit: number): Uint8Array {
    const length = this.#size(limit);
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Passes over at most `limit` bytes behind their length. */
  skip(limit: number): void {
    this.#take(this.#size(limit));
  }

  /** Passes over so many bytes. */
  skipOver(count: number): void {
    this.#take(count);
  }

  /** Reads a string of at most `limit` bytes, well-formed UTF-8. */
  string(limit: number): string {
    const length = this.#size(limit);
    const start = this.#take(length);
    const short = length <= SHORT ? this.#ascii(start, length) : null;
    return short ?? this.#utf8(this.#bytes.subarray(start, start + length));
  }

  /** A short string, unless it has other characters. */
  #ascii(start: number, length: number): string | null {
    let text = "";
    for (let at = start; at < start + length; at++) {
      const code = this.#view.getUint8(at);
      if (code >= 0x80) return null;
      text += String.fromCharCode(code);
    }
    return text;
  }

  #utf8(bytes: Uint8Array): string {
    try {
      return decoder.decode(bytes);
    } catch {
      throw new MalformedError("A string is not well-formed UTF-8");
    }
  }

  /** Reads all that is left, as a view of the message. */
  rest(): Uint8Array {
    const start = this.#offset;
    this.#offset = this.#bytes.length;
    return this.#bytes.subarray(start);
  }

  /** Throws unless everything was read. */
  end(): void {
    if (!this.done) {
      throw new MalformedError("A message is longer than its content");
    }
  }

  #size(limit: number): number {
    const length = this.u16();
    if (length <= limit) return length;
    throw new MalformedError(`A field has ${length} bytes of at most ${limit}`);
  }

  #take(count: number): number {
    const start = this.#offset;
    if (start + count > this.#bytes.length) {
      throw new MalformedError("A message is cut short");
    }
    this.#offset = start + count;
    return start;
  }
}

function check(value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return;
  throw new RangeError(
    `Cannot write ${value}: it must be an integer from 0 to ${max}`,
  );
}

/** What `read` returns; null: it met something malformed. */
export function orNull<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return null;
  }
}
