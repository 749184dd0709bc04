/**
 * Another server beside a node: a web application, written with Hono, whose
 * key/value store is the same on every node of the cluster that runs it.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/web.ts            # prints its cluster port and its host port
 * deno run --allow-net=127.0.0.1 examples/web.ts 7946 8000  # joins at cluster port 7946, serves on host port 8000
 * ```
 *
 * @module
 */
import {
  type Behaviour,
  createNode,
  type Node,
  type Scope,
} from "@devts/devts";
import { map, type ReplicatedMap } from "@devts/node/state";
import type { Storage } from "@devts/node/storage";
import { Hono } from "hono";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
} from "./_arguments.ts";
import { dataOption, keptIn, storageIn } from "./_data.ts";
import { interrupted, run } from "./_program.ts";

/** The events of web nodes: the parameter is the data, the result is the reply. */
export interface WebEvents {
  /** Replies with what it got. */
  "test_event"(text: string): string;
  /** Tells the others. */
  "test_broadcast"(text: string): void;
}

/**
 * A key/value store that every node which uses it keeps a copy of. Of two values that are
 * set at the same time the later one wins, on all nodes the same; also when the cluster
 * was cut in two and is whole again.
 *
 * @param storage Where to keep it, for the next start; in memory if left out.
 */
export function store(
  storage: Storage | null = null,
): Behaviour<Store> {
  return (scope) => new Store(scope, storage);
}

/** The store of one node. */
export class Store {
  readonly #scope: Scope;
  readonly #entries: ReplicatedMap<string>;

  /** Answers for the store on a node; the node may do other things as well. */
  constructor(scope: Scope, storage: Storage | null) {
    this.#scope = scope;
    this.#entries = scope.use("entries", map<string>(keptIn(storage)));
    this.#entries.watch(({ key, value, isLocal }) => {
      if (!isLocal) console.log(`store: ${JSON.stringify([key, value])}`);
    });
  }

  /** Resolves once what was kept has been read. */
  get ready(): Promise<void> {
    return this.#entries.ready;
  }

  /** Sets a value here and on every other node that has a store; how many others there are. */
  async set(name: string, value: string): Promise<number> {
    await this.#entries.set(name, value);
    return this.#scope.members.size;
  }

  /** All entries, for people and for JSON. */
  dump(): Record<string, string> {
    // Types are checked where this is compiled, not where the data comes from.
    return Object.fromEntries(
      [...this.#entries.entries()].filter(([, value]) =>
        typeof value === "string"
      ),
    );
  }

  /** Resolves once this node has what the others had. */
  async fetch(): Promise<void> {
    await this.#entries.sync();
    console.log(`store: fetched, ${this.#entries.size} in all`);
  }
}

/** The web application: it knows the node and the store, and they know nothing of it. */
export function webApp(node: Node<WebEvents>, store: Store): Hono {
  node.on("test_event", (text) => `test_event says ${text}`);
  node.on("test_broadcast", (text, { from }) => {
    console.log(`test_broadcast from "${from}": ${JSON.stringify(text)}`);
  });

  const app = new Hono();
  app.get("/", async (context) => {
    // A node may send to itself; the reply comes the same way as from another.
    const reply = await node.request(node.id, "test_event", "hello");
    await node.emit("test_broadcast", reply);
    return context.text(reply);
  });
  app.get("/store", (context) => context.json(store.dump()));
  app.get("/set/:name/:value", async (context) => {
    const { name, value } = context.req.param();
    const nodes = await store.set(name, value);
    return context.json({ name, value, nodes });
  });
  return app;
}

const USAGE: Usage = {
  synopsis: "web.ts [cluster port] [host port]",
  permissions: "--allow-net=127.0.0.1",
  about:
    "A web application beside a node: GET /, GET /store, GET /set/NAME/VALUE.\n" +
    "It joins the cluster at the cluster port, or starts one, and serves on the host\n" +
    "port (any free one if left out).",
  positional: 2,
  options: { ...NODE_OPTIONS, ...dataOption },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries: others } = await nodeArguments(args);
  const hostPort = portOf(args.positional[1] ?? "0", "The host port");
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode<WebEvents>(options);
  const entries = node.use("store", store(await storageIn(args, "web.db")));
  const app = webApp(node, entries);
  await entries.ready;
  await node.listen(listen);
  await node.join(...others);
  await entries.fetch();

  // Last, so that nobody is served from a store that is not complete.
  await using _server = serve(app, hostPort);
  await stop;
}

/** Serves the application on a host port; 0 is any free one. */
export function serve(app: Hono, port: number): Deno.HttpServer {
  const hostname = "127.0.0.1";
  function onListen({ port }: Deno.NetAddr): void {
    console.log(`serves on http://${hostname}:${port}/ (host port ${port})`);
  }
  try {
    return Deno.serve({ hostname, port, onListen }, app.fetch);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AddrInUse)) throw cause;
    throw new Error(
      `Cannot serve on host port ${port}: it is in use; choose another`,
      { cause },
    );
  }
}

if (import.meta.main) await run(USAGE, main);
