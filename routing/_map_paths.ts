import { costOf, isLeafCost, MAX_COST } from "./_map_advert.ts";
import type { Place } from "./_map_chart.ts";
import type { NodeId } from "./types.ts";

/** How a node is reached. */
interface Step {
  /** The node before it; null for the root. */
  via: Place | null;
  /** From the root to it. */
  cost: number;
}

/** The shortest paths from one node to all that it reaches, nearest first. */
export interface Tree {
  readonly steps: ReadonlyMap<Place, Step>;
  readonly order: readonly Place[];
}

/** A node that comes next on the paths of a tree. */
export interface Branch {
  readonly id: NodeId;
  /** Nodes that are reached through it, itself included. */
  readonly size: number;
}

/**
 * Finds the shortest paths from a node (Dijkstra 1959, with Dial's buckets, 1969: no
 * link costs more than 64). Of paths that cost the same it takes the one whose last relay
 * has the smallest id, so that all who have the same map find the same tree.
 *
 * A link whose other end relays nothing, as this end tells, is only ever the last one of a
 * path, and only where there is no other: whoever tells that of others keeps nobody from
 * them.
 *
 * @param isOpen Whether a way may be used.
 */
export function shortestPaths(
  root: Place,
  isOpen: (from: Place, to: Place) => boolean = always,
): Tree {
  const steps = new Map<Place, Step>([[root, { via: null, cost: 0 }]]);
  const order: Place[] = [];
  const buckets: Place[][] = Array.from({ length: MAX_COST + 1 }, () => []);
  buckets[0]?.push(root);
  let found = 1;
  let hasLeaves = false;
  for (let cost = 0; found > 0; cost++) {
    const bucket = buckets[cost % buckets.length] ?? [];
    buckets[cost % buckets.length] = [];
    found -= bucket.length;
    for (const place of bucket) {
      // Found again at a lower cost, it has had its turn.
      if (steps.get(place)?.cost !== cost) continue;
      order.push(place);
      for (const [next, told] of place.ways) {
        if (isLeafCost(told)) hasLeaves = true;
        if (isLeafCost(told) || !isOpen(place, next)) continue;
        const total = cost + costOf(told);
        if (!improve(steps, next, place, total)) continue;
        buckets[total % buckets.length]?.push(next);
        found++;
      }
    }
  }
  if (hasLeaves) addLeaves(steps, order, isOpen);
  return { steps, order };
}

/** Adds the nodes that are reached by links to those alone that relay nothing. */
function addLeaves(
  steps: Map<Place, Step>,
  order: Place[],
  isOpen: (from: Place, to: Place) => boolean,
): void {
  const leaves = new Map<Place, Step>();
  for (const place of order) {
    const cost = steps.get(place)?.cost ?? 0;
    for (const [next, told] of place.ways) {
      if (!isLeafCost(told) || steps.has(next) || !isOpen(place, next)) {
        continue;
      }
      improve(leaves, next, place, cost + costOf(told));
    }
  }
  for (const [leaf, step] of leaves) {
    steps.set(leaf, step);
    order.push(leaf);
  }
  const costTo = (place: Place): number => steps.get(place)?.cost ?? 0;
  order.sort((a, b) => costTo(a) - costTo(b));
}

/** Notes a way to a node if it is better than the one known; whether the cost has changed. */
function improve(
  steps: Map<Place, Step>,
  next: Place,
  via: Place,
  cost: number,
): boolean {
  const known = steps.get(next);
  if (known === undefined) {
    steps.set(next, { via, cost });
    return true;
  }
  if (cost > known.cost) return false;
  if (cost === known.cost) {
    if (known.via !== null && via.id < known.via.id) known.via = via;
    return false;
  }
  known.via = via;
  known.cost = cost;
  return true;
}

/** The nodes from the root to another one, both included; null: it is not reached. */
export function pathTo(tree: Tree, target: Place): NodeId[] | null {
  const path: NodeId[] = [];
  if (!tree.steps.has(target)) return null;
  for (
    let place: Place | null | undefined = target;
    place;
    place = tree.steps.get(place)?.via
  ) path.push(place.id);
  return path.reverse();
}

/** The nodes that come next after one of the tree. */
export function branchesAt(tree: Tree, place: Place): Branch[] {
  const sizes = new Map<Place, number>();
  const branches: Branch[] = [];
  for (let i = tree.order.length - 1; i > 0; i--) {
    const next = tree.order[i];
    const via = next && tree.steps.get(next)?.via;
    if (!next || !via) continue;
    const size = (sizes.get(next) ?? 0) + 1;
    sizes.set(via, (sizes.get(via) ?? 0) + size);
    if (via === place) branches.push({ id: next.id, size });
  }
  return branches.reverse();
}

function always(): boolean {
  return true;
}
