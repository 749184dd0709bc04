/**
 * A live node that others attack; run with `--expose-gc`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { collectGarbage, pause, serve, until } from "../../../bench/serve.ts";

interface Events {
  echo(value: unknown): unknown;
}

let uncaught = 0;
for (const type of ["error", "unhandledrejection"]) {
  globalThis.addEventListener(type, (event) => {
    event.preventDefault();
    uncaught++;
  });
}

let logged = 0;
const count = (): void => void logged++;
const node = createNode<Events>({
  // All attacks come from this machine, under a few names: none is to be turned away.
  limits: { banAfter: 2 ** 20 },
  cluster: "verify",
  id: "target",
  logger: { debug: () => {}, info: () => {}, warn: count, error: count },
});
node.on("echo", (value) => value);

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  // Waits until only so many other members are left, then frees what can be freed.
  settle: async (args) => {
    await until(() => node.members.size <= args.number("members"), 30_000);
    for (let i = 0; i < 10; i++) {
      collectGarbage();
      await pause(100);
    }
    return { members: node.members.size };
  },
  report: () => {
    const { limits: _, ...counters } = node.counters;
    return { uncaught, logged, ...counters };
  },
});
await node.close();
