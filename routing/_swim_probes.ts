import type { Entry } from "./_swim_roster.ts";
import type { Health } from "./_swim_health.ts";
import type { Clock, NodeId } from "./types.ts";

/** Helpers that are asked to reach a node that does not answer. */
const HELPERS = 3;
/** A helper tries for this part of the timeout, so that its answer comes in time. */
const HELP_PART = 0.8;
/** Probes under way, those in turn aside. */
const MAX_HINTS = 64;
/** Errands for others, to one node and in all. */
const MAX_ERRANDS = 8;
const MAX_ALL_ERRANDS = 256;
/** A living program whose link broke has dialled again by then, in ms. */
const RETURN_TIME = 250;

/** What a helper found: a sign of life. */
export const REACHED = 0;
/** None. */
export const SILENT = 1;
/** Its own link to the node ended and could not be dialled again, or the node is gone. */
export const LOST = 2;
/** It has no way to the node. */
export const HELPLESS = 3;

/** What probes ask of the membership, and tell it. */
export interface ProbesOwner {
  /** No node is known but this one and the one that is probed. */
  isAlone(): boolean;
  /** Sends a ping. False: no way. */
  ping(entry: Entry): boolean;
  /** Offers helpers for a member, until so many were taken. */
  helpers(entry: Entry, count: number, take: (helper: Entry) => boolean): void;
  /** Asks a helper to reach a member. False: no way. */
  ask(helper: Entry, probe: Probe): boolean;
  /** Tells whoever sent this node on an errand. */
  report(errand: Errand, outcome: number): void;
  /** A member gave no sign of life, neither to this node nor to its helpers. */
  missed(probe: Probe): void;
  /** A member is gone: its link ended, it cannot be dialled, and no helper disagrees. */
  lost(entry: Entry): void;
}

/** When probes are over. */
export interface ProbeTimes {
  /** Milliseconds between two probes, while this node is well. */
  readonly interval: number;
  /** Milliseconds without an answer after which helpers are asked. */
  readonly timeout: number;
}

/** An attempt to find out whether a member lives. */
export class Probe {
  readonly entry: Entry;
  readonly number: number;
  /** It came in turn, and so tells this node how well it does itself. */
  isTurn: boolean;
  /** When helpers are asked. */
  helpAt: number;
  /** When it is over. */
  readonly endsAt: number;
  /** When the next step is due. */
  dueAt = 0;
  /** This node was not awake all the time: that nothing is heard proves nothing. */
  isVoid = false;
  /** There is a way that needs no help. */
  isDirect = false;
  isHelped = false;
  /** Helpers that were asked, and those of them that have not answered. */
  helpers = 0;
  readonly pending = new Set<Entry>();
  /** Those who found no sign of life, and how many of them lost their links. */
  readonly witnesses: NodeId[] = [];
  lost = 0;
  cancel: () => void = nothing;

  constructor(
    entry: Entry,
    number: number,
    isTurn: boolean,
    helpAt: number,
    endsAt: number,
  ) {
    this.entry = entry;
    this.number = number;
    this.isTurn = isTurn;
    this.helpAt = helpAt;
    this.endsAt = endsAt;
  }
}

/** An attempt on behalf of another node. */
export interface Errand {
  readonly entry: Entry;
  /** Who asked, and under which number. */
  readonly for: NodeId;
  readonly number: number;
  /** The incarnation under which whoever asked knows the member. */
  readonly known: number;
  cancel: () => void;
}

/**
 * Finds out whether members live: by a ping, and where nothing is heard, by helpers who
 * try too. Any message of the member is a sign of life.
 */
export class Probes {
  readonly #owner: ProbesOwner;
  readonly #clock: Clock;
  readonly #health: Health;
  readonly #times: ProbeTimes;
  readonly #probes = new Map<number, Probe>();
  readonly #errands = new Set<Errand>();
  #number = 0;

  constructor(
    owner: ProbesOwner,
    clock: Clock,
    health: Health,
    times: ProbeTimes,
  ) {
    this.#owner = owner;
    this.#clock = clock;
    this.#health = health;
    this.#times = times;
  }

  /** Probes a member, unless that is under way: in its turn, or because of a hint. */
  start(entry: Entry, isTurn: boolean): void {
    if (entry.probe !== null) {
      entry.probe.isTurn ||= isTurn;
      return;
    }
    if (!isTurn && this.#probes.size >= MAX_HINTS) return;
    const { interval, timeout } = this.#times;
    const now = this.#clock.now();
    this.#number = (this.#number + 1) % 2 ** 32;
    const probe = new Probe(
      entry,
      this.#number,
      isTurn,
      now + timeout,
      now + Math.max(2 * timeout, interval * (this.#health.score + 1)),
    );
    entry.probe = probe;
    this.#probes.set(probe.number, probe);
    probe.isDirect = this.#owner.ping(entry);
    if (!probe.isDirect) probe.helpAt = now;
    this.#step(probe);
  }

  /** A member made itself heard. */
  heard(entry: Entry): void {
    this.#succeed(entry);
    this.#report(entry, REACHED);
  }

  /** A helper answered; returns whom it reached. */
  answered(helper: Entry, number: number, outcome: number): Entry | null {
    const probe = this.#probes.get(number);
    if (probe === undefined || !probe.pending.delete(helper)) return null;
    if (outcome === REACHED) {
      probe.entry.via = helper;
      this.#succeed(probe.entry);
      return probe.entry;
    }
    if (outcome !== HELPLESS) probe.witnesses.push(helper.id);
    if (outcome === LOST) probe.lost++;
    this.#step(probe);
    return null;
  }

  /** Tries to reach a member for another node; false: there is too much to do. */
  errand(
    entry: Entry,
    to: NodeId,
    number: number,
    known: number,
  ): boolean {
    const { errands } = entry;
    const isFull = errands.length >= MAX_ERRANDS ||
      this.#errands.size >= MAX_ALL_ERRANDS;
    if (isFull) return false;
    const errand = { entry, for: to, number, known, cancel: nothing };
    const isSent = entry.link !== "lost" && this.#owner.ping(entry);
    if (entry.link === "lost") this.#owner.report(errand, LOST);
    // Where the link ended, it is about to come up, or to be lost.
    else if (isSent || entry.link === "down") this.#wait(errand, isSent);
    else this.#owner.report(errand, HELPLESS);
    return true;
  }

  /** The link to a member ended, and then it could not be dialled. */
  linkLost(entry: Entry): void {
    this.#report(entry, LOST);
    if (entry.probe === null) this.start(entry, false);
    else this.#step(entry.probe);
  }

  /** This node was not awake: what is under way proves nothing. */
  excuse(): void {
    for (const probe of this.#probes.values()) probe.isVoid = true;
  }

  /** A member is gone. */
  forget(entry: Entry): void {
    if (entry.probe !== null) this.#end(entry.probe);
    this.#report(entry, LOST);
  }

  /** Ends everything. */
  close(): void {
    for (const probe of this.#probes.values()) this.#end(probe);
    for (const errand of this.#errands) errand.cancel();
    this.#errands.clear();
  }

  /** Does what the time has come for, and plans the next step. */
  #step(probe: Probe, now = this.#clock.now()): void {
    probe.cancel();
    if (!probe.isHelped && now >= probe.helpAt) this.#askHelpers(probe);
    if (probe.entry.probe !== probe) return;
    if (this.#isLost(probe, now)) return this.#owner.lost(probe.entry);
    if (now >= probe.endsAt) return this.#fail(probe);
    probe.dueAt = nextStep(probe, now, this.#times.timeout);
    probe.cancel = this.#clock.after(probe.dueAt - now, () => {
      if (this.#health.isLate(probe.dueAt)) this.excuse();
      // Never before its time, lest rounding plans it again and again.
      this.#step(probe, Math.max(probe.dueAt, this.#clock.now()));
    });
  }

  #askHelpers(probe: Probe): void {
    const { entry } = probe;
    probe.isHelped = true;
    probe.helpAt = this.#clock.now();
    if (probe.isDirect) this.#owner.ping(entry);
    this.#owner.helpers(entry, HELPERS, (helper) => {
      if (!this.#owner.ask(helper, probe)) return false;
      probe.helpers++;
      probe.pending.add(helper);
      return true;
    });
  }

  #isLost(probe: Probe, now: number): boolean {
    const { entry, helpers, pending, witnesses, lost, isVoid } = probe;
    if (entry.link !== "lost" || now < entry.downAt + RETURN_TIME) return false;
    if (helpers === 0) return probe.isHelped && this.#owner.isAlone();
    const isAnswered = pending.size === 0 ||
      (!isVoid && now >= probe.helpAt + this.#times.timeout);
    return isAnswered && lost > 0 && lost === witnesses.length;
  }

  #succeed(entry: Entry): void {
    const { probe } = entry;
    if (probe === null) return;
    this.#end(probe);
    if (probe.isTurn) this.#health.note(-1);
  }

  #fail(probe: Probe): void {
    this.#end(probe);
    if (probe.isVoid) return;
    // Where helpers answered, the fault is not with this node.
    if (probe.isTurn) {
      this.#health.note(probe.helpers > 0 ? probe.pending.size : 1);
    }
    this.#owner.missed(probe);
  }

  #end(probe: Probe): void {
    probe.cancel();
    probe.entry.probe = null;
    this.#probes.delete(probe.number);
  }

  #wait(errand: Errand, isSent: boolean): void {
    const { entry } = errand;
    entry.errands.push(errand);
    this.#errands.add(errand);
    const wait = HELP_PART * this.#times.timeout;
    const dueAt = this.#clock.now() + wait;
    errand.cancel = this.#clock.after(wait, () => {
      this.#errands.delete(errand);
      entry.errands.splice(entry.errands.indexOf(errand), 1);
      // What this node slept through proves nothing, so it says nothing.
      if (this.#health.isLate(dueAt)) return this.excuse();
      this.#owner.report(errand, isSent ? SILENT : HELPLESS);
    });
  }

  #report(entry: Entry, outcome: number): void {
    for (const errand of entry.errands.splice(0)) {
      errand.cancel();
      this.#errands.delete(errand);
      this.#owner.report(errand, outcome);
    }
  }
}

function nextStep(probe: Probe, now: number, timeout: number): number {
  const { entry, helpAt, endsAt, isHelped } = probe;
  const times = [endsAt];
  times.push(isHelped ? helpAt + timeout : helpAt);
  if (entry.link === "lost") times.push(entry.downAt + RETURN_TIME);
  return Math.min(...times.filter((time) => time > now));
}

function nothing(): void {}
