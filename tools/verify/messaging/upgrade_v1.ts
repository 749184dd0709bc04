/**
 * The first version of a program: `upgrade_v1.ts ID`.
 *
 * @module
 */

import { contract, createNode } from "@devts/devts";
import { z } from "zod";
import { quiet } from "../../../bench/serve.ts";
import { Traffic } from "./upgrade_traffic.ts";

const shop = contract({
  "order.placed": { data: z.object({ number: z.int() }) },
  "order.paid": { data: z.object({ number: z.int() }), acks: "all" },
  "order.price": {
    data: z.object({ number: z.int() }),
    reply: z.object({ cents: z.int() }),
  },
  "user.created": { data: z.object({ number: z.int(), name: z.string() }) },
});

const [id = ""] = Deno.args;
const node = createNode({
  cluster: "upgrade",
  id,
  contract: shop,
  logger: quiet,
});
const traffic = new Traffic(node, {
  place: (number) => node.emit("order.placed", { number }),
  pay: (number) => node.deliver("order.paid", { number }),
  price: (to, number) => node.request(to, "order.price", { number }),
  create: (number) => node.emit("user.created", { number, name: "Ada" }),
});
node.on("order.placed", ({ number }, { from }) => {
  traffic.took("placed", from, number);
});
node.on("order.paid", ({ number }, { from }) => {
  traffic.took("paid", from, number);
});
node.on("order.price", ({ number }) => ({ cents: 100 * number }));
node.on("user.created", ({ number }, { from }) => {
  traffic.took("created", from, number);
});
await traffic.run();
