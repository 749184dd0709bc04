import { Node } from "@devts/node";
import { simulatedParts } from "@devts/node/testing";
import { v1 } from "@devts/protocol/v1";
import type { NodeId } from "@devts/routing";
import { heartbeat } from "@devts/routing/heartbeat";
import { peerRouter } from "@devts/routing/peer";
import { VirtualNetwork } from "@devts/routing/testing";
import {
  ConnectionError,
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";
import { names } from "../../sim/cluster.ts";
import { simulated } from "../routing/simulated.ts";
import type { Measurement, Row } from "../runner.ts";
import { overNats } from "./nats.ts";

/** The first byte of a payload of events. */
const EVENTS = 1;
/** How long a message takes, in ms. */
const LATENCY = 5;
/** In which a cluster is complete, and knows who handles what, in ms. */
const FORMING = 60_000;
const LEARNING = 5_000;

/** Whole nodes in virtual time, each linked to each. */
class Cluster {
  readonly network = new VirtualNetwork({ latency: LATENCY });
  readonly nodes = new Map<NodeId, Node>();
  /** Messages with events that were handed to a connection. */
  messages = 0;

  static async open(
    count: number,
    prepare: (node: Node, at: number) => void,
  ): Promise<Cluster> {
    const cluster = new Cluster();
    const { network, nodes } = cluster;
    for (const [at, id] of names(count).entries()) {
      network.machine(id, {
        connectionError: ConnectionError,
        start: (machine) => {
          const node = new Node({
            ...simulatedParts(machine),
            router: peerRouter(),
            membership: heartbeat(),
            transport: cluster.#counting(machine.transport),
          });
          nodes.set(id, node);
          prepare(node, at);
          node.listen(`virtual://${id}`);
          if (at > 0) node.join("virtual://n0");
        },
      });
    }
    await network.clock.passUntil(
      () =>
        [...nodes.values()].every(({ members }) => members.size === count - 1),
      FORMING,
    );
    await network.clock.pass(LEARNING);
    cluster.messages = 0;
    return cluster;
  }

  node(at: number): Node {
    const node = this.nodes.get(`n${at}`);
    if (node === undefined) throw new RangeError(`There is no node ${at}`);
    return node;
  }

  #counting(transport: Transport): Transport {
    return wrapTransport(transport, {
      connection: (connection) =>
        wrapConnection(connection, {
          send: (message) => {
            if (message[v1().headerSize] === EVENTS) this.messages++;
            return connection.send(message);
          },
        }),
    });
  }
}

/** An event that few handle travels to those alone. */
const few: Row = {
  what: "an event of 1 of 100 nodes, of which 3 handle it, peerRouter()",
  target: "3 payload messages",
  async measure(): Promise<Measurement> {
    let heard = 0;
    const cluster = await Cluster.open(100, (node, at) => {
      node.on(at < 40 || at > 42 ? "usual" : "rare", () => heard++);
    });
    const { nodes } = await cluster.node(0).emit("rare", { a: 1 });
    await cluster.network.clock.pass(1_000);
    return {
      figure: `${cluster.messages} payload messages, handled by ${heard}`,
      held: cluster.messages === 3 && heard === 3 && nodes === 3,
    };
  },
};

/** A request that its target does not handle. */
const unhandled: Row = {
  what: "a request to a name that nobody handles, peerRouter()",
  target: "fails in at most 2 round trips",
  async measure(): Promise<Measurement> {
    const cluster = await Cluster.open(2, () => {});
    const { clock } = cluster.network;
    const start = clock.now();
    let reason = "";
    const failed = cluster.node(0).request("n1", "nobody").catch((error) => {
      reason = error.reason;
    });
    await clock.settle(failed);
    const trips = (clock.now() - start) / (2 * LATENCY);
    return {
      figure: `${trips} round trips ("${reason}")`,
      held: trips <= 2 && reason === "unhandled",
    };
  },
};

/** Members of a group share the work. */
const even: Row = {
  what: "a group of 8 members, 3 senders, 12,000 events, peerRouter()",
  target: "each event handled once; load even within 10 %",
  async measure({ short }): Promise<Measurement> {
    const members = 8;
    const senders = 3;
    const rounds = short ? 500 : 4_000;
    const loads = Array.from({ length: members }, () => 0);
    const cluster = await Cluster.open(members + senders, (node, at) => {
      if (at >= members) return;
      node.on("job", () => loads[at] = (loads[at] ?? 0) + 1, {
        group: "workers",
      });
    });
    for (let round = 0; round < rounds; round++) {
      for (let at = 0; at < senders; at++) {
        cluster.node(members + at).emit("job", round);
      }
      if (round % 100 === 0) await cluster.network.clock.pass(10);
    }
    await cluster.network.clock.pass(5_000);
    const handled = loads.reduce((sum, load) => sum + load, 0);
    const mean = handled / members;
    const most = Math.max(...loads.map((load) => Math.abs(load / mean - 1)));
    return {
      figure: `${handled} of ${rounds * senders} events handled, ${
        (100 * most).toFixed(1)
      } % from even`,
      held: handled === rounds * senders && most <= 0.1,
    };
  },
};

/** Who gets an event, how often, and in which order. */
export const rows: readonly Row[] = [
  few,
  unhandled,
  even,
  ...["peer", "hop", "path", "map", "gossip"].map((router) =>
    simulated({
      what:
        `order per sender across emit, send and groups, random graphs, ${router}Router()`,
      target:
        "0 violations; each event handled as often as it should be, or told as lost",
      scenario: "messages",
      router,
      membership: "heartbeat",
      seeds: [1_000, 15],
    })
  ),
  overNats,
];
