/**
 * The real clock, for everything here that asks for a {@linkcode Clock}.
 *
 * ```ts
 * import { systemClock } from "@devts/routing/clock";
 *
 * const clock = systemClock();
 * const start = clock.now();
 * const elapsed = await new Promise<number>((resolve) => {
 *   clock.after(5, () => resolve(clock.now() - start));
 * });
 * console.log(elapsed);
 * ```
 *
 * @module
 */

import type { Clock } from "./types.ts";

/** The longest delay of `setTimeout`; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

/**
 * A clock on the runtime's own timers: Deno, Node, Bun and browsers.
 *
 * - `now` is monotonic: it does not follow changes of the wall clock.
 * - `after` cuts a delay to 24.8 days, the longest that runtimes know.
 * - `soon` is far cheaper than a timer of 0 ms, which runtimes round up to 1 ms or more.
 *
 * @example One second from now
 * ```ts
 * import { systemClock } from "@devts/routing/clock";
 *
 * const cancel = systemClock().after(1000, () => console.log("a second later"));
 * cancel();
 * ```
 */
export function systemClock(): Clock {
  return { now, after, soon: systemSoon() };
}

function now(): number {
  return performance.now();
}

function after(delay: number, callback: () => void): () => void {
  const timer = setTimeout(callback, Math.min(delay, MAX_DELAY));
  return () => clearTimeout(timer);
}

/** `setImmediate` runs after pending I/O in Deno, Node and Bun; browsers have no such call. */
function systemSoon(): Clock["soon"] {
  if (typeof globalThis.setImmediate === "function") {
    return (callback) => {
      setImmediate(callback);
    };
  }
  return channelSoon();
}

/** A message to oneself: a macrotask of its own, without the 4 ms floor of nested timers. */
function channelSoon(): Clock["soon"] {
  const queue: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => queue.shift()?.();
  return (callback) => {
    queue.push(callback);
    port2.postMessage(null);
  };
}
