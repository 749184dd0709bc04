import type { Measurement, MeasureOptions, Row } from "./runner.ts";

/** Rows that mostly wait: the first one that is measured starts all of them. */
export function together(rows: readonly Row[]): readonly Row[] {
  let running: readonly Promise<Measurement>[] | undefined;
  const start = (options: MeasureOptions): readonly Promise<Measurement>[] => {
    const started = rows.map((row) => row.measure(options));
    // Each is awaited in its turn, and may fail before.
    for (const one of started) one.catch(() => {});
    return started;
  };
  return rows.map((row, at) => ({
    ...row,
    measure: async (options) => {
      running ??= start(options);
      const measured = await running[at];
      if (measured === undefined) throw new RangeError("There is no such row");
      return measured;
    },
  }));
}
