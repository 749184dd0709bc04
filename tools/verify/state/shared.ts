import { Child } from "../../../bench/child.ts";

const PROGRAM = new URL("./program.ts", import.meta.url);

/** A program with a replicated map. */
export function start(flags: readonly string[] = ["-A"]): Child {
  return new Child(PROGRAM, { flags });
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >>> 1] ?? NaN;
}

/** Two measurements in turn, again and again; the medians of both. */
export async function inTurn(
  times: number,
  one: (round: number) => Promise<number>,
  other: (round: number) => Promise<number>,
): Promise<[one: number, other: number]> {
  const ones: number[] = [];
  const others: number[] = [];
  for (let round = 0; round < times; round++) {
    ones.push(await one(round));
    others.push(await other(round));
  }
  return [median(ones), median(others)];
}
