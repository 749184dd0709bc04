/**
 * The router that brings its own links: every node is a client of a NATS server, or of
 * a cluster of them.
 *
 * ```ts ignore
 * import { createNode } from "@devts/devts";
 * import { natsRouter } from "@devts/routing/nats";
 *
 * const router = natsRouter({ servers: "nats://10.0.0.7:4222", cluster: "demo" });
 * await using node = createNode({ cluster: "demo", router });
 * await node.join(); // no addresses: the router connects, and looks who is there
 * ```
 *
 * @module
 */

import {
  connect,
  type Msg,
  type NatsConnection,
  type Subscription,
} from "@nats-io/transport-node";
import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { dropOldest } from "./_drop_oldest.ts";
import { Epochs } from "./_epochs.ts";
import { IdMap } from "./_id_map.ts";
import { Outbox } from "./_nats_outbox.ts";
import { senderOf, Subjects, tokenOf } from "./_nats_subjects.ts";
import { HEAD, UnicastHeads } from "./_nats_unconfirmed.ts";
import { readContent, readId, writePeer } from "./_peer_codec.ts";
import type { ExplainingRouter, RouteExplanation } from "./explain.ts";
import { epochOf } from "./incarnation.ts";
import {
  type Counted,
  type Lane,
  type LinkingRouter,
  type MemberEvent,
  type NodeId,
  NodeNotFoundError,
  type Peer,
  type QueueingRouter,
  type RouterContext,
  type RouterFactory,
  type SelectiveRouter,
} from "./types.ts";

/** Options of {@linkcode natsRouter}. */
export interface NatsRouterOptions {
  /** A NATS server by its URL, or some servers of a NATS cluster: `nats://10.0.0.7:4222`. */
  readonly servers: string | readonly string[];
  /**
   * A name of 1 to 64 characters that is part of each subject: routers with different
   * names do not meet. Give the name of the node's cluster.
   */
  readonly cluster: string;
  /**
   * How many bytes wait at most until the server has taken them, also while there is
   * no connection: from 1 MiB to 1 GiB. What does not fit is dropped and counted.
   *
   * @default {8388608}
   */
  readonly maxPending?: number;
  /**
   * How to be let in, and how long to try.
   *
   * @default {no credentials, no TLS unless the server asks for it}
   */
  readonly connection?: NatsConnectionOptions;
}

/** What a NATS client needs to know besides the URL. */
export interface NatsConnectionOptions {
  /**
   * The name of a user.
   *
   * @default {none}
   */
  readonly user?: string;
  /**
   * Its password.
   *
   * @default {none}
   */
  readonly pass?: string;
  /**
   * A token, instead of a user.
   *
   * @default {none}
   */
  readonly token?: string;
  /**
   * Turns TLS on.
   *
   * @default {only where the server asks for it}
   */
  readonly tls?: NatsTlsOptions;
  /**
   * How long an attempt to connect may take, in ms.
   *
   * @default {5000}
   */
  readonly timeout?: number;
}

/** The files of TLS, each in PEM format. */
export interface NatsTlsOptions {
  /**
   * A file with certificates to trust.
   *
   * @default {those of the system}
   */
  readonly caFile?: string;
  /**
   * A file with the certificate of this client.
   *
   * @default {none}
   */
  readonly certFile?: string;
  /**
   * A file with its private key.
   *
   * @default {none}
   */
  readonly keyFile?: string;
}

const VERSION = 1;
/** Packet types; each follows the version, and the incarnation of who sent it follows. */
const TO_ALL = 1;
const TO_ONE = 2;
const CONTROL = 3;
const HERE = 4;
const LOST = 5;
const BYE = 6;
const TO_QUEUE = 7;
/** Flag of `HERE`: answer with yours. */
const ASK = 1;

/** Time between two announcements of a node, in ms; ± 10 %. */
const BEAT = 2_000;
/** A node that is not heard for this long is forgotten, in ms: three announcements and a bit. */
const LIFE = 7_000;
/**
 * How long the nodes that are there have to answer a newcomer, in ms, and at least in
 * times of what the server takes to answer it.
 */
const SETTLE = 250;
const SETTLE_ROUNDS = 4;
/** How long what was sent last may take to leave, in ms. */
const FAREWELL = 400;
/** How long an attempt to connect may take, and the pause after it, in ms. */
const CONNECT_TIMEOUT = 5_000;
const RECONNECT_PAUSE = 250;
/** How often a server is asked whether it is there, in ms, and how many answers it may owe. */
const PING_INTERVAL = 2_000;
const MAX_PINGS = 2;
/** Nodes that are known. */
const MAX_NODES = 4_096;
/** Nodes remembered that said goodbye, and that fell silent. */
const MAX_GONE = 1_024;
/** No sender loses more packets in a row and is believed. */
const MAX_JUMP = 1_048_576;
const MIB = 1_048_576;
const MAX_PENDING = 8 * MIB;
/** What stands before the payload of a unicast, in bytes. */
const TO_ONE_HEADER = 2 + 3 * 8;

/**
 * Makes routers that reach each other through a NATS server or cluster: for programs
 * that run where they can reach one, and not each other.
 *
 * - **Connecting.** `open()`, in a node `join()` without addresses, connects; it rejects
 *   if no server answers. From then on the router reconnects by itself, for ever, to any
 *   of the servers, also to one that did not answer at first.
 * - **Subjects.** A broadcast goes to `devts.1.CLUSTER.all.FROM`, a unicast to
 *   `devts.1.CLUSTER.to.ID.FROM`; a node listens to `all.*` and `to.ITS-ID.*`. So
 *   a server's permissions can keep a user to one id. Characters other than letters,
 *   digits, `_` and `-` stand there as in a URL: `%2E`.
 * - **Groups** are queue groups of NATS: what is for one member of a group goes to
 *   `devts.1.CLUSTER.one.GROUP.FROM.NAME`, and the server hands it to one of those who
 *   wait, so that none goes to a member that has just died. It is not numbered and not
 *   sent again; while there is no connection, it is dropped.
 * - **Nodes** announce themselves every 2 s; who is silent for 7 s is forgotten. What
 *   the membership gives up is forgotten, too, until it is heard again.
 * - **Order.** A server keeps the order of a connection. Packets are numbered: what is
 *   repeated is dropped, what is missing is told as `missed` at its receiver, and as
 *   `undelivered` at the sender of a unicast.
 * - **Reconnecting.** A server that answers nothing for 6 s counts as gone, as does one
 *   whose connection breaks. What the server has not confirmed is sent again, and so is what
 *   was sent meanwhile, once all others are back, 1 s later at the latest. Lost is what
 *   a server took and did not hand on, and what comes before a node is back; both ends
 *   tell as soon as they are connected again.
 * - **Lanes.** There is one connection, so nothing overtakes; but the control lane may
 *   use 1 MiB more than `maxPending`, is not numbered and not sent again.
 *
 * `counters`: `dropped` (no room), `oversized` (longer than the server takes), `failed`
 * (refused by the client), `malformed`, `unknown` (types and versions), `strangers` (packets
 * of nodes that did not announce themselves), `conflicts` (another node with this id),
 * `stale` (of an earlier life), `implausible` (an incarnation too far ahead), `duplicates`,
 * `absurd` (numbers too far ahead), `crowded` (more than 4,096 nodes), `missed`, `lost`
 * (undelivered), `reconnects`, `errors` (told by the server).
 *
 * @example Three servers of one NATS cluster, with a user
 * ```ts
 * import { natsRouter } from "@devts/routing/nats";
 * import type { RouterFactory } from "@devts/routing";
 *
 * const router: RouterFactory = natsRouter({
 *   servers: ["nats://10.0.0.7", "nats://10.0.0.8", "nats://10.0.0.9"],
 *   cluster: "demo",
 *   connection: { user: "ada", pass: "secret" },
 * });
 * ```
 *
 * @throws {TypeError} If the name of the cluster is malformed, or there is no server.
 * @throws {RangeError} If an option is out of its range.
 */
export function natsRouter(options: NatsRouterOptions): RouterFactory {
  const { cluster, connection = {}, maxPending = MAX_PENDING } = options;
  const servers = typeof options.servers === "string"
    ? [options.servers]
    : [...options.servers];
  if (servers.length === 0) {
    throw new TypeError("Cannot use NATS: `servers` is empty, give a URL");
  }
  if (cluster.length < 1 || cluster.length > 64 || !cluster.isWellFormed()) {
    throw new TypeError(
      `Cannot use the cluster name "${cluster}": it must have 1 to 64 characters`,
    );
  }
  if (
    !Number.isSafeInteger(maxPending) || maxPending < MIB ||
    maxPending > 1024 * MIB
  ) {
    throw new RangeError(
      `Cannot let ${maxPending} bytes wait: it must be an integer from 1 MiB to 1 GiB`,
    );
  }
  const root = `devts.${VERSION}.${tokenOf(cluster)}`;
  return (context) =>
    new NatsRouter(context, { root, servers, maxPending, connection });
}

interface Settings {
  /** What each subject begins with. */
  readonly root: string;
  readonly servers: string[];
  readonly maxPending: number;
  readonly connection: NatsConnectionOptions;
}

/** A node that is there, and how far its packets and those for it are. */
interface Known {
  readonly id: NodeId;
  readonly subject: string;
  readonly epoch: number;
  heardAt: number;
  /** The last broadcast of it, and the last unicast to this node; -1: none is known. */
  all: number;
  one: number;
  /** The last unicast sent to it, and the one before the first. */
  sent: number;
  readonly base: number;
}

/** How far the packets of a node that fell silent had come. */
type Heard = Pick<Known, "epoch" | "all" | "one">;

/** A queue group that this node is in. */
interface Queue {
  readonly group: string;
  count: number;
  subscription: Subscription | null;
}

class NatsRouter
  implements
    LinkingRouter,
    ExplainingRouter,
    SelectiveRouter,
    QueueingRouter,
    Counted {
  readonly #context: RouterContext;
  readonly #settings: Settings;
  readonly #subjects: Subjects;
  readonly #known = new Map<NodeId, Known>();
  readonly #nodes = new Set<NodeId>();
  /** Nodes that fell silent: how far their packets had come. */
  readonly #silent = new IdMap<Heard>();
  /** The last life of nodes that said goodbye. */
  readonly #gone = new Map<NodeId, number>();
  readonly #outbox: Outbox;
  /** What this node waits for in groups, by subject; only its program adds to it. */
  readonly #queues = new Map<string, Queue>();
  readonly #heads = new UnicastHeads();
  readonly #ended = Promise.withResolvers<void>();
  readonly #epochs: Epochs;
  #connection: NatsConnection | null = null;
  #opening: Promise<number> | null = null;
  /** Broadcasts and unicasts sent since the start. */
  #broadcasts = 0;
  #unicasts = 0;
  #due = 0;
  #cancelBeat: () => void = nothing;
  #closed = false;
  readonly counters = {
    dropped: 0,
    oversized: 0,
    failed: 0,
    malformed: 0,
    unknown: 0,
    strangers: 0,
    conflicts: 0,
    stale: 0,
    implausible: 0,
    duplicates: 0,
    absurd: 0,
    crowded: 0,
    missed: 0,
    lost: 0,
    reconnects: 0,
    errors: 0,
  };

  constructor(context: RouterContext, settings: Settings) {
    this.#context = context;
    this.#settings = settings;
    this.#subjects = new Subjects(settings.root, context.self.id);
    this.#epochs = new Epochs(context);
    this.#outbox = new Outbox({
      clock: context.clock,
      maxPending: settings.maxPending,
      counters: this.counters,
      resumed: () => this.#resumed(),
    });
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#nodes;
  }

  get closed(): Promise<void> {
    return this.#ended.promise;
  }

  get room(): Promise<void> | null {
    return this.#outbox.room;
  }

  // -- Connection --

  open(): Promise<number> {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<number> {
    const connection = await this.#connect();
    if (this.#closed) {
      await connection.close();
      throw new Error("Cannot connect to NATS: the router is closed");
    }
    this.#connection = connection;
    this.#outbox.connected(connection);
    this.#subscribe(connection);
    this.#watch(connection);
    this.#announce(ASK);
    this.#planBeat();
    await this.#settle(connection);
    return this.#nodes.size;
  }

  async #settle(connection: NatsConnection): Promise<void> {
    const { clock } = this.#context;
    const asked = clock.now();
    await this.#flush(connection, CONNECT_TIMEOUT);
    const rounds = SETTLE_ROUNDS * (clock.now() - asked);
    await new Promise<void>((resolve) => {
      clock.after(Math.max(SETTLE, rounds), resolve);
    });
  }

  /** Resolves once the server has what was sent, or the connection ends, or in `limit` ms. */
  async #flush(connection: NatsConnection, limit: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#context.clock.after(limit, resolve);
    connection.flush().then(resolve, resolve);
    await promise;
    cancel();
  }

  async #connect(): Promise<NatsConnection> {
    const { servers, connection } = this.#settings;
    try {
      const connected = await connect({
        timeout: CONNECT_TIMEOUT,
        reconnectTimeWait: RECONNECT_PAUSE,
        pingInterval: PING_INTERVAL,
        maxPingOut: MAX_PINGS,
        ignoreAuthErrorAbort: true,
        name: this.#context.self.id,
        ...connection,
        servers,
        noEcho: true,
        reconnect: true,
        maxReconnectAttempts: -1,
        waitOnFirstConnect: false,
      });
      keepServers(connected, servers);
      return connected;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `Cannot connect to NATS at "${
          servers.join('", "')
        }": ${why}; is a server running there?`,
        { cause },
      );
    }
  }

  #subscribe(connection: NatsConnection): void {
    for (const subject of this.#subjects.fromAny) {
      connection.subscribe(subject, { callback: this.#received });
    }
    for (const [subject, queue] of this.#queues) {
      this.#subscribeTo(connection, subject, queue);
    }
  }

  #subscribeTo(
    connection: NatsConnection,
    subject: string,
    queue: Queue,
  ): void {
    queue.subscription = connection.subscribe(subject, {
      queue: tokenOf(queue.group),
      callback: this.#received,
    });
  }

  readonly #received = (error: Error | null, message: Msg): void => {
    if (error === null) this.#arrived(message);
    else this.counters.errors++;
  };

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (this.#closed) return;
      if (type === "disconnect") this.#outbox.disconnected();
      else if (type === "reconnect") this.#reconnected(connection);
      else if (type === "error") this.counters.errors++;
    }
    // The client has given up; `open` may be called again.
    if (this.#closed) return;
    this.#outbox.disconnected();
    this.#connection = null;
    this.#opening = null;
    this.#cancelBeat();
    for (const known of [...this.#known.values()]) {
      this.#forget(known, "the connection to NATS has ended");
    }
  }

  #reconnected(connection: NatsConnection): void {
    this.counters.reconnects++;
    this.#outbox.reconnected(connection);
    this.#announce(ASK);
    this.#resumeIfMet();
  }

  #resumeIfMet(): void {
    const { heldSince } = this.#outbox;
    if (heldSince < 0) return;
    if (this.#silent.size > 0) return;
    for (const { heardAt } of this.#known.values()) {
      if (heardAt < heldSince) return;
    }
    this.#outbox.resume();
  }

  /** What was held back has left: who is there is told how far that is. */
  #resumed(): void {
    for (const known of this.#known.values()) {
      if (known.sent > known.base) this.#tell(known);
    }
  }

  close(): void {
    if (this.#closed) return;
    if (this.#outbox.heldSince >= 0) this.#outbox.resume();
    this.#closed = true;
    this.#cancelBeat();
    this.#end().then(this.#ended.resolve, this.#ended.resolve);
    this.#outbox.disconnected();
    this.#known.clear();
    this.#nodes.clear();
    this.#silent.clear();
  }

  async #end(): Promise<void> {
    const connection = this.#connection;
    if (connection === null) {
      // A connection that comes up after all is closed where it was asked for.
      await this.#opening?.catch(nothing);
      return;
    }
    if (this.#outbox.isConnected) {
      this.#outbox.publish(this.#subjects.all, this.#start(BYE).take());
      await this.#flush(connection, FAREWELL);
    }
    await connection.close();
  }

  // -- Sending --

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: Lane = "data",
  ): number {
    if (this.#closed) return 0;
    if (to === "all") return this.#broadcast(payload, lane);
    const targets = to.map((id) => this.#targetOf(id));
    let handed = 0;
    for (const target of targets) {
      if (this.#unicast(target, payload, lane)) handed++;
    }
    return handed;
  }

  explain(target: NodeId): RouteExplanation {
    const known = this.#known.get(target);
    const { isConnected, flows, pending } = this.#outbox;
    if (known === undefined) {
      const why = isConnected
        ? "it has not announced itself at the NATS server"
        : "there is no connection to NATS";
      return { how: "none", why, ways: [] };
    }
    if (!flows) {
      const why = isConnected
        ? `NATS is back, and others may still be on their way; ${pending}`
        : `there is no connection to NATS; ${pending}`;
      return { how: "wait", why, ways: [] };
    }
    const age = Math.round(this.#context.clock.now() - known.heardAt);
    const why = `it was heard at the NATS server ${age} ms ago; ${pending}`;
    const nodes = [this.#context.self.id, target];
    return { how: "server", why, ways: [{ nodes, isWhole: false }] };
  }

  wait(group: string, name: string): Disposable {
    const subject = this.#subjects.toOneFromAny(group, name);
    const known = this.#queues.get(subject);
    const queue = known ?? { group, count: 0, subscription: null };
    queue.count++;
    this.#queues.set(subject, queue);
    if (known === undefined && this.#connection !== null && !this.#closed) {
      this.#subscribeTo(this.#connection, subject, queue);
    }
    return {
      [Symbol.dispose]: (): void => {
        if (--queue.count > 0 || this.#queues.get(subject) !== queue) return;
        this.#queues.delete(subject);
        // What the server has sent already still comes.
        if (!this.#closed) queue.subscription?.drain().catch(() => {});
      },
    };
  }

  sendToOne(group: string, name: string, payload: Uint8Array): boolean {
    if (this.#closed) return false;
    // What is held back must not be overtaken.
    if (!this.#outbox.flows) {
      this.counters.dropped++;
      return false;
    }
    const subject = this.#subjects.toOne(group, name);
    return this.#outbox.control(subject, join(this.#start(TO_QUEUE), payload));
  }

  /** Each packet goes to the server, and from there to whom it is for. */
  prefersEach(to: readonly NodeId[]): boolean {
    return 2 * to.length < 1 + this.#nodes.size;
  }

  #targetOf(id: NodeId): Known {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    if (this.#outbox.isConnected) throw new NodeNotFoundError(id);
    throw new NodeNotFoundError(
      id,
      `Cannot reach node "${id}": there is no connection to NATS`,
    );
  }

  #broadcast(payload: Uint8Array, lane: Lane): number {
    if (this.#nodes.size === 0) return 0;
    const subject = this.#subjects.all;
    if (lane === "control") {
      return this.#outbox.control(subject, join(this.#start(CONTROL), payload))
        ? this.#nodes.size
        : 0;
    }
    const number = this.#broadcasts + 1;
    const bytes = join(this.#start(TO_ALL).u53(number), payload);
    if (this.#outbox.isOversized(bytes)) return 0;
    // The number is used up: what is dropped is missed by its receivers.
    this.#broadcasts = number;
    const packet = { subject, bytes, to: null, number };
    return this.#outbox.data(packet) ? this.#nodes.size : 0;
  }

  #unicast(target: Known, payload: Uint8Array, lane: Lane): boolean {
    const { id, subject, base } = target;
    if (lane === "control") {
      return this.#outbox.control(subject, join(this.#start(CONTROL), payload));
    }
    const number = target.sent + 1;
    const bytes = join(this.#start(TO_ONE).u53(base).u53(number), payload);
    if (this.#outbox.isOversized(bytes)) {
      this.#lost(
        id,
        payload,
        `it has ${bytes.length} bytes, and the server takes ${this.#outbox.maxPayload}`,
      );
      return false;
    }
    target.sent = number;
    this.#unicasts++;
    if (!this.#outbox.data({ subject, bytes, to: id, number })) return false;
    this.#heads.add(id, number, payload);
    return true;
  }

  #start(type: number): Writer {
    const { incarnation } = this.#context.self;
    return new Writer().u8(VERSION).u8(type).u53(incarnation);
  }

  #lost(id: NodeId, payload: Uint8Array, reason: string): void {
    this.counters.lost++;
    const head = payload.subarray(0, HEAD);
    this.#context.up.undelivered(id, head, this.#context.self.id, reason);
  }

  // -- Presence --

  #announce(flags: number): void {
    this.#outbox.control(this.#subjects.all, this.#here(flags, 0, 0));
  }

  /** Tells one node that this one is there, and how far its packets are. */
  #tell({ id, subject, base, sent }: Known): void {
    this.#outbox.control(
      subject,
      this.#here(0, base, this.#outbox.left(id, sent)),
    );
  }

  #here(flags: number, base: number, sent: number): Uint8Array {
    const broadcasts = this.#outbox.left(null, this.#broadcasts);
    const writer = this.#start(HERE).u8(flags).u53(broadcasts);
    writer.u53(base).u53(sent);
    // Nobody dials a node that is reached through a server.
    writePeer(writer, this.#context.self, () => false);
    return writer.take();
  }

  #planBeat(): void {
    const delay = BEAT * (0.9 + 0.2 * this.#context.random());
    this.#due = this.#context.clock.now() + delay;
    this.#cancelBeat = this.#context.clock.after(delay, () => this.#beat());
  }

  #beat(): void {
    const now = this.#context.clock.now();
    const pause = now - this.#due;
    for (const known of [...this.#known.values()]) {
      // While this node stood still it heard nobody.
      if (pause > BEAT) known.heardAt += pause;
      if (now - known.heardAt > LIFE) {
        this.#forget(known, "it has been silent");
      }
    }
    if (this.#closed) return;
    this.#announce(0);
    this.#planBeat();
  }

  member(event: MemberEvent): void {
    if (this.#closed || event.type !== "leave") return;
    const { member: { id, incarnation }, reason } = event;
    if (reason === "restarted") return;
    if (reason === "left") this.#bury(id, epochOf(incarnation));
    const known = this.#known.get(id);
    if (known !== undefined) this.#forget(known, `it is gone: ${reason}`);
  }

  #bury(id: NodeId, epoch: number): void {
    this.#silent.delete(id);
    this.#gone.delete(id); // to the end
    this.#gone.set(id, epoch);
    dropOldest(this.#gone, MAX_GONE);
  }

  /** It may come back: what of it does not come until then, is missed then. */
  #forget({ id, epoch, all, one }: Known, reason: string): void {
    if (!this.#known.delete(id)) return;
    this.#nodes.delete(id);
    for (const { bytes } of this.#outbox.take(id)) {
      this.#lost(id, bytes.subarray(TO_ONE_HEADER), reason);
    }
    this.#heads.forget(id);
    if ((this.#gone.get(id) ?? -1) < epoch) {
      this.#silent.set(id, { epoch, all, one });
      dropOldest(this.#silent, MAX_GONE);
    }
    this.#context.up.link?.({ type: "down", id, reason });
  }

  /** The node that announces itself; null: there is no room for it. */
  #admit(peer: Peer): Known | null {
    if (this.#known.size >= MAX_NODES) {
      this.counters.crowded++;
      return null;
    }
    const epoch = epochOf(peer.incarnation);
    const silent = this.#silent.get(peer.id);
    this.#silent.delete(peer.id);
    const heard = silent?.epoch === epoch ? silent : { all: -1, one: -1 };
    const known: Known = {
      id: peer.id,
      subject: this.#subjects.to(peer.id),
      epoch,
      heardAt: this.#context.clock.now(),
      all: heard.all,
      one: heard.one,
      // Above all numbers that were ever used for it.
      sent: this.#unicasts,
      base: this.#unicasts,
    };
    this.#known.set(peer.id, known);
    this.#nodes.add(peer.id);
    return known;
  }

  // -- Receiving --

  /** What the links of the program bring is not for this router. */
  receive(): void {
    if (!this.#closed) this.counters.strangers++;
  }

  /** The links of the program are of no use to it. */
  link(): void {}

  #arrived({ subject, data }: Msg): void {
    if (this.#closed) return;
    try {
      this.#read(subject, data);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.counters.malformed++;
    }
  }

  #read(subject: string, data: Uint8Array): void {
    const from = senderOf(subject);
    const reader = new Reader(data);
    const version = reader.u8();
    const type = reader.u8();
    if (version !== VERSION || type < TO_ALL || type > TO_QUEUE) {
      this.counters.unknown++;
      return;
    }
    const incarnation = reader.u53();
    if (!this.#mayTake(from, epochOf(incarnation))) return;
    if (type === HERE) return this.#readHere(from, incarnation, reader);
    const known = this.#known.get(from);
    if (known === undefined || known.epoch !== epochOf(incarnation)) {
      this.counters.strangers++;
      return;
    }
    known.heardAt = this.#context.clock.now();
    if (type === TO_ALL) this.#readBroadcast(known, reader);
    else if (type === TO_ONE) this.#readUnicast(known, reader);
    else if (type === CONTROL || type === TO_QUEUE) {
      this.#deliver(known, reader);
    } else if (type === LOST) this.#readLost(known, reader);
    else this.#readBye(known, reader);
  }

  /** Whether a packet is of a life of its sender that may be the present one. */
  #mayTake(from: NodeId, epoch: number): boolean {
    if (from === this.#context.self.id) {
      this.counters.conflicts++;
      return false;
    }
    if (!this.#epochs.isPlausible(epoch)) {
      this.counters.implausible++;
      return false;
    }
    const isStale = epoch < (this.#known.get(from)?.epoch ?? 0) ||
      epoch <= (this.#gone.get(from) ?? -1);
    if (isStale) this.counters.stale++;
    return !isStale;
  }

  #readHere(from: NodeId, incarnation: number, reader: Reader): void {
    const flags = reader.u8();
    const broadcasts = reader.u53();
    const base = reader.u53();
    const sent = reader.u53();
    if (readId(reader) !== from || reader.u53() !== incarnation) {
      throw new MalformedError("A node announces another");
    }
    const peer = readContent(reader, from, incarnation);
    reader.end();
    // Who is new to this node may not know it either.
    const mayAsk = (flags & ASK) !== 0 || !this.#known.has(from);
    const known = this.#met(peer);
    if (known === null) return;
    this.#compare(known, broadcasts, base, sent);
    if (mayAsk) this.#tell(known);
    this.#resumeIfMet();
  }

  /** A node is there: known, new, or restarted. */
  #met(peer: Peer): Known | null {
    const known = this.#known.get(peer.id);
    if (known?.epoch === epochOf(peer.incarnation)) {
      known.heardAt = this.#context.clock.now();
      return known;
    }
    if (known !== undefined) this.#forget(known, "it was started anew");
    const made = this.#admit(peer);
    if (made === null) return null;
    this.#context.up.link?.({ type: "up", peer });
    return this.#known.get(peer.id) === made ? made : null;
  }

  /** Holds what a node says to have sent against what has come. */
  #compare(known: Known, all: number, base: number, one: number): void {
    if (known.all < 0) known.all = all;
    else if (all > known.all && this.#isNear(all, known.all)) {
      this.#missed(known, all - known.all);
      known.all = all;
    }
    if (one > base && one > known.one) this.#skip(known, base, one);
  }

  #readBroadcast(known: Known, reader: Reader): void {
    const number = reader.u53();
    const last = known.all < 0 ? number - 1 : known.all;
    if (!this.#isNew(number, last)) return;
    known.all = number;
    this.#missed(known, number - 1 - last);
    this.#deliver(known, reader);
  }

  #readUnicast(known: Known, reader: Reader): void {
    const base = reader.u53();
    const number = reader.u53();
    if (base >= number) {
      throw new MalformedError("A number is before its first");
    }
    const last = known.one < 0 ? base : Math.max(known.one, base);
    if (!this.#isNew(number, last)) return;
    if (number - 1 > last) this.#skip(known, base, number - 1);
    known.one = number;
    this.#deliver(known, reader);
  }

  #isNew(number: number, last: number): boolean {
    if (number > last) return this.#isNear(number, last);
    this.counters.duplicates++;
    return false;
  }

  #isNear(number: number, last: number): boolean {
    if (number - last <= MAX_JUMP) return true;
    this.counters.absurd++;
    return false;
  }

  /** Unicasts up to a number did not come, and will not; says so to who sent them. */
  #skip(known: Known, base: number, upTo: number): void {
    const last = Math.max(known.one, base);
    if (!this.#isNear(upTo, last)) return;
    known.one = upTo;
    const bytes = this.#start(LOST).u53(last + 1).u53(upTo).take();
    this.#outbox.control(known.subject, bytes);
    this.#missed(known, upTo - last);
  }

  #missed({ id }: Known, count: number): void {
    if (count === 0) return;
    this.counters.missed += count;
    this.#context.up.missed?.(id, count);
  }

  #readLost({ id }: Known, reader: Reader): void {
    const first = reader.u53();
    const last = reader.u53();
    reader.end();
    const reason = "it was lost between two connections to NATS";
    for (const head of this.#heads.take(id, first, last)) {
      this.#lost(id, head, reason);
    }
  }

  #readBye(known: Known, reader: Reader): void {
    reader.end();
    this.#bury(known.id, known.epoch);
    this.#forget(known, "it said goodbye");
  }

  #deliver({ id }: Known, reader: Reader): void {
    // A copy: a view would keep all that was read with it.
    this.#context.up.deliver(id, reader.rest().slice());
  }
}

/** Until it is connected, the client forgets servers that do not answer: they may do later. */
function keepServers(
  connection: NatsConnection,
  servers: readonly string[],
): void {
  const known = connection.getServers();
  const forgotten = servers.filter((url) =>
    !known.some(({ src, listen }) => url === src || url.endsWith(`/${listen}`))
  );
  if (forgotten.length === 0) return;
  connection.setServers([...known.map(({ listen }) => listen), ...forgotten]);
}

/** A header and what follows it, in a buffer of its own: the client sends it later. */
function join(header: Writer, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(header.length + payload.length);
  bytes.set(payload, header.length);
  bytes.set(header.take());
  return bytes;
}

function nothing(): void {}
