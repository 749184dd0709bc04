/**
 * A member of a cluster whose processes are restarted, held up or stopped, and that may
 * emit numbers at a steady pace: `member.ts ID [ROUTER [NATS_SERVERS]]`. SIGTERM closes
 * its node.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { swim } from "@devts/routing/swim";
import {
  cpuTime,
  now,
  pause,
  quiet,
  serve,
  until,
} from "../../../bench/serve.ts";
import { routerOf } from "./routers.ts";

interface Events {
  number(number: number): void;
}

const [id = "", router = "peer", servers = ""] = Deno.args;
const node = createNode<Events>({
  cluster: "verify",
  id,
  router: routerOf(router, servers),
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
/** Whether it is to emit no more. */
let isOver = false;
/** Numbers that were handed on for so many nodes, by that. */
const handed = new Map<number, number>();
/** What came of each other node: how many, the last one, and how many it missed. */
const from = new Map<string, { count: number; last: number; missed: number }>();
/** Numbers that came twice, or out of order. */
let wrong = 0;
node.on("number", (number, context) => {
  received.push(number);
  const one = of(context.from);
  one.count++;
  if (number <= one.last) wrong++;
  one.last = number;
});
node.onSystem("leave", ({ reason }) => {
  if (reason === "failed") failed++;
});
node.onSystem("gap", (gap) => {
  missed += gap.missed;
  of(gap.from).missed += gap.missed;
});
Deno.addSignalListener("SIGTERM", () => {
  isOver = true;
  node.close();
});

function of(id: string): { count: number; last: number; missed: number } {
  const known = from.get(id) ?? { count: 0, last: -1, missed: 0 };
  from.set(id, known);
  return known;
}

async function emit(interval: number): Promise<void> {
  const start = now();
  while (!isOver) {
    const number = first + sentAt.length;
    // Before it leaves: who was not up then may miss it.
    sentAt.push(now());
    node.emit("number", number).then(({ nodes, dropped }) => {
      const count = nodes - dropped;
      handed.set(count, (handed.get(count) ?? 0) + 1);
    }, () => {});
    await pause(start + sentAt.length * interval - now());
  }
}

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => {
    const entries = args.text("entries");
    await node.join(...entries === "" ? [] : entries.split(","));
    return {};
  },
  members: async (args) => {
    const count = args.number("count");
    await until(() => node.members.size === count, args.number("limit"));
    return { count: node.members.size };
  },
  // Emits a number each `interval` ms, each in a turn of its own, however late it is.
  emit: (args) => {
    first = args.number("first");
    emit(args.number("interval"));
    return {};
  },
  stop: () => {
    isOver = true;
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
  // How many it emitted that were handed on for all, and what came of another one.
  emitted: (args) => ({
    sent: sentAt.length,
    handed: handed.get(args.number("nodes")) ?? 0,
  }),
  tally: (args) => ({ ...of(args.text("from")), wrong }),
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
isOver = true;
clearInterval(work);
await node.close();
