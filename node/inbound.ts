import type { Codec } from "@devts/protocol";
import type { Clock, NodeId } from "@devts/routing";
import {
  type BundleVisitor,
  isBufferCodec,
  NO_REQUEST,
  readBundle,
} from "./bundle.ts";
import {
  EVERY_GROUP,
  type ForGroups,
  NO_GROUPS,
  readChosen,
} from "./chosen.ts";
import { reasonOf } from "./errors.ts";
import { type Handlers, invoke, type Registration } from "./handlers.ts";
import type { MetLimits } from "./limits.ts";
import type { Handler, HandlerContext } from "./types.ts";

/** A handler that has not ended after this long, in ms, is reported and waited for no longer. */
const STUCK_AFTER = 30_000;

/** What the inbound side tells the node. */
export interface InboundOwner {
  /** An event or a request to this node alone, which nobody handles. */
  unhandled(name: string, from: NodeId): void;
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
  /** A failure came. */
  failed(from: NodeId, request: number, bytes: Uint8Array): void;
}

/** What the inbound side is made with. */
export interface InboundOptions {
  /** The id of this node. */
  readonly id: NodeId;
  readonly codec: Codec;
  readonly handlers: Handlers;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Asynchronous handlers per peer. */
  readonly running: number;
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
}

/** A name as a bundle uses it. */
interface Resolved {
  readonly name: string;
  readonly context: HandlerContext;
  /** Who handles it as of a version of the handlers. */
  registration: Registration | null;
  version: number;
}

const NOBODY: readonly Handler[] = [];

/** Takes bundles apart and calls the handlers. */
export class Inbound implements BundleVisitor<Resolved> {
  /** Events, requests and replies received. */
  received = 0;
  readonly #owner: InboundOwner;
  readonly #options: InboundOptions;
  readonly #decodeAt: (
    source: Uint8Array,
    start: number,
    end: number,
  ) => unknown;
  readonly #origins = new Map<NodeId, Origin>();
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
    this.#decodeAt = decodeAt(options.codec);
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
    this.#payload = payload;
    this.#origin = this.#originOf(from);
    try {
      readBundle(payload, this);
    } finally {
      this.#payload = payloadBefore;
      this.#origin = originBefore;
    }
  }

  /** A promise while as many handlers run for a peer as may. */
  room(from: NodeId): Promise<void> | undefined {
    const origin = this.#origins.get(from);
    if (!origin || origin.running < this.#options.running) return undefined;
    if (!origin.room) this.#options.met.running++;
    origin.room ??= Promise.withResolvers<void>();
    return origin.room.promise;
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
  }

  resolve(name: string): Resolved {
    const { handlers, signal } = this.#options;
    return {
      name,
      context: { from: this.#origin.from, name, signal },
      registration: handlers.get(name),
      version: handlers.version,
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
    const { handlers } = this.#options;
    // An earlier event of the bundle may have brought a handler, or taken one away.
    if (resolved.version !== handlers.version) {
      resolved.version = handlers.version;
      resolved.registration = handlers.get(resolved.name);
    }
    const { registration } = resolved;
    const isPlain = registration?.groups === null && this.#extras < 0;
    const chosen = isPlain
      ? registration.handlers
      : this.#chosen(registration, alone);
    this.#extras = -1;
    if (chosen.length > 0) this.#call(resolved, chosen, request, start, end);
    else if (alone) this.#unhandled(resolved.name, request);
  }

  /** The handlers that an event is for, where some are in groups. */
  #chosen(
    registration: Registration | null,
    alone: boolean,
  ): readonly Handler[] {
    if (registration === null) return NOBODY;
    const { handlers, groups } = registration;
    const forGroups = alone ? EVERY_GROUP : this.#forGroups();
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
    { name, context }: Resolved,
    handlers: readonly Handler[],
    request: number,
    start: number,
    end: number,
  ): void {
    this.received++;
    const data = start < 0
      ? undefined
      : this.#decodeAt(this.#payload, start, end);
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

  reply(id: number, failed: boolean, start: number, end: number): void {
    this.received++;
    this.#extras = -1;
    const { from } = this.#origin;
    if (failed) {
      const bytes = start < 0
        ? new Uint8Array(0)
        : this.#payload.subarray(start, end);
      return this.#owner.failed(from, id, bytes);
    }
    const value = start < 0
      ? undefined
      : this.#decodeAt(this.#payload, start, end);
    this.#owner.replied(from, id, value);
  }

  #unhandled(name: string, request: number): void {
    this.received++;
    const { from } = this.#origin;
    this.#owner.unhandled(name, from);
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

  #follow(result: Promise<unknown>, name: string, request: number): void {
    const origin = this.#origin;
    const { from } = origin;
    const running: Running = { origin, name, since: this.#options.clock.now() };
    this.#running.add(running);
    origin.running++;
    this.#watch();
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
    const { origin } = running;
    origin.running--;
    this.#drop(origin);
    if (origin.running >= this.#options.running || !origin.room) return;
    origin.room.resolve();
    origin.room = null;
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

function decodeAt(
  codec: Codec,
): (source: Uint8Array, start: number, end: number) => unknown {
  if (isBufferCodec(codec)) {
    return (source, start, end) => codec.decodeAt(source, start, end);
  }
  return (source, start, end) => codec.decode(source.subarray(start, end));
}
