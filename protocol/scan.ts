/**
 * Judges MessagePack before anything is built from it: a scan that neither
 * recurses nor allocates.
 *
 * ```ts
 * import { scan } from "@devts/protocol/scan";
 * import { assertThrows } from "@std/assert";
 *
 * scan(Uint8Array.of(0x92, 0x01, 0xa1, 0x78), 0, 4); // [1, "x"]
 *
 * const bomb = new Uint8Array(1000).fill(0x91);
 * assertThrows(() => scan(bomb, 0, 1000), SyntaxError, "deeper than 32 levels");
 * ```
 *
 * @module
 */

import { isFlat, scalarSizes, SPECIAL } from "./_flat.ts";

/** The most that {@linkcode scan} accepts. */
export interface ScanLimits {
  /**
   * How deep arrays and maps may be nested: 1 to 1,024.
   *
   * @default {32}
   */
  readonly depth?: number;
  /**
   * How many values there may be in all, keys included: 1 to 2^24.
   *
   * @default {65536}
   */
  readonly items?: number;
  /**
   * How many entries an array or a map may have: 0 to 2^24.
   *
   * @default {16384}
   */
  readonly entries?: number;
}

/** The limits of {@linkcode scan} where none are given, and of every codec here. */
export const DEFAULT_LIMITS: Readonly<Required<ScanLimits>> = {
  depth: 32,
  items: 65_536,
  entries: 16_384,
};

const sizes = scalarSizes();
// What is left of each open container. The scan calls no code but its own, so
// that it is never entered twice and may share this.
const sharedStack = new Int32Array(DEFAULT_LIMITS.depth);

/**
 * Checks that `source` holds exactly one MessagePack value from `start` to `end`,
 * one that every decoder here decodes alike, without harm and without failing.
 *
 * - Within the limits, which bound the memory and the stack that decoding takes.
 * - A declared count or length is at most what remains.
 * - Keys are strings or integers of at most 32 bits, none of them `__proto__`.
 * - No extension types, so no timestamps; not the byte 0xc1.
 * - No string starts with a byte order mark: `TextDecoder` would drop it.
 *
 * It does not check UTF-8: malformed sequences decode to U+FFFD.
 *
 * @param source Where the value stands.
 * @param start Its first byte.
 * @param end Where it must end.
 * @param limits The most that is accepted.
 * @returns How many byte strings it holds: what decoders give as views of `source`.
 * @throws {SyntaxError} If the bytes are not such a value.
 * @throws {RangeError} If the range is not within `source`, or a limit not within its range.
 */
export function scan(
  source: Uint8Array,
  start: number,
  end: number,
  limits: ScanLimits = DEFAULT_LIMITS,
): number {
  if (!(start >= 0 && start <= end && end <= source.length)) {
    throw new RangeError(
      `Cannot scan bytes ${start} to ${end} of ${source.length}`,
    );
  }
  if (limits === DEFAULT_LIMITS && isFlat(source, start, end)) return 0;
  const { depth: maxDepth, items: maxItems, entries: maxEntries } =
    limits === DEFAULT_LIMITS ? DEFAULT_LIMITS : checked(limits);
  const stack = maxDepth <= sharedStack.length
    ? sharedStack
    : new Int32Array(maxDepth);
  let position = start;
  // The open container: how many values are left, and 1 where every other is a key.
  let left = 1;
  let isMap = 0;
  let depth = 0;
  let items = 1;
  let byteStrings = 0;
  for (;;) {
    while (left === 0) {
      if (depth === 0) {
        checkEnd(position, end);
        return byteStrings;
      }
      const outer = stack[--depth] ?? 0;
      left = outer >>> 1;
      isMap = outer & 1;
    }
    if (position >= end) throw early();
    const byte = source[position++] ?? 0xc1;
    left--;
    const isKey = isMap === 1 && (left & 1) === 1;
    if (byte >= 0xa0 && byte < 0xc0) {
      const length = byte & 0x1f;
      checkString(source, position, length, isKey);
      position += length;
      continue;
    }
    if (isKey && !mayBeKey(byte)) {
      throw refused(
        "a key of a map is neither a string nor an integer of 32 bits",
      );
    }
    const size = sizes[byte] ?? SPECIAL;
    if (size !== SPECIAL) {
      position += size;
      continue;
    }
    let count = 0;
    let opensMap = 0;
    if (byte < 0xa0) {
      count = byte & 0x0f;
      opensMap = byte < 0x90 ? 1 : 0;
    } else {
      switch (byte) {
        case 0xc4:
          position += 1 + uint8(source, position);
          byteStrings++;
          continue;
        case 0xc5:
          position += 2 + uint16(source, position);
          byteStrings++;
          continue;
        case 0xc6:
          position += 4 + uint32(source, position);
          byteStrings++;
          continue;
        case 0xd9: {
          const length = uint8(source, position++);
          checkString(source, position, length, isKey);
          position += length;
          continue;
        }
        case 0xda: {
          const length = uint16(source, position);
          position += 2;
          checkString(source, position, length, isKey);
          position += length;
          continue;
        }
        case 0xdb: {
          const length = uint32(source, position);
          position += 4;
          checkString(source, position, length, isKey);
          position += length;
          continue;
        }
        case 0xdc:
        case 0xde:
          count = uint16(source, position);
          position += 2;
          opensMap = byte === 0xde ? 1 : 0;
          break;
        case 0xdd:
        case 0xdf:
          count = uint32(source, position);
          position += 4;
          opensMap = byte === 0xdf ? 1 : 0;
          break;
        case 0xc1:
          throw refused("the byte 0xc1 begins no value");
        default:
          throw refused("extension types are not accepted");
      }
    }
    if (count > maxEntries) {
      throw refused(`a container has more than ${maxEntries} entries`);
    }
    count <<= opensMap;
    if (count > end - position) throw early();
    items += count;
    if (items > maxItems) throw refused(`it has more than ${maxItems} items`);
    if (depth === maxDepth) {
      throw refused(`nested deeper than ${maxDepth} levels`);
    }
    stack[depth++] = left << 1 | isMap;
    left = count;
    isMap = opensMap;
  }
}

function mayBeKey(byte: number): boolean {
  if (byte < 0x80 || byte >= 0xe0) return true;
  if (byte < 0xc0) return byte >= 0xa0;
  return byte >= 0xcc && byte <= 0xce || byte >= 0xd0 && byte <= 0xd2 ||
    byte >= 0xd9 && byte <= 0xdb;
}

// May look past the end of the value, where it refuses what `scan` refuses anyway.
function checkString(
  source: Uint8Array,
  at: number,
  length: number,
  isKey: boolean,
): void {
  const first = source[at];
  if (
    first === 0xef && length >= 3 && source[at + 1] === 0xbb &&
    source[at + 2] === 0xbf
  ) {
    throw refused("a string starts with a byte order mark");
  }
  if (isKey && first === 0x5f && length === 9 && isProto(source, at)) {
    throw refused("a key of a map is __proto__");
  }
}

function isProto(source: Uint8Array, at: number): boolean {
  for (let i = 0; i < 9; i++) {
    if (source[at + i] !== "__proto__".charCodeAt(i)) return false;
  }
  return true;
}

function uint8(source: Uint8Array, at: number): number {
  return source[at] ?? 0;
}

function uint16(source: Uint8Array, at: number): number {
  return (source[at] ?? 0) << 8 | (source[at + 1] ?? 0);
}

function uint32(source: Uint8Array, at: number): number {
  return uint16(source, at) * 0x10000 + uint16(source, at + 2);
}

function checked(limits: ScanLimits): Required<ScanLimits> {
  const { depth, items, entries } = { ...DEFAULT_LIMITS, ...limits };
  checkLimit("depth", depth, 1, 1024);
  checkLimit("items", items, 1, 2 ** 24);
  checkLimit("entries", entries, 0, 2 ** 24);
  return { depth, items, entries };
}

function checkLimit(
  name: keyof ScanLimits,
  value: number,
  least: number,
  most: number,
): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(
    `Cannot scan with ${name} ${value}: must be from ${least} to ${most}`,
  );
}

function checkEnd(position: number, end: number): void {
  if (position > end) throw early();
  if (position < end) throw refused("bytes follow the value");
}

function early(): SyntaxError {
  return refused("it ends early");
}

function refused(why: string): SyntaxError {
  return new SyntaxError(`Cannot decode MessagePack: ${why}`);
}
