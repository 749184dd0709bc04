import { median } from "../../../bench/figures.ts";
import { paired, SPEED } from "../paired.ts";
import { simulated } from "../routing/simulated.ts";
import type { Measurement, Row } from "../runner.ts";
import { startCluster } from "./deliver_nodes.ts";
import { workers } from "./deliver_workers.ts";

const TRUE =
  "0 acknowledged and missing, 0 handled twice by one start of a node, each outcome true";

const whole = simulated({
  what: "deliver, whole nodes with loss, partitions, stalls and crashes",
  target: TRUE,
  scenario: "deliveries",
  router: "peer",
  membership: "heartbeat",
  seeds: [10_000, 300],
});

const relayed = ["hop", "path", "map", "gossip"].map((router) =>
  simulated({
    what:
      `deliver in a ring of nodes that relay, the same faults, ${router}Router()`,
    target: TRUE,
    scenario: "deliveries",
    router,
    membership: "swim",
    seeds: [1_000, 25],
  })
);

/** Nobody waits for who has left: calls are made in the very moment, too. */
const leaving = (["peer", "hop"] as const).map((router) =>
  simulated({
    what: `deliver while nodes drain or close and come back, ${router}Router()`,
    target: router === "peer"
      ? `${TRUE}; calls to all settle within 3 s, and miss nobody who had not left`
      : TRUE,
    scenario: "leaving",
    router,
    membership: "swim",
    seeds: [1_000, 30],
  })
);

/** Deliveries against requests, both from one process to three. */
const rate: Row = {
  what: "deliver to 3 nodes, 64 in flight, against request to one of them",
  target: "at least 0.4 × request",
  async measure({ short, progress }): Promise<Measurement> {
    await using processes = new AsyncDisposableStack();
    const node = await startCluster(processes, 3);
    const ms = short ? 300 : 1_000;
    const [requests, delivered]: [number[], number[]] = [[], []];
    const ratios: number[] = [];
    // They take turns; the first ones warm up.
    for (let turn = -2; turn < (short ? 7 : 15); turn++) {
      const request = (await node.ask("request", { ms })).number("rate");
      const deliver = (await node.ask("deliver", { ms })).number("rate");
      if (turn < 0) continue;
      requests.push(request);
      delivered.push(deliver);
      ratios.push(deliver / request);
      progress(`${(deliver / request).toFixed(2)} ×`);
    }
    const ratio = median(ratios);
    return {
      figure: `${ratio.toFixed(2)} ×: ${Math.round(median(delivered))}/s, and ${
        Math.round(median(requests))
      } requests/s`,
      held: ratio >= 0.4,
    };
  },
};

/** Requests whose replies never come leave nothing behind. */
const lost: Row = {
  what: "100,000 requests whose replies are lost",
  target:
    "all fail by their deadline, and so do as many after them; heap back within 5 MB",
  async measure({ progress }): Promise<Measurement> {
    await using processes = new AsyncDisposableStack();
    const node = await startCluster(processes, 1);
    // As many as may wait: what the first ones leave behind would be in the way.
    const count = 100_000;
    const lose = async (): Promise<number> =>
      (await node.ask("lose", { count })).number("timeouts");
    const heap = async (): Promise<number> =>
      (await node.ask("heap")).number("bytes");
    progress("the first ones warm up");
    const first = await lose();
    const before = await heap();
    const second = await lose();
    const grown = (await heap() - before) / 1e6;
    return {
      figure: `${first} and then ${second} timed out, heap ${
        grown.toFixed(1)
      } MB more`,
      held: first === count && second === count && grown <= 5,
    };
  },
};

/** Deliveries that are acknowledged. */
export const deliver: readonly Row[] = [
  whole,
  ...relayed,
  ...leaving,
  workers,
  rate,
  lost,
  paired(SPEED),
];
