import { IdMap } from "./_id_map.ts";
import type { KnownLink } from "./explain.ts";
import type { NodeId } from "./types.ts";

/** Ways that are kept to one node. */
const MAX_ROUTES = 3;
/** Nodes to which ways are kept. */
const MAX_TARGETS = 4096;

/** A way to a node: those in between, in order; none: it is a neighbour. */
export type Hops = readonly NodeId[];

/** The ways that a node has learned: up to three to each node, shortest first. */
export class Routes {
  readonly #self: NodeId;
  readonly #routes = new IdMap<Hops[]>();

  constructor(self: NodeId) {
    this.#self = self;
  }

  /** The ways to a node, shortest first. */
  to(target: NodeId): readonly Hops[] {
    return this.#routes.get(target) ?? [];
  }

  /** The links that are on them, each once, the smaller id first. */
  links(): KnownLink[] {
    const links = new Map<string, KnownLink>();
    for (const [target, routes] of this.#routes) {
      for (const hops of routes) {
        let from = this.#self;
        for (const to of [...hops, target]) {
          const [a, b] = from < to ? [from, to] : [to, from];
          links.set(`${a} ${b}`, { a, b });
          from = to;
        }
      }
    }
    return [...links.values()];
  }

  /** Learns a way; of those that are equally long the latest comes first. */
  learn(target: NodeId, hops: Hops): void {
    const known = this.#routes.get(target) ?? [];
    const kept = known.filter((route) => !isSame(route, hops));
    const at = kept.findIndex(({ length }) => length >= hops.length);
    kept.splice(at < 0 ? kept.length : at, 0, hops);
    if (known.length === 0) this.#makeRoom();
    this.#routes.set(target, kept.slice(0, MAX_ROUTES));
  }

  /** Forgets the ways that use a link, in either direction. */
  broken(a: NodeId, b: NodeId): void {
    for (const [target, routes] of [...this.#routes]) {
      const kept = routes.filter((hops) => !this.#uses(target, hops, a, b));
      if (kept.length < routes.length) this.#keep(target, kept);
    }
  }

  /** Forgets the shortest way to a node, and those through any node in between there. */
  failed(target: NodeId): void {
    const [failed = [], ...others] = this.to(target);
    const kept = others.filter((hops) =>
      !hops.some((id) => failed.includes(id))
    );
    this.#keep(target, kept);
  }

  /** Forgets all ways to a node. */
  forget(target: NodeId): void {
    this.#routes.delete(target);
  }

  clear(): void {
    this.#routes.clear();
  }

  #keep(target: NodeId, routes: Hops[]): void {
    if (routes.length === 0) this.#routes.delete(target);
    else this.#routes.set(target, routes);
  }

  #makeRoom(): void {
    if (this.#routes.size < MAX_TARGETS) return;
    for (const oldest of this.#routes.keys()) return this.forget(oldest);
  }

  #uses(target: NodeId, hops: Hops, a: NodeId, b: NodeId): boolean {
    let from = this.#self;
    for (const to of [...hops, target]) {
      if ((from === a && to === b) || (from === b && to === a)) return true;
      from = to;
    }
    return false;
  }
}

function isSame(one: Hops, other: Hops): boolean {
  return one.length === other.length &&
    one.every((id, index) => id === other[index]);
}
