import { devtsIn } from "../../bench/devts_peer.ts";
import type { Figure } from "../../bench/figures.ts";
import {
  measure as measureWork,
  type Result,
  type Work,
} from "../../bench/measure.ts";
import { WORKS } from "../../bench/works.ts";
import { Others } from "../../bench/processes.ts";
import { ROOT } from "../members.ts";
import { late } from "./late.ts";
import type { MeasureOptions, Row } from "./runner.ts";
import { ratioOf } from "./speed/results.ts";

/** The commit with which the work on speed ended. */
export const SPEED = "21a8110";
/** By how much the CPU time of an event may grow. */
const MOST = 1.1;
/** The same in the short form: few and short turns tell less. */
const MOST_SHORT = 1.3;
/**
 * Turns of each version, and how long one takes, in ms; in the short form. CPU time
 * advances in steps of 10 ms: many times that must pass in a turn.
 */
const REPETITIONS = 15;
const REPETITIONS_SHORT = 7;
const DURATION = 2_500;
const DURATION_SHORT = 800;
/** The works of the short form. */
const SHORT: readonly string[] = ["object128", "bytes128"];

const NOW = "now";
const BEFORE = "before";

/** What may cost CPU time, and what it is called. */
const FIGURES: readonly (readonly [Figure, string])[] = [
  ["publisherCpu", "sender"],
  ["subscriberCpu", "receiver"],
];

/**
 * The CPU time per event of what is here against that of an earlier commit, both in one
 * run: they take turns, each work in processes of its own, and the median of the ratios
 * of neighbouring turns counts. For every area that may not make the hot path slower.
 *
 * @param base The commit to compare with, unless the command line names another.
 */
export function paired(base: string): Row {
  return {
    what: "CPU time per event, paired with an earlier commit in one run",
    target: `at most ${MOST} of it, in each work; short, ${MOST_SHORT}`,
    measure: async (options) => {
      const earlier = options.base ?? base;
      await using checkout = new Checkout(earlier);
      const why = await checkout.make();
      if (why !== null) return { figure: why, held: false, skipped: true };
      return await compare(checkout.root, earlier, options);
    },
  };
}

async function compare(
  root: URL,
  base: string,
  { short, progress }: MeasureOptions,
) {
  const peers = [
    devtsIn(new URL("bench/", root), BEFORE),
    devtsIn(new URL("bench/", ROOT), NOW),
  ];
  const works = short ? WORKS.filter(isShort) : WORKS;
  const lines: string[] = [];
  const others = new Others();
  let worst = 0;
  for (const work of works) {
    const take = (repetitions: number): Promise<readonly Result[]> =>
      measureWork(work, peers, {
        repetitions,
        duration: short ? DURATION_SHORT : DURATION,
        progress: (text) => progress(`${work.name}, ${text}`),
      });
    let results = await take(short ? REPETITIONS_SHORT : REPETITIONS);
    // Few turns on a busy machine may be wrong: more of them tell.
    if (short && ratiosOf(results).some((ratio) => ratio > MOST_SHORT)) {
      results = joined(results, await take(REPETITIONS));
    }
    const ratios = ratiosOf(results);
    worst = Math.max(worst, ...ratios);
    const parts = FIGURES.map(([, name], at) =>
      `${name} ${ratios[at]?.toFixed(2)}`
    );
    lines.push(`${work.name}: ${parts.join(", ")}`);
    progress(lines.at(-1) ?? "");
  }
  const most = short ? MOST_SHORT : MOST;
  const figure = `of ${base}: ${lines.join("; ")}`;
  return worst > most ? late(figure, others) : { figure, held: worst <= most };
}

/** By what factor each figure has grown. */
function ratiosOf(results: readonly Result[]): number[] {
  return FIGURES.map(([figure]) => ratioOf(results, NOW, BEFORE, figure));
}

/** The turns of both. */
function joined(
  results: readonly Result[],
  more: readonly Result[],
): Result[] {
  return more.map((result, at) => ({
    ...result,
    samples: [...results[at]?.samples ?? [], ...result.samples],
  }));
}

function isShort(work: Work): boolean {
  return work.type === "broadcast" && SHORT.includes(work.kind);
}

/** A checkout of an earlier commit, beside this one, for as long as it is needed. */
class Checkout implements AsyncDisposable {
  readonly #commit: string;
  #folder: string | null = null;

  constructor(commit: string) {
    this.#commit = commit;
  }

  /** Where it is. */
  get root(): URL {
    return new URL(`file://${this.#folder}/`);
  }

  /** Makes it; says why it cannot: there may be no history here. */
  async make(): Promise<string | null> {
    const folder = await Deno.makeTempDir({ prefix: "devts-" });
    this.#folder = folder;
    const error = await git(
      "worktree",
      "add",
      "--detach",
      folder,
      this.#commit,
    );
    return error && `commit ${this.#commit} cannot be checked out: ${error}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#folder === null) return;
    await git("worktree", "remove", "--force", this.#folder);
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
  }
}

/** Runs git on this checkout; resolves to why it failed, or null. */
async function git(...args: string[]): Promise<string | null> {
  try {
    const { success, stderr } = await new Deno.Command("git", {
      args,
      cwd: ROOT,
      stdin: "null",
    }).output();
    return success ? null : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
