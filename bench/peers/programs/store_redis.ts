/**
 * A program that sets keys in Redis, each acknowledged by one replica: `SET`s in a
 * pipeline that ends with `WAIT 1`, as its documentation describes both.
 *
 * @module
 */

// @ts-ignore -- installed when it is first needed
import { Redis } from "ioredis";
import { now } from "../../serve.ts";
import { fail, serve } from "./role.ts";

/** The part of the client in use. */
interface Client {
  on(event: "error", listener: (error: Error) => void): void;
  call(
    command: string,
    ...args: readonly (string | number)[]
  ): Promise<unknown>;
  pipeline(): Pipeline;
}

interface Pipeline {
  set(key: string, value: string): Pipeline;
  call(command: string, ...args: readonly (string | number)[]): Pipeline;
  exec(): Promise<readonly (readonly [Error | null, unknown])[]>;
}

const VALUE = "x".repeat(100);
/** How long a replica may take, in ms. */
const TIMEOUT = 10_000;
let port = 0;
const clients: Client[] = [];

function client(index: number): Client {
  return clients[index] ??= connected();
}

function connected(): Client {
  const one: Client = new Redis({ port, host: "127.0.0.1" });
  one.on("error", fail);
  return one;
}

/** Sets keys, so many at a time, until all are set. */
async function setAll(
  one: Client,
  next: () => number,
  count: number,
  batch: number,
  keys: number,
): Promise<void> {
  for (;;) {
    const pipeline = one.pipeline();
    let size = 0;
    for (; size < batch; size++) {
      const i = next();
      if (i >= count) break;
      pipeline.set(`key ${i % keys}`, VALUE);
    }
    if (size === 0) return;
    const results = await pipeline.call("WAIT", 1, TIMEOUT).exec();
    for (const [error] of results) if (error) throw error;
    if (results.at(-1)?.[1] !== 1) {
      throw new Error("The replica did not acknowledge");
    }
  }
}

await serve({
  connect: async (args) => {
    port = args.number("port");
    for (;;) {
      if (await client(0).call("WAIT", 1, 1_000) === 1) return {};
    }
  },
  set: async (args) => {
    const count = args.number("count");
    const start = now();
    let done = 0;
    await Promise.all(
      Array.from(
        { length: args.number("clients") },
        (_, i) =>
          setAll(
            client(i),
            () => done++,
            count,
            args.number("batch"),
            args.number("keys"),
          ),
      ),
    );
    return { micros: (now() - start) * 1_000 / count };
  },
});
