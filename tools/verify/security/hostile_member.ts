import type { Row } from "../runner.ts";
import { rowOf } from "./hostile/attack.ts";
import { memberAttacks } from "./hostile/member_attacks.ts";

/** Whoever is in the cluster and misbehaves: rows 15 to 27 of the catalogue. */
export const hostileMember: readonly Row[] = [
  ...memberAttacks.map((attack) =>
    rowOf("hostile member", attack, { memory: 128, latency: 250 })
  ),
];
