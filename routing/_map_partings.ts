import type { Guarded } from "./_map_guard.ts";
import type { Neighbour } from "./_map_neighbour.ts";
import type { Tally } from "./_map_packets.ts";
import type { Clock, NodeId } from "./types.ts";

/** How long the other end of a link that ended has to tell what has come, in ms. */
const PATIENCE = 500;
/** Links that have ended and wait for that. */
const MAX_PARTINGS = 64;

/** A link that has ended. */
interface Parting {
  readonly neighbour: Neighbour;
  readonly reason: string;
  readonly cancel: () => void;
}

/** What partings ask of the router. */
export interface PartingsOwner {
  readonly clock: Clock;
  /** Whether there is a way to a node. */
  isReached(id: NodeId): boolean;
  /** Whether a packet was for the neighbour alone. */
  isFor(id: NodeId, guarded: Guarded): boolean;
  /** Sends a packet another way. `isLost`: it has not come, else it may have. */
  recover(
    guarded: Guarded,
    neighbour: Neighbour,
    reason: string,
    isLost: boolean,
  ): void;
}

/**
 * What was on links as they ended. The other end tells by another way how much has come
 * to it, so that exactly the rest is sent again; if it does not, all is that it has not
 * confirmed.
 */
export class Partings {
  readonly #owner: PartingsOwner;
  /** By what this node calls the link. */
  readonly #partings = new Map<number, Parting>();

  constructor(owner: PartingsOwner) {
    this.#owner = owner;
  }

  /** Links that have ended and wait. */
  get size(): number {
    return this.#partings.size;
  }

  /** A link has ended. */
  add(neighbour: Neighbour, reason: string): void {
    const { link, guard, tally } = neighbour;
    guard.stop();
    if (guard.isEmpty) return;
    const cancel = this.#owner.clock.after(PATIENCE, () => this.#end(link));
    this.#partings.set(link, { neighbour, reason, cancel });
    if (tally !== null) this.#settle(link, tally);
    if (this.#partings.size <= MAX_PARTINGS) return;
    for (const oldest of this.#partings.keys()) return this.#end(oldest);
  }

  /** A node tells what has come over a link; whether that link has ended here, too. */
  tallied(by: NodeId, tally: Tally): boolean {
    const { link } = tally;
    if (this.#partings.get(link)?.neighbour.id !== by) return false;
    this.#settle(link, tally);
    return true;
  }

  /**
   * The map has changed. A node that is out of reach has probably ended, and cannot
   * tell what it has passed on.
   */
  look(): void {
    for (const { neighbour, reason } of [...this.#partings.values()]) {
      const { id, guard } = neighbour;
      if (this.#owner.isReached(id)) continue;
      const others = guard.take((one) => !this.#owner.isFor(id, one));
      for (const guarded of others) {
        this.#owner.recover(guarded, neighbour, reason, false);
      }
    }
  }

  close(): void {
    for (const { cancel } of this.#partings.values()) cancel();
    this.#partings.clear();
  }

  #settle(link: number, { control, data }: Tally): void {
    const guard = this.#partings.get(link)?.neighbour.guard;
    guard?.confirm("control", control);
    guard?.confirm("data", data);
    this.#end(link, true);
  }

  #end(link: number, isTallied: boolean = false): void {
    const parting = this.#partings.get(link);
    if (parting === undefined) return;
    this.#partings.delete(link);
    parting.cancel();
    const { neighbour, reason } = parting;
    for (const guarded of neighbour.guard.take()) {
      this.#owner.recover(guarded, neighbour, reason, isTallied);
    }
  }
}
