import { createNode, type Node } from "@devts/devts";
import { heartbeat } from "@devts/routing/heartbeat";
import type { Transport } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { tcp } from "@devts/transport/tcp";

interface Events {
  event(data: unknown): void;
  echo(data: unknown): unknown;
}

function make(id: string, transport: Transport): Node<Events> {
  return createNode<Events>({
    cluster: "bench",
    id,
    transport,
    membership: heartbeat(),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

const TRANSPORTS: readonly (readonly [string, () => Transport, string])[] = [
  ["memory()", memory, "memory://0"],
  ["tcp()", tcp, "tcp://127.0.0.1:0"],
];

const DATA: readonly (readonly [string, unknown])[] = [
  ["128 B bytes", new Uint8Array(128)],
  ["128 B object", { id: 12, tags: ["a", "b"], text: "x".repeat(90) }],
];

for (const [name, makeTransport, address] of TRANSPORTS) {
  for (const [what, data] of DATA) {
    Deno.bench(
      `Node.send(), 10,000 × ${what} over ${name}`,
      { group: what },
      async (b) => {
        const transport = makeTransport();
        await using one = make("one", transport);
        await using two = make("two", transport);
        await two.join(await one.listen(address));
        const { promise, resolve } = Promise.withResolvers<void>();
        let heard = 0;
        one.on("event", () => {
          if (++heard === 10_000) resolve();
        });
        b.start();
        for (let i = 0; i < 10_000; i++) await two.send("one", "event", data);
        await promise;
        b.end();
      },
    );
  }

  Deno.bench(
    `Node.request(), 100 in a row over ${name}`,
    { group: "request" },
    async (b) => {
      const transport = makeTransport();
      await using one = make("one", transport);
      await using two = make("two", transport);
      await two.join(await one.listen(address));
      one.on("echo", (data) => data);
      b.start();
      for (let i = 0; i < 100; i++) await two.request("one", "echo", i);
      b.end();
    },
  );
}
