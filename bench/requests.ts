/**
 * The client of requests. Runs under any runtime.
 *
 * @module
 */

import { FIRST, sequenceOf, SIZES, stamp, template } from "./payload.ts";
import type { Named } from "./values.ts";

/** The length of a request and of its reply, in bytes. */
export const REQUEST_SIZE: number = SIZES.bytes128;

/** What requests are made with. */
export interface RequestsOptions {
  /** How many, in all. */
  readonly count: number;
  /** How many wait for a reply at the same time. */
  readonly inFlight: number;
  /** The CPU time of this process, in ms. */
  cpuTime(): number;
  /**
   * Sends bytes to the server, which returns them, and resolves to the reply. The
   * bytes are written again once it has returned its promise: where a system keeps
   * them, it needs a copy.
   */
  request(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

/** Requests something so many times, and answers the command `request`. */
export async function requests(
  { count, inFlight, cpuTime, request }: RequestsOptions,
): Promise<Named> {
  const bytes = template(REQUEST_SIZE);
  const latencies = new Float64Array(count);
  let next = 0;
  let wrong = 0;
  async function ask(): Promise<void> {
    while (next < count) {
      const index = next++;
      const start = performance.now();
      const reply = await request(stamp(bytes, FIRST + index));
      latencies[index] = performance.now() - start;
      if (!isReply(reply, FIRST + index)) wrong++;
    }
  }
  const cpu = cpuTime();
  const startedAt = performance.timeOrigin + performance.now();
  await Promise.all(Array.from({ length: inFlight }, ask));
  const endedAt = performance.timeOrigin + performance.now();
  return {
    startedAt,
    endedAt,
    cpu: cpuTime() - cpu,
    wrong,
    ...percentiles(latencies),
  };
}

/** The 50th and the 99th percentile of latencies in ms, in µs, by the nearest rank. */
export function percentiles(
  latencies: Float64Array,
): { readonly p50: number; readonly p99: number } {
  const sorted = latencies.toSorted();
  const at = (share: number) =>
    1_000 * (sorted[Math.ceil(share * sorted.length) - 1] ?? NaN);
  return { p50: at(0.5), p99: at(0.99) };
}

function isReply(reply: Uint8Array, sequence: number): boolean {
  return reply.length === REQUEST_SIZE && sequenceOf(reply) === sequence;
}
