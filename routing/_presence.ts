import { IdMap } from "./_id_map.ts";
import type { Clock, LinkEvent, MemberEvent, NodeId } from "./types.ts";

/** Time between two hellos of a node, in ms; ± 10 %. */
const HELLO_INTERVAL = 15_000;
/** The least time between two hellos, in ms. */
const HELLO_PAUSE = 1000;
/** How long a node has to make itself heard once the way to it is in doubt, in ms. */
const DOUBT = 3000;
/** A node that is not heard for this long is forgotten, in ms: three hellos and a bit. */
const LIFE = 50_000;
/** One that others told of must be heard itself by then, in ms. */
const HEARSAY_LIFE = 20_000;
/** Time between two looks for such nodes, in ms. */
const LOOK_INTERVAL = 5000;
/** Nodes that are known, and those of them that only others tell of. */
const MAX_KNOWN = 20_000;
const MAX_HEARSAY = 1024;

/** A node, and when it was last heard: so many ms ago. */
export interface Sign {
  readonly id: NodeId;
  readonly age: number;
}

/** What the nodes within reach tell each other about that. */
export interface PresenceOwner {
  readonly clock: Clock;
  readonly random: () => number;
  /** Tells everyone: this node is there. */
  hello(): void;
  /**
   * Tells everyone that this node has no way to others any more. `isBroken`: the first
   * of them is a neighbour whose link has ended.
   */
  lost(ids: readonly NodeId[], isBroken: boolean): void;
  /** Tells one neighbour, or all but one, who is there. */
  tell(signs: readonly Sign[], to: { only: NodeId } | { except: NodeId }): void;
  /** There is no way to a node any more. */
  gone(id: NodeId, reason: string): void;
}

interface Known {
  /** The neighbour that was the first to bring the latest flood from it. */
  via: NodeId;
  /** Which flood that was. */
  epoch: number;
  number: number;
  heardAt: number;
  /** When it must have been heard again. */
  until: number;
  /** Since when the way to it is in doubt; -1: it is not. */
  doubtedAt: number;
  /** It has not been heard itself. */
  isHearsay: boolean;
}

/**
 * Which nodes are within reach, by links or through others.
 *
 * - At link-up two neighbours tell each other whom they know, and pass on what is
 *   news.
 * - When a link ends, both ends tell everyone to whom it was their way. Who is named
 *   and hears that says hello; who is not heard within 3 s is forgotten.
 * - A hello every 15 s makes good what gets lost; who is silent for 50 s is forgotten,
 *   and who was only told of, after 20 s.
 *
 * So a quiet network costs N floods each 15 s, and a link that ends as many as there
 * were nodes behind it.
 */
export class Presence {
  /** The nodes there is a way to. */
  readonly nodes = new Set<NodeId>();
  /** The nodes at the other end of a link. */
  readonly neighbours = new Set<NodeId>();
  readonly #owner: PresenceOwner;
  readonly #self: NodeId;
  readonly #known = new IdMap<Known>();
  #hearsay = 0;
  #saidAt = -Infinity;
  #cancelHello: () => void = nothing;
  #cancelLook: () => void = nothing;
  #cancelCheck: () => void = nothing;
  #checking = false;
  readonly counters = { unknown: 0 };

  constructor(owner: PresenceOwner, self: NodeId) {
    this.#owner = owner;
    this.#self = self;
  }

  /** The neighbour through which there is a way to a node. */
  via(id: NodeId): NodeId | undefined {
    return this.neighbours.has(id) ? id : this.#known.get(id)?.via;
  }

  /** A flood from a node came through a neighbour, for the first time. */
  flooded(id: NodeId, via: NodeId, epoch: number, number: number): void {
    this.heard(id, via);
    const known = this.#known.get(id);
    // The ways of the same flood form a tree; those of different ones might go in circles.
    if (known === undefined) return;
    if (known.epoch === epoch && known.number >= number) return;
    known.via = via;
    known.epoch = epoch;
    known.number = number;
  }

  /** A packet from a node came through a neighbour. */
  heard(id: NodeId, via: NodeId): void {
    const known = this.#known.get(id);
    if (known === undefined) {
      this.#add(id, via, this.#owner.clock.now(), false);
      return;
    }
    known.heardAt = this.#owner.clock.now();
    known.until = known.heardAt + LIFE;
    known.doubtedAt = -1;
    if (known.isHearsay) this.#hearsay--;
    known.isHearsay = false;
  }

  link(event: LinkEvent): void {
    if (event.type === "up") this.#up(event.peer.id);
    else if (event.type === "down") this.#down(event.id);
  }

  member(event: MemberEvent): void {
    if (event.type !== "leave" || event.reason === "restarted") return;
    const { id } = event.member;
    if (!this.neighbours.has(id)) {
      this.#forget(id, `it is gone: ${event.reason}`);
    }
  }

  /** A neighbour told who is there. */
  told(by: NodeId, signs: readonly Sign[]): void {
    const now = this.#owner.clock.now();
    const news = signs.filter(({ id, age }) => {
      if (id === this.#self || age > LIFE) return false;
      const known = this.#known.get(id);
      if (known === undefined) return this.#add(id, by, now - age, true);
      known.heardAt = Math.max(known.heardAt, now - age);
      // It vouches for what this node doubts: it is a way, or it will doubt, too.
      if (known.doubtedAt < 0) return false;
      known.doubtedAt = -1;
      known.via = by;
      return true;
    });
    if (news.length > 0) this.#owner.tell(news, { except: by });
  }

  /** A node told that it has no way to others any more. */
  missed(ids: readonly NodeId[]): void {
    for (const id of ids) {
      if (id === this.#self) this.#sayHello();
      else if (!this.neighbours.has(id)) this.#doubt(id);
    }
  }

  /** A node does not answer. */
  silent(id: NodeId): void {
    if (this.neighbours.has(id) || !this.#doubt(id)) return;
    this.#owner.lost([id], false);
  }

  close(): void {
    this.#cancelHello();
    this.#cancelLook();
    this.#cancelCheck();
    this.#known.clear();
    this.nodes.clear();
    this.neighbours.clear();
  }

  #add(id: NodeId, via: NodeId, heardAt: number, isHearsay: boolean): boolean {
    const isFull = this.#known.size >= MAX_KNOWN ||
      (isHearsay && this.#hearsay >= MAX_HEARSAY);
    if (isFull) {
      this.counters.unknown++;
      return false;
    }
    if (isHearsay) this.#hearsay++;
    const now = this.#owner.clock.now();
    const until = now + (isHearsay ? HEARSAY_LIFE : LIFE);
    this.#known.set(id, {
      via,
      epoch: -1,
      number: -1,
      heardAt,
      until,
      doubtedAt: -1,
      isHearsay,
    });
    this.nodes.add(id);
    return true;
  }

  #forget(id: NodeId, reason: string): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    if (known.isHearsay) this.#hearsay--;
    this.#known.delete(id);
    this.nodes.delete(id);
    this.#owner.gone(id, reason);
  }

  #up(id: NodeId): void {
    const isNews = (this.#known.get(id)?.doubtedAt ?? 0) >= 0;
    const others = this.#signs(id);
    if (this.neighbours.size === 0) {
      this.#planHello();
      this.#planLook();
    }
    this.neighbours.add(id);
    this.heard(id, id);
    if (others.length > 0) this.#owner.tell(others, { only: id });
    if (isNews) this.#owner.tell([{ id, age: 0 }], { except: id });
  }

  #signs(except: NodeId): Sign[] {
    const now = this.#owner.clock.now();
    const signs: Sign[] = [];
    for (const [id, { heardAt, doubtedAt }] of this.#known) {
      if (id !== except && doubtedAt < 0) {
        signs.push({ id, age: now - heardAt });
      }
    }
    return signs;
  }

  #down(id: NodeId): void {
    if (!this.neighbours.delete(id)) return;
    if (this.neighbours.size === 0) return this.#isolated();
    const lost = [id];
    this.#doubt(id);
    for (const [other, { via }] of this.#known) {
      if (via !== id || other === id) continue;
      lost.push(other);
      this.#doubt(other);
    }
    this.#owner.lost(lost, true);
  }

  #isolated(): void {
    this.#cancelHello();
    this.#cancelLook();
    this.#cancelCheck();
    this.#checking = false;
    for (const id of [...this.nodes]) {
      this.#forget(id, "this node has no links");
    }
  }

  /** False: it is in doubt already, or not known. */
  #doubt(id: NodeId): boolean {
    const known = this.#known.get(id);
    if (known === undefined || known.doubtedAt >= 0) return false;
    known.doubtedAt = this.#owner.clock.now();
    if (!this.#checking) this.#planCheck(DOUBT);
    return true;
  }

  #planCheck(delay: number): void {
    this.#checking = true;
    this.#cancelCheck = this.#owner.clock.after(delay, () => this.#check());
  }

  #check(): void {
    this.#checking = false;
    const now = this.#owner.clock.now();
    let next = Infinity;
    for (const [id, { doubtedAt }] of [...this.#known]) {
      if (doubtedAt < 0) continue;
      // The very sum that is waited for: the rounding of another could wait for ever.
      const due = doubtedAt + DOUBT;
      if (now >= due) this.#forget(id, "it was not heard any more");
      else next = Math.min(next, due);
    }
    if (next < Infinity) this.#planCheck(next - now);
  }

  #planHello(): void {
    const delay = HELLO_INTERVAL * (0.9 + 0.2 * this.#owner.random());
    this.#cancelHello = this.#owner.clock.after(delay, () => this.#say());
  }

  #sayHello(): void {
    const pause = this.#saidAt + HELLO_PAUSE - this.#owner.clock.now();
    this.#cancelHello();
    if (pause <= 0) return this.#say();
    this.#cancelHello = this.#owner.clock.after(pause, () => this.#say());
  }

  #say(): void {
    this.#saidAt = this.#owner.clock.now();
    this.#owner.hello();
    this.#planHello();
  }

  #planLook(): void {
    this.#cancelLook = this.#owner.clock.after(LOOK_INTERVAL, () => {
      this.#planLook();
      const now = this.#owner.clock.now();
      for (const [id, { until }] of [...this.#known]) {
        if (now < until || this.neighbours.has(id)) continue;
        this.#forget(id, "it has been silent");
      }
    });
  }
}

function nothing(): void {}
