/**
 * Slows a link down to so many messages and bytes per second (a token bucket).
 *
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { limit } from "@devts/plugins/limit";
 *
 * await using node = createNode({
 *   cluster: "demo",
 *   linkPlugins: [limit({ receive: { bytes: 10_000_000, messages: 1_000 } })],
 * });
 * ```
 *
 * @module
 */

import { wrapConnection } from "@devts/transport";
import { Bucket } from "./_bucket.ts";
import { machineClock, wait } from "./_clock.ts";
import type { LinkPlugin, PluginClock } from "./types.ts";

/** How much may pass in one direction. */
export interface Rate {
  /**
   * Messages per second, above 0. A message is what the link carries: a bundle of events
   * (up to 64 KiB), a heartbeat, an acknowledgement.
   *
   * @default {Infinity}
   */
  readonly messages?: number;
  /**
   * Bytes per second, above 0.
   *
   * @default {Infinity}
   */
  readonly bytes?: number;
  /**
   * For how long, in s, what was not used may be saved up for a burst, above 0.
   *
   * @default {1}
   */
  readonly burst?: number;
}

/** Options of {@linkcode limit}. */
export interface LimitOptions {
  /**
   * What this end takes: the other end has to wait, by back-pressure.
   *
   * @default {no limit}
   */
  readonly receive?: Rate;
  /**
   * What this end sends.
   *
   * @default {no limit}
   */
  readonly send?: Rate;
  /**
   * Where time comes from.
   *
   * @default {the time of this machine}
   */
  readonly clock?: PluginClock;
}

/**
 * Limits each link on its own. What is too fast waits; nothing is dropped here, though a
 * node drops events for a link that takes nothing for 1 s. A rate so low that heartbeats
 * come late makes a peer look dead.
 *
 * @throws {RangeError} If a rate is not above 0.
 */
export function limit(options: LimitOptions): LinkPlugin {
  const { clock = machineClock } = options;
  checkRate(options.receive);
  checkRate(options.send);
  return (connection) => {
    const ended = Promise.withResolvers<void>();
    const incoming = pacer(options.receive, clock, ended.promise);
    const outgoing = pacer(options.send, clock, ended.promise);
    return wrapConnection(connection, {
      ...outgoing && {
        async send(message) {
          await outgoing(message.length);
          return await connection.send(message);
        },
      },
      ...incoming && {
        async receive(options) {
          const message = await connection.receive(options);
          if (message !== null) await incoming(message.length);
          return message;
        },
      },
      close(reason) {
        ended.resolve();
        return connection.close(reason);
      },
    });
  };
}

type Pacer = (bytes: number) => Promise<void>;

/** Makes whoever calls it wait for its turn; undefined: there is no limit. */
function pacer(
  rate: Rate | undefined,
  clock: PluginClock,
  ended: Promise<void>,
): Pacer | undefined {
  if (rate === undefined) return undefined;
  const { messages = Infinity, bytes = Infinity, burst = 1 } = rate;
  const now = clock.now();
  const byMessage = messages < Infinity
    ? new Bucket(messages, Math.max(1, messages * burst), now)
    : undefined;
  const byByte = bytes < Infinity
    ? new Bucket(bytes, bytes * burst, now)
    : undefined;
  let last = Promise.resolve();
  return (length) => {
    const now = clock.now();
    const delay = Math.max(
      byMessage?.take(1, now) ?? 0,
      byByte?.take(length, now) ?? 0,
    );
    // In order, although a short one behind a long one may be due at the same time.
    last = Promise.all([last, wait(clock, delay, ended)]).then(() => {});
    return last;
  };
}

function checkRate({ messages = 1, bytes = 1, burst = 1 }: Rate = {}): void {
  for (const [name, value] of Object.entries({ messages, bytes, burst })) {
    if (value > 0) continue;
    throw new RangeError(
      `Cannot limit a link to ${name} ${value}: it must be above 0`,
    );
  }
}
