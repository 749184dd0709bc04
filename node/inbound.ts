import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import { type BundleVisitor, NO_REQUEST, readBundle } from "./bundle.ts";
import {
  EVERY_GROUP,
  type ForGroups,
  NO_GROUPS,
  readChosen,
} from "./chosen.ts";
import {
  DONE,
  FAILED,
  INVALID,
  readDelivery,
  UNHANDLED,
} from "./delivery_wire.ts";
import { reasonOf } from "./errors.ts";
import { Kept } from "./feed.ts";
import { type Handlers, invoke, type Registration } from "./handlers.ts";
import type { MetLimits } from "./limits.ts";
import type { Receipts, Window } from "./receipts.ts";
import {
  type Checks,
  InvalidData,
  readerOf,
  readFormat,
  type Rule,
} from "./checks.ts";
import { NO_HEADERS, readHeaders } from "./headers.ts";
import type { Handler, HandlerContext } from "./types.ts";

/** A handler that has not ended after this long, in ms, is reported and waited for no longer. */
const STUCK_AFTER = 30_000;
/** Once so many peers are known, those for which no handler runs are forgotten. */
const ORIGINS = 4_096;

/** What the inbound side tells the node. */
export interface InboundOwner {
  /** An event or a request to this node alone, which nobody handles. */
  unhandled(name: string, from: NodeId, data: () => unknown): void;
  /** A handler threw, or its promise rejected. */
  handlerFailed(name: string, from: NodeId, error: unknown): void;
  /** A handler has not ended. */
  handlerStuck(name: string, from: NodeId): void;
  /** The reply to a request. */
  reply(to: NodeId, request: number, value: unknown, name: string): void;
  /** There is no reply to a request. */
  refuse(
    to: NodeId,
    request: number,
    reason: "unhandled" | "handler",
    text: string,
  ): void;
  /** A reply came. */
  replied(from: NodeId, request: number, value: unknown): void;
  /** An event that does not fit the contract, or cannot be read; it may be a request. */
  invalid(name: string, from: NodeId, request: number, why: string): void;
  /** The same of a reply. */
  invalidReply(from: NodeId, request: number, why: string): void;
  /** Why an event of a node is refused; null: it is not. */
  refusal(from: NodeId, name: string): string | null;
  /** A failure came. */
  failed(from: NodeId, request: number, bytes: Uint8Array): void;
  /** A receipt of deliveries came. */
  receipt(from: NodeId, id: number, bytes: Uint8Array): void;
}

/** What the inbound side is made with. */
export interface InboundOptions {
  /** The id of this node. */
  readonly id: NodeId;
  readonly codec: Codec;
  readonly handlers: Handlers;
  readonly receipts: Receipts;
  readonly checks: Checks;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Asynchronous handlers per peer. */
  readonly running: number;
  /** For how many answers of a peer this node waits: as many handlers may run besides. */
  waiting(from: NodeId): number;
  readonly met: MetLimits;
}

/** A peer, as far as its events are concerned. */
interface Origin {
  readonly from: NodeId;
  running: number;
  /** The node is gone; forgotten with the last handler that runs for it. */
  gone: boolean;
  room: PromiseWithResolvers<void> | null;
}

/** An asynchronous handler that has not ended. */
interface Running {
  readonly origin: Origin;
  readonly name: string;
  readonly since: number;
  /** Whether it is one of those of which only so many may run. */
  readonly counts: boolean;
}

/** A name as a bundle uses it. */
interface Resolved {
  readonly name: string;
  readonly context: HandlerContext;
  /** Who handles it as of a version of the handlers. */
  registration: Registration | null;
  version: number;
  /** What the contract says of it; null: nothing. */
  readonly rule: Rule | null;
  /** Those who get each of its events, where no group chooses one; null: see `registration`. */
  everyone: readonly Handler[] | null;
}

/** Instead of data: it is refused. */
const REFUSED = Symbol("refused");
const NOBODY: readonly Handler[] = [];
const NO_BYTES = new Uint8Array(0);

/** What a handler is told of a delivery. */
class DeliveryContext implements HandlerContext {
  readonly from: NodeId;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly headers: ReadonlyMap<string, string>;
  readonly #run: number;
  readonly #number: number;

  constructor(
    { from, name, signal, headers }: HandlerContext,
    run: number,
    number: number,
  ) {
    this.from = from;
    this.name = name;
    this.signal = signal;
    this.headers = headers;
    this.#run = run;
    this.#number = number;
  }

  get delivery(): string {
    return `${this.from}/${this.#run.toString(36)}/${this.#number}`;
  }
}

/** A delivery whose handlers have not all ended. */
interface Handling {
  readonly window: Window;
  readonly sequence: number;
  open: number;
  /** Why one failed, of those that did; null: none. */
  failure: string | null;
}

/** Takes bundles apart and calls the handlers. */
export class Inbound implements BundleVisitor<Resolved> {
  /** Events, requests and replies received. */
  received = 0;
  readonly #owner: InboundOwner;
  readonly #options: InboundOptions;
  readonly #handlers: Handlers;
  readonly #decodeAt: (
    source: Uint8Array,
    start: number,
    end: number,
  ) => unknown;
  readonly #origins = new Map<NodeId, Origin>();
  /** How many of them are looked through. */
  #most = ORIGINS;
  /** How many have as many handlers running as may. */
  #full = 0;
  readonly #running = new Set<Running>();
  #cancelWatch: (() => void) | null = null;
  // The bundle being walked.
  #payload: Uint8Array = new Uint8Array(0);
  #origin: Origin;
  /** Where the extras of the next entry stand; -1: it has none. */
  #extras = -1;
  #extrasEnd = -1;

  constructor(owner: InboundOwner, options: InboundOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#handlers = options.handlers;
    this.#decodeAt = readerOf(options.codec);
    this.#origin = this.#originOf("");
    this.#origins.clear();
  }

  /**
   * Handles a bundle of events.
   *
   * @throws {SyntaxError} If it is malformed; what stood before has been handled.
   */
  take(from: NodeId, payload: Uint8Array): void {
    const payloadBefore = this.#payload;
    const originBefore = this.#origin;
    const extrasBefore = this.#extras;
    const extrasEndBefore = this.#extrasEnd;
    this.#payload = payload;
    this.#origin = this.#originOf(from);
    // Where a payload breaks off behind extras, the next one has none for that.
    this.#extras = -1;
    try {
      readBundle(payload, this);
    } finally {
      this.#payload = payloadBefore;
      this.#origin = originBefore;
      this.#extras = extrasBefore;
      this.#extrasEnd = extrasEndBefore;
    }
  }

  /** Of how many peers it keeps something. */
  get size(): number {
    return this.#origins.size;
  }

  /**
   * A promise while as many handlers run for a peer as may. Those that wait for an answer
   * of it do not count: it would come behind what is not read.
   */
  room(from: NodeId): Promise<void> | undefined {
    const origin = this.#origins.get(from);
    if (!origin || !this.#isFull(origin)) return undefined;
    if (!origin.room) {
      this.#options.met.running++;
      this.#full++;
      origin.room = Promise.withResolvers<void>();
    }
    return origin.room.promise;
  }

  /** This node waits for an answer of a peer. */
  asked(from: NodeId): void {
    if (this.#full === 0) return;
    const origin = this.#origins.get(from);
    if (origin) this.#giveRoom(origin);
  }

  #isFull({ from, running }: Origin): boolean {
    const { running: most, waiting } = this.#options;
    return running >= most && running - waiting(from) >= most;
  }

  #giveRoom(origin: Origin): void {
    if (!origin.room || this.#isFull(origin)) return;
    origin.room.resolve();
    origin.room = null;
    this.#full--;
  }

  /** Whether an asynchronous handler of a name that begins with a prefix runs. */
  busy(prefix: string): boolean {
    for (const { name } of this.#running) {
      if (name.startsWith(prefix)) return true;
    }
    return false;
  }

  /** A node is gone: forgets what no running handler needs. */
  forget(id: NodeId): void {
    const origin = this.#origins.get(id);
    if (!origin) return;
    origin.gone = true;
    this.#drop(origin);
  }

  /** Waits for nobody any more. */
  close(): void {
    this.#cancelWatch?.();
    this.#running.clear();
    for (const origin of this.#origins.values()) origin.room?.resolve();
    this.#origins.clear();
    this.#full = 0;
  }

  resolve(name: string): Resolved {
    const { checks, signal } = this.#options;
    const registration = this.#handlers.get(name);
    return {
      name,
      context: {
        from: this.#origin.from,
        name,
        signal,
        headers: NO_HEADERS,
      },
      registration,
      version: this.#handlers.version,
      rule: checks.rule(name),
      everyone: everyoneOf(registration),
    };
  }

  extras(start: number, end: number): void {
    this.#extras = start;
    this.#extrasEnd = end;
  }

  event(
    resolved: Resolved,
    request: number,
    alone: boolean,
    start: number,
    end: number,
  ): void {
    if (resolved.version !== this.#handlers.version) this.#renew(resolved);
    const { everyone } = resolved;
    const extras = this.#extras;
    if (everyone !== null && extras < 0) {
      return this.#call(resolved, everyone, request, start, end, extras);
    }
    const chosen = this.#chosen(resolved.registration, alone);
    this.#extras = -1;
    if (chosen.length > 0) {
      this.#call(resolved, chosen, request, start, end, extras);
    } else if (alone) {
      this.#unhandled(resolved.name, request, start, end, extras);
    }
  }

  delivery(
    resolved: Resolved,
    low: number,
    start: number,
    end: number,
  ): void {
    const { receipts } = this.#options;
    const extras = this.#extras;
    const extrasEnd = extras < 0 ? extras : this.#extrasEnd;
    const id = readDelivery(this.#payload, extras, extrasEnd, low);
    const forGroups = this.#forGroups();
    this.#extras = -1;
    this.received++;
    const { from } = this.#origin;
    const window = receipts.accept(from, id);
    if (window === null) return;
    if (resolved.version !== this.#handlers.version) this.#renew(resolved);
    const chosen = this.#chosenFor(resolved.registration, forGroups);
    if (chosen.length === 0) {
      this.#owner.unhandled(
        resolved.name,
        from,
        () => this.#unwanted(start, end, extras),
      );
      return receipts.settle(window, UNHANDLED, id.sequence);
    }
    const { name } = resolved;
    const context = this.#contextOf(resolved.context, extras);
    const told = new DeliveryContext(context, id.run, id.number);
    const handling = { window, sequence: id.sequence, open: 1, failure: null };
    const data = this.#dataOf(resolved, handling, start, end, extras);
    if (data === REFUSED) return;
    for (const handler of chosen) {
      const result = invoke(handler, data, told);
      if (result instanceof Promise) this.#attend(result, name, handling);
    }
    this.#handled(handling);
  }

  receipt(id: number, start: number, end: number): void {
    this.received++;
    this.#extras = -1;
    const bytes = start < 0 ? NO_BYTES : this.#payload.subarray(start, end);
    this.#owner.receipt(this.#origin.from, id, bytes);
  }

  #dataOf(
    resolved: Resolved,
    { window, sequence }: Handling,
    start: number,
    end: number,
    extras: number,
  ): unknown {
    try {
      return this.#checked(resolved, start, end, extras);
    } catch (error) {
      this.#options.receipts.settle(window, INVALID, sequence, reasonOf(error));
      if (!(error instanceof InvalidData)) throw error;
      const { name, context } = resolved;
      this.#owner.invalid(name, context.from, NO_REQUEST, error.message);
      return REFUSED;
    }
  }

  /** The data of an event that nobody handles; undefined where it cannot be read. */
  #unwanted(start: number, end: number, extras: number): unknown {
    const format = this.#formatIn(extras);
    const { checks } = this.#options;
    try {
      return checks.read(null, "data", format, this.#payload, start, end);
    } catch (error) {
      if (error instanceof InvalidData) return undefined;
      throw error;
    }
  }

  /** A receipt leaves once all handlers have ended. */
  #attend(result: Promise<unknown>, name: string, handling: Handling): void {
    handling.open++;
    const running = this.#begin(name, !(result instanceof Kept));
    result.then(
      () => {
        this.#ended(running);
        this.#handled(handling);
      },
      (error) => {
        this.#ended(running);
        this.#owner.handlerFailed(name, running.origin.from, error);
        handling.failure ??= reasonOf(error);
        this.#handled(handling);
      },
    );
  }

  #handled(handling: Handling): void {
    if (--handling.open > 0) return;
    const { window, sequence, failure } = handling;
    const { receipts } = this.#options;
    if (failure === null) receipts.settle(window, DONE, sequence);
    else receipts.settle(window, FAILED, sequence, failure);
  }

  /** An earlier event of the bundle may have brought a handler, or taken one away. */
  #renew(resolved: Resolved): void {
    resolved.version = this.#handlers.version;
    resolved.registration = this.#handlers.get(resolved.name);
    resolved.everyone = everyoneOf(resolved.registration);
  }

  /** The handlers that an event is for, where some are in groups. */
  #chosen(
    registration: Registration | null,
    alone: boolean,
  ): readonly Handler[] {
    return this.#chosenFor(
      registration,
      alone ? EVERY_GROUP : this.#forGroups(),
    );
  }

  #chosenFor(
    registration: Registration | null,
    forGroups: ForGroups,
  ): readonly Handler[] {
    if (registration === null) return NOBODY;
    const { handlers, groups } = registration;
    const chosen = forGroups.alone ? [] : [...handlers];
    for (const group of groups ?? []) {
      if (!forGroups.includes(group.group)) continue;
      const handler = group.handlers[group.turn++ % group.handlers.length];
      if (handler) chosen.push(handler);
    }
    return chosen;
  }

  #forGroups(): ForGroups {
    if (this.#extras < 0) return NO_GROUPS;
    const { id } = this.#options;
    return readChosen(this.#payload, this.#extras, this.#extrasEnd, id);
  }

  #call(
    resolved: Resolved,
    handlers: readonly Handler[],
    request: number,
    start: number,
    end: number,
    extras: number,
  ): void {
    this.received++;
    const { name } = resolved;
    let { context } = resolved;
    let data: unknown;
    if (resolved.rule === null && extras < 0) {
      data = start < 0 ? undefined : this.#decodeAt(this.#payload, start, end);
    } else {
      data = this.#requested(resolved, request, start, end, extras);
      if (data === REFUSED) return;
      context = this.#contextOf(context, extras);
    }
    for (let i = 0; i < handlers.length; i++) {
      const handler = handlers[i];
      if (!handler) continue;
      const result = invoke(handler, data, context);
      const wanted = i === 0 ? request : NO_REQUEST;
      if (result instanceof Promise) this.#follow(result, name, wanted);
      else if (wanted !== NO_REQUEST) {
        this.#owner.reply(context.from, wanted, result, name);
      }
    }
  }

  /** What handlers are told, where the event has headers. */
  #contextOf(context: HandlerContext, extras: number): HandlerContext {
    if (extras < 0) return context;
    const headers = readHeaders(this.#payload, extras, this.#extrasEnd);
    return headers === NO_HEADERS ? context : { ...context, headers };
  }

  /** The data of an event or a request; what is invalid is refused. */
  #requested(
    resolved: Resolved,
    request: number,
    start: number,
    end: number,
    extras: number,
  ): unknown {
    try {
      return this.#checked(resolved, start, end, extras);
    } catch (error) {
      if (!(error instanceof InvalidData)) throw error;
      const { name, context } = resolved;
      this.#owner.invalid(name, context.from, request, error.message);
      return REFUSED;
    }
  }

  /** The data, once it is found to fit the contract. */
  #checked(
    { name, context, rule }: Resolved,
    start: number,
    end: number,
    extras: number,
  ): unknown {
    const refusal = rule && this.#owner.refusal(context.from, name);
    if (refusal !== null) throw new InvalidData(refusal);
    const format = this.#formatIn(extras);
    const { checks } = this.#options;
    return checks.read(rule, "data", format, this.#payload, start, end);
  }

  /** The format of the data, where it is not the node's. */
  #formatIn(extras: number): string | null {
    return extras < 0
      ? null
      : readFormat(this.#payload, extras, this.#extrasEnd);
  }

  reply(id: number, failed: boolean, start: number, end: number): void {
    this.received++;
    const extras = this.#extras;
    this.#extras = -1;
    const { from } = this.#origin;
    if (failed) {
      const bytes = start < 0 ? NO_BYTES : this.#payload.subarray(start, end);
      return this.#owner.failed(from, id, bytes);
    }
    if (extras >= 0) return this.#replyIn(id, start, end, extras);
    const value = start < 0
      ? undefined
      : this.#decodeAt(this.#payload, start, end);
    this.#owner.replied(from, id, value);
  }

  /** A reply that may have a format of its own. */
  #replyIn(id: number, start: number, end: number, extras: number): void {
    const { from } = this.#origin;
    const { checks } = this.#options;
    const format = this.#formatIn(extras);
    let value: unknown;
    try {
      value = checks.read(null, "reply", format, this.#payload, start, end);
    } catch (error) {
      if (!(error instanceof InvalidData)) throw error;
      return this.#owner.invalidReply(from, id, error.message);
    }
    this.#owner.replied(from, id, value);
  }

  #unhandled(
    name: string,
    request: number,
    start: number,
    end: number,
    extras: number,
  ): void {
    this.received++;
    const { from } = this.#origin;
    this.#owner.unhandled(name, from, () => this.#unwanted(start, end, extras));
    if (request !== NO_REQUEST) {
      this.#owner.refuse(from, request, "unhandled", "");
    }
  }

  #drop(origin: Origin): void {
    const { from } = origin;
    if (!origin.gone || origin.running > 0) return;
    if (this.#origins.get(from) === origin) this.#origins.delete(from);
  }

  #originOf(from: NodeId): Origin {
    let origin = this.#origins.get(from);
    if (origin) origin.gone = false;
    else {
      if (this.#origins.size >= this.#most) this.#forgetIdle();
      origin = {
        from,
        running: 0,
        gone: false,
        room: null,
      };
      this.#origins.set(from, origin);
    }
    return origin;
  }

  /** Relays may bring what is from nodes that are gone, or that nobody knows. */
  #forgetIdle(): void {
    for (const [from, origin] of this.#origins) {
      if (origin.running === 0 && origin !== this.#origin) {
        this.#origins.delete(from);
      }
    }
    this.#most = Math.max(ORIGINS, 2 * this.#origins.size);
  }

  #begin(name: string, counts: boolean): Running {
    const origin = this.#origin;
    const since = this.#options.clock.now();
    const running: Running = { origin, name, since, counts };
    this.#running.add(running);
    if (counts) origin.running++;
    this.#watch();
    return running;
  }

  #follow(result: Promise<unknown>, name: string, request: number): void {
    const running = this.#begin(name, true);
    const { from } = running.origin;
    result.then(
      (value) => {
        this.#ended(running);
        if (request !== NO_REQUEST) {
          this.#owner.reply(from, request, value, name);
        }
      },
      (error) => {
        this.#ended(running);
        this.#owner.handlerFailed(name, from, error);
        if (request !== NO_REQUEST) {
          this.#owner.refuse(from, request, "handler", reasonOf(error));
        }
      },
    );
  }

  #ended(running: Running): void {
    if (!this.#running.delete(running)) return;
    const { origin, counts } = running;
    if (!counts) return;
    origin.running--;
    this.#drop(origin);
    this.#giveRoom(origin);
  }

  #watch(): void {
    this.#cancelWatch ??= this.#options.clock.after(STUCK_AFTER, () => {
      this.#cancelWatch = null;
      this.#sweep();
    });
  }

  /** A handler that never ends must not hold back its peer's events for ever. */
  #sweep(): void {
    const limit = this.#options.clock.now() - STUCK_AFTER;
    for (const running of this.#running) {
      if (running.since > limit) break;
      this.#ended(running);
      this.#owner.handlerStuck(running.name, running.origin.from);
    }
    if (this.#running.size > 0) this.#watch();
  }
}

function everyoneOf(
  registration: Registration | null,
): readonly Handler[] | null {
  return registration?.groups === null ? registration.handlers : null;
}
