/**
 * A member of a cluster that emits numbered events, and checks those of others:
 * `member.ts ID`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { pause, quiet, serve, until } from "../../../bench/serve.ts";
import { Sequences } from "./sequences.ts";

interface Events {
  numbered(bytes: Uint8Array): void;
  hello(): void;
}

const SIZE = 128;

const [id = ""] = Deno.args;
const node = createNode<Events>({ cluster: "verify", id, logger: quiet });
const left = new Map<string, number>();
const sequences = new Sequences();
node.onSystem("leave", ({ member }) => left.set(member.id, Date.now()));
node.on("numbered", (bytes, { from }) => sequences.add(from, bytes));
node.on("hello", () => {});

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => ({ answered: await node.join(args.text("address")) }),
  // Waits until there is a link to so many others, and says how many there are.
  linked: async (args) => {
    const nodes = args.number("nodes");
    for (let i = 0; i < 1000; i++) {
      const outcome = await node.emit("hello");
      if (outcome.nodes === nodes && node.members.size === nodes) break;
      await pause(10);
    }
    return {
      nodes: (await node.emit("hello")).nodes,
      members: node.members.size,
    };
  },
  emit: async (args) => {
    const count = args.number("count");
    const round = args.number("round");
    let dropped = 0;
    for (let i = 0; i < count; i++) {
      const bytes = new Uint8Array(SIZE).fill(i);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, round);
      view.setUint32(4, i);
      dropped += (await node.emit("numbered", bytes)).dropped;
    }
    return { dropped };
  },
  // Waits until so many senders are through with a round, and says what was wrong.
  received: async (args) => {
    const round = args.number("round");
    const count = args.number("count");
    await until(
      () => sequences.complete(round, count) === args.number("senders"),
      60_000,
    );
    return {
      complete: sequences.complete(round, count),
      wrong: sequences.wrong,
    };
  },
  left: async (args) => {
    const other = args.text("id");
    await until(() => left.has(other), 10_000);
    return { at: left.get(other) ?? Infinity };
  },
});
await node.close();
