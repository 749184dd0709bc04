import type { Link } from "./link.ts";
import type { Loopback } from "./loopback.ts";
import type { Target } from "./outbound.ts";
import type { Outcome } from "./types.ts";

// Outcomes that are kept, by the number of nodes.
const COUNTS = 1_024;

/**
 * What `emit` and `send` resolve to, and when. Events that fare the same share one
 * promise, whether they wait or not: a loop that awaits nothing costs none each.
 */
export class Outcomes {
  readonly #reach: () => number;
  readonly #isDirect: () => boolean;
  readonly #loopback: Loopback;
  readonly #pause: () => Promise<void> | null;
  readonly #congested = new Set<Link>();
  readonly #dropping = new Set<Link>();
  /** Whether one is in these sets. */
  #isHalting = false;
  #outcome: Outcome = { nodes: 0, dropped: 0 };
  #settled: Promise<Outcome> = Promise.resolve(this.#outcome);
  #distant: Promise<Outcome> | null = null;
  readonly #without = new WeakMap<Target, Promise<Outcome>>();
  readonly #withSelf = new WeakMap<Target, Promise<Outcome>>();
  /** Those of events that nobody missed, by how many got them. */
  readonly #whole: Promise<Outcome>[] = [];
  #myself: Promise<Outcome> | null = null;
  readonly #links = new WeakMap<Link, Promise<Outcome>>();

  /**
   * `reach` counts the nodes that there is a way to; `isDirect` says whether each is
   * reached by its own link; `pause` is a promise while the event loop needs a turn,
   * whatever the links say.
   */
  constructor(
    reach: () => number,
    isDirect: () => boolean,
    loopback: Loopback,
    pause: () => Promise<void> | null,
  ) {
    this.#reach = reach;
    this.#isDirect = isDirect;
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
    this.#isHalting = this.isBehind;
  }

  /** A link ended. */
  forget(link: Link): void {
    this.#congested.delete(link);
    this.#dropping.delete(link);
    this.#isHalting = this.isBehind;
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

  /**
   * For an event to some others, or all, and where `self` says so to this node; and to
   * as many members of groups as the network chooses.
   */
  ofSome(target: Target, self: boolean, queues: number): Promise<Outcome> {
    if (queues > 0) return this.#ofQueues(target, self, queues);
    if (!this.#isHeldUp(target, self)) return this.#ofSomeNow(target, self);
    const waiting = self ? this.#withSelf : this.#without;
    let outcome = waiting.get(target);
    if (!outcome) {
      outcome = this.#afterSome(target, self, waiting);
      waiting.set(target, outcome);
    }
    return outcome;
  }

  /** As {@linkcode Outcomes.ofSome}, for an event to other nodes that no network chooses. */
  ofPlain(target: Target): Promise<Outcome> {
    if (this.#isHalting || this.#pause() !== null) {
      return this.ofSome(target, false, 0);
    }
    const { to } = target;
    const reached = to === "all" ? this.#reach() : to.length;
    return this.#whole[reached] ?? this.#now(reached, 0);
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

  async #ofQueues(
    target: Target,
    self: boolean,
    queues: number,
  ): Promise<Outcome> {
    const { nodes, dropped } = await this.ofSome(target, self, 0);
    return { nodes: nodes + queues, dropped };
  }

  #isHeldUp(target: Target, self: boolean): boolean {
    return this.#pause() !== null || self && this.#loopback.room !== null ||
      this.#congested.size > 0 && this.#isBehindFor(target);
  }

  /** Through others, any link may be the one that an event leaves by. */
  #isBehindFor(target: Target): boolean {
    return this.#isDirect()
      ? count(this.#congested, target) > 0
      : target.to.length > 0;
  }

  #ofSomeNow({ to }: Target, self: boolean): Promise<Outcome> {
    const reached = to === "all" ? this.#reach() : to.length;
    const dropped = this.#dropping.size === 0
      ? 0
      : Math.min(count(this.#dropping, { to }), reached);
    if (!self) return this.#now(reached - dropped, dropped);
    const own = this.#loopback.dropping ? 0 : 1;
    return this.#now(reached - dropped + own, dropped + 1 - own);
  }

  #now(nodes: number, dropped: number): Promise<Outcome> {
    if (dropped === 0 && nodes < COUNTS) {
      return this.#whole[nodes] ??= Promise.resolve({ nodes, dropped });
    }
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

  async #afterSome(
    target: Target,
    self: boolean,
    waiting: WeakMap<Target, Promise<Outcome>>,
  ): Promise<Outcome> {
    await this.#pause();
    while (this.#isHeldUp(target, self)) {
      await this.#pause();
      if (self) await this.#loopback.room;
      for (const link of this.#congested) {
        if (!this.#isDirect() || isFor(link, target)) await link.room();
      }
    }
    waiting.delete(target);
    return await this.#ofSomeNow(target, self);
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

function count(links: ReadonlySet<Link>, target: Target): number {
  let counted = 0;
  for (const link of links) if (isFor(link, target)) counted++;
  return counted;
}

function isFor(link: Link, { to }: Target): boolean {
  return to === "all" || to.includes(link.peer.id);
}

function toggle<T>(set: Set<T>, item: T, present: boolean): void {
  if (present) set.add(item);
  else set.delete(item);
}
