import type { Connection } from "@devts/transport";
import type { Introduced, IntroduceOptions, Protocol } from "@devts/protocol";
import type { Clock } from "@devts/routing";
import { isGarbage, isTooLong, reasonOf } from "./errors.ts";
import type { MetLimits, NodeLimits } from "./limits.ts";
import type { Safety } from "./security.ts";

/** A handshake that was ended still finishes what it computes, within so many ms. */
const SETTLE_TIMEOUT = 250;

/** What handshakes are made with. */
export interface HandshakesOptions {
  readonly protocol: Protocol;
  readonly clock: Clock;
  readonly limits: Required<NodeLimits>;
  readonly met: MetLimits;
  readonly safety: Safety;
  /** Whoever connected broke the protocol. */
  fault(connection: Connection): void;
}

/** What answers with more than any node does is a web server, for example. */
function strange(cause: unknown): Error {
  return new Error(
    `no node answers there, but something else; is it a cluster port? (${
      reasonOf(cause)
    })`,
    { cause },
  );
}

/**
 * The handshakes under way. Each ends in time, whatever the other end, or a plugin
 * around the connection, does.
 */
export class Handshakes {
  readonly #options: HandshakesOptions;
  readonly #ends = new Set<(reason: string) => void>();
  /** Those whose protocol has not come to an end, though they may be over. */
  readonly #introductions = new Set<Promise<Introduced>>();

  constructor(options: HandshakesOptions) {
    this.#options = options;
  }

  /** Introduces this node. Rejects with why that failed; never closes the connection in order. */
  async introduce(
    connection: Connection,
    options: IntroduceOptions,
  ): Promise<Introduced> {
    const { clock, protocol, limits } = this.#options;
    const ended = Promise.withResolvers<never>();
    let isOver = false;
    const start = clock.now();
    let heard = false;
    let waits = false;
    const end = (reason: string): void => {
      const error = new Error(reason);
      isOver = true;
      connection.close(error).catch(() => {});
      ended.reject(error);
    };
    const cancel = clock.after(limits.handshakeTime, () => {
      end(`the handshake took longer than ${limits.handshakeTime / 1000} s`);
    });
    this.#ends.add(end);
    const introduced = protocol.introduce({
      send: (message) => connection.send(message),
      receive: async ({ limit = Infinity } = {}) => {
        waits = true;
        const message = await connection.receive({
          limit: Math.min(limit, limits.handshakeSize),
        });
        heard ||= message !== null;
        return message;
      },
    }, {
      ...options,
      // Nothing may be promised to whoever is given up.
      admit: (peer, proven) =>
        isOver
          ? { code: "busy", detail: "the handshake is over" }
          : options.admit(peer, proven),
    });
    this.#introductions.add(introduced);
    try {
      return await Promise.race([introduced, ended.promise]);
    } catch (error) {
      // Below, TLS may give up a moment before.
      const isLate = clock.now() - start >= 0.9 * limits.handshakeTime;
      if (isLate) this.#options.met.handshakeTime++;
      const isLong = isTooLong(error);
      if (isLong) this.#options.met.handshakeSize++;
      // Who looks whether somebody listens here, and leaves, breaks nothing.
      const isFault = heard || isLate || isLong || isGarbage(error);
      if (options.role === "dialer") {
        if (isLong && !heard) throw strange(error);
        const isUnheard = waits && !isFault && !isOver;
        throw isUnheard ? this.#unheard(error) : error;
      }
      if (isFault) this.#options.fault(connection);
      throw error;
    } finally {
      cancel();
      this.#ends.delete(end);
      introduced.catch(() => {}).then(() =>
        this.#introductions.delete(introduced)
      );
    }
  }

  /** Whoever refuses strangers tells them nothing, so this end must guess. */
  #unheard(cause: unknown): Error {
    const why = this.#options.safety.security === null
      ? "its cluster may have a `secret`, which this node was not given"
      : "it may have another secret than this node, or none";
    return new Error(`it closed the connection without a word: ${why}`, {
      cause,
    });
  }

  /** Ends all of them; resolves once nothing works for them any more, or soon after. */
  async close(reason: string): Promise<void> {
    const introductions = [...this.#introductions];
    for (const end of [...this.#ends]) end(reason);
    if (introductions.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(SETTLE_TIMEOUT, resolve);
    Promise.allSettled(introductions).then(() => resolve());
    await promise;
    cancel();
  }
}
