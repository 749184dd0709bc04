import type { Clock, NodeId } from "@devts/routing";
import {
  ALL,
  CHANGE,
  DIGEST,
  type InterestMessage,
  keyOf,
  PING,
  PONG,
  readInterest,
  type Subscription,
  type Version,
  WANT,
  writeAll,
  writeChange,
  writeDigest,
  writePing,
  writeWant,
} from "./interest_codec.ts";
import { GROUPS_OF_ONE, InterestTable } from "./interest_table.ts";
import { Latencies } from "./latencies.ts";

/** The first and the longest pause between two digests, in ms; ± 10 %. */
const FIRST_DIGEST = 1_000;
const LAST_DIGEST = 30_000;
/** A node is not told the same more often than this, in ms. */
const TELL_INTERVAL = 100;
/** The first and the longest pause between two questions to those who do not answer, in ms; ± 10 %. */
const FIRST_QUESTION = 200;
const LAST_QUESTION = 30_000;
/** Nodes that are asked at a time. */
const ASKED_AT_ONCE = 32;
/** Pieces of one message. */
const MAX_PIECES = 1_024;

/** What the interest needs of its node. */
export interface InterestOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  readonly random: () => number;
  /** How many names and patterns a node may handle, once for each group. */
  readonly limit: number;
  /** The incarnation of this node. */
  incarnation(): number;
  /** The nodes there is a way to. */
  nodes(): ReadonlySet<NodeId>;
  /** Sends in the control lane; must not throw. */
  send(to: readonly NodeId[] | "all", payload: Uint8Array): void;
  /** Who handles what has changed. */
  changed(): void;
  /** Where it counts what was more than may be. */
  readonly met: { subscriptions: number };
}

/** What is known of another node. */
interface Known {
  readonly incarnation: number;
  readonly run: number;
  sequence: number;
}

/** A message of which not all pieces have come. */
interface Pieces {
  readonly version: Version;
  readonly count: number;
  readonly got: Set<number>;
  readonly subscriptions: Subscription[];
}

/**
 * Tells the others which names this node handles, and knows what they do.
 *
 * A node tells all of it to each node that it meets, and to all what changes, at
 * once. What is lost on the way is repaired: a digest of a few bytes says how far the
 * node is, one second after the last change, and then after twice as long each time,
 * up to every 30 s; whoever is behind asks for all until it has it. What a node tells is
 * ordered by its incarnation and, within one start, by a sequence.
 */
export class Interest {
  /** Rises with every change of who handles what. */
  version = 0;
  /** Who handles what, this node included. */
  readonly table = new InterestTable();
  /** How long the others take to answer. */
  readonly latencies: Latencies;
  readonly #options: InterestOptions;
  readonly #run: number;
  readonly #own = new Map<string, Subscription & { count: number }>();
  #sequence = 0;
  /** What the others were told last. */
  #told = new Map<string, Subscription>();
  #telling = false;
  readonly #known = new Map<NodeId, Known>();
  readonly #pieces = new Map<NodeId, Pieces>();
  /** When nodes were told all, and how far that was. */
  readonly #toldTo = new Map<NodeId, { at: number; sequence: number }>();
  /** Nodes that are behind here, and were asked. */
  readonly #asked = new Set<NodeId>();
  #question = FIRST_QUESTION;
  #cancelQuestion: (() => void) | null = null;
  #pause = FIRST_DIGEST;
  #cancel: (() => void) | null = null;
  #closed = false;
  /** The others are not told of names that begin with these. */
  readonly #withdrawn = new Set<string>();
  readonly #announce = (): void => this.#tellChange();

  constructor(options: InterestOptions) {
    this.#options = options;
    this.#run = Math.floor(options.random() * 2 ** 32);
    this.table.set(options.id, []);
    this.latencies = new Latencies({
      clock: options.clock,
      send: (to, number) => options.send([to], writePing(PING, number)),
    });
  }

  /** Whether it is known what a node handles. */
  knows(id: NodeId): boolean {
    return this.table.has(id);
  }

  // -- This node --

  /**
   * This node handles a name or a pattern; once more, where it does already.
   *
   * @throws {RangeError} If it is in a group, and as many as may be are known already, or
   * as many groups of that name.
   */
  add(subscription: Subscription): void {
    const key = keyOf(subscription);
    const known = this.#own.get(key);
    if (known) {
      known.count++;
      return;
    }
    const { id, limit } = this.#options;
    if (subscription.group !== null && this.#own.size >= limit) {
      throw new RangeError(
        `Cannot handle "${subscription.name}" in group "${subscription.group.name}": this node handles ${limit} names already`,
      );
    }
    if (subscription.group !== null) {
      this.#assertFewGroups(subscription.name, subscription.group.name);
    }
    this.#own.set(key, { ...subscription, count: 1 });
    if (this.#isWithdrawn(subscription.name)) return;
    this.table.add(id, subscription);
    this.#changedOwn();
  }

  #assertFewGroups(name: string, group: string): void {
    let groups = 0;
    for (const own of this.#own.values()) {
      if (own.name === name && own.group !== null) groups++;
    }
    if (groups < GROUPS_OF_ONE) return;
    throw new RangeError(
      `Cannot handle "${name}" in group "${group}": this node does so in ${groups} groups already`,
    );
  }

  /**
   * From now on, the others are told that this node handles nothing of a name that begins
   * with a prefix; until that is disposed.
   */
  withdraw(prefix: string): Disposable {
    this.#withdrawn.add(prefix);
    const { id } = this.#options;
    for (const one of this.#own.values()) {
      if (one.name.startsWith(prefix)) this.table.remove(id, one);
    }
    this.#changed();
    this.#tellChange();
    return { [Symbol.dispose]: (): void => this.#restore(prefix) };
  }

  #restore(prefix: string): void {
    this.#withdrawn.delete(prefix);
    for (const one of this.#own.values()) {
      if (this.#isWithdrawn(one.name)) continue;
      if (one.name.startsWith(prefix)) this.table.add(this.#options.id, one);
    }
    this.#changedOwn();
  }

  #isWithdrawn(name: string): boolean {
    for (const prefix of this.#withdrawn) {
      if (name.startsWith(prefix)) return true;
    }
    return false;
  }

  /** It does so once less. */
  remove(subscription: Subscription): void {
    const key = keyOf(subscription);
    const known = this.#own.get(key);
    if (!known || --known.count > 0) return;
    this.#own.delete(key);
    this.table.remove(this.#options.id, subscription);
    this.#changedOwn();
  }

  #changedOwn(): void {
    this.#changed();
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(this.#announce);
  }

  /** What the others are told: of too many names, that it handles all. */
  #toTell(): Map<string, Subscription> {
    const own = [...this.#own.values()]
      .filter(({ name }) => !this.#isWithdrawn(name))
      .map(({ name, group }): Subscription => ({ name, group }));
    if (own.length <= this.#options.limit) {
      return new Map(own.map((one) => [keyOf(one), one]));
    }
    const everything: Subscription = { name: ">", group: null };
    const groups = own.filter(({ group }) => group !== null);
    return new Map(
      [everything, ...groups].map((one) => [keyOf(one), one]),
    );
  }

  #tellChange(): void {
    this.#telling = false;
    const before = this.#told;
    const now = this.#toTell();
    const added = [...now].filter(([key]) => !before.has(key));
    const removed = [...before].filter(([key]) => !now.has(key));
    if (added.length === 0 && removed.length === 0) return;
    const since = this.#sequence++;
    this.#told = now;
    if (this.#closed || this.#options.nodes().size === 0) return;
    const change = writeChange(
      this.#version,
      since,
      added.map(([, one]) => one),
      removed.map(([, one]) => one),
    );
    for (const message of change ? [change] : this.#all()) {
      this.#options.send("all", message);
    }
    this.#hurry();
  }

  get #version(): Version {
    return {
      incarnation: this.#options.incarnation(),
      run: this.#run,
      sequence: this.#sequence,
    };
  }

  #all(): Uint8Array[] {
    return writeAll(this.#version, this.#told.values());
  }

  // -- The others --

  /** There is a way to a node: it is told all. */
  met(id: NodeId): void {
    if (this.#closed) return;
    if (this.#telling) this.#tellChange();
    this.#tellAll(id);
    // What it told may have come before there was a way to it.
    if (!this.knows(id)) this.#askLater(id);
    this.#hurry();
  }

  /**
   * A node is gone: forgets what it told up to an incarnation. Where there is a way to it
   * all the same, it has restarted, or was taken for dead: it is asked.
   */
  gone(id: NodeId, incarnation: number): void {
    this.#toldTo.delete(id);
    const known = this.#known.get(id);
    if (known && known.incarnation > incarnation) return;
    this.#forget(id);
    if (!this.#closed && this.#options.nodes().has(id)) this.#askLater(id);
  }

  #forget(id: NodeId): void {
    this.#pieces.delete(id);
    this.#asked.delete(id);
    this.#toldTo.delete(id);
    this.latencies.forget(id);
    if (!this.#known.delete(id)) return;
    this.table.delete(id);
    this.#changed();
  }

  #tellAll(id: NodeId): void {
    const at = this.#options.clock.now();
    this.#toldTo.set(id, { at, sequence: this.#sequence });
    for (const message of this.#all()) this.#options.send([id], message);
  }

  /**
   * Takes a message of a node that is in the cluster.
   *
   * @throws {SyntaxError} If it is malformed.
   */
  receive(from: NodeId, payload: Uint8Array): void {
    if (this.#closed || from === this.#options.id) return;
    const message = readInterest(payload);
    if (message !== null) this.#take(from, message);
  }

  #take(from: NodeId, message: InterestMessage): void {
    switch (message.type) {
      case ALL:
        return this.#takeAll(from, message);
      case CHANGE:
        return this.#takeChange(from, message);
      case DIGEST:
        if (this.#isBehind(from, message.version)) this.#want(from);
        return;
      case WANT:
        return this.#answer(from);
      case PING:
        return this.#options.send([from], writePing(PONG, message.number));
      case PONG:
        return this.latencies.answered(from, message.number);
    }
  }

  #takeAll(
    from: NodeId,
    { version, index, count, added }: InterestMessage & { type: typeof ALL },
  ): void {
    if (!this.#isBehind(from, version)) return;
    if (count > MAX_PIECES) {
      this.#options.met.subscriptions++;
      return;
    }
    let pieces = this.#pieces.get(from);
    const isSame = pieces !== undefined && pieces.count === count &&
      pieces.version.run === version.run &&
      pieces.version.sequence === version.sequence;
    if (pieces === undefined || !isSame) {
      pieces = { version, count, got: new Set(), subscriptions: [] };
    }
    if (pieces.got.has(index)) return;
    pieces.got.add(index);
    this.#collect(pieces.subscriptions, added);
    if (pieces.got.size < count) {
      this.#pieces.set(from, pieces);
      return;
    }
    this.#pieces.delete(from);
    this.#learn(from, version, pieces.subscriptions);
  }

  /** One more than may be shows that there are too many. */
  #collect(all: Subscription[], added: readonly Subscription[]): void {
    const room = this.#options.limit + 1 - all.length;
    for (const one of added.slice(0, Math.max(0, room))) all.push(one);
  }

  #learn(
    from: NodeId,
    version: Version,
    subscriptions: readonly Subscription[],
  ): void {
    this.#asked.delete(from);
    this.#known.set(from, { ...version });
    this.table.set(from, subscriptions);
    this.#bound(from);
    this.#changed();
  }

  #takeChange(
    from: NodeId,
    { version, since, added, removed }: InterestMessage & {
      type: typeof CHANGE;
    },
  ): void {
    if (!this.#isBehind(from, version)) return;
    const known = this.#known.get(from);
    if (known?.run !== version.run || known.sequence !== since) {
      return this.#want(from);
    }
    this.#known.set(from, { ...version });
    for (const one of removed) this.table.remove(from, one);
    const room = this.#options.limit + 1 - this.table.size(from);
    for (const one of added.slice(0, Math.max(0, room))) {
      this.table.add(from, one);
    }
    this.#bound(from);
    this.#changed();
  }

  /** Whoever handles more than may be remembered gets everything. */
  #bound(id: NodeId): void {
    const { limit } = this.#options;
    if (this.table.size(id) <= limit) return;
    this.#options.met.subscriptions++;
    this.table.set(id, [{ name: ">", group: null }]);
  }

  /** Whether a version is newer than what is known of a node. */
  #isBehind(from: NodeId, { run, incarnation, sequence }: Version): boolean {
    const known = this.#known.get(from);
    if (known === undefined) return true;
    return known.run === run
      ? known.sequence < sequence
      : known.incarnation < incarnation;
  }

  /** Asks a node for all, again and again until it answers. */
  #want(from: NodeId): void {
    this.#options.send([from], writeWant());
    this.#askLater(from);
  }

  #askLater(id: NodeId): void {
    this.#asked.add(id);
    this.#question = FIRST_QUESTION;
    this.#cancelQuestion ??= this.#planQuestion();
  }

  #planQuestion(): () => void {
    const { clock, random } = this.#options;
    const delay = this.#question * (0.9 + 0.2 * random());
    return clock.after(delay, () => this.#askAgain());
  }

  #askAgain(): void {
    this.#cancelQuestion = null;
    const nodes = this.#options.nodes();
    let asked = 0;
    for (const id of [...this.#asked]) {
      if (!nodes.has(id)) this.#asked.delete(id);
      else if (asked++ < ASKED_AT_ONCE) {
        this.#options.send([id], writeWant());
        // The others have their turn next time.
        this.#asked.delete(id);
        this.#asked.add(id);
      }
    }
    if (this.#asked.size === 0) return;
    this.#question = Math.min(LAST_QUESTION, 2 * this.#question);
    this.#cancelQuestion = this.#planQuestion();
  }

  #answer(from: NodeId): void {
    const told = this.#toldTo.get(from);
    const now = this.#options.clock.now();
    const isSame = told?.sequence === this.#sequence;
    if (isSame && now - told.at < TELL_INTERVAL) return;
    this.#tellAll(from);
  }

  #changed(): void {
    this.version++;
    this.#options.changed();
  }

  // -- Repair --

  /** Something new is on its way: digests follow soon. */
  #hurry(): void {
    if (this.#closed) return;
    this.#pause = FIRST_DIGEST;
    this.#cancel?.();
    this.#plan();
  }

  #plan(): void {
    const { clock, random } = this.#options;
    const delay = this.#pause * (0.9 + 0.2 * random());
    this.#cancel = clock.after(delay, () => this.#tick());
  }

  #tick(): void {
    this.#cancel = null;
    const nodes = this.#options.nodes();
    for (const id of [...this.#known.keys(), ...this.#toldTo.keys()]) {
      if (!nodes.has(id)) this.#forget(id);
    }
    // Without any, it goes on: they may be there again and nobody has seen them go.
    if (nodes.size > 0) this.#options.send("all", writeDigest(this.#version));
    for (const id of nodes) {
      if (!this.knows(id) && !this.#asked.has(id)) this.#want(id);
    }
    this.#pause = Math.min(LAST_DIGEST, 2 * this.#pause);
    this.#plan();
  }

  /** Ends its timers. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancelQuestion?.();
    this.latencies.close();
  }
}
