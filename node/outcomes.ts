import type { Link } from "./link.ts";
import type { Loopback } from "./loopback.ts";
import type { Outcome } from "./types.ts";

/**
 * What `emit` and `send` resolve to, and when. Events that fare the same share one
 * promise, whether they wait or not: a loop that awaits nothing costs none each.
 */
export class Outcomes {
  readonly #reach: () => number;
  readonly #loopback: Loopback;
  readonly #pause: () => Promise<void> | null;
  readonly #congested = new Set<Link>();
  readonly #dropping = new Set<Link>();
  #outcome: Outcome = { nodes: 0, dropped: 0 };
  #settled: Promise<Outcome> = Promise.resolve(this.#outcome);
  #distant: Promise<Outcome> | null = null;
  #others: Promise<Outcome> | null = null;
  #everyone: Promise<Outcome> | null = null;
  #myself: Promise<Outcome> | null = null;
  readonly #links = new WeakMap<Link, Promise<Outcome>>();

  /**
   * `reach` counts the nodes that there is a way to; `pause` is a promise while the
   * event loop needs a turn, whatever the links say.
   */
  constructor(
    reach: () => number,
    loopback: Loopback,
    pause: () => Promise<void> | null,
  ) {
    this.#reach = reach;
    this.#loopback = loopback;
    this.#pause = pause;
  }

  /** Whether a link is behind, or takes nothing. */
  get isBehind(): boolean {
    return this.#congested.size + this.#dropping.size > 0;
  }

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
    if (!link.congested && !this.#pause()) return this.#ofLinkNow(link);
    let waiting = this.#links.get(link);
    if (!waiting) {
      waiting = this.#afterLink(link);
      this.#links.set(link, waiting);
    }
    return waiting;
  }

  /** For an event to a node that there is a way to, though no link: by which is not known. */
  ofDistant(): Promise<Outcome> {
    if (this.#congested.size === 0 && !this.#pause()) return this.#now(1, 0);
    this.#distant ??= this.#afterDistant();
    return this.#distant;
  }

  /** For an event to all others. */
  ofOthers(): Promise<Outcome> {
    if (this.#congested.size === 0 && !this.#pause()) {
      return this.#ofOthersNow();
    }
    this.#others ??= this.#afterOthers();
    return this.#others;
  }

  /** For an event to all others and this node. */
  ofEveryone(): Promise<Outcome> {
    const waits = this.#congested.size > 0 || this.#loopback.room !== null ||
      this.#pause() !== null;
    if (!waits) return this.#ofEveryoneNow();
    this.#everyone ??= this.#afterEveryone();
    return this.#everyone;
  }

  /** For an event to this node. */
  ofMyself(): Promise<Outcome> {
    const { dropping, room } = this.#loopback;
    if (dropping) return this.#now(0, 1);
    if (room === null) return this.#now(1, 0);
    this.#myself ??= this.#afterMyself(room);
    return this.#myself;
  }

  #ofLinkNow(link: Link): Promise<Outcome> {
    const dropped = link.dropping || !link.open ? 1 : 0;
    return this.#now(1 - dropped, dropped);
  }

  #ofOthersNow(): Promise<Outcome> {
    const reached = this.#reach();
    const dropped = Math.min(this.#dropping.size, reached);
    return this.#now(reached - dropped, dropped);
  }

  #ofEveryoneNow(): Promise<Outcome> {
    const reached = this.#reach();
    const dropped = Math.min(this.#dropping.size, reached);
    const own = this.#loopback.dropping ? 0 : 1;
    return this.#now(reached - dropped + own, dropped + 1 - own);
  }

  #now(nodes: number, dropped: number): Promise<Outcome> {
    if (this.#outcome.nodes !== nodes || this.#outcome.dropped !== dropped) {
      this.#outcome = { nodes, dropped };
      this.#settled = Promise.resolve(this.#outcome);
    }
    return this.#settled;
  }

  async #afterLink(link: Link): Promise<Outcome> {
    await this.#pause();
    while (link.congested) await link.room();
    this.#links.delete(link);
    return await this.#ofLinkNow(link);
  }

  async #afterDistant(): Promise<Outcome> {
    await this.#pause();
    await this.#untilClear();
    this.#distant = null;
    return await this.#now(1, 0);
  }

  async #afterOthers(): Promise<Outcome> {
    await this.#pause();
    await this.#untilClear();
    this.#others = null;
    return await this.#ofOthersNow();
  }

  async #afterEveryone(): Promise<Outcome> {
    await this.#pause();
    while (this.#congested.size > 0 || this.#loopback.room !== null) {
      await this.#loopback.room;
      await this.#untilClear();
    }
    this.#everyone = null;
    return await this.#ofEveryoneNow();
  }

  async #afterMyself(room: Promise<void>): Promise<Outcome> {
    await room;
    this.#myself = null;
    return await this.#now(1, 0);
  }

  async #untilClear(): Promise<void> {
    for (let [link] = this.#congested; link; [link] = this.#congested) {
      await link.room();
    }
  }
}

function toggle<T>(set: Set<T>, item: T, present: boolean): void {
  if (present) set.add(item);
  else set.delete(item);
}
