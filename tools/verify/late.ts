import type { Others } from "../../bench/processes.ts";
import type { Measurement } from "./runner.ts";

/** Where other programs take more of a processor, they can be why something is late. */
const DISTURBING = 0.5;

/**
 * What a row comes to in which all is right, but too slow: it falls short, or is skipped
 * where other programs may be why.
 *
 * @param others Since the row began.
 */
export function late(
  figure: string,
  { share }: Pick<Others, "share">,
): Measurement {
  if (share <= DISTURBING) return { figure, held: false };
  const percent = (100 * share).toFixed(0);
  const why = `other programs took ${percent} % of a processor, and may be why`;
  return { figure: `${figure}; ${why}`, held: false, skipped: true };
}
