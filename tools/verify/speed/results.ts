import { type Figure, median } from "../../../bench/figures.ts";
import type { Result } from "../../../bench/measure.ts";

/**
 * By what factor a figure of one peer is above that of another: in each repetition, the
 * median.
 *
 * @throws {Error} If one of them was not measured, or failed.
 */
export function ratioOf(
  results: readonly Result[],
  one: string,
  other: string,
  figure: Figure,
): number {
  const { samples } = resultOf(results, one);
  const others = resultOf(results, other).samples;
  return median(
    samples.map((sample, index) =>
      (sample[figure] ?? NaN) / (others[index]?.[figure] ?? NaN)
    ),
  );
}

/**
 * The median of a figure of a peer.
 *
 * @throws {Error} If it was not measured, or failed.
 */
export function figureOf(
  results: readonly Result[],
  peer: string,
  figure: Figure,
): number {
  return resultOf(results, peer).medians[figure] ?? NaN;
}

/**
 * The fastest of all but some: its name.
 *
 * @throws {Error} If there is none, or one of them failed: it may be the fastest.
 */
export function fastest(
  results: readonly Result[],
  except: readonly string[],
): string {
  const others = results.filter(({ peer }) => !except.includes(peer)).map((
    { peer },
  ) => ({ peer, rate: figureOf(results, peer, "rate") }));
  const [first] = others.toSorted((a, b) => b.rate - a.rate);
  if (first === undefined) throw new Error("No other system was measured");
  return first.peer;
}

function resultOf(results: readonly Result[], peer: string): Result {
  const result = results.find((result) => result.peer === peer);
  if (result === undefined) throw new Error(`${peer} was not measured`);
  if (result.failure === undefined) return result;
  throw new Error(`${peer} ${result.failure}`);
}
