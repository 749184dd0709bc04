/** Bytes of the messages of replicated state: written and read by offsets. */
import { getU32, putU32 } from "../_u32.ts";
import type { BufferCodec, Codec, ViewCount } from "@devts/protocol";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// Short texts are faster by hand.
const SHORT = 32;
// The characters of a short text, one array for each length.
const units: readonly number[][] = Array.from(
  { length: SHORT + 1 },
  (_, length) => new Array(length).fill(0),
);
const TWO_32 = 2 ** 32;
const TWO_16 = 2 ** 16;

/** Writes numbers, texts and values one after the other into a buffer that grows. */
export class Writer {
  /** Where the next one goes. */
  at = 0;
  bytes: Uint8Array<ArrayBuffer>;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** Makes sure that so many bytes fit. */
  room(size: number): void {
    if (this.at + size <= this.bytes.length) return;
    const longer = new Uint8Array(
      Math.max(2 * this.bytes.length, this.at + size),
    );
    longer.set(this.bytes.subarray(0, this.at));
    this.bytes = longer;
  }

  u8(value: number): void {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  u16(value: number): void {
    this.room(2);
    const { bytes, at } = this;
    bytes[at] = value >>> 8;
    bytes[at + 1] = value;
    this.at = at + 2;
  }

  u32(value: number): void {
    this.room(4);
    putU32(this.bytes, this.at, value);
    this.at += 4;
  }

  u48(value: number): void {
    this.room(6);
    putU48(this.bytes, this.at, value);
    this.at += 6;
  }

  /** A safe integer, from 0 on. */
  u64(value: number): void {
    this.u32(Math.floor(value / TWO_32));
    this.u32(value % TWO_32);
  }

  /** A text of at most 65,535 bytes, with its length in front. */
  text(value: string): void {
    this.room(2 + 3 * value.length);
    const start = this.at + 2;
    const end = putText(this.bytes, start, value);
    this.u16(end - start);
    this.at = end;
  }

  /** A value with its length in front; returns how many bytes it takes. */
  value(codec: ValueCodec, value: unknown): number {
    this.room(4 + 64);
    const start = this.at + 4;
    const end = codec.encodeInto(value, this, start);
    putU32(this.bytes, this.at, end - start);
    this.at = end;
    return end - start;
  }

  /** Bytes as they are. */
  append(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** What was written, as a copy. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.at);
  }

  /** What was written, until more is. */
  view(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.at);
  }
}

/** Reads what a {@linkcode Writer} wrote, or anything else. */
export class Reader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = bytes.length;
  }

  /** Whether everything has been read. */
  get done(): boolean {
    return this.at === this.#end;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  u16(): number {
    const at = this.#take(2);
    const bytes = this.#bytes;
    return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
  }

  u32(): number {
    return getU32(this.#bytes, this.#take(4));
  }

  u48(): number {
    return getU48(this.#bytes, this.#take(6));
  }

  /** @throws {SyntaxError} If it is no safe integer. */
  u64(): number {
    const high = this.u32();
    if (high >= TWO_16 << 5) throw malformed("a number is too large");
    return high * TWO_32 + this.u32();
  }

  /** @throws {SyntaxError} If it is no UTF-8. */
  text(): string {
    const length = this.u16();
    const start = this.#take(length);
    return getText(this.#bytes, start, start + length);
  }

  /** Where a value ends; it starts at `at`, which moves there. */
  skip(length: number): number {
    this.#take(length);
    return this.at;
  }

  #take(size: number): number {
    const { at } = this;
    if (size > this.#end - at) throw malformed("it is cut short");
    this.at = at + size;
    return at;
  }
}

/** Values as bytes, in place where the codec can do that: looked up once. */
export class ValueCodec {
  readonly #codec: Codec;
  readonly #inPlace: BufferCodec | null;
  readonly #views: ViewCount | null;

  constructor(codec: Codec) {
    this.#codec = codec;
    this.#inPlace = isBufferCodec(codec) ? codec : null;
    this.#views = countsViews(codec) ? codec : null;
  }

  /** Encodes a value at a place of what a writer has; returns its end. */
  encodeInto(value: unknown, writer: Writer, start: number): number {
    const end = this.#inPlace?.encodeInto(value, writer.bytes, start) ?? -1;
    if (end >= 0) return end;
    const encoded = this.#codec.encode(value);
    writer.room(4 + encoded.length);
    writer.bytes.set(encoded, start);
    return start + encoded.length;
  }

  /**
   * Decodes a value that stands in `source` and is kept for long: nothing of it shares
   * memory with `source`.
   */
  decode(source: Uint8Array, start: number, end: number): unknown {
    const counter = this.#views;
    if (!counter || !this.#inPlace) {
      return this.#codec.decode(source.slice(start, end));
    }
    const { views } = counter;
    const value = this.#inPlace.decodeAt(source, start, end);
    if (views === counter.views) return value;
    return this.#codec.decode(source.slice(start, end));
  }
}

/** Writes a number below 2^48. */
export function putU48(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  putU32(bytes, at + 2, value >>> 0);
}

/** Reads what `putU48` wrote. */
export function getU48(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
  return high * TWO_32 + getU32(bytes, at + 2);
}

/** The error for bytes that make no sense. */
export function malformed(why: string): SyntaxError {
  return new SyntaxError(`Cannot read replicated state: ${why}`);
}

function isBufferCodec<C extends Codec>(codec: C): codec is C & BufferCodec {
  return "encodeInto" in codec && "decodeAt" in codec;
}

function countsViews(codec: object): codec is ViewCount {
  return "views" in codec;
}

function putText(bytes: Uint8Array, start: number, text: string): number {
  const { length } = text;
  if (length > SHORT) return start + encode(bytes, start, text);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return start + encode(bytes, start, text);
    bytes[start + i] = code;
  }
  return start + length;
}

function encode(bytes: Uint8Array, start: number, text: string): number {
  return encoder.encodeInto(text, bytes.subarray(start)).written;
}

function getText(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  const codes = units[length];
  if (codes === undefined) return decode(bytes, start, end);
  for (let i = 0; i < length; i++) {
    const code = bytes[start + i] ?? 0;
    if (code >= 0x80) return decode(bytes, start, end);
    codes[i] = code;
  }
  return String.fromCharCode.apply(null, codes);
}

function decode(bytes: Uint8Array, start: number, end: number): string {
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    throw malformed("a text is not UTF-8");
  }
}
