/**
 * A value that is the same on every node that uses it: replicated state, as a behaviour.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/value_node.ts         # prints its cluster port, and the value each second
 * deno run --allow-net=127.0.0.1 examples/value_node.ts 7946 w  # joins there, and adds 1 to the value each second
 * ```
 *
 * @module
 */
import { type Behaviour, createNode } from "@devts/devts";
import { register, type ReplicatedRegister } from "@devts/node/state";
import type { Storage } from "@devts/node/storage";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";
import { dataOption, keptIn, storageIn } from "./_data.ts";
import { interrupted, run } from "./_program.ts";

/** A value of any kind that MessagePack carries; the last one that is set anywhere wins. */
export type Value = ReplicatedRegister<unknown>;

/**
 * Holds the value on a node. Nodes that use it under the same name hold the same.
 *
 * @param storage Where to keep it, for the next start; in memory if left out.
 */
export function value(storage: Storage | null = null): Behaviour<Value> {
  return register<unknown>(keptIn(storage));
}

/** The string form of a value. */
export function textOf(value: unknown): string {
  return Deno.inspect(value, { depth: 64 });
}

const USAGE: Usage = {
  synopsis: "value_node.ts [cluster port] [w]",
  permissions: "--allow-net=127.0.0.1",
  about:
    "A node that keeps a value. It joins the cluster at the cluster port, or starts one.\n" +
    'With the letter "w" it adds 1 to the value each second; otherwise it prints it.',
  positional: 2,
  options: { ...NODE_OPTIONS, ...dataOption },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries } = await nodeArguments(args);
  const mode = args.positional[1];
  if (mode !== undefined && mode !== "w") {
    throw new UsageError(
      `The second argument can only be the letter "w", not "${mode}"`,
    );
  }
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode(options);
  const shared = node.use("value", value(await storageIn(args, "value.db")));
  await shared.ready;
  await node.listen(listen);
  await node.join(...entries);
  await shared.sync();

  const timer = setInterval(() => {
    if (mode === "w") shared.set(successor(shared.get()));
    console.log(`value: ${textOf(shared.get())}`);
  }, 1_000);
  await stop;
  clearInterval(timer);
}

function successor(value: unknown): number {
  return typeof value === "number" ? value + 1 : 1;
}

if (import.meta.main) await run(USAGE, main);
