import { Child } from "../../../bench/child.ts";
import { freePort, startBroker } from "../../../bench/peers/broker.ts";
import {
  installPackages,
  installServer,
  NODE,
} from "../../../bench/peers/install.ts";
import type { Measurement, Row } from "../runner.ts";
import { type Compared, IN_SHORT, inTurn, reaches, start } from "./shared.ts";

const KEYS = 20_000;
/** Writes that wait for a replica at the same time. */
const UNDER_WAY = 256;
/** How they are divided between connections to Redis: the best one counts. */
const WAYS = [
  { clients: 1, batch: 256 },
  { clients: 4, batch: 64 },
  { clients: 8, batch: 32 },
];
/** Changes in one transaction of Yjs: the best number counts. */
const BATCHES = [1, 100];
const UNDER_NODE = {
  runtime: NODE,
  flags: ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"],
};
const PEERS = new URL("../../../bench/peers/", import.meta.url);

/** Writes that another process has acknowledged, beside Redis. */
const besideRedis: Row = {
  what:
    `writes of a replicated map that one other node has acknowledged, ${UNDER_WAY} at a time, beside Redis with one replica and WAIT 1`,
  target: `ahead of Redis ${IN_SHORT}`,
  async measure({ short, progress }) {
    const server = await installed(() => installServer("redis-server"));
    if (typeof server !== "string") return server;
    const count = short ? 60_000 : 300_000;
    await using stack = new AsyncDisposableStack();
    const [writer, other] = [stack.use(start()), stack.use(start())];
    const { address } = await listening(other);
    await writer.ask("join", { address });
    const port = await redisWithReplica(server, stack);
    const redis = stack.use(program("store_redis.ts"));
    await redis.ask("connect", { port });
    const own = { count, keys: KEYS, clients: UNDER_WAY };
    const ways = WAYS.map((way) => ({ ...way, count, keys: KEYS }));
    // The runtimes compile while they run.
    for (const way of ways) await redis.ask("set", way);
    for (const _ of ways) await writer.ask("copied", own);
    const compared: Compared[] = [];
    for (const way of ways) {
      progress(`${way.clients} connections, ${way.batch} at a time`);
      compared.push(
        await inTurn(
          5,
          async () => (await redis.ask("set", way)).number("micros"),
          async () => (await writer.ask("copied", own)).number("micros"),
        ),
      );
    }
    return best(compared, "Redis", short);
  },
};

/** Writes that another process has, beside Yjs. */
const besideYjs: Row = {
  what:
    "writes of a replicated map at `memory` that another process has, beside a Y.Map over its WebSocket provider",
  target: "ahead of Yjs",
  async measure({ short, progress }) {
    const missing = await installed(() => Promise.resolve(""));
    if (typeof missing !== "string") return missing;
    const count = short ? 20_000 : 200_000;
    await using stack = new AsyncDisposableStack();
    const [writer, other] = [stack.use(start()), stack.use(start())];
    const { address } = await listening(other);
    await writer.ask("join", { address });
    const compared: Compared[] = [];
    for (const batch of BATCHES) {
      progress(`transactions of ${batch}`);
      await using pair = new AsyncDisposableStack();
      const port = await yjsServer(pair);
      const [one, two] = [
        pair.use(program("store_yjs.ts")),
        pair.use(program("store_yjs.ts")),
      ];
      for (const each of [one, two]) await each.ask("connect", { port });
      compared.push(
        await inTurn(
          short ? 3 : 5,
          async (number) => {
            const round = `round ${number}`;
            const seen = two.ask("seen", { round });
            const set = await one.ask("set", {
              count,
              keys: KEYS,
              batch,
              round,
            });
            const end = (await seen).number("end");
            return (end - set.number("start")) * 1_000 / count;
          },
          async () =>
            (await writer.ask("set", { count, keys: KEYS })).number("micros"),
        ),
      );
    }
    // Far ahead: the short form asks for all of it.
    return best(compared, "Yjs", false);
  },
};

/** Replicated maps beside what others offer. */
export const beside: readonly Row[] = [besideRedis, besideYjs];

/** Installs what a peer needs; what the row says where that fails. */
async function installed(
  server: () => Promise<string>,
): Promise<string | Measurement> {
  try {
    await installPackages();
    return await server();
  } catch (error) {
    return { figure: `not measured: ${error}`, held: false, skipped: true };
  }
}

/** What the fastest way of the other system comes to. */
function best(
  compared: readonly Compared[],
  name: string,
  short: boolean,
): Measurement {
  const [fastest] = [...compared].sort((a, b) => a.one - b.one);
  if (fastest === undefined) throw new Error("Nothing was measured");
  const { one, other, ratio } = fastest;
  return {
    figure: `${rate(other)}, ${name} ${rate(one)} at its best; ratio ${
      ratio.toFixed(2)
    }`,
    held: reaches(ratio, 1, short),
  };
}

function rate(micros: number): string {
  return `${Math.round(1_000_000 / micros).toLocaleString("en")}/s`;
}

function program(name: string): Child {
  return new Child(new URL(`programs/${name}`, PEERS), UNDER_NODE);
}

async function listening(node: Child): Promise<{ address: string }> {
  return { address: (await node.ask("listen")).text("address") };
}

async function redisWithReplica(
  command: string,
  stack: AsyncDisposableStack,
): Promise<number> {
  const [port, replica] = [freePort(), freePort()];
  for (const args of [[], ["--replicaof", "127.0.0.1", `${port}`]]) {
    const own = args.length === 0 ? port : replica;
    await startBroker(stack, {
      command,
      args: [
        ...["--bind", "127.0.0.1", "--port", `${own}`],
        ...["--save", "", "--appendonly", "no", ...args],
        ...["--dir", await folder(stack)],
      ],
      log: "stdout",
      ready: /Ready to accept connections/,
    });
  }
  return port;
}

/** Where a replica keeps what it is sent first. */
async function folder(stack: AsyncDisposableStack): Promise<string> {
  const path = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(path, { recursive: true }));
  return path;
}

async function yjsServer(stack: AsyncDisposableStack): Promise<number> {
  const port = freePort();
  const file = new URL("node_modules/y-websocket/bin/server.cjs", PEERS);
  await startBroker(stack, {
    command: "/usr/bin/env",
    args: [
      ...["HOST=127.0.0.1", `PORT=${port}`],
      ...[...NODE, file.pathname],
    ],
    log: "stdout",
    ready: /running at/,
  });
  return port;
}
