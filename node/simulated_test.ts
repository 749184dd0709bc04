/** Whole nodes and connections over a simulated network. */
import { assert, assertEquals } from "@std/assert";
import { heartbeat } from "@devts/routing/heartbeat";
import {
  sealedAsync,
  seededRandom,
  type VirtualMachine,
  VirtualNetwork,
  type VirtualTransport,
} from "@devts/routing/testing";
import {
  ConnectionError,
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { testTransport } from "@devts/transport/testing";
import { Node } from "./node.ts";
import { simulatedParts } from "./_sim_parts.ts";
import { Log } from "./_support_test.ts";

// -- The transport --

testTransport("VirtualMachine.transport", {
  transport: () => {
    const network = new VirtualNetwork({ latency: 0 });
    const machine = network.machine("ada", {
      connectionError: ConnectionError,
    });
    return driven(network, machine.transport);
  },
  address: "virtual://0",
});

/** A transport whose time passes by itself whenever it is used. */
function driven(
  network: VirtualNetwork,
  transport: VirtualTransport,
): Transport {
  let isDriving = false;
  async function drive(): Promise<void> {
    isDriving = true;
    do await network.clock.pass(1); while (network.clock.pending > 0);
    isDriving = false;
  }
  function driving<T>(result: T): T {
    if (!isDriving) drive();
    return result;
  }
  return wrapTransport(transport, {
    connect: (address, options) => driving(transport.connect(address, options)),
    connection: (connection) =>
      wrapConnection(connection, {
        send: (message) => driving(connection.send(message)),
        receive: (options) => driving(connection.receive(options)),
        close: (reason) => driving(connection.close(reason)),
      }),
  });
}

// -- Whole nodes --

interface Chat {
  say(text: string): void;
  double(number: number): number;
}

interface Running {
  readonly node: Node<Chat>;
  readonly heard: string[];
}

/** Nodes on machines of their own, that join the first; a restart replaces a node. */
class Cluster {
  readonly network: VirtualNetwork;
  readonly running = new Map<string, Running>();

  constructor(seed: number, ids: readonly string[]) {
    this.network = new VirtualNetwork({
      seed,
      latency: 5,
      jitter: 10,
      loss: 0.02,
      dialTimeout: 5_000,
      record: 100,
    });
    for (const id of ids) {
      this.network.machine(id, {
        connectionError: ConnectionError,
        start: (machine) => {
          this.running.set(id, boot(machine, ids[0] ?? id));
        },
      });
    }
  }

  get(id: string): Running {
    const running = this.running.get(id);
    assert(running);
    return running;
  }

  async whole(): Promise<number> {
    const others = this.running.size - 1;
    return await this.network.clock.passUntil(() =>
      [...this.running.values()].every(({ node }) =>
        node.members.size === others
      )
    );
  }
}

function boot(machine: VirtualMachine, entry: string): Running {
  const node = new Node<Chat>({
    ...simulatedParts(machine),
    membership: heartbeat(),
    logger: new Log(),
  });
  const heard: string[] = [];
  node.on("say", (text) => {
    heard.push(text);
  });
  node.on("double", (number) => 2 * number);
  node.listen(`virtual://${machine.id}`);
  if (machine.id !== entry) node.join(`virtual://${entry}`);
  return { node, heard };
}

const IDS = ["ada", "bob", "cyd", "dan"];

Deno.test("Node meets the others over a simulated network, and talks to them", async () => {
  const cluster = new Cluster(1, IDS);
  const ms = await cluster.whole();
  assert(ms < 3_000, `${ms}`);
  const { clock } = cluster.network;
  cluster.get("bob").node.emit("say", "hello");
  await clock.pass(2_000);
  assertEquals(IDS.map((id) => cluster.get(id).heard.length), [1, 0, 1, 1]);
  const { node } = cluster.get("cyd");
  assertEquals(await clock.settle(node.request("dan", "double", 21)), 42);
});

Deno.test("Node is replaced by its restart after its machine crashed", async () => {
  for (const how of ["links", "silence"] as const) {
    const cluster = new Cluster(2, IDS);
    await cluster.whole();
    const { clock, machines } = cluster.network;
    const bob = machines.find(({ id }) => id === "bob");
    const before = cluster.get("ada").node.members.get("bob")?.incarnation ?? 0;
    bob?.crash(how);
    await clock.passUntil(() => !cluster.get("ada").node.members.has("bob"));
    bob?.restart();
    await cluster.whole();
    const after = cluster.get("ada").node.members.get("bob")?.incarnation ?? 0;
    assert(after > before, how);
    cluster.get("ada").node.emit("say", "welcome back");
    await clock.pass(2_000);
    assertEquals(cluster.get("bob").heard, ["welcome back"], how);
  }
});

Deno.test("Node finds the others again after a partition", async () => {
  const cluster = new Cluster(3, IDS);
  await cluster.whole();
  const { clock } = cluster.network;
  cluster.network.partition(["ada", "bob"], ["cyd", "dan"]);
  await clock.passUntil(() =>
    IDS.every((id) => cluster.get(id).node.members.size === 1)
  );
  cluster.network.healAll();
  await cluster.whole();
});

Deno.test("Node does the same for the same seed, and knows no other time and chance", async () => {
  const run = (seed: number) =>
    sealedAsync(async () => {
      const cluster = new Cluster(seed, IDS);
      cluster.network.play([
        { at: 2_000, do: "crash", node: "bob", how: "silence", for: 8_000 },
        { at: 3_000, do: "stall", node: "cyd", for: 2_500 },
        { at: 9_000, do: "cut", from: ["ada"], to: ["dan"], for: 7_000 },
      ]);
      await cluster.network.clock.pass(4_000);
      cluster.get("ada").node.emit("say", "hello");
      await cluster.network.clock.pass(30_000);
      return [cluster.network.hash, ...cluster.network.trace];
    }, { random: seededRandom(seed) });
  const one = await run(1);
  assertEquals(await run(1), one);
  assert((await run(2))[0] !== one[0]);
});
