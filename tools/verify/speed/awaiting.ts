import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { run, startNodes } from "./nodes.ts";
import { inTurns } from "./samples.ts";

const SUBSCRIBERS = 3;
const WITHIN = 0.1;

/** Whether `await emit()` costs anything. */
export const awaiting: Row = {
  what:
    `128 B bytes, 1 to ${SUBSCRIBERS}, \`await emit()\` and \`emit()\` in a loop`,
  target: `within ${
    100 * WITHIN
  } % of one another, where \`emit()\` is awaited every 1,000th time only, so that all arrive`,
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const nodes = await startNodes(processes, 1 + SUBSCRIBERS);
  const work = {
    kind: "bytes128",
    count: short ? 1_000_000 : 3_000_000,
    publishers: 1,
  } as const;
  const pair = await inTurns(
    () => run(nodes, { ...work, how: "emit" }),
    () => run(nodes, { ...work, how: "emit without await" }),
    { repetitions: short ? 15 : 25, progress },
  );
  const rate = pair.ratio("rate");
  return {
    figure: `${rate.toFixed(2)} × (CPU time ${
      pair.ratio("cpu").toFixed(2)
    } ×): ${pair.first}; without await ${pair.second}`,
    held: rate >= 1 - WITHIN && rate <= 1 / (1 - WITHIN),
  };
}
