/**
 * A node on a host of its own, which tries to reach others and says what came of it:
 * `host.ts ID ROUTER [NATS_SERVERS]`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { swim } from "@devts/routing/swim";
import { pause, quiet, serve, until } from "../../../bench/serve.ts";
import { routerOf } from "./routers.ts";

interface Events {
  /** Sent to one node, in a round. */
  one(round: number): void;
  /** Emitted to all others, in a round. */
  all(round: number): void;
  /** Requested: the reply is the round. */
  ask(round: number): number;
}

const [id = "", router = "", servers = ""] = Deno.args;
const node = createNode<Events>({
  cluster: "verify",
  id,
  router: routerOf(router, servers),
  membership: swim(),
  logger: quiet,
  insecure: true,
});
/** How often each event came, by kind, sender and round. */
const got = new Map<string, number>();
node.on("one", (round, { from }) => count(`one ${from} ${round}`));
node.on("all", (round, { from }) => count(`all ${from} ${round}`));
node.on("ask", (round) => round);

function count(key: string): void {
  got.set(key, (got.get(key) ?? 0) + 1);
}

/** What a request came to. */
function ask(to: string, timeout: number): Promise<string> {
  const token = Math.random();
  return outcome(
    node.request(to, "ask", token, { timeout }).then((reply) => {
      if (reply !== token) throw new Error("The reply is another one's");
    }),
  );
}

/** What was thrown, with its class; empty where nothing was. */
async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "";
  } catch (error) {
    return String(error);
  }
}

await serve({
  listen: async (args) => {
    for (const address of args.text("addresses").split(",")) {
      await node.listen(address);
    }
    return {};
  },
  // Without an address for a router that brings its own links.
  join: async (args) => {
    const addresses = args.text("addresses");
    return {
      found: await node.join(...addresses === "" ? [] : addresses.split(",")),
    };
  },
  members: async (args) => {
    const wanted = args.number("count");
    await until(() => node.members.size === wanted, args.number("limit"));
    return { count: node.members.size };
  },
  // Sends to and requests from each, emits to all; says what came of it.
  reach: async (args) => {
    const round = args.number("round");
    const start = performance.now();
    const results: Record<string, string> = {};
    const reached = args.text("targets").split(",").map(async (target) => {
      results[`send ${target}`] = await outcome(
        node.send(target, "one", round),
      );
      results[`request ${target}`] = await ask(target, args.number("timeout"));
    });
    await Promise.all([...reached, node.emit("all", round)]);
    return { ...results, ms: performance.now() - start };
  },
  // Waits until what others sent and emitted in a round is here; says what is not, once.
  got: async (args) => {
    const round = args.number("round");
    const keys = args.text("from").split(",").flatMap((from) =>
      ["one", "all"].map((kind) => `${kind} ${from} ${round}`)
    );
    await until(() => keys.every((key) => got.has(key)), args.number("limit"));
    const wrong = keys.filter((key) => got.get(key) !== 1);
    return {
      wrong: wrong.map((key) => `${key}: ${got.get(key) ?? 0} times`).join(),
    };
  },
  // Requests from each until all reply; says after how many ms that was, or who does not.
  whole: async (args) => {
    const targets = args.text("targets").split(",");
    const start = performance.now();
    const limit = args.number("limit");
    let missing: string[];
    do {
      const replies = await Promise.all(
        targets.map((target) => ask(target, 2_000)),
      );
      missing = targets.flatMap((target, at) =>
        replies[at] === "" ? [] : [`${target}: ${replies[at]}`]
      );
      if (missing.length > 0) await pause(50);
    } while (missing.length > 0 && performance.now() - start < limit);
    return { ms: performance.now() - start, missing: missing.join("; ") };
  },
});
await node.close();
