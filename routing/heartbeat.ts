/**
 * The membership in which every node sends every other node a heartbeat.
 *
 * ```ts
 * import { heartbeat } from "@devts/routing/heartbeat";
 * import { peerRouter } from "@devts/routing/peer";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const options = { router: peerRouter(), membership: heartbeat() };
 * const ada = network.add("ada", options);
 * network.add("bob", options);
 * network.add("cyd", options);
 *
 * network.connect("bob", "ada");
 * network.connect("cyd", "ada");
 * network.clock.tick(1000);
 * assertEquals([...ada.members.keys()].sort(), ["bob", "cyd"]);
 *
 * network.node("bob").crash();
 * network.clock.tick(1000);
 * assertEquals([...ada.members.keys()], ["cyd"]);
 * ```
 *
 * @module
 */

import { MalformedError, orNull, Reader, Writer } from "./_bytes.ts";
import { dropOldest } from "./_drop_oldest.ts";
import { Epochs, MAX_INCARNATION } from "./_epochs.ts";
import { IdMap } from "./_id_map.ts";
import { MAX_RECORD, readPeer, sameContent, writePeer } from "./_peer_codec.ts";
import { epochOf } from "./incarnation.ts";
import type {
  Counted,
  LeaveReason,
  LinkEvent,
  MembershipContext,
  MembershipFactory,
  NodeId,
  Peer,
  SiftingMembership,
} from "./types.ts";

/** Options of {@linkcode heartbeat}. */
export interface HeartbeatOptions {
  /**
   * Milliseconds between two heartbeats to the same node, above 0.
   *
   * @default {1000}
   */
  readonly interval?: number;
  /**
   * Milliseconds of silence after which a member counts as failed; at least two
   * intervals.
   *
   * @default {5000}
   */
  readonly timeout?: number;
  /**
   * How many other nodes are known at most, 1 or more; what is beyond is refused and
   * counted.
   *
   * @default {10000}
   */
  readonly maxMembers?: number;
}

const VERSION = 1;
/** Message types; each follows the version. */
const BEAT = 1;
const NEWS = 2;
const LEFT = 3;
/** Flag of `NEWS`: send me yours. */
const ANSWER = 1;

/** The longest message sent and taken, in bytes. */
const MAX_MESSAGE = 16 * 1024;
/** Time between two exchanges with a random member, in ms; ± 20 %. */
const SYNC_INTERVAL = 30_000;
/** How long a node that cannot be dialled may take to dial again, in ms. */
const RETURN_TIMEOUT = 500;
/** Nodes remembered that left or failed. */
const MAX_GRAVES = 1024;
/** How long they are remembered after their quarantine, in ms; also the longest quarantine. */
const GRAVE_LIFE = 600_000;

/**
 * Makes memberships in which every node sends every other a heartbeat of 10
 * bytes: N − 1 messages per node and interval, and as many received. Made for up
 * to some tens of nodes.
 *
 * - **Joining.** A node is a member once its link comes up, or once a member names
 *   it. At link-up both ends tell each other all they know, and whoever meets a
 *   newcomer before it was told of it announces it to its other members. A node vouches only for
 *   those that it has heard itself.
 * - **Failure.** A member that is silent for `timeout` has failed; that is noticed
 *   at most two intervals later. One whose link ended and that then cannot be
 *   dialled at the addresses it told has failed at once: its program is gone; one
 *   that told none, if it does not dial again within 500 ms. Each
 *   node judges for itself; accusations are not spread.
 * - **Own pauses.** When this node's own timer comes more than an interval late,
 *   everybody is given that much longer, and nobody is accused.
 * - **Coming back.** A failed node is back when it makes itself heard, or when it
 *   tells a higher incarnation. Others vouching for it at the same incarnation
 *   count only after a quarantine: two timeouts, doubled up to 10 minutes for each
 *   time in a row that it failed without having been heard. Whoever vouched
 *   meanwhile is asked again then, so that a healed partition becomes one cluster.
 *   A node that left returns only under a higher incarnation. The last 1,024 gone
 *   nodes are remembered, for 10 minutes after their quarantine.
 * - **Restarts.** A higher epoch ({@linkcode epochOf}) replaces the member: `leave`
 *   with reason `restarted`, then `join`. A higher counter is an `update`, told if
 *   addresses or metadata differ. Lower incarnations are ignored, but a node that
 *   links up under an earlier epoch is told the later one. A member that is heard
 *   speaks for itself: when others tell more recent news of it, it is asked.
 * - **Wrong news of this node.** News of it under a higher incarnation is refuted.
 *   News of an incarnation more than an hour ahead of the latest clock among this
 *   node and its neighbours is dropped, whomever it is about.
 * - **Lost news** is made good by an exchange with a random member every 30 s.
 *
 * What it refuses is in `counters`: `malformed`, `unknown` (message types and
 * versions), `stranger` (news from a node that is no member), `stale` (older
 * than known), `implausible` (too far ahead), `full` (no room for another member),
 * `forgotten` (gone nodes forgotten early), `unsent` (no way to a member).
 *
 * @example Quick detection in a small cluster
 * ```ts
 * import { heartbeat } from "@devts/routing/heartbeat";
 * import type { MembershipFactory } from "@devts/routing";
 *
 * const membership: MembershipFactory = heartbeat({ interval: 200, timeout: 1000 });
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function heartbeat(options: HeartbeatOptions = {}): MembershipFactory {
  const { interval = 1000, timeout = 5000, maxMembers = 10_000 } = options;
  if (!(interval > 0)) {
    throw new RangeError(
      `Cannot send heartbeats every ${interval} ms: it must be above 0`,
    );
  }
  if (!(timeout >= 2 * interval)) {
    throw new RangeError(
      `Cannot use a timeout of ${timeout} ms: it must be at least two intervals of ${interval} ms`,
    );
  }
  if (!Number.isSafeInteger(maxMembers) || maxMembers < 1) {
    throw new RangeError(
      `Cannot hold ${maxMembers} members: it must be an integer from 1 on`,
    );
  }
  return (context) => new Heartbeat(context, interval, timeout, maxMembers);
}

/** A member, and what this node knows of its life. */
interface Entry {
  peer: Peer;
  /** Heard since the last tick. */
  heard: boolean;
  /** When it was last heard, rounded up to the tick after; for one never heard, when it joined. */
  heardAt: number;
  /** Ever heard under this epoch: this node may vouch for it. */
  met: boolean;
  /** Its link ended and has not come up since. */
  down: boolean;
  /** Cancels the wait for its return. */
  cancel: () => void;
  /** Its link is up, and came up under this epoch. */
  linked: boolean;
  /** How often in a row it was believed alive on the word of others, and failed. */
  strikes: number;
  /** When it was last answered with all this node knows. */
  answeredAt: number;
}

/** A node that is gone. */
interface Grave {
  readonly peer: Peer;
  readonly reason: "left" | "failed";
  readonly strikes: number;
  /** Until then others cannot vouch for it. */
  readonly quarantine: number;
  /** Who did meanwhile: worth asking again. */
  voucher: NodeId | null;
}

/** Who says so: the node's own link or message, or the id of a third node. */
type Source = { readonly by: "link" | "itself" } | {
  readonly by: "other";
  readonly id: NodeId;
};

const BY_LINK: Source = { by: "link" };
const BY_ITSELF: Source = { by: "itself" };

class Heartbeat implements SiftingMembership, Counted {
  readonly #context: MembershipContext;
  readonly #interval: number;
  readonly #timeout: number;
  readonly #maxMembers: number;
  readonly #entries = new IdMap<Entry>();
  readonly #graves = new IdMap<Grave>();
  readonly #epochs: Epochs;
  /** When the next tick is due. */
  #due = 0;
  #cancelTick: () => void = nothing;
  #cancelSync: () => void = nothing;
  #started = false;
  #closed = false;
  readonly members = new IdMap<Peer>();
  readonly counters = {
    malformed: 0,
    unknown: 0,
    stranger: 0,
    stale: 0,
    implausible: 0,
    full: 0,
    forgotten: 0,
    unsent: 0,
  };

  constructor(
    context: MembershipContext,
    interval: number,
    timeout: number,
    maxMembers: number,
  ) {
    this.#context = context;
    this.#interval = interval;
    this.#timeout = timeout;
    this.#maxMembers = maxMembers;
    this.#epochs = new Epochs(context);
  }

  receive(from: NodeId, message: Uint8Array): void {
    if (this.#closed || from === this.#context.self.id) return;
    this.heard(from);
    try {
      this.#read(from, message);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.counters.malformed++;
    }
  }

  sift(from: NodeId, message: Uint8Array): Uint8Array | null {
    return orNull(() => sift(from, message));
  }

  heard(from: NodeId): void {
    const entry = this.#entries.get(from);
    if (entry !== undefined) entry.heard = true;
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    if (event.type === "up") return this.#up(event.peer);
    const entry = this.#entries.get(event.id);
    if (entry === undefined) return;
    if (event.type === "down") {
      entry.down = true;
      entry.linked = false;
      this.#awaitReturn(entry);
      return;
    }
    // A node that never told where to dial it is not gone because dialling fails.
    if (entry.down && entry.peer.addresses.length > 0) this.#fail(entry);
  }

  /** A node that cannot be dialled comes back by itself, soon, or not at all. */
  #awaitReturn(entry: Entry): void {
    entry.cancel();
    if (entry.peer.addresses.length > 0) return;
    entry.cancel = this.#context.clock.after(RETURN_TIMEOUT, () => {
      if (entry.down) this.#fail(entry);
    });
  }

  update(): void {
    for (const id of this.#entries.keys()) this.#tell(id, [this.#context.self]);
  }

  leave(): void {
    if (this.#closed) return;
    const message = start(LEFT).u53(this.#context.self.incarnation).take();
    for (const id of this.#entries.keys()) this.#send(id, message);
    this.#closed = true;
    this.#cancelTick();
    this.#cancelSync();
    for (const entry of this.#entries.values()) entry.cancel();
  }

  // Messages in

  #read(from: NodeId, message: Uint8Array): void {
    if (message.length > MAX_MESSAGE) {
      throw new MalformedError("A message is too long");
    }
    const reader = new Reader(message);
    const version = reader.u8();
    const type = reader.u8();
    if (version !== VERSION) this.counters.unknown++;
    else if (type === BEAT) this.#readBeat(from, reader);
    else if (type === NEWS) this.#readNews(from, reader);
    else if (type === LEFT) this.#readLeft(from, reader);
    else this.counters.unknown++;
  }

  #readBeat(from: NodeId, reader: Reader): void {
    const incarnation = reader.u53();
    reader.end();
    const known = this.#entries.get(from)?.peer;
    if (known !== undefined) {
      if (incarnation > known.incarnation) this.#ask(from);
      return;
    }
    const grave = this.#graves.get(from);
    if (grave?.reason === "left" && incarnation <= grave.peer.incarnation) {
      return;
    }
    if (grave?.peer.incarnation === incarnation) {
      if (this.#learn(grave.peer, BY_ITSELF)) this.#greet(grave.peer);
    } else this.#ask(from);
  }

  #readNews(from: NodeId, reader: Reader): void {
    const flags = reader.u8();
    const peers: Peer[] = [];
    while (!reader.done) peers.push(readPeer(reader));
    // What it says of itself comes first: only a member is believed about others.
    for (const peer of peers) {
      if (peer.id === from && this.#believe(peer, BY_ITSELF)) this.#greet(peer);
    }
    for (const peer of peers) if (peer.id !== from) this.#hearsay(from, peer);
    if ((flags & ANSWER) !== 0) this.#answer(from);
  }

  #readLeft(from: NodeId, reader: Reader): void {
    const incarnation = reader.u53();
    reader.end();
    const entry = this.#entries.get(from);
    if (entry === undefined) return;
    if (incarnation < entry.peer.incarnation) this.counters.stale++;
    else this.#remove(entry, "left");
  }

  #hearsay(from: NodeId, peer: Peer): void {
    if (!this.#entries.has(from)) this.counters.stranger++;
    else if (this.#context.believes?.(from) === false) this.counters.stranger++;
    else this.#believe(peer, { by: "other", id: from });
  }

  /** Checks what a message tells of a node; true if it came to be a member thereby. */
  #believe(peer: Peer, source: Source): boolean {
    const own = this.#context.self;
    if (peer.id === own.id && peer.incarnation <= own.incarnation) return false;
    if (!this.#isPlausible(peer.incarnation)) {
      this.counters.implausible++;
      return false;
    }
    if (peer.id !== own.id) return this.#learn(peer, source);
    this.#context.refute(peer.incarnation);
    return false;
  }

  #isPlausible(incarnation: number): boolean {
    return incarnation < MAX_INCARNATION &&
      this.#epochs.isPlausible(epochOf(incarnation));
  }

  // The table of members

  #up(peer: Peer): void {
    if (peer.id === this.#context.self.id) return;
    this.#start();
    this.#epochs.linked(peer.incarnation);
    const isNew = this.#learn(peer, BY_LINK);
    const entry = this.#entries.get(peer.id);
    if (entry === undefined) return;
    entry.heard = true;
    entry.down = false;
    entry.cancel();
    entry.linked =
      epochOf(peer.incarnation) === epochOf(entry.peer.incarnation);
    if (isNew) this.#greet(entry.peer);
    else this.#tell(peer.id, this.#vouched());
  }

  /** Takes up what is told of a node; true if it came to be a member thereby. */
  #learn(peer: Peer, source: Source): boolean {
    const entry = this.#entries.get(peer.id);
    if (entry === undefined) return this.#admit(peer, source);
    const known = entry.peer;
    if (peer.incarnation < known.incarnation) {
      this.#contradict(peer, known, source);
      return false;
    }
    if (
      source.by === "other" && isHeard(entry) &&
      peer.incarnation > known.incarnation
    ) {
      this.#ask(peer.id);
      return false;
    }
    // A restart ends the link, so over a living one a later epoch is a refutation.
    const isRestart = epochOf(peer.incarnation) > epochOf(known.incarnation) &&
      !(source.by === "itself" && entry.linked);
    if (isRestart) {
      this.#remove(entry, "restarted");
      return this.#admit(peer, source);
    }
    this.#refresh(entry, peer, source);
    return false;
  }

  #refresh(entry: Entry, peer: Peer, source: Source): void {
    if (peer.incarnation === entry.peer.incarnation) {
      // At the same incarnation only the node itself knows better than what was
      // told of it before, and its link better than its messages.
      if (source.by === "other" || (source.by === "itself" && entry.met)) {
        return;
      }
    }
    if (source.by !== "other") entry.met = true;
    const changed = !sameContent(entry.peer, peer);
    entry.peer = peer;
    this.members.set(peer.id, peer);
    if (changed) this.#context.changed({ type: "update", member: peer });
  }

  #admit(peer: Peer, source: Source): boolean {
    const grave = this.#graves.get(peer.id);
    if (grave !== undefined && !this.#mayReturn(peer, grave, source)) {
      return false;
    }
    if (this.#entries.size >= this.#maxMembers) {
      this.counters.full++;
      return false;
    }
    this.#graves.delete(peer.id);
    const isDirect = source.by !== "other";
    const latest =
      grave !== undefined && grave.peer.incarnation > peer.incarnation
        ? grave.peer
        : peer;
    this.#entries.set(peer.id, {
      peer: latest,
      heard: isDirect,
      heardAt: this.#context.clock.now(),
      met: isDirect,
      down: false,
      linked: false,
      cancel: nothing,
      strikes: grave?.strikes ?? 0,
      answeredAt: -Infinity,
    });
    this.members.set(peer.id, latest);
    this.#context.changed({ type: "join", member: latest });
    return true;
  }

  #mayReturn(peer: Peer, grave: Grave, source: Source): boolean {
    const known = grave.peer;
    if (peer.incarnation > known.incarnation) return true;
    if (
      peer.incarnation < known.incarnation && !isSameLife(peer, known, source)
    ) {
      this.#contradict(peer, known, source);
      return false;
    }
    if (grave.reason === "left") return false;
    if (source.by !== "other") return true;
    if (this.#context.clock.now() >= grave.quarantine) return true;
    grave.voucher = source.id;
    return false;
  }

  /** A node that came under an earlier epoch learns of the later one, and refutes it. */
  #contradict(peer: Peer, known: Peer, source: Source): void {
    if (isSameLife(peer, known, source)) return;
    this.counters.stale++;
    if (source.by === "link") this.#tell(peer.id, [known]);
  }

  #fail(entry: Entry): void {
    if (!entry.met && !entry.heard) entry.strikes++;
    else entry.strikes = 0;
    this.#remove(entry, "failed");
  }

  #remove(entry: Entry, reason: LeaveReason): void {
    const { peer } = entry;
    entry.cancel();
    this.#entries.delete(peer.id);
    this.members.delete(peer.id);
    if (reason !== "restarted") this.#bury(peer, reason, entry.strikes);
    this.#context.changed({ type: "leave", member: peer, reason });
  }

  #bury(peer: Peer, reason: "left" | "failed", strikes: number): void {
    const length = Math.min(GRAVE_LIFE, 2 * this.#timeout * 2 ** strikes);
    const quarantine = this.#context.clock.now() + length;
    this.#graves.set(peer.id, {
      peer,
      reason,
      strikes,
      quarantine,
      voucher: null,
    });
    if (dropOldest(this.#graves, MAX_GRAVES)) this.counters.forgotten++;
  }

  // Timers

  /** A node that nobody has met needs no timers. */
  #start(): void {
    if (this.#started) return;
    this.#started = true;
    // Nodes that start together do not beat together.
    this.#planTick(this.#interval * this.#context.random());
    this.#planSync();
  }

  #planTick(delay: number): void {
    this.#due = this.#context.clock.now() + delay;
    this.#cancelTick = this.#context.clock.after(delay, () => this.#tick());
  }

  #tick(): void {
    const now = this.#context.clock.now();
    const late = now - this.#due;
    const grace = late > this.#interval ? late : 0;
    this.#planTick(this.#interval);
    const beat = start(BEAT).u53(this.#context.self.incarnation).take();
    for (const [id, entry] of this.#entries) {
      this.#judge(entry, now, grace);
      if (this.#entries.has(id)) this.#send(id, beat);
    }
    this.#tend(now);
  }

  #judge(entry: Entry, now: number, grace: number): void {
    if (entry.heard) {
      entry.heard = false;
      entry.met = true;
      entry.heardAt = now;
      return;
    }
    entry.heardAt += grace;
    if (grace === 0 && now - entry.heardAt >= this.#timeout) this.#fail(entry);
  }

  /** Asks again about nodes whose quarantine is over, and forgets the long gone. */
  #tend(now: number): void {
    const asked = new Set<NodeId>();
    for (const [id, grave] of this.#graves) {
      if (now < grave.quarantine) continue;
      if (grave.voucher !== null) asked.add(grave.voucher);
      grave.voucher = null;
      if (now >= grave.quarantine + GRAVE_LIFE) this.#graves.delete(id);
    }
    for (const id of asked) this.#ask(id);
  }

  #planSync(): void {
    const delay = SYNC_INTERVAL * (0.8 + 0.4 * this.#context.random());
    this.#cancelSync = this.#context.clock.after(delay, () => {
      this.#planSync();
      const partner = this.#anyone();
      if (partner !== null) this.#tell(partner, this.#vouched(), ANSWER);
    });
  }

  #anyone(): NodeId | null {
    let left = Math.floor(this.#context.random() * this.#entries.size);
    for (const id of this.#entries.keys()) if (left-- === 0) return id;
    return null;
  }

  // Messages out

  /** This node and the members it has heard itself. */
  *#vouched(): Generator<Peer> {
    yield this.#context.self;
    for (const { peer, met, heard } of this.#entries.values()) {
      if (met || heard) yield peer;
    }
  }

  /** Tells a newcomer of the others, and the others of it. */
  #greet(peer: Peer): void {
    this.#tell(peer.id, this.#vouched());
    for (const id of this.#entries.keys()) {
      if (id !== peer.id) this.#tell(id, [peer]);
    }
  }

  #ask(id: NodeId): void {
    this.#tell(id, [this.#context.self], ANSWER);
  }

  /** Answers at most once an interval: an answer is far longer than the question. */
  #answer(id: NodeId): void {
    const entry = this.#entries.get(id);
    const now = this.#context.clock.now();
    if (entry === undefined || now - entry.answeredAt < this.#interval) return;
    entry.answeredAt = now;
    this.#tell(id, this.#vouched());
  }

  /** Tells a node of others, in as many messages as it takes; `flags` go with each. */
  #tell(to: NodeId, peers: Iterable<Peer>, flags = 0): void {
    const mayTell = (address: string) => this.#context.mayTell(to, address);
    let writer = start(NEWS).u8(flags);
    for (const peer of peers) {
      if (writer.length + MAX_RECORD > MAX_MESSAGE) {
        this.#send(to, writer.take());
        writer = start(NEWS).u8(flags);
      }
      writePeer(writer, peer, mayTell);
    }
    this.#send(to, writer.take());
  }

  #send(to: NodeId, message: Uint8Array): void {
    if (this.#closed) return;
    if (!this.#context.send(to, message)) this.counters.unsent++;
  }
}

/** Takes out of a message what its sender tells of others; null: nothing is left. */
function sift(from: NodeId, message: Uint8Array): Uint8Array | null {
  const reader = new Reader(message);
  const version = reader.u8();
  const type = reader.u8();
  if (version !== VERSION || message.length > MAX_MESSAGE) return null;
  if (type === BEAT || type === LEFT) return message;
  if (type !== NEWS) return null;
  const sifted = start(NEWS).u8(reader.u8());
  while (!reader.done) {
    const peer = readPeer(reader);
    if (peer.id === from) writePeer(sifted, peer, () => true);
  }
  return sifted.take();
}

function start(type: number): Writer {
  return new Writer().u8(VERSION).u8(type);
}

/** Whether a member speaks for itself, so that others need not. */
function isHeard(entry: Entry): boolean {
  return (entry.met || entry.heard) && !entry.down;
}

/** The order of two messages of the same run, or of its link and its news, is not certain. */
function isSameLife(peer: Peer, known: Peer, source: Source): boolean {
  return source.by !== "other" &&
    epochOf(peer.incarnation) === epochOf(known.incarnation);
}

function nothing(): void {}
