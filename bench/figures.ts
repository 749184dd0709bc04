/** What one run of a work came to, or the medians of several. */
export type Figures = Readonly<Partial<Record<Figure, number>>>;

/**
 * - `rate`: messages per second that each subscriber gets, or requests per second
 * - `publisherCpu`, `subscriberCpu`, `brokerCpu`: CPU time per message, in µs; of
 *   subscribers the median
 * - `publisherMemory`, `subscriberMemory`, `brokerMemory`: resident, in MiB
 * - `p50`, `p99`: the time from a request to its reply, in µs
 */
export type Figure = typeof FIGURES[number];

const FIGURES = [
  "rate",
  "publisherCpu",
  "subscriberCpu",
  "brokerCpu",
  "publisherMemory",
  "subscriberMemory",
  "brokerMemory",
  "p50",
  "p99",
] as const;

/** The middle one; of an even number, the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** The median of each figure that all samples have. */
export function medians(samples: readonly Figures[]): Figures {
  const result: Partial<Record<Figure, number>> = {};
  for (const figure of FIGURES) {
    const values = samples.flatMap((sample) => sample[figure] ?? []);
    if (values.length === samples.length) result[figure] = median(values);
  }
  return result;
}

/** How many messages take about `duration` ms at a rate per second: two digits, at least 1. */
export function fitting(rate: number, duration: number): number {
  return Math.max(
    1,
    Math.round(Number((rate * duration / 1_000).toPrecision(2))),
  );
}
