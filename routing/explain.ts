import type { Membership, NodeId, Router } from "./types.ts";

/**
 * Optional beside a {@linkcode Router}: one that says which way it would send.
 */
export interface ExplainingRouter extends Router {
  /**
   * How a payload for another node would be carried now, and why. Changes nothing: it
   * neither dials nor searches.
   */
  explain(target: NodeId): RouteExplanation;
}

/**
 * How a router would carry a payload:
 *
 * - `link`: over the link to its target.
 * - `route`: through others, along a way that is known.
 * - `next-hop`: to a neighbour that knows the way on.
 * - `flood`: to all neighbours, which pass it on.
 * - `server`: to a server, which passes it on.
 * - `wait`: no way is known now; it waits until one is found, or is `undelivered`.
 * - `none`: there is no way, and `send` throws.
 */
export type Carriage =
  | "link"
  | "route"
  | "next-hop"
  | "flood"
  | "server"
  | "wait"
  | "none";

/** What a router says of the way to a node. */
export interface RouteExplanation {
  /** How it would be carried. */
  readonly how: Carriage;
  /** Why so, for a person: what may stand behind a colon. */
  readonly why: string;
  /** The ways that the router knows, at most three, the one that it would take first. */
  readonly ways: readonly Way[];
}

/** A way to a node, as far as it is known. */
export interface Way {
  /** The nodes on it: first the one that knows it, last the target. */
  readonly nodes: readonly NodeId[];
  /** Whether these are all; otherwise there may be others before the target. */
  readonly isWhole: boolean;
  /** What its links cost together, where the router weighs them. */
  readonly cost?: number;
  /** The measured round trip over its first link, in ms, where the router measures it. */
  readonly roundTrip?: number;
}

/** Optional beside a {@linkcode Router}: one that knows of links between other nodes. */
export interface MappingRouter extends Router {
  /** What it knows of the network now. */
  topology(): KnownNetwork;
}

/** What a router knows of the network. */
export interface KnownNetwork {
  /** The nodes, this one among them. */
  readonly nodes: readonly NodeId[];
  /** Each link once. */
  readonly links: readonly KnownLink[];
}

/** A link between two nodes. */
export interface KnownLink {
  /** One end: the smaller id. */
  readonly a: NodeId;
  /** The other end. */
  readonly b: NodeId;
  /** What it costs, where the router weighs links. */
  readonly cost?: number;
}

/** Optional beside a {@linkcode Membership}: one that doubts before it gives up. */
export interface DoubtingMembership extends Membership {
  /** Whether a member gave no sign of life when it was asked, and may be given up soon. */
  doubts(id: NodeId): boolean;
}

/** Nodes and links as one node knows them; `topologySvg` draws them. */
export interface Topology {
  /** Whose knowledge it is; null: that of somebody who sees everything. */
  readonly self: NodeId | null;
  /** The nodes, the one that tells first. */
  readonly nodes: readonly TopologyNode[];
  /** The links, each once. */
  readonly links: readonly TopologyLink[];
}

/**
 * What is known of the life of a node: `self` (the one that tells), `alive` (a member),
 * `suspect` (a member that gave no sign of life lately), `stranger` (there is a way to
 * it, but it is no member), `failed` and `left` (no member any more).
 */
export type NodeState =
  | "self"
  | "alive"
  | "suspect"
  | "stranger"
  | "failed"
  | "left";

/** A node of a topology. */
export interface TopologyNode {
  /** Its id. */
  readonly id: NodeId;
  /** What is known of its life. */
  readonly state: NodeState;
  /** Whether the one that tells could send to it now. */
  readonly isReachable: boolean;
  /**
   * The neighbour through which the one that tells would reach it; null where it is a
   * neighbour itself, cannot be reached, or the router does not know.
   */
  readonly via: NodeId | null;
}

/** A link of a topology. */
export interface TopologyLink {
  /** One end: the smaller id. */
  readonly a: NodeId;
  /** The other end. */
  readonly b: NodeId;
  /** `own`: a link of the one that tells. `told`: it knows of it from others. */
  readonly source: "own" | "told";
  /** What it costs, where the router weighs links. */
  readonly cost: number | null;
  /** Whether it takes what is sent; a link that was told of counts as if it did. */
  readonly state: LinkState;
}

/**
 * How a link does: `open` (it takes what is sent), `congested` (it is behind, and senders
 * wait for it), `slow` (it took nothing for a second or more), `dropping` (what is sent
 * over it is dropped), `closing`.
 */
export type LinkState =
  | "open"
  | "congested"
  | "slow"
  | "dropping"
  | "closing";
