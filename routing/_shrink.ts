import type { Timed } from "./_faults.ts";

/** What is left of a script. */
export interface Shrunk<A> {
  /** A part of the script, at earlier times, that still fails. */
  readonly script: readonly A[];
  /** How many scripts were tried. */
  readonly tries: number;
}

/**
 * Cuts a failing script down: takes out what it fails without, in ever smaller
 * pieces (delta debugging by Zeller and Hildebrandt), then makes what is left follow
 * sooner and last shorter.
 *
 * @param fails Whether a script fails in the same way.
 * @param limit The most scripts to try.
 */
export async function shrink<A extends Timed>(
  script: readonly A[],
  fails: (script: readonly A[]) => Promise<boolean>,
  limit: number,
): Promise<Shrunk<A>> {
  const shrinking = new Shrinking(script, fails, limit);
  await shrinking.run();
  return shrinking;
}

class Shrinking<A extends Timed> implements Shrunk<A> {
  script: readonly A[];
  tries = 0;
  readonly #fails: (script: readonly A[]) => Promise<boolean>;
  readonly #limit: number;

  constructor(
    script: readonly A[],
    fails: (script: readonly A[]) => Promise<boolean>,
    limit: number,
  ) {
    this.script = [...script].sort((a, b) => a.at - b.at);
    this.#fails = fails;
    this.#limit = limit;
  }

  async run(): Promise<void> {
    for (let size = this.script.length; size >= 1;) {
      const found = await this.#takeOut(size);
      if (size === 1 && !found) break;
      size = Math.max(1, Math.ceil(size / 2));
    }
    for (let found = true; found;) {
      found = await this.#hasten();
    }
  }

  /** Takes out every piece of this size that it can do without. */
  async #takeOut(size: number): Promise<boolean> {
    let found = false;
    for (let start = 0; start < this.script.length;) {
      const rest = this.script.toSpliced(start, size);
      if (await this.#take(rest)) found = true;
      else start += size;
    }
    return found;
  }

  /** Halves each length, and each time between two. */
  async #hasten(): Promise<boolean> {
    let found = false;
    for (let at = 0; at < this.script.length; at++) {
      if (await this.#take(shorter(this.script, at))) found = true;
      if (await this.#take(sooner(this.script, at))) found = true;
    }
    return found;
  }

  /** Goes on with a script if it still fails. */
  async #take(script: readonly A[] | null): Promise<boolean> {
    if (script === null || this.tries >= this.#limit) return false;
    this.tries++;
    if (!await this.#fails(script)) return false;
    this.script = script;
    return true;
  }
}

/** What happens at a place, lasting half as long; null where that is no difference. */
function shorter<A extends Timed>(
  script: readonly A[],
  at: number,
): A[] | null {
  const action = script[at];
  if (action?.for === undefined || action.for <= 1) return null;
  return script.with(at, { ...action, for: Math.floor(action.for / 2) });
}

/** What happens from a place on, after half the time; null where that is no difference. */
function sooner<A extends Timed>(
  script: readonly A[],
  at: number,
): A[] | null {
  const gap = (script[at]?.at ?? 0) - (script[at - 1]?.at ?? 0);
  if (gap <= 1) return null;
  const gain = gap - Math.floor(gap / 2);
  return script.map((action, index) =>
    index < at ? action : { ...action, at: action.at - gain }
  );
}
