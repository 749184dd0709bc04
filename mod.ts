/**
 * A distributed event system: a cluster of nodes that send and receive events,
 * without a broker. Every layer is a module that a program can replace.
 *
 * @example A node that answers
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { assertEquals } from "@std/assert";
 *
 * interface Chat {
 *   say(text: string): void;
 *   sum(numbers: number[]): number;
 * }
 *
 * await using alice = createNode<Chat>({ cluster: "demo" });
 * alice.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
 * const address = await alice.listen("tcp://127.0.0.1:0");
 *
 * await using bob = createNode<Chat>({ cluster: "demo" });
 * assertEquals(await bob.join(address), 1); // entry nodes that answered
 * await bob.emit("say", "hello"); // to every other node
 * assertEquals(await bob.request(alice.id, "sum", [1, 2]), 3);
 * ```
 *
 * @module
 */
import { ConsoleHandler, getLogger } from "@std/log";
import { Node } from "@devts/node";
import type {
  AnyEvents,
  Logger,
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
import { tcp } from "@devts/transport/tcp";
import { type NodeIdentity, protect } from "./secure.ts";

export * from "@devts/node";
export type { NodeIdentity } from "./secure.ts";
export { NodeNotFoundError } from "@devts/routing";
export { ConnectionError } from "@devts/transport";

/** Options of {@linkcode createNode}; everything but the cluster has a default. */
export interface NodeOptions {
  /**
   * The name of the cluster: 1 to 64 characters. Nodes of other clusters are
   * refused; it is a name, not a secret.
   */
  readonly cluster: string;
  /**
   * The id of the node, unique in the cluster: 1 to 64 printable ASCII characters. Give
   * the same after a restart, and the others know it as the same node.
   *
   * @default {32 random hexadecimal digits}
   */
  readonly id?: string;
  /**
   * How it reaches others.
   *
   * @default {tcp()}
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
   * @default {the logger "devts" of `@std/log`; it writes to the console from INFO on, unless set up}
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
   */
  readonly limits?: NodeLimits;
  /**
   * What becomes of events for a link that takes nothing: `"drop-newest"`, `"wait"` or
   * `"close"`, or a function that says which for each peer.
   *
   * @default {"drop-newest"}
   */
  readonly slowLink?: SlowLink;
}

/**
 * Makes a node. It does nothing before `listen` or `join`.
 *
 * @example With another transport
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { memory } from "@devts/transport/memory";
 * import { assertEquals } from "@std/assert";
 *
 * const transport = memory();
 * await using one = createNode({ cluster: "demo", transport });
 * await using two = createNode({ cluster: "demo", transport });
 * await one.listen("memory://one");
 * assertEquals(await two.join("memory://one"), 1);
 * assertEquals([...two.members.keys()], [one.id]);
 * ```
 *
 * @typeParam E The events: an interface of methods, whose parameter is the data
 * and whose result is the reply.
 * @throws {TypeError} If the cluster's name, the id or the metadata is malformed.
 */
export function createNode<E extends object = AnyEvents>(
  options: NodeOptions,
): Node<E> {
  return new Node<E>(nodeParts(options));
}

/**
 * The parts that {@linkcode createNode} would use: for a class of your own that
 * extends `Node`.
 *
 * @example A node of one's own
 * ```ts
 * import { Node, nodeParts } from "@devts/devts";
 *
 * interface Events {
 *   set(value: number): void;
 * }
 *
 * class Value extends Node<Events> {
 *   current = 0;
 *
 *   constructor() {
 *     super(nodeParts({ cluster: "demo" }));
 *     this.on("set", (value) => {
 *       this.current = value;
 *     });
 *   }
 * }
 *
 * await using value = new Value();
 * ```
 */
export function nodeParts(options: NodeOptions): NodeParts {
  const { advertise = [], linkPlugins = [], limits = {} } = options;
  const id = options.identity?.id ?? options.id ??
    crypto.randomUUID().replaceAll("-", "");
  const { transport, protocol, security } = protection(options, id);
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
    logger: options.logger ?? defaultLogger(),
    clock: systemClock(),
    wallClock: Date.now,
    random: Math.random,
    advertise: typeof advertise === "string" ? [advertise] : advertise,
    insecure: options.insecure ?? false,
    ...(security && { security }),
    meta: options.meta,
    limits,
    slowLink: options.slowLink ?? "drop-newest",
  };
}

/** What protects a node, where it has a secret or an identity. */
function protection(
  options: NodeOptions,
  id: string,
): { transport: Transport; protocol: Protocol; security?: Security } {
  const { transport = tcp(), secret, identity, trust } = options;
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
  const { cluster, plaintext = false } = options;
  return protect({
    ...{ cluster, id, plaintext },
    ...(secret !== undefined && { secret }),
    ...(identity && { identity }),
    ...(trust && { trust }),
  }, transport);
}

/** What would look safe, and would protect nothing. */
function refuseUnused({ trust, plaintext }: NodeOptions): void {
  if (trust === undefined && !plaintext) return;
  const what = trust === undefined ? "plaintext" : "trust";
  throw new TypeError(
    `Cannot create a node with \`${what}\` alone: it needs \`secret\` or \`identity\``,
  );
}

/** A logger that nobody has set up has no handlers, and would be silent. */
function defaultLogger(): Logger {
  const logger = getLogger("devts");
  if (logger.handlers.length === 0) {
    const useColors = Deno.stdout.isTerminal();
    logger.handlers.push(new ConsoleHandler("INFO", { useColors }));
  }
  return logger;
}
