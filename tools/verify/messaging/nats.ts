import { createNode, type Node } from "@devts/devts";
import { natsRouter } from "@devts/routing/nats";
import { seededRandom } from "@devts/routing/testing";
import { startBroker } from "../../../bench/peers/broker.ts";
import { installServer } from "../../../bench/peers/install.ts";
import { names } from "../../sim/cluster.ts";
import {
  anyCall,
  type Events,
  Expected,
  handling,
  type Running,
} from "../../sim/messages.ts";
import { NatsServer } from "../routing/nats_server.ts";
import type { Measurement, MeasureOptions, Row } from "../runner.ts";

/** An event that nobody handles goes to those of whom a node does not know that yet. */
interface Known extends Events {
  nobody(): void;
}

const NODES = 6;
/** Events of all nodes in one round, and in which time they are sent, in ms. */
const EVENTS = 600;
const LENGTH = 300;
/** In which the last event of a round arrives, in ms. */
const LIMIT = 10_000;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** The order of a sender where a server is between the nodes: real programs, real time. */
export const overNats: Row = {
  what: "order per sender across emit, send and groups, natsRouter()",
  target: "0 violations; each event handled as often as it should be",
  async measure({ short, progress }: MeasureOptions): Promise<Measurement> {
    const why = await NatsServer.unavailable();
    if (why !== null) return { figure: why, held: false, skipped: true };
    await using stack = new AsyncDisposableStack();
    const { ready: [, port = ""] } = await startBroker(stack, {
      command: await installServer("nats-server"),
      args: ["-a", "127.0.0.1", "-p", "-1"],
      log: "stderr",
      ready: /client connections on 127\.0\.0\.1:(\d+)[^]*Server is ready/,
    });
    const rounds = short ? 3 : 50;
    for (let round = 1; round <= rounds; round++) {
      await one(`nats://127.0.0.1:${port}`, round);
      progress(`${round} of ${rounds} rounds`);
    }
    return { figure: `${rounds} rounds of ${EVENTS} events`, held: true };
  },
};

/** One round, with nodes of its own. */
async function one(servers: string, round: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const cluster = `round-${round}`;
  const running: Running[] = [];
  const nodes: Node<Known>[] = [];
  for (const [at, id] of names(NODES).entries()) {
    const router = natsRouter({ servers, cluster });
    const node = createNode<Known>({ cluster, id, router, logger: QUIET });
    stack.use(node);
    running.push(handling(node, at));
    nodes.push(node);
    await node.join();
  }
  await Promise.all(nodes.map(know));
  const expected = new Expected(running);
  const random = seededRandom(round);
  const calls = Array.from({ length: EVENTS }, () => anyCall(LENGTH, random));
  calls.sort((a, b) => a.at - b.at);
  const start = performance.now();
  for (const call of calls) {
    const early = call.at - (performance.now() - start);
    if (early > 0) await pause(early);
    expected.call(call);
  }
  for (let waited = 0; expected.missing > 0 && waited < LIMIT; waited += 50) {
    await pause(50);
  }
  await pause(100);
  expected.check(`in round ${round}`);
}

/** Resolves once a node knows all others, and what they handle. */
async function know(node: Node<Known>): Promise<void> {
  await node.ready({ members: NODES - 1 });
  const end = performance.now() + LIMIT;
  while ((await node.emit("nobody")).nodes > 0) {
    if (performance.now() > end) {
      throw new Error(`"${node.id}" does not know what the others handle`);
    }
    await pause(20);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
