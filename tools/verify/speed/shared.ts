import type { MeasureOptions } from "../runner.ts";

/** Measures once for all rows that show something of it; all meet the same run. */
export function shared<T>(
  measure: (options: MeasureOptions) => Promise<T>,
): (options: MeasureOptions) => Promise<T> {
  let measured: Promise<T> | undefined;
  return (options) => measured ??= measure(options);
}
