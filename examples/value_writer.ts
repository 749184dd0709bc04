/**
 * A behaviour beside another one: it writes the value of the value nodes to a file
 * whenever it changes.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-write=. examples/value_writer.ts 7946  # the cluster port of a value node
 * ```
 *
 * @module
 */
import { type Behaviour, createNode } from "@devts/devts";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";
import { textOf, type Value, value } from "./value_node.ts";

/** Values that wait to be written; of more, the oldest ones are not. */
const WAITING = 1_024;

/** Calls `write` with the string form of each value that is set, one at a time. */
export function valueWriter(
  value: Value,
  write: (text: string) => Promise<void>,
): Behaviour<void> {
  return (scope) => {
    const waiting: string[] = [];
    let writing: Promise<void> | null = null;
    async function writeAll(): Promise<void> {
      for (let text; (text = waiting.shift()) !== undefined;) {
        try {
          await write(text);
        } catch (error) {
          scope.fault(error, `cannot write ${text}: ${error}`);
        }
      }
      writing = null;
    }
    const watch = value.watch((changed) => {
      if (waiting.length === WAITING) waiting.shift();
      waiting.push(textOf(changed));
      writing ??= writeAll();
    });
    scope.defer(() => {
      watch[Symbol.dispose]();
      return writing;
    });
  };
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
  await using node = createNode(options);
  const shared = node.use("value", value());
  const write = async (text: string): Promise<void> => {
    if (append) await Deno.writeTextFile(file, `${text}\n`, { append });
    else await replaceFile(file, text);
    console.log(`wrote ${text} to ${file}`);
  };
  node.use("writer", valueWriter(shared, write));
  await node.listen(listen);
  await node.join(...entries);
  await stop;
}

if (import.meta.main) await run(USAGE, main);
