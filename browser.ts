/**
 * Nodes for where there is no Deno: in a page or a worker of a browser. The same as
 * `@devts/devts`, but for two defaults: it reaches others by WebSocket, and logs to
 * the console. A page dials; nobody dials a page, so it does not `listen`.
 *
 * A bundler makes one file of it: `deno bundle --platform browser page.ts`.
 *
 * ```ts
 * import { createNode } from "@devts/devts/browser";
 *
 * async function run(address: string): Promise<void> {
 *   await using node = createNode({ cluster: "demo" });
 *   node.on("say", (text) => console.log(text));
 *   await node.join(address); // "wss://example.com/cluster"
 *   await node.emit("say", "hello");
 * }
 *
 * console.assert(typeof run === "function");
 * ```
 *
 * @module
 */
import {
  type AnyEvents,
  type Contract,
  Node,
  type NodeParts,
} from "@devts/node";
import { websocket } from "@devts/transport/websocket";
import { compose, type NodeOptions } from "./compose.ts";

export * from "@devts/node";
export type { NodeOptions } from "./compose.ts";
export type { NodeIdentity } from "./secure.ts";
export { NodeNotFoundError } from "@devts/routing";
export { ConnectionError } from "@devts/transport";

/**
 * Makes a node. It does nothing before `join`.
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
 */
export function nodeParts(options: NodeOptions): NodeParts {
  return compose(options, {
    transport: () => websocket(),
    logger: () => console,
    certificates: null,
  });
}
