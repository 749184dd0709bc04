/** In front of keys that begin with a digit, and of those that begin with this. */
const MARK = "\0";
const ZERO = 48;
const NINE = 57;

/**
 * A map of texts that others chose. To the runtime a text of digits is a number, and a
 * table of such texts can be made to look through all of them for each: 50,000 chosen
 * ones took 17 s. Behind another character they are texts like others.
 */
export class KeyMap<V> implements ReadonlyMap<string, V> {
  readonly #values = new Map<string, V>();

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(marked(key));
  }

  has(key: string): boolean {
    return this.#values.has(marked(key));
  }

  set(key: string, value: V): void {
    this.#values.set(marked(key), value);
  }

  delete(key: string): boolean {
    return this.#values.delete(marked(key));
  }

  values(): MapIterator<V> {
    return this.#values.values();
  }

  *keys(): Generator<string, undefined> {
    for (const key of this.#values.keys()) yield unmarked(key);
    return undefined;
  }

  *entries(): Generator<[string, V], undefined> {
    for (const [key, value] of this.#values) yield [unmarked(key), value];
    return undefined;
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }

  forEach(callback: (value: V, key: string, map: this) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }
}

function marked(key: string): string {
  const first = key.charCodeAt(0);
  return first >= ZERO && first <= NINE || first === 0 ? MARK + key : key;
}

function unmarked(key: string): string {
  return key.charCodeAt(0) === 0 ? key.slice(1) : key;
}
