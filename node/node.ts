import type { Address, Listener } from "@devts/transport";
import type {
  Counted,
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
  Topology,
} from "@devts/routing";
import { History } from "./_history.ts";
import { type Reach, reachOfRemote } from "./address.ts";
import { AGREEMENT, Agreement } from "./agreement.ts";
import { Audiences } from "./audiences.ts";
import { type Behaviour, Behaviours, type ScopeHost } from "./behaviour.ts";
import {
  deliveriesIn,
  namesIn,
  NO_REQUEST,
  PAYLOAD_EVENTS,
  PAYLOAD_MEMBERSHIP,
  requestsIn,
} from "./bundle.ts";
import { CheckedStream } from "./checked_stream.ts";
import { Checks } from "./checks.ts";
import { DeadLetters } from "./dead_letters.ts";
import { Delivering } from "./delivering.ts";
import { Doors } from "./doors.ts";
import { takingEncoded } from "./encoded.ts";
import { ClosedError, isViolation, JoinError, reasonOf } from "./errors.ts";
import { Explainer, type Explanation } from "./explain.ts";
import { Draining, drainTime, within } from "./draining.ts";
import { EventFeed, type Feed } from "./feed.ts";
import { FRAMING_ROOM } from "./frame.ts";
import type { Gathering } from "./gathering.ts";
import { Guests } from "./guests.ts";
import { Handlers } from "./handlers.ts";
import { Inbound } from "./inbound.ts";
import { Interest } from "./interest.ts";
import { type GroupOf, STRATEGIES } from "./interest_codec.ts";
import { candidatesOf, Joining } from "./joining.ts";
import { Journal } from "./journal.ts";
import { ClusterKeyring, KEYRING } from "./keyring.ts";
import {
  type NodeLimits,
  noneMet,
  stallLimits,
  withDefaults,
} from "./limits.ts";
import type { Link } from "./link.ts";
import { Links, type LinksOwner, type Rejection } from "./links.ts";
import { Lookout } from "./lookout.ts";
import { Loopback } from "./loopback.ts";
import { Layers } from "./middleware.ts";
import { encodeName, Pattern } from "./names.ts";
import { Outbound, type Target } from "./outbound.ts";
import { Outcomes } from "./outcomes.ts";
import { Packets } from "./packets.ts";
import { Readiness } from "./ready.ts";
import { Receiving } from "./receiving.ts";
import { Replies } from "./replies.ts";
import { Requests } from "./requests.ts";
import { Roster } from "./roster.ts";
import { isDirect, isLinking, isQueueing } from "./routers.ts";
import type { StandardSchema } from "./schema.ts";
import { riskOf, type Safety, type Security } from "./security.ts";
import { Self } from "./self.ts";
import { Sending } from "./sending.ts";
import { Shipping } from "./shipping.ts";
import type { Stream } from "./stream.ts";
import { type StreamHandler, Streams } from "./streams.ts";
import { Targets } from "./targets.ts";
import { Topics } from "./topics.ts";
import type {
  AcceptorOf,
  AnyEvents,
  DataArg,
  DataArgs,
  DeliverOptions,
  DeliveryOutcome,
  DrainOptions,
  EmitName,
  EmitOptions,
  EventName,
  EventsOptions,
  GatherOptions,
  GroupStrategy,
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
  ReturnOf,
  StreamName,
  SystemEventName,
  SystemEvents,
  TakenOf,
} from "./types.ts";

const OPEN_TIMEOUT = 10_000;
// Whatever hangs, `close` ends after this long, in ms.
const CLOSE_TIMEOUT = 4_500;
// The same for the links that a router brings: with the others, within 5 s.
const ROUTER_CLOSE_TIMEOUT = 450;
// A link that breaks the protocol sooner, in ms, may never have kept to it.
const YOUNG = 1_000;
// Names of events that nobody handles are logged once each, up to this many.
const UNHANDLED_NAMES = 64;

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
  readonly #waiting = new Map<Disposable, string>();
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
  readonly #draining: Draining;
  readonly #roster: Roster;
  readonly #targets: Targets;
  readonly #sending: Sending;
  readonly #shipping: Shipping;
  readonly #receiving: Receiving;
  readonly #guests: Guests;
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
  #ready = false;
  #closing = false;
  #drained: Promise<boolean> | null = null;

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
      perPeer: limits.requestsPerPeer,
      met: this.#met,
      rejecting: (reply) => this.#quiet(reply),
    });
    this.#loopback = new Loopback(
      clock,
      limits,
      (payload) => this.#receiving.deliverOwn(payload),
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
      turned: () => {
        this.#requests.turned();
        this.#audiences.look();
      },
      ship: (bundle, target) => this.#shipping.ship(bundle, target),
    });
    this.#replies = new Replies({
      outbound: this.#outbound,
      requests: this.#requests,
      checks: this.#checks,
      journal: this.#journal,
      counts: this.#counts,
      target: (to) => this.#findTarget(to),
    });
    this.#interest = this.#makeInterest(limits.subscriptions);
    this.#audiences = new Audiences({
      id: parts.id,
      random,
      interest: this.#interest,
      nodes: () => this.#router.nodes,
      queues: () => this.#queueing !== null,
      isUnfit: (id, name) => this.#objection(id, name) !== null,
    });
    this.#readiness = new Readiness({
      id: parts.id,
      clock,
      members: () => this.#roster.members.size,
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
    this.#draining = new Draining({
      clock,
      interest: this.#interest,
      streams: this.#streams,
      delivering: this.#delivering,
      inbound: this.#inbound,
      requests: this.#requests,
      nodes: () => this.#router.nodes,
      leaveQueues: (prefix) => this.#leaveQueues(prefix),
    });
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
      candidates: () => candidatesOf(this.#membership),
      addresses: () => this.addresses,
      reachable: (id) => this.#router.nodes.has(id),
    });
    const router = parts.router(this.#routerContext());
    this.#router = router;
    this.#linking = isLinking(router) ? router : null;
    this.#queueing = isQueueing(router) ? router : null;
    this.#targets = new Targets(parts.id, router);
    this.#roster = this.#makeRoster(limits.meta);
    this.#membership = parts.membership(this.#membershipContext());
    this.#sending = this.#makeSending();
    this.#guests = new Guests({
      id: parts.id,
      clock,
      protocol,
      router,
      membership: this.#membership,
      journal: this.#journal,
      counts: this.#counts,
      replies: this.#replies,
      delivering: this.#delivering,
      streams: this.#streams,
      isOfMembers: (id) => this.#links.get(id)?.proven.keyId !== undefined,
    });
    this.#shipping = this.#makeShipping();
    this.#receiving = this.#makeReceiving();
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
    this.#sending.agreement = this.#agreement;
    security?.onRefused?.((reason) => this.#strangerRefused(reason));
    security?.boundStalls?.(stallLimits(limits, this.#met));
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
   * others counts once there is a way to it. One that is found to be unreachable counts
   * once as many members tell of it as the membership asks for: with `swim()` three, or
   * all where there are fewer.
   */
  get members(): ReadonlyMap<string, Member> {
    return this.#roster.members;
  }

  /** Resolves once the node is closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What it did and met since its start. */
  get counters(): NodeCounters {
    const { full = 0, crowded = 0 } = this.#membership.counters ?? {};
    return {
      ...this.#counts,
      received: this.#inbound.received,
      limits: {
        ...this.#met,
        members: this.#met.members + full + crowded,
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
    return this.#quiet(this.#listen(where), true);
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
   * cluster, or speaks another protocol or data format. Also if the program has no
   * permission to dial one, and if such a router cannot connect.
   * @throws {TypeError} If an address is malformed.
   */
  join(...addresses: Address[]): Promise<number> {
    return this.#quiet(this.#join(addresses), true);
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
   * (`limits.subscriptions`), or in 64 groups for this one.
   */
  on<K extends EventName<E>>(
    name: K,
    handler: (
      data: TakenOf<E, K>,
      context: HandlerContext,
    ) => ReturnOf<E, K>,
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
   * it. A node whose contract is known not to fit it does not get it, and is not counted.
   *
   * @returns Resolves at once, or once links that are behind have room again.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  emit<K extends EmitName<E>>(
    name: K,
    ...rest: DataArgs<E, K, EmitOptions>
  ): Promise<Outcome>;
  emit(name: string, data?: unknown, options?: EmitOptions): Promise<Outcome> {
    this.#checks.assertKnown("emit", name);
    return this.#sending.emit(name, data, options);
  }

  /**
   * Sends an event to one node; also to this one.
   *
   * @returns Resolves at once, or once the link has room again. Rejects with a
   * `NodeNotFoundError` when no way to the node is known.
   * @throws {TypeError} If the data cannot be encoded.
   * @throws {RangeError} If it is too long for a message.
   */
  send<K extends EmitName<E>>(
    to: string,
    name: K,
    ...rest: DataArg<E, K>
  ): Promise<Outcome>;
  send(to: string, name: string, data?: unknown): Promise<Outcome> {
    this.#checks.assertKnown("send", name);
    return this.#sending.send(to, name, data);
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
    return this.#sending.request(to, name, data, options);
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
    return this.#sending.deliver(name, data, options);
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
    return this.#sending.gather(name, data, options);
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
    const timeout = drainTime(options);
    this.#drained ??= this.#drain(timeout);
    return this.#drained;
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
      this.#sending.close();
      this.#receiving.close();
      this.#roster.hush();
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
    if (waiting) this.#waiting.set(waiting, name);
    const layered = this.#layers.around(handler, name, "event");
    return this.#handlers.add(name, layered, group?.name ?? null, () => {
      if (waiting && this.#waiting.delete(waiting)) waiting[Symbol.dispose]();
      this.#interest.remove(subscription);
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
      objection: (to, event) => this.#objection(to, event),
      target: (to) => this.#findTarget(to),
      asked: (to) => this.#inbound.asked(to),
      failing: (promise, failed) => {
        this.#quiet(promise);
        if (failed === null) return;
        const { name, bytes, error: { message } } = failed;
        this.#deadLetters.undelivered(name, bytes, message);
      },
    });
  }

  #makeSending(): Sending {
    return new Sending({
      clock: this.#parts.clock,
      isDirect: isDirect(this.#router),
      links: this.#links,
      targets: this.#targets,
      topics: this.#topics,
      checks: this.#checks,
      layers: this.#layers,
      audiences: this.#audiences,
      handlers: this.#handlers,
      outbound: this.#outbound,
      outcomes: this.#outcomes,
      requests: this.#requests,
      delivering: this.#delivering,
      lookout: this.#lookout,
      counts: this.#counts,
      isMember: (id) => this.#roster.members.has(id),
      asked: (to) => this.#inbound.asked(to),
      quiet: (promise) => this.#quiet(promise),
    });
  }

  #findTarget(to: NodeId): Target | null {
    return this.#closing ? null : this.#targets.find(to);
  }

  #rejected(error: unknown): Promise<never> {
    return this.#quiet(Promise.reject(error));
  }

  /**
   * A rejection that nobody awaits is counted and logged, and does not end the process.
   * One without which the node stays alone is to be seen; what `join` met is logged there.
   */
  #quiet<T>(promise: Promise<T>, isVital = false): Promise<T> {
    promise.catch((error) => {
      this.#counts.rejections++;
      const reason = reasonOf(error);
      const isSeen = this.#closing || error instanceof JoinError;
      if (isVital && !isSeen) this.#journal.warn(reason);
      else this.#journal.debug(reason);
    });
    return promise;
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
    const unknown = this.#targets.objection(to);
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
      (promise) => this.#quiet(promise),
    );
  }

  // -- Links --

  #linksOwner(): LinksOwner {
    return {
      takesGuests: () => this.#guests.areTaken,
      introduce: (remote) => this.#self.introduction(remote),
      knownIncarnation: (id) => this.#membership.members.get(id)?.incarnation,
      isOneStart: (one, other) => this.#self.isOneStart(one, other),
      outrank: (known) => this.#outrank(known),
      up: (link) => this.#linkUp(link),
      unreachable: (id, reason) => this.#linkUnreachable(id, reason),
      conflict: (conflict) => this.#journal.tell("conflict", conflict),
      rejected: (rejection) => this.#linkRejected(rejection),
      banned: (who, time) =>
        this.#journal.warnSometimes(
          `connections of ${who} are refused for ${
            time / 1000
          } s: they broke again and again`,
        ),
      received: (link, message, lent) =>
        this.#receiving.received(link, message, lent),
      congestion: (link) => {
        this.#outcomes.note(link);
        const hasRoom = !link.congested && !link.dropping;
        // One that has ended is no way any more: it is told so first.
        if (link.open && hasRoom) this.#streams.pump();
      },
      slow: (link, slow) => this.#slow(link, slow),
      oversized: (link, error) => this.#oversized(link, error),
      ended: (link, reason, error) => this.#linkEnded(link, reason, error),
    };
  }

  #linkUp({ peer, connection, proven }: Link): void {
    this.#journal.debug(`link to "${peer.id}" at ${connection.remote}`);
    const isGuest = proven.rights !== undefined;
    this.#tellParts({ type: "up", peer, ...isGuest && { isLeaf: true } });
    if (isGuest) this.#guests.welcome(peer.id);
    this.#joining.linked(peer.id);
    this.#roster.tell(peer.id);
    void this.#links.look(peer);
  }

  #linkUnreachable(id: NodeId, reason: string): void {
    this.#journal.debug(`cannot reach "${id}": ${reason}`);
    this.#history.failed(id, `cannot be dialled: ${reason}`);
    this.#tellParts({ type: "unreachable", id, reason });
    if (candidatesOf(this.#membership).has(id)) this.#joining.unreachable(id);
    if (!this.#membership.members.has(id)) return;
    this.#joining.unreachable(id);
    this.#roster.tell(id, true);
  }

  #linkEnded(link: Link, reason: string, error: unknown): void {
    const { id } = link.peer;
    this.#receiving.ended(link);
    this.#guests.ended(id);
    this.#outcomes.forget(link);
    this.#noteEnd(link, reason, error);
    this.#history.failed(id, `its link ended: ${reason}`);
    this.#tellParts({ type: "down", id, reason });
    this.#joining.lost(id);
    if (!this.#membership.members.has(id)) this.#inbound.forget(id);
    if (isDirect(this.#router)) {
      this.#streams.gone((other) => other === id, `the link ended: ${reason}`);
    }
    this.#failUnreachable(reason);
    // What others lead to may have waited for this one.
    this.#streams.pump();
  }

  #noteEnd(
    { peer: { id }, since }: Link,
    reason: string,
    error: unknown,
  ): void {
    if (isViolation(error)) {
      this.#counts.violations++;
      const isYoung = this.#parts.clock.now() - since < YOUNG;
      const hint = isYoung ? "; do both nodes have the same router?" : "";
      const message = `the link to node "${id}" was ended: ${reason}${hint}`;
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

  #makeShipping(): Shipping {
    const { id, clock, protocol } = this.#parts;
    return new Shipping({
      id,
      clock,
      headroom: FRAMING_ROOM + protocol.headerSize,
      router: this.#router,
      links: this.#links,
      packets: this.#packets,
      guests: this.#guests,
      loopback: this.#loopback,
      outcomes: this.#outcomes,
      requests: this.#requests,
      lookout: this.#lookout,
      journal: this.#journal,
      counts: this.#counts,
      lost: (head, to, why) => this.#noteLost(head, to, why),
      toSelf: (payload) => this.#receiving.deliverOwn(payload),
      pump: () => this.#streams.pump(),
    });
  }

  #makeReceiving(): Receiving {
    const { id, clock, protocol, codec } = this.#parts;
    return new Receiving({
      id,
      clock,
      protocol,
      codec,
      exact: this.#safety.security?.exact ?? false,
      router: this.#router,
      membership: this.#membership,
      links: this.#links,
      packets: this.#packets,
      inbound: this.#inbound,
      streams: this.#streams,
      interest: this.#interest,
      joining: this.#joining,
      roster: this.#roster,
      guests: this.#guests,
      journal: this.#journal,
      counts: this.#counts,
    });
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
      waiting: (from) =>
        this.#targets.waiting(from) + this.#delivering.waiting(from),
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
        this.#shipping.shipStream(to, message, slab, lane),
      hasRoom: (to) => this.#shipping.hasRoom(to),
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
        send: (id, packet, lane) => this.#shipping.send(id, packet, lane),
        connect: (peer) => this.#connect(peer),
        disconnect: (id, reason) => {
          this.#links.get(id)?.close(reason);
        },
      },
      up: {
        deliver: (from, payload) => this.#receiving.deliver(from, payload),
        undelivered: (to, head, lastHop, reason) =>
          this.#undelivered(to, head, lastHop, reason),
        missed: (from, count) =>
          this.#receiving.missed(
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
    if (event.type === "up") return this.#roster.tell(event.peer.id);
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
      mayDial: (from, address) => this.#mayTell(from, address),
      mayPass: (id, address) => this.#mayPass(id, address),
      reaches: (id) => this.#router.nodes.has(id),
      ...(isDirect(this.#router) && {
        meet: (peer: Peer) => this.#connect(peer),
      }),
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

  #makeRoster(maxMeta: number): Roster {
    return new Roster({
      codec: this.#parts.codec,
      maxMeta,
      met: this.#met,
      journal: this.#journal,
      history: this.#history,
      reachable: (id) => this.#router.nodes.has(id),
      joined: () => {
        this.#audiences.see();
        this.#readiness.check();
      },
    });
  }

  /** What comes through relays, they have passed already. */
  #mayPass(id: NodeId, address: Address): boolean {
    return this.#links.foundAt(id, address) ||
      (!isDirect(this.#router) && !this.#links.get(id));
  }

  #outrank(known: number): void {
    if (this.#self.outrank(known)) this.#membership.update();
  }

  #memberChanged(event: MemberEvent): void {
    const member = this.#roster.memberOf(event.member);
    this.#router.member(event);
    if (event.type === "leave") {
      this.#forget(member.id, event.reason);
      this.#interest.gone(member.id, member.incarnation);
      if (event.reason === "left") this.#audiences.left(member.id);
      this.#delivering.gone(member.id, event.reason);
    } else this.#audiences.joined(member.id);
    if (event.type === "update") void this.#links.look(event.member);
    this.#roster.changed(event, member);
    this.#joining.changed();
  }

  #forget(id: NodeId, reason: string): void {
    this.#targets.forget(id);
    this.#inbound.forget(id);
    this.#joining.lost(id);
    this.#streams.gone((other) => other === id, `the node is gone: ${reason}`);
    const why = `it is gone: ${reason}`;
    // Through others there may be a way still, or already to its next start.
    if (reason !== "failed" && !isDirect(this.#router)) {
      this.#requests.rejectUnreachable((other) => other !== id, why);
    }
    this.#failUnreachable(why);
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
        quiet: (step) => this.#quiet(step, true),
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
        changed: () => this.#audiences.renew(),
        incompatible: (id, events) => {
          for (const { message } of events) {
            this.#journal.warnSometimes(`node "${id}": ${message}`);
          }
          this.#journal.tell("incompatible", { id, events });
        },
      }));
  }

  /** Why an event is not sent to a node: the contracts differ; null: it may. */
  #objection(to: NodeId, name: string): string | null {
    return this.#agreement?.objection(to, name) ?? null;
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
      members: this.#roster.members,
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
      emit: (name, data, options) => this.#sending.emit(name, data, options),
      send: (to, name, data) => this.#sending.send(to, name, data),
      request: (to, name, data, options) =>
        this.#sending.request(to, name, data, options),
      deliver: (name, data, options) =>
        this.#sending.deliver(name, data, options),
      gather: (name, data, options) =>
        this.#sending.gather(name, data, options),
      events: (name, options, signal) => this.#feed(name, options, signal),
      open: (to, name, options) => this.#openStream(to, name, options),
      onOpen: (name, handler) => this.#handleStreams(name, handler),
      drain: (prefix, timeout, signal, close) =>
        this.#draining.run(prefix, timeout, signal, close),
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
    if (!this.#closing) {
      const { signal } = this.#abort;
      return this.#draining.run("", timeout, signal, () => this.close());
    }
    await this.closed;
    return true;
  }

  /** What comes from now on is for the other members of groups. */
  #leaveQueues(prefix: string): void {
    for (const [waiting, name] of this.#waiting) {
      if (!name.startsWith(prefix)) continue;
      this.#waiting.delete(waiting);
      waiting[Symbol.dispose]();
    }
  }

  async #shutDown(behaviours: Promise<void>): Promise<void> {
    this.#joining.close();
    this.#leaveQueues("");
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
    const { clock } = this.#parts;
    await within(
      clock,
      Promise.allSettled([
        this.#doors.close(),
        this.#links.close("the node leaves the cluster"),
        behaviours,
      ]),
      CLOSE_TIMEOUT,
    );
    this.#guard("the router failed to close", () => this.#router.close());
    if (this.#linking) {
      await within(clock, this.#linking.closed, ROUTER_CLOSE_TIMEOUT);
    }
    this.#inbound.close();
    // What was put off until the next turn of the event loop has had its turn then.
    await new Promise<void>((resolve) => this.#parts.clock.soon(resolve));
    this.#roster.clear();
    this.#journal.tell("close", { id: this.id });
    this.#journal.close();
  }
}

function checkGroup(
  name: string,
  group: string,
  strategy: GroupStrategy,
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
