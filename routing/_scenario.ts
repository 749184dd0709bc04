import type { Fault, Timed } from "./_faults.ts";
import type {
  VirtualNetwork,
  VirtualNetworkOptions,
} from "./_virtual_network.ts";

/** What a run measured, by name: the name says the unit. */
export type Figures = Readonly<Record<string, number>>;

/** What a figure must not exceed. */
export interface Target {
  /** In 99 of 100 runs. */
  readonly p99?: number;
  /** In any run. */
  readonly max?: number;
}

/** What a scenario is given for one run. */
export interface ScenarioRun<A extends Timed> {
  /** The seed of the run. */
  readonly seed: number;
  /** What is to happen: what the scenario's `script` gave, or a part of it. */
  readonly script: readonly A[];
  /**
   * Makes the network of the run, from its seed. Once per run.
   *
   * @throws {TypeError} If it is called again.
   */
  network(
    options?: Omit<VirtualNetworkOptions, "seed" | "record">,
  ): VirtualNetwork;
}

/**
 * Something to try with many seeds. A seed gives a script, and the script and the seed
 * give a run. What a run must not touch is the runtime's own time and randomness.
 *
 * @typeParam A What its script is made of.
 */
export interface Scenario<A extends Timed = Fault> {
  /** Its name. */
  readonly name: string;
  /** What its figures must not exceed, by name. */
  readonly targets?: Readonly<Record<string, Target>>;
  /**
   * Whether it waits for promises, as whole nodes do: then microtasks may run, and
   * cryptographic randomness comes from the seed.
   *
   * @default {false}
   */
  readonly isAsync?: boolean;
  /** What is to happen in a run, from randomness that its seed gives. */
  script(random: () => number): readonly A[];
  /**
   * Runs it, and returns what it measured. What it throws is a failure. It must make
   * sense for any part of a script: a failing one is cut down.
   */
  run(run: ScenarioRun<A>): Figures | Promise<Figures>;
}
