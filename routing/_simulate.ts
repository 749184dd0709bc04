import { InvariantError } from "./_invariant.ts";
import { seededRandom, seedFor } from "./_random.ts";
import type { Figures, Scenario, ScenarioRun } from "./_scenario.ts";
import { sealed, sealedAsync } from "./_sealed.ts";
import { shrink } from "./_shrink.ts";
import type { Fault, Timed } from "./_faults.ts";
import { VirtualNetwork } from "./_virtual_network.ts";

/** Every so many seeds, one runs twice. */
const REPEATED = 100;
/** Lines of the trace that a failure brings: enough to find some of each node. */
const LINES = 20_000;

/** Options of {@linkcode simulate}. */
export interface SimulateOptions {
  /**
   * How many seeds to run.
   *
   * @default {100}
   */
  readonly seeds?: number;
  /**
   * The first seed; the others follow it.
   *
   * @default {1}
   */
  readonly from?: number;
  /**
   * The most runs that cutting down a failing script may take.
   *
   * @default {200}
   */
  readonly shrinkRuns?: number;
  /** Called after each seed. */
  readonly progress?: (report: SimulationReport) => void;
}

/** How a figure came out over all runs. */
export interface Spread {
  /** How many runs gave it. */
  readonly count: number;
  /** What half of them did not exceed. */
  readonly p50: number;
  /** What 99 of 100 did not exceed. */
  readonly p99: number;
  /** What none exceeded. */
  readonly max: number;
}

/** A run that failed. */
export interface SimulationFailure<A extends Timed = Timed> {
  /** Its seed: the same scenario with the same seed does the same again. */
  readonly seed: number;
  /** What was thrown. */
  readonly error: unknown;
  /** What the seed gave as a script. */
  readonly script: readonly A[];
  /** A part of it, at earlier times, that fails in the same way. */
  readonly shrunk: readonly A[];
  /** How many runs it took to find that. */
  readonly tries: number;
  /** The end of what happened in the run with the shrunk script, a line per event. */
  readonly trace: readonly string[];
}

/** What came out of {@linkcode simulate}. */
export interface SimulationReport<A extends Timed = Timed> {
  /** Seeds that were run. */
  readonly seeds: number;
  /** Events of all runs. */
  readonly events: number;
  /** How the figures came out, by name. */
  readonly figures: Readonly<Record<string, Spread>>;
  /** The targets that were missed, a sentence for each. */
  readonly missed: readonly string[];
  /** The first run that failed, after which there was no other; `null`: none did. */
  readonly failure: SimulationFailure<A> | null;
}

/**
 * Runs a scenario with one seed after the other, until one fails. Then it cuts the
 * script of that run down to what it takes to fail.
 *
 * - Runs are sealed off from the runtime's own time and randomness: {@linkcode sealed}.
 * - Every 100th seed runs twice, and must do the same.
 *
 * @example A defect, found and cut down
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { type Scenario, simulate } from "@devts/routing/testing";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const careless: Scenario = {
 *   name: "nobody ever crashes",
 *   script: (random) =>
 *     Array.from({ length: 10 }, (_, i) => ({
 *       at: 100 * i,
 *       do: random() < 0.1 ? "crash" : "stall",
 *       node: "ada",
 *       for: 50,
 *     })),
 *   run(run) {
 *     const network = run.network();
 *     network.add("ada", { router: peerRouter() });
 *     network.play(run.script);
 *     for (let i = 0; i < 1000; i++) {
 *       network.clock.tick(1);
 *       assert(network.node("ada").running);
 *     }
 *     return { "time (ms)": network.clock.now() };
 *   },
 * };
 * const { failure } = await simulate(careless);
 *
 * assertEquals(failure?.script.length, 10);
 * assertEquals(failure?.shrunk.map((fault) => fault.do), ["crash"]);
 * ```
 *
 * @returns What came out; a failure is no rejection.
 */
export async function simulate<A extends Timed = Fault>(
  scenario: Scenario<A>,
  options: SimulateOptions = {},
): Promise<SimulationReport<A>> {
  const { seeds = 100, from = 1, shrinkRuns = 200, progress } = options;
  const tally = new Tally<A>(scenario);
  for (let seed = from; seed < from + seeds; seed++) {
    const script = scriptOf(scenario, seed);
    const run = await runOnce(scenario, seed, script, 0);
    tally.add(run);
    const failure = await failureOf(scenario, seed, script, run, shrinkRuns);
    if (failure !== null) return tally.report(failure);
    progress?.(tally.report(null));
  }
  return tally.report(null);
}

/** One run, over. */
interface Ran {
  readonly figures: Figures;
  readonly events: number;
  readonly hash: string;
  readonly trace: readonly string[];
  /** What was thrown, in a list; an empty one: nothing. */
  readonly thrown: readonly unknown[];
}

function scriptOf<A extends Timed>(
  scenario: Scenario<A>,
  seed: number,
): readonly A[] {
  const random = seededRandom(seedFor(seed, "script"));
  return sealed(() => scenario.script(random));
}

async function runOnce<A extends Timed>(
  scenario: Scenario<A>,
  seed: number,
  script: readonly A[],
  record: number,
): Promise<Ran> {
  let network: VirtualNetwork | null = null;
  const run: ScenarioRun<A> = {
    seed,
    script,
    network: (options) => {
      if (network !== null) {
        throw new TypeError("Cannot make another network: a run has one");
      }
      network = new VirtualNetwork({ ...options, seed, record });
      return network;
    },
  };
  const over = (figures: Figures, thrown: readonly unknown[]): Ran => ({
    figures,
    events: network?.events ?? 0,
    hash: network?.hash ?? "",
    trace: network?.trace ?? [],
    thrown,
  });
  try {
    return over(await runSealed(scenario, run), []);
  } catch (error) {
    return over({}, [error]);
  }
}

function runSealed<A extends Timed>(
  scenario: Scenario<A>,
  run: ScenarioRun<A>,
): Figures | Promise<Figures> {
  if (!scenario.isAsync) return sealed(() => scenario.run(run));
  const random = seededRandom(seedFor(run.seed, "crypto"));
  return sealedAsync(async () => await scenario.run(run), { random });
}

async function failureOf<A extends Timed>(
  scenario: Scenario<A>,
  seed: number,
  script: readonly A[],
  run: Ran,
  limit: number,
): Promise<SimulationFailure<A> | null> {
  if (run.thrown.length === 0) {
    if (seed % REPEATED !== 0) return null;
    const again = await runOnce(scenario, seed, script, 0);
    if (again.hash === run.hash && again.thrown.length === 0) return null;
    const error = new Error(
      `Cannot repeat seed ${seed}: the same run did something else (hash ${run.hash}, then ${again.hash})`,
    );
    return { seed, error, script, shrunk: script, tries: 0, trace: [] };
  }
  const [error] = run.thrown;
  const kind = kindOf(error);
  const { script: shrunk, tries } = await shrink(script, async (part) => {
    const { thrown } = await runOnce(scenario, seed, part, 0);
    return thrown.length > 0 && kindOf(thrown[0]) === kind;
  }, limit);
  const last = await runOnce(scenario, seed, shrunk, LINES);
  return {
    seed,
    error: last.thrown[0] ?? error,
    script,
    shrunk,
    tries,
    trace: last.trace,
  };
}

/** What two failures have in common that are the same. */
function kindOf(error: unknown): string {
  if (error instanceof InvariantError) return `invariant ${error.invariant}`;
  return error instanceof Error ? error.name : typeof error;
}

/** The figures of all runs. */
class Tally<A extends Timed> {
  readonly #scenario: Scenario<A>;
  readonly #values = new Map<string, number[]>();
  #seeds = 0;
  #events = 0;

  constructor(scenario: Scenario<A>) {
    this.#scenario = scenario;
  }

  add({ figures, events }: Ran): void {
    this.#seeds++;
    this.#events += events;
    for (const [name, value] of Object.entries(figures)) {
      const values = this.#values.get(name);
      if (values === undefined) this.#values.set(name, [value]);
      else values.push(value);
    }
  }

  report(failure: SimulationFailure<A> | null): SimulationReport<A> {
    const figures = () => this.#figures();
    const missed = () => this.#missed();
    return {
      seeds: this.#seeds,
      events: this.#events,
      // Made when it is looked at: a report is handed over after each seed.
      get figures() {
        return figures();
      },
      get missed() {
        return missed();
      },
      failure,
    };
  }

  #figures(): Record<string, Spread> {
    const spreads = [...this.#values].map(([name, values]) =>
      [name, spreadOf(values)] as const
    );
    return Object.fromEntries(spreads);
  }

  #missed(): string[] {
    const missed: string[] = [];
    const figures = this.#figures();
    for (const [name, target] of Object.entries(this.#scenario.targets ?? {})) {
      const spread = figures[name];
      if (spread === undefined) {
        missed.push(`"${name}" was never measured`);
        continue;
      }
      for (const part of ["p99", "max"] as const) {
        const most = target[part];
        if (most === undefined || spread[part] <= most) continue;
        missed.push(`${part} of "${name}" is ${spread[part]}, above ${most}`);
      }
    }
    return missed;
  }
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (part: number) =>
    sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
  return {
    count: sorted.length,
    p50: rank(0.5),
    p99: rank(0.99),
    max: rank(1),
  };
}
