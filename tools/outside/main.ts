// deno-lint-ignore-file no-console -- says how it went

/**
 * A program of somebody else: it sees the published packages and nothing of the
 * checkout, and brings a transport and a router of its own. Run with the address to
 * listen on; prints what happened.
 *
 * @module
 */

import { createNode, type NodeOptions } from "@devts/devts";
import { analytics } from "@devts/plugins/analytics";
import { combine } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { direct } from "./direct.ts";
import { unix } from "./unix.ts";

interface Chat {
  say(text: string): void;
  sum(numbers: number[]): number;
}

const counts = analytics();
const options: NodeOptions = {
  cluster: "outside",
  transport: combine(memory(), unix()),
  router: direct,
  plugins: [counts.plugin],
  logger: {
    debug: () => {},
    info: () => {},
    warn: console.error,
    error: console.error,
  },
};

const [address = ""] = Deno.args;
await using far = createNode<Chat>({ ...options, id: "far" });
await using near = createNode<Chat>({ ...options, id: "near" });
const heard = Promise.withResolvers<string>();
far.on(
  "say",
  (text, { from }) => heard.resolve(`far heard "${text}" from ${from}`),
);
far.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
await far.listen(address);
console.log(`entry nodes: ${await near.join(address)}`);
await near.emit("say", "hello");
console.log(await heard.promise);
console.log(`sum: ${await near.request("far", "sum", [1, 2])}`);
console.log(`connections: ${counts.snapshot().connections.opened}`);
