import type { NodeId } from "./types.ts";

const ESCAPE = " ";
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
/** V8 takes strings of up to 16 digits for numbers; none has more digits than 2^64. */
const LONGEST_NUMBER = 20;

/**
 * A map by node id that an attacker cannot slow down by choosing ids.
 *
 * V8 derives the hash of a string of digits from its number alone, so that a
 * table of chosen numbers degrades to a list: 50,000 such keys take seconds. A
 * key that looks like a number is stored behind a space, which no id contains.
 */
export class IdMap<V> implements ReadonlyMap<NodeId, V> {
  readonly #map = new Map<string, V>();

  get size(): number {
    return this.#map.size;
  }

  get(id: NodeId): V | undefined {
    return this.#map.get(keyOf(id));
  }

  has(id: NodeId): boolean {
    return this.#map.has(keyOf(id));
  }

  set(id: NodeId, value: V): this {
    this.#map.set(keyOf(id), value);
    return this;
  }

  delete(id: NodeId): boolean {
    return this.#map.delete(keyOf(id));
  }

  clear(): void {
    this.#map.clear();
  }

  forEach(
    callback: (value: V, id: NodeId, map: ReadonlyMap<NodeId, V>) => void,
  ): void {
    for (const [id, value] of this) callback(value, id, this);
  }

  values(): MapIterator<V> {
    return this.#map.values();
  }

  *keys(): Generator<NodeId, undefined> {
    for (const key of this.#map.keys()) yield idOf(key);
  }

  *entries(): Generator<[NodeId, V], undefined> {
    for (const [key, value] of this.#map) yield [idOf(key), value];
  }

  [Symbol.iterator](): Generator<[NodeId, V], undefined> {
    return this.entries();
  }
}

function keyOf(id: NodeId): string {
  return id.length <= LONGEST_NUMBER && isDigit(id.charCodeAt(0)) &&
      isDigit(id.charCodeAt(id.length - 1))
    ? ESCAPE + id
    : id;
}

function idOf(key: string): NodeId {
  return key.startsWith(ESCAPE) ? key.slice(1) : key;
}

function isDigit(code: number): boolean {
  return code >= DIGIT_0 && code <= DIGIT_9;
}
