import { dropOldest } from "./_drop_oldest.ts";
import { IdMap } from "./_id_map.ts";
import type { NodeId, Peer } from "./types.ts";

/** How long one that left is remembered, and one that failed, in ms. */
const LEFT_LIFE = 600_000;
const FAILED_LIFE = 86_400_000;
/** Bounds of the time between two attempts to find one that failed, in ms. */
const MIN_PAUSE = 5_000;
const MAX_PAUSE = 60_000;
/** Part of the time that it is gone. */
const PAUSE_PART = 4;
/** With more nodes than this, each looks for the lost less often. */
const FULL_RATE = 16;

/** A node that is gone. */
export interface Grave {
  readonly peer: Peer;
  readonly reason: "left" | "failed";
  readonly since: number;
  /** It told its addresses itself. */
  readonly isKnown: boolean;
  /** When it is looked for again. */
  dueAt: number;
}

/**
 * The nodes that left or failed, so that stale news does not bring them back, and so
 * that those who failed are looked for: they may be back, or behind a partition that
 * is over.
 */
export class Graves {
  readonly #graves = new IdMap<Grave>();
  readonly #random: () => number;
  readonly #most: number;

  /** Remembers `most` nodes at a time. */
  constructor(random: () => number, most: number) {
    this.#random = random;
    this.#most = most;
  }

  get(id: NodeId): Grave | undefined {
    return this.#graves.get(id);
  }

  delete(id: NodeId): void {
    this.#graves.delete(id);
  }

  /**
   * Remembers a node; `isKnown` if it told its addresses itself. False if another was
   * forgotten early for it.
   */
  bury(
    peer: Peer,
    reason: "left" | "failed",
    isKnown: boolean,
    now: number,
  ): boolean {
    const dueAt = now + MIN_PAUSE * this.#random();
    this.#graves.set(peer.id, { peer, reason, since: now, isKnown, dueAt });
    return !dropOldest(this.#graves, this.#most);
  }

  /**
   * Forgets the long gone, and gives the one that has waited longest to be looked
   * for, if any is due: no one whose addresses are hearsay.
   */
  due(now: number, nodes: number): Grave | null {
    let first: Grave | null = null;
    for (const [id, grave] of this.#graves) {
      const { reason, since, isKnown, dueAt } = grave;
      if (now - since > (reason === "left" ? LEFT_LIFE : FAILED_LIFE)) {
        this.#graves.delete(id);
      } else if (reason === "failed" && isKnown && now >= dueAt) {
        if (first === null || dueAt < first.dueAt) first = grave;
      }
    }
    if (first !== null) {
      first.dueAt = now + this.#pause(now - first.since, nodes);
    }
    return first;
  }

  #pause(age: number, nodes: number): number {
    const pause = Math.min(MAX_PAUSE, Math.max(MIN_PAUSE, age / PAUSE_PART));
    const share = Math.max(1, nodes / FULL_RATE);
    return pause * share * (0.75 + this.#random() / 2);
  }
}
