import { devts } from "../../../bench/devts_peer.ts";
import { measure, type Result } from "../../../bench/measure.ts";
import type { Kind } from "../../../bench/peer.ts";
import { type Missing, peers } from "../../../bench/peers/mod.ts";
import { raw } from "../../../bench/raw_peer.ts";
import type { Measurement, Row } from "../runner.ts";
import { fastest, figureOf, ratioOf } from "./results.ts";
import { shared } from "./shared.ts";

const SUBSCRIBERS = 3;
/** In place of a name: whichever other system is the fastest. */
const BEST = "the best peer";
const { name: RAW } = raw;

/** How many times as fast as another devts is, at least. */
type Targets = Readonly<Record<string, number>>;

/** One publisher to three subscribers, against raw TCP and the other event systems. */
export const broadcasts: readonly Row[] = [
  ...rows("128 B objects", "object128", {
    [RAW]: 1,
    "NATS under Deno": 2.5,
    "Moleculer TCP": 15,
  }),
  ...rows("128 B bytes", "bytes128", { [RAW]: 0.5, [BEST]: 5 }),
  ...rows("1 KiB bytes", "bytes1k", { [RAW]: 0.5, [BEST]: 3 }),
  ...rows("64 KiB bytes", "bytes64k", { [RAW]: 0.7, [BEST]: 1 }),
];

const everyone = shared(() => peers());

function rows(name: string, kind: Kind, targets: Targets): readonly Row[] {
  const work = `${name}, 1 to ${SUBSCRIBERS}`;
  const results = shared(async (options) => {
    const { peers, missing } = await everyone(options);
    const results = await measure(
      { type: "broadcast", name: work, kind, subscribers: SUBSCRIBERS },
      [raw, devts, ...peers],
      {
        repetitions: options.short ? 5 : 9,
        duration: options.short ? 500 : 1_000,
        progress: options.progress,
      },
    );
    return [...results, ...missing.map(absent)];
  });
  return Object.entries(targets).map(([opponent, target]) => ({
    what: `${work}, against ${opponent}`,
    target: `at least ${target} ×`,
    measure: async (options) =>
      compare(await results(options), opponent, target),
  }));
}

/** A peer that could not even be started. */
function absent({ name, reason }: Missing): Result {
  const failure = `failed: ${reason}`;
  return { peer: name, count: 0, samples: [], medians: {}, failure };
}

function compare(
  results: readonly Result[],
  opponent: string,
  target: number,
): Measurement {
  const name = opponent === BEST
    ? fastest(results, [raw.name, devts.name])
    : opponent;
  const ours = figureOf(results, devts.name, "rate");
  const theirs = figureOf(results, name, "rate");
  const ratio = ratioOf(results, devts.name, name, "rate");
  return {
    figure: `${ratio.toFixed(2)} ×: ${perSecond(ours)}, ${name} ${
      perSecond(theirs)
    }`,
    held: ratio >= target,
  };
}

function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString("en")}/s`;
}
