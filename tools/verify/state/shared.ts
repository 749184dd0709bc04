import { Child } from "../../../bench/child.ts";

const PROGRAM = new URL("./program.ts", import.meta.url);

/** A program with a replicated map; `args` as it says. */
export function start(
  flags: readonly string[] = ["-A"],
  args: readonly string[] = [],
): Child {
  return new Child(PROGRAM, { flags, args });
}

/** The value in the middle. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >>> 1] ?? NaN;
}

/** What of a ratio the short form asks for: in its short time, what else runs weighs more. */
const SHORT_PART = 0.6;
/** What targets say of that. */
export const IN_SHORT = "(0.6 of that ratio in the short form)";

/** Whether a ratio is good enough. */
export function reaches(
  ratio: number,
  target: number,
  short: boolean,
): boolean {
  return ratio >= (short ? SHORT_PART * target : target);
}

/** What two ways of doing the same took. */
export interface Compared {
  /** The median of one way. */
  readonly one: number;
  /** The median of the other. */
  readonly other: number;
  /** What the one took of what the other took just after: the median. */
  readonly ratio: number;
}

/** Two measurements in turn, again and again: what else runs meets both. */
export async function inTurn(
  times: number,
  one: (round: number) => Promise<number>,
  other: (round: number) => Promise<number>,
): Promise<Compared> {
  const ones: number[] = [];
  const others: number[] = [];
  for (let round = 0; round < times; round++) {
    ones.push(await one(round));
    others.push(await other(round));
  }
  const ratios = ones.map((value, i) => value / (others[i] ?? NaN));
  return { one: median(ones), other: median(others), ratio: median(ratios) };
}

/** Works in a folder of its own, which is there no more afterwards. */
export async function inFolder<T>(
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
