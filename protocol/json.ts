/**
 * The JSON codec: larger and slower than MessagePack, but readable on the wire.
 *
 * ```ts
 * import { json } from "@devts/protocol/json";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const codec = json();
 * assertEquals(codec.decode(codec.encode({ text: "hello" })), { text: "hello" });
 * assertThrows(() => codec.encode({ at: [new Date()] }), TypeError, "$.at[0]");
 * ```
 *
 * @module
 */

import { checkData, findFault } from "./data.ts";
import { DEFAULT_LIMITS } from "./scan.ts";
import type { Codec } from "./types.ts";

/**
 * Makes a codec that writes JSON in UTF-8.
 *
 * It carries what JSON carries without loss: `null`, booleans, finite numbers,
 * strings, arrays, and objects without a class. Everything else is a `TypeError`
 * that names the path, as `Cannot encode value at $.user.tags[2]: a function is not data`:
 * also NaN, infinities, bigints and bytes.
 *
 * - **Limits.** Those of `@devts/protocol/scan`, on both sides: 32 levels, 65,536
 *   items, 16,384 entries of a container.
 * - **Decoding** refuses malformed UTF-8, a leading byte order mark and the key
 *   `__proto__`. Of equal keys the last wins.
 * - `-0` arrives as `0`, and the prototype of objects is always `Object.prototype`.
 *
 * @returns The codec; it has no state, and one may serve any number of users.
 */
export function json(): Codec {
  return { name: "json", encode, decode };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encode(value: unknown): Uint8Array {
  checkData(value, judge);
  return encoder.encode(JSON.stringify(value));
}

function judge(value: number | bigint | string | Uint8Array): string | null {
  if (typeof value === "string") return null;
  if (typeof value === "bigint") return "JSON has no bigint";
  if (typeof value !== "number") return "JSON has no bytes";
  return Number.isFinite(value) ? null : `JSON has no ${value}`;
}

function decode(bytes: Uint8Array): unknown {
  checkSize(bytes);
  const value = parse(bytes);
  // Also finds what the bytes hide: an escaped `__proto__`, a number that overflows.
  const fault = findFault(value, judge);
  if (fault !== null) throw new SyntaxError(`Cannot decode ${fault}`);
  return value;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new SyntaxError("Cannot decode JSON: malformed", { cause });
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Bounds the depth and the number of items before anything is built. It may
 * misjudge malformed bytes, which `JSON.parse` then refuses.
 */
function checkSize(bytes: Uint8Array): void {
  let depth = 0;
  let items = 1;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case QUOTE:
        i = endOfString(bytes, i);
        break;
      case 0x5b: // [
      case 0x7b: // {
        items++;
        if (++depth > DEFAULT_LIMITS.depth) {
          throw refused(`nested deeper than ${DEFAULT_LIMITS.depth} levels`);
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
      case 0x3a: // :
        items++;
        break;
    }
  }
  // An empty container counts twice here. `findFault` counts exactly.
  if (items > 2 * DEFAULT_LIMITS.items) {
    throw refused(`it has more than ${DEFAULT_LIMITS.items} items`);
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  let i = start + 1;
  while (i < bytes.length && bytes[i] !== QUOTE) {
    i += bytes[i] === BACKSLASH ? 2 : 1;
  }
  return i;
}

function refused(why: string): SyntaxError {
  return new SyntaxError(`Cannot decode JSON: ${why}`);
}
