import { devts } from "../../../bench/devts_peer.ts";
import { type Broadcast, measure } from "../../../bench/measure.ts";
import { raw } from "../../../bench/raw_peer.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { figureOf, ratioOf } from "./results.ts";

const TARGET = 1.3;

/** What a subscriber more costs the publisher. */
export const fanOut: readonly Row[] = [1, 10, 50].map(row);

function row(subscribers: number): Row {
  const work: Broadcast = {
    type: "broadcast",
    name: `128 B bytes, 1 to ${subscribers}, each a process with its own link`,
    kind: "bytes128",
    subscribers,
  };
  return {
    what: work.name,
    target:
      `the publisher's CPU time per subscriber and event at most ${TARGET} × that of raw TCP, ` +
      "which writes the same events, in batches of 64 KiB for all sockets",
    measure: (options) => compare(work, options),
  };
}

async function compare(
  work: Broadcast,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const results = await measure(work, [raw, devts], {
    repetitions: short ? 5 : 9,
    duration: short ? 500 : 2_000,
    progress,
  });
  const ratio = ratioOf(results, devts.name, raw.name, "publisherCpu");
  const each = (peer: string) =>
    micro(figureOf(results, peer, "publisherCpu") / work.subscribers);
  return {
    figure: `${ratio.toFixed(2)} ×: ${each(devts.name)}, raw ${each(raw.name)}`,
    held: ratio <= TARGET,
  };
}

function micro(microseconds: number): string {
  return `${microseconds.toFixed(3)} µs`;
}
