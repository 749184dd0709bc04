import type { VirtualTransport } from "./_virtual_transport.ts";
import type {
  Clock,
  Lane,
  MemberEvent,
  Membership,
  MembershipFactory,
  NodeId,
  Peer,
  Router,
  RouterFactory,
} from "./types.ts";

/** How one direction of a link carries what is sent. */
export interface LinkShape {
  /** Milliseconds that a transmission takes. */
  readonly latency: number;
  /** The most milliseconds that it may take longer, chosen at random. */
  readonly jitter: number;
  /**
   * The chance, 0 to 0.9, that a transmission is lost. On a link, that is delay: it
   * is repeated after 200 ms, twice that, and so on up to 120 s, and what was sent
   * behind it waits. A datagram is gone.
   */
  readonly loss: number;
  /** The chance, 0 to 1, that a datagram arrives twice. */
  readonly duplicate: number;
  /** The chance, 0 to 1, that a datagram takes up to ten times as long. */
  readonly reorder: number;
}

/** Options of `VirtualNetwork`. */
export interface VirtualNetworkOptions {
  /**
   * Where all randomness starts: the same seed gives the same run.
   *
   * @default {1}
   */
  readonly seed?: number;
  /**
   * Milliseconds that a transmission takes.
   *
   * @default {1}
   */
  readonly latency?: number;
  /**
   * The most milliseconds that it may take longer, chosen at random; the order
   * within a link stays.
   *
   * @default {0}
   */
  readonly jitter?: number;
  /**
   * The chance, 0 to 0.9, that a transmission is lost: see {@linkcode LinkShape}.
   *
   * @default {0}
   */
  readonly loss?: number;
  /**
   * The chance, 0 to 1, that a datagram arrives twice.
   *
   * @default {0}
   */
  readonly duplicate?: number;
  /**
   * The chance, 0 to 1, that a datagram takes up to ten times as long.
   *
   * @default {0}
   */
  readonly reorder?: number;
  /**
   * Whether the control lane travels as datagrams beside the link: lost, doubled and
   * out of order as the chances above say.
   *
   * @default {false}
   */
  readonly datagrams?: boolean;
  /**
   * Packets that one direction of a link holds, on the way or waiting.
   *
   * @default {1024}
   */
  readonly outbox?: number;
  /**
   * Whether what a cut held arrives only when a transport tries it again: 200 ms
   * after it was first lost, twice that later, and so on up to 120 s. Otherwise it
   * arrives once the cut ends.
   *
   * @default {false}
   */
  readonly backoff?: boolean;
  /**
   * Milliseconds without any progress after which an end of a link that has something
   * on the way breaks; what it held is lost.
   *
   * @default {Infinity}
   */
  readonly giveUp?: number;
  /**
   * Milliseconds until a dial that nobody answers is given up.
   *
   * @default {1000}
   */
  readonly dialTimeout?: number;
  /**
   * The membership's {@linkcode MembershipContext.mayTell}.
   *
   * @default {everything may be told}
   */
  readonly mayTell?: (from: NodeId, to: NodeId, address: string) => boolean;
  /**
   * Lines of the trace that are kept, the last ones.
   *
   * @default {0}
   */
  readonly record?: number;
}

/** How the clocks of a machine go. */
export interface ClockSkew {
  /**
   * Milliseconds by which its wall clock is ahead. At the start of a program also
   * the clock that it measures with, whose origin means nothing.
   *
   * @default {0}
   */
  readonly offset?: number;
  /**
   * How much faster its clocks go than time does, −0.5 to 1: with 0.001 they gain a
   * millisecond a second.
   *
   * @default {0}
   */
  readonly drift?: number;
}

/** Options of `VirtualNetwork.add`. */
export interface VirtualNodeOptions {
  /** Makes its router. */
  readonly router: RouterFactory;
  /** Makes its membership; none: the router hears of links only. */
  readonly membership?: MembershipFactory;
  /**
   * Where it can be dialled; empty: nowhere.
   *
   * @default {[`virtual://${id}`]}
   */
  readonly addresses?: readonly string[];
  /** Its metadata. */
  readonly meta?: Uint8Array;
  /**
   * How its clocks go.
   *
   * @default {as time does}
   */
  readonly clock?: ClockSkew;
}

/** Options of `VirtualNetwork.machine`. */
export interface VirtualMachineOptions {
  /** Starts its program: called at once, and again at each restart. */
  readonly start?: (machine: VirtualMachine) => void;
  /**
   * How its clocks go.
   *
   * @default {as time does}
   */
  readonly clock?: ClockSkew;
  /**
   * The class of the errors of its connections: the `ConnectionError` of
   * `@devts/transport`, where the program tells them by their class.
   *
   * @default {Error}
   */
  readonly connectionError?: new (
    message: string,
    options?: ErrorOptions,
  ) => Error;
}

/** What {@linkcode VirtualNode.restart} may change. */
export interface RestartOptions {
  /**
   * The incarnation of its next life.
   *
   * @default {that of the present time by its wall clock}
   */
  readonly incarnation?: number;
}

/** A payload that arrived. */
export interface Delivery {
  /** Who sent it, as the router says. */
  readonly from: NodeId;
  /** What arrived. */
  readonly payload: Uint8Array;
}

/** A payload that could not be carried further. */
export interface Undelivered {
  /** For whom it was. */
  readonly to: NodeId;
  /** How it began. */
  readonly head: Uint8Array;
  /** The node that had it last. */
  readonly lastHop: NodeId;
  /** Why. */
  readonly reason: string;
}

/** What a node may change of itself while it runs. */
export interface SelfChange {
  /** Where it can be dialled from here on. */
  readonly addresses?: readonly string[];
  /** Its metadata from here on. */
  readonly meta?: Uint8Array;
}

/** What can be done to a machine, whatever runs on it. */
export interface VirtualHost {
  /** Its name. */
  readonly id: NodeId;
  /** Whether its program runs: neither crashed nor ended by itself. */
  readonly running: boolean;
  /**
   * Ends its program without a word. `links`: its links end, as when a process is
   * killed. `silence`: they stay half open, as when the machine loses its power.
   */
  crash(how?: "links" | "silence"): void;
  /** Starts its program again, with nothing of its past but its name. */
  restart(): void;
  /**
   * Stops its program from running until `resume`, as when a process is stopped:
   * timers come late, and what arrives waits.
   */
  pause(): void;
  /** Lets it run again: all that came due meanwhile happens at once, and then. */
  resume(): void;
  /** Pauses it for so many milliseconds, as a call that blocks the event loop does. */
  stall(ms: number): void;
  /**
   * Makes it slow from now on: each timer and each packet keeps it busy for so many
   * milliseconds, while others wait. 0: as fast as the others.
   */
  slow(ms: number): void;
  /** Sets its clocks; what is left out stays. */
  setClock(skew: ClockSkew): void;
}

/** A node of a `VirtualNetwork`. Its records begin anew with each life. */
export interface VirtualNode extends VirtualHost {
  /** What it says of itself at present. */
  readonly self: Peer;
  /** Its router. */
  readonly router: Router;
  /** Its membership, where it was given one. */
  readonly membership: Membership | null;
  /** The members it knows; empty without a membership. */
  readonly members: ReadonlyMap<NodeId, Peer>;
  /** The nodes at the other end of its open links. */
  readonly neighbours: readonly NodeId[];
  /** Payloads that arrived for its program, in order. */
  readonly delivered: readonly Delivery[];
  /** Payloads that came back. */
  readonly undelivered: readonly Undelivered[];
  /** What its membership told. */
  readonly events: readonly MemberEvent[];
  /** Timers of its router and membership that are pending. */
  readonly timers: number;
  /** Packets that it handed to its links. */
  readonly sent: number;
  /** Bytes of these. */
  readonly sentBytes: number;
  /**
   * Sends a payload of its program by its router; returns what the router returns.
   *
   * @throws {NodeNotFoundError} As the router does.
   */
  send(to: readonly NodeId[] | "all", payload: Uint8Array, lane?: Lane): number;
  /** Changes what it says of itself, under the next incarnation. */
  update(change: SelfChange): void;
  /** Says goodbye and stops; its links end once what they hold has arrived. */
  leave(): void;
  /** Starts it again after it crashed or left, with nothing of its past but its name. */
  restart(options?: RestartOptions): void;
}

/**
 * A machine of a `VirtualNetwork` on which any program runs, such as a whole node:
 * give it the clock, the randomness and the transport from here, and let time pass by
 * `pass`, `passUntil` and `settle` of the network's clock. After a restart these are
 * others, and those of the past have no effect.
 */
export interface VirtualMachine extends VirtualHost {
  /** The time as this machine sees it. */
  readonly clock: Clock;
  /** Randomness of its own. */
  readonly random: () => number;
  /** How it reaches the other machines: addresses are `virtual://name`. */
  readonly transport: VirtualTransport;
  /** Milliseconds since 1970, by its wall clock. */
  wallClock(): number;
  /**
   * Checks something after each event of this machine, once the promises that the event
   * settled have had their effect. What `check` throws leaves the call in which time
   * passed, as an `InvariantError`.
   */
  always(name: string, check: () => void): void;
}
