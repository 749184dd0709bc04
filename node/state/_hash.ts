/** Hashes that every node computes alike; none of them resists an attacker. */
import { getU32 } from "../_u32.ts";

/** A text in 32 bits: FNV-1a over its code units, mixed. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return mix(hash);
}

/** Two hashes in one; the order matters. */
export function hashPair(a: number, b: number): number {
  return mix(Math.imul(a, 0x85ebca6b) ^ b);
}

/**
 * Bytes in 32 bits: MurmurHash3 (x86, 32 bits), with words the other way round. A change
 * within one of its words of four bytes always shows.
 */
export function hashBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  seed: number,
): number {
  let hash = seed;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    hash ^= scrambled(getU32(bytes, at));
    hash = (Math.imul(hash << 13 | hash >>> 19, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (; at < end; at++) rest = rest << 8 | (bytes[at] ?? 0);
  return mix(hash ^ scrambled(rest) ^ (end - start));
}

function scrambled(word: number): number {
  const product = Math.imul(word, 0xcc9e2d51);
  return Math.imul(product << 15 | product >>> 17, 0x1b873593);
}

/** The finalizer of MurmurHash3: every bit of the input changes half of the output. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
