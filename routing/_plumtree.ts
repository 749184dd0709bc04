import { type Reader, Writer } from "./_bytes.ts";
import { Durations } from "./_durations.ts";
import {
  GRAFT,
  I_HAVE,
  keyOf,
  MAX_ITEMS,
  type Name,
  PRUNE,
  readItems,
  readName,
  writeName,
} from "./_gossip_packets.ts";
import { IdMap } from "./_id_map.ts";
import type { Clock, Lane, NodeId } from "./types.ts";

/** Duplicates from a neighbour, with nothing new in between, until it is pruned. */
const PRUNE_THRESHOLD = 2;
/** How long names of broadcasts wait to leave together, in ms. */
const BATCH_DELAY = 5;
/** How long a broadcast can be asked for, and is known to have come, in ms. */
const PACKET_LIFE = 30_000;
const NAME_LIFE = 90_000;
/** What is kept of them. */
const MAX_PACKET_BYTES = 16 * 1024 * 1024;
const MAX_NAMES = 65_536;
/** Broadcasts that are missed; in all, and announced by one neighbour. */
const MAX_MISSING = 4096;
const MAX_MISSING_EACH = 1024;
/** A new neighbour hears of what came in so many ms before. */
const RECENT_TIME = 1000;

/** What the tree asks for. */
export interface PlumtreeOwner {
  readonly clock: Clock;
  /** How long a round trip to a neighbour takes at most, mostly, in ms. */
  roundTrip(): number;
  /** Hands a packet to a neighbour; false: no room. */
  send(to: NodeId, packet: Uint8Array, lane: Lane): boolean;
}

interface Branch {
  isEager: boolean;
  duplicates: number;
  /** What is to be announced to it. */
  names: Name[];
  /** What it announced and this node misses. */
  missing: number;
}

interface Seen {
  readonly name: Name;
  readonly at: number;
  packet: Uint8Array | null;
}

interface Missing {
  readonly name: Name;
  readonly since: number;
  /** Who has been asked. */
  readonly asked: NodeId[];
  readonly announcers: NodeId[];
  cancel: () => void;
}

/**
 * Epidemic broadcast trees (Leitão, Pereira and Rodrigues, 2007): a payload goes along
 * a tree, only its name along the other links; who hears of a name and does not get the
 * payload asks for it, and that link becomes a part of the tree.
 */
export class Plumtree {
  readonly #owner: PlumtreeOwner;
  readonly #branches = new IdMap<Branch>();
  /** Oldest first. */
  readonly #seen = new Map<string, Seen>();
  /** Those with their packet, oldest first. */
  readonly #kept = new Set<Seen>();
  #keptBytes = 0;
  readonly #missing = new Map<string, Missing>();
  /** How much longer than its name a payload takes along the tree. */
  readonly #lags = new Durations(0);
  #cancelBatch: (() => void) | null = null;
  #cancelSweep: (() => void) | null = null;
  readonly counters = { grafts: 0, prunes: 0, unannounced: 0, unfetched: 0 };

  constructor(owner: PlumtreeOwner) {
    this.#owner = owner;
  }

  up(id: NodeId): void {
    const names: Name[] = [];
    const since = this.#owner.clock.now() - RECENT_TIME;
    for (const { name, at } of [...this.#kept].slice(-MAX_ITEMS)) {
      if (at >= since) names.push(name);
    }
    this.#branches.set(id, {
      isEager: true,
      duplicates: 0,
      names,
      missing: 0,
    });
    if (names.length > 0) this.#planBatch();
  }

  down(id: NodeId): void {
    this.#branches.delete(id);
  }

  /** Whether a broadcast has come. */
  has(name: Name): boolean {
    return this.#seen.has(keyOf(name));
  }

  /** Passes on a broadcast that is new; returns the neighbours that took it. */
  push(name: Name, packet: Uint8Array, from: NodeId | null): NodeId[] {
    this.#keep(name, packet, from);
    if (from !== null) this.#toEager(from);
    const taken: NodeId[] = [];
    for (const [id, branch] of this.#branches) {
      if (id === from || id === name.origin) continue;
      if (branch.isEager && this.#owner.send(id, packet, name.lane)) {
        taken.push(id);
      } else this.#announce(branch, name);
    }
    return taken;
  }

  /** A broadcast came again. */
  duplicate(from: NodeId): void {
    const branch = this.#branches.get(from);
    if (branch === undefined) return;
    branch.duplicates++;
    if (branch.duplicates < PRUNE_THRESHOLD) return;
    branch.duplicates = 0;
    branch.isEager = false;
    this.counters.prunes++;
    this.#owner.send(from, new Writer().u8(PRUNE).take(), "control");
  }

  /** Takes a packet from a neighbour; false: it is none of these. */
  receive(kind: number, from: NodeId, reader: Reader): boolean {
    const branch = this.#branches.get(from);
    if (kind === I_HAVE) {
      const names = readItems(reader, MAX_ITEMS, readName);
      reader.end();
      if (branch === undefined) return true;
      for (const name of names) this.#announced(from, branch, name);
    } else if (kind === GRAFT) {
      const name = readName(reader);
      reader.end();
      if (branch !== undefined) this.#takeGraft(from, branch, name);
    } else if (kind === PRUNE) {
      reader.end();
      if (branch !== undefined) branch.isEager = false;
    } else return false;
    return true;
  }

  close(): void {
    this.#cancelBatch?.();
    this.#cancelSweep?.();
    for (const { cancel } of this.#missing.values()) cancel();
    this.#missing.clear();
    this.#branches.clear();
    this.#seen.clear();
    this.#kept.clear();
  }

  #toEager(id: NodeId): void {
    const branch = this.#branches.get(id);
    if (branch === undefined) return;
    branch.isEager = true;
    branch.duplicates = 0;
  }

  // -- What came --

  #keep(name: Name, packet: Uint8Array, from: NodeId | null): void {
    const key = keyOf(name);
    const missing = this.#missing.get(key);
    if (missing !== undefined) this.#found(key, missing, from);
    const seen = { name, at: this.#owner.clock.now(), packet };
    this.#seen.set(key, seen);
    this.#kept.add(seen);
    this.#keptBytes += packet.length;
    this.#forget();
    this.#cancelSweep ??= this.#planSweep();
  }

  #planSweep(): () => void {
    return this.#owner.clock.after(PACKET_LIFE, () => {
      this.#forget();
      this.#cancelSweep = this.#seen.size > 0 ? this.#planSweep() : null;
    });
  }

  #forget(): void {
    const now = this.#owner.clock.now();
    for (const one of this.#kept) {
      const isOld = now - one.at >= PACKET_LIFE;
      if (!isOld && this.#keptBytes <= MAX_PACKET_BYTES) break;
      this.#drop(one);
    }
    for (const [key, one] of this.#seen) {
      const isOld = now - one.at >= NAME_LIFE;
      if (!isOld && this.#seen.size <= MAX_NAMES) break;
      this.#drop(one);
      this.#seen.delete(key);
    }
  }

  #drop(one: Seen): void {
    if (one.packet === null) return;
    this.#keptBytes -= one.packet.length;
    one.packet = null;
    this.#kept.delete(one);
  }

  // -- Names --

  #announce(branch: Branch, name: Name): void {
    if (branch.names.length >= MAX_MISSING_EACH) {
      this.counters.unannounced++;
      return;
    }
    branch.names.push(name);
    this.#planBatch();
  }

  #planBatch(): void {
    this.#cancelBatch ??= this.#owner.clock.after(BATCH_DELAY, () => {
      this.#cancelBatch = null;
      for (const [id, branch] of this.#branches) this.#sendNames(id, branch);
    });
  }

  #sendNames(id: NodeId, branch: Branch): void {
    const { names } = branch;
    branch.names = [];
    for (let at = 0; at < names.length; at += MAX_ITEMS) {
      const some = names.slice(at, at + MAX_ITEMS);
      const writer = new Writer().u8(I_HAVE).u8(some.length);
      for (const name of some) writeName(writer, name);
      if (this.#owner.send(id, writer.take(), "control")) continue;
      this.counters.unannounced += some.length;
    }
  }

  #announced(from: NodeId, branch: Branch, name: Name): void {
    const key = keyOf(name);
    if (this.#seen.has(key)) return;
    const known = this.#missing.get(key);
    const isFull = branch.missing >= MAX_MISSING_EACH ||
      (known === undefined && this.#missing.size >= MAX_MISSING);
    if (isFull) {
      this.counters.unfetched++;
      return;
    }
    if (known?.announcers.includes(from)) return;
    branch.missing++;
    if (known !== undefined) {
      known.announcers.push(from);
      return;
    }
    const since = this.#owner.clock.now();
    const announcers = [from];
    const missing = { name, since, asked: [], announcers, cancel: nothing };
    this.#missing.set(key, missing);
    this.#await(key, missing, this.#patience());
  }

  /** How long a payload may come after its name: it may take a longer way. */
  #patience(): number {
    return Math.max(3 * this.#owner.roundTrip(), 1.5 * this.#lags.p95);
  }

  #await(key: string, missing: Missing, delay: number): void {
    missing.cancel = this.#owner.clock.after(
      delay,
      () => this.#fetch(key, missing),
    );
  }

  /** Asks the first who has it, after a while the next one. */
  #fetch(key: string, missing: Missing): void {
    const id = missing.announcers.shift();
    if (id === undefined) {
      this.#missing.delete(key);
      this.counters.unfetched++;
      return;
    }
    const branch = this.#branches.get(id);
    if (branch === undefined) return this.#fetch(key, missing);
    branch.missing--;
    branch.isEager = true;
    // What comes by the tree after all makes it a duplicate: it is pruned at once.
    branch.duplicates = PRUNE_THRESHOLD - 1;
    missing.asked.push(id);
    this.counters.grafts++;
    const writer = new Writer().u8(GRAFT);
    writeName(writer, missing.name);
    this.#owner.send(id, writer.take(), "control");
    this.#await(key, missing, this.#owner.roundTrip());
  }

  #found(key: string, missing: Missing, from: NodeId | null): void {
    const { announcers, asked, since, cancel } = missing;
    cancel();
    this.#missing.delete(key);
    if (from !== null && !asked.includes(from)) {
      this.#lags.add(this.#owner.clock.now() - since);
    }
    for (const id of announcers) {
      const branch = this.#branches.get(id);
      if (branch !== undefined) branch.missing--;
    }
  }

  #takeGraft(from: NodeId, branch: Branch, name: Name): void {
    branch.isEager = true;
    branch.duplicates = 0;
    const packet = this.#seen.get(keyOf(name))?.packet ?? null;
    if (packet === null) return;
    if (!this.#owner.send(from, packet, name.lane)) {
      this.#announce(branch, name);
    }
  }
}

function nothing(): void {}
