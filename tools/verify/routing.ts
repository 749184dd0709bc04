import { simulate, type SimulationReport } from "@devts/routing/testing";
import { MEMBERSHIPS, ROUTERS } from "../sim/parts.ts";
import { SCENARIOS } from "../sim/registry.ts";
import { figuresText } from "../sim/report.ts";
import { bridged } from "./routing/bridged.ts";
import { stopped, throttled } from "./routing/held_up.ts";
import { rollingRestart } from "./routing/rolling.ts";
import type { Measurement, MeasureOptions, Row } from "./runner.ts";

/** How often a person is told how far it is, in ms. */
const PROGRESS = 5_000;

/** A scenario of the simulator with certain parts, as a row. */
interface Simulated {
  readonly what: string;
  readonly target: string;
  readonly scenario: string;
  readonly router: string;
  readonly membership: string;
  /** How many seeds, in the full form and in the short one. */
  readonly seeds: readonly [full: number, short: number];
}

const RELAYING = ["hop", "path", "map", "gossip"];

/** Routing and membership, under virtual time and in real networks. */
export const rows: readonly Row[] = [
  simulated({
    what: "a node of 50 crashes at 10 % loss, swim()",
    target: "known to all: p99 at most 15 s, at most 25 s; no false death",
    scenario: "crash",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 20],
  }),
  simulated({
    what: "50 nodes join at 10 % loss, swim()",
    target: "a full view everywhere: p99 at most 5 s",
    scenario: "join",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 20],
  }),
  simulated({
    what: "loops that stall for 1 s at 10 % loss, swim()",
    target: "no false death",
    scenario: "stalls",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 10],
  }),
  simulated({
    what: "two to five nodes with stalls of 1 s at 10 % loss, swim()",
    target: "no false death in an hour; then a crash known to all in 25 s",
    scenario: "few",
    router: "peer",
    membership: "swim",
    seeds: [400, 40],
  }),
  simulated({
    what: "partitions of 60 s, full, asymmetric and bridge, swim()",
    target: "one view at most 35 s after the heal",
    scenario: "partition",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 10],
  }),
  ...RELAYING.map((router) =>
    simulated({
      what: `broadcasts on random connected graphs, ${router}Router()`,
      target: "each reaches every other node once",
      scenario: "graphs",
      router,
      membership: "heartbeat",
      seeds: [1_000, 20],
    })
  ),
  simulated({
    what: "whole nodes under crashes, stalls and cuts",
    target: "every event once and in order after the faults",
    scenario: "nodes",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 10],
  }),
  ...["peer", ...RELAYING, "nats"].map(bridged),
  rollingRestart,
  throttled,
  stopped,
];

function simulated(
  { what, target, scenario, router, membership, seeds }: Simulated,
): Row {
  return {
    what,
    target,
    measure: (options) => measure(scenario, router, membership, seeds, options),
  };
}

async function measure(
  scenario: string,
  routerName: string,
  membershipName: string,
  [full, few]: readonly [number, number],
  { short, progress }: MeasureOptions,
): Promise<Measurement> {
  const router = ROUTERS[routerName];
  const membership = MEMBERSHIPS[membershipName];
  const make = SCENARIOS[scenario];
  if (!router || !membership || !make) {
    throw new TypeError(
      `There is no scenario "${scenario}" with ${routerName} and ${membershipName}`,
    );
  }
  const seeds = short ? few : full;
  let told = performance.now();
  const report = await make({ router, membership }).use<
    Promise<SimulationReport>
  >((one) =>
    simulate(one, {
      seeds,
      progress: (report) => {
        if (performance.now() - told < PROGRESS) return;
        told = performance.now();
        progress(`${report.seeds} of ${seeds} seeds, ${figuresText(report)}`);
      },
    })
  );
  const { failure, missed } = report;
  const figure = `${report.seeds} seeds, ${figuresText(report)}`;
  if (failure === null && missed.length === 0) return { figure, held: true };
  const why = failure === null
    ? missed.join("; ")
    : `seed ${failure.seed}: ${failure.error}`;
  return { figure: `${figure}; ${why}`, held: false };
}
