import { KeyMap } from "./_key_map.ts";
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
  readonly #byElement = new KeyMap<Set<string>>();
  /** Dots that wait for the storage: what comes after them on this node knows of them. */
  readonly #staged = new KeyMap<Set<string>>();

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
    const known = this.#known(element);
    const { self, lastSeq } = this.#replication.store;
    const dot = `${element}${SEPARATOR}${self.id}.${lastSeq + 1}`;
    const added = this.#replication.write(dot, value, false, options);
    if (this.#replication.store.staged.get(dot)) {
      this.#stage(element, dot, added);
    }
    return this.#remove(known, options) ?? added;
  }

  #known(element: string): string[] {
    const staged = this.#staged.get(element) ?? [];
    return [...this.#byElement.get(element) ?? [], ...staged];
  }

  #stage(element: string, dot: string, added: Promise<void>): void {
    const staged = this.#staged.get(element) ?? new Set();
    this.#staged.set(element, staged.add(dot));
    const done = (): void => {
      staged.delete(dot);
      if (staged.size === 0) this.#staged.delete(element);
    };
    added.then(done, done);
  }

  /** Removes all additions of an element that are known here. */
  remove(element: string, options?: WriteOptions): Promise<void> {
    return this.#replication.onceLoaded(() => {
      return this.#remove(this.#known(element), options) ?? SETTLED;
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
