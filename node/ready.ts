import type { Clock } from "@devts/routing";
import { ReadyError, reasonOf } from "./errors.ts";
import type { ReadyOptions } from "./types.ts";

const TIMEOUT = 30_000;

/** What the waiting needs of its node. */
export interface ReadinessOptions {
  readonly id: string;
  readonly clock: Clock;
  /** How many other nodes there are. */
  members(): number;
  /** Which of them handle a name. */
  handling(name: string): ReadonlySet<string>;
}

/** Those who wait until the cluster is as they need it. */
export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #waiting = new Set<() => void>();
  #closed: Error | null = null;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Something has changed: lets those go on who have what they wait for. */
  check(): void {
    for (const check of this.#waiting) check();
  }

  /** The node is closed: nobody waits any more. */
  close(error: Error): void {
    this.#closed = error;
    this.check();
  }

  /**
   * Resolves once the cluster is as `options` say.
   *
   * @throws {RangeError} If a number is out of its range.
   */
  wait(options: ReadyOptions): Promise<void> {
    const { members = 0, timeout = TIMEOUT, signal } = options;
    if (!Number.isInteger(members) || members < 0) {
      throw new RangeError(
        `Cannot wait for ${members} members: it is an integer from 0 on`,
      );
    }
    if (!(timeout >= 1 && timeout < 2 ** 31)) {
      throw new RangeError(
        `Cannot wait until ready: the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (why: string, cause?: unknown): void => {
      end();
      const missing = this.#missing(options).join(", and ");
      const { id } = this.#options;
      reject(
        new ReadyError(
          `Node "${id}" is not ready ${why}: ${
            missing || "nothing is missing"
          }`,
          cause === undefined ? undefined : { cause },
        ),
      );
    };
    const check = (): void => {
      if (this.#closed) fail("and is closed", this.#closed);
      else if (this.#missing(options).length === 0) {
        end();
        resolve();
      }
    };
    const abort = (): void =>
      fail(`(${reasonOf(signal?.reason)})`, signal?.reason);
    const cancel = this.#options.clock.after(
      timeout,
      () => fail(`after ${timeout} ms`),
    );
    const end = (): void => {
      cancel();
      this.#waiting.delete(check);
      signal?.removeEventListener("abort", abort);
    };
    this.#waiting.add(check);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    else check();
    return promise;
  }

  /** What is missing, each in words. */
  #missing({ members = 0, handles = [] }: ReadyOptions): string[] {
    const missing: string[] = [];
    const there = this.#options.members();
    if (there < members) {
      missing.push(`${there} of ${members} other nodes are there`);
    }
    const names = typeof handles === "string" ? [handles] : handles;
    const unhandled = names.filter((name) =>
      this.#options.handling(name).size < 1
    );
    if (unhandled.length > 0) {
      missing.push(`no other node handles "${unhandled.join('", "')}"`);
    }
    return missing;
  }
}
