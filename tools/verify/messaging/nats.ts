import { createNode } from "@devts/devts";
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
  for (const [at, id] of names(NODES).entries()) {
    const router = natsRouter({ servers, cluster });
    const node = createNode<Events>({ cluster, id, router, logger: QUIET });
    stack.use(node);
    running.push(handling(node, at));
    await node.join();
  }
  const members = NODES - 1;
  const handles = ["all", "some.one", "job"];
  await Promise.all(
    running.map(({ node }) => node.ready({ members, handles })),
  );
  await pause(1_500);
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
