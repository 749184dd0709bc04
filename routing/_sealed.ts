/** Options of {@linkcode sealedAsync}. */
export interface SealedAsyncOptions {
  /**
   * Where cryptographic randomness comes from, which nobody injects; none: asking for
   * it throws, too.
   *
   * @default {none}
   */
  readonly random?: () => number;
}

/**
 * Runs synchronous code during which the runtime's own time, timers and randomness
 * throw: proof that it knows what is injected alone. So do queued microtasks, which
 * would run behind its back.
 *
 * @example A router that looks at the real clock
 * ```ts
 * import { sealed } from "@devts/routing/testing";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertThrows(() => sealed(() => Date.now()), Error, "Date.now");
 * assertEquals(sealed(() => 1 + 1), 2);
 * ```
 *
 * @returns What it returns.
 * @throws {Error} If it asked for one of these, even where it caught what that threw.
 */
export function sealed<T>(run: () => T): T {
  const seal = new Seal([...FORBIDDEN, MICROTASK]);
  try {
    return run();
  } finally {
    seal.open();
  }
}

/**
 * As {@linkcode sealed}, for code that waits for promises: microtasks run as they
 * must, and so does what else happens in the runtime meanwhile.
 *
 * @example Code that waits in virtual time
 * ```ts
 * import { sealedAsync, VirtualClock } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const clock = new VirtualClock();
 * const time = await sealedAsync(() =>
 *   clock.settle(new Promise<number>((resolve) => {
 *     clock.after(50, () => resolve(clock.now()));
 *   }))
 * );
 *
 * assertEquals(time, 50);
 * ```
 *
 * @returns Settles as what it returns does; rejects if it asked for one of these.
 */
export async function sealedAsync<T>(
  run: () => Promise<T>,
  options: SealedAsyncOptions = {},
): Promise<T> {
  const seal = new Seal(FORBIDDEN, options.random);
  try {
    return await run();
  } finally {
    seal.open();
  }
}

/** Whose, under which key, and what it is called. */
type Forbidden = readonly [owner: object, key: string, name: string];

const FORBIDDEN: readonly Forbidden[] = [
  [Date, "now", "Date.now"],
  [Math, "random", "Math.random"],
  [performance, "now", "performance.now"],
  [crypto, "randomUUID", "crypto.randomUUID"],
  [AbortSignal, "timeout", "AbortSignal.timeout"],
  [globalThis, "setTimeout", "setTimeout"],
  [globalThis, "setInterval", "setInterval"],
  [globalThis, "setImmediate", "setImmediate"],
];
const MICROTASK: Forbidden = [globalThis, "queueMicrotask", "queueMicrotask"];

/** What stands in for the runtime's own time and randomness. */
class Seal {
  readonly #undo: (() => void)[] = [];
  #touched: Error | null = null;

  constructor(
    forbidden: readonly Forbidden[],
    random?: () => number,
  ) {
    for (const [owner, key, name] of forbidden) {
      this.#replace(owner, key, () => this.#touch(name));
    }
    this.#replace(globalThis, "Date", this.#dateless());
    this.#replace(
      crypto,
      "getRandomValues",
      random === undefined
        ? () => this.#touch("crypto.getRandomValues")
        : (array: ArrayBufferView) => fill(array, random),
    );
  }

  /** Puts everything back; throws if something was asked for. */
  open(): void {
    for (const undo of this.#undo.reverse()) undo();
    if (this.#touched !== null) throw this.#touched;
  }

  #replace(owner: object, key: string, value: unknown): void {
    const original = Object.getOwnPropertyDescriptor(owner, key);
    Object.defineProperty(owner, key, {
      configurable: true,
      writable: true,
      value,
    });
    this.#undo.push(() => {
      if (original === undefined) Reflect.deleteProperty(owner, key);
      else Object.defineProperty(owner, key, original);
    });
  }

  /** `Date` without the present time. */
  #dateless(): DateConstructor {
    return new Proxy(Date, {
      apply: () => this.#touch("Date()"),
      construct: (target, args, newTarget): object =>
        args.length === 0
          ? this.#touch("new Date()")
          : Reflect.construct(target, args, newTarget),
    });
  }

  #touch(what: string): never {
    this.#touched ??= new Error(
      `Cannot use ${what}: time and randomness are injected`,
    );
    throw this.#touched;
  }
}

function fill<T extends ArrayBufferView>(array: T, random: () => number): T {
  const bytes = new Uint8Array(
    array.buffer,
    array.byteOffset,
    array.byteLength,
  );
  for (let at = 0; at < bytes.length; at++) bytes[at] = random() * 256;
  return array;
}
