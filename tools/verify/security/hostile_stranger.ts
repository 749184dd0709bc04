import type { Row } from "../runner.ts";
import { rowOf } from "./hostile/attack.ts";
import { strangerAttacks } from "./hostile/stranger_attacks.ts";

/** Whoever is not in the cluster: rows 1 to 14 of the catalogue. */
export const hostileStranger: readonly Row[] = [
  ...strangerAttacks.map((attack) =>
    rowOf("hostile stranger", attack, { memory: 64, latency: 250 })
  ),
];
