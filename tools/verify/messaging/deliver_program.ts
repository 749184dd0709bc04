// deno-lint-ignore-file no-console -- says what went wrong

/**
 * A node that delivers and asks, or a worker of a group: `deliver_program.ts ID`. Run
 * with `--expose-gc`.
 *
 * @module
 */

import { createNode, RequestError } from "@devts/devts";
import {
  collectGarbage,
  now,
  pause,
  quiet,
  serve,
  until,
} from "../../../bench/serve.ts";

/** Bytes of data in a call. */
const SIZE = 128;
/** Calls that are not answered at a time. */
const IN_FLIGHT = 64;
/** Requests that may wait: what would be left behind would take the place of others. */
const REQUESTS = 100_000;

interface Events {
  echo(data: Uint8Array): Uint8Array;
  set(data: Uint8Array): void;
  job(number: number): void;
  silent(number: number): Promise<never>;
}

const [id = ""] = Deno.args;
const node = createNode<Events>({
  cluster: "verify",
  id,
  logger: quiet,
  limits: {
    requests: REQUESTS,
    requestsPerPeer: REQUESTS,
    running: REQUESTS,
  },
});
const data = new Uint8Array(SIZE).fill(7);
let handled = 0;

node.on("echo", (bytes) => bytes);
node.on("set", () => void handled++);
node.on("silent", () => new Promise<never>(() => {}));

/** Makes calls, so many at a time, for so many ms; resolves to how many per second. */
async function rate(
  call: (number: number) => Promise<unknown>,
  duration: number,
): Promise<number> {
  const start = performance.now();
  let calls = 0;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    while (performance.now() - start < duration) await call(calls++);
  }));
  return calls / (performance.now() - start) * 1_000;
}

/** Who did each job, as the outcomes say; `null`: nobody is known to have. And when. */
const by: (string | null)[] = [];
const at: number[] = [];
let finished = 0;

/** Delivers so many jobs to the group, so many of them per second. */
async function deliverJobs(count: number, pace: number): Promise<void> {
  const start = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    while (next < count) {
      const number = next++;
      const early = start + 1_000 * number / pace - performance.now();
      if (early > 1) await pause(early);
      by[number] = await deliverJob(number);
      at[number] = now();
      finished++;
    }
  }));
}

async function deliverJob(number: number): Promise<string | null> {
  try {
    const { acknowledged } = await node.deliver("job", number);
    return acknowledged[0]?.node ?? null;
  } catch (error) {
    console.error(String(error));
    return null;
  }
}

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => ({ joined: await node.join(args.text("address")) }),
  linked: async (args) => {
    await until(() => node.members.size === args.number("nodes"), 60_000);
    await node.ready({ members: args.number("nodes"), handles: "set" });
    return { nodes: node.members.size };
  },
  request: async (args) => {
    const ids = [...node.members.keys()];
    const ask = (number: number): Promise<unknown> =>
      node.request(ids[number % ids.length] ?? "", "echo", data);
    return { rate: await rate(ask, args.number("ms")) };
  },
  deliver: async (args) => ({
    rate: await rate(() => node.deliver("set", data), args.number("ms")),
  }),
  handled: () => ({ handled }),
  /** Joins the group: notes each job in a file before it says that it is done. */
  work: async (args) => {
    const log = await Deno.open(args.text("file"), {
      create: true,
      append: true,
    });
    node.on("job", (number) => {
      log.writeSync(new TextEncoder().encode(`${number}\n`));
    }, { group: "workers" });
    return {};
  },
  jobs: async (args) => {
    await node.ready({ handles: "job" });
    deliverJobs(args.number("count"), args.number("pace"));
    return {};
  },
  progress: () => ({ finished }),
  settled: () => ({ by: JSON.stringify(by), at: JSON.stringify(at) }),
  heap: () => {
    collectGarbage();
    return { bytes: Deno.memoryUsage().heapUsed };
  },
  /** Sends requests of which no reply comes; resolves once all have failed. */
  lose: async (args) => {
    const to = [...node.members.keys()][0] ?? "";
    const reasons = new Map<string, number>();
    await Promise.all(
      Array.from({ length: args.number("count") }, async (_, number) => {
        try {
          await node.request(to, "silent", number, { timeout: 2_000 });
        } catch (error) {
          const reason = error instanceof RequestError ? error.reason : "other";
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
      }),
    );
    return { timeouts: reasons.get("timeout") ?? 0 };
  },
});
await node.close();
