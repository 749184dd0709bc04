/**
 * A replicated key/value server: every node holds everything, answers reads by itself,
 * and acknowledges a write once as many nodes hold it as you ask for. `docs/kv.md` says
 * what happens when the cluster is cut in half.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-write=. examples/kv.ts --replicas 3 --port 7946 --data one
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-write=. examples/kv.ts 7946 --replicas 3 --data two
 * curl -X PUT --data blue "http://127.0.0.1:8000/kv/colour?level=quorum"  # the host port it printed
 * ```
 *
 * @module
 */
import { createNode } from "@devts/devts";
import {
  type Level,
  map,
  type ReplicatedMap,
  WriteError,
  type WriteOptions,
} from "@devts/node/state";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  portOf,
  type Usage,
  UsageError,
} from "./_arguments.ts";
import { dataOption, storageIn } from "./_data.ts";
import { interrupted, run } from "./_program.ts";
import { serve } from "./web.ts";

/** Bytes of a value at most. */
const MAX_VALUE = 512 * 1024;
/** Who watches, at most; and changes that may wait for one who reads slowly. */
const MAX_WATCHERS = 1_000;
const MAX_WAITING = 1_000;
const LEVELS: readonly Level[] = ["memory", "fsync", "quorum", "all"];

/** The HTTP interface of a replicated map of texts. Who watches does so until `signal`. */
export function kvApp(kv: ReplicatedMap<string>, signal: AbortSignal): Hono {
  const watchers = new Watchers(kv, signal);
  const app = new Hono();
  const limit = bodyLimit({
    maxSize: MAX_VALUE,
    onError: (context) =>
      context.json({ error: `A value has at most ${MAX_VALUE} bytes` }, 413),
  });

  app.get("/kv", (context) => {
    const prefix = context.req.query("prefix") ?? "";
    const found = [...kv.entries()].filter(([key]) => key.startsWith(prefix));
    return context.json(Object.fromEntries(found));
  });
  app.get("/kv/:key", (context) => {
    const key = context.req.param("key");
    const value = kv.get(key);
    if (value === undefined) {
      return context.json({ error: `There is no "${key}"` }, 404);
    }
    context.header("etag", `"${kv.version(key)}"`);
    return context.text(value);
  });
  app.put("/kv/:key", limit, async (context) => {
    const value = textOf(await context.req.arrayBuffer());
    if (value === null) {
      return context.json({ error: "A value is text in UTF-8" }, 400);
    }
    return await written(
      context,
      (key, options) => kv.set(key, value, options),
    );
  });
  app.delete(
    "/kv/:key",
    (context) => written(context, (key, options) => kv.delete(key, options)),
  );
  app.get("/watch", () => watchers.watch());
  return app;
}

/** Bytes as a text; `null`: they are none, and would not come back as they were. */
function textOf(bytes: ArrayBuffer): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    return null;
  }
}

/** Does a write, and answers once it is as safe as the level in the query says. */
async function written(
  context: Context,
  write: (key: string, options: WriteOptions) => Promise<void>,
): Promise<Response> {
  const asked = context.req.query("level") ?? "quorum";
  const level = LEVELS.find((one) => one === asked);
  if (level === undefined) {
    const error = `There is no level "${asked}": there are ${
      LEVELS.join(", ")
    }`;
    return context.json({ error }, 400);
  }
  try {
    await write(context.req.param("key") ?? "", { level });
    return context.body(null, 204);
  } catch (error) {
    if (error instanceof WriteError) {
      // With "replicas" and "storage" it may have been made: to be sure, write again.
      return context.json({ error: error.message, reason: error.reason }, 503);
    }
    if (error instanceof RangeError || error instanceof TypeError) {
      return context.json({ error: error.message }, 400);
    }
    throw error;
  }
}

/** Those who watch, by server-sent events. */
class Watchers {
  readonly #kv: ReplicatedMap<string>;
  readonly #signal: AbortSignal;
  readonly #encoder = new TextEncoder();
  #count = 0;

  constructor(kv: ReplicatedMap<string>, signal: AbortSignal) {
    this.#kv = kv;
    this.#signal = signal;
  }

  watch(): Response {
    if (this.#count >= MAX_WATCHERS) {
      return Response.json({ error: `${MAX_WATCHERS} watch already` }, {
        status: 503,
      });
    }
    const signal = this.#signal;
    let end = (): void => {};
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const send = (text: string): void => {
          controller.enqueue(this.#encoder.encode(`${text}\n\n`));
        };
        const close = (): void => {
          end();
          controller.close();
        };
        const watch = this.#kv.watch(({ key, value = null }) => {
          // Who reads too slowly is let go of, and can list what there is.
          if ((controller.desiredSize ?? 0) <= 0) close();
          else send(`data: ${JSON.stringify({ key, value })}`);
        });
        signal.addEventListener("abort", close);
        this.#count++;
        end = () => {
          this.#count--;
          signal.removeEventListener("abort", close);
          watch[Symbol.dispose]();
        };
        send(": watching");
      },
      cancel: () => end(),
    }, { highWaterMark: MAX_WAITING });
    return new Response(body, {
      headers: {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
      },
    });
  }
}

const USAGE: Usage = {
  synopsis: "kv.ts [cluster port,...] [host port]",
  permissions: "--allow-net=127.0.0.1 --allow-read=. --allow-write=.",
  about:
    "A replicated key/value server: GET, PUT and DELETE /kv/KEY, GET /kv, GET /watch.\n" +
    "It joins the cluster at a cluster port, or starts one, and serves on the host port\n" +
    "(any free one if left out). Writes take ?level=memory, fsync, quorum or all.",
  positional: 2,
  options: {
    ...NODE_OPTIONS,
    ...dataOption,
    replicas: {
      value: "N",
      help: "how many nodes are to hold everything; 1 if left out",
    },
  },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries } = await nodeArguments(args);
  const hostPort = portOf(args.positional[1] ?? "0", "The host port");
  const replicas = countOf(args.values.get("replicas") ?? "1");
  const storage = await storageIn(args, "kv.db");
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode(options);
  const kv = node.use(
    "kv",
    map<string>({ replicas, ...storage !== null && { storage } }),
  );
  await kv.ready; // what was kept has been read
  await node.listen(listen);
  await node.join(...entries);
  await kv.sync(); // and what the others have written meanwhile

  // Last, so that nobody is served from a store that is not complete.
  const closing = new AbortController();
  await using _server = serve(kvApp(kv, closing.signal), hostPort);
  await stop;
  closing.abort();
}

function countOf(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new UsageError(`--replicas is a number from 1 on, not "${text}"`);
}

if (import.meta.main) await run(USAGE, main);
