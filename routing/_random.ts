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
