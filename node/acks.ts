import type { Acks } from "./types.ts";

/** Whether it says how many have to acknowledge something. */
export function isAcks(acks: unknown): acks is Acks {
  return acks === "all" || acks === "quorum" ||
    typeof acks === "number" && Number.isInteger(acks) && acks >= 1;
}
