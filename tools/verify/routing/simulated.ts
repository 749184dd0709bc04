import {
  type Scenario,
  simulate,
  type SimulationReport,
  type Timed,
  type VirtualNetwork,
} from "@devts/routing/testing";
import { Child } from "../../../bench/child.ts";
import { MEMBERSHIPS, ROUTERS } from "../../sim/parts.ts";
import { type AnyScenario, scenarioOf, SCENARIOS } from "../../sim/registry.ts";
import { figuresText } from "../../sim/report.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

/** How often a person is told how far it is, in ms. */
const PROGRESS = 5_000;
/** What a thousand seeds of the crash test may take, in ms. */
const THOUSAND = 60_000;
/** What they may take by a few of them, where other programs run besides. */
const THOUSAND_SHORT = 180_000;
/** All seeds of that, those that run in one go, and how often those do in the short form. */
const SEEDS = 1_000;
const PART = 40;
const REPEATED_PARTS = 2;
/** The crash test. */
export const CRASH: Simulated = {
  scenario: "crash",
  router: "peer",
  membership: "swim",
};
/** Seeds that run before the time counts: the runtime compiles while it runs. */
const WARM_UP = 10;
/** Of each scenario, so many seeds are run twice to see whether they do the same. */
const REPEATED = 2;

/** A scenario of the simulator with certain parts. */
export interface Simulated {
  readonly scenario: string;
  readonly router: string;
  readonly membership: string;
}

/** A scenario with so many seeds, as a row. */
export interface SimulatedRow extends Simulated {
  readonly what: string;
  readonly target: string;
  /** How many seeds, in the full form and in the short one. */
  readonly seeds: readonly [full: number, short: number];
}

/** A scenario, run with many seeds. */
export function simulated(row: SimulatedRow): Row {
  const { what, target, seeds: [full, few] } = row;
  return {
    what,
    target,
    measure: async ({ short, progress }) => {
      const report = await run(row, short ? few : full, progress);
      return measurement(figures(report), report);
    },
  };
}

/**
 * How long a thousand seeds take, in a program that does nothing else. The short form
 * runs a few of them again and again, and the least processor time counts: what else runs
 * only adds to it.
 */
export const simulatorSpeed: Row = {
  what: "1,000 seeds of the 50-node crash test",
  target: `at most ${THOUSAND / 1_000} s; short, ${
    THOUSAND_SHORT / 1_000
  } s of processor time`,
  measure: async ({ short, progress }: MeasureOptions) => {
    await using program = new Child(new URL("crash_seeds.ts", import.meta.url));
    await program.ask("run", { from: 1, seeds: WARM_UP });
    const elapsed: number[] = [];
    const busy: number[] = [];
    const parts = SEEDS / PART;
    let failure = "";
    for (let part = 0; part < (short ? REPEATED_PARTS : parts); part++) {
      const from = short ? 1 : 1 + part * PART;
      const answer = await program.ask("run", { from, seeds: PART });
      elapsed.push(answer.number("elapsed"));
      busy.push(answer.number("busy"));
      failure ||= answer.text("failure");
      progress(`${from} to ${from + PART - 1}: ${seconds(elapsed.at(-1))}`);
    }
    const all = short
      ? (times: number[]) => parts * Math.min(...times)
      : (times: number[]) => times.reduce((sum, time) => sum + time, 0);
    const isFast = short
      ? all(busy) <= THOUSAND_SHORT
      : all(elapsed) <= THOUSAND;
    return {
      figure: `${seconds(all(elapsed))}, ${
        seconds(all(busy))
      } of processor time${short ? `, worked out from ${PART} seeds` : ""}${
        failure && `; ${failure}`
      }`,
      held: isFast && failure === "",
    };
  },
};

/** The same seed does the same, whatever is simulated; another seed does something else. */
export const sameSeed: Row = {
  what: "each scenario with the same seed, twice",
  target: "the same trace hash, another one for another seed",
  measure: async ({ progress }: MeasureOptions): Promise<Measurement> => {
    const wrong: string[] = [];
    const names = Object.keys(SCENARIOS);
    for (const name of names) {
      const hashes = new Map<string, number>();
      for (let seed = 1; seed <= REPEATED; seed++) {
        const [one, again] = [
          await hashOf(name, seed),
          await hashOf(name, seed),
        ];
        if (one !== again) {
          wrong.push(`${name}, seed ${seed}: ${one}, ${again}`);
        }
        hashes.set(one, seed);
      }
      if (hashes.size < REPEATED) wrong.push(`${name}: all seeds do the same`);
      progress(`${name}: ${[...hashes.keys()].join(", ")}`);
    }
    return {
      figure: `${names.length} scenarios, ${REPEATED} seeds${
        wrong.map((one) => `; ${one}`).join("")
      }`,
      held: wrong.length === 0,
    };
  },
};

async function hashOf(name: string, seed: number): Promise<string> {
  const { scenario, hash } = traced(
    made({ scenario: name, router: "peer", membership: "swim" }),
  );
  const { failure } = await scenario.use<Promise<SimulationReport>>((one) =>
    simulate(one, { seeds: 1, from: seed, shrinkRuns: 0 })
  );
  if (failure !== null) throw failure.error;
  return hash();
}

/** A scenario whose trace hash can be read after a run. */
function traced(
  scenario: AnyScenario,
): { scenario: AnyScenario; hash: () => string } {
  let last: VirtualNetwork | null = null;
  const watch = <A extends Timed>(one: Scenario<A>): Scenario<A> => ({
    ...one,
    run: (run) =>
      one.run({
        ...run,
        network: (options) => last = run.network(options),
      }),
  });
  return {
    scenario: {
      name: scenario.name,
      use: (user) => scenario.use((one) => user(watch(one))),
    },
    hash: () => last?.hash ?? "",
  };
}

/** The scenario itself. */
export function made({ scenario, router, membership }: Simulated): AnyScenario {
  const make = scenarioOf(scenario);
  const routerPart = ROUTERS[router];
  const membershipPart = MEMBERSHIPS[membership];
  if (!make || !routerPart || !membershipPart) {
    throw new TypeError(
      `There is no scenario "${scenario}" with ${router} and ${membership}`,
    );
  }
  return make({ router: routerPart, membership: membershipPart });
}

async function run(
  what: Simulated,
  seeds: number,
  progress: (text: string) => void,
): Promise<SimulationReport> {
  let told = performance.now();
  return await made(what).use<Promise<SimulationReport>>((one) =>
    simulate(one, {
      seeds,
      progress: (report) => {
        if (performance.now() - told < PROGRESS) return;
        told = performance.now();
        progress(`${report.seeds} of ${seeds} seeds, ${figuresText(report)}`);
      },
    })
  );
}

function seconds(ms = NaN): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function figures(report: SimulationReport): string {
  return `${report.seeds} seeds, ${figuresText(report)}`;
}

function measurement(
  figure: string,
  { failure, missed }: SimulationReport,
): Measurement {
  if (failure === null && missed.length === 0) return { figure, held: true };
  const why = failure === null
    ? missed.join("; ")
    : `seed ${failure.seed}: ${failure.error}`;
  return { figure: `${figure}; ${why}`, held: false };
}
