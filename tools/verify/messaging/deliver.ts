import { simulated } from "../routing/simulated.ts";
import type { Row } from "../runner.ts";

const whole = simulated({
  what: "deliver, whole nodes with loss, partitions, stalls and crashes",
  target:
    "0 acknowledged and missing, 0 handled twice by one start of a node, each outcome true",
  scenario: "deliveries",
  router: "peer",
  membership: "heartbeat",
  seeds: [10_000, 300],
});

const relayed = simulated({
  what: "deliver over mapRouter(), with the same faults",
  target:
    "0 acknowledged and missing, 0 handled twice by one start of a node, each outcome true",
  scenario: "deliveries",
  router: "map",
  membership: "swim",
  seeds: [1_000, 50],
});

/** Deliveries that are acknowledged. */
export const deliver: readonly Row[] = [whole, relayed];
