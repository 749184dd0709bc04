import {
  createNode,
  type Logger,
  type Node,
  type NodeOptions,
} from "@devts/devts";
import { chat, type ChatEvents } from "./chat.ts";

/** A logger that says nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Joins a node to another one; resolves once each knows the other. */
export async function meet<E extends object, F extends object>(
  newcomer: Node<E>,
  entry: Node<F>,
): Promise<void> {
  const met = isMember(entry, newcomer.id);
  await newcomer.join(...entry.addresses);
  await met;
}

/** Resolves once a node has another one as a member. */
export function isMember<E extends object>(
  node: Node<E>,
  id: string,
): Promise<void> {
  if (node.members.has(id)) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = node.onSystem("join", (member) => {
    if (member.id === id) resolve();
  });
  return promise.finally(() => watch[Symbol.dispose]());
}

/**
 * A chat in which two people greet each other, over the parts given.
 *
 * @returns What each of them sees.
 */
export async function greet(
  address: string,
  parts: Partial<NodeOptions>,
): Promise<{ ada: readonly string[]; bob: readonly string[] }> {
  const options = { cluster: "test", logger: silent, ...parts };
  await using ada = createNode<ChatEvents>({
    ...options,
    id: "a",
    meta: "Ada",
  });
  await using bob = createNode<ChatEvents>({ ...options, id: "b" });
  const ends = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const seen = { ada: new Array<string>(), bob: new Array<string>() };
  chat(ada, (line) => seen.ada.push(line));
  chat(bob, (line) => seen.bob.push(line));
  ada.on("say", () => ends[0]?.resolve());
  bob.on("say", () => ends[1]?.resolve());
  await ada.listen(address);
  await meet(bob, ada);
  await ada.emit("say", "hello");
  await bob.emit("say", "hi");
  await Promise.all(ends.map(({ promise }) => promise));
  return seen;
}
