import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { devts } from "../../../bench/devts_peer.ts";
import type { Figures } from "../../../bench/figures.ts";
import {
  type Broadcast,
  measure as measureWork,
} from "../../../bench/measure.ts";
import { raw } from "../../../bench/raw_peer.ts";
import { ratioOf } from "../speed/results.ts";

const REPETITIONS = 15;
const TARGET = 0.8;

const work: Broadcast = {
  type: "broadcast",
  name: "objects of 128 bytes, one publisher to three subscribers",
  kind: "object128",
  subscribers: 3,
};

/** Objects of 128 bytes from one publisher to three subscribers, against raw TCP. */
export const throughput: Row = {
  what: work.name,
  target: `at least ${TARGET} of raw Deno TCP with the same codec`,
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const results = await measureWork(work, [raw, devts], {
    repetitions: REPETITIONS,
    count: short ? 300_000 : 1_000_000,
    progress,
  });
  const ratio = ratioOf(results, devts.name, raw.name, "rate");
  const [other, our] = results;
  return {
    figure: `${ratio.toFixed(2)} of raw: ${text(our?.medians)}; raw ${
      text(other?.medians)
    }`,
    held: ratio >= TARGET,
  };
}

function text(
  { rate = NaN, publisherCpu = NaN, subscriberCpu = NaN }: Figures = {},
): string {
  const cpu = `${publisherCpu.toFixed(2)} / ${subscriberCpu.toFixed(2)} µs CPU`;
  return `${
    Math.round(rate / 1000)
  } k/s (${cpu} per message, publisher / subscriber)`;
}
