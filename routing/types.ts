/** The name of a node, unique in its cluster: 1 to 64 printable ASCII characters. */
export type NodeId = string;

/** A node as others know it. */
export interface Peer {
  /** Its name, the same after a restart where the user chose it. */
  readonly id: NodeId;
  /**
   * A safe integer that rises with each start, so that a restart outranks its own
   * past: an epoch (the start time) and a counter that the node raises within it
   * for each change it tells of itself. See {@linkcode epochOf} and
   * {@linkcode incarnationAt}.
   */
  readonly incarnation: number;
  /** Where it can be dialled, as URLs; empty when it can only dial others. */
  readonly addresses: readonly string[];
  /** Its own metadata, at most 512 bytes. */
  readonly meta?: Uint8Array;
}

/** Where time comes from: real in production, virtual in tests. */
export interface Clock {
  /** Milliseconds that never go back; the origin is arbitrary. */
  now(): number;
  /**
   * Calls back once after `delay` ms, never before the caller returns.
   *
   * @returns Cancels the call; idempotent, and without effect afterwards.
   */
  after(delay: number, callback: () => void): () => void;
  /** Calls back once, in a later turn of the event loop, after pending I/O had its chance. */
  soon(callback: () => void): void;
}

/** The two queues of a link: everything in `control` leaves before anything in `data`. */
export type Lane = "control" | "data";

/** What happened to this node's own links. */
export type LinkEvent =
  /** A neighbour's link is open and authenticated. */
  | {
    readonly type: "up";
    readonly peer: Peer;
    /** It relays nothing, and must not be relied on: it is a guest. */
    readonly isLeaf?: true;
  }
  /** A neighbour's link has ended. */
  | { readonly type: "down"; readonly id: NodeId; readonly reason: string }
  /** A node that was to be dialled could not be reached at any of its addresses. */
  | {
    readonly type: "unreachable";
    readonly id: NodeId;
    readonly reason: string;
  };

/** What the membership says of another node. */
export type MemberEvent =
  /** It is in the cluster: new, back, or restarted. */
  | { readonly type: "join"; readonly member: Peer }
  /** Its addresses or metadata changed. */
  | { readonly type: "update"; readonly member: Peer }
  /** It left, failed or was replaced by its own restart: `reason` says which. */
  | {
    readonly type: "leave";
    readonly member: Peer;
    readonly reason: LeaveReason;
  };

/** Why a member is gone: it said goodbye, it was found dead, or it started anew. */
export type LeaveReason = "left" | "failed" | "restarted";

/**
 * Decides which neighbour a packet goes to next. Synchronous, no I/O, no timers
 * but the context's clock: usable with any library that moves bytes.
 *
 * - It never throws for what a peer sent: a bad packet is dropped and counted.
 * - Payloads and packets belong to whoever made them: a router does not write to
 *   them, and may keep views of them.
 */
export interface Router {
  /** The nodes there is a way to; never this node itself. Live: read it again later. */
  readonly nodes: ReadonlySet<NodeId>;
  /**
   * Sends to one, some or all others, and returns how many nodes the payload was
   * handed on for. What fails later comes back as `undelivered`. Back-pressure on
   * the originator is the node's business: it knows its links.
   *
   * @throws {NodeNotFoundError} If a named target is not in `nodes`; then nothing was sent.
   */
  send(to: readonly NodeId[] | "all", payload: Uint8Array, lane?: Lane): number;
  /** A packet arrived from a neighbour. */
  receive(from: NodeId, packet: Uint8Array, lane: Lane): void;
  /** A neighbour came up, went down, or could not be reached. */
  link(event: LinkEvent): void;
  /** The membership learned of a node, or gave it up. */
  member(event: MemberEvent): void;
  /** Ends its timers. Idempotent; every later call has no effect. */
  close(): void;
}

/**
 * Optional beside a {@linkcode Router}: one that sends each packet straight to its
 * target, so that whoever uses it may save copies.
 *
 * - Sending to some nodes costs no more than sending to all of them.
 * - `receive` delivers the packet before it returns, and keeps nothing of it.
 */
export interface DirectRouter extends Router {
  /** Says so. */
  readonly direct: true;
}

/**
 * Optional beside a {@linkcode Router} that relays: one that knows what ways cost. Without
 * it, what is for some nodes is sent to all, who skip it where they do not need it.
 */
export interface SelectiveRouter extends Router {
  /** Whether sending to each of some nodes takes fewer packets than sending to all. */
  prefersEach(to: readonly NodeId[]): boolean;
}

/**
 * Optional beside a {@linkcode Router}: one whose network itself hands a payload to one of
 * those who wait for it, and knows at once who is gone.
 */
export interface QueueingRouter extends Router {
  /**
   * This node waits for payloads of a group that are sent under a name, or under one that
   * a pattern stands for: `*` is one token between dots, `>` at the end one or more. Once
   * more where it does already; disposing ends it.
   */
  wait(group: string, name: string): Disposable;
  /**
   * Sends to one node of those that wait, this one left out, after what was sent before.
   * False: it was dropped.
   */
  sendToOne(group: string, name: string, payload: Uint8Array): boolean;
}

/**
 * Optional beside a {@linkcode Router}: one that brings its own links, to a server for
 * example. It makes no use of those of its context, and tells `up.link` of its own.
 */
export interface LinkingRouter extends Router {
  /**
   * Opens its links, and looks who is there. Called again, it answers the same; after a
   * failure, it tries again.
   *
   * @returns Resolves to how many nodes answered; rejects if it could not connect.
   */
  open(): Promise<number>;
  /** A promise while it is behind and whoever sends should wait for it; null otherwise. */
  readonly room: Promise<void> | null;
  /** Resolves once `close` was called and its links are closed. */
  readonly closed: Promise<void>;
}

/** What a packet is, as its router reads it. */
export interface Inspected {
  /** The node that made it. */
  readonly origin: NodeId;
  /** The node that it is for; null: all, or the neighbour that it is handed to. */
  readonly to: NodeId | null;
  /**
   * What it carries for a program, a view of the end of the packet: one of another length
   * may be put in its place. Null: nothing.
   */
  readonly payload: Uint8Array | null;
  /**
   * The packet without what the node that handed it on tells of others, or passes on for
   * them. Null: nothing is left of it.
   */
  readonly own: Uint8Array | null;
}

/**
 * Optional beside a {@linkcode Router}: one that tells what a packet is, so that the
 * program can see to it that a neighbour of few rights, a guest, sends and gets what it
 * may. Such neighbours are leaves ({@linkcode LinkEvent}): the router neither relies on
 * them nor sends them what is for others.
 */
export interface InspectingRouter extends Router {
  /**
   * Reads a packet, and changes nothing.
   *
   * @param by The node that hands it to its neighbour: a guest, or this one.
   * @returns Null: it is malformed, or of a kind that is not known.
   */
  inspect(by: NodeId, packet: Uint8Array): Inspected | null;
}

/** What a router asks of the program it routes for. */
export interface RouterContext {
  /** This node; its incarnation, addresses and metadata may change while it runs. */
  readonly self: Peer;
  /** The only source of time. */
  readonly clock: Clock;
  /** The only source of randomness: 0 ≤ x < 1. */
  readonly random: () => number;
  /** The links of this node. */
  readonly links: RouterLinks;
  /** Where packets for this node go. */
  readonly up: RouterUp;
}

/** The links that a router may use. */
export interface RouterLinks {
  /**
   * Queues a packet for a neighbour. False: no link, or no room. A relay then
   * drops, counts and reports; it never waits.
   */
  send(id: NodeId, packet: Uint8Array, lane: Lane): boolean;
  /** Asks for a link; the answer is a {@linkcode LinkEvent}, `up` or `unreachable`. */
  connect(peer: Peer): void;
  /** Ends a link; the answer is a `down` event. */
  disconnect(id: NodeId, reason: string): void;
}

/** What a router hands up. */
export interface RouterUp {
  /** A payload arrived for this node. */
  deliver(from: NodeId, payload: Uint8Array): void;
  /**
   * A payload could not be carried further: for whom, how it began, which node
   * had it last, why.
   */
  undelivered(
    to: NodeId,
    head: Uint8Array,
    lastHop: NodeId,
    reason: string,
  ): void;
  /**
   * Packets of another node for this one were lost on their way, and will not come any
   * more: how many, each with one event or more. Told where they are missing in the
   * order of what is delivered. Only routers that relay know; a program that does not
   * want to may leave it out.
   */
  missed?(from: NodeId, count: number): void;
  /** A link of a {@linkcode LinkingRouter} came up or went down. */
  link?(event: LinkEvent): void;
}

/** Optional beside a {@linkcode Router} or a {@linkcode Membership}: what it counted. */
export interface Counted {
  /** What it dropped or refused since it began, by kind. Live: read it again later. */
  readonly counters: Readonly<Record<string, number>>;
}

/** Makes a router for one node. */
export type RouterFactory = (
  context: RouterContext,
) => Router & Partial<Counted>;

/**
 * Who is in the cluster and whether they live; over any router's `send`.
 *
 * Synchronous, no I/O, no timers but the context's clock, and none before the first
 * link. It never throws for what a peer sent.
 */
export interface Membership {
  /** Everyone else in the cluster, by id. Live: read it again later. */
  readonly members: ReadonlyMap<NodeId, Peer>;
  /** A message of the membership arrived from a node. */
  receive(from: NodeId, message: Uint8Array): void;
  /** Any message arrived from a node: it lives. Called often, so it must be cheap. */
  heard(from: NodeId): void;
  /** A link of this node came up, went down, or could not be opened. */
  link(event: LinkEvent): void;
  /**
   * Something this node tells of itself changed (its metadata, its addresses):
   * `context.self` already says so, under a higher incarnation. Tells the others.
   */
  update(): void;
  /** Says goodbye to everyone and stops. Idempotent. */
  leave(): void;
}

/**
 * Optional beside a {@linkcode Membership}: one that takes nobody's word for who is in
 * the cluster. Whom members tell of is a candidate until it is confirmed.
 */
export interface WaryMembership extends Membership {
  /** The nodes that members tell of, and that are no members yet. Live: read it again later. */
  readonly candidates: ReadonlyMap<NodeId, Peer>;
}

/**
 * Optional beside a {@linkcode Membership}: one that can take out of a message what its
 * sender tells of others, where those who get it cannot know that it is a guest.
 */
export interface SiftingMembership extends Membership {
  /**
   * Reads a message, and changes nothing.
   *
   * @returns What is left; null: nothing, or it is malformed.
   */
  sift(from: NodeId, message: Uint8Array): Uint8Array | null;
}

/** What a membership asks of the program it runs in. */
export interface MembershipContext {
  /** This node, live. */
  readonly self: Peer;
  /** The only source of time. */
  readonly clock: Clock;
  /** The only source of randomness: 0 ≤ x < 1. */
  readonly random: () => number;
  /** Sends a message to one node by the router, in the control lane. False: no way to it. */
  send(to: NodeId, message: Uint8Array): boolean;
  /**
   * Whether an address may be told to a node: a loopback address, for example,
   * only to nodes on the same machine.
   */
  mayTell(to: NodeId, address: string): boolean;
  /**
   * Whether a node is believed about others; a guest is not. One that is left out:
   * everybody is.
   */
  believes?(from: NodeId): boolean;
  /**
   * Whether there is a way to a node: what tells one that is there from a made-up one. One
   * that is left out: only what a node says itself does.
   */
  reaches?(id: NodeId): boolean;
  /**
   * Asks for a link to a node that others tell of, and that is no member yet, where only
   * a link makes a way to it; the answer is a {@linkcode LinkEvent}.
   */
  meet?(peer: Peer): void;
  /**
   * Whether an address that a node told may be dialled: a loopback address, for example,
   * only where it was told on the same machine. One that is left out: every address.
   */
  mayDial?(from: NodeId, address: string): boolean;
  /**
   * Whether an address of a node may be told to third nodes: one at which it was found,
   * for example. One that is left out: every address.
   */
  mayPass?(id: NodeId, address: string): boolean;
  /**
   * Others tell of this node under a higher incarnation than its own: continue
   * above that ({@linkcode incarnationAbove}), then `update`.
   */
  refute(accused: number): void;
  /** Tells the program, and the router, of a change in `members`. */
  changed(event: MemberEvent): void;
  /**
   * Asks for a link to a node that is no member any more, to see whether it is back;
   * the answer is a {@linkcode LinkEvent}. A program that has no links of its own to
   * offer leaves it out.
   */
  connect?(peer: Peer): void;
}

/** Makes a membership for one node. */
export type MembershipFactory = (
  context: MembershipContext,
) => Membership & Partial<Counted>;

/** No way is known to the node that was addressed. */
export class NodeNotFoundError extends Error {
  /** The node that was addressed. */
  readonly id: NodeId;

  /** Makes the error; `message` is a sentence that names the node. */
  constructor(
    id: NodeId,
    message: string = `Cannot find a way to node "${id}"`,
  ) {
    super(message);
    this.name = "NodeNotFoundError";
    this.id = id;
  }
}
