/**
 * Several things on one node: the store of `web.ts`, the value of `value_node.ts` and the
 * writer of `value_writer.ts`, beside a web server. None of them knows of the others but
 * the writer, which is given the value.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-write=. examples/combined.ts
 * ```
 *
 * prints its cluster port and its host port; with `7946 8000` behind, it joins at cluster
 * port 7946 and serves on host port 8000.
 *
 * @module
 */
import { createNode, type Node } from "@devts/devts";
import type { Hono } from "hono";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";
import { textOf, type Value, value } from "./value_node.ts";
import { replaceFile, valueWriter } from "./value_writer.ts";
import { serve, type Store, store, webApp, type WebEvents } from "./web.ts";

/** What a node of this kind does. */
export interface Combined {
  readonly entries: Store;
  readonly shared: Value;
  readonly app: Hono;
}

/** Gives a node all three behaviours, and makes the web application over them. */
export function combine(
  node: Node<WebEvents>,
  write: (text: string) => Promise<void>,
): Combined {
  const entries = node.use("store", store());
  const shared = node.use("value", value());
  node.use("writer", valueWriter(shared, write));
  const app = webApp(node, entries);
  app.get("/value", (context) => context.text(textOf(shared.get())));
  app.get("/value/:value", async (context) => {
    await shared.set(context.req.param("value"));
    return context.text(textOf(shared.get()));
  });
  return { entries, shared, app };
}

const USAGE: Usage = {
  synopsis: "combined.ts [cluster port] [host port]",
  permissions: "--allow-net=127.0.0.1 --allow-read=. --allow-write=.",
  about:
    "A store, a value and its writer on one node beside a web server: GET /, GET /store,\n" +
    "GET /set/NAME/VALUE, GET /value, GET /value/VALUE. It joins the cluster at the cluster\n" +
    "port, or starts one, and serves on the host port (any free one if left out).",
  positional: 2,
  options: {
    ...NODE_OPTIONS,
    output: {
      value: "FILE",
      help: 'where to write the value; "valueoutput.txt" if left out',
    },
  },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries: others } = await nodeArguments(args);
  const hostPort = portOf(args.positional[1] ?? "0", "The host port");
  const file = args.values.get("output") ?? "valueoutput.txt";
  const stop = interrupted();

  // `await using` says goodbye to the cluster and ends the behaviours.
  await using node = createNode<WebEvents>(options);
  const { entries, shared, app } = combine(node, async (text) => {
    await replaceFile(file, text);
    console.log(`wrote ${text} to ${file}`);
  });
  await node.listen(listen);
  await node.join(...others);
  await Promise.all([entries.fetch(), shared.sync()]);

  await using _server = serve(app, hostPort);
  await stop;
}

if (import.meta.main) await run(USAGE, main);
