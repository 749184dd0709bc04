import { IdMap } from "./_id_map.ts";
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

/** The members, in the orders in which a detector of failures needs them. */
export class Roster {
  readonly members = new IdMap<Peer>();
  readonly #entries = new IdMap<Entry>();
  readonly #list: Entry[] = [];
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
    return this.#list.length;
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

  /** Adds a member, to be probed at a random point of the present turn. */
  add(peer: Peer): Entry {
    const entry = new Entry(peer, ++this.#serials);
    entry.place = this.#list.length;
    this.#list.push(entry);
    this.#entries.set(peer.id, entry);
    this.members.set(peer.id, peer);
    this.#digest ^= digestOf(peer);
    if (this.#turn.length > 2 * this.#list.length + SPARE) this.#compact();
    const left = this.#turn.length - this.#next;
    const at = this.#next + Math.floor(this.#random() * (left + 1));
    this.#turn.splice(at, 0, entry);
    return entry;
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

  /** The next to be probed: everyone once, in random order, then again in another. */
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

  /** Any member. */
  anyone(): Entry | null {
    return this.#list[Math.floor(this.#random() * this.#list.length)] ?? null;
  }

  /**
   * Offers random members, each once, until so many were taken; gives up after a
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
