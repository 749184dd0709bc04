/** What a node lacks that holds a part of everything. */
import type { Entries } from "./_entries.ts";
import { bucketOf, BUCKETS, firstOf } from "./_merkle.ts";
import { type Range, startOf } from "./_scan.ts";

/** Ranges that are asked for on their own, at most: what is between others is told again. */
const MAX_RANGES = 256;

/** Buckets that differ from those of another node, by what is here of them. */
export interface Lacking {
  /** Those of which something is here. */
  readonly held: readonly number[];
  /** The others, and what is empty here beside them. The longest first. */
  readonly ranges: readonly Range[];
}

/** Buckets in a row. */
interface Run {
  readonly first: number;
  last: number;
}

/** Parts buckets that differ, in their order, by whether something is here of them. */
export function lacking(
  entries: Entries,
  buckets: readonly number[],
): Lacking {
  const isHeld = new Uint8Array(BUCKETS);
  for (let slot = 0; slot < entries.slots; slot++) {
    if (entries.keyAt(slot) === undefined) continue;
    isHeld[bucketOf(entries.hashAt(slot))] = 1;
  }
  const held = buckets.filter((bucket) => isHeld[bucket] === 1);
  const runs: Run[] = [];
  for (const bucket of buckets) {
    if (isHeld[bucket] === 1) continue;
    const before = runs.at(-1);
    const isNext = before && !isHeld.subarray(before.last, bucket).includes(1);
    if (isNext) before.last = bucket;
    else runs.push({ first: bucket, last: bucket });
  }
  const ranges = joined(runs)
    .sort((a, b) => b.last - b.first - (a.last - a.first))
    .map(({ first, last }) => ({
      from: startOf(firstOf(first)),
      to: firstOf(last + 1),
    }));
  return { held, ranges };
}

/** Joins those that are nearest to each other until they are few enough. */
function joined(runs: readonly Run[]): Run[] {
  const gaps = runs.slice(1).map((run, i) => run.first - (runs[i]?.last ?? 0))
    .sort((a, b) => b - a);
  const least = gaps[MAX_RANGES - 1] ?? 0;
  const found: Run[] = [];
  for (const { first, last } of runs) {
    const before = found.at(-1);
    if (before && first - before.last <= least) before.last = last;
    else found.push({ first, last });
  }
  return found;
}
