import type { Replication } from "./_replication.ts";
import type { WriteOptions } from "./types.ts";

/** Between an element and the name of the write that added it; no name has one. */
const SEPARATOR = "\0";
const SETTLED: Promise<void> = Promise.resolve();

/**
 * Elements whose every addition is a key of its own, a dot (Bieniusa and others, "An
 * optimized conflict-free replicated set", 2012): whoever removes an element deletes
 * the dots that it knows of, so an addition that it does not know of stays.
 */
export class Dots {
  readonly #replication: Replication;
  readonly #byElement = new Map<string, Set<string>>();

  constructor(replication: Replication) {
    this.#replication = replication;
    replication.store.entries.indexed = (key, isLive) =>
      this.#note(key, isLive);
  }

  /** The elements that are there. */
  get elements(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#byElement;
  }

  /** Adds an element, in the place of all additions of it that are known here. */
  replace(
    element: string,
    value: unknown,
    options?: WriteOptions,
  ): Promise<void> {
    return this.#replication.onceLoaded(() =>
      this.#replace(element, value, options)
    );
  }

  #replace(
    element: string,
    value: unknown,
    options: WriteOptions | undefined,
  ): Promise<void> {
    const known = [...this.#byElement.get(element) ?? []];
    const { self } = this.#replication.store;
    const dot = `${element}${SEPARATOR}${self.id}.${self.mark + 1}`;
    const added = this.#replication.write(dot, value, false, options);
    return this.#remove(known, options) ?? added;
  }

  /** Removes all additions of an element that are known here. */
  remove(element: string, options?: WriteOptions): Promise<void> {
    return this.#replication.onceLoaded(() => {
      const known = [...this.#byElement.get(element) ?? []];
      return this.#remove(known, options) ?? SETTLED;
    });
  }

  #remove(
    dots: readonly string[],
    options: WriteOptions | undefined,
  ): Promise<void> | null {
    let last: Promise<void> | null = null;
    // Who holds the last write of a replica holds those before it.
    for (const dot of dots) {
      last = this.#replication.write(dot, undefined, true, options);
    }
    return last;
  }

  #note(key: string, isLive: boolean): void {
    const element = elementOf(key);
    const dots = this.#byElement.get(element);
    if (isLive) {
      if (dots) dots.add(key);
      else this.#byElement.set(element, new Set([key]));
      return;
    }
    dots?.delete(key);
    if (dots?.size === 0) this.#byElement.delete(element);
  }
}

/** The element of a dot. */
export function elementOf(key: string): string {
  const at = key.lastIndexOf(SEPARATOR);
  return at < 0 ? key : key.slice(0, at);
}
