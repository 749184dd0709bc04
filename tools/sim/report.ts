import {
  InvariantError,
  type SimulationFailure,
  type SimulationReport,
} from "@devts/routing/testing";

/** Lines of the trace to show: the end of what happened, on the node in question. */
const LINES = 30;

/** The figures of a report, on one line. */
export function figuresText({ figures }: SimulationReport): string {
  const parts = Object.entries(figures).map(([name, { p50, p99, max }]) =>
    `${name} p50 ${short(p50)}, p99 ${short(p99)}, max ${short(max)}`
  );
  return parts.length === 0 ? "no figures" : parts.join("; ");
}

/** What came out of a scenario, for a person. */
export function reportText(
  name: string,
  report: SimulationReport,
  seconds: number,
  command: string,
): string {
  const { seeds, events, missed, failure } = report;
  const isHeld = failure === null && missed.length === 0;
  const rate = events / seconds / 1e6;
  return [
    `${isHeld ? "held  " : "FAILED"} ${name}: ${seeds} seeds in ${
      seconds.toFixed(1)
    } s (${rate.toFixed(2)} M events/s): ${figuresText(report)}`,
    ...missed.map((sentence) => `  missed: ${sentence}`),
    ...failure === null ? [] : failureLines(failure, command),
  ].join("\n");
}

/** What went wrong, without when, and without the name of what should hold. */
export function shortOf(error: unknown): string {
  if (!(error instanceof InvariantError)) return messageOf(error);
  const where = error.node === null ? "" : `on "${error.node}": `;
  return `${where}${messageOf(error.cause)}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failureLines(failure: SimulationFailure, command: string): string[] {
  const { seed, error, script, shrunk, tries, trace } = failure;
  return [
    `  seed ${seed}: ${messageOf(error)}`,
    `  again: ${command} --from ${seed} --seeds 1`,
    `  it takes ${shrunk.length} of ${script.length} (found in ${tries} runs):`,
    ...shrunk.map((action) => `    ${JSON.stringify(action)}`),
    `  and ends with:`,
    ...trace.filter((line) => concerns(line, error)).slice(-LINES)
      .map((line) => `    ${line}`),
  ];
}

/** Whether a line of the trace may have to do with an error: of a node, its own lines. */
function concerns(line: string, error: unknown): boolean {
  if (!(error instanceof InvariantError) || error.node === null) return true;
  const what = line.slice(line.indexOf(" ms  ") + 5);
  return what.startsWith(`${error.node}: `) || !what.includes(": ");
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
