import type { NodeId } from "@devts/routing";
import { OTHERS, type Target } from "./outbound.ts";

/** Whom a bundle is for that events for different nodes share. */
export class Readers {
  /** What is for others in the bundle of a node, on average, in bytes. */
  foreign = 0;
  #first: Target = OTHERS;
  /** All of them, once they are those of several targets; null: they are `#first`. */
  #nodes: Set<NodeId> | null = null;
  #all = false;
  readonly #covered = new Set<Target>();

  /** Whether they are exactly those of one target. */
  are(target: Target): boolean {
    return this.#first === target && this.#nodes === null;
  }

  /** Whether they are those of several targets. */
  get areSeveral(): boolean {
    return this.#nodes !== null;
  }

  /** A bundle begins with an event for a target. */
  begin(target: Target): void {
    this.#first = target;
    if (this.#nodes === null) return;
    this.#nodes = null;
    this.#all = false;
    this.#covered.clear();
    this.foreign = 0;
  }

  /** An event for another target joins it. */
  add(target: Target): void {
    if (this.are(target) || this.#covered.has(target)) return;
    if (this.#nodes === null) {
      this.#nodes = new Set();
      this.#cover(this.#first, this.#nodes);
    }
    this.#cover(target, this.#nodes);
  }

  /** Whether a node is one of them. */
  has(id: NodeId): boolean {
    if (this.#nodes !== null) return this.#all || this.#nodes.has(id);
    const { to } = this.#first;
    return to === "all" || to.includes(id);
  }

  /** The target, where they are those of one. */
  get first(): Target {
    return this.#first;
  }

  /** All of them. */
  get to(): readonly NodeId[] | "all" {
    if (this.#nodes === null) return this.#first.to;
    return this.#all ? "all" : [...this.#nodes];
  }

  /** So many bytes were for a target; `reach` is how many all others are. */
  note({ to }: Target, bytes: number, reach: number): void {
    const count = this.#all ? reach : this.#nodes?.size ?? 0;
    const readers = to === "all" ? reach : to.length;
    if (readers < count) this.foreign += bytes * (1 - readers / count);
  }

  #cover(target: Target, nodes: Set<NodeId>): void {
    this.#covered.add(target);
    if (target.to === "all") this.#all = true;
    else for (const id of target.to) nodes.add(id);
  }
}
