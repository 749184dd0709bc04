import type { Link } from "./link.ts";
import type { Outcome } from "./types.ts";

/**
 * What `emit` and `send` resolve to, and when. As long as no link is behind, every
 * event that fared the same shares one settled promise.
 */
export class Outcomes {
  readonly #congested = new Set<Link>();
  readonly #dropping = new Set<Link>();
  #outcome: Outcome = { nodes: 0, dropped: 0 };
  #settled: Promise<Outcome> = Promise.resolve(this.#outcome);
  #clear: Promise<void> | null = null;

  /** A link fell behind, caught up, or ended. */
  note(link: Link): void {
    toggle(this.#congested, link, link.congested);
    toggle(this.#dropping, link, link.dropping);
  }

  /** A link ended. */
  forget(link: Link): void {
    this.#congested.delete(link);
    this.#dropping.delete(link);
  }

  /** For an event to one node over its link. */
  ofLink(link: Link): Promise<Outcome> {
    if (link.congested) return this.#afterRoom(link);
    return link.dropping || !link.open
      ? this.settled(0, 1)
      : this.settled(1, 0);
  }

  /** For an event to all others: `reach` counts them; `extra` nodes take it anyhow. */
  ofAll(reach: () => number, extra: number): Promise<Outcome> {
    if (this.#congested.size === 0) return this.#ofAllNow(reach(), extra);
    this.#clear ??= this.#untilClear();
    return this.#clear.then(() => this.#ofAllNow(reach(), extra));
  }

  /** One settled promise serves all events that fared the same. */
  settled(nodes: number, dropped: number): Promise<Outcome> {
    if (this.#outcome.nodes !== nodes || this.#outcome.dropped !== dropped) {
      this.#outcome = { nodes, dropped };
      this.#settled = Promise.resolve(this.#outcome);
    }
    return this.#settled;
  }

  #ofAllNow(reached: number, extra: number): Promise<Outcome> {
    const dropped = Math.min(this.#dropping.size, reached);
    return this.settled(reached - dropped + extra, dropped);
  }

  async #afterRoom(link: Link): Promise<Outcome> {
    await link.room();
    return await this.ofLink(link);
  }

  async #untilClear(): Promise<void> {
    for (let [link] = this.#congested; link; [link] = this.#congested) {
      await link.room();
    }
    this.#clear = null;
  }
}

function toggle<T>(set: Set<T>, item: T, present: boolean): void {
  if (present) set.add(item);
  else set.delete(item);
}
