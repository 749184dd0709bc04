import { leafCost, MAX_COST } from "./_map_advert.ts";
import { Bucket } from "./_map_bucket.ts";
import type { Guard } from "./_map_guard.ts";
import type { Tally } from "./_map_packets.ts";
import type { NodeId, Peer } from "./types.ts";

/** Time from one question to a neighbour whose map differs to the next, in ms. */
const MIN_PAUSE = 1000;
const MAX_PAUSE = 30_000;
/** Ms of a round trip for which a link costs one more. */
const COST_STEP = 25;
/** Answers that it takes to believe that a link is slow. */
const MEASUREMENTS = 3;
/** A neighbour that neither answers nor says anything for so long is silent, in ms. */
const SILENCE = 4000;
/** One that does not answer for so long is silent, whatever it says, in ms. */
const DEAFNESS = 60_000;
/** Adverts that a neighbour may send, or ask for, per second. */
const ADVERTS_PER_SECOND = 1000;
/** Pages of summaries that it may send at once, and per second. */
const PAGES = 64;
const PAGES_PER_SECOND = 16;

/** The node at the other end of a link, and what is known of its map. */
export class Neighbour {
  readonly id: NodeId;
  readonly incarnation: number;
  readonly guard: Guard;
  /** It relays nothing. */
  readonly isLeaf: boolean;
  /** What this node calls the link, and what the other end calls it: -1, it has not said. */
  readonly link: number;
  theirLink = -1;
  /** What has come over the link, as the other end says: for it, the link has ended. */
  tally: Tally | null = null;
  /** What the link costs. */
  cost = 1;
  /** When it was last sent a summary. */
  summarizedAt = -Infinity;
  /** Limits what it sends, and what it makes this node send. */
  readonly adverts: Bucket;
  readonly pages: Bucket = new Bucket(PAGES, PAGES_PER_SECOND);
  readonly pushes: Bucket;
  /** When it was last heard. */
  heardAt: number;
  /** It does not answer: the link is not used until it does. */
  isSilent = false;
  /** The hash of its map when it last told; -1: it has not. */
  #told = -1;
  /** The last question for it, and when that was asked first. */
  #token = 0;
  #askedAt = -Infinity;
  #isWaiting = false;
  #pause = MIN_PAUSE;
  /** The shortest of its answers, and how many there were. */
  #roundTrip = Infinity;
  #answers = 0;

  /**
   * @param link A number for the link that others cannot guess.
   * @param maxNodes Nodes that fit on a map.
   */
  constructor(
    { id, incarnation }: Peer,
    isLeaf: boolean,
    link: number,
    guard: Guard,
    maxNodes: number,
    now: number,
  ) {
    this.id = id;
    this.incarnation = incarnation;
    this.isLeaf = isLeaf;
    this.link = link;
    this.guard = guard;
    this.heardAt = now;
    this.adverts = new Bucket(2 * maxNodes, ADVERTS_PER_SECOND);
    this.pushes = new Bucket(2 * maxNodes, ADVERTS_PER_SECOND);
  }

  /** What others are told that the link costs. */
  get told(): number {
    return this.isLeaf ? leafCost(this.cost) : this.cost;
  }

  /** Whether it has not answered yet. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** Whether it is time to ask for its hash: it differs, as far as is known. */
  isDue(hash: number, now: number): boolean {
    return this.#told !== hash && now - this.#askedAt >= this.#pause;
  }

  /** It is asked for its hash, or asked again; returns the number of the question. */
  ask(now: number): number {
    if (this.#isWaiting) return this.#token;
    this.#askedAt = now;
    this.#isWaiting = true;
    this.#token = (this.#token + 1) % 2 ** 32;
    return this.#token;
  }

  /** It told its hash; false: it was not asked. `own` is the hash of this node's map. */
  answer(token: number, hash: number, own: number, now: number): boolean {
    if (token !== this.#token || !this.#isWaiting) return false;
    this.#isWaiting = false;
    this.#told = hash;
    this.#pause = hash === own
      ? MIN_PAUSE
      : Math.min(MAX_PAUSE, 2 * this.#pause);
    this.#roundTrip = Math.min(this.#roundTrip, now - this.#askedAt);
    this.#answers++;
    return true;
  }

  /** The shortest of its answers, in ms; undefined: it has not answered yet. */
  get roundTrip(): number | undefined {
    return this.#roundTrip === Infinity ? undefined : this.#roundTrip;
  }

  /** What the link costs by the shortest of its answers; the others have waited for something. */
  get measuredCost(): number {
    return Math.min(MAX_COST, 1 + Math.floor(this.#roundTrip / COST_STEP));
  }

  /** Whether it is too early to say: a single answer may have waited for long. */
  get isUnsure(): boolean {
    return this.#answers < MEASUREMENTS && this.measuredCost > this.cost;
  }

  /** Whether it has not answered for too long. */
  isMute(now: number): boolean {
    if (!this.#isWaiting) return false;
    const since = this.guard.waitingSince ?? Infinity;
    const waited = now - Math.min(this.#askedAt, since);
    return waited >= DEAFNESS ||
      (waited >= SILENCE && now - this.heardAt >= SILENCE);
  }
}
