/**
 * The MessagePack codec for speed: over `msgpackr`, without its native addon, its
 * records or its extensions, and without any permission.
 *
 * ```ts
 * import { msgpackr } from "@devts/protocol/msgpackr";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = msgpackr();
 * const bundle = new Uint8Array(64);
 * const end = codec.encodeInto({ text: "hello" }, bundle, 8);
 * assertEquals(codec.decodeAt(bundle, 8, end), { text: "hello" });
 * ```
 *
 * @module
 */

import { Packr, RESET_BUFFER_MODE, REUSE_BUFFER_MODE } from "msgpackr/pack";
import { checkData } from "./data.ts";
import { isFlat, readFlat, textAt } from "./_flat.ts";
import { judge, view } from "./_msgpack.ts";
import { shortTextAt, writeShortText } from "./_short_text.ts";
import { scan } from "./scan.ts";
import type { BufferCodec, ViewCount } from "./types.ts";

/**
 * Makes a codec that writes MessagePack by `msgpackr`.
 *
 * It carries plain data: `null`, booleans, numbers, bigints of 64 bits, strings,
 * `Uint8Array`, arrays, and objects without a class, within the limits of
 * `@devts/protocol/scan`.
 *
 * - **What is encoded can be decoded.** The encoder scans what it wrote exactly as
 *   the decoder does before it reads. Everything else is a `TypeError` that names
 *   the path: `Cannot encode value at $.user.tags[2]: a function is not data`.
 * - **Bytes.** Byte fields of a decoded value are views of what was decoded: a
 *   small one that is kept keeps all of it in memory. A subclass of `Uint8Array`
 *   arrives as a `Uint8Array`.
 * - **Numbers.** A number stays a number and a bigint a bigint: integers of 64
 *   bits decode to a bigint, whoever wrote them. `-0` arrives as `0`.
 * - **Strings.** A lone surrogate, or malformed UTF-8 from outside, arrives as
 *   U+FFFD, once or several times. A string that starts with a byte order mark
 *   is refused, since decoders drop the mark.
 * - **Objects.** Keys arrive as strings, symbols and inherited properties are left
 *   out, and the prototype is always `Object.prototype`.
 *
 * @returns The codec; it has no state, and one may serve any number of users.
 */
export function msgpackr(): BufferCodec & ViewCount {
  return {
    name: "msgpack",
    encode,
    decode,
    encodeInto,
    decodeAt,
    get views() {
      return views;
    },
  };
}

/** Byte fields decoded as views of their source. */
let views = 0;

/** Stands for whatever `msgpackr` would silently turn into something else. */
const notData = new TypeError("Cannot encode value: it is not plain data");

/**
 * `msgpackr` reads these properties where it meets what is not plain data and
 * would write something in its place. Accessors that throw find the offence
 * without a look at every value.
 */
class StrictPackr extends Packr {
  /**
   * How often it met a byte field, or another object that `msgpackr` would write
   * as bytes or as an array: only a look at the value can tell which.
   */
  doubts = 0;

  get encodeUndefinedAsNil(): never {
    throw notData;
  }
  get mapAsEmptyObject(): never {
    throw notData;
  }
  get setAsEmptyObject(): never {
    throw notData;
  }
  /** Read for dates. */
  get useTimestamp32(): never {
    throw notData;
  }
  /** Read for functions, and for objects whose `constructor` is not `Object`. */
  get useToJSON(): never {
    throw notData;
  }
  /** Read for typed arrays, buffers, regular expressions and errors. */
  get moreTypes(): boolean {
    this.doubts++;
    return false;
  }
}

const strict = new StrictPackr({ useRecords: false });
// For the plain objects that the strict one takes for others: those without a
// prototype, or with a field called "constructor".
const lenient = new Packr({ useRecords: false, useToJSON: false });
/** A longer scratch buffer than this, in bytes, is given up after use. */
const MAX_SCRATCH = 16 << 20;

/** The buffer into which `msgpackr` has encoded, from `start` to `end`. */
interface Scratch extends Uint8Array<ArrayBuffer> {
  readonly start: number;
  readonly end: number;
}

/**
 * Gives the scratch buffer itself, since a view of it would be made by the class
 * of buffer that `msgpackr` uses, and takes it back at once.
 */
const MODE = REUSE_BUFFER_MODE | RESET_BUFFER_MODE;

function encode(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) {
    const bytes = new Uint8Array(byteHeaderSize(value.length) + value.length);
    writeBytes(value, bytes, 0);
    return bytes;
  }
  const doubts = strict.doubts;
  const scratch = pack(value);
  const bytes = new Uint8Array(scratch.end - scratch.start);
  bytes.set(packed(scratch));
  // Last, since the getters of a value may encode something into the scratch buffer.
  if (strict.doubts !== doubts) checkData(value, judge);
  return bytes;
}

function encodeInto(
  value: unknown,
  target: Uint8Array,
  offset: number,
): number {
  if (value instanceof Uint8Array) {
    const end = offset + byteHeaderSize(value.length) + value.length;
    if (end > target.length) return -1;
    writeBytes(value, target, offset);
    return end;
  }
  if (typeof value === "string") {
    const end = writeShortText(value, target, offset);
    if (end > 0) return end;
  }
  const doubts = strict.doubts;
  const scratch = pack(value);
  const end = offset + scratch.end - scratch.start;
  const fits = end <= target.length;
  if (fits) target.set(packed(scratch), offset);
  if (strict.doubts !== doubts) checkData(value, judge);
  return fits ? end : -1;
}

function packed(scratch: Scratch): Uint8Array {
  return view(scratch, scratch.start, scratch.end);
}

/** Encodes into the scratch buffer of `msgpackr`: valid until it encodes again. */
function pack(value: unknown): Scratch {
  try {
    return packWith(strict, value);
  } catch {
    checkData(value, judge);
    return packWith(lenient, value);
  }
}

function packWith(packr: Packr, value: unknown): Scratch {
  // The types of `msgpackr` leave out what this mode adds.
  const scratch = packr.pack(value, MODE) as unknown as Scratch;
  const { start, end } = scratch;
  scan(scratch, start, end);
  // A position that is not 0 may belong to an encoding around this one.
  if (scratch.length <= MAX_SCRATCH || packr.position !== 0) return scratch;
  // The copy is of the class that `msgpackr` needs, with memory of its own.
  packr.useBuffer(Uint8Array.prototype.slice.call(scratch, 0, 0x2000));
  return scratch;
}

// A value that is nothing but bytes needs no encoder.

function byteHeaderSize(length: number): number {
  return length < 0x100 ? 2 : length < 0x10000 ? 3 : 5;
}

function writeBytes(
  bytes: Uint8Array,
  target: Uint8Array,
  offset: number,
): void {
  const { length } = bytes;
  let at = offset;
  if (length < 0x100) target[at++] = 0xc4;
  else {
    if (length < 0x10000) target[at++] = 0xc5;
    else {
      target[at++] = 0xc6;
      target[at++] = length >>> 24;
      target[at++] = length >>> 16;
    }
    target[at++] = length >>> 8;
  }
  target[at++] = length;
  target.set(bytes, at);
}

/** Where the bytes stand in a value that is nothing but bytes; -1: it is another one. */
function bytesAt(source: Uint8Array, start: number, end: number): number {
  if (end > source.length) return -1;
  const size = end - start;
  const length = source[start + 1] ?? 0;
  switch (source[start]) {
    case 0xc4:
      return size === 2 + length ? start + 2 : -1;
    case 0xc5:
      return size === 3 + (length << 8 | (source[start + 2] ?? 0))
        ? start + 3
        : -1;
    default:
      return -1; // a longer one pays for the scan
  }
}

/** Where `msgpackr` reads; it looks at them before anything else. */
const range = { start: 0, end: 0 };

function decode(bytes: Uint8Array): unknown {
  // `msgpackr` leaves a property of its own on what it reads.
  return decodeAt(view(bytes, 0, bytes.length), 0, bytes.length);
}

function decodeAt(source: Uint8Array, start: number, end: number): unknown {
  // Short strings and repeated keys are what `msgpackr` reads slowly in a long source.
  if (isFlat(source, start, end)) return readFlat(source, start);
  const at = bytesAt(source, start, end);
  if (at > start) {
    views++;
    return view(source, at, end);
  }
  const text = shortTextAt(source, start, end);
  if (text > start) return textAt(source, text, end - text);
  // Also keeps `msgpackr` from looking past the end.
  views += scan(source, start, end);
  range.start = start;
  range.end = end;
  try {
    return strict.unpack(source, range);
  } catch (cause) {
    throw new SyntaxError("Cannot decode MessagePack", { cause });
  }
}
