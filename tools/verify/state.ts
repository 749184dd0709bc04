import type { Row } from "./runner.ts";
import { storage } from "./state/cut.ts";
import { laws } from "./state/laws.ts";
import { size } from "./state/size.ts";
import { throughput } from "./state/throughput.ts";
import { transfer } from "./state/transfer.ts";

/** Replicated state: how fast it is, what it takes, and what it survives. */
export const rows: readonly Row[] = [
  laws,
  ...storage,
  ...size,
  ...throughput,
  transfer,
];
