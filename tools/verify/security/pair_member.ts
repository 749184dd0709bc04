/**
 * One of two nodes of a cluster with a secret, which says what it sees of the other:
 * `pair_member.ts ID SCHEME SECRET [IDLE TIME]`. SIGTERM closes its node.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { combine } from "@devts/transport";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import { now, pause, serve, silent, until } from "../../../bench/serve.ts";

interface Events {
  number(number: number): void;
  echo(number: number): number;
}

const [id = "", scheme = "", secret = "", idle = ""] = Deno.args;
const idleTimeout = idle === "" ? {} : { idleTimeout: Number(idle) };
const node = createNode<Events>({
  cluster: "verify",
  id,
  secret,
  transport: combine(tcp(), quic(idleTimeout)),
  logger: silent,
});
/** Leaves of the other one: why, and when. */
const leaves: { readonly reason: string; readonly at: number }[] = [];
let received = 0;
let emitting = true;
node.on("number", () => {
  received++;
});
node.on("echo", (number) => number);
node.onSystem("leave", ({ reason }) => {
  leaves.push({ reason, at: now() });
});
Deno.addSignalListener("SIGTERM", async () => {
  emitting = false;
  await node.close();
  Deno.exit();
});

async function emit(interval: number): Promise<void> {
  for (let number = 0; emitting; number++) {
    await node.emit("number", number);
    await pause(interval);
  }
}

await serve({
  listen: async (args) => ({
    address: await node.listen(`${scheme}://${args.text("host")}:0`),
  }),
  join: async (args) => ({ found: await node.join(args.text("address")) }),
  emit: (args) => {
    emit(args.number("interval"));
    return {};
  },
  // Waits for the other one to be a member that answers.
  meet: async (args) => {
    const end = now() + args.number("limit");
    await until(() => node.members.size > 0, args.number("limit"));
    for (const other of node.members.keys()) {
      const timeout = Math.max(1, Math.round(end - now()));
      const reply = await node.request(other, "echo", 1, { timeout })
        .catch(() => 0);
      return { met: reply };
    }
    return { met: 0 };
  },
  // Waits for the other one to be gone.
  left: async (args) => {
    await until(() => leaves.length > 0, args.number("limit"));
    return leaves[0] ?? { reason: "it is still a member", at: 0 };
  },
  state: () => ({
    failed: leaves.filter(({ reason }) => reason === "failed").length,
    received,
  }),
});
await node.close();
Deno.exit();
