import type { Codec } from "@devts/protocol";
import type { Clock } from "@devts/routing";
import { drainTime } from "./draining.ts";
import { reasonOf } from "./errors.ts";
import type { Feed } from "./feed.ts";
import type { Gathering } from "./gathering.ts";
import type { Stream } from "./stream.ts";
import type { StreamHandler } from "./streams.ts";
import type {
  AcceptorOf,
  AnyEvents,
  DataArg,
  DataArgs,
  DeliverOptions,
  DeliveryOutcome,
  DrainOptions,
  EmitOptions,
  EventName,
  EventsOptions,
  GatherOptions,
  Handler,
  HandlerContext,
  HandlerOptions,
  Logger,
  Member,
  NamePattern,
  OpenerOf,
  OpenOptions,
  Outcome,
  ReplyOf,
  RequestOptions,
  ReturnOf,
  StreamName,
  SystemEventName,
  SystemEvents,
  TakenOf,
} from "./types.ts";

// What a name may not hold: it separates a behaviour's name from that of its event.
const SEPARATOR = "/";
const MAX_NAME = 64;
// Full names of events are remembered up to this many.
const NAMES = 4_096;

/**
 * Something that a node can do: a store, presence, what a program makes of it. A
 * function of a {@linkcode Scope}, given to a node by {@linkcode Node.use}; what it
 * returns is what the program works with.
 *
 * Several live on one node without knowing each other. A behaviour that can be ended
 * by itself returns something whose `close` calls {@linkcode Scope.close}.
 *
 * @example A counter of visits that all nodes share
 * ```ts
 * import { type Behaviour, createNode } from "@devts/devts";
 * import { assertEquals } from "@std/assert";
 *
 * interface Visits {
 *   visit(): number;
 * }
 *
 * interface Events {
 *   visited(by: string): void;
 * }
 *
 * const visits: Behaviour<Visits, Events> = (scope) => {
 *   let count = 0;
 *   scope.on("visited", () => count++);
 *   return {
 *     visit(): number {
 *       scope.emit("visited", scope.id);
 *       return ++count;
 *     },
 *   };
 * };
 *
 * await using node = createNode({ cluster: "demo" });
 * const home = node.use("home", visits);
 * const shop = node.use("shop", visits); // another one, with names of its own
 * home.visit();
 * assertEquals([home.visit(), shop.visit()], [2, 1]);
 * ```
 *
 * @typeParam T What it returns.
 * @typeParam E Its events: an interface of methods, whose parameter is the data and
 * whose result is the reply.
 */
export type Behaviour<T, E extends object = AnyEvents> = (
  scope: Scope<E>,
) => T;

/**
 * What a behaviour knows of its node. Its events carry the behaviour's name in front
 * (`cart/set`), so they reach the behaviour of the same name on other nodes and no
 * other. What it registered ends with the node, or with {@linkcode Scope.close}.
 */
export interface Scope<E extends object = AnyEvents> {
  /** The name of the behaviour; within another one, with that one's name in front. */
  readonly name: string;
  /** How many behaviours of that name the node has had before this one. */
  readonly generation: number;
  /** The id of the node. */
  readonly id: string;
  /** The name of its cluster. */
  readonly cluster: string;
  /** Its incarnation: rises with each start, and with each change of what it tells of itself. */
  readonly incarnation: number;
  /** Everyone else in the cluster, by id; live. */
  readonly members: ReadonlyMap<string, Member>;
  /** The longest message that the node accepts, in bytes. */
  readonly maxMessage: number;
  /** Aborts when the behaviour ends. */
  readonly signal: AbortSignal;
  /** Where time and timers come from. */
  readonly clock: Clock;
  /** The time of day, in ms since 1970: for stamps, never for timeouts. */
  readonly wallClock: () => number;
  /** Where randomness comes from: 0 ≤ x < 1. */
  readonly random: () => number;
  /** What the bytes of the data mean. */
  readonly codec: Codec;
  /** Where to log; the lines name the node and the behaviour. */
  readonly logger: Logger;
  /** As {@linkcode Node.on}. */
  on<K extends EventName<E>>(
    name: K,
    handler: (data: TakenOf<E, K>, context: HandlerContext) => ReturnOf<E, K>,
    options?: HandlerOptions,
  ): Disposable;
  /** As {@linkcode Node.on}, for all names of a pattern. */
  on(
    pattern: NamePattern,
    handler: Handler,
    options?: HandlerOptions,
  ): Disposable;
  /** As {@linkcode Node.onSystem}. */
  onSystem<K extends SystemEventName>(
    name: K,
    handler: (event: SystemEvents[K]) => unknown,
  ): Disposable;
  /** As {@linkcode Node.emit}. */
  emit<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, EmitOptions>
  ): Promise<Outcome>;
  /** As {@linkcode Node.send}. */
  send<K extends EventName<E>>(
    to: string,
    name: K,
    ...rest: DataArg<E, K>
  ): Promise<Outcome>;
  /** As {@linkcode Node.request}. */
  request<K extends EventName<E>>(
    to: string,
    name: K,
    ...rest: DataArgs<E, K, RequestOptions>
  ): Promise<ReplyOf<E, K>>;
  /** As {@linkcode Node.deliver}. */
  deliver<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, DeliverOptions>
  ): Promise<DeliveryOutcome>;
  /** As {@linkcode Node.gather}. */
  gather<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, GatherOptions>
  ): Gathering<ReplyOf<E, K>>;
  /** As {@linkcode Node.events}; it ends with the behaviour. */
  events<K extends EventName<E>>(
    name: K,
    options?: EventsOptions,
  ): Feed<TakenOf<E, K>>;
  /** As {@linkcode Node.events}, for all names of a pattern. */
  events(pattern: NamePattern, options?: EventsOptions): Feed<unknown>;
  /** As {@linkcode Node.open}. */
  open<K extends StreamName<E>>(
    to: string,
    name: K,
    options?: OpenOptions,
  ): Promise<Stream<OpenerOf<E, K>, AcceptorOf<E, K>>>;
  /** As {@linkcode Node.onOpen}. */
  onOpen<K extends StreamName<E>>(
    name: K,
    handler: (
      stream: Stream<AcceptorOf<E, K>, OpenerOf<E, K>>,
      context: HandlerContext,
    ) => unknown,
  ): Disposable;
  /** A behaviour of this one, which ends with it. As {@linkcode Node.use}. */
  use<T, F extends object = AnyEvents>(
    name: string,
    behaviour: Behaviour<T, F>,
  ): T;
  /**
   * Calls back when the behaviour ends, the last one first. What it does before its
   * first `await` may still send; the node waits for the rest, up to 5 s in all.
   */
  defer(cleanup: () => unknown): void;
  /** Tells of a failure outside any call: logged, and told as the system event `error`. */
  fault(error: unknown, message: string): void;
  /**
   * Ends the behaviour once its work is done, as {@linkcode Node.drain} ends a node: the
   * others go on without it, what they had sent to it before is handled, its streams,
   * requests and deliveries come to their end, and it is closed. Idempotent.
   *
   * @returns Resolves once it is closed: to whether everything had ended by then.
   * @throws {RangeError} If the timeout is out of its range.
   */
  drain(options?: DrainOptions): Promise<boolean>;
  /** Ends the behaviour: handlers, then what was deferred. Idempotent. */
  close(): Promise<void>;
}

/** What the scopes of a node need of it. */
export interface ScopeHost {
  readonly id: string;
  readonly cluster: string;
  readonly incarnation: number;
  readonly members: ReadonlyMap<string, Member>;
  readonly maxMessage: number;
  readonly clock: Clock;
  readonly wallClock: () => number;
  readonly random: () => number;
  readonly codec: Codec;
  readonly logger: Logger;
  on(name: string, handler: Handler, options?: HandlerOptions): Disposable;
  onSystem<K extends SystemEventName>(
    name: K,
    handler: (event: SystemEvents[K]) => unknown,
  ): Disposable;
  emit(name: string, data?: unknown, options?: EmitOptions): Promise<Outcome>;
  send(to: string, name: string, data?: unknown): Promise<Outcome>;
  request(
    to: string,
    name: string,
    data?: unknown,
    options?: RequestOptions,
  ): Promise<unknown>;
  deliver(
    name: string,
    data?: unknown,
    options?: DeliverOptions,
  ): Promise<DeliveryOutcome>;
  gather(
    name: string,
    data?: unknown,
    options?: GatherOptions,
  ): Gathering<unknown>;
  /** `signal` ends it, too. */
  events(
    name: string,
    options: EventsOptions | undefined,
    signal: AbortSignal,
  ): Feed<unknown>;
  open(to: string, name: string, options?: OpenOptions): Promise<Stream>;
  onOpen(name: string, handler: StreamHandler): Disposable;
  /** Drains what concerns names that begin with a prefix, then calls `close`. */
  drain(
    prefix: string,
    timeout: number,
    signal: AbortSignal,
    close: () => Promise<void>,
  ): Promise<boolean>;
  fault(error: unknown, message: string): void;
}

/** The behaviours of a node, or of a behaviour. */
export class Behaviours {
  readonly #host: ScopeHost;
  readonly #prefix: string;
  // Only this program adds names, so the table needs no bound.
  readonly #scopes = new Map<string, { close(): Promise<void> }>();
  readonly #generations = new Map<string, number>();
  #closing: Promise<void> | null = null;

  constructor(host: ScopeHost, prefix = "") {
    this.#host = host;
    this.#prefix = prefix;
  }

  /**
   * Makes one.
   *
   * @throws {TypeError} If the name is malformed, or in use.
   */
  use<T, E extends object>(name: string, behaviour: Behaviour<T, E>): T {
    const full = this.#prefix + checkedName(name);
    if (this.#closing) {
      throw new TypeError(`Cannot use "${full}": the node is closed`);
    }
    if (this.#scopes.has(name)) {
      throw new TypeError(
        `Cannot use "${full}": there is a behaviour of that name`,
      );
    }
    const generation = this.#generations.get(name) ?? 0;
    this.#generations.set(name, generation + 1);
    const scope = new NodeScope<E>(this.#host, full, generation, () => {
      if (this.#scopes.get(name) === scope) this.#scopes.delete(name);
    });
    this.#scopes.set(name, scope);
    try {
      return behaviour(scope);
    } catch (error) {
      scope.close();
      throw error;
    }
  }

  /** Ends all, the last one first. What they do before their first `await` is done on return. */
  close(): Promise<void> {
    if (this.#closing) return this.#closing;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing = promise;
    const scopes = [...this.#scopes.values()].reverse();
    Promise.all(scopes.map((scope) => scope.close())).then(() => resolve());
    return promise;
  }
}

/** The scope of one behaviour. */
class NodeScope<E extends object> implements Scope<E> {
  readonly name: string;
  readonly generation: number;
  readonly #host: ScopeHost;
  readonly #inner: Behaviours;
  readonly #ended: () => void;
  readonly #cleanups: (() => unknown)[] = [];
  readonly #registered = new Set<Disposable>();
  readonly #abort = new AbortController();
  readonly #names = new Map<string, string>();
  #drained: Promise<boolean> | null = null;
  #closing: Promise<void> | null = null;

  constructor(
    host: ScopeHost,
    name: string,
    generation: number,
    ended: () => void,
  ) {
    this.#host = host;
    this.name = name;
    this.generation = generation;
    this.#ended = ended;
    this.#inner = new Behaviours(host, name + SEPARATOR);
  }

  get id(): string {
    return this.#host.id;
  }

  get cluster(): string {
    return this.#host.cluster;
  }

  get incarnation(): number {
    return this.#host.incarnation;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#host.members;
  }

  get maxMessage(): number {
    return this.#host.maxMessage;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get wallClock(): () => number {
    return this.#host.wallClock;
  }

  get random(): () => number {
    return this.#host.random;
  }

  get codec(): Codec {
    return this.#host.codec;
  }

  get logger(): Logger {
    const { logger } = this.#host;
    return {
      debug: (line) => logger.debug(`"${this.name}": ${line}`),
      info: (line) => logger.info(`"${this.name}": ${line}`),
      warn: (line) => logger.warn(`"${this.name}": ${line}`),
      error: (line) => logger.error(`"${this.name}": ${line}`),
    };
  }

  on<K extends EventName<E>>(
    name: K,
    handler: (data: TakenOf<E, K>, context: HandlerContext) => ReturnOf<E, K>,
    options?: HandlerOptions,
  ): Disposable;
  on(
    pattern: NamePattern,
    handler: Handler,
    options?: HandlerOptions,
  ): Disposable;
  on(
    name: string,
    handler: (data: never, context: HandlerContext) => unknown,
    options?: HandlerOptions,
  ): Disposable {
    this.#assertOpen("on", name);
    return this.#register(this.#host.on(this.#nameOf(name), handler, options));
  }

  onSystem<K extends SystemEventName>(
    name: K,
    handler: (event: SystemEvents[K]) => unknown,
  ): Disposable {
    this.#assertOpen("onSystem", name);
    return this.#register(this.#host.onSystem(name, handler));
  }

  emit<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, EmitOptions>
  ): Promise<Outcome>;
  emit(name: string, data?: unknown, options?: EmitOptions): Promise<Outcome> {
    return this.#host.emit(this.#nameOf(name), data, options);
  }

  send<K extends EventName<E>>(
    to: string,
    name: K,
    ...rest: DataArg<E, K>
  ): Promise<Outcome>;
  send(to: string, name: string, data?: unknown): Promise<Outcome> {
    return this.#host.send(to, this.#nameOf(name), data);
  }

  request<K extends EventName<E>>(
    to: string,
    name: K,
    ...rest: DataArgs<E, K, RequestOptions>
  ): Promise<ReplyOf<E, K>>;
  request(
    to: string,
    name: string,
    data?: unknown,
    options?: RequestOptions,
  ): Promise<unknown> {
    return this.#host.request(to, this.#nameOf(name), data, options);
  }

  deliver<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, DeliverOptions>
  ): Promise<DeliveryOutcome>;
  deliver(
    name: string,
    data?: unknown,
    options?: DeliverOptions,
  ): Promise<DeliveryOutcome> {
    return this.#host.deliver(this.#nameOf(name), data, options);
  }

  gather<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, GatherOptions>
  ): Gathering<ReplyOf<E, K>>;
  gather(
    name: string,
    data?: unknown,
    options?: GatherOptions,
  ): Gathering<unknown> {
    return this.#host.gather(this.#nameOf(name), data, options);
  }

  events<K extends EventName<E>>(
    name: K,
    options?: EventsOptions,
  ): Feed<TakenOf<E, K>>;
  events(pattern: NamePattern, options?: EventsOptions): Feed<unknown>;
  events(name: string, options?: EventsOptions): Feed<unknown> {
    this.#assertOpen("events", name);
    return this.#host.events(this.#nameOf(name), options, this.signal);
  }

  open<K extends StreamName<E>>(
    to: string,
    name: K,
    options?: OpenOptions,
  ): Promise<Stream<OpenerOf<E, K>, AcceptorOf<E, K>>>;
  open(to: string, name: string, options?: OpenOptions): Promise<Stream> {
    return this.#host.open(to, this.#nameOf(name), options);
  }

  onOpen<K extends StreamName<E>>(
    name: K,
    handler: (
      stream: Stream<AcceptorOf<E, K>, OpenerOf<E, K>>,
      context: HandlerContext,
    ) => unknown,
  ): Disposable {
    this.#assertOpen("onOpen", name);
    return this.#register(this.#host.onOpen(this.#nameOf(name), handler));
  }

  use<T, F extends object>(name: string, behaviour: Behaviour<T, F>): T {
    this.#assertOpen("use", name);
    return this.#inner.use(name, behaviour);
  }

  defer(cleanup: () => unknown): void {
    this.#assertOpen("defer", "a cleanup");
    this.#cleanups.push(cleanup);
  }

  fault(error: unknown, message: string): void {
    this.#host.fault(error, `"${this.name}": ${message}`);
  }

  drain(options?: DrainOptions): Promise<boolean> {
    const timeout = drainTime(options);
    this.#drained ??= this.#drain(timeout);
    return this.#drained;
  }

  async #drain(timeout: number): Promise<boolean> {
    if (!this.#closing) {
      const prefix = this.name + SEPARATOR;
      return this.#host.drain(
        prefix,
        timeout,
        this.signal,
        () => this.close(),
      );
    }
    await this.#closing;
    return true;
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closing;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing = promise;
    this.#end().then(resolve);
    return promise;
  }

  async #end(): Promise<void> {
    const inner = this.#inner.close();
    for (const registered of this.#registered) registered[Symbol.dispose]();
    this.#registered.clear();
    this.#abort.abort(new Error(`the behaviour "${this.name}" has ended`));
    const cleaning = this.#cleanups.splice(0).reverse()
      .map((cleanup) => this.#clean(cleanup));
    await Promise.all([inner, ...cleaning]);
    this.#ended();
  }

  async #clean(cleanup: () => unknown): Promise<void> {
    try {
      await cleanup();
    } catch (error) {
      this.fault(error, `its cleanup failed: ${reasonOf(error)}`);
    }
  }

  #register(registered: Disposable): Disposable {
    this.#registered.add(registered);
    return {
      [Symbol.dispose]: (): void => {
        this.#registered.delete(registered);
        registered[Symbol.dispose]();
      },
    };
  }

  #nameOf(name: string): string {
    let full = this.#names.get(name);
    if (full === undefined) {
      full = this.name + SEPARATOR + name;
      if (this.#names.size >= NAMES) this.#names.clear();
      this.#names.set(name, full);
    }
    return full;
  }

  #assertOpen(verb: string, what: string): void {
    if (!this.#closing) return;
    throw new TypeError(
      `Cannot ${verb} "${what}": the behaviour "${this.name}" has ended`,
    );
  }
}

function checkedName(name: string): string {
  if (
    name.length > 0 && name.length <= MAX_NAME && !name.includes(SEPARATOR)
  ) return name;
  throw new TypeError(
    `Cannot use "${name}": the name of a behaviour has 1 to ${MAX_NAME} characters, none of them "${SEPARATOR}"`,
  );
}
