/**
 * A program that publishes by devts, or subscribes, as a user would write it.
 * `devts.ts CARRIER SECRET` encrypts by TLS or QUIC.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { quic } from "@devts/transport/quic";
import { Arrivals } from "./arrivals.ts";
import {
  type BytesKind,
  type Item,
  itemOf,
  kindOf,
  SIZES,
  stamp,
  template,
} from "./payload.ts";
import { REQUEST_SIZE, requests } from "./requests.ts";
import { cpuTime, now, quiet, serve, until } from "./serve.ts";

interface Events {
  object(item: Item): void;
  bytes(bytes: Uint8Array): void;
  echo(bytes: Uint8Array): Uint8Array;
}

const [carrier = "tcp", secret = ""] = Deno.args;
const isQuic = carrier === "quic";
const node = createNode<Events>({
  cluster: "bench",
  logger: quiet,
  ...(isQuic && { transport: quic() }),
  ...(secret !== "" && { secret }),
});
const arrivals = new Arrivals({ cpuTime });
let server = "";
node.on("object", (item) => arrivals.addObject(item));
node.on("bytes", (bytes) => arrivals.addBytes(bytes));
node.on("echo", (bytes) => bytes);

async function publishObjects(first: number, end: number): Promise<void> {
  for (let sequence = first; sequence < end; sequence++) {
    await node.emit("object", itemOf(sequence));
  }
}

async function publishBytes(
  kind: BytesKind,
  first: number,
  end: number,
): Promise<void> {
  const bytes = template(SIZES[kind]);
  for (let sequence = first; sequence < end; sequence++) {
    // It has encoded the bytes when it returns.
    await node.emit("bytes", stamp(bytes, sequence));
  }
}

/** Resolves once all that was emitted has been handled: replies come after it. */
async function flush(): Promise<void> {
  const bytes = template(REQUEST_SIZE);
  await Promise.all(
    Array.from(node.members.keys(), (id) => node.request(id, "echo", bytes)),
  );
}

await serve({
  listen: async () => ({
    id: node.id,
    address: await node.listen(`${isQuic ? "quic" : "tcp"}://127.0.0.1:0`),
  }),
  join: async (args) => ({ joined: await node.join(args.text("address")) }),
  linked: async (args) => {
    server = args.text("server");
    await until(() => node.members.size === args.number("nodes"), 10_000);
    return { nodes: node.members.size };
  },
  expect: (args) =>
    arrivals.expect(
      kindOf(args.text("kind")),
      args.number("first"),
      args.number("count"),
    ),
  arrived: () => arrivals.arrived(),
  publish: async (args) => {
    const startedAt = now();
    const cpu = cpuTime();
    const kind = kindOf(args.text("kind"));
    const first = args.number("first");
    const end = first + args.number("count");
    if (kind === "object128") await publishObjects(first, end);
    else await publishBytes(kind, first, end);
    await flush();
    return { startedAt, cpu: cpuTime() - cpu };
  },
  request: (args) =>
    requests({
      count: args.number("count"),
      inFlight: args.number("inFlight"),
      cpuTime,
      request: (bytes) => node.request(server, "echo", bytes),
    }),
});
await node.close();
