import { paired, SPEED } from "./paired.ts";
import { bridged } from "./routing/bridged.ts";
import { stopped, throttled } from "./routing/held_up.ts";
import { hostileNeighbour } from "./routing/hostile.ts";
import { natsOutage } from "./routing/outage.ts";
import { rollingRestart } from "./routing/rolling.ts";
import { sameSeed, simulated, simulatorSpeed } from "./routing/simulated.ts";
import { together } from "./together.ts";
import type { Row } from "./runner.ts";

const RELAYING = ["hop", "path", "map", "gossip"];

/** Routing and membership, under virtual time and in real networks. */
export const rows: readonly Row[] = [
  simulated({
    what: "a node of 50 crashes at 10 % loss, swim()",
    target: "known to all: p99 at most 15 s, at most 25 s; no false death",
    scenario: "crash",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 20],
  }),
  simulated({
    what: "50 nodes join at 10 % loss, swim()",
    target: "a full view everywhere: p99 at most 5 s",
    scenario: "join",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 20],
  }),
  simulated({
    what: "loops that stall for 1 s at 10 % loss, swim()",
    target: "no false death in 100 node-hours, an hour for each seed",
    scenario: "stalls",
    router: "peer",
    membership: "swim",
    seeds: [100, 10],
  }),
  simulated({
    what: "partitions of 60 s, full, asymmetric and bridge, swim()",
    target: "one view at most 35 s after the heal",
    scenario: "partition",
    router: "peer",
    membership: "swim",
    seeds: [1_000, 10],
  }),
  ...RELAYING.map((router) =>
    simulated({
      what: `broadcasts on random connected graphs, ${router}Router()`,
      target: "each reaches every other node once, within the documented cost",
      scenario: "graphs",
      router,
      membership: "heartbeat",
      seeds: [1_000, 20],
    })
  ),
  simulated({
    what: "1,000 nodes broadcast, then 30 % crash at once, gossipRouter()",
    target:
      "at most 1.1 payloads for each node; the first broadcast reaches all who are connected",
    scenario: "thousand",
    router: "gossip",
    membership: "heartbeat",
    seeds: [5, 1],
  }),
  simulated({
    what: "200 nodes whose links change 20 times a second, mapRouter()",
    target: "no loop; nothing lost in silence between those who stay connected",
    scenario: "churn",
    router: "map",
    membership: "heartbeat",
    seeds: [20, 1],
  }),
  ...["peer", ...RELAYING].map((router) =>
    simulated({
      what:
        `whole nodes under crashes, stalls, cuts, loss and clocks that are set, ${router}Router(), swim()`,
      target: "every event once and in order after the faults",
      scenario: "nodes",
      router,
      membership: "swim",
      seeds: [1_000, 10],
    })
  ),
  ...["peer", ...RELAYING].map(hostileNeighbour),
  sameSeed,
  simulatorSpeed,
  ...together([...["peer", ...RELAYING, "nats"].map(bridged), natsOutage]),
  rollingRestart,
  throttled,
  stopped,
  paired(SPEED),
];
