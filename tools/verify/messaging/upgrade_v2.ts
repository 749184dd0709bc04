/**
 * The second version of the program of `upgrade_v1.ts`: orders may have a note, prices
 * have a currency, and users must have an address.
 *
 * @module
 */

import { contract, createNode } from "@devts/devts";
import { z } from "zod";
import { quiet } from "../../../bench/serve.ts";
import { Traffic } from "./upgrade_traffic.ts";

const order = z.object({ number: z.int(), note: z.string().optional() });
const shop = contract({
  "order.placed": { data: order },
  "order.paid": { data: order, acks: "all" },
  "order.price": {
    data: order,
    reply: z.object({ cents: z.int(), currency: z.string().default("EUR") }),
  },
  "user.created": {
    data: z.object({ number: z.int(), name: z.string(), email: z.string() }),
  },
  "user.moved": { data: z.object({ to: z.string() }) },
});

const [id = ""] = Deno.args;
const node = createNode({
  cluster: "upgrade",
  id,
  contract: shop,
  logger: quiet,
});
const traffic = new Traffic(node, {
  place: (number) => node.emit("order.placed", { number, note: "express" }),
  pay: (number) => node.deliver("order.paid", { number }),
  price: (to, number) => node.request(to, "order.price", { number }),
  create: (number) =>
    node.emit("user.created", { number, name: "Ada", email: "ada@home" }),
});
node.on("order.placed", ({ number }, { from }) => {
  traffic.took("placed", from, number);
});
node.on("order.paid", ({ number }, { from }) => {
  traffic.took("paid", from, number);
});
node.on(
  "order.price",
  ({ number }) => ({ cents: 100 * number, currency: "SEK" }),
);
node.on("user.created", ({ number, email }, { from }) => {
  if (email !== "ada@home") throw new Error(`"${from}" sent no address`);
  traffic.took("created", from, number);
});
node.on("user.moved", () => {});
await traffic.run();
