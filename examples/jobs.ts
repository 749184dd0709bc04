/**
 * A job queue: one program hands out jobs, others work. A worker may be killed at any
 * time, and new ones may come: each job is done by somebody, and the program that handed
 * it out learns by whom.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/jobs.ts --jobs 100      # prints its cluster port
 * deno run --allow-net=127.0.0.1 examples/jobs.ts 7946 --work 200 # a worker, 200 ms for each job: start several, kill some
 * ```
 *
 * Ctrl-C lets a worker end what it has begun; the others get what it has not.
 *
 * @module
 */
import { createNode, DeliveryError, type Node } from "@devts/devts";
import {
  type Arguments,
  NODE_OPTIONS,
  nodeArguments,
  type Usage,
  UsageError,
} from "./_arguments.ts";
import { interrupted, run } from "./_program.ts";

/** The events of the queue. */
export interface JobEvents {
  /** Something to do, by its number. */
  job(number: number): void;
}

/** So many jobs are handed out at a time. */
const AT_A_TIME = 8;
/** A job goes to another worker, too, if one has had it for so long, in ms. */
const PATIENCE = 10_000;

/**
 * Hands out jobs, and waits for each until some worker has done it.
 *
 * @returns How many were done. A job that a worker says it cannot do is told, and counts as
 * not done.
 */
export async function handOut(
  node: Node<JobEvents>,
  count: number,
  print: (line: string) => void,
): Promise<number> {
  let next = 1;
  let done = 0;
  async function lane(): Promise<void> {
    while (next <= count) {
      const number = next++;
      try {
        const by = await assign(node, number);
        done++;
        print(`job ${number} was done by ${by} (${done} of ${count})`);
      } catch (error) {
        if (!(error instanceof DeliveryError)) throw error;
        print(`job ${number} was not done: ${error.message}`);
      }
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return done;
}

/** Resolves to who did a job: waits for a worker, where there is none. */
async function assign(node: Node<JobEvents>, number: number): Promise<string> {
  await node.ready({ handles: "job", timeout: 3_600_000 });
  const options = { timeout: 600_000, patience: PATIENCE };
  const { acknowledged: [worker] } = await node.deliver("job", number, options);
  return worker?.node ?? "nobody";
}

/**
 * Works until the node closes: one job after the other. A job is acknowledged when the
 * loop asks for the next one; if the process dies before, somebody else gets it. So a job
 * may be begun twice, under the same id (`delivery`, beside `data`): do it in a way that
 * bears that.
 */
export async function work(
  node: Node<JobEvents>,
  job: (number: number) => Promise<void>,
): Promise<void> {
  for await (const { data } of node.events("job", { group: "workers" })) {
    await job(data);
  }
}

const USAGE: Usage = {
  synopsis: "jobs.ts [cluster port]",
  permissions: "--allow-net=127.0.0.1",
  about:
    "A job queue: hands out jobs, or works on those that another program hands out.",
  positional: 1,
  options: {
    ...NODE_OPTIONS,
    jobs: { value: "N", help: "how many jobs to hand out; 20 if left out" },
    work: { value: "MS", help: "work instead: how long each job takes, in ms" },
  },
};

async function main(args: Arguments): Promise<void> {
  const { options, listen, entries } = await nodeArguments(args);
  const count = numberOf(args, "jobs", 20);
  const time = numberOf(args, "work", -1);
  const stop = interrupted();

  // `await using` says goodbye to the cluster, however this function ends.
  await using node = createNode<JobEvents>(options);
  if (time < 0) {
    await node.listen(listen);
    await node.join(...entries);
    const finished = handOut(node, count, console.log);
    await Promise.race([finished, stop]);
    return;
  }
  // Before `join`: whoever hands out jobs learns of the worker with the node.
  work(node, async (number) => {
    await new Promise((resolve) => setTimeout(resolve, time));
    console.log(`did job ${number}`);
  });
  await node.listen(listen);
  await node.join(...entries);
  await stop;
  const isDone = await node.drain();
  console.log(isDone ? "ended all that was begun" : "left some undone");
}

function numberOf({ values }: Arguments, name: string, usual: number): number {
  const text = values.get(name);
  if (text === undefined) return usual;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`--${name} is a number, not "${text}"`);
}

if (import.meta.main) await run(USAGE, main);
