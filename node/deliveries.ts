import type { Clock, NodeId } from "@devts/routing";
import { writeChosen } from "./chosen.ts";
import {
  type Code,
  DeliveryWriter,
  DONE,
  FAILED,
  FORBIDDEN,
  INVALID,
  type Result,
  RUNNING,
  UNHANDLED,
  WINDOW,
} from "./delivery_wire.ts";
import { DeliveryError, type DeliveryFailure, reasonOf } from "./errors.ts";
import { joinExtras } from "./extras.ts";
import type { Choice } from "./groups.ts";
import { Fifo } from "./_fifo.ts";
import type { Topic } from "./topics.ts";
import type {
  Acks,
  DeliveryOutcome,
  MissedRecipient,
  Recipient,
} from "./types.ts";

/** How often those that wait are looked at, in ms. */
const TICK = 100;
/** After which a delivery is sent again for the first time, and the longest pause, in ms; ± 10 %. */
const FIRST_RETRY = 500;
const LAST_RETRY = 8_000;

/** Whom a call of `deliver` is for. */
export interface Addressee {
  /** One member of it; null: a node. */
  readonly group: string | null;
  /** The node; null: a group. */
  readonly node: NodeId | null;
  /** The two, as an outcome lists them. */
  readonly recipient: Recipient;
  /** What it carries for groups there. */
  readonly groups: Uint8Array | null;
  /** Whether it is unknown if the node handles the name: that it does not is no failure. */
  readonly perhaps: boolean;
}

/** Makes an addressee. */
export function addresseeOf(
  node: NodeId | null,
  group: string | null,
  groups: Uint8Array | null = null,
  perhaps = false,
): Addressee {
  const recipient = Object.freeze({ node, group });
  return { node, group, recipient, groups, perhaps };
}

/** A call of `deliver`. */
export interface Order {
  readonly topic: Topic;
  /** The data, encoded. */
  readonly bytes: Uint8Array | null;
  /** What it carries besides; null: nothing. */
  readonly extras: Uint8Array | null;
  readonly addressees: readonly Addressee[];
  readonly acks: Acks;
  readonly timeout: number;
  readonly patience: number;
  readonly signal: AbortSignal | undefined;
  /** What groups choose by. */
  readonly choice: Choice;
}

/** A call of `deliver` that failed. */
export interface FailedDelivery {
  readonly name: string;
  readonly bytes: Uint8Array | null;
  readonly error: DeliveryError;
}

/** What the deliveries need of their node. */
export interface DeliveriesOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  readonly random: () => number;
  /** How many may be unsettled, and their data in all, in bytes. */
  readonly limit: number;
  readonly maxBytes: number;
  readonly met: { deliveries: number };
  readonly counts: {
    delivered: number;
    deliveriesFailed: number;
    redelivered: number;
    lateReplies: number;
  };
  /** The incarnation of this node. */
  incarnation(): number;
  /** Whether there is a way to a node. */
  reachable(id: NodeId): boolean;
  /** Whether a node has left the cluster, though there is a way to it. */
  hasLeft(id: NodeId): boolean;
  /** Why an event is not sent to a node; null: it may. */
  objection(to: NodeId, name: string): string | null;
  /** A member of a group, this node included; null: none but those that are excepted. */
  member(name: string, group: string, choice: Choice): NodeId | null;
  /**
   * Sends an entry, whose id is the low half of its sequence; must not throw. Its extras
   * change once it returns.
   */
  send(
    to: NodeId,
    name: Uint8Array,
    id: number,
    bytes: Uint8Array | null,
    extras: Uint8Array | null,
  ): void;
  /** A call fails: called before its promise rejects. */
  failing(promise: Promise<unknown>, failed: FailedDelivery | null): void;
}

/** A node, as far as deliveries to it are concerned. */
interface Destination {
  readonly id: NodeId;
  /** The sequence of the next one. */
  next: number;
  /** All before are settled; see {@linkcode floorOf}. */
  floor: number;
  /** Forgotten: there may be another of that id. */
  dropped: boolean;
  /** Those that are not settled, by sequence. */
  readonly pending: Map<number, Part>;
  /** Those for which there is no room in the window. */
  readonly waiting: Fifo<Part>;
}

/** That a part was sent to a node. */
interface Attempt {
  readonly to: Destination;
  readonly sequence: number;
}

/** What one addressee of a call is to have. */
interface Part {
  readonly delivery: Delivery;
  readonly addressee: Addressee;
  /** The node that it is with; null: a group has no member left. */
  node: NodeId | null;
  groups: Uint8Array | null;
  /** Members that had it before the one it is with, and that may still answer. */
  earlier: Attempt[] | null;
  /** The one it is with; null: there was no room for it so far. */
  current: Attempt | null;
  /** Members that have failed. */
  failed: Map<NodeId, MissedRecipient> | null;
  /** Since when it is with that node. */
  since: number;
  retryAt: number;
  pause: number;
  /** Since when there is no way to that node; -1: there is one. */
  awaySince: number;
  result: Recipient | MissedRecipient | null;
}

/** A call that is not settled. */
interface Delivery extends PromiseWithResolvers<DeliveryOutcome> {
  readonly number: number;
  readonly order: Order;
  readonly deadline: number;
  parts: Part[];
  /** Parts that are not settled. */
  open: number;
  acknowledged: number;
  /** Whether its promise has settled. */
  told: boolean;
  release: () => void;
}

/**
 * The acknowledged deliveries of a node that are not settled: a machine without I/O.
 *
 * A call has a part for each node, and one for each group. A part is sent again, under
 * the same id, after 0.5 s, and then after twice as long each time, up to 8 s, and when its
 * node is back, until a receipt comes or the time of the call is over. A part for a group
 * goes to another member when the one that has it is gone, or cannot be reached for 0.5 s,
 * says that it failed, or takes longer than the call has patience; the first receipt settles it, whichever member sends it.
 *
 * Each node has a sequence of its own, of which at most {@linkcode WINDOW} may be
 * unsettled at a time; what is more waits its turn.
 */
export class Deliveries {
  readonly #options: DeliveriesOptions;
  /** Tells this start of the node from others. */
  readonly #run: number;
  readonly #writer: DeliveryWriter;
  readonly #deliveries = new Set<Delivery>();
  readonly #destinations = new Map<string, Destination>();
  /** Where the nodes that calls are for were found last. */
  readonly #places = new WeakMap<Addressee, Destination>();
  #number = 0;
  /** What the data of those that are not settled takes. */
  #bytes = 0;
  /** Sequences begin here: above those that nodes which are forgotten have seen. */
  #base = 0;
  #tickAt = Infinity;
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
    this.#run = Math.floor(options.random() * 2 ** 32);
    this.#writer = new DeliveryWriter(this.#run);
  }

  /** How many calls are not settled. */
  get size(): number {
    return this.#deliveries.size;
  }

  /** How many wait for a receipt of a node. */
  waiting(id: NodeId): number {
    return this.#destinations.get(`d:${id}`)?.pending.size ?? 0;
  }

  /** Whether one of a name that begins with a prefix is not settled. */
  busy(prefix: string): boolean {
    for (const { order: { topic } } of this.#deliveries) {
      if (topic.name.startsWith(prefix)) return true;
    }
    return false;
  }

  /** Takes a call. Its promise rejects where fewer acknowledge than are to. */
  deliver(order: Order): Promise<DeliveryOutcome> {
    const { limit, maxBytes, met, clock } = this.#options;
    const size = order.bytes?.length ?? 0;
    if (this.#deliveries.size >= limit || this.#bytes + size > maxBytes) {
      met.deliveries++;
      const { size: waiting } = this.#deliveries;
      return this.#refused(
        order,
        `Cannot deliver "${order.topic.name}": ${waiting} deliveries of ${this.#bytes} bytes wait already`,
      );
    }
    if (order.addressees.length === 0) {
      return this.#refused(
        order,
        `Cannot deliver "${order.topic.name}": no node is known to handle it`,
      );
    }
    const now = clock.now();
    const { promise, resolve, reject } = Promise.withResolvers<
      DeliveryOutcome
    >();
    const delivery: Delivery = {
      promise,
      resolve,
      reject,
      number: this.#number++,
      order,
      deadline: now + order.timeout,
      parts: [],
      open: order.addressees.length,
      acknowledged: 0,
      told: false,
      release: nothing,
    };
    this.#deliveries.add(delivery);
    this.#bytes += size;
    const { signal } = order;
    if (signal) {
      const abort = (): void => this.#abort(delivery, signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      delivery.release = () => signal.removeEventListener("abort", abort);
    }
    for (const addressee of order.addressees) {
      const part = newPart(delivery, addressee, now);
      delivery.parts.push(part);
    }
    for (const part of delivery.parts) this.#begin(part, now);
    this.#wakeBy(Math.min(now + TICK, delivery.deadline));
    return promise;
  }

  /** A receipt came. */
  receipt(from: NodeId, run: number, results: readonly Result[]): void {
    const destination = this.#destinations.get(`d:${from}`);
    if (run !== this.#run || destination === undefined) {
      this.#options.counts.lateReplies++;
      return;
    }
    for (const { code, first, count, text } of results) {
      const parts = partsIn(destination.pending, first, count);
      this.#options.counts.lateReplies += count - parts.length;
      for (const part of parts) this.#answered(part, from, code, text);
    }
  }

  /** A delivery was not let through, to a node or on its way there. */
  refused(to: NodeId, sequences: readonly number[], why: string): void {
    const destination = this.#destinations.get(`d:${to}`);
    for (const sequence of sequences) {
      const part = destination?.pending.get(sequence);
      if (part) this.#answered(part, to, FORBIDDEN, why);
    }
  }

  /**
   * Deliveries to a node were lost on their way, as a relay reports, by the low halves of
   * their sequences: those that were sent once so far are sent again soon.
   */
  lost(to: NodeId, ids: readonly number[]): void {
    const destination = this.#destinations.get(`d:${to}`);
    if (destination === undefined) return;
    const now = this.#options.clock.now();
    for (const id of ids) {
      // Only the lower half is known; the window says the rest.
      const sequence = destination.next - 1 -
        ((destination.next - 1 - id) >>> 0);
      const part = destination.pending.get(sequence);
      if (part && part.pause <= 2 * FIRST_RETRY) part.retryAt = now;
    }
  }

  /** A node left the cluster, was given up, or has restarted. */
  gone(id: NodeId, reason: string): void {
    const destination = this.#destinations.get(`d:${id}`);
    if (destination === undefined) return;
    const now = this.#options.clock.now();
    const { pending, waiting } = destination;
    const parts = [...pending.values()];
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      parts.push(part);
    }
    for (const part of parts) {
      if (!isWith(part, id)) continue;
      this.#bereave(part, id, reason, now);
      // It waited for room, and is to do so on.
      if (isWith(part, id) && part.current === null) {
        this.#assign(part, id, now);
      }
    }
    this.#drop(destination);
  }

  /** Gives up all: nobody may deliver any more. */
  close(): void {
    this.#closed = true;
    for (const delivery of [...this.#deliveries]) {
      this.#failAll(delivery, "closed", () => "this node was closed");
    }
    this.#cancel?.();
  }

  // -- A part --

  #begin(part: Part, now: number): void {
    const { group, node } = part.addressee;
    if (group === null) return this.#assign(part, node, now);
    const { order } = part.delivery;
    this.#assign(
      part,
      this.#options.member(order.topic.name, group, order.choice),
      now,
    );
  }

  #assign(part: Part, node: NodeId | null, now: number): void {
    part.node = node;
    if (part.current !== null) (part.earlier ??= []).push(part.current);
    part.current = null;
    part.since = now;
    part.pause = FIRST_RETRY;
    part.awaySince = -1;
    if (node === null) return;
    if (this.#options.hasLeft(node)) {
      return this.#fail(part, "left", `node "${node}" left the cluster`);
    }
    const { topic: { name } } = part.delivery.order;
    const objection = this.#options.objection(node, name);
    if (objection !== null) {
      return this.#answered(part, node, INVALID, objection);
    }
    const { group } = part.addressee;
    if (group !== null) part.groups = writeChosen([[group, node]], true);
    const destination = group === null
      ? this.#placeOf(part.addressee, node)
      : this.#destinationOf(node);
    const known = part.earlier?.find(({ to }) => to === destination);
    if (known) {
      part.earlier = part.earlier?.filter((one) => one !== known) ?? null;
      part.current = known;
    } else if (
      destination.waiting.size > 0 ||
      destination.next - floorOf(destination) >= WINDOW
    ) {
      destination.waiting.push(part);
      return;
    } else this.#admit(part, destination);
    this.#send(part, now);
  }

  #admit(part: Part, to: Destination): void {
    const sequence = to.next++;
    part.current = { to, sequence };
    to.pending.set(sequence, part);
  }

  #send(part: Part, now: number): void {
    const { current, delivery: { number, order } } = part;
    if (current === null) return;
    const { to, sequence } = current;
    part.retryAt = now + part.pause * (0.9 + 0.2 * this.#options.random());
    part.pause = Math.min(LAST_RETRY, 2 * part.pause);
    const extras = this.#writer.write(
      this.#options.incarnation(),
      sequence,
      floorOf(to),
      number,
    );
    this.#options.send(
      to.id,
      order.topic.bytes,
      sequence >>> 0,
      order.bytes,
      joinExtras(joinExtras(extras, part.groups), order.extras),
    );
  }

  #answered(part: Part, from: NodeId, code: Code, text: string): void {
    const { addressee: { group, perhaps } } = part;
    if (code === DONE) {
      return this.#settle(
        part,
        group === null ? part.addressee.recipient : { node: from, group },
      );
    }
    // It is known there: what is left to find out is whether that node lives.
    if (code === RUNNING) return;
    if (code === UNHANDLED && perhaps) return this.#retract(part);
    const missed = missedBy(from, group, code, text);
    if (group === null) return this.#settle(part, missed);
    part.failed ??= new Map();
    part.failed.set(from, missed);
    this.#release(part, from);
    if (part.node === from) this.#move(part, this.#options.clock.now());
  }

  /** The node that it is with is gone. */
  #bereave(part: Part, id: NodeId, reason: string, now: number): void {
    const { group, perhaps } = part.addressee;
    if (group !== null) this.#move(part, now);
    else if (perhaps && reason !== "restarted") this.#retract(part);
    else if (reason === "left") {
      this.#fail(part, "left", `node "${id}" left the cluster`);
    } else part.retryAt = now;
  }

  /** Another member of the group gets it, if there is one. */
  #move(part: Part, now: number): void {
    const { addressee: { group }, delivery: { order }, failed, node } = part;
    if (group === null) return;
    const tried = new Set(attemptsOf(part).map(({ to }) => to.id));
    if (node !== null) tried.add(node);
    const without = (except: Iterable<NodeId>): NodeId | null =>
      this.#options.member(order.topic.name, group, {
        ...order.choice,
        except: new Set([...failed?.keys() ?? [], ...except]),
      });
    const next = without(tried) ?? without([]);
    if (next === null && failed !== null && this.#haveAllFailed(part)) {
      const [missed] = [...failed.values()].slice(-1);
      if (missed) return this.#settle(part, missed);
    }
    if (next === node && node !== null) {
      part.since = now;
      return;
    }
    if (next !== null && part.node !== null) this.#options.counts.redelivered++;
    this.#assign(part, next, now);
  }

  /** Whether every member of its group said that it failed, and nobody else may still do it. */
  #haveAllFailed(part: Part): boolean {
    const { addressee: { group }, delivery: { order: { topic: { name } } } } =
      part;
    return attemptsOf(part).length === 0 && group !== null &&
      this.#options.member(name, group, {}) !== null;
  }

  /** Nobody waits any more for what a node says of it, or any node. */
  #release(part: Part, id?: NodeId): void {
    const { current, earlier } = part;
    if (current !== null && (id ?? current.to.id) === current.to.id) {
      part.current = null;
      this.#free(current);
    }
    if (earlier === null) return;
    part.earlier = earlier.filter(({ to }) => id !== undefined && to.id !== id);
    for (const attempt of earlier) {
      if (!part.earlier.includes(attempt)) this.#free(attempt);
    }
  }

  #free({ to, sequence }: Attempt): void {
    to.pending.delete(sequence);
    if (to.waiting.size > 0) this.#pump(to);
    else if (to.pending.size === 0 && !this.#isReachable(to.id)) this.#drop(to);
  }

  #fail(part: Part, reason: DeliveryFailure, message: string): void {
    const { node, addressee: { group } } = part;
    this.#settle(part, { node, group, reason, message });
  }

  #settle(part: Part, result: Recipient | MissedRecipient): void {
    if (part.result !== null) return;
    part.result = result;
    const { delivery } = part;
    delivery.open--;
    if (!("reason" in result)) delivery.acknowledged++;
    this.#release(part);
    this.#check(delivery);
  }

  /** Its node does not handle the name, or is gone, and was not known to. */
  #retract(part: Part): void {
    const { delivery } = part;
    part.node = null;
    delivery.parts = delivery.parts.filter((other) => other !== part);
    delivery.open--;
    this.#release(part);
    this.#check(delivery);
  }

  // -- A call --

  #check(delivery: Delivery): void {
    const { acknowledged, open, parts, order, told } = delivery;
    const needed = neededOf(order.acks, parts.length);
    if (!told && acknowledged >= needed && parts.length > 0) {
      this.#tell(delivery);
    }
    if (open > 0) return;
    if (!delivery.told) this.#tellFailed(delivery, needed);
    delivery.release();
    this.#deliveries.delete(delivery);
    this.#bytes -= order.bytes?.length ?? 0;
  }

  #tell(delivery: Delivery): void {
    delivery.told = true;
    this.#options.counts.delivered++;
    delivery.resolve(outcomeOf(delivery));
  }

  #tellFailed(delivery: Delivery, needed: number): void {
    delivery.told = true;
    const { promise, order: { topic: { name }, bytes } } = delivery;
    const outcome = outcomeOf(delivery);
    const error = new DeliveryError(
      failureText(name, needed, outcome),
      outcome,
    );
    this.#options.counts.deliveriesFailed++;
    this.#options.failing(promise, { name, bytes, error });
    delivery.reject(error);
  }

  #refused(
    { topic: { name }, bytes }: Order,
    message: string,
  ): Promise<DeliveryOutcome> {
    const outcome = { acknowledged: [], missing: [] };
    const error = new DeliveryError(message, outcome);
    const promise = Promise.reject(error);
    this.#options.counts.deliveriesFailed++;
    this.#options.failing(promise, { name, bytes, error });
    return promise;
  }

  #abort(delivery: Delivery, reason: unknown): void {
    if (!delivery.told) {
      delivery.told = true;
      this.#options.counts.deliveriesFailed++;
      this.#options.failing(delivery.promise, null);
      delivery.reject(reason);
    }
    this.#failAll(
      delivery,
      "aborted",
      () => `its signal aborted: ${reasonOf(reason)}`,
    );
  }

  #failAll(
    delivery: Delivery,
    reason: DeliveryFailure,
    message: (part: Part) => string,
  ): void {
    for (const part of delivery.parts) {
      if (part.result === null) this.#fail(part, reason, message(part));
    }
  }

  // -- Time --

  #wakeBy(time: number): void {
    if (time >= this.#tickAt || this.#closed) return;
    const { clock } = this.#options;
    this.#cancel?.();
    this.#tickAt = time;
    this.#cancel = clock.after(
      Math.max(0, time - clock.now()),
      () => this.#tick(),
    );
  }

  #tick(): void {
    this.#tickAt = Infinity;
    this.#cancel = null;
    const now = this.#options.clock.now();
    let next = now + TICK;
    for (const delivery of this.#deliveries) {
      if (delivery.deadline <= now) this.#expire(delivery);
      else {
        next = Math.min(next, delivery.deadline);
        for (const part of delivery.parts) {
          if (part.result === null) this.#look(part, now);
        }
      }
    }
    if (this.#deliveries.size > 0) this.#wakeBy(next);
  }

  #expire(delivery: Delivery): void {
    for (const part of delivery.parts) {
      if (part.result === null) this.#giveUp(part);
    }
  }

  #giveUp(part: Part): void {
    const { node, failed } = part;
    if (node !== null && this.#isReachable(node)) {
      const message = `no receipt of node "${node}" came in the time given`;
      return this.#fail(part, "timeout", message);
    }
    const [last] = [...failed?.values() ?? []].slice(-1);
    if (attemptsOf(part).length === 0 && last) return this.#settle(part, last);
    const message = node === null
      ? "the group had no member left"
      : `there is no way to node "${node}"`;
    this.#fail(part, "unreachable", message);
  }

  #look(part: Part, now: number): void {
    const { node, addressee: { group }, delivery: { order } } = part;
    if (group !== null && now - part.since >= order.patience) {
      return this.#move(part, now);
    }
    if (node === null) return this.#move(part, now);
    if (!this.#isReachable(node)) {
      if (part.awaySince < 0) part.awaySince = now;
      const isLong = now - part.awaySince >= FIRST_RETRY;
      if (group !== null && isLong) this.#move(part, now);
      return;
    }
    const isBack = part.awaySince >= 0;
    part.awaySince = -1;
    if (part.current === null || !isBack && now < part.retryAt) return;
    this.#options.counts.redelivered++;
    this.#send(part, now);
  }

  #isReachable(id: NodeId): boolean {
    return id === this.#options.id || this.#options.reachable(id);
  }

  // -- Destinations --

  #placeOf(addressee: Addressee, id: NodeId): Destination {
    const known = this.#places.get(addressee);
    if (known?.dropped === false) return known;
    const destination = this.#destinationOf(id);
    this.#places.set(addressee, destination);
    return destination;
  }

  #destinationOf(id: NodeId): Destination {
    const key = `d:${id}`;
    let destination = this.#destinations.get(key);
    if (destination) return destination;
    destination = {
      id,
      next: this.#base,
      floor: this.#base,
      dropped: false,
      pending: new Map(),
      waiting: new Fifo(),
    };
    this.#destinations.set(key, destination);
    return destination;
  }

  /** There may be room in the window of a node for what waits. */
  #pump(destination: Destination): void {
    const { waiting } = destination;
    while (
      waiting.size > 0 &&
      destination.next - floorOf(destination) < WINDOW
    ) {
      const part = waiting.shift();
      if (part === undefined || !isWith(part, destination.id)) continue;
      if (part.current !== null) continue;
      this.#admit(part, destination);
      this.#send(part, this.#options.clock.now());
    }
  }

  /** Forgets a node to which there is nothing more. */
  #drop(destination: Destination): void {
    const { id, next, pending, waiting, dropped } = destination;
    if (dropped || pending.size + waiting.size > 0) return;
    destination.dropped = true;
    this.#base = Math.max(this.#base, next);
    this.#destinations.delete(`d:${id}`);
  }
}

function newPart(delivery: Delivery, addressee: Addressee, now: number): Part {
  return {
    delivery,
    addressee,
    node: null,
    groups: addressee.groups,
    earlier: null,
    current: null,
    failed: null,
    since: now,
    retryAt: now,
    pause: FIRST_RETRY,
    awaySince: -1,
    result: null,
  };
}

/** Whether a part that is not settled is with a node. */
function isWith({ node, result }: Part, id: NodeId): boolean {
  return node === id && result === null;
}

/** The parts of so many sequences in a row: looks at no more than there are. */
function partsIn(
  pending: ReadonlyMap<number, Part>,
  first: number,
  count: number,
): readonly Part[] {
  const parts: Part[] = [];
  if (count > pending.size) {
    for (const [sequence, part] of pending) {
      if (sequence >= first && sequence < first + count) parts.push(part);
    }
    return parts;
  }
  for (let sequence = first; sequence < first + count; sequence++) {
    const part = pending.get(sequence);
    if (part) parts.push(part);
  }
  return parts;
}

/** Whom a part was sent to, and who may still answer. */
function attemptsOf({ current, earlier }: Part): readonly Attempt[] {
  const others = earlier ?? [];
  return current === null ? others : [...others, current];
}

/** The first that is not settled. */
function floorOf(destination: Destination): number {
  const { next, pending } = destination;
  while (destination.floor < next && !pending.has(destination.floor)) {
    destination.floor++;
  }
  return destination.floor;
}

function neededOf(acks: Acks, parts: number): number {
  if (acks === "all") return parts;
  return acks === "quorum" ? Math.floor(parts / 2) + 1 : acks;
}

function missedBy(
  node: NodeId,
  group: string | null,
  code: Code,
  text: string,
): MissedRecipient {
  const [reason, what] = reasonFor(code);
  const message = `node "${node}" ${what}${text === "" ? "" : `: ${text}`}`;
  return { node, group, reason, message };
}

function reasonFor(code: Code): readonly [DeliveryFailure, string] {
  if (code === UNHANDLED) return ["unhandled", "does not handle it"];
  if (code === FAILED) return ["handler", "failed to handle it"];
  if (code === INVALID) return ["invalid", "does not take it"];
  return ["forbidden", "is not let have it"];
}

function outcomeOf({ parts }: Delivery): DeliveryOutcome {
  const acknowledged: Recipient[] = [];
  const missing: MissedRecipient[] = [];
  for (const { result, node, addressee: { group } } of parts) {
    if (result === null) {
      const message = "no receipt has come so far";
      missing.push({ node, group, reason: "pending", message });
    } else if ("reason" in result) missing.push(result);
    else acknowledged.push(result);
  }
  return { acknowledged, missing };
}

function failureText(
  name: string,
  needed: number,
  { acknowledged, missing }: DeliveryOutcome,
): string {
  const reasons = missing.slice(0, 3).map(({ message }) => message).join("; ");
  const more = missing.length > 3 ? `; and ${missing.length - 3} more` : "";
  return `Delivery of "${name}" was acknowledged by ${acknowledged.length}, and ${needed} were to: ${
    reasons || "there is nobody else"
  }${more}`;
}

function nothing(): void {}
