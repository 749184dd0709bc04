/**
 * Counts connections, messages and bytes, on a transport and on the links over it.
 *
 * ```ts
 * import { withPlugins } from "@devts/plugins";
 * import { analytics } from "@devts/plugins/analytics";
 * import { memory } from "@devts/transport/memory";
 * import { assertEquals } from "@std/assert";
 *
 * const counts = analytics();
 * const transport = withPlugins(memory(), counts.plugin);
 * await using listener = await transport.listen("memory://inbox");
 * await using dialled = await transport.connect(listener.address);
 * await dialled.send(new Uint8Array(5));
 * assertEquals(counts.snapshot().connections.opened, 1);
 * assertEquals(counts.snapshot().sent, { messages: 1, bytes: 5 });
 * ```
 *
 * @module
 */

import {
  type Connection,
  isInPlace,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { machineClock } from "./_clock.ts";
import type { LinkPlugin, Plugin, PluginClock } from "./types.ts";

/** The most peers that are counted one by one. */
const MAX_PEERS = 1024;

/** Messages, and their bytes as the layer below the plugin carries them. */
export interface Traffic {
  /** How many messages. */
  readonly messages: number;
  /** The sum of their lengths, without framing. */
  readonly bytes: number;
}

/** What went each way. */
export interface TrafficCounts {
  /** What `send` has accepted: there was room for it, which is not receipt. */
  readonly sent: Traffic;
  /** What `receive` has handed out. */
  readonly received: Traffic;
}

/** Connections of a transport. */
export interface ConnectionCounts {
  /** Opened by this side. */
  readonly opened: number;
  /** Opened by others. */
  readonly accepted: number;
  /** Those of both that this side has closed; the others are open. */
  readonly closed: number;
}

/** The links to one peer, or to several. */
export interface LinkCounts extends TrafficCounts {
  /** How many links there were. */
  readonly links: number;
}

/** The links to one peer. */
export interface PeerCounts extends LinkCounts {
  /** The id of the peer. */
  readonly id: string;
}

/** Everything counted up to one moment. A copy: it does not change. */
export interface AnalyticsSnapshot extends TrafficCounts {
  /** When, in ms since the counters were made. */
  readonly at: number;
  /** The connections of the transport. */
  readonly connections: ConnectionCounts;
  /** The links, by peer, in the order in which the peers were first seen. */
  readonly peers: readonly PeerCounts[];
  /** The links to peers beyond the first 1,024, which are not told apart. */
  readonly others: LinkCounts;
}

/** Messages and bytes per second. */
export interface TrafficRates {
  /** What `send` accepted. */
  readonly sent: Traffic;
  /** What `receive` handed out. */
  readonly received: Traffic;
}

/** What passed per second between two snapshots. */
export interface AnalyticsRates extends TrafficRates {
  /** The links, by peer. */
  readonly peers: readonly (TrafficRates & { readonly id: string })[];
}

/** Options of {@linkcode analytics}. */
export interface AnalyticsOptions {
  /**
   * Where time comes from.
   *
   * @default {the time of this machine}
   */
  readonly clock?: PluginClock;
}

/** Counts in two places, to be put where either is wanted; see {@linkcode analytics}. */
export interface Analytics {
  /**
   * Around a transport: counts its connections and all that they carry, including
   * the handshake and attempts that are refused.
   */
  readonly plugin: Plugin;
  /** Around a link: counts what it carries, by peer. */
  readonly link: LinkPlugin;
  /** What was counted so far. */
  snapshot(): AnalyticsSnapshot;
}

/**
 * Makes counters that start at zero. One object may serve several transports and
 * nodes; it then counts their sum.
 *
 * The first 1,024 peers are counted one by one, also after they are gone; later ones
 * together. Counting what is sent costs one promise per message.
 */
export function analytics(
  { clock = machineClock }: AnalyticsOptions = {},
): Analytics {
  const start = clock.now();
  const connections = { opened: 0, accepted: 0, closed: 0 };
  const total = new Counter();
  const peers = new Map<string, Counter>();
  const others = new Counter();

  function counterOf(id: string): Counter {
    const known = peers.get(id);
    if (known !== undefined) return known;
    if (peers.size >= MAX_PEERS) return others;
    const counter = new Counter();
    peers.set(id, counter);
    return counter;
  }

  return {
    plugin: (transport) =>
      wrapTransport(transport, {
        connection(connection, role) {
          connections[role === "dialer" ? "opened" : "accepted"]++;
          return counted(connection, total, () => connections.closed++);
        },
      }),
    link(connection, { id }) {
      const counter = counterOf(id);
      counter.links++;
      return counted(connection, counter);
    },
    snapshot: () => ({
      at: clock.now() - start,
      connections: { ...connections },
      ...total.traffic(),
      peers: [...peers].map(([id, counter]) => ({ id, ...counter.all() })),
      others: others.all(),
    }),
  };
}

/**
 * What passed per second between two snapshots of the same counters. All are zero where no
 * time has passed.
 *
 * @example Every ten seconds
 * ```ts
 * import { analytics, ratesBetween } from "@devts/plugins/analytics";
 *
 * const counts = analytics();
 * let before = counts.snapshot();
 * function report(): void {
 *   const now = counts.snapshot();
 *   console.log(ratesBetween(before, now).received.messages);
 *   before = now;
 * }
 * report();
 * ```
 */
export function ratesBetween(
  before: AnalyticsSnapshot,
  after: AnalyticsSnapshot,
): AnalyticsRates {
  const seconds = (after.at - before.at) / 1000;
  const earlier = new Map(before.peers.map((peer) => [peer.id, peer]));
  return {
    ...trafficRates(before, after, seconds),
    peers: after.peers.map((peer) => ({
      id: peer.id,
      ...trafficRates(earlier.get(peer.id), peer, seconds),
    })),
  };
}

function trafficRates(
  before: TrafficCounts | undefined,
  after: TrafficCounts,
  seconds: number,
): TrafficRates {
  return {
    sent: trafficRate(before?.sent, after.sent, seconds),
    received: trafficRate(before?.received, after.received, seconds),
  };
}

function trafficRate(
  before: Traffic = { messages: 0, bytes: 0 },
  after: Traffic,
  seconds: number,
): Traffic {
  if (!(seconds > 0)) return { messages: 0, bytes: 0 };
  return {
    messages: (after.messages - before.messages) / seconds,
    bytes: (after.bytes - before.bytes) / seconds,
  };
}

class Counter {
  links = 0;
  readonly #sent = { messages: 0, bytes: 0 };
  readonly #received = { messages: 0, bytes: 0 };

  sent(bytes: number): void {
    this.#sent.messages++;
    this.#sent.bytes += bytes;
  }

  received(bytes: number): void {
    this.#received.messages++;
    this.#received.bytes += bytes;
  }

  traffic(): TrafficCounts {
    return { sent: { ...this.#sent }, received: { ...this.#received } };
  }

  all(): LinkCounts {
    return { links: this.links, ...this.traffic() };
  }
}

function counted(
  connection: Connection,
  counter: Counter,
  onClose?: () => void,
): Connection {
  let isOpen = true;
  const taken = (message: Uint8Array | null): Uint8Array | null => {
    if (message !== null) counter.received(message.length);
    return message;
  };
  return wrapConnection(connection, {
    async send(message) {
      // Before the wait: once it is over the bytes are the caller's again.
      const { length } = message;
      await connection.send(message);
      counter.sent(length);
    },
    receive: async (options) => taken(await connection.receive(options)),
    close(reason) {
      if (isOpen) onClose?.();
      isOpen = false;
      return connection.close(reason);
    },
    ...isInPlace(connection) && {
      async sendFrame(frame, done) {
        const length = frame.length - connection.framing.size;
        await connection.sendFrame(frame, done);
        counter.sent(length);
      },
      borrow: async (options) => taken(await connection.borrow(options)),
    },
  });
}
