import { Epochs, MAX_INCARNATION } from "./_epochs.ts";
import { IdMap } from "./_id_map.ts";
import { sameContent } from "./_peer_codec.ts";
import type { Candidates } from "./_swim_candidates.ts";
import {
  ALIVE,
  type Alive,
  aliveItem,
  aliveNews,
  DEAD,
  type Gone,
  Item,
  LEFT,
  type News,
  SUSPECT,
  type Suspected,
} from "./_swim_codec.ts";
import type { Gossip } from "./_swim_gossip.ts";
import type { Grave, Graves } from "./_swim_graves.ts";
import type { Health } from "./_swim_health.ts";
import type { Post } from "./_swim_post.ts";
import type { Probe, Probes } from "./_swim_probes.ts";
import type { Entry, Roster } from "./_swim_roster.ts";
import { Suspicion, type SuspicionTimes } from "./_swim_suspicion.ts";
import { epochOf, nextIncarnation } from "./incarnation.ts";
import type { LeaveReason, MembershipContext, NodeId, Peer } from "./types.ts";

/** Changes of a node within one epoch that may have been missed. */
const MAX_JUMP = 1024;
/** The least time between two warnings of the same node, in ms. */
const WARNING_PAUSE = 500;
/** The least time between two refutations, in ms. */
const REFUTATION_PAUSE = 500;
/** What comes due within this time, in ms, is due: rounding must not plan it again and again. */
const SLACK = 1;
/** Nodes of which nothing is known but that they are accused, and for how long, in ms. */
const MAX_STRANGERS = 256;
const STRANGER_LIFE = 60_000;

/** Who says so: the node's own link, one of its messages, or a third node. */
export type Source = "link" | "itself" | "other";

/** A node that is accused and not known. */
interface Stranger {
  readonly incarnation: number;
  readonly since: number;
}

/** What beliefs are made of. */
export interface BeliefParts {
  readonly context: MembershipContext;
  readonly roster: Roster;
  readonly graves: Graves;
  readonly gossip: Gossip;
  readonly post: Post;
  readonly probes: Probes;
  readonly health: Health;
  readonly candidates: Candidates;
}

/** What beliefs count. */
export interface BeliefCounters {
  stranger: number;
  stale: number;
  implausible: number;
  contradicted: number;
  full: number;
  forgotten: number;
  refuted: number;
  hasty: number;
  busy: number;
}

/** The bounds of what is believed. */
export interface BeliefLimits extends SuspicionTimes {
  readonly maxMembers: number;
}

/**
 * What a node believes of the others, and the rules by which news changes that:
 *
 * - Only the node itself raises its incarnation; a higher one says more than a lower
 *   one, and at the same one an accusation says more than a record.
 * - Nobody lives of hearsay: whom others tell of is a {@linkcode Candidates candidate}
 *   until there is a way to it, and at the addresses of one that spoke for itself others
 *   change nothing.
 * - Nobody dies of hearsay: a member that others gave up, or say has left, is given up
 *   once it has been under suspicion here for the shortest time, or does not answer a probe.
 * - Whoever is accused is told, and refutes.
 */
export class Beliefs {
  readonly #context: MembershipContext;
  readonly #roster: Roster;
  readonly #graves: Graves;
  readonly #gossip: Gossip;
  readonly #post: Post;
  readonly #probes: Probes;
  readonly #health: Health;
  readonly #candidates: Candidates;
  readonly #limits: BeliefLimits;
  readonly #counters: BeliefCounters;
  /** Nodes that this one does not know and that were accused, in the order of time. */
  readonly #strangers = new IdMap<Stranger>();
  /** What is owed to the node whose news is being taken. */
  readonly #owed: Item[] = [];
  #own: Item;
  readonly #epochs: Epochs;
  #refutedAt = -Infinity;
  /** Who tells what is being taken. */
  #teller: Entry | null = null;
  /** New members are no news to others: this one is new itself. */
  #isQuiet = false;
  /** When who is a member, or what is known of one, changed last. */
  changedAt = 0;

  constructor(
    parts: BeliefParts,
    limits: BeliefLimits,
    counters: BeliefCounters,
  ) {
    this.#context = parts.context;
    this.#roster = parts.roster;
    this.#graves = parts.graves;
    this.#gossip = parts.gossip;
    this.#post = parts.post;
    this.#probes = parts.probes;
    this.#health = parts.health;
    this.#candidates = parts.candidates;
    this.#limits = limits;
    this.#counters = counters;
    this.#own = aliveItem(parts.context.self);
    this.#epochs = new Epochs(parts.context);
  }

  /** What this node says of itself. */
  get own(): Item {
    const { self } = this.#context;
    const { news } = this.#own;
    if (news.kind !== ALIVE || news.peer !== self) this.#own = aliveItem(self);
    return this.#own;
  }

  /** Whether a record, told by `from`, may change anything. */
  wants(from: NodeId, id: NodeId, incarnation: number): boolean {
    const { self } = this.#context;
    if (id === self.id) return incarnation > self.incarnation;
    const entry = this.#roster.get(id);
    if (entry === undefined) return true;
    const known = entry.peer.incarnation;
    if (incarnation !== known) return incarnation > known;
    return !entry.met || (from === id && !entry.isFirsthand);
  }

  /**
   * Takes the news of a message. `isQuiet`: new members among it need not be told
   * further.
   */
  take(from: NodeId, all: readonly News[], isQuiet = false): void {
    if (all.length === 0) return;
    this.#isQuiet = isQuiet;
    // What it says of itself comes first: only a member is believed about others.
    for (const news of all) {
      if (news.kind === ALIVE && news.id === from) {
        this.#alive(this.#dialable(news, from), "itself");
      }
    }
    for (const news of all) {
      if (news.kind !== ALIVE || news.id !== from) this.#hearsay(from, news);
    }
    this.#isQuiet = false;
    this.#teller = null;
    if (this.#owed.length === 0) return;
    this.#post.items(from, this.#owed.splice(0));
  }

  /** The link to a node came up; true if it came to be a member thereby. */
  linked(peer: Peer): boolean {
    this.#epochs.linked(peer.incarnation);
    const isNew = this.#roster.get(peer.id) === undefined;
    this.#candidates.settled(peer.id, true);
    this.#alive(aliveNews(peer), "link");
    const entry = this.#roster.get(peer.id);
    if (entry === undefined) return false;
    entry.cancel();
    const isPresent =
      epochOf(peer.incarnation) === epochOf(entry.peer.incarnation);
    entry.link = isPresent ? "up" : "none";
    return isNew;
  }

  /** There is a way to a node that others told of; or none, but `vouchers` did. */
  confirmed(
    peer: Peer,
    isQuiet: boolean,
    vouchers: readonly NodeId[],
  ): void {
    this.#isQuiet = isQuiet;
    const entry = this.#roster.get(peer.id);
    const past = entry?.peer ?? this.#graves.get(peer.id)?.peer;
    if (entry === undefined) {
      const isLater = past === undefined || peer.incarnation > past.incarnation;
      if (isLater) this.#admit(peer, "other", { vouchers });
    } else if (entry.link !== "up" && isEarlierLife(entry.peer, peer)) {
      this.#remove(entry, "restarted", entry.peer.incarnation);
      this.#admit(peer, "other", { vouchers });
    }
    this.#isQuiet = false;
  }

  /** A member that is accused made itself heard. */
  heard(entry: Entry): void {
    entry.suspicion?.heard(this.#health.now);
    this.warn(entry);
    entry.leaving = false;
    entry.successor = null;
  }

  /** The link to a member ended, and then it could not be dialled. */
  lost(entry: Entry): void {
    entry.link = "lost";
    if (entry.suspicion?.condemned) this.fail(entry);
    else this.#probes.linkLost(entry);
  }

  /** Neither this node nor its helpers could reach a member. */
  missed({ entry, witnesses, helpers }: Probe): void {
    if (entry.leaving) return this.fail(entry);
    if (entry.successor !== null) return this.#succeed(entry, entry.successor);
    if (entry.suspicion?.condemned) return this.fail(entry);
    const { incarnation } = entry.suspicion ?? entry.peer;
    const accusers = [this.#context.self.id, ...witnesses];
    const isCondemned = entry.link === "lost" && helpers === 0;
    this.#suspect(entry, incarnation, accusers, { isCondemned });
  }

  /** A member is gone. */
  fail(entry: Entry): void {
    const { id, peer, leaving } = entry;
    const incarnation = Math.max(
      peer.incarnation,
      entry.suspicion?.incarnation ?? 0,
    );
    const item = new Item({ kind: leaving ? LEFT : DEAD, id, incarnation });
    this.#post.items(id, [item]);
    if (!entry.isVouched) this.#spread(item);
    this.#remove(entry, leaving ? "left" : "failed", incarnation);
  }

  /** Tells everybody what this node says of itself. */
  announce(): void {
    if (this.#roster.size > 0) this.#spread(this.own);
  }

  /** Tells a member that it is accused, so that it refutes. */
  warn(entry: Entry): void {
    const now = this.#health.now;
    if (now < entry.warnedAt + WARNING_PAUSE) return;
    entry.warnedAt = now;
    const { id, peer, suspicion, leaving } = entry;
    if (suspicion !== null) this.#post.items(id, [suspicion.item]);
    else if (leaving) {
      const { incarnation } = peer;
      this.#post.items(id, [new Item({ kind: LEFT, id, incarnation })]);
    }
  }

  /** Tells a node that was given up, so that it refutes; false: no way to it. */
  accuse(grave: Grave): boolean {
    return this.#post.items(grave.peer.id, [accusationOf(grave)]);
  }

  /** Somebody knows this node under a higher incarnation than it has. */
  outranked(incarnation: number, by: Entry): void {
    if (incarnation > this.#context.self.incarnation) {
      this.#refute(incarnation, by.id);
    }
  }

  // News

  #isBelieved(from: NodeId, news: News): boolean {
    return news.id === from || (this.#context.believes?.(from) ?? true);
  }

  #hearsay(from: NodeId, news: News): void {
    const sender = this.#roster.get(from);
    if (sender === undefined || !this.#isBelieved(from, news)) {
      this.#counters.stranger++;
    } else if (!this.#isPlausible(news.incarnation)) {
      this.#counters.implausible++;
    } else if (news.id === this.#context.self.id) this.#ofSelf(news, from);
    else if (news.kind === ALIVE) {
      this.#teller = sender;
      this.#alive(this.#dialable(news, from), "other");
    } else if (news.kind === SUSPECT) this.#suspected(news, from);
    else if (news.kind === LEFT && news.id === from) {
      this.#goodbye(news, sender);
    } else this.#gone(news, from);
  }

  /** Without the addresses that only mean something where they were told. */
  #dialable(news: Alive, from: NodeId): Alive {
    const { peer } = news;
    const isDialable = (address: string): boolean =>
      this.#context.mayDial?.(from, address) ?? true;
    if (peer.addresses.every(isDialable)) return news;
    const addresses = peer.addresses.filter(isDialable);
    return { ...news, peer: { ...peer, addresses } };
  }

  #isPlausible(incarnation: number): boolean {
    return incarnation < MAX_INCARNATION &&
      this.#epochs.isPlausible(epochOf(incarnation));
  }

  #ofSelf(news: News, from: NodeId): void {
    const own = this.#context.self.incarnation;
    if (news.incarnation < own) return;
    if (news.kind === ALIVE && news.incarnation === own) return;
    if (news.kind !== ALIVE) this.#health.note(1);
    this.#refute(news.incarnation, from);
  }

  #refute(incarnation: number, by: NodeId): void {
    const { self, clock } = this.#context;
    const own = self.incarnation;
    if (!this.#isPlausible(incarnation) || isJump(own, incarnation)) {
      this.#counters.implausible++;
      return;
    }
    if (clock.now() < this.#refutedAt + REFUTATION_PAUSE) {
      this.#counters.hasty++;
      return;
    }
    this.#refutedAt = clock.now();
    this.#counters.refuted++;
    // What is to be outranked is higher than its own, as the contract of `refute` says.
    this.#context.refute(Math.max(incarnation, nextIncarnation(own)));
    this.#post.items(by, [this.own]);
  }

  #alive({ peer }: Alive, source: Source): void {
    if (source !== "link" && !this.#isPlausible(peer.incarnation)) {
      this.#counters.implausible++;
      return;
    }
    const entry = this.#roster.get(peer.id);
    if (entry === undefined) this.#newcomer(peer, source);
    else if (peer.incarnation > entry.peer.incarnation) {
      this.#later(entry, peer, source);
    } else if (peer.incarnation === entry.peer.incarnation) {
      // Only what the node says itself is better than what is known, and of one that
      // has said nothing so far, more is better than less.
      const isBetter = source === "other"
        ? !entry.met && peer.addresses.length > entry.peer.addresses.length
        : source === "link" || !entry.isFirsthand;
      if (isBetter) this.#renew(entry, peer, source);
    } else if (source === "link" && isEarlierLife(peer, entry.peer)) {
      // It starts anew with its clock set back: it must outrank its past.
      this.#counters.stale++;
      this.#post.items(peer.id, [entry.item]);
    }
  }

  /** A member under a higher incarnation than was known. */
  #later(entry: Entry, peer: Peer, source: Source): void {
    const known = entry.peer;
    if (source === "other" && isJump(known.incarnation, peer.incarnation)) {
      this.#counters.implausible++;
    } else if (!isEarlierLife(known, peer)) {
      this.#renew(entry, peer, source);
    } else if (this.#mustWait(peer, source)) return;
    else if (entry.link !== "up" || source === "link") {
      this.#remove(entry, "restarted", known.incarnation);
      this.#admit(peer, source);
    } else if (source === "itself") {
      // A restart ends the link, so over a living one this is a refutation.
      this.#renew(entry, peer, source);
    } else {
      this.#counters.contradicted++;
      entry.successor = peer;
      this.#probes.start(entry, false);
      this.#post.items(peer.id, [aliveItem(peer)]);
    }
  }

  /** Whether it is others who say that a node lives to which there is no way: it waits. */
  #mustWait(peer: Peer, source: Source): boolean {
    const teller = this.#teller;
    if (source !== "other" || teller === null) return false;
    if (this.#context.reaches?.(peer.id)) return false;
    this.#candidates.told(peer, teller, this.#isQuiet);
    return true;
  }

  #renew(entry: Entry, told: Peer, source: Source): void {
    // Where it can be dialled, one that spoke for itself says itself.
    const { addresses } = entry.peer;
    const isMoved = source === "other" && entry.met &&
      addresses.join() !== told.addresses.join();
    const peer = isMoved ? { ...told, addresses } : told;
    const isLater = peer.incarnation > entry.peer.incarnation;
    const isChanged = !sameContent(entry.peer, peer);
    this.#roster.renew(entry, peer);
    entry.isFirsthand = source !== "other";
    entry.met ||= entry.isFirsthand;
    if (source !== "other") this.#roster.hear(entry);
    if (isLater) {
      this.#changed();
      if (!entry.isVouched) this.#spread(entry.item);
    }
    const { suspicion } = entry;
    if (suspicion !== null && peer.incarnation > suspicion.incarnation) {
      this.#clear(entry);
    }
    if (isMoved) this.#probes.start(entry, false);
    if (isChanged) this.#context.changed({ type: "update", member: peer });
  }

  #newcomer(peer: Peer, source: Source): void {
    const grave = this.#graves.get(peer.id);
    if (grave === undefined) return this.#admitOrWait(peer, source);
    const known = grave.peer;
    if (peer.incarnation > known.incarnation) {
      if (source === "other" && isJump(known.incarnation, peer.incarnation)) {
        this.#counters.implausible++;
      } else this.#admitOrWait(peer, source);
      return;
    }
    if (source === "other") {
      // Whoever believes that it lives tells it of the accusation.
      this.#counters.stale++;
      this.#owed.push(accusationOf(grave));
      return;
    }
    this.accuse(grave);
    if (grave.reason === "left" || isEarlierLife(peer, known)) {
      this.#counters.stale++;
      return;
    }
    // It lives, but others believe that only once it has refuted.
    const { incarnation } = known;
    this.#admit({ ...peer, incarnation }, source, { isDoubted: true });
  }

  #admitOrWait(peer: Peer, source: Source): void {
    if (!this.#mustWait(peer, source)) this.#admit(peer, source);
  }

  #admit(
    peer: Peer,
    source: Source,
    { isDoubted = false, vouchers = [] }: {
      readonly isDoubted?: boolean;
      readonly vouchers?: readonly NodeId[];
    } = {},
  ): void {
    if (this.#roster.size >= this.#limits.maxMembers) {
      this.#counters.full++;
      return;
    }
    this.#graves.delete(peer.id);
    this.#strangers.delete(peer.id);
    this.#candidates.settled(peer.id, true);
    const entry = this.#roster.add(peer, vouchers);
    entry.isFirsthand = source !== "other";
    entry.met ||= entry.isFirsthand;
    if (entry.isFirsthand) this.#roster.hear(entry);
    this.#changed();
    const isTold = !this.#isQuiet && !isDoubted && !entry.isVouched;
    if (isTold) this.#spread(entry.item);
    this.#context.changed({ type: "join", member: peer });
  }

  // Accusations

  #suspected(news: Suspected, from: NodeId): void {
    const entry = this.#accused(news);
    if (entry === null) return;
    const known = news.accusers.filter((id) =>
      id === this.#context.self.id || this.#roster.get(id) !== undefined
    );
    const accusers = known.length > 0 ? known : [from];
    this.#suspect(entry, news.incarnation, accusers, { by: from });
  }

  #gone(news: Gone, from: NodeId): void {
    const entry = this.#accused(news);
    if (entry === null) return;
    if (news.kind === LEFT) return this.#doubt(entry);
    if (entry.link === "lost") return this.fail(entry);
    this.#suspect(entry, news.incarnation, [from], {
      by: from,
      isCondemned: true,
    });
  }

  /** The member that is accused, unless there is nothing in it. */
  #accused({ id, incarnation, kind }: Suspected | Gone): Entry | null {
    const entry = this.#roster.get(id);
    if (entry === undefined) {
      this.#accusedStranger(id, incarnation, kind);
      return null;
    }
    const known = entry.peer.incarnation;
    if (incarnation < known) return null;
    if (!isJump(known, incarnation)) return entry;
    this.#counters.implausible++;
    return null;
  }

  /** Where nobody knows the accused, the accusation goes on: others may. */
  #accusedStranger(
    id: NodeId,
    incarnation: number,
    kind: (Suspected | Gone)["kind"],
  ): void {
    const grave = this.#graves.get(id);
    if (grave !== undefined && incarnation <= grave.peer.incarnation) return;
    const known = this.#strangers.get(id);
    if (known !== undefined && incarnation <= known.incarnation) return;
    // What is forgotten too soon would be news again, and go round for ever.
    if (known === undefined && !this.#hasRoomForStranger()) {
      this.#counters.busy++;
      return;
    }
    const since = this.#context.clock.now();
    this.#strangers.delete(id);
    this.#strangers.set(id, { incarnation, since });
    const item = new Item({
      kind: kind === LEFT ? LEFT : DEAD,
      id,
      incarnation,
    });
    if (!this.#post.items(id, [item])) this.#spread(item);
  }

  #hasRoomForStranger(): boolean {
    const past = this.#context.clock.now() - STRANGER_LIFE;
    for (const [id, { since }] of this.#strangers) {
      if (since > past) break;
      this.#strangers.delete(id);
    }
    return this.#strangers.size < MAX_STRANGERS;
  }

  #goodbye(news: Gone, entry: Entry): void {
    if (news.incarnation < entry.peer.incarnation) {
      this.#counters.stale++;
      return;
    }
    this.#spread(new Item(news));
    this.#remove(entry, "left", news.incarnation);
  }

  /** Another says that a member left: so it did, if it does not answer. */
  #doubt(entry: Entry): void {
    if (entry.leaving) return;
    entry.leaving = true;
    this.#probes.start(entry, false);
  }

  #suspect(
    entry: Entry,
    incarnation: number,
    accusers: readonly NodeId[],
    { by = null, isCondemned = false }: {
      readonly by?: NodeId | null;
      readonly isCondemned?: boolean;
    },
  ): void {
    const now = this.#health.now;
    const known = entry.suspicion;
    const suspicion = known ??
      new Suspicion(
        entry.id,
        incarnation,
        now,
        this.#roster.company + 1,
        this.#limits,
      );
    entry.suspicion = suspicion;
    let isNews = known === null || suspicion.raise(incarnation);
    if (by !== null) isNews = suspicion.told(by, accusers) || isNews;
    else for (const id of accusers) if (suspicion.accuse(id)) isNews = true;
    if (isNews && !entry.isVouched) this.#spread(suspicion.item);
    if (isCondemned) suspicion.condemned = true;
    if (isNews || isCondemned) this.#plan(entry, suspicion);
    if (entry.gone) return;
    if (known === null) this.warn(entry);
    if (isCondemned) this.#probes.start(entry, false);
  }

  /** A suspect is asked a last time, and given up at its deadline. */
  #plan(entry: Entry, suspicion: Suspicion): void {
    suspicion.cancel();
    const { clock } = this.#context;
    const left = suspicion.deadline - this.#health.now;
    if (left < SLACK) return this.fail(entry);
    const { interval } = this.#limits;
    const delay = suspicion.asked ? left : Math.max(0, left - interval);
    const dueAt = clock.now() + delay;
    suspicion.cancel = clock.after(delay, () => {
      if (this.#health.isLate(dueAt)) this.#probes.excuse();
      const left = suspicion.deadline - this.#health.now;
      if (!suspicion.asked && left < interval + SLACK) {
        suspicion.asked = true;
        this.#probes.start(entry, false);
      }
      if (entry.suspicion === suspicion) this.#plan(entry, suspicion);
    });
  }

  /** A member did start anew, and its link is of its past. */
  #succeed(entry: Entry, successor: Peer): void {
    this.#remove(entry, "restarted", entry.peer.incarnation);
    this.#admit(successor, "other");
  }

  #clear(entry: Entry): void {
    entry.suspicion?.cancel();
    entry.suspicion = null;
  }

  #remove(entry: Entry, reason: LeaveReason, incarnation: number): void {
    const { peer } = entry;
    this.#clear(entry);
    entry.cancel();
    this.#roster.remove(entry);
    this.#probes.forget(entry);
    if (reason !== "restarted") {
      const buried = { ...peer, incarnation };
      const now = this.#context.clock.now();
      const { met } = entry;
      if (!this.#graves.bury(buried, reason, met, now)) {
        this.#counters.forgotten++;
      }
    }
    this.#changed();
    this.#context.changed({ type: "leave", member: peer, reason });
    if (reason === "restarted") return;
    // What only it told goes with it.
    this.#candidates.forget(peer.id);
    for (const orphan of this.#roster.orphans(peer.id)) {
      this.#remove(orphan, "failed", orphan.peer.incarnation);
    }
  }

  /** Tells everybody. */
  #spread(item: Item): void {
    if (!this.#gossip.add(item)) this.#counters.forgotten++;
  }

  #changed(): void {
    this.changedAt = this.#context.clock.now();
    if (this.#roster.size === 0) this.#gossip.clear();
  }
}

/** Whether a node lived, and started anew since. */
function isEarlierLife(past: Peer, present: Peer): boolean {
  return epochOf(past.incarnation) < epochOf(present.incarnation);
}

/** Whether so many changes within one life cannot all have been missed. */
function isJump(known: number, told: number): boolean {
  return epochOf(known) === epochOf(told) && told - known > MAX_JUMP;
}

function accusationOf({ peer, reason }: Grave): Item {
  const { id, incarnation } = peer;
  return new Item({ kind: reason === "left" ? LEFT : DEAD, id, incarnation });
}
