/**
 * A chat: each line that is typed reaches everyone else in the cluster.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/chat.ts --name ada       # prints its cluster port
 * deno run --allow-net=127.0.0.1 examples/chat.ts 7946 --name bob  # joins there
 * ```
 *
 * `own_transport.ts` and `own_router.ts` run the same chat over other parts.
 *
 * @module
 */
import {
  createNode,
  type Member,
  type Node,
  type NodeOptions,
} from "@devts/devts";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
} from "./_arguments.ts";
import { linesOf } from "./_lines.ts";
import { interrupted, run } from "./_program.ts";

/** The events of a chat. */
export interface ChatEvents {
  /** Somebody says something. */
  say(text: string): void;
}

/**
 * Prints who comes and what they say. It has to know the node before the node knows
 * the others: what arrives before its handler is lost. The metadata of a node is the
 * name of whoever sits there.
 */
export function chat(
  node: Node<ChatEvents>,
  print: (line: string) => void,
): void {
  function nameOf({ id, meta }: Pick<Member, "id" | "meta">): string {
    return typeof meta === "string" ? meta : id;
  }
  node.onSystem(
    "join",
    (member) => print(plain(`* ${nameOf(member)} is here`)),
  );
  node.on("say", (text, { from }) => {
    const member = node.members.get(from) ?? { id: from, meta: undefined };
    print(plain(`${nameOf(member)}: ${text}`));
  });
}

/** What others write must not move the cursor or recolour the terminal. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, "\uFFFD");
}

/** Runs a chat with the arguments of the program, on a node with other parts if given. */
export async function runChat(
  args: Arguments,
  parts: Partial<NodeOptions> = {},
): Promise<void> {
  const { options, listen, entries } = await nodeArguments(
    args,
    parts.transport?.schemes[0],
  );
  const name = args.values.get("name");
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode<ChatEvents>({
    ...options,
    meta: name,
    ...parts,
  });
  chat(node, console.log);
  await node.listen(listen);
  await node.join(...entries);
  await Promise.race([sayAll(node, linesOf(Deno.stdin.readable)), stop]);
}

async function sayAll(
  node: Node<ChatEvents>,
  lines: AsyncIterable<string>,
): Promise<void> {
  for await (const line of lines) await node.emit("say", line);
}

/** What every chat understands. */
export const CHAT_USAGE: Usage = {
  synopsis: "chat.ts [cluster port]",
  permissions: "--allow-net=127.0.0.1",
  about:
    "A chat: each line reaches everyone in the cluster. It joins at the cluster port, or\n" +
    "starts a cluster.",
  positional: 1,
  options: {
    ...NODE_OPTIONS,
    name: { value: "NAME", help: "what the others call you" },
  },
};

if (import.meta.main) await run(CHAT_USAGE, runChat);
