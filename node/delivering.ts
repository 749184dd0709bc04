import type { Clock, NodeId } from "@devts/routing";
import { isAcks } from "./acks.ts";
import type { Audiences, Route } from "./audiences.ts";
import { DELIVERY, RECEIPT } from "./bundle.ts";
import { fits, writeChosen } from "./chosen.ts";
import {
  type Addressee,
  addresseeOf,
  Deliveries,
  type FailedDelivery,
} from "./deliveries.ts";
import {
  type DeliveryId,
  FORBIDDEN,
  readReceipt,
  writeEcho,
} from "./delivery_wire.ts";
import type { Interest } from "./interest.ts";
import type { Group } from "./interest_table.ts";
import type { MetLimits } from "./limits.ts";
import type { Outbound, Target } from "./outbound.ts";
import { Receipts } from "./receipts.ts";
import type { Topic } from "./topics.ts";
import type { Acks, DeliverOptions, DeliveryOutcome } from "./types.ts";

const TIMEOUT = 30_000;
const PATIENCE = 10_000;
/** What a delivery carries beside its data, in bytes, with room for the longest group. */
const EXTRAS = 512;

/** What delivering is made with. */
export interface DeliveringOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits: {
    readonly deliveries: number;
    readonly origins: number;
    readonly outboxTotal: number;
  };
  readonly met: MetLimits;
  readonly counts: {
    delivered: number;
    deliveriesFailed: number;
    redelivered: number;
    duplicates: number;
    lateReplies: number;
  };
  readonly outbound: Outbound;
  readonly audiences: Audiences;
  readonly interest: Interest;
  incarnation(): number;
  /** The nodes there is a way to. */
  nodes(): ReadonlySet<NodeId>;
  /** Why an event is not sent to a node; null: it may. */
  objection(to: NodeId, name: string): string | null;
  /** Where entries for a node go; null: there is no way any more. */
  target(to: NodeId): Target | null;
  /** This node waits for a receipt of a node. */
  asked(to: NodeId): void;
  /** A call fails: called before its promise rejects. */
  failing(promise: Promise<unknown>, failed: FailedDelivery | null): void;
}

/** Acknowledged deliveries of a node, and to it. */
export class Delivering {
  /** What it knows of deliveries to this node. */
  readonly receipts: Receipts;
  readonly #options: DeliveringOptions;
  readonly #deliveries: Deliveries;
  readonly #addressees = new WeakMap<Route, readonly Addressee[]>();
  /** Nodes of which an echo is awaited. Only `drain` asks, once, so it needs no bound. */
  readonly #echoes = new Map<
    number,
    { readonly waiting: Set<NodeId>; readonly resolve: () => void }
  >();
  #nextEcho = 0;

  constructor(options: DeliveringOptions) {
    const { id, clock, random, limits, met, counts } = options;
    this.#options = options;
    this.receipts = new Receipts({
      limit: limits.origins,
      met,
      counts,
      send: (to, run, receipt) => this.#sendReceipt(to, run, receipt),
    });
    this.#deliveries = new Deliveries({
      id,
      clock,
      random,
      limit: limits.deliveries,
      maxBytes: limits.outboxTotal,
      met,
      counts,
      incarnation: () => options.incarnation(),
      reachable: (node) => options.nodes().has(node),
      hasLeft: (node) => options.audiences.hasLeft(node),
      objection: (node, name) => options.objection(node, name),
      member: (name, group, choice) =>
        options.audiences.member(name, group, choice),
      send: (to, name, id, bytes, extras) => {
        const target = options.target(to);
        if (target === null) return;
        options.outbound.addBytes(target, DELIVERY, name, id, bytes, extras);
        options.asked(to);
      },
      failing: (promise, failed) => options.failing(promise, failed),
    });
  }

  /** How many calls are not settled. */
  get size(): number {
    return this.#deliveries.size;
  }

  /** How many wait for a receipt of a node. */
  waiting(id: NodeId): number {
    return this.#deliveries.waiting(id);
  }

  /** Whether one of a name that begins with a prefix is not settled. */
  busy(prefix: string): boolean {
    return this.#deliveries.busy(prefix);
  }

  /**
   * Delivers an event; `sent` is its data as it is to be encoded, `acks` how many are
   * asked for in the end.
   *
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long, or an option out of its range.
   */
  deliver(
    topic: Topic,
    data: unknown,
    options: DeliverOptions,
    acks: Acks,
    extras: Uint8Array | null,
    sent: unknown,
  ): Promise<DeliveryOutcome> {
    const {
      to,
      timeout = TIMEOUT,
      patience = PATIENCE,
      signal,
      key,
    } = options;
    checkTime("timeout", timeout);
    checkTime("patience", patience);
    checkAcks(acks);
    return this.#deliveries.deliver({
      topic,
      bytes: this.#options.outbound.encode(
        sent,
        EXTRAS + (extras?.length ?? 0),
      ),
      extras,
      addressees: to === undefined ? this.#audience(topic) : named(to),
      acks,
      timeout,
      patience,
      signal,
      choice: { key, data },
    });
  }

  /** A receipt of a node came, or an echo. */
  take(from: NodeId, id: number, bytes: Uint8Array): void {
    const receipt = readReceipt(bytes);
    switch (receipt.kind) {
      case "results":
        return this.#deliveries.receipt(from, id, receipt.results);
      case "echo":
        return this.#sendReceipt(from, id, writeEcho("echoed"));
      case "echoed":
        return this.#answered(id, from);
    }
  }

  /**
   * Resolves once all of these nodes have answered, or are gone: by then, this node has
   * got what they had sent it before.
   */
  echo(nodes: Iterable<NodeId>): Promise<void> {
    const id = this.#nextEcho++ >>> 0;
    const waiting = new Set(nodes);
    if (waiting.size === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#echoes.set(id, { waiting, resolve });
    for (const node of [...waiting]) {
      this.#sendReceipt(node, id, writeEcho("echo"));
    }
    return promise;
  }

  #answered(id: number, from: NodeId): void {
    const echo = this.#echoes.get(id);
    if (!echo?.waiting.delete(from) || echo.waiting.size > 0) return;
    this.#echoes.delete(id);
    echo.resolve();
  }

  /** What a guest sent, or was to get, was dropped: it has no right to it. */
  forbade(from: NodeId, ids: readonly DeliveryId[], text: string): void {
    for (const { run, sequence } of ids) {
      this.receipts.refuse(from, run, {
        code: FORBIDDEN,
        first: sequence,
        count: 1,
        text,
      });
    }
  }

  /** Deliveries of this node were not let through, by their sequences. */
  refused(to: NodeId, sequences: readonly number[], why: string): void {
    if (sequences.length > 0) this.#deliveries.refused(to, sequences, why);
  }

  /** Deliveries to a node were lost on their way. */
  lost(to: NodeId, ids: readonly number[]): void {
    this.#deliveries.lost(to, ids);
  }

  /** A node left the cluster, was given up, or has restarted. */
  gone(id: NodeId, reason: string): void {
    for (const echo of [...this.#echoes.keys()]) this.#answered(echo, id);
    this.#deliveries.gone(id, reason);
  }

  /** Gives up all, and waits for nobody. */
  close(): void {
    this.#deliveries.close();
    for (const { resolve } of this.#echoes.values()) resolve();
    this.#echoes.clear();
  }

  /** Who handles a name, as far as is known. */
  #audience(topic: Topic): readonly Addressee[] {
    const route = this.#options.audiences.route(topic);
    let addressees = this.#addressees.get(route);
    if (addressees === undefined) {
      addressees = this.#find(route);
      this.#addressees.set(route, addressees);
    }
    return addressees;
  }

  /** Those whose contract does not fit are listed, too: the outcome says so. */
  #find({ nodes, groups, stranger, unfit }: Route): readonly Addressee[] {
    const { interest } = this.#options;
    const found: Addressee[] = [];
    for (const node of [...nodes ?? this.#options.nodes(), ...unfit.nodes]) {
      const perhaps = !interest.knows(node);
      const unknown = node === stranger ? unknownGroups(node, groups) : null;
      found.push(addresseeOf(node, null, unknown, perhaps));
    }
    for (const { of } of [...groups, ...unfit.groups]) {
      found.push(addresseeOf(null, of.name));
    }
    return found;
  }

  #sendReceipt(to: NodeId, id: number, receipt: Uint8Array): void {
    const target = this.#options.target(to);
    if (target === null) return;
    this.#options.outbound.addBytes(target, RECEIPT, null, id, receipt);
  }
}

/** A node gets it for its groups that are not known; for none where that takes too long to say. */
function unknownGroups(node: NodeId, groups: readonly Group[]): Uint8Array {
  const known = groups.map(({ of }) => [of.name, ""] as const);
  const chosen = [...known, ["", node] as const];
  return writeChosen(fits(chosen) ? chosen : [], false);
}

function named(to: string | readonly string[]): readonly Addressee[] {
  const nodes = new Set(typeof to === "string" ? [to] : to);
  return [...nodes].map((node) =>
    addresseeOf(node, null, writeChosen([["", node]], false))
  );
}

function checkTime(what: string, time: number): void {
  if (time >= 1 && time < 2 ** 31) return;
  throw new RangeError(`the ${what} ${time} is not 1 to 2^31 - 1 ms`);
}

function checkAcks(acks: Acks): void {
  if (isAcks(acks)) return;
  throw new RangeError(
    `acks ${acks} is not "all", "quorum" or an integer from 1 on`,
  );
}
