import { assertEquals } from "@std/assert";

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
 * Runs synchronous code during which the runtime's own time and randomness throw:
 * proof that it depends on what is injected alone.
 */
function withoutGlobals(run: () => void): void {
  const restore: (() => void)[] = [];
  try {
    restore.push(
      forbid(Date, "now"),
      forbid(Math, "random"),
      forbid(performance, "now"),
    );
    for (
      const name of [
        "setTimeout",
        "setInterval",
        "setImmediate",
        "queueMicrotask",
      ]
    ) {
      restore.push(forbid(globalThis, name));
    }
    run();
  } finally {
    for (const undo of restore) undo();
  }
}

/**
 * Runs a trace twice without the runtime's own time and randomness: both must be the
 * same.
 */
export function assertSelfContained(trace: () => unknown): void {
  const traces: unknown[] = [];
  withoutGlobals(() => traces.push(trace(), trace()));
  assertEquals(traces[0], traces[1]);
}

function forbid(owner: object, name: string): () => void {
  const original = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, {
    configurable: true,
    value: () => {
      throw new Error(`Cannot use ${name}: time and randomness are injected`);
    },
  });
  return () => {
    if (original === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, original);
  };
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
