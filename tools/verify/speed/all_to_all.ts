import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { run, startNodes, type Work } from "./nodes.ts";
import { inTurns } from "./samples.ts";

const NODES = 8;
const SUBSCRIBERS = 3;
const TARGET = 1.5;

/** Eight nodes that emit at once, against one that emits to three. */
export const allToAll: readonly Row[] = [
  row("bytes128", "128 B bytes"),
  row("object128", "128 B objects"),
];

function row(kind: Work["kind"], name: string): Row {
  return {
    what: `${name} from ${NODES} nodes at once, all to all`,
    target:
      `CPU time of all processes per message delivered at most ${TARGET} × that of 1 to ${SUBSCRIBERS}`,
    measure: (options) => measure(kind, options),
  };
}

async function measure(
  kind: Work["kind"],
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const few = await startNodes(processes, 1 + SUBSCRIBERS);
  const all = await startNodes(processes, NODES);
  // About as many messages are delivered in both.
  const count = short ? 1_500_000 : 4_000_000;
  const work = { how: "emit", kind } as const;
  const pair = await inTurns(
    () =>
      run(all, {
        ...work,
        count: Math.round(count * SUBSCRIBERS / NODES / (NODES - 1)),
        publishers: NODES,
      }),
    () => run(few, { ...work, count, publishers: 1 }),
    { repetitions: short ? 5 : 9, progress },
  );
  const ratio = pair.ratio("cpu");
  return {
    figure: `${
      ratio.toFixed(2)
    } ×: ${pair.first}; 1 to ${SUBSCRIBERS} ${pair.second}`,
    held: ratio <= TARGET,
  };
}
