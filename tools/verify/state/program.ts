/**
 * A program with a replicated map, for measurements: it answers commands on stdin.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { createNode } from "@devts/devts";
import { map } from "@devts/node/state";
import { sqlite } from "@devts/node/storage/sqlite";
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

const node = createNode<Events>({ cluster: "verify", logger: quiet });
const plain = new Map<string, string>();
const cart = node.use("cart", map<string>());
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
  size: () => ({ size: cart.size, plain: plain.size, hash: cart.hash() }),
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
  raw: (args) => {
    const database = new DatabaseSync(args.text("path"));
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    database.exec(
      "CREATE TABLE t (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
    );
    const put = database.prepare(
      "INSERT INTO t VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    );
    const encoder = new TextEncoder();
    const count = args.number("count");
    const size = args.number("clients");
    const start = now();
    for (let i = 0; i < count;) {
      database.exec("BEGIN IMMEDIATE");
      for (let left = size; left > 0 && i < count; left--, i++) {
        put.run(encoder.encode(keyOf(i)), encoder.encode(VALUE));
      }
      database.exec("COMMIT");
    }
    database.close();
    return { micros: (now() - start) * 1000 / count };
  },
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
