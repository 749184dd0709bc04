import {
  BYTES,
  malformed,
  MESSAGE_HEADER,
  readUint32,
  VALUE,
} from "./stream_wire.ts";

/** A lent message from this length on is copied out alone, in bytes. */
const ALONE_FROM = 4_096;
/** Memory that one reader keeps for later messages, in bytes, or one message that is longer. */
const KEPT = 2_097_152;
/** What those with the same {@linkcode Keep} keep in all, in bytes. */
const KEPT_IN_ALL = 16_777_216;

/** A message that has come whole. */
export interface Message {
  /** Whether it is bytes as they are, or a value of the codec. */
  readonly isBytes: boolean;
  /** Its data: memory that nobody writes to any more. */
  readonly data: Uint8Array;
  /** What it took of the sequence, in bytes. */
  readonly size: number;
}

/** What several readers keep. */
export interface Keep {
  /** Memory for later messages, in bytes. */
  kept: number;
}

/** What a reader is made with. */
export interface MessageReaderOptions {
  /** The longest message that is taken, in bytes. */
  readonly longest: number;
  readonly keep: Keep;
  /** A message has come whole. */
  take(message: Message): void;
  /** How much memory a message may take for what is `missing` of it, in bytes. */
  room(missing: number): number;
}

/** Puts messages together from the pieces of a sequence. */
export class MessageReader {
  readonly #options: MessageReaderOptions;
  readonly #header = new Uint8Array(MESSAGE_HEADER);
  /** Bytes of the header that have come. */
  #headed = 0;
  /** Of the message whose header has come. */
  #isBytes = false;
  #length = 0;
  /** The message as far as it has come. */
  #body: Uint8Array | null = null;
  #filled = 0;
  /** Memory of messages that nobody needs any more. */
  #free: Uint8Array[] = [];
  #kept = 0;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
  }

  /** Bytes that are missing of the message that has come in part; 0: none has. */
  get missing(): number {
    return this.#headed < MESSAGE_HEADER ? 0 : this.#length - this.#filled;
  }

  /** What the message that has come in part takes of the sequence, in bytes. */
  get size(): number {
    return MESSAGE_HEADER + this.#length;
  }

  /** Whether the sequence may end here. */
  get isBetween(): boolean {
    return this.#headed === 0;
  }

  /**
   * Takes the bytes of a piece from `start` on. Where it is `lent`, it changes
   * afterwards.
   *
   * @throws {SyntaxError} If it is malformed.
   * @throws {RangeError} If a message is too long.
   */
  take(piece: Uint8Array, start: number, lent: boolean): void {
    let own = lent ? null : piece;
    let at = start;
    while (at < piece.length) {
      if (this.#headed < MESSAGE_HEADER) {
        at = this.#readHeader(piece, at);
        if (this.#headed < MESSAGE_HEADER) return;
      }
      const end = at + this.#length - this.#filled;
      if (this.#body !== null || end > piece.length) {
        at = this.#assemble(piece, at);
        continue;
      }
      if (own === null && this.#length >= ALONE_FROM) {
        this.#finish(this.#copy(piece, at, end));
      } else {
        own ??= piece.slice();
        this.#finish(own.subarray(at, end));
      }
      at = end;
    }
  }

  /** Takes memory that later messages of the same length may come in. */
  release(bytes: Uint8Array): void {
    const { length, buffer } = bytes;
    if (length < ALONE_FROM || length !== buffer.byteLength) return;
    if (this.#free.includes(bytes)) return;
    while (this.#free.length > 0 && this.#kept + length > KEPT) {
      this.#keep(-(this.#free.shift()?.length ?? 0));
    }
    if (this.#options.keep.kept + length > KEPT_IN_ALL) return;
    this.#free.push(bytes);
    this.#keep(length);
  }

  /** Lets go of what has come in part, and of memory. */
  clear(): void {
    this.#body = null;
    this.#free = [];
    this.#keep(-this.#kept);
  }

  #keep(more: number): void {
    this.#kept += more;
    this.#options.keep.kept += more;
  }

  #readHeader(piece: Uint8Array, start: number): number {
    let at = start;
    while (this.#headed < MESSAGE_HEADER && at < piece.length) {
      this.#header[this.#headed++] = piece[at++] ?? 0;
    }
    if (this.#headed < MESSAGE_HEADER) return at;
    const [kind] = this.#header;
    if (kind !== VALUE && kind !== BYTES) throw malformed();
    this.#isBytes = kind === BYTES;
    this.#length = readUint32(this.#header, 1);
    this.#filled = 0;
    const { longest } = this.#options;
    if (this.#length > longest) {
      throw new RangeError(
        `Cannot take a message of ${this.#length} bytes: at most ${longest} are taken`,
      );
    }
    return at;
  }

  /** Copies as much of the message as there is. */
  #assemble(piece: Uint8Array, start: number): number {
    const end = Math.min(piece.length, start + this.#length - this.#filled);
    const filled = this.#filled + end - start;
    const body = this.#room(filled);
    body.set(piece.subarray(start, end), this.#filled);
    this.#filled = filled;
    if (filled === this.#length) this.#finish(body);
    return end;
  }

  #copy(piece: Uint8Array, start: number, end: number): Uint8Array {
    const known = this.#reuse(end - start);
    if (known === null) return piece.slice(start, end);
    known.set(piece.subarray(start, end));
    return known;
  }

  /** Memory of exactly so many bytes that was used before; null: there is none. */
  #reuse(length: number): Uint8Array | null {
    const index = this.#free.findLastIndex((bytes) => bytes.length === length);
    const [known = null] = index < 0 ? [] : this.#free.splice(index, 1);
    if (known !== null) this.#keep(-length);
    return known;
  }

  /** A length that was only announced reserves no more memory than it may. */
  #room(needed: number): Uint8Array {
    const body = this.#body;
    if (body !== null && body.length >= needed) return body;
    if (body === null) {
      const known = this.#reuse(this.#length);
      if (known !== null) return this.#body = known;
    }
    const more = this.#options.room(this.#length - needed);
    const size = Math.max(needed + more, 2 * (body?.length ?? 0));
    const larger = new Uint8Array(Math.min(this.#length, size));
    if (body !== null) larger.set(body.subarray(0, this.#filled));
    return this.#body = larger;
  }

  #finish(data: Uint8Array): void {
    const message = {
      isBytes: this.#isBytes,
      data,
      size: MESSAGE_HEADER + data.length,
    };
    this.#headed = 0;
    this.#filled = 0;
    this.#body = null;
    this.#options.take(message);
  }
}
