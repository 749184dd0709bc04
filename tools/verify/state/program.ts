/**
 * A program with a replicated map, for measurements: it answers commands on stdin. With
 * the argument "faults" its connections can be made slow.
 *
 * @module
 */
import { createNode } from "@devts/devts";
import { map } from "@devts/node/state";
import { msgpackr } from "@devts/protocol/msgpackr";
import { sqlite } from "@devts/node/storage/sqlite";
import { withPlugins } from "@devts/plugins";
import { faults } from "@devts/plugins/faults";
import { tcp } from "@devts/transport/tcp";
import {
  collectGarbage,
  now,
  quiet,
  serve,
  until,
} from "../../../bench/serve.ts";

/** What a program of one's own would emit to set a key elsewhere. */
interface Item {
  readonly key: string;
  readonly value: string;
}

interface Events {
  item(item: Item): void;
  flushed(): number;
}

const VALUE = "x".repeat(100);
/** By how many bytes memory may have grown before garbage is collected, to know. */
const DOUBTFUL = 33_554_432;

const network = faults();
const transport = Deno.args.includes("faults")
  ? withPlugins(tcp(), network.plugin)
  : tcp();
const node = createNode<Events>({
  cluster: "verify",
  logger: quiet,
  transport,
});
const plain = new Map<string, string>();
let cart = node.use("cart", map<string>());
const copied = node.use("copied", map<string>({ replicas: 2 }));
node.on("item", ({ key, value }) => void plain.set(key, value));
node.on("flushed", () => plain.size);

/** Resolves once the others have handled all that was sent before. */
async function flushed(): Promise<void> {
  // What was set leaves in the next turn at the latest.
  await new Promise((resolve) => setTimeout(resolve, 1));
  await Promise.all(
    Array.from(node.members.keys(), (id) => node.request(id, "flushed")),
  );
}

/** Runs some work of so many steps, and says how long each took, in µs. */
async function timed(
  count: number,
  work: () => Promise<void>,
): Promise<{ micros: number }> {
  const start = now();
  await work();
  return { micros: (now() - start) * 1000 / count };
}

function keyOf(i: number): string {
  return `key ${i}`;
}

/** Reads random keys through a call, and says how long each took, in µs. */
function reads(
  count: number,
  keys: readonly string[],
  store: { get(key: string): string | undefined },
): { micros: number } {
  const start = now();
  let found = 0;
  let at = 1;
  for (let i = 0; i < count; i++) {
    // A linear congruence jumps about all keys (Knuth's constants).
    at = (Math.imul(at, 1_664_525) + 1_013_904_223) >>> 0;
    if (store.get(keys[at % keys.length] ?? "") !== undefined) found++;
  }
  if (found !== count) throw new Error(`${count - found} keys are missing`);
  return { micros: (now() - start) * 1000 / count };
}

/** A plain map behind the same call. */
class PlainStore {
  readonly #map: Map<string, string>;

  constructor(content: Map<string, string>) {
    this.#map = content;
  }

  get(key: string): string | undefined {
    return this.#map.get(key);
  }
}

const codec = msgpackr();
let live: ReturnType<typeof setInterval> | undefined;
let written = 0;
let mostUsed = 0;

/** Every entry of the map as an array of key and value, each with its length in front. */
async function sendRaw(connection: Deno.Conn): Promise<void> {
  const chunk = new Uint8Array(262_144);
  const view = new DataView(chunk.buffer);
  let at = 0;
  for (const entry of cart.entries()) {
    const end = codec.encodeInto(entry, chunk, at + 4);
    view.setUint32(at, end - at - 4);
    at = end;
    if (at < chunk.length - 1_024) continue;
    await writeAll(connection, chunk.subarray(0, at));
    at = 0;
  }
  await writeAll(connection, chunk.subarray(0, at));
  connection.close();
}

async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await connection.write(bytes.subarray(at));
  }
}

async function receiveRaw(connection: Deno.Conn): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  const chunk = new Uint8Array(524_288);
  const view = new DataView(chunk.buffer);
  let filled = 0;
  for (;;) {
    const count = await connection.read(chunk.subarray(filled));
    if (count === null) break;
    filled += count;
    let at = 0;
    while (filled - at >= 4 && filled - at - 4 >= view.getUint32(at)) {
      const end = at + 4 + view.getUint32(at);
      const entry = codec.decodeAt(chunk, at + 4, end);
      if (Array.isArray(entry)) content.set(entry[0], entry[1]);
      at = end;
    }
    chunk.copyWithin(0, at, filled);
    filled -= at;
  }
  connection.close();
  return content;
}

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => {
    await node.join(args.text("address"));
    await until(() => node.members.size > 0, 10_000);
    return {};
  },
  emit: (args) => {
    const count = args.number("count");
    const keys = args.number("keys");
    return timed(count, async () => {
      for (let i = 0; i < count; i++) {
        const key = keyOf(i % keys);
        plain.set(key, VALUE);
        await node.emit("item", { key, value: VALUE });
      }
      await flushed();
    });
  },
  set: (args) => {
    const count = args.number("count");
    const keys = args.number("keys");
    return timed(count, async () => {
      for (let i = 0; i < count; i++) {
        await cart.set(keyOf(i % keys), VALUE);
      }
      await flushed();
    });
  },
  copied: (args) => {
    // Each write waits until the other node has acknowledged it.
    const count = args.number("count");
    const keys = args.number("keys");
    let next = 0;
    const client = async (): Promise<void> => {
      while (next < count) {
        await copied.set(keyOf(next++ % keys), VALUE, { level: "all" });
      }
    };
    return timed(count, async () => {
      await Promise.all(
        Array.from({ length: args.number("clients") }, client),
      );
    });
  },
  size: () => ({ size: cart.size, plain: plain.size, hash: cart.hash() }),
  // From now on it sends so many bytes per second over each of its connections.
  slow: (args) => {
    network.set({ rate: args.number("rate") });
    return {};
  },
  fast: () => {
    network.set({ rate: Infinity });
    return {};
  },
  taken: () => ({ size: cart.size, bytes: cart.counters.pageBytes }),
  keep: async (args) => {
    await cart.close();
    cart = node.use("cart", map({ storage: sqlite(args.text("path")) }));
    await cart.ready;
    return { size: cart.size };
  },
  fill: (args) => {
    for (let i = 0; i < args.number("count"); i++) cart.set(keyOf(i), VALUE);
    return {};
  },
  reads: (args) => {
    const keys = [...cart.keys()];
    const store = args.text("of") === "map"
      ? cart
      : new PlainStore(new Map(keys.map((key) => [key, VALUE])));
    return reads(args.number("count"), keys, store);
  },
  serveRaw: () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    listener.accept().then(async (connection) => {
      listener.close();
      await sendRaw(connection);
    });
    return { port: listener.addr.port };
  },
  loadRaw: async (args) => {
    const start = now();
    const port = args.number("port");
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const content = await receiveRaw(connection);
    return { millis: now() - start, size: content.size };
  },
  load: async (args) => {
    // How long it takes to join is not measured: what follows is.
    await cart.close();
    await node.join(args.text("address"));
    await until(() => node.members.size > 0, 10_000);
    const start = now();
    cart = node.use("cart", map<string>());
    const count = args.number("count");
    await until(() => cart.size >= count, 120_000);
    return { millis: now() - start, size: cart.size };
  },
  sync: async () => {
    await cart.sync();
    return {};
  },
  live: () => {
    collectGarbage();
    const base = used();
    let most = base;
    live = setInterval(() => {
      for (let i = 0; i < 10; i++) cart.set(`live ${written++}`, VALUE);
      const { heapUsed, external } = Deno.memoryUsage();
      let bytes = heapUsed + external;
      // Much of that may be garbage that has not been collected yet.
      if (bytes > base + DOUBTFUL && bytes > most) bytes = used();
      most = Math.max(most, bytes);
      mostUsed = most - base;
    }, 5);
    return {};
  },
  ended: () => {
    clearInterval(live);
    return { written, bytes: mostUsed };
  },
  synced: async (args) => {
    // Writes that wait at the same time, as from many clients.
    const storage = sqlite(args.text("path"));
    const name = `kept ${args.number("round")}`;
    const kept = node.use(name, map<string>({ storage, level: "fsync" }));
    await kept.ready;
    const count = args.number("count");
    let next = 0;
    const client = async (): Promise<void> => {
      while (next < count) await kept.set(keyOf(next++), VALUE);
    };
    const result = await timed(count, async () => {
      await Promise.all(
        Array.from({ length: args.number("clients") }, client),
      );
    });
    await kept.close();
    return result;
  },
  raw: (args) =>
    new Promise((resolve, reject) => {
      // Off the loop, as a program does that has something else to do.
      const url = new URL("./raw_worker.ts", import.meta.url);
      const worker = new Worker(url, { type: "module" });
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.onmessage = ({ data }) => {
        worker.terminate();
        resolve({ micros: data });
      };
      worker.postMessage({
        path: args.text("path"),
        count: args.number("count"),
        size: args.number("size"),
        value: VALUE,
      });
    }),
  memory: (args) => {
    const count = args.number("count");
    const keys = Array.from({ length: count }, (_, i) => keyOf(i));
    const values = keys.map((_, i) => `${VALUE}${i}`);
    // Strings that were put together are kept in one piece from here on.
    const flat = new Map(keys.map((key, i) => [key, values[i]]));
    flat.clear();
    const before = used();
    for (let i = 0; i < count; i++) {
      cart.set(keys[i] ?? "", values[i] ?? "");
    }
    const after = used();
    return { bytes: (after - before) / count, kept: keys.length };
  },
});

function used(): number {
  collectGarbage();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
