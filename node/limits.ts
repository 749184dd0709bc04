import type { StallLimits } from "@devts/transport";

/**
 * What strangers may use up. Limits per address exempt addresses of this machine and
 * those from which a peer has proved who it is within the last hour.
 */
export interface ConnectionLimits {
  /**
   * Incoming connections in the handshake at the same time: so many of strangers, and
   * as many places beside them for exempt addresses.
   *
   * @default {64}
   */
  readonly pending?: number;
  /**
   * Of those, from one address (one /64 of IPv6).
   *
   * @default {10}
   */
  readonly pendingPerAddress?: number;
  /**
   * Incoming connections of strangers per second, in all; as many may come at once.
   *
   * @default {128}
   */
  readonly newConnections?: number;
  /**
   * Incoming connections per second from one address; `pendingPerAddress` may come at once.
   *
   * @default {5}
   */
  readonly newPerAddress?: number;
  /**
   * How long a handshake may take, in ms: 1 to 600,000.
   *
   * @default {5_000}
   */
  readonly handshakeTime?: number;
  /**
   * The longest message of a handshake, in bytes: 512 to 1 MiB; the protocol may accept
   * less.
   *
   * @default {4_096}
   */
  readonly handshakeSize?: number;
  /**
   * An address or a node is banned after so many handshakes or links that broke the
   * protocol, where they come faster than so many per minute; a node also after so many
   * links that broke within a second. A connection that ends without a word is not one.
   *
   * @default {10}
   */
  readonly banAfter?: number;
  /**
   * How long a ban lasts the first time, in ms; each time twice as long. Each
   * `longestBan` without one makes the next half as long again.
   *
   * @default {60_000}
   */
  readonly banTime?: number;
  /**
   * The longest ban, in ms.
   *
   * @default {3_600_000}
   */
  readonly longestBan?: number;
  /**
   * TLS handshakes that one listener gives up before their end; then it goes on over TLS
   * whose sockets can be closed, which takes in data about half as fast.
   *
   * @default {64}
   */
  readonly stalledHandshakes?: number;
  /**
   * Of those, so many from one address within a second, once a listener goes on so:
   * further ones are closed as they come.
   *
   * @default {16}
   */
  readonly stalledPerAddress?: number;
  /**
   * Links in all. A quarter of the places is kept for members and for nodes that this
   * one dials.
   *
   * @default {256}
   */
  readonly links?: number;
  /**
   * Links that nodes of one address opened.
   *
   * @default {16}
   */
  readonly linksPerAddress?: number;
  /**
   * Members that are dialled at the same time.
   *
   * @default {16}
   */
  readonly dials?: number;
  /**
   * Dials per second to one address that others told of, twice as many at once; later ones
   * wait. Addresses from which a node has answered are exempt.
   *
   * @default {5}
   */
  readonly dialsPerAddress?: number;
}

/** What one link may use up. */
export interface LinkBounds {
  /**
   * The longest message that it accepts from a peer, in bytes: 128 KiB to 1 GiB. Must
   * not be above what its transport takes.
   *
   * @default {1_048_576}
   */
  readonly maxMessage?: number;
  /**
   * How long a message may take to arrive from its first byte on, in ms, where the
   * transport tells.
   *
   * @default {10_000}
   */
  readonly frameTime?: number;
  /**
   * The pace of a message that takes longer than half of that, in bytes per second; 0:
   * any.
   *
   * @default {1_024}
   */
  readonly frameRate?: number;
  /**
   * Bytes queued for one link above which `await emit()` waits.
   *
   * @default {1_048_576}
   */
  readonly highWaterMark?: number;
  /**
   * Bytes queued for one link above which events for it are dropped.
   *
   * @default {8_388_608}
   */
  readonly outbox?: number;
  /**
   * Bundles of events queued for one link above which events for it are dropped.
   *
   * @default {10_000}
   */
  readonly outboxFrames?: number;
  /**
   * Bytes of acknowledgements, probes and news of members queued for one link, above
   * which they are dropped: their senders send them again. 64 KiB or more.
   *
   * @default {1_048_576}
   */
  readonly controlOutbox?: number;
  /**
   * Bytes queued for all links above which events are dropped for those that are above
   * the high-water mark.
   *
   * @default {67_108_864}
   */
  readonly outboxTotal?: number;
}

/** What the peers of a node may make it remember and do. */
export interface TableLimits {
  /**
   * Members that it knows of, where `createNode` chooses the membership.
   *
   * @default {10_000}
   */
  readonly members?: number;
  /**
   * The longest metadata of a member that it takes, in bytes: 0 to 512. Longer metadata
   * counts as none.
   *
   * @default {512}
   */
  readonly meta?: number;
  /**
   * Requests waiting for a reply, in all.
   *
   * @default {65_536}
   */
  readonly requests?: number;
  /**
   * Requests waiting for a reply of one node.
   *
   * @default {1_024}
   */
  readonly requestsPerPeer?: number;
  /**
   * Deliveries that are not settled, in all; their data may take `outboxTotal` bytes.
   *
   * @default {65_536}
   */
  readonly deliveries?: number;
  /**
   * Nodes of which it remembers what they delivered, so as not to handle it twice; beyond,
   * the one heard of least lately is forgotten.
   *
   * @default {4_096}
   */
  readonly origins?: number;
  /**
   * Asynchronous handlers running for one peer, and as many more as wait for a reply or a
   * receipt of it; beyond, its link is read no further.
   *
   * @default {1_024}
   */
  readonly running?: number;
  /**
   * Names and patterns that one node may handle, once for each group. Who handles more
   * gets every event.
   *
   * @default {1_024}
   */
  readonly subscriptions?: number;
  /**
   * Streams that one node may open with this one, and this one with it; eight times as
   * many in all.
   *
   * @default {1_024}
   */
  readonly streams?: number;
  /**
   * The longest message of a stream that it accepts, in bytes, 1 to 1 GiB.
   *
   * @default {16_777_216}
   */
  readonly streamMessage?: number;
}

/**
 * Bounds of a node. All have defaults that suit a cluster of some tens of nodes. Each is
 * an integer from 1 on, unless it says otherwise.
 */
export interface NodeLimits extends ConnectionLimits, LinkBounds, TableLimits {}

/** The name of a limit. */
export type LimitName = keyof NodeLimits;

/** How often each limit was met, by its name. */
export type LimitCounts = { readonly [name in LimitName]: number };

/** The same, for those who count. */
export type MetLimits = { [name in LimitName]: number };

type Range = readonly [value: number, min: number, max: number];

/** The default of each limit, and the range in which it makes sense. */
const RANGES: { readonly [name in LimitName]: Range } = {
  pending: [64, 1, 2 ** 20],
  pendingPerAddress: [10, 1, 2 ** 20],
  newConnections: [128, 1, 2 ** 20],
  newPerAddress: [5, 1, 2 ** 20],
  handshakeTime: [5_000, 1, 600_000],
  handshakeSize: [4_096, 512, 2 ** 20],
  banAfter: [10, 1, 2 ** 20],
  banTime: [60_000, 1, 2 ** 31],
  longestBan: [3_600_000, 1, 2 ** 31],
  stalledHandshakes: [64, 1, 2 ** 20],
  stalledPerAddress: [16, 1, 2 ** 20],
  links: [256, 1, 2 ** 20],
  linksPerAddress: [16, 1, 2 ** 20],
  dials: [16, 1, 2 ** 20],
  dialsPerAddress: [5, 1, 2 ** 20],
  // A bundle of 64 KiB must fit, with what routers put in front.
  maxMessage: [1_048_576, 131_072, 2 ** 30],
  frameTime: [10_000, 1, 2 ** 31],
  frameRate: [1_024, 0, 2 ** 30],
  highWaterMark: [1_048_576, 1, 2 ** 40],
  outbox: [8_388_608, 1, 2 ** 40],
  outboxFrames: [10_000, 1, 2 ** 30],
  controlOutbox: [1_048_576, 65_536, 2 ** 30],
  outboxTotal: [67_108_864, 1, 2 ** 40],
  members: [10_000, 1, 2 ** 24],
  meta: [512, 0, 512],
  requests: [65_536, 1, 2 ** 24],
  requestsPerPeer: [1_024, 1, 2 ** 24],
  deliveries: [65_536, 1, 2 ** 24],
  origins: [4_096, 1, 2 ** 24],
  running: [1_024, 1, 2 ** 20],
  streams: [1_024, 1, 2 ** 20],
  streamMessage: [16_777_216, 1, 2 ** 30],
  subscriptions: [1_024, 1, 2 ** 20],
};

/** The limits by name. */
const LIMIT_NAMES = Object.keys(RANGES) as readonly LimitName[];

/**
 * Fills in the defaults.
 *
 * @throws {RangeError} If a limit is not an integer in its range.
 */
export function withDefaults(limits: NodeLimits): Required<NodeLimits> {
  return mapLimits((name) => inRange(limits, name));
}

/** No limit was met so far. */
export function noneMet(): MetLimits {
  return mapLimits(() => 0);
}

/** What those may take up who stall in the handshake of TLS, counted among the others. */
export function stallLimits(
  { stalledHandshakes, stalledPerAddress }: Required<NodeLimits>,
  met: MetLimits,
): StallLimits {
  return {
    handshakes: stalledHandshakes,
    perHost: stalledPerAddress,
    met: (limit) => {
      if (limit === "handshakes") met.stalledHandshakes++;
      else met.stalledPerAddress++;
    },
  };
}

function mapLimits(value: (name: LimitName) => number): MetLimits {
  const entries = LIMIT_NAMES.map((name) => [name, value(name)]);
  return Object.fromEntries(entries) as MetLimits;
}

function inRange(limits: NodeLimits, name: LimitName): number {
  const [usual, min, max] = RANGES[name];
  const { [name]: value = usual } = limits;
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot create a node with limits.${name} ${value}: it is an integer from ${min} to ${max}`,
  );
}
