/**
 * A node of another type in a cluster of value nodes: it writes the value to a file
 * whenever it is set.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-write=. examples/value_writer.ts 7946  # the cluster port of a value node
 * ```
 *
 * @module
 */
import { createNode, type Node } from "@devts/devts";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";
import { textOf, type ValueEvents } from "./value_node.ts";

/** Calls `write` with the string form of each value that is set, one at a time. */
export function writeValues(
  node: Node<ValueEvents>,
  write: (text: string) => Promise<void>,
): void {
  let last: Promise<void> = Promise.resolve();
  node.on("replicate", ({ value }) => {
    // The node does not wait for a handler before it calls the next, so each write
    // waits for the one before. It does count the handlers that have not ended, and
    // reads no further when they are too many: the queue is bounded.
    last = last.catch(() => {}).then(() => write(textOf(value)));
    return last;
  });
}

/**
 * Replaces what is in a file. Whoever reads it meanwhile sees all of the old text or
 * all of the new one, because a rename is atomic where a write is not.
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(draft, text, { createNew: true });
    await Deno.rename(draft, file);
  } catch (error) {
    await Deno.remove(draft).catch(() => {});
    throw error;
  }
}

const USAGE: Usage = {
  synopsis: "value_writer.ts [cluster port]",
  permissions: "--allow-net=127.0.0.1 --allow-read=. --allow-write=.",
  about:
    "A node that writes the value of the value nodes to a file whenever it is set.",
  positional: 1,
  options: {
    ...NODE_OPTIONS,
    output: {
      value: "FILE",
      help: 'where to write it; "valueoutput.txt" if left out',
    },
    append: {
      help: "add a line for each value instead of replacing the last one",
    },
  },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries } = await nodeArguments(args);
  const file = args.values.get("output") ?? "valueoutput.txt";
  const append = args.flags.has("append");
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode<ValueEvents>({
    ...options,
    meta: { type: "writer" },
  });
  writeValues(node, async (text) => {
    if (append) await Deno.writeTextFile(file, `${text}\n`, { append });
    else await replaceFile(file, text);
    console.log(`wrote ${text} to ${file}`);
  });
  await node.listen(listen);
  await node.join(...entries);
  await stop;
}

if (import.meta.main) await run(USAGE, main);
