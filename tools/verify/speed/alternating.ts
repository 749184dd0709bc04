import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { type How, run, startNodes } from "./nodes.ts";
import { inTurns } from "./samples.ts";

/** The publisher, and seven others. */
const NODES = 8;
const TARGET = 0.5;

/** Events whose destination changes each time, against as many whose destination stays. */
export const alternating: readonly Row[] = [
  row("`emit` and `send` in turns", "emit and send", "emit, then send"),
  row("`send` to two nodes in turns", "send to 2", "send to 1"),
  row("`send` to each of 7 nodes in turns", "send to 7", "send to 1"),
];

function row(what: string, how: How, uniform: How): Row {
  return {
    what: `128 B bytes, ${what}`,
    target:
      `messages delivered per second at least ${TARGET} × those of "${uniform}"`,
    measure: (options) => measure(how, uniform, options),
  };
}

async function measure(
  how: How,
  uniform: How,
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const nodes = await startNodes(processes, NODES);
  const count = short ? 840_000 : 2_520_000;
  const publish = (how: How) =>
    run(nodes, { how, kind: "bytes128", count, publishers: 1 });
  const pair = await inTurns(
    () => publish(how),
    () => publish(uniform),
    { repetitions: short ? 5 : 9, progress },
  );
  const rate = pair.ratio("rate");
  return {
    figure: `${rate.toFixed(2)} × (CPU time ${
      pair.ratio("cpu").toFixed(2)
    } ×): ${pair.first}; "${uniform}" ${pair.second}`,
    held: rate >= TARGET,
  };
}
