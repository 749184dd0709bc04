import { IdMap } from "./_id_map.ts";
import { type Credit, newCredit } from "./_swim_candidates.ts";
import { aliveItem, type Item } from "./_swim_codec.ts";
import type { Errand, Probe } from "./_swim_probes.ts";
import type { Suspicion } from "./_swim_suspicion.ts";
import type { NodeId, Peer } from "./types.ts";

/** Gone members that may wait for their turn beside the others. */
const SPARE = 64;

/** What is known of this node's own link to a member. */
export type LinkState =
  /** There was none in this life of the member. */
  | "none"
  /** It is open. */
  | "up"
  /** It ended. */
  | "down"
  /** It ended, and the member could not be dialled since: the only state that accuses. */
  | "lost";

/** A member, and what this node knows of its life. */
export class Entry {
  peer: Peer;
  /** Numbers the members in the order in which they came. */
  readonly serial: number;
  /** Its place in the list of members. */
  place = 0;
  /** No member any more. */
  gone = false;
  /** There was a sign of life of it, here. */
  isHeard = false;
  /** By whose word only it is a member; nobody: it is one in its own right. */
  vouchers: readonly NodeId[] = [];
  /** It spoke for itself once. */
  met = false;
  /** What is known of it is what it said itself. */
  isFirsthand = false;
  link: LinkState = "none";
  /** When its link ended. */
  downAt = 0;
  suspicion: Suspicion | null = null;
  probe: Probe | null = null;
  /** For whom else this node tries to reach it. */
  readonly errands: Errand[] = [];
  /** Who reached it when this node could not. */
  via: Entry | null = null;
  /** Another says that it left: so it did, if it does not answer. */
  leaving = false;
  /** What others tell of a later life of it, while this node's link to it is open. */
  successor: Peer | null = null;
  /** When it was last told that it is accused. */
  warnedAt = -Infinity;
  /** When it was last told all that this node knows. */
  toldAt = -Infinity;
  /** Until then, news in general is kept from it. */
  greetedAt = 0;
  /** How far the pages that it asked for are ahead of their time. */
  pagesAt = 0;
  #credit: Credit | null = null;
  /** Ends the wait for its return. */
  cancel: () => void = nothing;
  #item: Item | null = null;

  constructor(peer: Peer, serial: number) {
    this.peer = peer;
    this.serial = serial;
  }

  get id(): NodeId {
    return this.peer.id;
  }

  /** Whether it is a member by the word of others only. */
  get isVouched(): boolean {
    return this.vouchers.length > 0;
  }

  /** What it may make this node do by telling of others. */
  get credit(): Credit {
    this.#credit ??= newCredit();
    return this.#credit;
  }

  /** What is told of it. */
  get item(): Item {
    this.#item ??= aliveItem(this.peer);
    return this.#item;
  }

  /** It says something else of itself from now on. */
  renew(peer: Peer): void {
    this.peer = peer;
    this.#item = null;
  }
}

/**
 * The members, in the orders in which a detector of failures needs them. Those that were
 * never heard have a turn of their own: made-up ones must not take the time, nor the place
 * as a helper, of those that were.
 */
export class Roster {
  readonly members = new IdMap<Peer>();
  readonly #entries = new IdMap<Entry>();
  /** Those that were heard. */
  readonly #list: Entry[] = [];
  /** The others, whose turn it was longest ago first. */
  readonly #unheard = new Set<Entry>();
  #vouched = 0;
  readonly #random: () => number;
  /** Whom to probe, in turn, and how far this turn is. */
  #turn: Entry[] = [];
  #next = 0;
  #serials = 0;
  #digest = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** How many members there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many of them are members by the word of others only. */
  get vouched(): number {
    return this.#vouched;
  }

  /** How many are not. */
  get company(): number {
    return this.#entries.size - this.#vouched;
  }

  /** How many have been heard, of those of a kind. */
  heardOf(isOf: (id: NodeId) => boolean): number {
    let count = 0;
    for (const { id } of this.#list) if (isOf(id)) count++;
    return count;
  }

  /** A number that is the same where the same members are known as they are. */
  get digest(): number {
    return this.#digest;
  }

  get(id: NodeId): Entry | undefined {
    return this.#entries.get(id);
  }

  /** The members in the order in which they came. */
  values(): MapIterator<Entry> {
    return this.#entries.values();
  }

  /** Adds a member that was not heard so far; `vouchers`: by whose word only, if so. */
  add(peer: Peer, vouchers: readonly NodeId[] = []): Entry {
    const entry = new Entry(peer, ++this.#serials);
    entry.vouchers = vouchers;
    if (entry.isVouched) this.#vouched++;
    this.#unheard.add(entry);
    this.#entries.set(peer.id, entry);
    this.members.set(peer.id, peer);
    this.#digest ^= digestOf(peer);
    return entry;
  }

  /** A member was heard: it is probed at a random point of the present turn. */
  hear(entry: Entry): void {
    if (entry.isHeard || entry.gone) return;
    entry.isHeard = true;
    this.#unheard.delete(entry);
    if (entry.isVouched) this.#vouched--;
    entry.vouchers = [];
    entry.place = this.#list.length;
    this.#list.push(entry);
    if (this.#turn.length > 2 * this.#list.length + SPARE) this.#compact();
    const left = this.#turn.length - this.#next;
    const at = this.#next + Math.floor(this.#random() * (left + 1));
    this.#turn.splice(at, 0, entry);
  }

  /** Takes up what a member says of itself. */
  renew(entry: Entry, peer: Peer): void {
    this.#digest ^= digestOf(entry.peer) ^ digestOf(peer);
    entry.renew(peer);
    this.members.set(peer.id, peer);
  }

  remove(entry: Entry): void {
    entry.gone = true;
    this.#entries.delete(entry.id);
    this.members.delete(entry.id);
    this.#digest ^= digestOf(entry.peer);
    if (entry.isVouched) this.#vouched--;
    if (this.#unheard.delete(entry)) return;
    const last = this.#list.pop();
    if (last === undefined || last === entry) return;
    this.#list[entry.place] = last;
    last.place = entry.place;
  }

  /** Forgets those whose turn it was, and those who are gone. */
  #compact(): void {
    this.#turn = this.#turn.slice(this.#next).filter(({ gone }) => !gone);
    this.#next = 0;
  }

  /** A member is gone: those for whom only it vouched. */
  orphans(of: NodeId): Entry[] {
    const orphans: Entry[] = [];
    for (const entry of this.#unheard) {
      if (!entry.vouchers.includes(of)) continue;
      const left = entry.vouchers.filter((id) => id !== of);
      if (left.length === 0) orphans.push(entry);
      else entry.vouchers = left;
    }
    return orphans;
  }

  /** The next to be probed of those that were heard: everyone once, in random order, then again in another. */
  next(): Entry | null {
    for (;;) {
      if (this.#next >= this.#turn.length) {
        if (this.#list.length === 0) return null;
        this.#turn = shuffled(this.#list, this.#random);
        this.#next = 0;
      }
      const entry = this.#turn[this.#next++];
      if (entry !== undefined && !entry.gone) return entry;
    }
  }

  /** The next of those that were not heard. */
  nextUnheard(): Entry | null {
    for (const entry of this.#unheard) {
      this.#unheard.delete(entry);
      this.#unheard.add(entry);
      return entry;
    }
    return null;
  }

  /** Any member that was heard. */
  anyone(): Entry | null {
    return this.#list[Math.floor(this.#random() * this.#list.length)] ?? null;
  }

  /**
   * Offers random members that were heard, each once, until so many were taken; gives up after a
   * few that were not.
   */
  some(count: number, take: (entry: Entry) => boolean): void {
    const offered = new Set<Entry>();
    let taken = 0;
    for (let tries = 3 * count + 3; tries > 0 && taken < count; tries--) {
      const entry = this.anyone();
      if (entry === null || offered.size === this.#list.length) return;
      if (offered.has(entry)) continue;
      offered.add(entry);
      if (take(entry)) taken++;
    }
  }
}

/** What a node adds to the digest of those who know it. */
export function digestOf({ id, incarnation }: Peer): number {
  let mixed = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) {
    mixed = Math.imul(mixed ^ id.charCodeAt(at), 0x01000193);
  }
  mixed = Math.imul(mixed ^ (incarnation >>> 0), 0x85ebca6b);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed ^ Math.floor(incarnation / 2 ** 32), 0xc2b2ae35);
  return mixed ^ (mixed >>> 13);
}

/** In random order (Fisher and Yates). */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const mixed: T[] = [];
  for (const item of items) {
    const at = Math.floor(random() * (mixed.length + 1));
    const moved = mixed[at];
    if (moved === undefined) mixed.push(item);
    else {
      mixed.push(moved);
      mixed[at] = item;
    }
  }
  return mixed;
}

function nothing(): void {}
