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
  type Outcome,
  RequestError,
  type Scope,
} from "@devts/devts";
import { Hono } from "hono";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";

/** A name of the store and its value. */
export type Entry = readonly [name: string, value: string];

/** The events of web nodes: the parameter is the data, the result is the reply. */
export interface WebEvents {
  /** Replies with what it got. */
  "test_event"(text: string): string;
  /** Tells the others. */
  "test_broadcast"(text: string): void;
}

/** The events of the store; as it is a behaviour, they have its name in front. */
export interface StoreEvents {
  /** An entry was set somewhere. */
  replicate(entry: Entry): void;
  /** Replies with all entries. */
  fetch(): readonly Entry[];
}

/**
 * A key/value store that every node which uses it keeps a copy of. The last value
 * received wins; `map()` of `@devts/node/state` does better, and shows less of how it
 * is done.
 */
export function store(): Behaviour<Store, StoreEvents> {
  return (scope) => new Store(scope);
}

/** The store of one node. */
export class Store {
  readonly #scope: Scope<StoreEvents>;
  readonly #entries = new Map<string, string>();

  /** Answers for the store on a node; the node may do other things as well. */
  constructor(scope: Scope<StoreEvents>) {
    this.#scope = scope;
    scope.on("replicate", (entry, { from }) => {
      // Types are checked where this is compiled, not where the data comes from.
      if (!isEntry(entry)) {
        throw new TypeError(`That is no entry: ${Deno.inspect(entry)}`);
      }
      this.#entries.set(...entry);
      console.log(`store: ${JSON.stringify(entry)} from "${from}"`);
    });
    scope.on("fetch", () => [...this.#entries]);
  }

  /** Sets a value here and on every other web node. */
  set(name: string, value: string): Promise<Outcome> {
    const outcome = this.#scope.emit("replicate", [name, value]);
    this.#entries.set(name, value);
    return outcome;
  }

  /** All entries, for people and for JSON. */
  dump(): Record<string, string> {
    return Object.fromEntries(this.#entries);
  }

  /** Copies the store of any node that has one and answers. */
  async fetch(): Promise<void> {
    for (const id of [...this.#scope.members.keys()]) {
      if (await this.#fetchFrom(id)) return;
    }
  }

  async #fetchFrom(id: string): Promise<boolean> {
    try {
      const entries = await this.#scope.request(id, "fetch", undefined, {
        timeout: 2_000,
      });
      // What was replicated while the reply was on its way is the later value.
      for (const [name, value] of entries.filter(isEntry)) {
        if (!this.#entries.has(name)) this.#entries.set(name, value);
      }
      console.log(`store: fetched from "${id}": ${entries.length} in all`);
      return true;
    } catch (error) {
      if (error instanceof RequestError && error.reason === "unhandled") {
        return false; // a node of another kind
      }
      console.warn(`store: cannot fetch it from "${id}": ${error}`);
      return false;
    }
  }
}

function isEntry(data: unknown): data is Entry {
  return Array.isArray(data) && data.length === 2 &&
    data.every((part) => typeof part === "string");
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
    const { nodes } = await store.set(name, value);
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
  options: NODE_OPTIONS,
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries: others } = await nodeArguments(args);
  const hostPort = portOf(args.positional[1] ?? "0", "The host port");
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode<WebEvents>(options);
  const entries = node.use("store", store());
  const app = webApp(node, entries);
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
