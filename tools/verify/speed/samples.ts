import { median } from "../../../bench/figures.ts";

/** What one repetition came to. */
export interface Sample {
  /** Messages per second. */
  readonly rate: number;
  /** CPU time per message, in µs. */
  readonly cpu: number;
}

/** Options of {@linkcode inTurns}. */
export interface InTurnsOptions {
  /** How often each takes its turn, after one to warm up. */
  readonly repetitions: number;
  /** Is told how far it is. */
  progress(text: string): void;
}

/** What two things came to, which took turns. */
export class Pair {
  readonly #samples: readonly (readonly [Sample, Sample])[];

  /** Takes a sample of each per repetition. */
  constructor(samples: readonly (readonly [Sample, Sample])[]) {
    this.#samples = samples;
  }

  /** For a person: the medians of the first one. */
  get first(): string {
    return text(this.#samples.map(([first]) => first));
  }

  /** For a person: the medians of the second one. */
  get second(): string {
    return text(this.#samples.map(([, second]) => second));
  }

  /** By what factor the first one has more than the second: in each repetition, the median. */
  ratio(figure: keyof Sample): number {
    return median(
      this.#samples.map(([first, second]) => first[figure] / second[figure]),
    );
  }
}

/** Measures two things in turns, so that they meet the same conditions. */
export async function inTurns(
  first: () => Promise<Sample>,
  second: () => Promise<Sample>,
  { repetitions, progress }: InTurnsOptions,
): Promise<Pair> {
  const pairs: (readonly [Sample, Sample])[] = [];
  for (let repetition = 0; repetition <= repetitions; repetition++) {
    const pair = [await first(), await second()] as const;
    progress(
      `repetition ${repetition} of ${repetitions}: ${
        pair.map((sample) => text([sample])).join(" against ")
      }`,
    );
    if (repetition > 0) pairs.push(pair);
  }
  return new Pair(pairs);
}

function text(samples: readonly Sample[]): string {
  const rate = median(samples.map(({ rate }) => rate));
  const cpu = median(samples.map(({ cpu }) => cpu));
  return `${Math.round(rate / 1000)} k/s (${cpu.toFixed(2)} µs CPU each)`;
}
