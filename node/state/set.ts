import type { Behaviour, Scope } from "../behaviour.ts";
import { shown } from "./_checks.ts";
import { Dots, elementOf } from "./_dots.ts";
import { Replicated } from "./_replicated.ts";
import type { ReplicatedState, StateOptions, WriteOptions } from "./types.ts";

const ADDED = true;

/** A change of a replicated set. */
export interface SetChange {
  /** The element. */
  readonly element: string;
  /** Whether it is in the set from now on. */
  readonly isIn: boolean;
}

/**
 * A set of strings that all nodes share. **An addition wins over a removal** that did
 * not know of it. Elements are strings of at most 900 bytes.
 */
export interface ReplicatedSet extends ReplicatedState {
  /** How many elements there are. */
  readonly size: number;
  /** Whether an element is there. */
  has(element: string): boolean;
  /** Adds an element; as `ReplicatedMap.set`. */
  add(element: string, options?: WriteOptions): Promise<void>;
  /** Removes what this node knows of an element; as `ReplicatedMap.set`. */
  delete(element: string, options?: WriteOptions): Promise<void>;
  /** The elements, in no particular order. */
  values(): IterableIterator<string>;
  /** Calls back when an element comes or goes, wherever that was written; dispose it to stop. */
  watch(callback: (change: SetChange) => void): Disposable;
}

/**
 * A replicated set in which an addition wins over a removal that did not know of it.
 *
 * @example Tags
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { set } from "@devts/node/state";
 * import { assertEquals } from "@std/assert";
 *
 * await using node = createNode({ cluster: "demo" });
 * const tags = node.use("tags", set());
 * await tags.add("new");
 * await tags.add("red");
 * await tags.delete("new");
 * assertEquals([...tags.values()], ["red"]);
 * ```
 */
export function set(options: StateOptions = {}): Behaviour<ReplicatedSet> {
  return (scope) => new ObservedRemoveSet(scope, options);
}

class ObservedRemoveSet extends Replicated implements ReplicatedSet {
  readonly #dots: Dots;

  constructor(scope: Scope, options: StateOptions) {
    super(
      scope,
      options,
      (dot, isDelete) =>
        `${isDelete ? "delete" : "add"} "${shown(elementOf(dot))}"`,
    );
    this.#dots = new Dots(this.replication);
  }

  get size(): number {
    return this.#dots.elements.size;
  }

  has(element: string): boolean {
    return this.#dots.elements.has(element);
  }

  add(element: string, options?: WriteOptions): Promise<void> {
    checkElement(element, "add");
    return this.#dots.replace(element, ADDED, options);
  }

  delete(element: string, options?: WriteOptions): Promise<void> {
    checkElement(element, "delete");
    return this.#dots.remove(element, options);
  }

  values(): IterableIterator<string> {
    return this.#dots.elements.keys();
  }

  watch(callback: (change: SetChange) => void): Disposable {
    const told = new Set(this.values());
    return this.replication.watch((key) => {
      const element = elementOf(key);
      const isIn = this.has(element);
      if (told.has(element) === isIn) return;
      if (isIn) told.add(element);
      else told.delete(element);
      callback({ element, isIn });
    });
  }
}

/** @throws {TypeError} If it is no string: a key would be made of it all the same. */
function checkElement(element: unknown, call: string): void {
  if (typeof element === "string") return;
  throw new TypeError(
    `Cannot ${call} "${
      shown(element)
    }": an element is a string, not ${typeof element}`,
  );
}
