import { assertEquals } from "@std/assert";
import { sealed } from "./_sealed.ts";

/** The tests of a suite: fact and proof. */
export type Suite = Readonly<Record<string, () => void>>;

/** Registers a suite; what is skipped must exist and say why. */
export function registerSuite(
  name: string,
  suite: Suite,
  skip: Readonly<Record<string, string>>,
): void {
  for (const fact of Object.keys(skip)) {
    if (!Object.hasOwn(suite, fact)) {
      throw new TypeError(`Cannot skip "${fact}": there is no such test`);
    }
  }
  for (const [fact, test] of Object.entries(suite)) {
    const why = skip[fact];
    Deno.test({
      name: why === undefined
        ? `${name} ${fact}`
        : `${name} ${fact} (skipped: ${why})`,
      ignore: why !== undefined,
      fn: test,
    });
  }
}

/**
 * Runs a trace twice without the runtime's own time and randomness: both must be the
 * same.
 */
export function assertSelfContained(trace: () => unknown): void {
  const traces: unknown[] = [];
  sealed(() => traces.push(trace(), trace()));
  assertEquals(traces[0], traces[1]);
}

/** Random bytes, or a copy of a sample with a few bytes changed, cut or added. */
export function garbage(
  random: () => number,
  samples: readonly Uint8Array[],
): Uint8Array {
  const sample = samples[Math.floor(random() * samples.length)];
  const mutated = sample === undefined || random() < 0.5
    ? new Uint8Array(Math.floor(random() * 80)).map(() => random() * 256)
    : sample.slice(
      0,
      random() < 0.5 ? sample.length : Math.floor(random() * sample.length),
    );
  for (
    let changes = Math.floor(random() * 4);
    changes > 0 && mutated.length > 0;
    changes--
  ) {
    mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256);
  }
  return mutated;
}
