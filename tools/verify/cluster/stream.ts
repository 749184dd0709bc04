/**
 * A program that publishes objects by devts, or subscribes to them.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { Arrivals, type Item, itemOf } from "./item.ts";
import { cpuTime, now, quiet, serve, until } from "../../../bench/serve.ts";

interface Events {
  item(item: Item): void;
}

const node = createNode<Events>({ cluster: "verify", logger: quiet });
const arrivals = new Arrivals();
node.on("item", (item) => arrivals.add(item));

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => ({ joined: await node.join(args.text("address")) }),
  linked: async (args) => {
    await until(() => node.members.size === args.number("nodes"), 10_000);
    return { nodes: node.members.size };
  },
  expect: (args) => arrivals.expect(args.number("count")),
  arrived: () => arrivals.arrived(),
  publish: async (args) => {
    const startedAt = now();
    const cpu = cpuTime();
    const first = args.number("first");
    const end = first + args.number("count");
    for (let id = first; id < end; id++) await node.emit("item", itemOf(id));
    return { startedAt, cpu: cpuTime() - cpu, dropped: node.counters.dropped };
  },
});
await node.close();
