import type { Row } from "./runner.ts";
import { beside } from "./state/beside.ts";
import { chaos } from "./state/chaos.ts";
import { storage } from "./state/cut.ts";
import { laws } from "./state/laws.ts";
import { naive } from "./state/naive.ts";
import { partitions } from "./state/partitions.ts";
import { size } from "./state/size.ts";
import { throughput } from "./state/throughput.ts";
import { transfers } from "./state/transfer.ts";
import { split } from "./state/split.ts";
import { setClock } from "./state/set_clock.ts";
import { wrongClock } from "./state/wrong_clock.ts";

/** Replicated state: how fast it is, what it takes, and what it survives. */
export const rows: readonly Row[] = [
  laws,
  ...storage,
  ...size,
  ...throughput,
  ...transfers,
  partitions,
  wrongClock,
  setClock,
  split,
  chaos,
  ...beside,
  naive,
];
