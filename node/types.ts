import type { Connection, Transport } from "@devts/transport";
import type { Codec, Protocol } from "@devts/protocol";
import type {
  Clock,
  LeaveReason,
  MembershipFactory,
  RouterFactory,
} from "@devts/routing";
import type { DeliveryFailure } from "./errors.ts";
import type { Contract } from "./contract.ts";
import type { Incompatibility } from "./compatibility.ts";
import type { LimitCounts, NodeLimits } from "./limits.ts";
import type { Middleware } from "./middleware.ts";
import type { Security } from "./security.ts";

/** Where a node logs: `console` and the `Logger` of `@std/log` both fit. */
export interface Logger {
  /** What only a developer of the system wants to see. */
  debug(message: string): unknown;
  /** What an operator wants to know: cluster ports, members that come and go. */
  info(message: string): unknown;
  /** What may need attention. */
  warn(message: string): unknown;
  /** What went wrong. */
  error(message: string): unknown;
}

/** Another node of the cluster. */
export interface Member {
  /** Its id. */
  readonly id: string;
  /** Its incarnation; rises with each start. */
  readonly incarnation: number;
  /** Where it can be dialled, as far as it told. */
  readonly addresses: readonly string[];
  /** Its metadata; `undefined` where it has none. */
  readonly meta: unknown;
}

/** What a handler is told beside the data. */
export interface HandlerContext {
  /** The id of the node that sent the event. */
  readonly from: string;
  /** The name of the event: a pattern may stand for many. */
  readonly name: string;
  /** Aborts when this node closes. */
  readonly signal: AbortSignal;
  /**
   * Of an event sent by {@linkcode Node.deliver}: its id, the same whenever it comes and
   * at every node, for handlers that may get it twice.
   */
  readonly delivery?: string;
  /** What the sender's {@linkcode Middleware} gave the event; few events have any. */
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * Handles an event. What it returns is the reply to a request; of several
 * handlers of one name, the first replies.
 *
 * The parameter is checked where a handler is registered, so any function of one
 * data argument fits.
 *
 * Bytes in the data are the handler's to keep, and are not written again. Their buffer
 * may hold other data as well: copy them (`bytes.slice()`) before their buffer is
 * transferred, to a worker for example. All handlers of an event get the same data.
 */
export type Handler = {
  bivariant(data: unknown, context: HandlerContext): unknown;
}["bivariant"];

/**
 * A pattern of names: `*` stands for one token between dots, `>` at the end for one or
 * more. `"order.*"` stands for `"order.new"`, `"order.>"` for `"order.eu.new"`, too.
 */
export type NamePattern =
  | "*"
  | ">"
  | `*.${string}`
  | `${string}.*`
  | `${string}.*.${string}`
  | `${string}.>`;

/**
 * How a group chooses the member that gets an event. Each sender chooses by itself:
 *
 * - `round-robin`: one after the other;
 * - `random`: any of them;
 * - `least-latency`: the one that answers fastest; this node itself before others;
 * - `sticky`: always the same for the same key, as long as it lives. When members come
 *   or go, only keys of theirs move.
 */
export type GroupStrategy =
  | "round-robin"
  | "random"
  | "least-latency"
  | "sticky";

/** Options of {@linkcode Node.on}. */
export interface HandlerOptions {
  /**
   * Joins a group, named by 1 to 64 characters: each event goes to one member of each
   * group, beside the handlers without a group. What is sent to a node by its id comes to
   * all of its handlers.
   *
   * @default {none: it gets every event}
   */
  readonly group?: string;
  /**
   * How the group chooses: the same at all its members; where they differ, the one with
   * the smallest id decides.
   *
   * @default {"round-robin"}
   */
  readonly strategy?: GroupStrategy;
  /**
   * For a sticky group, the field of the data that is the key, where the sender names
   * none: `"customer"`. Events without a key stick together.
   *
   * @default {none}
   */
  readonly key?: string;
}

/** What {@linkcode Node.ready} waits for. */
export interface ReadyOptions {
  /**
   * So many other nodes, as in {@linkcode Node.members}.
   *
   * @default {0}
   */
  readonly members?: number;
  /**
   * Names of events, each of which another node handles.
   *
   * @default {[]}
   */
  readonly handles?: string | readonly string[];
  /**
   * How long to wait, in ms: 1 to 2^31 − 1.
   *
   * @default {30_000}
   */
  readonly timeout?: number;
  /** Stops waiting. */
  readonly signal?: AbortSignal;
}

/**
 * In an interface of events: a conversation instead of an event. What each side of the
 * {@linkcode Stream} sends.
 *
 * @typeParam Opener What the node sends that opens it.
 * @typeParam Acceptor What the node sends that accepts it.
 */
export interface Conversation<Opener, Acceptor = Opener> {
  /** What the node sends that opens it. */
  readonly opener: Opener;
  /** What the node sends that accepts it. */
  readonly acceptor: Acceptor;
}

/**
 * An event of a {@linkcode Contract}: schemas may make of what is sent something else,
 * which is what arrives.
 *
 * @typeParam Sent The data as it is sent.
 * @typeParam Taken The data as handlers get it.
 * @typeParam Returned What handlers return.
 * @typeParam Reply The reply as it arrives.
 */
export interface Checked<Sent, Taken, Returned, Reply> {
  /** The data as it is sent. */
  readonly sent: Sent;
  /** The data as handlers get it. */
  readonly taken: Taken;
  /** What handlers return. */
  readonly returned: Returned;
  /** The reply as it arrives. */
  readonly reply: Reply;
}

/** An event of a {@linkcode Contract} that `emit` and `send` do not take. */
export interface Acknowledged {
  /** How many have to acknowledge it, by the contract. */
  readonly acks: Acks;
}

/** How many of those that a delivery is for: `"quorum"` is more than half. */
export type Acks = "all" | "quorum" | number;

/** The names of the conversations of an interface of events. */
export type StreamName<E extends object> = string extends keyof E ? string
  : {
    [K in keyof E & string]: E[K] extends Conversation<unknown, unknown> ? K
      : never;
  }[keyof E & string];

/** What the node sends that opens a conversation. */
export type OpenerOf<E extends object, K extends StreamName<E>> =
  E[K & keyof E] extends Conversation<infer O, unknown> ? O : unknown;

/** What the node sends that accepts a conversation. */
export type AcceptorOf<E extends object, K extends StreamName<E>> =
  E[K & keyof E] extends Conversation<unknown, infer A> ? A : unknown;

/** Options of {@linkcode Node.open}. */
export interface OpenOptions {
  /**
   * How long the other node may take to accept, in ms: 1 to 2^31 − 1.
   *
   * @default {10_000}
   */
  readonly timeout?: number;
  /** Aborts the stream, whether it is open yet or not. */
  readonly signal?: AbortSignal;
}

/** The names of the events of an interface of methods. */
export type EventName<E extends object> = Exclude<
  keyof E & string,
  string extends keyof E ? never : StreamName<E>
>;

/** The names of the events that may go without an acknowledgement. */
export type EmitName<E extends object> = Exclude<
  EventName<E>,
  string extends keyof E ? never
    : { [K in keyof E & string]: E[K] extends Acknowledged ? K : never }[
      & keyof E
      & string
    ]
>;

/** The data of an event, as it is sent: the first parameter of its method. */
export type DataOf<E extends object, K extends EventName<E>> = E[K] extends
  Checked<infer Sent, unknown, unknown, unknown> ? Sent
  : E[K] extends (...args: infer A) => unknown
    ? A extends readonly [] ? undefined : A[0]
  : never;

/** The data of an event, as handlers get it. */
export type TakenOf<E extends object, K extends EventName<E>> = E[K] extends
  Checked<unknown, infer Taken, unknown, unknown> ? Taken : DataOf<E, K>;

/** The reply to an event: what its method returns, awaited. */
export type ReplyOf<E extends object, K extends EventName<E>> = E[K] extends
  Checked<unknown, unknown, unknown, infer Reply> ? Reply
  : E[K] extends (...args: never) => infer R ? Awaited<R>
  : never;

/** The data after the name: an event without data may leave it out. */
export type DataArg<E extends object, K extends EventName<E>> =
  undefined extends DataOf<E, K> ? [data?: DataOf<E, K>]
    : [data: DataOf<E, K>];

/** The data and the options after the name. */
export type DataArgs<E extends object, K extends EventName<E>, Options> =
  undefined extends DataOf<E, K> ? [data?: DataOf<E, K>, options?: Options]
    : [data: DataOf<E, K>, options?: Options];

/** What a handler may return: for an event without a reply, anything. */
export type ReturnOf<E extends object, K extends EventName<E>> = E[K] extends
  Checked<unknown, unknown, infer Returned, unknown>
  ? Returned | Promise<Returned>
  : [ReplyOf<E, K>] extends [void] ? unknown
  : ReplyOf<E, K> | Promise<ReplyOf<E, K>>;

/** Events of any name with any data: what a node has without an interface. */
export interface AnyEvents {
  /** Data of any kind, and any reply. */
  [name: string]: (data: unknown) => unknown;
}

/** What became of an event at its sender; what happens elsewhere is not known. */
export interface Outcome {
  /**
   * How many nodes it was handed on for: those who handle it, and those of which that is
   * not known yet. 0 is no error.
   */
  readonly nodes: number;
  /** For how many of them it was dropped instead, because their link takes nothing. */
  readonly dropped: number;
}

/** Options of {@linkcode Node.emit}. */
export interface EmitOptions {
  /**
   * Also handle the event on this node.
   *
   * @default {false}
   */
  readonly self?: boolean;
  /**
   * What sticky groups go by, instead of a field of the data: compared as a string.
   *
   * @default {the field that the group names}
   */
  readonly key?: string | number | bigint | boolean;
}

/** Options of {@linkcode Node.request}. */
export interface RequestOptions {
  /**
   * How long to wait for the reply, in ms: 1 to 2^31 − 1.
   *
   * @default {10_000}
   */
  readonly timeout?: number;
  /** Stops waiting: the request rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Node.deliver}. */
export interface DeliverOptions {
  /**
   * To these nodes, whatever they handle, with their groups.
   *
   * @default {all other nodes that handle the name, and one member of each group}
   */
  readonly to?: string | readonly string[];
  /**
   * How many of them must have handled it: `"quorum"` is more than half.
   *
   * @default {what the contract says, or "all"}
   */
  readonly acks?: Acks;
  /**
   * How long it is tried, in ms: 1 to 2^31 − 1.
   *
   * @default {30_000}
   */
  readonly timeout?: number;
  /**
   * How long a member of a group may take before another one gets the work, too, in ms:
   * 1 to 2^31 − 1. Above what the work takes, or it is done twice.
   *
   * @default {10_000}
   */
  readonly patience?: number;
  /** Stops trying: the delivery rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * What sticky groups go by, instead of a field of the data: compared as a string.
   *
   * @default {the field that the group names}
   */
  readonly key?: string | number | bigint | boolean;
}

/** Whom a delivery is for: a node, or one member of a group. */
export interface Recipient {
  /** The node; of a group, the member that has it, or was to have it last. */
  readonly node: string | null;
  /** The group; null: the node itself. */
  readonly group: string | null;
}

/** Who does not have a delivery, and why. */
export interface MissedRecipient extends Recipient {
  /** Why. */
  readonly reason: DeliveryFailure;
  /** A sentence for a person. */
  readonly message: string;
}

/** What became of a delivery, as far as its sender knows. */
export interface DeliveryOutcome {
  /** Who has it: its handlers there have returned, and what they promised is done. */
  readonly acknowledged: readonly Recipient[];
  /** Who is not known to have it. */
  readonly missing: readonly MissedRecipient[];
}

/** Options of {@linkcode Node.gather}. */
export interface GatherOptions {
  /**
   * Asks these nodes, whatever they handle.
   *
   * @default {all other nodes that handle the name, and one member of each group}
   */
  readonly to?: string | readonly string[];
  /**
   * Ends after so many replies, 1 or more.
   *
   * @default {as many as nodes are asked}
   */
  readonly count?: number;
  /**
   * Ends once no reply has come for so long, in ms: 1 or more.
   *
   * @default {the timeout}
   */
  readonly quiet?: number;
  /**
   * Ends after so long, in ms: 1 to 2^31 − 1.
   *
   * @default {10_000}
   */
  readonly timeout?: number;
  /** Ends it: whoever waits for a reply gets the signal's reason thrown. */
  readonly signal?: AbortSignal;
}

/** A reply, and whose it is. */
export interface Gathered<R> {
  /** The node. */
  readonly from: string;
  /** What it replied. */
  readonly data: R;
}

/** A node that did not reply. */
export interface GatherMiss {
  /** The node. */
  readonly node: string;
  /** Why: a {@linkcode RequestError}, or a `NodeNotFoundError`. */
  readonly error: unknown;
}

/**
 * What becomes of an event where as many wait as may: the one that waits longest is
 * dropped, or the new one; or the feed fails.
 */
export type Overflow = "drop-oldest" | "drop-newest" | "fail";

/** Options of {@linkcode Node.events}. */
export interface EventsOptions extends HandlerOptions {
  /**
   * How many events may wait, 1 or more.
   *
   * @default {1_024}
   */
  readonly limit?: number;
  /**
   * What becomes of one more.
   *
   * @default {"drop-oldest"}
   */
  readonly overflow?: Overflow;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** An event as {@linkcode Node.events} gives it: its data, and what a handler is told. */
export interface Received<D> extends HandlerContext {
  /** Its data. */
  readonly data: D;
}

/** An event that could not be delivered or handled. */
export interface DeadLetter {
  /**
   * Why: nobody handles it here; it was lost on its way; or a call of `deliver` failed.
   */
  readonly reason: "unhandled" | "lost" | "undelivered";
  /** Its name. */
  readonly name: string;
  /** The node that sent it. */
  readonly from: string;
  /** The node that it was for; null: several, see the error of `deliver`. */
  readonly to: string | null;
  /** Its data; `undefined` where it was lost elsewhere. */
  readonly data: unknown;
  /** A sentence for a person. */
  readonly message: string;
  /** How many more there were since the last one that was told: a hundred per second are. */
  readonly skipped: number;
}

/** Options of {@linkcode Node.drain}. */
export interface DrainOptions {
  /**
   * How long to wait for what is under way, in ms: 1 to 2^31 − 1.
   *
   * @default {10_000}
   */
  readonly timeout?: number;
}

/** What went wrong outside any call of the program. */
export interface NodeFault {
  /** What was thrown, or what describes it. */
  readonly error: unknown;
  /**
   * Where: while handling an event, on a link, on a listener, in a callback of a system
   * event, in a behaviour, in what does not fit the contract.
   */
  readonly where:
    | "handler"
    | "link"
    | "listener"
    | "system"
    | "behaviour"
    | "contract";
  /** A sentence for the log. */
  readonly message: string;
}

/** What a node tells of itself and the cluster. */
export interface SystemEvents {
  /** It listens or has joined: once. */
  ready: { readonly id: string };
  /** A node has come into the cluster, and can be sent to unless it cannot be reached. */
  join: Member;
  /** A node is gone, and why. */
  leave: { readonly member: Member; readonly reason: LeaveReason };
  /** A node's addresses or metadata changed. */
  update: Member;
  /**
   * Events of a node are missing: a peer dropped them because this node took them too
   * slowly, or they were lost on their way through others. Those are counted in packets
   * of one event or more.
   */
  gap: { readonly from: string; readonly missed: number };
  /** An event could not be delivered or handled. */
  deadLetter: DeadLetter;
  /** The link to a node takes nothing (`slow: true`), or takes again what is sent. */
  slowLink: { readonly id: string; readonly slow: boolean };
  /**
   * Two programs share an id: that of another node, or this one's. The one that was there
   * first stays; a connection with the other was refused, and `address` is its other end.
   */
  conflict: { readonly id: string; readonly address: string };
  /** A node's contract does not fit this one's: the events that are refused, and why. */
  incompatible: {
    readonly id: string;
    readonly events: readonly Incompatibility[];
  };
  /** Something failed outside any call of the program. */
  error: NodeFault;
  /** The node is closed: once, as the last event. */
  close: { readonly id: string };
}

/** The name of a system event. */
export type SystemEventName = keyof SystemEvents;

/**
 * What becomes of events for a link that has taken nothing for 1 s (4 s while its peer
 * sends data), or for which more is queued than `limits` allow. Whatever the policy, a
 * link that takes nothing for 10 s (40 s) is closed.
 *
 * - `"drop-newest"`: new events are dropped until it takes something again, senders wait
 *   no longer, and the receiver is told how many it missed.
 * - `"wait"`: whoever awaits `emit` or `send` goes on waiting; only what nobody awaits is
 *   dropped, above the limits.
 * - `"close"`: the link is closed at once, and what was queued is lost.
 */
export type SlowLinkPolicy = "drop-newest" | "wait" | "close";

/** A policy for all links, or one that is asked for as each comes up. */
export type SlowLink =
  | SlowLinkPolicy
  | ((peer: { readonly id: string }) => SlowLinkPolicy);

/** The incarnations of a node: numbers that rise with each start and each change. */
export interface Incarnations {
  /** The first one, from the time of the start. */
  readonly first: number;
  /** The one after `current`, within the same start. */
  next(current: number): number;
  /** One above `known`, which others know of this node: a later start, where `known` is. */
  above(current: number, known: number): number;
}

/** Everything a {@linkcode Node} is made of. `createNode` fills in the defaults. */
export interface NodeParts {
  /** The name of the cluster: 1 to 64 characters. A name, not a secret. */
  readonly cluster: string;
  /** The id of the node: 1 to 64 printable ASCII characters, unique in the cluster. */
  readonly id: string;
  /** Its incarnations. */
  readonly incarnations: Incarnations;
  /** How it reaches others. */
  readonly transport: Transport;
  /** Around each authenticated link. */
  readonly link: (
    connection: Connection,
    peer: { readonly id: string },
  ) => Connection;
  /** How nodes introduce themselves and what messages mean. */
  readonly protocol: Protocol;
  /** What the bytes of the data mean. */
  readonly codec: Codec;
  /** Which neighbour gets a packet next. */
  readonly router: RouterFactory;
  /** Who is in the cluster. */
  readonly membership: MembershipFactory;
  /** Where it logs. */
  readonly logger: Logger;
  /** Where time comes from. */
  readonly clock: Clock;
  /** The time of day, in ms since 1970: for stamps, never for timeouts. */
  readonly wallClock: () => number;
  /** Where randomness comes from: 0 ≤ x < 1. */
  readonly random: () => number;
  /** The addresses to tell others, where they differ from those listened on. */
  readonly advertise: readonly string[];
  /** Whether it may listen outside loopback without authentication. */
  readonly insecure: boolean;
  /**
   * What protects it; its protocol proves it.
   *
   * @default {nothing}
   */
  readonly security?: Security;
  /** Its metadata: encoded by the codec, at most 512 bytes. */
  readonly meta: unknown;
  /** Its bounds. */
  readonly limits: NodeLimits;
  /**
   * What becomes of events for a link that takes nothing.
   *
   * @default {"drop-newest"}
   */
  readonly slowLink?: SlowLink;
  /**
   * What its events are.
   *
   * @default {nothing is checked}
   */
  readonly contract?: Contract;
  /**
   * Around sending and handling, the first one outermost.
   *
   * @default {[]}
   */
  readonly middleware?: readonly Middleware[];
}

/** Counts of what a node did and met since its start. */
export interface NodeCounters {
  /** Events, requests and replies sent, once each whatever the number of receivers. */
  readonly sent: number;
  /** Events that this node handles, requests and replies received. */
  readonly received: number;
  /** Events sent to this node alone, and requests, that nobody handles. */
  readonly unhandled: number;
  /** Handlers that threw or rejected. */
  readonly handlerErrors: number;
  /** Handlers that had not ended after 30 s. */
  readonly handlersStuck: number;
  /** Events dropped because a link, or this node itself, took nothing, counted per receiver. */
  readonly dropped: number;
  /** Events that peers dropped for this node, and packets lost on their way through others. */
  readonly missed: number;
  /** Promises of this node that were rejected, whether or not somebody awaited them. */
  readonly rejections: number;
  /** Incoming connections refused or ended in the handshake. */
  readonly refused: number;
  /** Links that ended because the peer broke the protocol, and malformed events through others. */
  readonly violations: number;
  /** Links that broke for any other reason than a goodbye or an orderly end. */
  readonly broken: number;
  /** Packets that this node could not carry further, as the router reports. */
  readonly undelivered: number;
  /** What came from or was for guests without a right to it, and from nodes that are none. */
  readonly forbidden: number;
  /** Frames of kinds that this version does not know and may ignore. */
  readonly skipped: number;
  /** Events and replies refused because they do not fit the contract, or cannot be read. */
  readonly invalid: number;
  /** Replies that nobody waited for. */
  readonly lateReplies: number;
  /** How often a link took nothing for so long that its policy decided. */
  readonly slowLinks: number;
  /** How often each limit was met, by its name in `limits`. */
  readonly limits: LimitCounts;
  /** Calls of `deliver` that were acknowledged as asked. */
  readonly delivered: number;
  /** Calls of `deliver` that were not. */
  readonly deliveriesFailed: number;
  /** How often a delivery was sent once more, to the same node or to another. */
  readonly redelivered: number;
  /** Events that {@linkcode Node.events} dropped because too many waited. */
  readonly overflowed: number;
  /** Deliveries that came once more, or too late, and were not handled. */
  readonly duplicates: number;
  /** Streams that this node opened. */
  readonly streamsOpened: number;
  /** Streams of other nodes that it accepted. */
  readonly streamsAccepted: number;
  /** Streams of other nodes that it refused: nobody handles the name, or there are too many. */
  readonly streamsRefused: number;
  /** Streams that failed, or were aborted at either end. */
  readonly streamsFailed: number;
}
