/**
 * A node that others attack: `victim.ts ID [SECRET [BAN_AFTER [HANDSHAKE_TIME]]]`; run with `--expose-gc`.
 *
 * @module
 */

import { createNode, type RequestError } from "@devts/devts";
import { compress } from "@devts/plugins/compress";
import { combine } from "@devts/transport";
import { quic } from "@devts/transport/quic";
import { tcp } from "@devts/transport/tcp";
import {
  collectGarbage,
  cpuTime,
  pause,
  serve,
  until,
} from "../../../../bench/serve.ts";
import type { Events } from "./events.ts";
import { Service } from "./scene.ts";

const [id = "", secret = "", banAfter = "10", handshakeTime = "5000"] =
  Deno.args;

let uncaught = 0;
for (const type of ["error", "unhandledrejection"]) {
  globalThis.addEventListener(type, (event) => {
    event.preventDefault();
    uncaught++;
  });
}

const node = createNode<Events>({
  cluster: "verify",
  id,
  transport: secret === "" ? tcp() : combine(tcp(), quic()),
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  linkPlugins: [compress()],
  limits: {
    banAfter: Number(banAfter),
    handshakeTime: Number(handshakeTime),
  },
  ...secret === "" ? { insecure: true } : { secret: fromHex(secret) },
});
const left = new Set<string>();
const senders = new Map<string, number>();
let asked = 0;
let failed = 0;
let emitting = false;
let emitted = 0;
node.onSystem("leave", ({ member }) => left.add(member.id));
const conflicts: string[] = [];
node.onSystem("conflict", ({ id }) => conflicts.push(id));
node.on("echo", (value) => value);
node.on("count", (_, { from }) => {
  senders.set(from, (senders.get(from) ?? 0) + 1);
});
node.on("blob", () => {});
node.on("throws", () => {
  throw new Error("as it should");
});
node.on("rejects", () => Promise.reject(new Error("as it should")));
node.on("hangs", () => new Promise<void>(() => {}));

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

await serve({
  listen: async (args) => ({
    address: await node.listen(args.text("address")),
  }),
  join: async (args) => ({ found: await node.join(args.text("address")) }),
  members: async (args) => {
    await until(
      () => node.members.size >= args.number("count"),
      args.number("limit"),
    );
    return { count: node.members.size };
  },
  settle: async () => {
    for (let i = 0; i < 5; i++) {
      collectGarbage();
      await pause(50);
    }
    return {};
  },
  // Waits until a counter has grown to so much; says what it is.
  counter: async (args) => {
    const name = args.text("name");
    await until(
      () => (counters()[name] ?? 0) >= args.number("count"),
      args.number("limit"),
    );
    return { count: counters()[name] ?? -1 };
  },
  report: () => ({
    uncaught,
    emitted,
    asked,
    failed,
    members: node.members.size,
    left: [...left].join(),
    cpu: cpuTime(),
    ...counters(),
  }),
  has: (args) => ({ member: node.members.has(args.text("id")) ? 1 : 0 }),
  // Waits until a node is no member.
  gone: async (args) => {
    const id = args.text("id");
    await until(() => !node.members.has(id), args.number("limit"));
    return { member: node.members.has(id) ? 1 : 0 };
  },
  // Where a member says that it can be dialled.
  told: (args) => ({
    addresses: node.members.get(args.text("of"))?.addresses.join() ?? "",
  }),
  conflicts: (args) => ({
    count: conflicts.filter((id) => id === args.text("id")).length,
  }),
  counted: (args) => ({ count: senders.get(args.text("from")) ?? 0 }),
  // Requests one thing after the other for so long; says how it was served.
  request: async (args) => {
    const service = new Service(node, args.text("to"));
    await pause(args.number("ms"));
    return await service.stop();
  },
  // Requests many things at a time for so long.
  busy: async (args) => {
    const to = args.text("to");
    const services = Array.from({ length: 32 }, () => new Service(node, to));
    await pause(args.number("ms"));
    await Promise.all(services.map((service) => service.stop()));
    return {};
  },
  // Sends blobs of 64 KiB to everyone for so long, as fast as whoever is not slow takes them.
  flood: async (args) => {
    const end = performance.now() + args.number("ms");
    emitting = true;
    while (performance.now() < end && emitting) {
      for (let i = 0; i < 16; i++) {
        void node.emit("blob", new Uint8Array(60_000));
      }
      emitted += 16;
      await pause(10);
    }
    return { emitted };
  },
  // Requests so much of a node, all at once, and waits for what becomes of it.
  ask: async (args) => {
    const to = args.text("to");
    const requests = Array.from(
      { length: args.number("count") },
      (_, i) =>
        node.request(to, "echo", i, { timeout: args.number("timeout") }),
    );
    asked += requests.length;
    const results = await Promise.allSettled(requests);
    const ends = { failed: 0, timeout: 0, limit: 0, lost: 0, other: 0 };
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      const { reason } = result.reason as Partial<RequestError>;
      ends.failed++;
      if (reason === "timeout" || reason === "limit" || reason === "lost") {
        ends[reason]++;
      } else ends.other++;
    }
    failed += ends.failed;
    return ends;
  },
});
await node.close();

function counters(): Record<string, number> {
  const { limits, ...own } = node.counters;
  const named = Object.entries(limits).map(([name, count]) =>
    [`limits.${name}`, count] as const
  );
  return { ...own, ...Object.fromEntries(named) };
}
