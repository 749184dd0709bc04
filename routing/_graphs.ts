import type { NodeId } from "./types.ts";

/** A form of network: every one of them is connected. */
export type GraphKind =
  | "line"
  | "ring"
  | "star"
  | "mesh"
  | "tree"
  | "degree5"
  | "random";

/**
 * The links of a network of some form.
 *
 * - `line`, `ring`, `star` (around the first), `mesh` (each to each).
 * - `tree`: each node is linked to a random one before it.
 * - `degree5`: a tree in which no node has more than five links, and further links at
 *   random as far as these allow it.
 * - `random`: a tree, and as many further links as there are nodes, at random.
 *
 * @example A ring
 * ```ts
 * import { graph, seededRandom } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(graph("ring", ["a", "b", "c"], seededRandom(1)), [
 *   ["a", "b"],
 *   ["b", "c"],
 *   ["c", "a"],
 * ]);
 * ```
 *
 * @param ids The nodes, each once.
 * @param random Where the choice comes from: 0 ≤ x < 1.
 */
export function graph(
  kind: GraphKind,
  ids: readonly NodeId[],
  random: () => number,
): [NodeId, NodeId][] {
  const draft = new Draft(ids);
  const last = ids.length - 1;
  switch (kind) {
    case "line":
      for (let at = 0; at < last; at++) draft.link(at, at + 1);
      break;
    case "ring":
      for (let at = 0; at < last; at++) draft.link(at, at + 1);
      draft.link(last, 0);
      break;
    case "star":
      for (let at = 1; at <= last; at++) draft.link(0, at);
      break;
    case "mesh":
      for (let a = 0; a < last; a++) {
        for (let b = a + 1; b <= last; b++) draft.link(a, b);
      }
      break;
    case "tree":
      draft.grow(random, Infinity);
      break;
    case "degree5":
      draft.grow(random, 5);
      draft.thicken(random, 2 * ids.length, 5);
      break;
    case "random":
      draft.grow(random, Infinity);
      draft.thicken(random, ids.length, Infinity);
      break;
  }
  return draft.links;
}

/** A network under construction. */
class Draft {
  readonly links: [NodeId, NodeId][] = [];
  readonly #ids: readonly NodeId[];
  readonly #degrees: number[];
  readonly #pairs = new Set<number>();

  constructor(ids: readonly NodeId[]) {
    this.#ids = ids;
    this.#degrees = ids.map(() => 0);
  }

  /** Links two nodes, unless they are one, or are linked. */
  link(a: number, b: number): void {
    const one = this.#ids[a];
    const other = this.#ids[b];
    const pair = Math.min(a, b) * this.#ids.length + Math.max(a, b);
    if (one === undefined || other === undefined || a === b) return;
    if (this.#pairs.has(pair)) return;
    this.#pairs.add(pair);
    this.#degrees[a] = this.#degree(a) + 1;
    this.#degrees[b] = this.#degree(b) + 1;
    this.links.push([one, other]);
  }

  /** Links each node to a random one before it that has room. */
  grow(random: () => number, most: number): void {
    for (let at = 1; at < this.#ids.length; at++) {
      // Some node before it has room: each new one brings more than it takes.
      let to = Math.floor(random() * at);
      while (this.#degree(to) >= most) to = (to + 1) % at;
      this.link(at, to);
    }
  }

  /** Adds so many random links, fewer where there is no room. */
  thicken(random: () => number, count: number, most: number): void {
    for (let added = 0; added < count; added++) {
      const a = Math.floor(random() * this.#ids.length);
      const b = Math.floor(random() * this.#ids.length);
      if (this.#degree(a) < most && this.#degree(b) < most) this.link(a, b);
    }
  }

  #degree(at: number): number {
    return this.#degrees[at] ?? 0;
  }
}
