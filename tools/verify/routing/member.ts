/**
 * A member of a cluster whose processes are restarted, held up or stopped, and that may
 * emit numbers at a steady pace: `member.ts ID`. SIGTERM closes its node.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { swim } from "@devts/routing/swim";
import { cpuTime, now, quiet, serve, until } from "../../../bench/serve.ts";

interface Events {
  number(number: number): void;
}

const [id = ""] = Deno.args;
const node = createNode<Events>({
  cluster: "verify",
  id,
  membership: swim(),
  logger: quiet,
});
const received: number[] = [];
/** When each number left, from the first one of this process on. */
const sentAt: number[] = [];
let first = 0;
/** Others that it gave up. */
let failed = 0;
let missed = 0;
/** How late a timer was at worst, in ms, by looks in steps of 50 ms. */
let worstLag = 0;
let lookedAt = now();
const look = setInterval(() => {
  worstLag = Math.max(worstLag, now() - lookedAt - 50);
  lookedAt = now();
}, 50);
let work: ReturnType<typeof setInterval> | undefined;
let timer: ReturnType<typeof setInterval> | undefined;
node.on("number", (number) => {
  received.push(number);
});
node.onSystem("leave", ({ reason }) => {
  if (reason === "failed") failed++;
});
node.onSystem("gap", (gap) => {
  missed += gap.missed;
});
Deno.addSignalListener("SIGTERM", () => {
  clearInterval(timer);
  node.close();
});

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => {
    await node.join(...args.text("entries").split(","));
    return {};
  },
  members: async (args) => {
    const count = args.number("count");
    await until(() => node.members.size === count, args.number("limit"));
    return { count: node.members.size };
  },
  // Emits a number each `interval` ms, however late the timer is.
  emit: (args) => {
    first = args.number("first");
    const interval = args.number("interval");
    const start = now();
    timer = setInterval(() => {
      while (start + sentAt.length * interval <= now()) {
        node.emit("number", first + sentAt.length);
        sentAt.push(now());
      }
    }, interval);
    return {};
  },
  // Keeps the processor busy for so many ms every 100 ms.
  work: (args) => {
    const length = args.number("length");
    work = setInterval(() => {
      const end = cpuTime() + length;
      while (cpuTime() < end);
    }, 100);
    return {};
  },
  // The last number that it emitted.
  sent: () => ({ last: first + sentAt.length - 1 }),
  // Waits until a number is there, or a later one.
  received: async (args) => {
    const last = args.number("last");
    await until(() => (received.at(-1) ?? -1) >= last, args.number("limit"));
    return {};
  },
  state: () => ({ members: node.members.size, failed, missed, lag: worstLag }),
  // Once the node is closed.
  report: async () => {
    await node.closed;
    return {
      received: received.join(),
      sentAt: sentAt.join(),
      failed,
      missed,
    };
  },
});
clearInterval(look);
clearInterval(timer);
clearInterval(work);
await node.close();
