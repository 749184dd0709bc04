import type { Row } from "../../runner.ts";
import { together } from "../../together.ts";
import { type Outcome, Scene, SLOWER, type VictimOptions } from "./scene.ts";

/** An attack of the catalogue, on its own. */
export interface Attack {
  /** Its number in the catalogue. */
  readonly row: number;
  /** What is done. */
  readonly what: string;
  /** What must become of it. */
  readonly target: string;
  /** How the node is run, where that is not as usual. */
  readonly victim?: VictimOptions;
  /** Does it, and says whether the node behaved as it must. */
  run(scene: Scene, short: boolean): Promise<Outcome>;
}

/** An attack of the catalogue on nodes of its own, which serve nobody meanwhile. */
export interface Trial extends Pick<Attack, "row" | "what" | "target"> {
  /** Does it, and says whether the nodes behaved as they must. */
  run(): Promise<Outcome>;
}

/** Attacks on nodes of their own as rows, all at the same time. */
export function trialRows(
  who: string,
  trials: readonly Trial[],
): readonly Row[] {
  return together(trials.map(({ row, what, target, run }) => ({
    what: `${who}, ${row}: ${what}`,
    target,
    measure: () => run(),
  })));
}

/** What a node may need more, and how long an honest request may take meanwhile. */
export interface Bounds {
  /** In MiB. */
  readonly memory: number;
  /** At the 99th percentile, in ms. */
  readonly latency: number;
}

/** An attack as a row: on a victim of its own, which must serve an honest node all the while. */
export function rowOf(
  who: string,
  attack: Attack,
  { memory, latency }: Bounds,
): Row {
  return {
    what: `${who}, ${attack.row}: ${attack.what}`,
    target:
      `${attack.target}; memory at most +${memory} MiB, honest p99 at most ${latency} ms and ${SLOWER} ms more than before, no member lost`,
    async measure({ short }) {
      await using scene = await Scene.open(attack.victim);
      const { figure, held } = await attack.run(scene, short);
      const service = await scene.outcome(memory, latency);
      return {
        figure: `${figure}; ${service.figure}`,
        held: held && service.held,
        skipped: held && service.skipped === true,
      };
    },
  };
}

/** Several things that must all hold, as one outcome. */
export function all(checks: Readonly<Record<string, boolean>>): Outcome {
  const wrong = Object.entries(checks).filter(([, held]) => !held);
  return wrong.length === 0
    ? { figure: Object.keys(checks).join(", "), held: true }
    : {
      figure: `not so: ${wrong.map(([what]) => what).join(", ")}`,
      held: false,
    };
}
