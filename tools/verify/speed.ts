import type { Row } from "./runner.ts";
import { allToAll } from "./speed/all_to_all.ts";
import { alternating } from "./speed/alternating.ts";
import { awaiting } from "./speed/awaiting.ts";
import { broadcasts } from "./speed/broadcasts.ts";
import { fanOut } from "./speed/fan_out.ts";
import { idleLink } from "./speed/idle_link.ts";
import { idleNode } from "./speed/idle_node.ts";
import { liveness } from "./speed/liveness.ts";
import { requests } from "./speed/requests.ts";
import { slowSubscriber } from "./speed/slow_subscriber.ts";

/** What everything costs, against raw TCP and other event systems in the same run. */
export const rows: readonly Row[] = [
  ...broadcasts,
  ...requests,
  ...allToAll,
  ...fanOut,
  ...idleNode,
  idleLink,
  ...alternating,
  ...slowSubscriber,
  liveness,
  awaiting,
];
