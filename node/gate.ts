import type { Clock } from "@devts/routing";
import { Bucket } from "./_bucket.ts";
import { remember } from "./_remember.ts";
import { placeOf } from "./address.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";

/** Addresses that are remembered: of strangers, and of peers that proved who they are. */
const MAX_PLACES = 4_096;
/** How long an address stays exempt, in ms. */
const EXEMPT_TIME = 3_600_000;
/** A stranger that has had so many ms makes room for the next one: enough for a handshake. */
const GRACE = 500;
/** Of what breaks the protocol, `banAfter` are forgotten in so many s. */
const FAULT_WINDOW = 60;

/** What the gate is made with. */
export interface GateOptions {
  readonly clock: Clock;
  readonly limits: Required<NodeLimits>;
  readonly met: MetLimits;
  /** An address or a node was banned, for so many ms. */
  banned(who: string, time: number): void;
}

/** A place taken by an incoming connection in the handshake. */
export interface Pass {
  /** Gives the place back. */
  leave(): void;
}

/** A stranger in the handshake. */
interface Stranger {
  readonly since: number;
  readonly evict: () => void;
}

/** An address or a node, as far as it is not trusted. */
interface Place {
  readonly arrivals: Bucket;
  /** Holds one for each fault that does not lead to a ban. */
  faults: Bucket;
  pending: number;
  /** How long the last ban lasted, in ms; 0: there was none. */
  lastBan: number;
  bannedUntil: number;
}

/**
 * Decides which incoming connections get as far as the handshake. Strangers share a
 * bounded number of places, in all and by address; what they do cannot keep out those
 * whose address is exempt.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #arrivals: Bucket;
  /** The one used last at the end. Keys are prefixed: strangers choose them. */
  readonly #places = new Map<string, Place>();
  /** Until when an address is exempt. */
  readonly #exempt = new Map<string, number>();
  /** Strangers in the handshake, the one that came first at the front. */
  readonly #strangers = new Set<Stranger>();
  #others = 0;

  constructor(options: GateOptions) {
    const { newConnections } = options.limits;
    this.#options = options;
    this.#arrivals = new Bucket(newConnections, newConnections);
  }

  /**
   * Lets an incoming connection into the handshake, or says why not. `evict` is called
   * where it has to make room for another one.
   */
  enter(remote: string, evict: () => void): Pass | string {
    const name = placeOf(remote);
    return this.#isExempt(name)
      ? this.#enterExempt()
      : this.#enterStranger(name, evict);
  }

  /** A peer there has proved who it is. */
  exempt(remote: string): void {
    const name = placeOf(remote);
    if (name === "") return;
    const until = this.#now() + EXEMPT_TIME;
    remember(this.#exempt, `p:${name}`, until, MAX_PLACES);
  }

  /** Whether limits per address do not apply. */
  isExempt(remote: string): boolean {
    return this.#isExempt(placeOf(remote));
  }

  /** Somebody there broke the protocol. */
  fault(remote: string): void {
    const name = placeOf(remote);
    if (name === "" || this.#isExempt(name)) return;
    this.#fault(name, this.#place(`p:${name}`));
  }

  /**
   * A link to that node broke as soon as it was there, or because of what it sent. An id
   * that is not proven counts only where it came from: elsewhere it may be another's.
   */
  faultOf(id: string, remote: string, isProven: boolean): void {
    const place = isProven ? "" : placeOf(remote);
    const who = place === "" ? `node "${id}"` : `node "${id}" at ${place}`;
    this.#fault(who, this.#place(nodeKey(id, place)));
  }

  /** Whether a node is banned, everywhere or there, which is then counted. */
  isBanned(id: string, remote: string): boolean {
    const now = this.#now();
    const isBanned = [nodeKey(id, ""), nodeKey(id, placeOf(remote))].some(
      (key) => (this.#places.get(key)?.bannedUntil ?? -Infinity) > now,
    );
    if (isBanned) this.#options.met.banTime++;
    return isBanned;
  }

  #fault(who: string, place: Place): void {
    if (!place.faults.take(this.#now())) this.#ban(who, place);
  }

  #ban(who: string, place: Place): void {
    const { limits, met, banned } = this.#options;
    const now = this.#now();
    const { banTime, longestBan } = limits;
    // Quiet times since the last ban halve it once each.
    const quiet = Math.floor((now - place.bannedUntil) / longestBan);
    const next = 2 * place.lastBan / 2 ** Math.max(0, quiet);
    const time = Math.min(Math.max(banTime, next), longestBan);
    place.bannedUntil = now + time;
    place.lastBan = time;
    place.faults = this.#newFaults();
    met.banAfter++;
    if (time === longestBan) met.longestBan++;
    banned(who, time);
  }

  #enterExempt(): Pass | string {
    const { limits, met } = this.#options;
    if (this.#others >= limits.pending) {
      met.pending++;
      return "too many connections are in the handshake";
    }
    this.#others++;
    return { leave: () => void this.#others-- };
  }

  #enterStranger(name: string, evict: () => void): Pass | string {
    const place = name === "" ? null : this.#place(`p:${name}`);
    const reason = this.#refusal(place);
    if (reason !== null) return reason;
    const stranger = { since: this.#now(), evict };
    this.#strangers.add(stranger);
    if (place) place.pending++;
    return {
      leave: () => {
        this.#strangers.delete(stranger);
        if (place) place.pending--;
      },
    };
  }

  #refusal(place: Place | null): string | null {
    const { limits, met } = this.#options;
    const now = this.#now();
    if (place && place.bannedUntil > now) {
      met.banTime++;
      return "its address is banned";
    }
    if (place && place.pending >= limits.pendingPerAddress) {
      met.pendingPerAddress++;
      return "too many connections from its address are in the handshake";
    }
    if (place && !place.arrivals.take(now)) {
      met.newPerAddress++;
      return "too many connections come from its address";
    }
    if (!this.#arrivals.take(now)) {
      met.newConnections++;
      return "too many connections come";
    }
    if (this.#strangers.size < limits.pending) return null;
    met.pending++;
    return this.#makeRoom(now)
      ? null
      : "too many connections are in the handshake";
  }

  /** Those who stall must not keep out those who come. */
  #makeRoom(now: number): boolean {
    for (const stranger of this.#strangers) {
      if (now - stranger.since < GRACE) return false;
      this.#strangers.delete(stranger);
      stranger.evict();
      return true;
    }
    return false;
  }

  #isExempt(name: string): boolean {
    if (name === "local") return true;
    const until = this.#exempt.get(`p:${name}`);
    return until !== undefined && until > this.#now();
  }

  #place(key: string): Place {
    const known = this.#places.get(key);
    const { pendingPerAddress, newPerAddress } = this.#options.limits;
    const place = known ?? {
      arrivals: new Bucket(pendingPerAddress, newPerAddress),
      faults: this.#newFaults(),
      pending: 0,
      lastBan: 0,
      bannedUntil: -Infinity,
    };
    // At the end: whoever comes no more is forgotten first.
    remember(this.#places, key, place, MAX_PLACES);
    return place;
  }

  /** The one that finds it empty is banned. */
  #newFaults(): Bucket {
    const { banAfter } = this.#options.limits;
    return new Bucket(banAfter - 1, banAfter / FAULT_WINDOW);
  }

  #now(): number {
    return this.#options.clock.now();
  }
}

/** The id first, then where: neither has spaces. */
function nodeKey(id: string, place: string): string {
  return `n:${id} ${place}`;
}
