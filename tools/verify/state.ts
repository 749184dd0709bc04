import type { Row } from "./runner.ts";
import { throughput } from "./state/throughput.ts";

/** Replicated state: how fast it is, what it takes, and what it survives. */
export const rows: readonly Row[] = [
  ...throughput,
];
