/**
 * The membership in which every node probes one other at a time: SWIM with the
 * refinements of Lifeguard.
 *
 * ```ts
 * import { peerRouter } from "@devts/routing/peer";
 * import { swim } from "@devts/routing/swim";
 * import { VirtualNetwork } from "@devts/routing/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new VirtualNetwork();
 * const options = { router: peerRouter(), membership: swim() };
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

import { MalformedError, orNull, Reader } from "./_bytes.ts";
import { readId } from "./_peer_codec.ts";
import { type BeliefLimits, Beliefs } from "./_swim_beliefs.ts";
import { Candidates } from "./_swim_candidates.ts";
import {
  ACK,
  ANSWER,
  ASK,
  Item,
  LEFT,
  MAX_MESSAGE,
  MORE,
  NEWS,
  type News,
  PAGE,
  PING,
  readNews,
  siftMessage,
  VERSION,
} from "./_swim_codec.ts";
import { exchangeScale } from "./_swim_formulas.ts";
import { Gossip } from "./_swim_gossip.ts";
import { Graves } from "./_swim_graves.ts";
import { Health } from "./_swim_health.ts";
import { Post, SETTLED, type View, WANTED } from "./_swim_post.ts";
import { HELPLESS, LOST, Probes, REACHED } from "./_swim_probes.ts";
import { digestOf, type Entry, Roster } from "./_swim_roster.ts";
import type { DoubtingMembership } from "./explain.ts";
import type {
  Counted,
  LinkEvent,
  MembershipContext,
  MembershipFactory,
  NodeId,
  Peer,
  SiftingMembership,
  WaryMembership,
} from "./types.ts";

/** Options of {@linkcode swim}. */
export interface SwimOptions {
  /**
   * Milliseconds between two probes of this node, each of another member; above 0. 5000
   * suits a wide-area network.
   *
   * @default {1000}
   */
  readonly interval?: number;
  /**
   * Milliseconds without an answer after which others are asked to try; above 0, and at
   * most the interval. Longer than a round trip: 3000 suits a wide-area network.
   *
   * @default {500}
   */
  readonly timeout?: number;
  /**
   * How long a suspect may refute: at least so many intervals, times the decimal
   * logarithm of the number of nodes, from ten on, and times three for two nodes; at
   * least 1. More means fewer living nodes that are given up, and a later notice of
   * those who died in silence.
   *
   * @default {4}
   */
  readonly suspicion?: number;
  /**
   * How many other nodes are known at most, 1 or more; what is beyond is refused and
   * counted.
   *
   * @default {10000}
   */
  readonly maxMembers?: number;
}

/** Members that news is sent to at a time, and the time between two times, in ms. */
const FANOUT = 3;
const GOSSIP_INTERVAL = 200;
/** What comes within this time, in ms, is told together; and at most so often. */
const GOSSIP_DELAY = 20;
const GOSSIP_PAUSE = 100;
/** Time between two exchanges with a random member, in ms; ± 20 %. */
const EXCHANGE_INTERVAL = 30_000;
/** Time without a change, in ms, after which two views should be the same. */
const SETTLING_TIME = 1_000;
/** Time between two exchanges with newcomers, in ms. */
const GREETING_PAUSE = 1_000;
/** Bounds of the time between two repairs of views that differ, in ms. */
const MIN_REPAIR = 1_000;
const MAX_REPAIR = 30_000;
/** A node that has told all it knows to another does not tell it again for so long, in ms. */
const TOLD_TIME = 400;
/** A member is sent a page so often, in ms, and so far ahead of that. */
const PAGE_TIME = 10;
const PAGES_AHEAD = 1_000;
/** How often a node asks for what it was not told. */
const TRIES = 5;
/** Nodes that are no members any more, or not yet, of which news is told. */
const MAX_STRANGERS_TOLD = 1024;
/** Members by the word of others only. */
const MAX_VOUCHED = 256;
/** How long a node that cannot be dialled may take to dial again, in ms. */
const RETURN_TIMEOUT = 500;

/**
 * Makes memberships in which every node probes one other at a time: SWIM (Das, Gupta,
 * Motivala, 2002) with the refinements of Lifeguard (Dadgar, Phillips, Currey, 2018).
 * About two messages of some 20 bytes per node and second, for any number of nodes, and
 * 8 sends per node for each piece of news among 50; members are held in full. Works over
 * every router: where two nodes have no link, probes travel by the router, and by helpers.
 *
 * - **Probes.** Each interval another member is pinged, all in turn. Any message of it is
 *   a sign of life. After `timeout` without one, three others are asked to try, and say
 *   so when they fail too.
 * - **Suspicion.** A member that nobody reached by the end of the interval is a suspect,
 *   and everybody is told, itself first. It refutes by a higher incarnation. The more
 *   accuse it, the sooner it is given up: 4 s at the earliest up to 10 nodes, 6.8 s with
 *   50; 24 s and 41 s where only one does. Of those whom one node names, one counts.
 *   Helpers that failed count as accusers. Of two nodes neither can ask a third, so
 *   there it takes 12 s. A suspect is asked a last time, and one that is heard is not
 *   given up.
 * - **Nobody dies of hearsay.** A member that others gave up, or say has left, must fail
 *   to answer this node and its helpers as well, or have been a suspect here for long.
 * - **Broken links.** A link that ends is a reason to probe at once. A member whose link
 *   ended and that then cannot be dialled has failed, 250 ms after the end at the
 *   earliest, if helpers say the same of theirs, or there are none: its program was
 *   killed. As long as one of them has a sign of life, it is a member.
 * - **Nobody lives of hearsay.** Whom a member tells of is a candidate, in `candidates`,
 *   until there is a way to it: by the router, or by a link, which takes a dial at which
 *   the node of that id answers. One that cannot be reached becomes a member once three
 *   members tell of it, fewer where this node has fewer; up to 256 are members by that.
 *   Others are told of nobody that this node has no way to, and addresses of a member are
 *   believed to nobody but itself. One member can fill 256 places of 1024, and have five
 *   dials a second made in vain, 16 at once; where places run out, it is who told of the
 *   most that loses one. Members that were never heard have a turn of their own for
 *   probes, so that made-up ones delay nothing.
 * - **Local health.** A node whose helpers do not answer, that is suspected, or whose
 *   timers come late probes up to eight times less often. What it missed while it was
 *   not awake (a timer more than half a timeout late) is held against nobody.
 * - **News** travels with every message, and every 200 ms to three random members,
 *   `4 * ceil(log10(n + 1))` times from each node. Pings carry a digest of all that is
 *   known: two nodes whose digests differ though nothing is new exchange everything, in
 *   pages of 16 KiB; so do new neighbours, and random pairs every 30 s (less often above
 *   32 nodes).
 * - **The gone** are remembered: those that left for 10 minutes, those that failed for a
 *   day. Who tells that one of them lives, under no higher incarnation, is told of the
 *   accusation and passes it on, so that the node refutes. One that failed is dialled
 *   again, after 5 s to a minute (more among more than 16 nodes), so that healed
 *   partitions become one cluster.
 * - **Restarts.** A higher epoch ({@linkcode epochOf}) replaces the member: `leave` with
 *   reason `restarted`, then `join`. While its link is open and it answers, only itself is
 *   believed about that. A higher counter is an `update`, told if addresses or metadata differ.
 * - **Wrong news.** News of an incarnation more than an hour ahead of the latest clock
 *   among this node and its neighbours, or of one more than 1024 changes ahead of what is
 *   known, is dropped. Members are trusted otherwise: what one tells of another member is
 *   believed until that one refutes.
 *
 * What it refuses is in `counters`: `malformed`, `unknown` (message types and versions),
 * `stranger` (from a node that is no member), `stale` (older than known), `implausible`
 * (too far ahead), `contradicted` (of a node whose own link says otherwise), `full` (no
 * room for another member), `crowded` (no room for another candidate), `forgotten` (gone
 * nodes and news forgotten early), `hasty` (accused again right after a refutation),
 * `busy` (asked for more than it does at a time), `unsent` (no way to a node); and
 * `refuted` counts accusations of this node.
 *
 * @example A cluster over a wide-area network
 * ```ts
 * import { swim } from "@devts/routing/swim";
 * import type { MembershipFactory } from "@devts/routing";
 *
 * const membership: MembershipFactory = swim({
 *   interval: 5000,
 *   timeout: 3000,
 *   suspicion: 6,
 * });
 * ```
 *
 * @throws {RangeError} If an option is out of its range.
 */
export function swim(options: SwimOptions = {}): MembershipFactory {
  const { interval = 1000, timeout = 500, suspicion = 4, maxMembers = 10_000 } =
    options;
  if (!(interval > 0 && interval < Infinity)) {
    throw new RangeError(
      `Cannot probe every ${interval} ms: it must be a number above 0`,
    );
  }
  if (!(timeout > 0 && timeout <= interval)) {
    throw new RangeError(
      `Cannot use a timeout of ${timeout} ms: it must be above 0 and at most the interval of ${interval} ms`,
    );
  }
  if (!(suspicion >= 1 && suspicion < Infinity)) {
    throw new RangeError(
      `Cannot suspect for ${suspicion} intervals: it must be a number from 1 on`,
    );
  }
  if (!Number.isSafeInteger(maxMembers) || maxMembers < 1) {
    throw new RangeError(
      `Cannot hold ${maxMembers} members: it must be an integer from 1 on`,
    );
  }
  const limits = { interval, timeout, multiplier: suspicion, maxMembers };
  return (context) => new Swim(context, limits);
}

/** The options, as the parts want them. */
interface Limits extends BeliefLimits {
  readonly timeout: number;
}

class Swim
  implements DoubtingMembership, SiftingMembership, WaryMembership, Counted {
  readonly #context: MembershipContext;
  readonly #limits: Limits;
  readonly #roster: Roster;
  readonly #graves: Graves;
  readonly #gossip: Gossip;
  readonly #post: Post;
  readonly #health: Health;
  readonly #probes: Probes;
  readonly #beliefs: Beliefs;
  readonly #candidates: Candidates;
  #cancelTick: () => void = nothing;
  #cancelGossip: () => void = nothing;
  #cancelExchange: () => void = nothing;
  /** When news goes out next, Infinity if there is none, and when it last did. */
  #gossipAt = Infinity;
  #gossipedAt = -Infinity;
  /** When views that differ may be repaired again, and how long not after that. */
  #repairAt = 0;
  #repairPause = MIN_REPAIR;
  /** When a newcomer is asked for all it knows, whoever came before. */
  #greetAt = 0;
  /** Ticks until the next probe. */
  #rest = 0;
  /** Who was asked for all it knows, and how often it is asked again. */
  #asked: Entry | null = null;
  #tries = 0;
  #ownDigest = { incarnation: -1, digest: 0 };
  #started = false;
  /** Somebody told this node all. */
  #isInformed = false;
  #closed = false;
  readonly counters = {
    malformed: 0,
    unknown: 0,
    stranger: 0,
    stale: 0,
    implausible: 0,
    contradicted: 0,
    full: 0,
    crowded: 0,
    forgotten: 0,
    refuted: 0,
    hasty: 0,
    busy: 0,
    unsent: 0,
  };

  constructor(context: MembershipContext, limits: Limits) {
    const { clock, random } = context;
    this.#context = context;
    this.#limits = limits;
    this.#roster = new Roster(random);
    this.#graves = new Graves(random, limits.maxMembers);
    this.#gossip = new Gossip(
      limits.maxMembers + MAX_STRANGERS_TOLD,
      () => this.#spread(),
    );
    this.#post = new Post(context, this.#roster, this.#gossip, this.counters);
    this.#health = new Health(clock, limits.timeout / 2);
    this.#probes = new Probes(
      {
        isAlone: () => this.#roster.company === 1,
        ping: (entry) => this.#ping(entry),
        helpers: (entry, count, take) => this.#helpers(entry, count, take),
        ask: (helper, { number, entry: { id, peer } }) =>
          this.#post.ask(helper.id, number, id, peer.incarnation),
        report: ({ for: to, number, entry, known }, outcome) => {
          const isNews = outcome === REACHED && entry.peer.incarnation > known;
          this.#post.answer(to, number, outcome, isNews ? entry.item : null);
        },
        missed: (probe) => this.#beliefs.missed(probe),
        lost: (entry) => this.#beliefs.fail(entry),
      },
      clock,
      this.#health,
      limits,
    );
    const { meet } = context;
    this.#candidates = new Candidates(
      {
        reaches: (id) => context.reaches?.(id) === true,
        meet: meet ? (peer) => meet.call(context, peer) : null,
        self: () => context.self,
        tellers: () =>
          this.#roster.heardOf((id) => context.believes?.(id) ?? true),
        hasRoom: () => this.#roster.vouched < MAX_VOUCHED,
        confirmed: (peer, isQuiet, vouchers) =>
          this.#beliefs.confirmed(peer, isQuiet, vouchers),
      },
      clock,
      random,
      this.counters,
    );
    this.#beliefs = new Beliefs(
      {
        context,
        roster: this.#roster,
        graves: this.#graves,
        gossip: this.#gossip,
        post: this.#post,
        probes: this.#probes,
        health: this.#health,
        candidates: this.#candidates,
      },
      limits,
      this.counters,
    );
  }

  get members(): ReadonlyMap<NodeId, Peer> {
    return this.#roster.members;
  }

  get candidates(): ReadonlyMap<NodeId, Peer> {
    return this.#candidates.peers;
  }

  doubts(id: NodeId): boolean {
    const entry = this.#roster.get(id);
    return entry !== undefined && (entry.suspicion !== null || entry.leaving);
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
    return orNull(() => siftMessage(from, message));
  }

  heard(from: NodeId): void {
    const entry = this.#roster.get(from);
    if (entry === undefined || this.#closed) return;
    if (!entry.isHeard) this.#roster.hear(entry);
    if (entry.link === "lost") entry.link = "down";
    if (entry.probe !== null || entry.errands.length > 0) {
      this.#probes.heard(entry);
    }
    const { suspicion, leaving, successor } = entry;
    if (suspicion !== null || leaving || successor !== null) {
      this.#beliefs.heard(entry);
    }
  }

  link(event: LinkEvent): void {
    if (this.#closed) return;
    if (event.type === "up") this.#up(event.peer);
    else {
      if (event.type === "unreachable") this.#candidates.unreachable(event.id);
      const entry = this.#roster.get(event.id);
      if (entry === undefined) return;
      if (event.type === "down") this.#down(entry);
      else this.#unreachable(entry);
    }
  }

  update(): void {
    if (!this.#closed) this.#beliefs.announce();
  }

  leave(): void {
    if (this.#closed) return;
    const { id, incarnation } = this.#context.self;
    const goodbye = [new Item({ kind: LEFT, id, incarnation })];
    for (const entry of this.#roster.values()) {
      this.#post.items(entry.id, goodbye);
    }
    this.#closed = true;
    this.#cancelTick();
    this.#cancelGossip();
    this.#cancelExchange();
    this.#probes.close();
    this.#candidates.close();
    for (const { suspicion, cancel } of this.#roster.values()) {
      suspicion?.cancel();
      cancel();
    }
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
    else if (type === PING) this.#readPing(from, reader);
    else if (type === ACK) this.#readAck(from, reader);
    else if (type === ASK) this.#readAsk(from, reader);
    else if (type === ANSWER) this.#readAnswer(from, reader);
    else if (type === NEWS) this.#readNews(from, reader);
    else if (type === PAGE) this.#readPage(from, reader);
    else if (type === MORE) this.#readMore(from, reader);
    else this.counters.unknown++;
  }

  #readPing(from: NodeId, reader: Reader): void {
    const flags = reader.u8();
    const known = reader.u53();
    const digest = reader.u32();
    this.#beliefs.take(from, this.#news(from, reader));
    const entry = this.#roster.get(from);
    if (entry !== undefined) this.#beliefs.outranked(known, entry);
    const { own } = this.#beliefs;
    const isNews = known !== own.news.incarnation;
    this.#post.ack(from, this.#view(), isNews ? own : null);
    this.#compare(from, flags, digest);
    if (entry === undefined) this.#meet(from);
  }

  #readAck(from: NodeId, reader: Reader): void {
    const flags = reader.u8();
    const digest = reader.u32();
    this.#beliefs.take(from, this.#news(from, reader));
    this.#compare(from, flags, digest);
  }

  #readAsk(from: NodeId, reader: Reader): void {
    const number = reader.u32();
    const id = readId(reader);
    const known = reader.u53();
    this.#beliefs.take(from, this.#news(from, reader));
    if (this.#roster.get(from) === undefined) {
      this.counters.stranger++;
      return;
    }
    const entry = this.#roster.get(id);
    if (entry === undefined) {
      const outcome = this.#graves.get(id) === undefined ? HELPLESS : LOST;
      this.#post.answer(from, number, outcome, null);
    } else if (!this.#probes.errand(entry, from, number, known)) {
      this.counters.busy++;
    }
  }

  #readAnswer(from: NodeId, reader: Reader): void {
    const number = reader.u32();
    const outcome = reader.u8();
    const news = this.#news(from, reader);
    if (outcome > HELPLESS) {
      throw new MalformedError(`There is no outcome ${outcome}`);
    }
    this.#beliefs.take(from, news);
    const helper = this.#roster.get(from);
    if (helper === undefined || this.#context.believes?.(from) === false) {
      return;
    }
    const reached = this.#probes.answered(helper, number, outcome);
    if (reached !== null) this.#beliefs.heard(reached);
  }

  #readNews(from: NodeId, reader: Reader): void {
    this.#beliefs.take(from, this.#news(from, reader));
  }

  #readPage(from: NodeId, reader: Reader): void {
    const flags = reader.u8();
    const next = reader.u53();
    const news = this.#news(from, reader);
    // To a newcomer everybody is new, and it is new to everybody.
    this.#beliefs.take(from, news, this.#roster.company <= 1);
    const entry = this.#roster.get(from);
    if (entry === undefined) return;
    this.#isInformed = true;
    if (entry === this.#asked) this.#asked = null;
    if (next > 0) this.#post.more(from, next);
    if ((flags & WANTED) !== 0) this.#tell(entry, 0);
  }

  #readMore(from: NodeId, reader: Reader): void {
    const after = reader.u53();
    reader.end();
    const entry = this.#roster.get(from);
    if (entry === undefined) {
      this.counters.stranger++;
      return;
    }
    const now = this.#context.clock.now();
    entry.pagesAt = Math.max(now, entry.pagesAt) + PAGE_TIME;
    if (entry.pagesAt <= now + PAGES_AHEAD) {
      this.#post.page(from, this.#beliefs.own, after, 0);
    } else this.counters.busy++;
  }

  #news(from: NodeId, reader: Reader): readonly News[] {
    return readNews(reader, from, this.#beliefs);
  }

  /** One that nobody knows, or who was given up, has spoken. */
  #meet(from: NodeId): void {
    const grave = this.#graves.get(from);
    if (grave === undefined) this.#post.ping(from, 0, this.#view(), null);
    else this.#beliefs.accuse(grave);
  }

  // Links

  #up(peer: Peer): void {
    if (peer.id === this.#context.self.id) return;
    this.#start();
    const isNew = this.#beliefs.linked(peer);
    this.heard(peer.id);
    const entry = this.#roster.get(peer.id);
    if (entry === undefined || !isNew) return;
    // A newcomer is told all that this node knows before anything else.
    const now = this.#context.clock.now();
    entry.greetedAt = now + SETTLING_TIME;
    // Where many come at a time, news and the comparison of views are enough.
    if (this.#isInformed && now < this.#greetAt) return;
    this.#greetAt = now + GREETING_PAUSE;
    this.#ask(entry);
  }

  #down(entry: Entry): void {
    entry.link = "down";
    entry.downAt = this.#context.clock.now();
    this.#probes.start(entry, false);
    // A node that cannot be dialled comes back by itself, soon, or not at all.
    entry.cancel();
    if (entry.peer.addresses.length > 0) return;
    entry.cancel = this.#context.clock.after(
      RETURN_TIMEOUT,
      () => this.#unreachable(entry),
    );
  }

  #unreachable(entry: Entry): void {
    if (entry.link === "down") this.#beliefs.lost(entry);
    else if (entry.link === "none") this.#probes.start(entry, false);
  }

  // Timers

  /** A node that nobody has met needs no timers. */
  #start(): void {
    if (this.#started) return;
    this.#started = true;
    // Nodes that start together do not probe together.
    this.#planTick(this.#limits.interval * this.#context.random());
    this.#planExchange();
  }

  #planTick(delay: number): void {
    const dueAt = this.#context.clock.now() + delay;
    this.#cancelTick = this.#context.clock.after(delay, () => {
      if (this.#health.isLate(dueAt)) this.#probes.excuse();
      this.#planTick(this.#limits.interval);
      this.#tick();
    });
  }

  #tick(): void {
    this.#probeNext();
    this.#askAgain();
    this.#lookForLost();
  }

  /** Probes a member; an unwell node does so in every second tick, or third, and so on. */
  #probeNext(): void {
    if (this.#rest-- > 0) return;
    this.#rest = this.#health.score;
    const entry = this.#roster.next();
    if (entry !== null) this.#probes.start(entry, true);
    const unheard = this.#roster.nextUnheard();
    if (unheard !== null) this.#probes.start(unheard, false);
  }

  #askAgain(): void {
    if (this.#asked === null) return;
    if (this.#asked.gone || this.#tries === 0) this.#asked = null;
    else {
      this.#tries--;
      this.#tell(this.#asked, WANTED);
    }
  }

  /** Tells one that was given up, if there is a way to it; otherwise dials it. */
  #lookForLost(): void {
    const now = this.#context.clock.now();
    const grave = this.#graves.due(now, this.#roster.company + 1);
    if (grave === null || this.#beliefs.accuse(grave)) return;
    this.#context.connect?.(grave.peer);
  }

  #planExchange(): void {
    const scale = exchangeScale(this.#roster.company + 1);
    const delay = EXCHANGE_INTERVAL * scale *
      (0.8 + 0.4 * this.#context.random());
    this.#cancelExchange = this.#context.clock.after(delay, () => {
      this.#planExchange();
      const partner = this.#roster.anyone();
      if (partner !== null) this.#ask(partner);
    });
  }

  /** There is news: it goes out soon. */
  #spread(): void {
    const now = this.#context.clock.now();
    const at = Math.max(now + GOSSIP_DELAY, this.#gossipedAt + GOSSIP_PAUSE);
    if (at < this.#gossipAt) this.#planGossip(at - now);
  }

  #planGossip(delay: number): void {
    const { clock } = this.#context;
    this.#cancelGossip();
    this.#gossipAt = clock.now() + delay;
    this.#cancelGossip = clock.after(delay, () => {
      this.#gossipAt = Infinity;
      if (this.#gossip.size === 0) return;
      this.#gossipedAt = clock.now();
      this.#roster.some(
        FANOUT,
        ({ id, greetedAt }) =>
          this.#gossipedAt >= greetedAt && this.#post.gossip(id),
      );
      if (this.#gossip.size > 0) this.#planGossip(GOSSIP_INTERVAL);
    });
  }

  // Probes

  #ping({ id, peer, isFirsthand, suspicion }: Entry): boolean {
    const known = isFirsthand ? peer.incarnation : 0;
    return this.#post.ping(id, known, this.#view(), suspicion?.item ?? null);
  }

  /** Whoever reached it before, then members that are not in doubt themselves. */
  #helpers(
    entry: Entry,
    count: number,
    take: (helper: Entry) => boolean,
  ): void {
    const { via } = entry;
    const isTaken = via !== null && !via.gone && take(via);
    this.#roster.some(
      isTaken ? count - 1 : count,
      (helper) =>
        helper !== entry && helper !== via && helper.suspicion === null &&
        take(helper),
    );
  }

  // Views

  #view(): View {
    const { self, clock } = this.#context;
    if (this.#ownDigest.incarnation !== self.incarnation) {
      const { incarnation } = self;
      this.#ownDigest = { incarnation, digest: digestOf(self) };
    }
    const isSettled = this.#gossip.size === 0 &&
      clock.now() >= this.#beliefs.changedAt + SETTLING_TIME;
    return {
      flags: isSettled ? SETTLED : 0,
      digest: this.#roster.digest ^ this.#ownDigest.digest,
    };
  }

  /** Where two nodes should know the same and do not, they tell each other all. */
  #compare(from: NodeId, flags: number, digest: number): void {
    const entry = this.#roster.get(from);
    const own = this.#view();
    if (entry === undefined || (flags & own.flags & SETTLED) === 0) return;
    if (digest === own.digest >>> 0) {
      this.#repairPause = MIN_REPAIR;
      return;
    }
    const now = this.#context.clock.now();
    if (now < this.#repairAt) return;
    this.#repairAt = now + this.#repairPause;
    this.#repairPause = Math.min(MAX_REPAIR, 2 * this.#repairPause);
    this.#ask(entry);
  }

  /** Tells a member all, and asks it for the same. */
  #ask(entry: Entry): void {
    this.#asked = entry;
    this.#tries = TRIES;
    this.#tell(entry, WANTED);
  }

  /** Tells a member all, unless it was told just now. */
  #tell(entry: Entry, flags: number): void {
    const now = this.#context.clock.now();
    if (flags === 0 && now < entry.toldAt + TOLD_TIME) return;
    if (this.#post.page(entry.id, this.#beliefs.own, 0, flags)) {
      entry.toldAt = now;
      entry.greetedAt = now;
    }
  }
}

function nothing(): void {}
