import type { Address, Listener } from "@devts/transport";
import type { Codec, FrameKind, Rights, ViewCount } from "@devts/protocol";
import type {
  Counted,
  DirectRouter,
  Lane,
  LinkEvent,
  LinkingRouter,
  MemberEvent,
  Membership,
  MembershipContext,
  NodeId,
  Peer,
  QueueingRouter,
  Router,
  RouterContext,
  SelectiveRouter,
  Topology,
} from "@devts/routing";
import { type Reach, reachOfRemote } from "./address.ts";
import { AGREEMENT, Agreement } from "./agreement.ts";
import { Audiences, type Queue } from "./audiences.ts";
import { type Behaviour, Behaviours, type ScopeHost } from "./behaviour.ts";
import {
  type Bundle,
  deliveriesIn,
  EVENT,
  namesIn,
  NO_REQUEST,
  PAYLOAD_EVENTS,
  PAYLOAD_MEMBERSHIP,
  PAYLOAD_STREAMS,
  REQUEST,
  requestsIn,
  SENT_EVENT,
} from "./bundle.ts";
import { DeadLetters } from "./dead_letters.ts";
import { Delivering } from "./delivering.ts";
import { Doors } from "./doors.ts";
import { takingEncoded } from "./encoded.ts";
import { Explainer, type Explanation } from "./explain.ts";
import { History } from "./_history.ts";
import { EventFeed, type Feed } from "./feed.ts";
import { Frame, FRAMING_ROOM } from "./frame.ts";
import { Gatherer, type Gathering } from "./gathering.ts";
import {
  ClosedError,
  ContractError,
  isViolation,
  JoinError,
  reasonOf,
  RequestError,
} from "./errors.ts";
import { CheckedStream } from "./checked_stream.ts";
import { Checks } from "./checks.ts";
import { joinExtras } from "./extras.ts";
import { Handlers } from "./handlers.ts";
import { Inbound } from "./inbound.ts";
import { Joining } from "./joining.ts";
import { Journal } from "./journal.ts";
import { ClusterKeyring, KEYRING } from "./keyring.ts";
import type { Link } from "./link.ts";
import { type NodeLimits, noneMet, withDefaults } from "./limits.ts";
import { Links, type LinksOwner, type Rejection } from "./links.ts";
import { Lookout } from "./lookout.ts";
import { Layers, type Send, type SentEvent } from "./middleware.ts";
import { Loopback } from "./loopback.ts";
import { Interest } from "./interest.ts";
import {
  type GroupOf,
  PAYLOAD_INTEREST,
  STRATEGIES,
} from "./interest_codec.ts";
import { encodeName, Pattern } from "./names.ts";
import { MYSELF, Outbound, type Target } from "./outbound.ts";
import { Outcomes } from "./outcomes.ts";
import { Packets } from "./packets.ts";
import { Readiness } from "./ready.ts";
import { Replies } from "./replies.ts";
import { forGuest, fromGuest } from "./rights.ts";
import { Requests } from "./requests.ts";
import type { StandardSchema } from "./schema.ts";
import { riskOf, type Safety, type Security } from "./security.ts";
import { Self } from "./self.ts";
import type { Slab } from "./slab.ts";
import type { Stream } from "./stream.ts";
import { type StreamHandler, Streams } from "./streams.ts";
import { type Topic, Topics } from "./topics.ts";
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
  Handled,
  Handler,
  HandlerContext,
  HandlerOptions,
  Member,
  NamePattern,
  NodeCounters,
  NodeParts,
  OpenerOf,
  OpenOptions,
  Outcome,
  ReadyOptions,
  ReplyOf,
  RequestOptions,
  Strategy,
  StreamName,
  SystemEventName,
  SystemEvents,
  TakenOf,
} from "./types.ts";

const REQUEST_TIMEOUT = 10_000;
const OPEN_TIMEOUT = 10_000;
// While this node does not read a link, its peer counts as heard this often, in ms.
const PAUSED_BEAT = 500;
// How long `drain` waits for what is under way; for the others to say that they know, and
// how often it looks, in ms.
const DRAIN_TIMEOUT = 10_000;
const ECHO_TIMEOUT = 1_000;
const DRAIN_LOOK = 10;
// Whatever hangs, `close` ends after this long, in ms.
const CLOSE_TIMEOUT = 4_500;
// The same for the links that a router brings: with the others, within 5 s.
const ROUTER_CLOSE_TIMEOUT = 450;
// A received bundle from this length on is not copied out of the read buffer, in bytes.
const BORROWED_FROM = 16_384;
// Names of events that nobody handles are logged once each, up to this many.
const UNHANDLED_NAMES = 64;

const NOTHING = new Uint8Array(0);

/**
 * A node of a cluster: it sends and receives events.
 *
 * - **Construction does no I/O**, so that no event arrives before its handler.
 *   `listen` and `join` do not block the program.
 * - **Delivery** is at most once, but for {@linkcode Node.deliver}, which is tried until
 *   it is acknowledged. Events of one sender arrive in the order in which it called
 *   `emit`, `send` and `request`.
 * - **Back-pressure.** `await` what `emit` and `send` return: it waits for links
 *   that are behind but make progress. Without `await`, memory stays bounded and
 *   the outcome says what was dropped.
 * - **No rejection ends the process.** Promises of a node that nobody awaits are
 *   caught, counted and logged.
 * - **Data is checked by a contract.** Without one, the types describe what well-meaning
 *   peers send; check what must hold.
 *
 * Build one with `createNode` of `@devts/devts`, or from parts of your own. Extend
 * the class where being a node is the point; otherwise, give a node to your class.
 *
 * @typeParam E The events: an interface of methods, whose parameter is the data
 * and whose result is the reply.
 */
export class Node<E extends object = AnyEvents> implements AsyncDisposable {
  readonly #parts: NodeParts;
  readonly #safety: Safety;
  readonly #journal: Journal;
  readonly #self: Self;
  readonly #links: Links;
  readonly #router: Router;
  /** The router, where it brings its own links. */
  readonly #linking: LinkingRouter | null;
  /** The router, where its network chooses members of groups. */
  readonly #queueing: QueueingRouter | null;
  /** What this node waits for in groups. */
  readonly #waiting = new Set<Disposable>();
  readonly #membership: Membership & Partial<Counted>;
  readonly #doors: Doors;
  readonly #joining: Joining;
  readonly #history: History;
  readonly #lookout: Lookout;
  readonly #explainer: Explainer;
  readonly #packets: Packets;
  readonly #outbound: Outbound;
  readonly #outcomes: Outcomes;
  readonly #topics = new Topics();
  readonly #handlers = new Handlers();
  readonly #interest: Interest;
  readonly #audiences: Audiences;
  readonly #readiness: Readiness;
  readonly #behaviours: Behaviours;
  readonly #checks: Checks;
  readonly #layers: Layers;
  readonly #agreement: Agreement | null;
  readonly #keyring: ClusterKeyring | null;
  readonly #inbound: Inbound;
  readonly #loopback: Loopback;
  readonly #requests: Requests;
  readonly #replies: Replies;
  readonly #delivering: Delivering;
  readonly #deadLetters: DeadLetters;
  readonly #streams: Streams;
  readonly #members = new Map<NodeId, Member>();
  /** Nodes that the membership knows, and that nothing has been heard of beyond that. */
  readonly #untold = new Map<NodeId, Member>();
  readonly #targets = new Map<NodeId, Target>();
  readonly #unhandled = new Set<string>();
  readonly #abort = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  readonly #counts = {
    sent: 0,
    unhandled: 0,
    handlerErrors: 0,
    handlersStuck: 0,
    dropped: 0,
    missed: 0,
    rejections: 0,
    refused: 0,
    violations: 0,
    broken: 0,
    undelivered: 0,
    forbidden: 0,
    skipped: 0,
    invalid: 0,
    lateReplies: 0,
    delivered: 0,
    deliveriesFailed: 0,
    redelivered: 0,
    overflowed: 0,
    duplicates: 0,
    slowLinks: 0,
    streamsOpened: 0,
    streamsAccepted: 0,
    streamsRefused: 0,
    streamsFailed: 0,
  };
  readonly #met = noneMet();
  readonly #maxMeta: number;
  #ready = false;
  #closing = false;
  #draining: Promise<boolean> | null = null;
  /** Which neighbour sent the packet that the router is taking. */
  #source: NodeId | null = null;
  /** Whose events were handled last. */
  #heard: NodeId = "";
  /** What was wrong with the packet that the router is taking. */
  #violation: unknown = null;
  /** Ends the pause of a link that is not read for a while. */
  readonly #pauses = new Map<Link, () => void>();
  /** Whether that packet is a part of a read buffer, which will be used again. */
  #isLent = false;
  /** What streams wait for, where the router brings its own links. */
  #awaited: Promise<void> | null = null;

  /**
   * Makes a node of parts. No I/O: it lives from `listen` or `join` on.
   *
   * @throws {TypeError} If the cluster's name, the id, an advertised address or the
   * metadata is malformed.
   * @throws {RangeError} If the metadata takes more than 512 bytes, or a limit is out of
   * range.
   */
  constructor(parts: NodeParts) {
    const { clock, random, protocol, codec, transport } = parts;
    const limits = withDefaults(parts.limits);
    const { maxMessage } = limits;
    const { insecure, security = null } = parts;
    this.#parts = parts;
    this.#safety = { insecure, security };
    this.#maxMeta = limits.meta;
    this.#journal = new Journal(parts.id, parts.logger, clock);
    this.#history = new History(clock);
    this.#lookout = new Lookout(clock, () => {
      this.#failUnreachable("there is no way to it any more");
      return this.#requests.size + this.#streams.size > 0;
    });
    this.#checks = new Checks(parts.contract ?? null, codec);
    this.#layers = new Layers(parts.middleware ?? []);
    this.#self = new Self({
      ...parts,
      maxMessage,
      contract: parts.contract?.digest,
    });
    this.#packets = new Packets(protocol);
    this.#requests = new Requests({
      clock,
      limit: limits.requests,
      met: this.#met,
      rejecting: (reply) => this.#quiet(reply),
    });
    this.#loopback = new Loopback(
      clock,
      limits,
      (payload) => this.#deliverOwn(payload),
    );
    this.#outcomes = new Outcomes(
      () => this.#router.nodes.size,
      () => isDirect(this.#router),
      this.#loopback,
      () => this.#linking?.room ?? this.#outbound.pause,
    );
    this.#outbound = new Outbound({
      codec: parts.contract === undefined ? codec : takingEncoded(codec),
      headroom: FRAMING_ROOM + protocol.headerSize,
      maxMessage,
      clock,
      nodes: () => isDirect(this.#router) ? this.#router.nodes : null,
      turned: () => this.#audiences.look(),
      ship: (bundle, target) => this.#ship(bundle, target),
    });
    this.#replies = new Replies({
      outbound: this.#outbound,
      requests: this.#requests,
      checks: this.#checks,
      journal: this.#journal,
      counts: this.#counts,
      target: (to) => this.#replyTarget(to),
    });
    this.#interest = this.#makeInterest(limits.subscriptions);
    this.#audiences = new Audiences({
      id: parts.id,
      random,
      interest: this.#interest,
      nodes: () => this.#router.nodes,
      queues: () => this.#queueing !== null,
    });
    this.#readiness = new Readiness({
      id: parts.id,
      clock,
      members: () => this.#members.size,
      handling: (name) => this.#audiences.handling(name),
    });
    this.#deadLetters = new DeadLetters({
      id: parts.id,
      clock,
      decode: (name, bytes) => this.#checks.decode(name, bytes),
      journal: this.#journal,
    });
    this.#delivering = this.#makeDelivering(limits);
    this.#inbound = this.#makeInbound(limits.running);
    this.#streams = this.#makeStreams(limits.streams, limits.streamMessage);
    this.#links = new Links(this.#linksOwner(), {
      id: parts.id,
      transport,
      protocol,
      clock,
      random,
      wrap: parts.link,
      limits,
      met: this.#met,
      slowLink: parts.slowLink ?? "drop-newest",
      safety: this.#safety,
    });
    this.#doors = new Doors({
      transport,
      safety: this.#safety,
      journal: this.#journal,
      accept: (connection) => this.#links.accept(connection),
      changed: () => this.#tellAddresses(),
    });
    this.#joining = new Joining({
      cluster: parts.cluster,
      schemes: transport.schemes,
      clock,
      random,
      links: this.#links,
      journal: this.#journal,
      members: () => this.#membership.members.values(),
      addresses: () => this.addresses,
      reachable: (id) => this.#router.nodes.has(id),
    });
    const router = parts.router(this.#routerContext());
    this.#router = router;
    this.#linking = isLinking(router) ? router : null;
    this.#queueing = isQueueing(router) ? router : null;
    this.#membership = parts.membership(this.#membershipContext());
    this.#explainer = new Explainer({
      self: parts.id,
      clock,
      history: this.#history,
      router,
      membership: this.#membership,
      links: () => this.#links.values(),
      unanswered: () => this.#joining.unanswered(),
    });
    this.#behaviours = new Behaviours(this.#scopeHost(maxMessage));
    this.#keyring = this.#makeKeyring(security);
    this.#agreement = this.#makeAgreement();
    security?.onRefused?.((reason) => this.#strangerRefused(reason));
  }

  /** Its id. */
  get id(): string {
    return this.#parts.id;
  }

  /** The name of its cluster. */
  get cluster(): string {
    return this.#parts.cluster;
  }

  /** Its incarnation: rises with each start, and with each change of what it tells of itself. */
  get incarnation(): number {
    return this.#self.peer.incarnation;
  }

  /** Where others can dial it: what it tells them. */
  get addresses(): readonly string[] {
    return this.#self.peer.addresses;
  }

  /**
   * Everyone else in the cluster, by id; live. A node that this one has heard of from
   * others counts once there is a way to it, or once it is found to be unreachable.
   */
  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  /** Resolves once the node is closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What it did and met since its start. */
  get counters(): NodeCounters {
    return {
      ...this.#counts,
      received: this.#inbound.received,
      limits: {
        ...this.#met,
        members: this.#met.members + (this.#membership.counters?.full ?? 0),
      },
    };
  }

  /**
   * Accepts connections from now on: on an address (port 0: any free one), or from
   * a listener, such as one that a web server feeds. May be called several times.
   *
   * Outside loopback it needs a secret, an identity, or `insecure: true`: otherwise
   * whoever can connect could read and send every event.
   *
   * @returns The address with the port filled in: the cluster port for others to join.
   * @throws {ConnectionError} If the address cannot be listened on.
   */
  listen(where: Address | Listener): Promise<Address> {
    return this.#quiet(this.#listen(where));
  }

  /**
   * Dials entry nodes: any node of the cluster by any of its addresses. Each is
   * dialled once before the promise resolves, and again and again, with pauses of up
   * to 10 s, whenever no link leads there.
   *
   * With a router that brings its own links, such as `natsRouter`, it opens those; call
   * it without addresses.
   *
   * @returns How many entry nodes answered, and nodes that such a router found. 0: this
   * node is the first of its cluster.
   * @throws {JoinError} If none answered and one refused: it belongs to another
   * cluster, or speaks another protocol or data format. Also if such a router cannot
   * connect.
   * @throws {TypeError} If an address is malformed.
   */
  join(...addresses: Address[]): Promise<number> {
    return this.#quiet(this.#join(addresses));
  }

  /**
   * Handles an event, from others and from this node. Several handlers of one name
   * are called in the order of registration; the first replies to requests.
   *
   * Handlers are called one after the other without waiting for promises. What one
   * throws is counted, logged and told as a system event `error`; for a request,
   * it is also the reply. Byte fields of the data are views of the memory
   * that they came in, up to 256 KiB of it: keep a copy (`slice`) of a small one that
   * is kept for long.
   *
   * The others are told at once that this node handles the name. What they emit before
   * they know does not come: register handlers before `join`, or let those who emit
   * await {@linkcode Node.ready}. `send` and `request` always come.
   *
   * With a group, each event goes to one of its members, which may be the node that
   * emits it. A name may contain dots: see {@linkcode NamePattern}.
   *
   * @returns Dispose it to stop handling.
   * @throws {TypeError} If the name or the group is malformed.
   * @throws {RangeError} If this node is in a group for 1,024 names already
   * (`limits.subscriptions`).
   */
  on<K extends EventName<E>>(
    name: K,
    handler: (
      data: TakenOf<E, K>,
      context: HandlerContext,
    ) => Handled<E, K>,
    options?: HandlerOptions,
  ): Disposable;
  /**
   * Handles all events whose names a pattern stands for; `context.name` says which it is.
   * Check the data: it is of any of them.
   *
   * @returns Dispose it to stop handling.
   */
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
    if (Pattern.of(name) === null) this.#checks.assertKnown("handle", name);
    return this.#handle(name, handler, options);
  }

  /**
   * Calls back for what the node tells of itself and the cluster. These names cannot
   * collide with those of events. What a callback throws, or rejects with, is logged
   * and told as an `error`.
   *
   * @returns Dispose it to stop.
   */
  onSystem<K extends SystemEventName>(
    name: K,
    handler: (event: SystemEvents[K]) => unknown,
  ): Disposable {
    return this.#journal.on(name, handler);
  }

  /**
   * Sends an event to every other node that handles it, and to one member of each group:
   * a member may be this node. A node of which it is not known yet what it handles
   * gets every event.
   *
   * With relays that know no better, it travels to all, and who does not handle it skips
   * it.
   *
   * @returns Resolves at once, or once links that are behind have room again.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  emit<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, EmitOptions>
  ): Promise<Outcome>;
  emit(name: string, data?: unknown, options?: EmitOptions): Promise<Outcome> {
    this.#checks.assertKnown("emit", name);
    return this.#emit(name, data, options);
  }

  /**
   * Sends an event to one node; also to this one.
   *
   * @returns Resolves at once, or once the link has room again. Rejects with a
   * `NodeNotFoundError` when no way to the node is known.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  send<K extends EventName<E>>(
    to: string,
    name: K,
    ...rest: DataArg<E, K>
  ): Promise<Outcome>;
  send(to: string, name: string, data?: unknown): Promise<Outcome> {
    this.#checks.assertKnown("send", name);
    return this.#sendTo(to, name, data);
  }

  /**
   * Sends an event to one node, also to this one, and waits for the reply.
   *
   * @returns Resolves to the reply. Rejects with a `NodeNotFoundError` when no way
   * to the node is known, with a {@linkcode RequestError} when there is no reply, and
   * with the signal's reason when that aborts.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message, or the timeout out of range.
   */
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
    this.#checks.assertKnown("request", name);
    return this.#requestOf(to, name, data, options);
  }

  /**
   * Sends an event to every other node that handles it, and to one member of each group,
   * until they have acknowledged it: their handlers have returned, and what they promised
   * is done.
   *
   * What is lost is sent again under the same id, and a node handles an id once. It
   * handles it again after it has restarted, if the receipt had not come by then. In a
   * group, the work of a member that is gone, fails, or takes longer than `patience` goes
   * to another one: two members handle it if the first one was at it still, or its receipt
   * was lost. {@linkcode HandlerContext.delivery} tells handlers which is which.
   *
   * What is sent again comes later than what was sent after it.
   *
   * @example
   * ```ts
   * import { createNode } from "@devts/devts";
   * import { assertEquals } from "@std/assert";
   *
   * await using worker = createNode({ cluster: "demo", logger: console });
   * const done: unknown[] = [];
   * worker.on("job", (job) => done.push(job), { group: "workers" });
   * const address = await worker.listen("tcp://127.0.0.1:0");
   *
   * await using shop = createNode({ cluster: "demo", logger: console });
   * await shop.join(address);
   * await shop.ready({ handles: "job" });
   * const { acknowledged } = await shop.deliver("job", { id: 7 });
   * assertEquals(acknowledged, [{ node: worker.id, group: "workers" }]);
   * assertEquals(done, [{ id: 7 }]);
   * ```
   *
   * @returns Resolves once as many have acknowledged it as are asked to; the others are
   * still tried until the time is over. Rejects with a {@linkcode DeliveryError}, whose
   * `outcome` says who has it, who does not and why, once they cannot any more; at once
   * where no node handles the name. Rejects with a `NodeNotFoundError` when a node of `to`
   * is not known, and with the signal's reason when that aborts.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message, or an option out of its range.
   */
  deliver<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, DeliverOptions>
  ): Promise<DeliveryOutcome>;
  deliver(
    name: string,
    data?: unknown,
    options?: DeliverOptions,
  ): Promise<DeliveryOutcome> {
    this.#checks.assertKnown("deliver", name);
    return this.#deliverTo(name, data, options);
  }

  /**
   * Asks every other node that handles a name, and one member of each group, and gives
   * their replies as they come: until all who were asked have answered or cannot, enough
   * have, no reply has come for a while, or the time is over.
   *
   * It asks at once, and keeps one reply of each node until that is taken.
   *
   * @example
   * ```ts
   * import { createNode } from "@devts/devts";
   * import { assertEquals } from "@std/assert";
   *
   * await using shop = createNode({ cluster: "demo", id: "shop", logger: console });
   * shop.on("price", () => 7);
   * const address = await shop.listen("tcp://127.0.0.1:0");
   *
   * await using buyer = createNode({ cluster: "demo", logger: console });
   * await buyer.join(address);
   * await buyer.ready({ handles: "price" });
   * for await (const { from, data } of buyer.gather("price", "tea")) {
   *   assertEquals([from, data], ["shop", 7]);
   * }
   * ```
   *
   * @returns An async iterable, which also says who was asked and who did not answer.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message, or an option out of its range.
   */
  gather<K extends EventName<E>>(
    name: K,
    ...rest: DataArgs<E, K, GatherOptions>
  ): Gathering<ReplyOf<E, K>>;
  gather(
    name: string,
    data?: unknown,
    options?: GatherOptions,
  ): Gathering<unknown> {
    this.#checks.assertKnown("gather", name);
    return this.#gatherFrom(name, data, options);
  }

  /**
   * Events of a name, or of a pattern, as an async iterable: from now on, until the loop
   * ends, the feed is disposed, its signal aborts or the node closes.
   *
   * What comes faster than it is taken waits, up to `limit`; `overflow` says what becomes
   * of more. An event sent by {@linkcode Node.deliver} is acknowledged once the loop asks
   * for the next one, or ends; one that is dropped is reported as failed.
   *
   * @example
   * ```ts
   * import { createNode } from "@devts/devts";
   *
   * interface Events {
   *   temperature(celsius: number): void;
   * }
   *
   * await using node = createNode<Events>({ cluster: "demo", logger: console });
   * using feed = node.events("temperature", { limit: 10 });
   * await node.send(node.id, "temperature", 21);
   * for await (const { data, from } of feed) {
   *   console.log(`${from}: ${data} °C`);
   *   break;
   * }
   * ```
   *
   * @returns The feed; `dropped` counts what it dropped.
   * @throws {TypeError} If the name or the group is malformed.
   * @throws {RangeError} If an option is out of its range.
   */
  events<K extends EventName<E>>(
    name: K,
    options?: EventsOptions,
  ): Feed<TakenOf<E, K>>;
  /** The events of all names that a pattern stands for. Check the data: it is of any of them. */
  events(pattern: NamePattern, options?: EventsOptions): Feed<unknown>;
  events(name: string, options?: EventsOptions): Feed<unknown> {
    if (Pattern.of(name) === null) this.#checks.assertKnown("handle", name);
    return this.#feed(name, options, this.#abort.signal);
  }

  /**
   * Gives the node a behaviour: a store, presence, or one of the program's own. It
   * speaks to the behaviour of the same name on other nodes, and ends with the node.
   *
   * @param name 1 to 64 characters, without `/`; unique on this node.
   * @returns What the behaviour returns.
   * @throws {TypeError} If the name is malformed or in use, or the node is closed.
   */
  use<T, F extends object = AnyEvents>(
    name: string,
    behaviour: Behaviour<T, F>,
  ): T {
    return this.#behaviours.use(name, behaviour);
  }

  /**
   * Believes the key of a node no more, whoever vouches for it, and ends its link. On
   * this node, until it ends: give others the id, too, and later starts as
   * `trust.revoked`.
   *
   * @throws {TypeError} If this node believes no keys: it was made without `trust`.
   */
  revoke(id: string): void {
    const { security } = this.#safety;
    if (security?.revoke === undefined) {
      throw new TypeError(
        `Cannot revoke "${id}": this node believes no keys, since it was made without \`trust\``,
      );
    }
    security.revoke(id);
    this.#links.revoke(id);
  }

  /** The secrets of the cluster, and how to change them; null: this node has none. */
  get keyring(): ClusterKeyring | null {
    return this.#keyring;
  }

  /**
   * Opens a conversation with one node, also with this one: a stream of messages both
   * ways, as fast as the other end takes them. For what is longer than a message of an
   * event, too.
   *
   * The other node's handler sees it after every event sent to that node before. What is
   * sent over a stream, and events sent afterwards, may overtake each other.
   *
   * @returns Resolves once the other node has accepted. Rejects with a
   * `NodeNotFoundError` when no way to the node is known, with a {@linkcode StreamError}
   * when it does not accept, and with the signal's reason when that aborts.
   * @throws {RangeError} If the timeout is out of range.
   */
  open<K extends StreamName<E>>(
    to: string,
    name: K,
    options?: OpenOptions,
  ): Promise<Stream<OpenerOf<E, K>, AcceptorOf<E, K>>>;
  open(to: string, name: string, options?: OpenOptions): Promise<Stream> {
    this.#checks.assertKnown("open", name);
    return this.#openStream(to, name, options);
  }

  /**
   * Handles the streams of a name that other nodes, or this one, open. A name has one
   * handler.
   *
   * The stream outlives the handler: it ends when both ends have closed it, or one has
   * aborted it. What the handler throws, or rejects with, aborts it, is counted and told
   * as a system event `error`.
   *
   * @returns Dispose it to accept no more of them.
   * @throws {TypeError} If there is a handler for the name.
   */
  onOpen<K extends StreamName<E>>(
    name: K,
    handler: (
      stream: Stream<AcceptorOf<E, K>, OpenerOf<E, K>>,
      context: HandlerContext,
    ) => unknown,
  ): Disposable {
    this.#checks.assertKnown("handle", name);
    return this.#handleStreams(name, handler);
  }

  /**
   * Which way a message to a node would take now, and why: the route, others that the
   * router knows, the state and the queues of this node's links, the last error.
   * `explanationText` makes a text of it. It sends and dials nothing.
   *
   * @example
   * ```ts
   * import { createNode } from "@devts/devts";
   * import { assertEquals } from "@std/assert";
   *
   * await using ada = createNode({ cluster: "demo", id: "ada" });
   * await using bob = createNode({ cluster: "demo", id: "bob" });
   * await bob.join(await ada.listen("tcp://127.0.0.1:0"));
   *
   * const { how, why, links } = bob.explain("ada");
   * assertEquals([how, why], ["link", "there is a link to it"]);
   * assertEquals(links.map(({ state, queued }) => [state, queued]), [["open", 0]]);
   * ```
   */
  explain(target: string): Explanation {
    return this.#explainer.explain(target);
  }

  /**
   * The nodes and links that this node knows of, as data: its own links, and what its
   * router and membership know of others. With `mapRouter` that is the whole network;
   * with the others, those that it has heard of and through which neighbour.
   * `topologySvg` of `@devts/routing/picture` draws it.
   */
  topology(): Topology {
    return this.#explainer.topology();
  }

  /**
   * Replaces this node's metadata, and tells the others.
   *
   * @throws {TypeError} If it cannot be encoded.
   * @throws {RangeError} If it takes more than 512 bytes.
   */
  update(meta: unknown): void {
    this.#assertOpen("update");
    this.#self.setMeta(meta);
    this.#membership.update();
  }

  /**
   * Waits until the cluster is as the program needs it.
   *
   * @example Work starts once somebody does it
   * ```ts
   * import { createNode } from "@devts/devts";
   *
   * await using worker = createNode({ cluster: "demo", logger: console });
   * worker.on("order.new", () => {}, { group: "workers" });
   * const address = await worker.listen("tcp://127.0.0.1:0");
   *
   * await using shop = createNode({ cluster: "demo", logger: console });
   * await shop.join(address);
   * await shop.ready({ members: 1, handles: "order.new" });
   * await shop.emit("order.new", { id: 7 });
   * ```
   *
   * @returns Resolves once it is. Rejects with a {@linkcode ReadyError} that says what is
   * missing when the time is over, the signal aborts or the node closes.
   * @throws {RangeError} If a number is out of its range.
   */
  ready(options: ReadyOptions): Promise<void> {
    return this.#quiet(this.#readiness.wait(options));
  }

  /**
   * Closes the node once its work is done. In this order:
   *
   * 1. The others are told that this node handles nothing any more: events and the work
   *    of groups go elsewhere. It accepts no more streams.
   * 2. Each of the others confirms that it knows, within 1 s: what it had sent before has
   *    come, and is handled.
   * 3. Handlers that run, and streams, come to their end; requests and deliveries of this
   *    node are answered.
   * 4. What is queued leaves, and the node is closed.
   *
   * What is sent to this node by its id is handled until then. Idempotent.
   *
   * @returns Resolves once the node is closed: to whether everything had ended by then.
   * @throws {RangeError} If the timeout is out of its range.
   */
  drain(options?: DrainOptions): Promise<boolean> {
    const { timeout = DRAIN_TIMEOUT } = options ?? {};
    if (!(timeout >= 1 && timeout < 2 ** 31)) {
      throw new RangeError(
        `Cannot drain: the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
      );
    }
    this.#draining ??= this.#drain(timeout);
    return this.#draining;
  }

  /**
   * Says goodbye, lets what is queued leave, and closes everything: listeners,
   * links, timers. Open requests reject. Idempotent; ends within 5 s from any state.
   */
  close(): Promise<void> {
    if (this.#closing) return this.closed;
    // They may still send, and one of them may call this.
    const behaviours = this.#behaviours.close();
    if (!this.#closing) {
      this.#delivering.receipts.flush();
      this.#closing = true;
      this.#shutDown(behaviours)
        .then(this.#closed.resolve, this.#closed.reject);
    }
    return this.closed;
  }

  /** The same as {@linkcode Node.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // -- Sending --

  #post(
    target: Target,
    name: string,
    data: unknown,
    headers: Uint8Array | null,
  ): Promise<Outcome> {
    if (this.#closing) {
      return this.#rejected(
        new ClosedError(`Cannot send "${name}": the node is closed`),
      );
    }
    this.#add(target, SENT_EVENT, name, 0, data, headers, "send");
    if (target === MYSELF) return this.#outcomes.ofMyself();
    const link = this.#links.get(target.to[0] ?? "");
    return link ? this.#outcomes.ofLink(link) : this.#outcomes.ofDistant();
  }

  #sendTo(to: string, name: string, data: unknown): Promise<Outcome> {
    return this.#layers.isBare(name)
      ? this.#sendNow(to, name, data, null)
      : this.#sendLayered(to, name, data);
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
    const unknown = this.#unknownTarget(to);
    if (unknown) return this.#rejected(unknown);
    const objection = this.#agreement?.objection(to, name) ?? null;
    if (objection !== null) {
      return this.#rejected(
        new ContractError(
          `Cannot send "${name}" to node "${to}", whose contract differs: ${objection}`,
        ),
      );
    }
    return this.#post(this.#targetOf(to), name, data, headers);
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
    return result === own ? result : this.#quiet(Promise.resolve(result));
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

  #emit(
    name: string,
    data: unknown,
    options: EmitOptions | undefined,
  ): Promise<Outcome> {
    return this.#layers.isBare(name)
      ? this.#emitNow(name, data, options, null)
      : this.#emitLayered(name, data, options);
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
    if (this.#closing) {
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
      const isOwn = own !== null || self && this.#handlers.takesAll(name);
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

  #handle(
    name: string,
    handler: Handler,
    { group, strategy = "round-robin", key = "" }: HandlerOptions = {},
  ): Disposable {
    encodeName(name);
    if (group === undefined) return this.#subscribe(name, handler, null);
    checkGroup(name, group, strategy, key);
    return this.#subscribe(name, handler, { name: group, strategy, key });
  }

  #subscribe(
    name: string,
    handler: Handler,
    group: GroupOf | null,
  ): Disposable {
    Pattern.of(name);
    const subscription = { name, group };
    this.#interest.add(subscription);
    const waiting = group && this.#queueing?.wait(group.name, name);
    if (waiting) this.#waiting.add(waiting);
    const layered = this.#layers.around(handler, name, "event");
    return this.#handlers.add(name, layered, group?.name ?? null, () => {
      if (waiting && this.#waiting.delete(waiting)) waiting[Symbol.dispose]();
      this.#interest.remove(subscription);
    });
  }

  #targetOf(id: NodeId): Target {
    if (id === this.id) return MYSELF;
    const known = this.#targets.get(id);
    if (known) return known;
    const target: Target = { to: [id] };
    if (this.#router.nodes.has(id)) this.#targets.set(id, target);
    return target;
  }

  #replyTarget(to: NodeId): Target | null {
    if (this.#closing) return null;
    return to === this.id || this.#router.nodes.has(to)
      ? this.#targetOf(to)
      : null;
  }

  /** What the router says of a node that it knows no way to. */
  #unknownTarget(to: NodeId): unknown {
    if (to === this.id || this.#router.nodes.has(to)) return null;
    try {
      this.#router.send([to], NOTHING);
    } catch (error) {
      return error;
    }
    return null;
  }

  #requestOf(
    to: string,
    name: string,
    data: unknown,
    options: RequestOptions = {},
  ): Promise<unknown> {
    return this.#layers.isBare(name)
      ? this.#requestNow(to, name, data, options, null)
      : this.#requestLayered(to, name, data, options);
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
    if (this.#closing) {
      return this.#rejected(
        new ClosedError(`Cannot request "${name}": the node is closed`),
      );
    }
    if (signal?.aborted) return this.#rejected(signal.reason);
    const unknown = this.#unknownTarget(to);
    if (unknown) return this.#rejected(unknown);
    const objection = this.#agreement?.objection(to, name) ?? null;
    if (objection !== null) {
      const message =
        `Cannot request "${name}" of node "${to}", whose contract differs: ${objection}`;
      return this.#rejected(new RequestError("invalid", message));
    }
    return this.#request(to, name, data, headers, timeout, signal);
  }

  #request(
    to: NodeId,
    name: string,
    data: unknown,
    headers: Uint8Array | null,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    let opened;
    try {
      opened = this.#requests.open(to, name, timeout, signal);
    } catch (error) {
      return this.#rejected(error);
    }
    const { id, reply } = opened;
    if (!isDirect(this.#router)) this.#lookout.begin();
    try {
      const target = this.#targetOf(to);
      this.#add(target, REQUEST, name, id, data, headers, "request");
    } catch (error) {
      this.#requests.drop(id);
      throw error;
    }
    return reply;
  }

  #deliverTo(
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

  #deliverNow(
    name: string,
    data: unknown,
    options: DeliverOptions,
    headers: Uint8Array | null,
  ): Promise<DeliveryOutcome> {
    if (this.#closing) {
      return this.#rejected(
        new ClosedError(`Cannot deliver "${name}": the node is closed`),
      );
    }
    const { signal, to = [] } = options;
    if (signal?.aborted) return this.#rejected(signal.reason);
    for (const id of typeof to === "string" ? [to] : to) {
      const unknown = this.#members.has(id) ? null : this.#unknownTarget(id);
      if (unknown) return this.#rejected(unknown);
    }
    let promise;
    try {
      const topic = this.#topics.of(name);
      const rule = this.#checks.rule(name);
      const sent = rule === null ? data : this.#checks.sent(rule, data);
      const extras = rule === null ? headers : joinExtras(rule.extras, headers);
      promise = this.#delivering.deliver(topic, data, options, extras, sent);
    } catch (error) {
      throw refused("deliver", name, error);
    }
    this.#counts.sent++;
    return promise;
  }

  #gatherFrom(
    name: string,
    data: unknown,
    options: GatherOptions = {},
  ): Gathering<unknown> {
    const nodes = options.to ?? this.#audiences.asked(this.#topics.of(name));
    return new Gatherer({
      name,
      nodes: [...new Set(nodes)],
      clock: this.#parts.clock,
      options,
      ask: (node, timeout, signal) =>
        this.#requestOf(node, name, data, { timeout, signal }),
    });
  }

  #feed(
    name: string,
    { limit, overflow, signal, ...options }: EventsOptions = {},
    own: AbortSignal,
  ): Feed<unknown> {
    return new EventFeed({
      name,
      limit,
      overflow,
      signals: signal ? [own, signal] : [own],
      on: (handler) => this.#handle(name, handler, options),
      dropped: () => {
        this.#counts.overflowed++;
        this.#journal.warnSometimes(
          `an event "${name}" was dropped: as many wait to be taken as may`,
        );
      },
    });
  }

  #makeDelivering(limits: Required<NodeLimits>): Delivering {
    const { id, clock, random } = this.#parts;
    return new Delivering({
      id,
      clock,
      random,
      limits,
      met: this.#met,
      counts: this.#counts,
      outbound: this.#outbound,
      audiences: this.#audiences,
      interest: this.#interest,
      incarnation: () => this.incarnation,
      nodes: () => this.#router.nodes,
      target: (to) => this.#replyTarget(to),
      failing: (promise, failed) => {
        this.#quiet(promise);
        if (failed === null) return;
        const { name, bytes, error: { message } } = failed;
        this.#deadLetters.undelivered(name, bytes, message);
      },
    });
  }

  #rejected(error: unknown): Promise<never> {
    return this.#quiet(Promise.reject(error));
  }

  /** A rejection that nobody awaits is counted and logged, and does not end the process. */
  #quiet<T>(promise: Promise<T>): Promise<T> {
    promise.catch((error) => {
      this.#counts.rejections++;
      this.#journal.debug(reasonOf(error));
    });
    return promise;
  }

  #ship(bundle: Bundle, target: Target): void {
    const { payload, count, slab } = bundle;
    if (target === MYSELF) {
      if (!this.#loopback.take(bundle)) this.#counts.dropped += count;
      slab?.release();
      return;
    }
    if (target.queue !== undefined) {
      if (!this.#shipToOne(target.queue, payload)) {
        this.#counts.dropped += count;
      }
      return;
    }
    const to = this.#cheapest(target);
    if (to.length === 0) return;
    let handed = 0;
    let isBare = true;
    let why = "its link takes nothing";
    try {
      isBare = this.#packets.during(bundle, () => {
        handed = this.#router.send(to, payload, "data");
      });
      // Other routers may keep what they are given.
      if (isDirect(this.#router)) slab?.release();
    } catch (error) {
      this.#counts.undelivered += count;
      why = reasonOf(error);
      this.#journal.debug(why);
    }
    const [only] = to;
    if (handed === 0 && only !== undefined && to !== "all") {
      this.#noteLost(payload, only, why);
    }
    if (to === "all" || this.#requests.size === 0) return;
    if (handed === 0) this.#requests.rejectLost(requestsIn(payload), why);
    else if (!isBare) this.#requests.sentTogether(requestsIn(payload));
  }

  #shipToOne(
    { group, name }: { readonly group: string; readonly name: string },
    payload: Uint8Array,
  ): boolean {
    try {
      return this.#queueing?.sendToOne(group, name, payload) === true;
    } catch (error) {
      this.#journal.debug(reasonOf(error));
      return false;
    }
  }

  /** Sending to all may take fewer packets: who does not handle an event skips it. */
  #cheapest({ to }: Target): readonly NodeId[] | "all" {
    const router = this.#router;
    const { nodes } = router;
    if (to === "all" || to.length < 2) return to;
    const there = to.every((id) => nodes.has(id))
      ? to
      : to.filter((id) => nodes.has(id));
    if (isDirect(router) || there.length < 2) return there;
    if (there.length >= nodes.size) return "all";
    return isSelective(router) && router.prefersEach(there) ? there : "all";
  }

  #openStream(
    to: string,
    name: string,
    options: OpenOptions = {},
  ): Promise<Stream> {
    const { timeout = OPEN_TIMEOUT, signal } = options;
    const { bytes } = this.#topics.of(name);
    if (!(timeout >= 1 && timeout < 2 ** 31)) {
      throw new RangeError(
        `Cannot open a stream "${name}": the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
      );
    }
    if (this.#closing) {
      return this.#rejected(
        new ClosedError(`Cannot open a stream "${name}": the node is closed`),
      );
    }
    if (signal?.aborted) return this.#rejected(signal.reason);
    const unknown = this.#unknownTarget(to);
    if (unknown) return this.#rejected(unknown);
    this.#outbound.flush();
    const opened = this.#streams.open(to, name, bytes, timeout, signal);
    const rules = this.#checks.conversation(name);
    if (rules === null) return opened;
    const schemas = { sent: rules.opener, received: rules.acceptor };
    return this.#quiet(opened.then((one) => this.#checkedStream(one, schemas)));
  }

  #handleStreams(name: string, handler: StreamHandler): Disposable {
    this.#topics.of(name);
    const layered = this.#layers.around(handler, name, "stream");
    const rules = this.#checks.conversation(name);
    if (rules === null) return this.#streams.handle(name, layered);
    const schemas = { sent: rules.acceptor, received: rules.opener };
    return this.#streams.handle(
      name,
      (stream, context) =>
        layered(this.#checkedStream(stream, schemas), context),
    );
  }

  #checkedStream(
    stream: Stream,
    schemas: {
      readonly sent: StandardSchema;
      readonly received: StandardSchema;
    },
  ): Stream {
    const { name, peer } = stream;
    return new CheckedStream(
      stream,
      this.#checks,
      schemas,
      (why) => this.#refuseInvalid(name, peer, NO_REQUEST, why),
    );
  }

  /** Sends a payload of a stream, which stands in a message with room in front. */
  #shipStream(
    to: NodeId,
    message: Uint8Array,
    slab: Slab | null,
    lane: Lane,
  ): boolean {
    const headroom = FRAMING_ROOM + this.#parts.protocol.headerSize;
    const payload = message.subarray(headroom);
    if (to === this.id) {
      this.#parts.clock.soon(() => this.#deliverOwn(payload));
      return true;
    }
    const bundle: Bundle = { message, payload, count: 0, slab };
    let handed = 0;
    try {
      this.#packets.during(bundle, () => {
        handed = this.#router.send([to], payload, lane);
      });
      // Other routers may keep what they are given.
      if (isDirect(this.#router)) slab?.release();
      else this.#lookout.begin();
    } catch (error) {
      this.#journal.debug(reasonOf(error));
    }
    return handed > 0;
  }

  /** Whether what a stream sends to a node now leaves soon. */
  #hasRoom(to: NodeId): boolean {
    if (this.#linking) return this.#linkingHasRoom(this.#linking);
    const link = this.#links.get(to);
    return link ? !link.congested && !link.dropping : !this.#outcomes.isBehind;
  }

  #linkingHasRoom({ room }: LinkingRouter): boolean {
    if (room === null) return true;
    if (this.#awaited === room) return false;
    this.#awaited = room;
    room.then(() => this.#streams.pump());
    return false;
  }

  // -- Links --

  #sendPacket(id: NodeId, packet: Uint8Array, lane: Lane): boolean {
    const link = this.#links.get(id);
    if (!link) return false;
    const { rights } = link.proven;
    if (rights) return this.#sendToGuest(link, rights, packet, lane);
    const frame = this.#packets.frame(packet, lane);
    const { events } = this.#packets;
    if (frame.length > link.maxMessage) {
      this.#counts.undelivered += events;
      this.#journal.warnSometimes(
        `a message of ${frame.length} bytes to node "${id}" was lost: it takes at most ${link.maxMessage}`,
      );
      return false;
    }
    // What has numbers of the router's in front is missed by those, at its target.
    const missed = this.#packets.isBundle(packet) ? events : 0;
    const taken = link.send(frame, lane, missed);
    if (!taken && lane === "data") this.#counts.dropped += events;
    return taken;
  }

  /** A guest is sent what it may handle, and no more. */
  #sendToGuest(
    link: Link,
    rights: Rights,
    packet: Uint8Array,
    lane: Lane,
  ): boolean {
    const permitted = forGuest(packet, rights);
    this.#counts.forbidden += permitted.dropped;
    this.#delivering.refused(
      link.peer.id,
      permitted.deliveries,
      "it is a guest without a right to it",
    );
    const { stream } = permitted;
    if (stream !== null) {
      this.#parts.clock.soon(() =>
        this.#streams.forbade(
          link.peer.id,
          stream,
          "guests have no right to it",
        )
      );
    }
    let taken = permitted.payloads.length > 0 || stream !== null;
    for (const payload of permitted.payloads) {
      const frame = Frame.of(this.#message(payload, lane));
      if (frame.length > link.maxMessage || !link.send(frame, lane, 1)) {
        taken = false;
      }
    }
    return taken;
  }

  /** What a guest may not send is dropped, counted and logged; its requests fail. */
  #takeFromGuest(
    { peer: { id } }: Link,
    rights: Rights,
    message: Uint8Array,
    lane: Lane,
  ): void {
    const { headerSize } = this.#parts.protocol;
    const payload = message.slice(headerSize);
    const permitted = fromGuest(payload, rights);
    if (permitted.dropped > 0) {
      this.#counts.forbidden += permitted.dropped;
      const why = `guest "${id}" has no right to ${
        permitted.name === "" ? "that" : `"${permitted.name}"`
      }`;
      this.#journal.warnSometimes(`dropped what came: ${why}`);
      for (const request of permitted.requests) {
        this.#replies.refuse(id, request, "handler", why);
      }
      this.#delivering.forbade(id, permitted.deliveries, why);
      if (permitted.stream !== null) {
        this.#streams.forbid(id, permitted.stream, why);
      }
    }
    for (const rest of permitted.payloads) {
      this.#packet(id, this.#message(rest, lane), lane);
    }
  }

  #message(payload: Uint8Array, lane: Lane): Uint8Array {
    const { protocol } = this.#parts;
    const message = new Uint8Array(protocol.headerSize + payload.length);
    protocol.writeHeader(lane, message);
    message.set(payload, protocol.headerSize);
    return message;
  }

  #linksOwner(): LinksOwner {
    return {
      takesGuests: () => isDirect(this.#router),
      introduce: (remote) => this.#self.introduction(remote),
      knownIncarnation: (id) => this.#membership.members.get(id)?.incarnation,
      outrank: (known) => this.#outrank(known),
      up: (link) => this.#linkUp(link),
      unreachable: (id, reason) => this.#linkUnreachable(id, reason),
      rejected: (rejection) => this.#linkRejected(rejection),
      banned: (who, time) =>
        this.#journal.warnSometimes(
          `connections of ${who} are refused for ${
            time / 1000
          } s: they broke again and again`,
        ),
      received: (link, message, lent) => this.#received(link, message, lent),
      congestion: (link) => {
        this.#outcomes.note(link);
        if (!link.congested && !link.dropping) this.#streams.pump();
      },
      slow: (link, slow) => this.#slow(link, slow),
      oversized: (link, error) => this.#oversized(link, error),
      ended: (link, reason, error) => this.#linkEnded(link, reason, error),
    };
  }

  #linkUp({ peer, connection }: Link): void {
    this.#journal.debug(`link to "${peer.id}" at ${connection.remote}`);
    this.#tellParts({ type: "up", peer });
    this.#joining.linked(peer.id);
    this.#tellJoin(peer.id);
  }

  #linkUnreachable(id: NodeId, reason: string): void {
    this.#journal.debug(`cannot reach "${id}": ${reason}`);
    this.#history.failed(id, `cannot be dialled: ${reason}`);
    this.#tellParts({ type: "unreachable", id, reason });
    if (!this.#membership.members.has(id)) return;
    this.#joining.unreachable(id);
    this.#tellJoin(id, true);
  }

  #linkEnded(link: Link, reason: string, error: unknown): void {
    const { id } = link.peer;
    this.#pauses.get(link)?.();
    this.#outcomes.forget(link);
    this.#noteEnd(id, reason, error);
    this.#history.failed(id, `its link ended: ${reason}`);
    this.#tellParts({ type: "down", id, reason });
    this.#joining.lost(id);
    if (!this.#membership.members.has(id)) this.#inbound.forget(id);
    if (isDirect(this.#router)) {
      this.#streams.gone((other) => other === id, `the link ended: ${reason}`);
    }
    this.#failUnreachable(reason);
  }

  #noteEnd(id: NodeId, reason: string, error: unknown): void {
    if (isViolation(error)) {
      this.#counts.violations++;
      const message = `the link to node "${id}" was ended: ${reason}`;
      this.#journal.fault("link", error, message);
    } else if (error !== null) {
      this.#counts.broken++;
      this.#journal.warnSometimes(`the link to node "${id}" broke: ${reason}`);
    } else this.#journal.debug(`the link to node "${id}" ended: ${reason}`);
  }

  #strangerRefused(reason: unknown): void {
    this.#counts.refused++;
    const line = `refused a stranger's connection: ${reasonOf(reason)}`;
    this.#journal.warnSometimes(line);
  }

  #linkRejected({ address, dialed, reason, expected }: Rejection): void {
    if (!dialed) this.#counts.refused++;
    const what = dialed ? "cannot link to" : "refused a connection from";
    const line = `${what} "${address}": ${reason}`;
    if (expected) this.#journal.debug(line);
    else this.#journal.warnSometimes(line);
  }

  #slow(link: Link, slow: boolean): void {
    const { id } = link.peer;
    if (slow) this.#counts.slowLinks++;
    this.#journal.warnSometimes(
      slow ? `node "${id}" takes nothing` : `node "${id}" takes events again`,
    );
    this.#journal.tell("slowLink", { id, slow });
  }

  #oversized(link: Link, error: RangeError): void {
    this.#counts.undelivered++;
    const message =
      `a message to node "${link.peer.id}" was lost: ${error.message}`;
    this.#journal.fault("link", error, message);
  }

  /** A fault of the router or the membership must not end a loop that serves a link. */
  #tellParts(event: LinkEvent): void {
    this.#guard(
      `the router or the membership failed on "${event.type}"`,
      () => {
        this.#router.link(event);
        if (event.type === "up") this.#audiences.met(event.peer.id);
        else this.#audiences.look();
        this.#membership.link(event);
      },
    );
  }

  #guard(failure: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#journal.fault("link", error, `${failure}: ${reasonOf(error)}`);
    }
  }

  // -- Receiving --

  #received(
    link: Link,
    message: Uint8Array,
    lent: boolean,
  ): Promise<void> | undefined {
    const { id } = link.peer;
    this.#membership.heard(id);
    const kind = this.#parts.protocol.readHeader(message);
    if (kind !== "data" && kind !== "control") {
      this.#notice(link, message, kind);
      return undefined;
    }
    const { rights } = link.proven;
    if (rights) this.#takeFromGuest(link, rights, message, kind);
    else if (this.#mayBorrow(message)) this.#takeInPlace(link, message, kind);
    else this.#packet(id, lent ? message.slice() : message, kind);
    const pause = this.#inbound.room(this.#heard);
    if (!pause || this.#links.get(id) !== link) return undefined;
    return this.#paused(link, pause);
  }

  #packet(id: NodeId, message: Uint8Array, lane: Lane): void {
    const packet = message.subarray(this.#parts.protocol.headerSize);
    if (!isDirect(this.#router)) this.#packets.received(packet, message, lane);
    this.#source = this.#heard = id;
    this.#router.receive(id, packet, lane);
    this.#packets.forget();
    this.#source = null;
    if (this.#violation === null) return;
    const violation = this.#violation;
    this.#violation = null;
    throw violation;
  }

  /**
   * Whether a message may be taken apart where it was read: it is a bundle of events or
   * a piece of a stream, and so long that a copy would cost more than the rest of its
   * buffer is worth.
   */
  #mayBorrow(message: Uint8Array): boolean {
    if (message.length < BORROWED_FROM || !isDirect(this.#router)) return false;
    const kind = message[this.#parts.protocol.headerSize];
    return kind === PAYLOAD_EVENTS || kind === PAYLOAD_STREAMS;
  }

  #takeInPlace(link: Link, message: Uint8Array, lane: Lane): void {
    if (message[this.#parts.protocol.headerSize] === PAYLOAD_EVENTS) {
      return this.#takeBundle(link, message, lane);
    }
    this.#isLent = true;
    try {
      this.#packet(link.peer.id, message, lane);
    } finally {
      this.#isLent = false;
      link.kept(false);
    }
  }

  /** Takes a message apart where it stands; handlers may keep what they are given. */
  #takeBundle(link: Link, message: Uint8Array, lane: Lane): void {
    const { codec } = this.#parts;
    const views = viewsOf(codec);
    try {
      this.#packet(link.peer.id, message, lane);
    } finally {
      link.kept(views < 0 || viewsOf(codec) !== views);
    }
  }

  /** While this node does not read, its peer must not look silent to it. */
  async #paused(link: Link, pause: Promise<void>): Promise<void> {
    let cancel = (): void => {};
    const hear = (): void => {
      this.#membership.heard(link.peer.id);
      cancel = this.#parts.clock.after(PAUSED_BEAT, hear);
    };
    hear();
    // Not a race with `link.done`, which would remember every pause until the link ends.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pauses.set(link, resolve);
    pause.then(resolve);
    await promise;
    this.#pauses.delete(link);
    cancel();
  }

  #notice(link: Link, message: Uint8Array, kind: FrameKind | null): void {
    const { protocol } = this.#parts;
    if (kind === "goodbye") return link.farewell(protocol.readGoodbye(message));
    if (kind === "progress") return link.progressed();
    if (kind === null) this.#counts.skipped++;
    if (kind !== "gap") return;
    const from = link.peer.id;
    const missed = protocol.readGap(message);
    this.#missed(
      from,
      missed,
      `node "${from}" dropped ${missed} events that this node did not take in time`,
    );
  }

  #missed(from: NodeId, missed: number, line: string): void {
    this.#counts.missed = Math.min(
      Number.MAX_SAFE_INTEGER,
      this.#counts.missed + missed,
    );
    this.#journal.warnSometimes(line);
    this.#journal.tell("gap", { from, missed });
  }

  #deliver(from: NodeId, payload: Uint8Array): void {
    const kind = payload[0];
    if (kind !== PAYLOAD_MEMBERSHIP && !this.#mayBeFrom(from)) return;
    if (kind === PAYLOAD_MEMBERSHIP) {
      this.#membership.receive(from, payload.subarray(1));
      this.#tellJoin(from);
      return this.#joining.informed(from);
    }
    // Kinds that later versions add are for those who know them.
    if (this.#closing) return;
    if (kind === PAYLOAD_EVENTS || kind === PAYLOAD_STREAMS) this.#heard = from;
    try {
      if (kind === PAYLOAD_EVENTS) this.#inbound.take(from, payload);
      else if (kind === PAYLOAD_STREAMS) {
        this.#streams.take(from, payload, this.#isLent);
      } else if (kind === PAYLOAD_INTEREST) this.#learn(from, payload);
    } catch (error) {
      this.#malformed(from, error);
    }
  }

  /** What a node handles; nothing is remembered of nodes that are not there. */
  #learn(from: NodeId, payload: Uint8Array): void {
    if (!this.#router.nodes.has(from)) return;
    this.#interest.receive(from, payload);
  }

  /** Where nodes own their ids, what a relay brings is from a member, or from nobody. */
  #mayBeFrom(from: NodeId): boolean {
    const source = this.#source;
    if (source === null || from === source || !this.#safety.security?.exact) {
      return true;
    }
    if (this.#membership.members.has(from)) return true;
    this.#counts.forbidden++;
    this.#journal.warnSometimes(
      `dropped what node "${source}" passed on: it is from "${from}", which is no member`,
    );
    return false;
  }

  /** Who only passed it on has done nothing wrong. */
  #malformed(from: NodeId, error: unknown): void {
    if (from === this.#source || from === this.id) {
      this.#violation = error;
      return;
    }
    this.#counts.violations++;
    const message = `an event of node "${from}" was lost: ${reasonOf(error)}`;
    this.#journal.fault("link", error, message);
  }

  #deliverOwn(payload: Uint8Array): void {
    this.#deliver(this.id, payload);
    if (this.#violation === null) return;
    const error = this.#violation;
    this.#violation = null;
    const message = `an event to itself was lost: ${reasonOf(error)}`;
    this.#journal.fault("handler", error, message);
  }

  #makeInterest(limit: number): Interest {
    const { id, clock, random } = this.#parts;
    return new Interest({
      id,
      clock,
      random,
      limit,
      met: this.#met,
      incarnation: () => this.incarnation,
      nodes: () => this.#router.nodes,
      send: (to, payload) => this.#sendInterest(to, payload),
      changed: () => {
        this.#audiences.look();
        this.#readiness.check();
      },
    });
  }

  #sendInterest(to: readonly NodeId[] | "all", payload: Uint8Array): void {
    if (this.#closing) return;
    try {
      this.#router.send(to, payload, "control");
    } catch {
      // The way was lost; it is told anew once there is one.
    }
  }

  #makeInbound(running: number): Inbound {
    return new Inbound({
      unhandled: (name, from, data) => {
        this.#noteUnhandled(name, from);
        this.#deadLetters.unhandled(name, from, data);
      },
      handlerFailed: (name, from, error) => {
        this.#counts.handlerErrors++;
        const message =
          `a handler of "${name}" failed on an event of node "${from}": ${
            reasonOf(error)
          }`;
        this.#journal.fault("handler", error, message);
      },
      handlerStuck: (name, from) => {
        this.#counts.handlersStuck++;
        const message =
          `a handler of "${name}" has not ended 30 s after an event of node "${from}"`;
        this.#journal.fault("handler", new Error(message), message);
      },
      reply: (to, request, value, name) =>
        this.#replies.reply(to, request, value, name),
      refuse: (to, request, reason, text) =>
        this.#replies.refuse(to, request, reason, text),
      replied: (from, request, value) =>
        this.#replies.replied(from, request, value),
      failed: (from, request, bytes) =>
        this.#replies.failed(from, request, bytes),
      receipt: (from, id, bytes) => this.#delivering.take(from, id, bytes),
      refusal: (from, name) => this.#agreement?.refusal(from, name) ?? null,
      invalid: (name, from, request, why) =>
        this.#refuseInvalid(name, from, request, why),
      invalidReply: (from, request, why) =>
        this.#replies.invalid(from, request, why),
    }, {
      id: this.id,
      codec: this.#parts.codec,
      handlers: this.#handlers,
      receipts: this.#delivering.receipts,
      checks: this.#checks,
      clock: this.#parts.clock,
      signal: this.#abort.signal,
      running,
      met: this.#met,
    });
  }

  #makeStreams(streams: number, longest: number): Streams {
    const { clock, random, codec, protocol } = this.#parts;
    return new Streams({
      clock,
      random,
      codec,
      headroom: FRAMING_ROOM + protocol.headerSize,
      streams,
      longest,
      counts: this.#counts,
      met: this.#met,
      signal: this.#abort.signal,
      ship: (to, message, slab, lane) =>
        this.#shipStream(to, message, slab, lane),
      hasRoom: (to) => this.#hasRoom(to),
      isDirect: () => isDirect(this.#router),
      failed: (name, from, error) => {
        this.#counts.handlerErrors++;
        const message =
          `the handler of stream "${name}" of node "${from}" failed: ${
            reasonOf(error)
          }`;
        this.#journal.fault("handler", error, message);
      },
      quiet: (promise) => this.#quiet(promise),
    });
  }

  #refuseInvalid(
    name: string,
    from: NodeId,
    request: number,
    why: string,
  ): void {
    this.#counts.invalid++;
    const message = `refused "${name}" of node "${from}": ${why}`;
    this.#journal.fault("contract", new TypeError(message), message);
    if (request === NO_REQUEST) return;
    this.#replies.refuse(from, request, "invalid", why);
  }

  #noteUnhandled(name: string, from: NodeId): void {
    this.#counts.unhandled++;
    // The prefix keeps names that look like integers from clustering in the table.
    if (
      this.#unhandled.size >= UNHANDLED_NAMES ||
      this.#unhandled.has(`n:${name}`)
    ) return;
    this.#unhandled.add(`n:${name}`);
    this.#journal.debug(`nobody handles "${name}", sent by node "${from}"`);
  }

  // -- Router and membership --

  #routerContext(): RouterContext {
    const self = this.#self;
    return {
      get self(): Peer {
        return self.peer;
      },
      clock: this.#parts.clock,
      random: this.#parts.random,
      links: {
        send: (id, packet, lane) => this.#sendPacket(id, packet, lane),
        connect: (peer) => this.#connect(peer),
        disconnect: (id, reason) => {
          this.#links.get(id)?.close(reason);
        },
      },
      up: {
        deliver: (from, payload) => this.#deliver(from, payload),
        undelivered: (to, head, lastHop, reason) =>
          this.#undelivered(to, head, lastHop, reason),
        missed: (from, count) =>
          this.#missed(
            from,
            count,
            `${count} packets of node "${from}" were lost on their way`,
          ),
        link: (event) => this.#routerLinked(event),
      },
    };
  }

  /** A router that brings its own links tells of them. */
  #routerLinked(event: LinkEvent): void {
    if (event.type === "up") this.#audiences.met(event.peer.id);
    this.#guard(
      `the membership failed on "${event.type}"`,
      () => this.#membership.link(event),
    );
    if (event.type === "up") return this.#tellJoin(event.peer.id);
    this.#audiences.look();
    if (event.type === "down") this.#failUnreachable(event.reason);
  }

  #undelivered(
    to: NodeId,
    head: Uint8Array,
    lastHop: NodeId,
    reason: string,
  ): void {
    this.#counts.undelivered++;
    const why = `it came no further than node "${lastHop}": ${reason}`;
    this.#history.failed(to, `something for it was lost: ${why}`);
    this.#journal.debug(`something for node "${to}" was lost: ${why}`);
    if (head[0] !== PAYLOAD_EVENTS) return;
    this.#noteLost(head, to, why);
    if (this.#delivering.size > 0) {
      this.#delivering.lost(to, deliveriesIn(head));
    }
    if (this.#requests.size === 0) return;
    this.#requests.rejectLost(requestsIn(head), why, to);
  }

  #noteLost(head: Uint8Array, to: NodeId, why: string): void {
    if (!this.#deadLetters.wanted) return;
    this.#deadLetters.lost(namesIn(head), to, why);
  }

  #connect(peer: Peer): void {
    this.#links.connect(peer).catch((error) =>
      this.#journal.fault(
        "link",
        error,
        `dialling node "${peer.id}" failed: ${reasonOf(error)}`,
      )
    );
  }

  #membershipContext(): MembershipContext {
    const self = this.#self;
    return {
      get self(): Peer {
        return self.peer;
      },
      clock: this.#parts.clock,
      random: this.#parts.random,
      send: (to, message) => this.#sendControl(to, message),
      mayTell: (to, address) => this.#mayTell(to, address),
      believes: (from) => !this.#links.get(from)?.proven.rights,
      refute: (accused) => this.#outrank(accused),
      changed: (event) => this.#memberChanged(event),
      connect: (peer) => this.#connect(peer),
    };
  }

  #sendControl(to: NodeId, message: Uint8Array): boolean {
    if (!this.#router.nodes.has(to)) return false;
    const payload = new Uint8Array(1 + message.length);
    payload[0] = PAYLOAD_MEMBERSHIP;
    payload.set(message, 1);
    // The last word of a node that leaves must not overtake its events.
    const lane = this.#closing ? "data" : "control";
    try {
      return this.#router.send([to], payload, lane) > 0;
    } catch {
      return false; // the way was lost between the two calls
    }
  }

  #mayTell(to: NodeId, address: Address): boolean {
    const reach = reachOfRemote(address);
    if (reach !== "local") return reach === "network";
    const link = this.#links.get(to);
    return link !== undefined &&
      reachOfRemote(link.connection.remote) === "local";
  }

  #outrank(known: number): void {
    if (this.#self.outrank(known)) this.#membership.update();
  }

  #memberChanged(event: MemberEvent): void {
    const member = this.#memberOf(event.member);
    this.#router.member(event);
    if (event.type !== "leave") this.#history.joined(member.id);
    else if (event.reason !== "restarted") {
      this.#history.gone(member.id, event.reason);
    }
    if (event.type === "leave") {
      this.#forget(member.id, event.reason);
      this.#interest.gone(member.id, member.incarnation);
      this.#delivering.gone(member.id, event.reason);
    }
    this.#tellMember(event, member);
    this.#joining.changed();
  }

  /**
   * A node counts as a member as soon as it can be sent to, or is known not to be;
   * until then, nothing is told of it.
   */
  #tellMember(event: MemberEvent, member: Member): void {
    const { id } = member;
    if (!this.#members.has(id)) {
      if (event.type === "leave") this.#untold.delete(id);
      else this.#untold.set(id, member);
      return this.#tellJoin(id);
    }
    if (event.type === "leave") this.#members.delete(id);
    else this.#members.set(id, member);
    if (this.#closing) return;
    if (event.type !== "leave") return this.#journal.tell("update", member);
    this.#journal.info(`"${id}" is gone: ${event.reason} (${this.#size})`);
    this.#journal.tell("leave", { member, reason: event.reason });
  }

  #tellJoin(id: NodeId, reachable = this.#router.nodes.has(id)): void {
    const member = this.#untold.get(id);
    if (!member || !reachable) return;
    this.#untold.delete(id);
    this.#members.set(id, member);
    if (this.#closing) return;
    this.#audiences.see();
    this.#readiness.check();
    this.#journal.info(`"${id}" joined (${this.#size})`);
    this.#journal.tell("join", member);
  }

  get #size(): string {
    const nodes = this.#members.size + 1;
    return nodes === 1 ? "1 node" : `${nodes} nodes`;
  }

  #forget(id: NodeId, reason: string): void {
    this.#targets.delete(id);
    this.#inbound.forget(id);
    this.#joining.lost(id);
    this.#streams.gone((other) => other === id, `the node is gone: ${reason}`);
    this.#failUnreachable(`it is gone: ${reason}`);
  }

  #failUnreachable(why: string): void {
    this.#streams.gone(
      (id) => id !== this.id && !this.#router.nodes.has(id),
      why,
    );
    if (this.#requests.size === 0) return;
    const { nodes } = this.#router;
    this.#requests.rejectUnreachable(
      (id) => id === this.id || nodes.has(id),
      why,
    );
  }

  #memberOf({ id, incarnation, addresses, meta }: Peer): Member {
    let value: unknown;
    const isLong = (meta?.length ?? 0) > this.#maxMeta;
    if (isLong) this.#met.meta++;
    try {
      value = meta && meta.length > 0 && !isLong
        ? this.#parts.codec.decode(meta)
        : undefined;
    } catch (error) {
      this.#journal.fault(
        "link",
        error,
        `the metadata of node "${id}" is malformed`,
      );
    }
    return { id, incarnation, addresses, meta: value };
  }

  // -- Behaviours --

  #makeKeyring(security: Security | null): ClusterKeyring | null {
    const ring = security?.keyring;
    if (!ring) return null;
    return this.#behaviours.use(KEYRING, (scope) =>
      new ClusterKeyring({
        ring,
        scope,
        guests: () => this.#links.guests(),
        renew: (keyId) => this.#links.renew(keyId),
      }));
  }

  #makeAgreement(): Agreement | null {
    const { contract } = this.#parts;
    if (contract === undefined) return null;
    return this.#behaviours.use(AGREEMENT, (scope) =>
      new Agreement({
        contract,
        scope,
        digest: (id) => this.#links.get(id)?.contract ?? null,
        isGuest: (id) => this.#links.get(id)?.proven.rights !== undefined,
        incompatible: (id, events) => {
          for (const { reason } of events) {
            this.#journal.warnSometimes(`node "${id}": ${reason}`);
          }
          this.#journal.tell("incompatible", { id, events });
        },
      }));
  }

  #scopeHost(maxMessage: number): ScopeHost {
    const { id, cluster, clock, wallClock, random, codec } = this.#parts;
    const self = this.#self;
    return {
      id,
      cluster,
      get incarnation(): number {
        return self.peer.incarnation;
      },
      members: this.#members,
      maxMessage,
      clock,
      wallClock,
      random,
      codec,
      logger: this.#journal,
      on: (name, handler, options) => {
        return this.#handle(name, handler, options);
      },
      onSystem: (name, handler) => this.onSystem(name, handler),
      emit: (name, data, options) => this.#emit(name, data, options),
      send: (to, name, data) => this.#sendTo(to, name, data),
      request: (to, name, data, options) =>
        this.#requestOf(to, name, data, options),
      deliver: (name, data, options) => this.#deliverTo(name, data, options),
      gather: (name, data, options) => this.#gatherFrom(name, data, options),
      events: (name, options, signal) => this.#feed(name, options, signal),
      open: (to, name, options) => this.#openStream(to, name, options),
      onOpen: (name, handler) => this.#handleStreams(name, handler),
      fault: (error, message) =>
        this.#journal.fault("behaviour", error, message),
    };
  }

  // -- Beginning and end --

  async #listen(where: Address | Listener): Promise<Address> {
    this.#assertOpen("listen");
    const { address, reach } = await this.#doors.open(where);
    this.#tellAddresses();
    this.#logListening(address, reach);
    this.#setReady();
    return address;
  }

  async #join(addresses: readonly Address[]): Promise<number> {
    this.#assertOpen("join");
    const found = this.#linking ? await this.#open(this.#linking) : 0;
    const entries = await this.#joining.join(addresses);
    this.#setReady();
    return found + entries;
  }

  async #open(router: LinkingRouter): Promise<number> {
    if (this.#safety.security) {
      this.#journal.warn(
        "the router brings links of its own, which neither `secret` nor `identity` protects",
      );
    }
    try {
      return await router.open();
    } catch (cause) {
      throw new JoinError(`Cannot join: ${reasonOf(cause)}`, { cause });
    }
  }

  #logListening(address: Address, reach: Reach): void {
    const port = /:(\d+)(?:\/|$)/.exec(address)?.[1];
    this.#journal.info(
      `listens on ${address} for cluster "${this.cluster}"` +
        (port ? ` (cluster port ${port})` : ""),
    );
    if (reach === "local") return;
    const risk = riskOf(address, this.#safety);
    if (risk !== null) this.#journal.warn(`${address} ${risk}`);
    if (reach === "wildcard" && this.#parts.advertise.length === 0) {
      this.#journal.warn(
        `others cannot dial ${address}; pass \`advertise\` with an address that they can`,
      );
    }
  }

  #tellAddresses(): void {
    if (this.#self.setBound(this.#doors.addresses)) this.#membership.update();
  }

  #setReady(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#journal.tell("ready", { id: this.id });
  }

  #assertOpen(verb: string): void {
    if (this.#closing) {
      throw new ClosedError(`Cannot ${verb}: the node is closed`);
    }
  }

  async #drain(timeout: number): Promise<boolean> {
    const { clock } = this.#parts;
    const end = clock.now() + timeout;
    if (this.#closing) return this.closed.then(() => this.#isIdle);
    this.#interest.withdraw();
    this.#streams.refuse();
    await this.#within(
      this.#delivering.echo(this.#router.nodes),
      Math.min(ECHO_TIMEOUT, timeout),
    );
    while (!this.#isIdle && !this.#closing && clock.now() < end) {
      await new Promise<void>((resolve) => clock.after(DRAIN_LOOK, resolve));
    }
    const isIdle = this.#isIdle;
    await this.close();
    return isIdle;
  }

  /** Whether nothing is under way. */
  get #isIdle(): boolean {
    return this.#inbound.running + this.#requests.size + this.#streams.size +
        this.#delivering.size === 0;
  }

  async #shutDown(behaviours: Promise<void>): Promise<void> {
    this.#joining.close();
    // What comes from now on is for the other members.
    for (const waiting of this.#waiting) waiting[Symbol.dispose]();
    this.#waiting.clear();
    this.#interest.close();
    this.#readiness.close(new ClosedError("the node is closing"));
    this.#outbound.close();
    this.#streams.close();
    this.#lookout.close();
    this.#guard(
      "the membership failed to leave",
      () => this.#membership.leave(),
    );
    this.#requests.close();
    this.#delivering.close();
    this.#abort.abort(new ClosedError("the node is closing"));
    await this.#within(
      Promise.allSettled([
        this.#doors.close(),
        this.#links.close("the node leaves the cluster"),
        behaviours,
      ]),
      CLOSE_TIMEOUT,
    );
    this.#guard("the router failed to close", () => this.#router.close());
    if (this.#linking) {
      await this.#within(this.#linking.closed, ROUTER_CLOSE_TIMEOUT);
    }
    this.#inbound.close();
    // What was put off until the next turn of the event loop has had its turn then.
    await new Promise<void>((resolve) => this.#parts.clock.soon(resolve));
    this.#members.clear();
    this.#untold.clear();
    this.#journal.tell("close", { id: this.id });
    this.#journal.close();
  }

  async #within(work: Promise<unknown>, timeout: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(timeout, resolve);
    work.then(() => resolve(), () => resolve());
    await promise;
    cancel();
  }
}

function isDirect(router: Router): router is DirectRouter {
  return "direct" in router && router.direct === true;
}

function isQueueing(router: Router): router is QueueingRouter {
  return "sendToOne" in router && typeof router.sendToOne === "function";
}

function isSelective(router: Router): router is SelectiveRouter {
  return "prefersEach" in router && typeof router.prefersEach === "function";
}

function isLinking(router: Router): router is LinkingRouter {
  return "open" in router && typeof router.open === "function";
}

/** What a call throws that cannot do what it is asked. */
function refused(verb: string, name: string, cause: unknown): Error {
  const message = `Cannot ${verb} "${name}": ${reasonOf(cause)}`;
  return cause instanceof RangeError
    ? new RangeError(message, { cause })
    : new TypeError(message, { cause });
}

function checkGroup(
  name: string,
  group: string,
  strategy: Strategy,
  key: string,
): void {
  const isName = group.length > 0 && group.length <= 64 && group.isWellFormed();
  if (isName && STRATEGIES.includes(strategy) && key.length <= 64) return;
  throw new TypeError(
    `Cannot handle "${name}" in group "${group}", ${strategy} by "${key}": names have 1 to 64 characters, and strategies are ${
      STRATEGIES.join(", ")
    }`,
  );
}

/** How many views a codec has given out; -1: it does not tell. */
function viewsOf(codec: Codec & Partial<ViewCount>): number {
  return codec.views ?? -1;
}
