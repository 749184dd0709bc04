import type {
  Contract,
  Logger,
  Middleware,
  NodeLimits,
  NodeParts,
  Security,
  SlowLink,
} from "@devts/node";
import {
  type LinkPlugin,
  type Plugin,
  withLinkPlugins,
  withPlugins,
} from "@devts/plugins";
import type { Codec, Protocol } from "@devts/protocol";
import type { Believed } from "@devts/protocol/identity";
import type { Secret } from "@devts/protocol/secret";
import { msgpackr } from "@devts/protocol/msgpackr";
import { v1 } from "@devts/protocol/v1";
import {
  incarnationAbove,
  incarnationAt,
  type MembershipFactory,
  nextIncarnation,
  type RouterFactory,
} from "@devts/routing";
import { systemClock } from "@devts/routing/clock";
import { peerRouter } from "@devts/routing/peer";
import { swim } from "@devts/routing/swim";
import type { Transport } from "@devts/transport";
import { type CertificateMaker, type NodeIdentity, protect } from "./secure.ts";

/** Options of {@linkcode createNode}; everything but the cluster has a default. */
export interface NodeOptions {
  /**
   * The name of the cluster: 1 to 64 characters. Nodes of other clusters are
   * refused; it is a name, not a secret.
   */
  readonly cluster: string;
  /**
   * The id of the node, unique in the cluster: 1 to 64 printable ASCII characters other
   * than spaces. Give the same after a restart, and the others know it as the same node.
   *
   * @default {32 random hexadecimal digits}
   */
  readonly id?: string;
  /**
   * How it reaches others.
   *
   * @default {tcp(), or websocket() in a browser}
   */
  readonly transport?: Transport;
  /**
   * Layers around dialling and accepting, the first one outermost.
   *
   * @default {[]}
   */
  readonly plugins?: readonly Plugin[];
  /**
   * Layers around each link, the first one outermost.
   *
   * @default {[]}
   */
  readonly linkPlugins?: readonly LinkPlugin[];
  /**
   * How nodes introduce themselves and what messages mean.
   *
   * @default {v1()}
   */
  readonly protocol?: Protocol;
  /**
   * What the bytes of the data mean.
   *
   * @default {msgpackr()}
   */
  readonly codec?: Codec;
  /**
   * Which neighbour gets a packet next.
   *
   * @default {peerRouter()}
   */
  readonly router?: RouterFactory;
  /**
   * Who is in the cluster, and whether they live.
   *
   * @default {swim()}
   */
  readonly membership?: MembershipFactory;
  /**
   * Where it logs: `console` fits, and so does a `Logger` of `@std/log`.
   *
   * @default {the logger "devts" of `@std/log`, which writes to the console from INFO on, unless set up; in a browser, the console}
   */
  readonly logger?: Logger;
  /**
   * The addresses to tell others, where they differ from those listened on: behind
   * a port forwarding, in a container, or when listening on every interface.
   *
   * @default {the addresses listened on}
   */
  readonly advertise?: string | readonly string[];
  /**
   * Whether it may listen outside loopback without a secret or an identity: everyone
   * who can connect may read and send events then.
   *
   * @default {false}
   */
  readonly insecure?: boolean;
  /**
   * The secret of the cluster, 32 bytes or what `deno task secret` prints: all nodes
   * know it, and prove so to each other, and everything between them is encrypted. Of
   * several, the first is shown, and all are accepted: see `node.keyring`.
   *
   * @default {none: it cannot listen outside loopback}
   */
  readonly secret?: Secret | readonly Secret[];
  /**
   * The key of this node, by which it proves its id to others: see
   * `@devts/devts/identity`. It makes the node's id.
   *
   * @default {none}
   */
  readonly identity?: NodeIdentity;
  /**
   * Whose keys are believed. With an identity, of members and guests; with a secret
   * alone, of guests, who know no secret and may do what is listed.
   *
   * @default {nobody's}
   */
  readonly trust?: Believed;
  /**
   * With a secret or an identity: whether connections outside loopback may go without
   * encryption. Both ends still prove who they are; whoever is on the way can read
   * everything, and take over connections.
   *
   * @default {false}
   */
  readonly plaintext?: boolean;
  /**
   * What it tells the others of itself: anything the codec carries in 512 bytes.
   *
   * @default {nothing}
   */
  readonly meta?: unknown;
  /**
   * Bounds of queues, tables and what strangers may use up: a table of them with their
   * counters is in `docs/security.md`.
   *
   * @default {what suits a cluster of some tens of nodes}
   */
  readonly limits?: NodeLimits;
  /**
   * What becomes of events for a link that takes nothing: `"drop-newest"`, `"wait"` or
   * `"close"`, or a function that says which for each peer.
   *
   * @default {"drop-newest"}
   */
  readonly slowLink?: SlowLink;
  /**
   * What the program's events are: types, schemas that check them, limits.
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

/** What differs where a node runs: made where the options have nothing. */
export interface Surroundings {
  readonly transport: () => Transport;
  readonly logger: () => Logger;
  /** Loads what makes certificates; null: there is no use for any, nor for a secret. */
  readonly certificates: CertificateMaker | null;
}

/** The parts of a node by its options, and by where it runs. */
export function compose(
  options: NodeOptions,
  surroundings: Surroundings,
): NodeParts {
  const { advertise = [], linkPlugins = [], limits = {} } = options;
  const id = options.identity?.id ?? options.id ??
    crypto.randomUUID().replaceAll("-", "");
  const { transport, protocol, security } = protection(
    options,
    id,
    surroundings,
  );
  return {
    cluster: options.cluster,
    id,
    incarnations: {
      first: incarnationAt(Date.now()),
      next: nextIncarnation,
      above: incarnationAbove,
    },
    transport: withPlugins(transport, ...options.plugins ?? []),
    link: (connection, peer) => withLinkPlugins(connection, peer, linkPlugins),
    protocol,
    codec: options.codec ?? msgpackr(),
    router: options.router ?? peerRouter(),
    membership: options.membership ??
      swim({ maxMembers: limits.members ?? 10_000 }),
    logger: options.logger ?? surroundings.logger(),
    clock: systemClock(),
    wallClock: Date.now,
    random: Math.random,
    advertise: typeof advertise === "string" ? [advertise] : advertise,
    insecure: options.insecure ?? false,
    ...(security && { security }),
    meta: options.meta,
    limits,
    slowLink: options.slowLink ?? "drop-newest",
    ...(options.contract && { contract: options.contract }),
    ...(options.middleware && { middleware: options.middleware }),
  };
}

/** What protects a node, where it has a secret or an identity. */
function protection(
  options: NodeOptions,
  id: string,
  surroundings: Surroundings,
): { transport: Transport; protocol: Protocol; security?: Security } {
  const { transport = surroundings.transport(), secret, identity, trust } =
    options;
  if (secret === undefined && identity === undefined) {
    refuseUnused(options);
    return { transport, protocol: options.protocol ?? v1() };
  }
  if (options.protocol !== undefined || options.insecure) {
    const other = options.protocol === undefined ? "insecure" : "protocol";
    throw new TypeError(
      `Cannot create a node with \`${other}\` and a secret or an identity: give one of them`,
    );
  }
  if (identity !== undefined && (options.id ?? identity.id) !== identity.id) {
    throw new TypeError(
      `Cannot create a node with the id "${options.id}": its identity makes it "${identity.id}"`,
    );
  }
  const { certificates } = surroundings;
  if (secret !== undefined && certificates === null) {
    throw new TypeError(
      "Cannot create a node with a secret in a page: whoever opens the page could read it; " +
        "give it an `identity`",
    );
  }
  const { cluster, plaintext = false } = options;
  return protect(
    {
      ...{ cluster, id, plaintext },
      ...(secret !== undefined && { secret }),
      ...(identity && { identity }),
      ...(trust && { trust }),
    },
    transport,
    certificates,
  );
}

/** What would look safe, and would protect nothing. */
function refuseUnused({ trust, plaintext }: NodeOptions): void {
  if (trust === undefined && !plaintext) return;
  const what = trust === undefined ? "plaintext" : "trust";
  throw new TypeError(
    `Cannot create a node with \`${what}\` alone: it needs \`secret\` or \`identity\``,
  );
}
