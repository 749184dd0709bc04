import { carelessProgram } from "./cluster/careless_program.ts";
import { everyone } from "./cluster/everyone.ts";
import { fullMesh } from "./cluster/full_mesh.ts";
import { hostility } from "./cluster/hostility.ts";
import { throughput } from "./cluster/throughput.ts";
import type { Row } from "./runner.ts";

/** A cluster of processes on one machine. */
export const rows: readonly Row[] = [
  everyone,
  hostility,
  carelessProgram,
  fullMesh("memory"),
  fullMesh("tcp"),
  throughput,
];
