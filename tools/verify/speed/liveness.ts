import { FIRST } from "../../../bench/payload.ts";
import { pause } from "../../../bench/serve.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";
import { ask, faultsOf, startNodes, summary } from "./nodes.ts";

const NODES = 8;
const DURATION = 300_000;
const DURATION_SHORT = 20_000;
const SIGNS = ["links", "leaves", "slow", "broken", "dropped"] as const;

/** Whether nodes under load take each other for dead. */
export const liveness: Row = {
  what: `${NODES} nodes emit to each other for minutes, as fast as they can`,
  target:
    "no node declared dead or slow, no link ended, all messages arrive in order",
  measure,
};

async function measure(
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  await using processes = new AsyncDisposableStack();
  const nodes = await startNodes(processes, NODES);
  for (const node of nodes) {
    await ask(node, "expect", {
      first: FIRST,
      step: 1,
      total: Number.MAX_SAFE_INTEGER,
    });
  }
  const askAll = (verb: string) =>
    Promise.all(nodes.map((node) => ask(node, verb)));
  /** How often each sign was seen, at all nodes together. */
  const signs = async () => {
    const reports = await askAll("report");
    return SIGNS.map((sign) =>
      reports.reduce((sum, report) => sum + report.number(sign), 0)
    );
  };
  const before = await signs();
  const changes = async () => {
    const now = await signs();
    return now.map((count, index) => count - (before[index] ?? 0));
  };
  const duration = short ? DURATION_SHORT : DURATION;
  await askAll("start");
  const start = performance.now();
  while (performance.now() - start < duration) {
    await pause(Math.min(10_000, duration));
    progress(
      `${Math.round((performance.now() - start) / 1000)} s, ${
        textOf(await changes())
      }`,
    );
  }
  const sent = (await askAll("stop")).map((stopped) => stopped.number("sent"));
  const all = sent.reduce((sum, one) => sum + one);
  const faults = (await Promise.all(nodes.map(async (node, index) => {
    const total = all - (sent[index] ?? 0);
    const arrived = await ask(node, "arrived", { total });
    return faultsOf(`node-${index}`, arrived, total);
  }))).flat();
  const found = await changes();
  return {
    figure: [
      `${duration / 1000} s`,
      `${Math.round(all * (NODES - 1) / duration)} k/s delivered`,
      textOf(found),
      faults.length === 0 ? "all arrived" : summary(faults),
    ].join("; "),
    held: faults.length === 0 && found.every((count) => count === 0),
  };
}

function textOf(counts: readonly number[]): string {
  return SIGNS.map((sign, index) => `${counts[index]} ${sign}`).join(", ");
}
