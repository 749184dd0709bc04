import { devts } from "../../../bench/devts_peer.ts";
import type { Figure } from "../../../bench/figures.ts";
import { measure, type Requests } from "../../../bench/measure.ts";
import { raw } from "../../../bench/raw_peer.ts";
import type { Row } from "../runner.ts";
import { figureOf, ratioOf } from "./results.ts";
import { shared } from "./shared.ts";

const ONE_BY_ONE = {
  type: "requests",
  name: "requests, one after the other, client and server on a processor each",
  inFlight: 1,
  pinned: true,
} as const;
const MANY = {
  type: "requests",
  name: "requests, 64 in flight",
  inFlight: 64,
  pinned: false,
} as const;

const oneByOne = measured(ONE_BY_ONE);

/** Requests of 128 bytes, against raw TCP. */
export const requests: readonly Row[] = [
  row(`${ONE_BY_ONE.name}, p50`, oneByOne, "p50", 1.2),
  row(`${ONE_BY_ONE.name}, p99`, oneByOne, "p99", 1.5),
  row(MANY.name, measured(MANY), "rate", 0.6),
];

function measured(work: Requests) {
  return shared(({ short, progress }) =>
    measure(work, [raw, devts], {
      repetitions: short ? 5 : 9,
      duration: short ? 500 : 2_000,
      progress,
    })
  );
}

function row(
  what: string,
  results: ReturnType<typeof measured>,
  figure: Figure,
  target: number,
): Row {
  const isRate = figure === "rate";
  return {
    what,
    target: `at ${isRate ? "least" : "most"} ${target} × raw TCP`,
    measure: async (options) => {
      const all = await results(options);
      const ours = figureOf(all, devts.name, figure);
      const theirs = figureOf(all, raw.name, figure);
      const ratio = ratioOf(all, devts.name, raw.name, figure);
      const unit = isRate ? "/s" : " µs";
      return {
        figure: `${ratio.toFixed(2)} ×: ${Math.round(ours)}${unit}, raw ${
          Math.round(theirs)
        }${unit}`,
        held: isRate ? ratio >= target : ratio <= target,
      };
    },
  };
}
