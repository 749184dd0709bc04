/**
 * Randomness that repeats: the same seed gives the same numbers, 0 ≤ x < 1, on
 * every machine (mulberry32 by Tommy Ettinger, public domain). For tests and
 * simulations, not for secrets.
 *
 * @example The same numbers twice
 * ```ts
 * import { seededRandom } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const a = seededRandom(7);
 * const b = seededRandom(7);
 *
 * assertEquals([a(), a(), a()], [b(), b(), b()]);
 * ```
 */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed for something that has a name, so that its numbers are its own. */
export function seedFor(seed: number, name: string): number {
  let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  for (let at = 0; at < name.length; at++) {
    mixed = Math.imul(mixed ^ name.charCodeAt(at), 0x01000193);
    mixed ^= mixed >>> 15;
  }
  return mixed;
}
