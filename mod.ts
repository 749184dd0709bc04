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
import {
  type AnyEvents,
  type Contract,
  type Logger,
  Node,
  type NodeParts,
} from "@devts/node";
import { tcp } from "@devts/transport/tcp";
import { compose, type NodeOptions } from "./compose.ts";

export * from "@devts/node";
export type { NodeOptions } from "./compose.ts";
export type { NodeIdentity } from "./secure.ts";
export { NodeNotFoundError } from "@devts/routing";
export { ConnectionError } from "@devts/transport";

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
export function createNode<E extends object>(
  options: NodeOptions & { readonly contract: Contract<E> },
): Node<E>;
/** Makes a node whose events an interface of methods describes, or none. */
export function createNode<E extends object = AnyEvents>(
  options: NodeOptions,
): Node<E>;
export function createNode<E extends object>(options: NodeOptions): Node<E> {
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
  return compose(options, {
    transport: () => tcp(),
    logger: defaultLogger,
    certificates: () => import("@devts/transport/certificates"),
  });
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
