/**
 * A node type of one's own: it keeps one value, the same on every node of its kind.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/value_node.ts         # prints its cluster port, and the value each second
 * deno run --allow-net=127.0.0.1 examples/value_node.ts 7946 w  # joins there, and adds 1 to the value each second
 * ```
 *
 * @module
 */
import {
  type Member,
  Node,
  type NodeOptions,
  nodeParts,
  type Outcome,
} from "@devts/devts";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";

/** The events of value nodes: the parameter is the data, the result is the reply. */
export interface ValueEvents {
  /** The value was set somewhere. */
  replicate(update: { value: unknown }): void;
  /** Replies with the value. */
  fetch(): unknown;
}

/**
 * A node that keeps a value. Being a node is its point, so it extends one; where a
 * node is only a means, give it one instead, as the store in `web.ts` does.
 */
export class ValueNode extends Node<ValueEvents> {
  #value: unknown;

  /** Makes the node; as every node it does nothing before `listen` or `join`. */
  constructor(options: NodeOptions) {
    super(nodeParts({ ...options, meta: { type: "value" } }));
    this.on("replicate", ({ value }) => {
      this.#value = value;
    });
    this.on("fetch", () => this.#value);
  }

  /** The value; `undefined` until it is set anywhere. */
  get value(): unknown {
    return this.#value;
  }

  /** Sets the value here and on every other value node: anything that MessagePack carries. */
  set(value: unknown): Promise<Outcome> {
    const outcome = this.emit("replicate", { value });
    this.#value = value;
    return outcome;
  }

  /** Takes over the value of any value node that answers. */
  async fetch(): Promise<void> {
    for (const member of this.members.values()) {
      if (isValueNode(member) && await this.#fetchFrom(member.id)) return;
    }
  }

  async #fetchFrom(id: string): Promise<boolean> {
    try {
      const value = await this.request(id, "fetch", undefined, {
        timeout: 2_000,
      });
      // What was replicated while the reply was on its way is the later value.
      this.#value ??= value;
      return true;
    } catch (error) {
      console.warn(`cannot fetch the value from "${id}": ${error}`);
      return false;
    }
  }
}

/** By its metadata a node tells the others what it is. */
function isValueNode({ meta }: Member): boolean {
  return typeof meta === "object" && meta !== null && "type" in meta &&
    meta.type === "value";
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
  options: NODE_OPTIONS,
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
  await using node = new ValueNode(options);
  await node.listen(listen);
  await node.join(...entries);
  await node.fetch();

  const timer = setInterval(() => {
    if (mode === "w") node.set(successor(node.value));
    console.log(`value: ${textOf(node.value)}`);
  }, 1_000);
  await stop;
  clearInterval(timer);
}

function successor(value: unknown): number {
  return typeof value === "number" ? value + 1 : 1;
}

if (import.meta.main) await run(USAGE, main);
