import { IdMap } from "./_id_map.ts";
import type { Entry } from "./_swim_roster.ts";
import type { Clock, NodeId, Peer } from "./types.ts";

/** Nodes that may wait because of one member, and in all. */
const MAX_OF_ONE = 256;
const MAX_ALL = 1024;
/** How long a node waits after it was told of last, in ms. */
const LIFE = 120_000;
/** How soon a new one is looked at, and how often those that wait, in ms. */
const FIRST_LOOK = 5;
const LOOK = 100;
/** How long the other end has to dial first, in ms; up to one and a half times that. */
const TURN = 500;
/** A dial that brought nothing after so long is over, in ms. */
const DIAL_LIFE = 15_000;
/** Bounds of the time between two dials of one node, in ms. */
const MIN_RETRY = 1_000;
const MAX_RETRY = 60_000;
/** Dials under way: in all, and bounds of how many because of one member. */
const MAX_DIALS = 12;
const FIRST_WINDOW = 8;
const MIN_WINDOW = 2;
/** Dials in vain because of one member: so many at once, and so many per second. */
const BURST = 16;
const RATE = 5;
/** How many members must tell of a node that cannot be reached. */
const VOUCHERS = 3;
/** How long there may be no way to a node before their word is asked for, in ms. */
const PATIENCE = 1_000;

/** What one member may make this node do, and how much of that it has. */
export interface Credit {
  /** Nodes that wait because of it. */
  waiting: number;
  /** Dials under way, and how many there may be. */
  dials: number;
  window: number;
  /** Dials that may be in vain, as of a time. */
  tokens: number;
  at: number;
}

/** What candidates ask of the membership. */
export interface CandidatesOwner {
  /** Whether there is a way to a node. */
  reaches(id: NodeId): boolean;
  /** Asks for a link to a node; null: links are not what makes a way. */
  readonly meet: ((peer: Peer) => void) | null;
  /** This node. */
  self(): Peer;
  /** How many members could tell of a node. */
  tellers(): number;
  /** Whether one more node may be a member by the word of others. */
  hasRoom(): boolean;
  /** It is a member from now on; `vouchers`: by whose word only, if so. */
  confirmed(peer: Peer, isQuiet: boolean, vouchers: readonly NodeId[]): void;
}

/** What candidates count. */
export interface CandidateCounters {
  /** Nodes that were not taken, or not kept, since so many waited. */
  crowded: number;
}

/** A node that others told of. */
interface Candidate {
  peer: Peer;
  /** What was told last that differs: one of the two may be a lie. */
  rival: Peer | null;
  /** The member because of which it waits. */
  readonly by: Entry;
  /** Who told of it, up to as many as matter. */
  readonly tellers: NodeId[];
  /** Others need not be told once it is a member. */
  readonly isQuiet: boolean;
  readonly since: number;
  toldAt: number;
  /** When it is dialled next. */
  dueAt: number;
  /** When the dial under way began, or -1. */
  dialledAt: number;
  failures: number;
}

/**
 * The nodes that members tell of and that have not been heard: made-up ones among them,
 * for all that is known. A node is confirmed once there is a way to it, where a link is
 * what that takes once it was dialled and proved to be the one that was told of; or once
 * three members, fewer where there are not so many, tell of one that could not be reached.
 *
 * Until then it is no member, and others are not told of it. One member can fill 256
 * places, and have as many dials in vain as its tokens allow. Where all places are taken,
 * one of those goes that wait because of the member with the most.
 */
export class Candidates {
  /** Those who wait. */
  readonly peers = new IdMap<Peer>();
  readonly #owner: CandidatesOwner;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #counters: CandidateCounters;
  readonly #all = new IdMap<Candidate>();
  #dials = 0;
  #lookAt = Infinity;
  #cancel: () => void = nothing;

  constructor(
    owner: CandidatesOwner,
    clock: Clock,
    random: () => number,
    counters: CandidateCounters,
  ) {
    this.#owner = owner;
    this.#clock = clock;
    this.#random = random;
    this.#counters = counters;
  }

  /** A member tells of a node to which there is no way. */
  told(peer: Peer, by: Entry, isQuiet: boolean): void {
    const known = this.#all.get(peer.id);
    if (known === undefined) this.#add(peer, by, isQuiet);
    else this.#again(known, peer, by);
  }

  /** A node is a member, or cannot become one: it waits no more. */
  settled(id: NodeId, isConfirmed: boolean): void {
    const candidate = this.#all.get(id);
    if (candidate !== undefined) this.#drop(candidate, isConfirmed);
  }

  /** A member is gone, and with it what it told. */
  forget(teller: NodeId): void {
    for (const candidate of [...this.#all.values()]) {
      const at = candidate.tellers.indexOf(teller);
      if (at >= 0) candidate.tellers.splice(at, 1);
      if (candidate.tellers.length === 0) this.#drop(candidate, false);
    }
  }

  /** A node could not be reached. */
  unreachable(id: NodeId): void {
    const candidate = this.#all.get(id);
    // Others may have dialled it where it was before.
    if (candidate === undefined || candidate.dialledAt < 0) return;
    this.#failed(candidate);
    this.#plan(FIRST_LOOK);
  }

  /** Ends its timer. */
  close(): void {
    this.#cancel();
    this.#all.clear();
    this.peers.clear();
  }

  #add(peer: Peer, by: Entry, isQuiet: boolean): void {
    const now = this.#clock.now();
    const { credit } = by;
    if (credit.waiting >= MAX_OF_ONE) {
      this.#counters.crowded++;
      return;
    }
    if (this.#all.size >= MAX_ALL) this.#makeRoom();
    credit.waiting++;
    this.#all.set(peer.id, {
      peer,
      rival: null,
      by,
      tellers: [by.id],
      isQuiet,
      since: now,
      toldAt: now,
      dueAt: now +
        (isQuiet && peer.addresses.length > 0 ? 0 : this.#turn(peer)),
      dialledAt: -1,
      failures: 0,
    });
    this.peers.set(peer.id, peer);
    this.#plan(FIRST_LOOK);
  }

  /**
   * Of two nodes that hear of each other one dials at once, the other a bit later. A
   * newcomer does not wait: it hears of the others before they hear of it.
   */
  #turn({ id, addresses }: Peer): number {
    const self = this.#owner.self();
    if (addresses.length === 0) return PATIENCE;
    if (self.id < id || self.addresses.length === 0) return 0;
    return TURN * (1 + this.#random() / 2);
  }

  #again(candidate: Candidate, peer: Peer, { id }: Entry): void {
    const { tellers, peer: known } = candidate;
    candidate.toldAt = this.#clock.now();
    if (tellers.length < VOUCHERS && !tellers.includes(id)) tellers.push(id);
    if (known.addresses.length === 0 && peer.addresses.length > 0) {
      this.#take(candidate, peer);
      candidate.dueAt = this.#clock.now() + this.#turn(peer);
    } else if (peer.addresses.join() !== known.addresses.join()) {
      candidate.rival = peer;
    } else if (peer.incarnation > known.incarnation) {
      this.#take(candidate, peer);
    }
  }

  #take(candidate: Candidate, peer: Peer): void {
    candidate.peer = peer;
    this.peers.set(peer.id, peer);
  }

  /** Whoever told of the most gives way first. */
  #makeRoom(): void {
    let first: Candidate | null = null;
    for (const candidate of this.#all.values()) {
      const most = first?.by.credit.waiting ?? 0;
      if (candidate.by.credit.waiting > most) first = candidate;
    }
    if (first === null) return;
    this.#counters.crowded++;
    this.#drop(first, false);
  }

  #drop(candidate: Candidate, isConfirmed: boolean): void {
    const { peer, by: { credit } } = candidate;
    if (candidate.dialledAt >= 0) this.#dialled(candidate, isConfirmed);
    credit.waiting--;
    this.#all.delete(peer.id);
    this.peers.delete(peer.id);
    // Another may be dialled in its place.
    if (isConfirmed) this.#plan(FIRST_LOOK);
  }

  #failed(candidate: Candidate): void {
    if (candidate.dialledAt >= 0) this.#dialled(candidate, false);
    const pause = Math.min(MAX_RETRY, MIN_RETRY * 2 ** candidate.failures++);
    candidate.dueAt = this.#clock.now() + pause * (0.5 + this.#random());
    const { peer, rival } = candidate;
    if (rival === null) return;
    this.#take(candidate, rival);
    candidate.rival = peer;
  }

  /** A dial is over: who told of a node that is there may have more of them. */
  #dialled(candidate: Candidate, isConfirmed: boolean): void {
    const { credit } = candidate.by;
    candidate.dialledAt = -1;
    this.#dials--;
    credit.dials--;
    credit.window = isConfirmed
      ? Math.min(MAX_DIALS, credit.window + 1)
      : Math.max(MIN_WINDOW, Math.floor(credit.window / 2));
    if (isConfirmed) credit.tokens = Math.min(BURST, credit.tokens + 1);
  }

  #plan(delay: number): void {
    const now = this.#clock.now();
    if (this.#all.size === 0 || this.#lookAt <= now + delay) return;
    this.#cancel();
    this.#lookAt = now + delay;
    this.#cancel = this.#clock.after(delay, () => {
      this.#lookAt = Infinity;
      this.#look();
      this.#plan(LOOK);
    });
  }

  #look(): void {
    const now = this.#clock.now();
    for (const candidate of [...this.#all.values()]) {
      const { peer, isQuiet, toldAt, dialledAt, tellers } = candidate;
      if (this.#owner.reaches(peer.id)) {
        this.#drop(candidate, true);
        this.#owner.confirmed(peer, isQuiet, []);
      } else if (now - toldAt > LIFE) this.#drop(candidate, false);
      else if (dialledAt >= 0) {
        if (now - dialledAt > DIAL_LIFE) this.#failed(candidate);
      } else if (this.#isVouched(candidate, now)) {
        this.#drop(candidate, false);
        this.#owner.confirmed(peer, isQuiet, tellers);
      } else if (now >= candidate.dueAt) this.#dial(candidate, now);
    }
  }

  #isVouched(candidate: Candidate, now: number): boolean {
    const { since, failures, peer, tellers } = candidate;
    const isTried = failures > 0 ||
      (now - since >= PATIENCE &&
        (this.#owner.meet === null || peer.addresses.length === 0));
    if (!isTried || !this.#owner.hasRoom()) return false;
    return tellers.length >= VOUCHERS ||
      tellers.length >= Math.max(1, this.#owner.tellers());
  }

  #dial(candidate: Candidate, now: number): void {
    const { peer, by: { credit } } = candidate;
    const { meet } = this.#owner;
    if (meet === null || peer.addresses.length === 0) return;
    if (this.#dials >= MAX_DIALS || credit.dials >= credit.window) return;
    credit.tokens = Math.min(
      BURST,
      credit.tokens + RATE * (now - credit.at) / 1000,
    );
    credit.at = now;
    if (credit.tokens < 1) return;
    credit.tokens--;
    credit.dials++;
    this.#dials++;
    candidate.dialledAt = now;
    meet(peer);
  }
}

/** What a member may make a node do that has told of nobody so far. */
export function newCredit(): Credit {
  return {
    waiting: 0,
    dials: 0,
    window: FIRST_WINDOW,
    tokens: BURST,
    at: 0,
  };
}

function nothing(): void {}
