import type { Clock, NodeId } from "@devts/routing";
import type { Agreement } from "./agreement.ts";
import type { Audiences, Queue } from "./audiences.ts";
import { EVENT, REQUEST, SENT_EVENT } from "./bundle.ts";
import type { Checks } from "./checks.ts";
import type { Delivering } from "./delivering.ts";
import {
  ClosedError,
  ContractError,
  reasonOf,
  RequestError,
} from "./errors.ts";
import { joinExtras } from "./extras.ts";
import { Gatherer, type Gathering } from "./gathering.ts";
import type { Handlers } from "./handlers.ts";
import type { Links } from "./links.ts";
import type { Lookout } from "./lookout.ts";
import type { Layers, Send, SentEvent } from "./middleware.ts";
import { MYSELF, type Outbound, type Target } from "./outbound.ts";
import type { Outcomes } from "./outcomes.ts";
import type { Requests } from "./requests.ts";
import type { Targets } from "./targets.ts";
import type { Topic, Topics } from "./topics.ts";
import type {
  DeliverOptions,
  DeliveryOutcome,
  EmitOptions,
  GatherOptions,
  Outcome,
  RequestOptions,
} from "./types.ts";

const REQUEST_TIMEOUT = 10_000;

/** What sending is made with. */
export interface SendingOptions {
  readonly clock: Clock;
  /** Whether the router sends each packet straight to its target. */
  readonly isDirect: boolean;
  readonly links: Links;
  readonly targets: Targets;
  readonly topics: Topics;
  readonly checks: Checks;
  readonly layers: Layers;
  readonly audiences: Audiences;
  readonly handlers: Handlers;
  readonly outbound: Outbound;
  readonly outcomes: Outcomes;
  readonly requests: Requests;
  readonly delivering: Delivering;
  readonly lookout: Lookout;
  readonly counts: { sent: number };
  /** Whether a node is a member. */
  isMember(id: NodeId): boolean;
  /** This node waits for a reply of a node. */
  asked(to: NodeId): void;
  /** Sees to it that a rejection that nobody awaits does not end the process. */
  quiet<T>(promise: Promise<T>): Promise<T>;
}

/** What the program sends: `emit`, `send`, `request`, `deliver` and `gather` of a node. */
export class Sending {
  /** What is known of the contracts of others; null: this node has none. */
  agreement: Agreement | null = null;
  readonly #options: SendingOptions;
  // What every event needs is at hand.
  readonly #links: Links;
  readonly #targets: Targets;
  readonly #topics: Topics;
  readonly #checks: Checks;
  readonly #layers: Layers;
  readonly #audiences: Audiences;
  readonly #outbound: Outbound;
  readonly #outcomes: Outcomes;
  readonly #counts: { sent: number };
  #closed = false;

  constructor(options: SendingOptions) {
    this.#options = options;
    this.#links = options.links;
    this.#targets = options.targets;
    this.#topics = options.topics;
    this.#checks = options.checks;
    this.#layers = options.layers;
    this.#audiences = options.audiences;
    this.#outbound = options.outbound;
    this.#outcomes = options.outcomes;
    this.#counts = options.counts;
  }

  /** An event for every other node that handles it, and for one member of each group. */
  emit(
    name: string,
    data: unknown,
    options: EmitOptions | undefined,
  ): Promise<Outcome> {
    return this.#layers.isBare(name)
      ? this.#emitNow(name, data, options, null)
      : this.#emitLayered(name, data, options);
  }

  /** An event for one node. */
  send(to: string, name: string, data: unknown): Promise<Outcome> {
    return this.#layers.isBare(name)
      ? this.#sendNow(to, name, data, null)
      : this.#sendLayered(to, name, data);
  }

  /** An event for one node, and its reply. */
  request(
    to: string,
    name: string,
    data: unknown,
    options: RequestOptions = {},
  ): Promise<unknown> {
    return this.#layers.isBare(name)
      ? this.#requestNow(to, name, data, options, null)
      : this.#requestLayered(to, name, data, options);
  }

  /** An event that is sent until it is acknowledged. */
  deliver(
    name: string,
    data: unknown,
    options: DeliverOptions = {},
  ): Promise<DeliveryOutcome> {
    if (this.#layers.isBare(name)) {
      return this.#deliverNow(name, data, options, null);
    }
    return this.#layered(
      "deliver",
      name,
      null,
      data,
      (value, headers) => this.#deliverNow(name, value, options, headers),
    );
  }

  /** An event for all that handle it, and their replies. */
  gather(
    name: string,
    data: unknown,
    options: GatherOptions = {},
  ): Gathering<unknown> {
    const { to = this.#audiences.asked(this.#topics.of(name)) } = options;
    return new Gatherer({
      name,
      nodes: typeof to === "string" ? [to] : [...new Set(to)],
      clock: this.#options.clock,
      options,
      ask: (node, timeout, signal) =>
        this.request(node, name, data, { timeout, signal }),
    });
  }

  /** Sends nothing any more. */
  close(): void {
    this.#closed = true;
  }

  #emitLayered(
    name: string,
    data: unknown,
    options: EmitOptions | undefined,
  ): Promise<Outcome> {
    return this.#layered(
      "emit",
      name,
      null,
      data,
      (value, headers) => this.#emitNow(name, value, options, headers),
    );
  }

  #emitNow(
    name: string,
    data: unknown,
    options: EmitOptions | undefined,
    headers: Uint8Array | null,
  ): Promise<Outcome> {
    if (this.#closed) {
      return this.#rejected(
        new ClosedError(`Cannot emit "${name}": the node is closed`),
      );
    }
    try {
      const topic = this.#topics.of(name);
      const rule = this.#checks.rule(name);
      // Most events: no group chooses, and nothing is asked for.
      const plain = rule === null && options === undefined && headers === null
        ? this.#audiences.route(topic).audience
        : null;
      if (plain !== null) return this.#emitPlain(plain.target, topic, data);
      const sent = rule === null ? data : this.#checks.sent(rule, data);
      const more = rule === null ? headers : joinExtras(rule.extras, headers);
      const { target, extras, own, queues } = this.#audiences.of(
        topic,
        data,
        options?.key,
      );
      if (target.to.length > 0) {
        const all = more === null ? extras : joinExtras(extras, more);
        this.#outbound.emit(target, topic.bytes, sent, all);
      }
      for (let i = 0; i < queues.length; i++) {
        this.#emitToQueue(queues[i], topic.bytes, sent, more);
      }
      const self = options?.self === true;
      const isOwn = own !== null ||
        self && this.#options.handlers.takesAll(name);
      if (isOwn) {
        const carried = joinExtras(self ? extras : own, more);
        this.#outbound.add(MYSELF, EVENT, topic.bytes, 0, sent, carried);
      }
      this.#counts.sent++;
      return this.#outcomes.ofSome(target, isOwn, queues.length);
    } catch (error) {
      throw refused("emit", name, error);
    }
  }

  #emitPlain(target: Target, topic: Topic, data: unknown): Promise<Outcome> {
    if (target.to.length > 0) this.#outbound.emit(target, topic.bytes, data);
    this.#counts.sent++;
    return this.#outcomes.ofPlain(target);
  }

  /** Each in a message of its own: the network chooses for each. */
  #emitToQueue(
    queue: Queue | undefined,
    name: Uint8Array,
    data: unknown,
    more: Uint8Array | null,
  ): void {
    if (queue === undefined) return;
    const extras = joinExtras(queue.extras, more);
    this.#outbound.add(queue.target, EVENT, name, 0, data, extras);
    this.#outbound.flush();
  }

  // In a method of its own, as others below: what its closure holds costs each call memory.
  #sendLayered(to: string, name: string, data: unknown): Promise<Outcome> {
    return this.#layered(
      "send",
      name,
      to,
      data,
      (value, headers) => this.#sendNow(to, name, value, headers),
    );
  }

  #sendNow(
    to: string,
    name: string,
    data: unknown,
    headers: Uint8Array | null,
  ): Promise<Outcome> {
    const unknown = this.#targets.objection(to);
    if (unknown) return this.#rejected(unknown);
    const objection = this.agreement?.objection(to, name) ?? null;
    if (objection !== null) {
      return this.#rejected(
        new ContractError(
          `Cannot send "${name}" to node "${to}", whose contract differs: ${objection}`,
        ),
      );
    }
    return this.#post(this.#targets.of(to), name, data, headers);
  }

  #post(
    target: Target,
    name: string,
    data: unknown,
    headers: Uint8Array | null,
  ): Promise<Outcome> {
    if (this.#closed) {
      return this.#rejected(
        new ClosedError(`Cannot send "${name}": the node is closed`),
      );
    }
    this.#add(target, SENT_EVENT, name, 0, data, headers, "send");
    if (target === MYSELF) return this.#outcomes.ofMyself();
    const link = this.#links.get(target.to[0] ?? "");
    return link ? this.#outcomes.ofLink(link) : this.#outcomes.ofDistant();
  }

  #requestLayered(
    to: string,
    name: string,
    data: unknown,
    options: RequestOptions,
  ): Promise<unknown> {
    return this.#layered(
      "request",
      name,
      to,
      data,
      (value, headers) => this.#requestNow(to, name, value, options, headers),
    );
  }

  #requestNow(
    to: string,
    name: string,
    data: unknown,
    options: RequestOptions,
    headers: Uint8Array | null,
  ): Promise<unknown> {
    const { timeout = REQUEST_TIMEOUT, signal } = options;
    if (!(timeout >= 1 && timeout < 2 ** 31)) {
      throw new RangeError(
        `Cannot request "${name}": the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
      );
    }
    if (this.#closed) {
      return this.#rejected(
        new ClosedError(`Cannot request "${name}": the node is closed`),
      );
    }
    if (signal?.aborted) return this.#rejected(signal.reason);
    const unknown = this.#targets.objection(to);
    if (unknown) return this.#rejected(unknown);
    const objection = this.agreement?.objection(to, name) ?? null;
    if (objection !== null) {
      const message =
        `Cannot request "${name}" of node "${to}", whose contract differs: ${objection}`;
      return this.#rejected(new RequestError("invalid", message));
    }
    return this.#ask(to, name, data, headers, timeout, signal);
  }

  #ask(
    to: NodeId,
    name: string,
    data: unknown,
    headers: Uint8Array | null,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const target = this.#targets.of(to);
    let opened;
    try {
      const asked = this.#targets.asked(target);
      opened = this.#options.requests.open(asked, name, timeout, signal);
    } catch (error) {
      return this.#rejected(error);
    }
    const { id, reply } = opened;
    if (!this.#options.isDirect) this.#options.lookout.begin();
    try {
      this.#add(target, REQUEST, name, id, data, headers, "request");
    } catch (error) {
      this.#options.requests.drop(id);
      throw error;
    }
    this.#options.asked(to);
    return reply;
  }

  #deliverNow(
    name: string,
    data: unknown,
    options: DeliverOptions,
    headers: Uint8Array | null,
  ): Promise<DeliveryOutcome> {
    if (this.#closed) {
      return this.#rejected(
        new ClosedError(`Cannot deliver "${name}": the node is closed`),
      );
    }
    const { signal, to = [] } = options;
    if (signal?.aborted) return this.#rejected(signal.reason);
    for (const id of typeof to === "string" ? [to] : to) {
      const unknown = this.#options.isMember(id)
        ? null
        : this.#targets.objection(id);
      if (unknown) return this.#rejected(unknown);
    }
    let promise;
    try {
      const topic = this.#topics.of(name);
      const rule = this.#checks.rule(name);
      const sent = rule === null ? data : this.#checks.sent(rule, data);
      const extras = rule === null ? headers : joinExtras(rule.extras, headers);
      promise = this.#options.delivering.deliver(
        topic,
        data,
        options,
        options.acks ?? rule?.event.acks ?? "all",
        extras,
        sent,
      );
    } catch (error) {
      throw refused("deliver", name, error);
    }
    this.#counts.sent++;
    return promise;
  }

  /** Sends through middleware, whose promise may be another one than the node's. */
  #layered<T>(
    kind: SentEvent["kind"],
    name: string,
    to: string | null,
    data: unknown,
    send: Send<T>,
  ): Promise<T> {
    let own: Promise<T> | null = null;
    const result = this.#layers.send<T>(
      kind,
      name,
      to,
      data,
      (value, headers) => own = send(value, headers),
    );
    return result === own
      ? result
      : this.#options.quiet(Promise.resolve(result));
  }

  #add(
    target: Target,
    type: number,
    name: string,
    id: number,
    data: unknown,
    headers: Uint8Array | null,
    verb: string,
  ): void {
    try {
      const { bytes } = this.#topics.of(name);
      const rule = this.#checks.rule(name);
      const sent = rule === null ? data : this.#checks.sent(rule, data);
      const extras = rule === null ? headers : joinExtras(rule.extras, headers);
      this.#outbound.add(target, type, bytes, id, sent, extras);
    } catch (error) {
      throw refused(verb, name, error);
    }
    this.#counts.sent++;
  }

  #rejected(error: unknown): Promise<never> {
    return this.#options.quiet(Promise.reject(error));
  }
}

/** What a call throws that cannot do what it is asked. */
function refused(verb: string, name: string, cause: unknown): Error {
  const message = `Cannot ${verb} "${name}": ${reasonOf(cause)}`;
  return cause instanceof RangeError
    ? new RangeError(message, { cause })
    : new TypeError(message, { cause });
}
