import { rateText, ratioText, type Table } from "./report.ts";
import { bars, GREY, type Group } from "./svg.ts";

/** The bar of the system that the benchmark is of. */
export const OWN = "#2f81f7";
/** The bars of all others but the first. */
export const OTHERS = "#c98a2b";

/** Draws, for each work, the rates of all systems in proportion to that of the first. */
export function chart(tables: readonly Table[], own: string): string {
  return bars(
    "Rate in proportion to raw Deno TCP (longer is faster)",
    tables.map((table) => groupOf(table, own)),
  );
}

function groupOf({ work, results }: Table, own: string): Group {
  const reference = results[0];
  const ranked = results.filter(({ failure }) => failure === undefined)
    .toSorted((a, b) => (b.medians.rate ?? 0) - (a.medians.rate ?? 0));
  return {
    title: work.name,
    bars: ranked.map(({ peer, medians: { rate } }) => ({
      name: peer,
      value: (rate ?? 0) / (reference?.medians.rate ?? NaN) || 0,
      label: `${ratioText(rate, reference?.medians.rate)} · ${
        rateText(rate)
      }/s`,
      colour: peer === own ? OWN : peer === reference?.peer ? GREY : OTHERS,
    })),
  };
}
