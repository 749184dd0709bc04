import type { Clock, NodeId } from "@devts/routing";
import type { DrainOptions } from "./types.ts";

/** How long to wait for what is under way, in ms. */
const TIMEOUT = 10_000;
/** For the others to say that they know, and how often it is looked at, in ms. */
const ECHO_TIMEOUT = 1_000;
const LOOK = 10;

/** Something that may be under way for names that begin with a prefix. */
interface Busy {
  busy(prefix: string): boolean;
}

/** What draining needs of its node. */
export interface DrainingOptions {
  readonly clock: Clock;
  readonly interest: { withdraw(prefix: string): Disposable };
  readonly streams: Busy & { refuse(prefix: string): Disposable };
  readonly delivering: Busy & { echo(nodes: Iterable<NodeId>): Promise<void> };
  readonly inbound: Busy;
  readonly requests: Busy;
  /** The nodes there is a way to. */
  nodes(): Iterable<NodeId>;
  /** What networks hand out to groups is for others, of names with a prefix. */
  leaveQueues(prefix: string): void;
}

/** Ends the work of a node, or of one of its behaviours, in good order. */
export class Draining {
  readonly #options: DrainingOptions;

  constructor(options: DrainingOptions) {
    this.#options = options;
  }

  /**
   * Drains all names that begin with a prefix, and then closes. While it does, names with
   * it are handled, and the others are not told of them; `signal` ends the waiting.
   *
   * @returns Whether everything had ended by then.
   */
  async run(
    prefix: string,
    timeout: number,
    signal: AbortSignal,
    close: () => Promise<void>,
  ): Promise<boolean> {
    const { clock, interest, streams, delivering } = this.#options;
    const end = clock.now() + timeout;
    using _withdrawn = interest.withdraw(prefix);
    using _refusing = streams.refuse(prefix);
    this.#options.leaveQueues(prefix);
    await within(
      clock,
      delivering.echo(this.#options.nodes()),
      Math.min(ECHO_TIMEOUT, timeout),
    );
    while (this.#isBusy(prefix) && !signal.aborted && clock.now() < end) {
      await new Promise<void>((resolve) => clock.after(LOOK, resolve));
    }
    const isIdle = !this.#isBusy(prefix);
    await close();
    return isIdle;
  }

  #isBusy(prefix: string): boolean {
    const { inbound, requests, streams, delivering } = this.#options;
    return [inbound, requests, streams, delivering]
      .some((each) => each.busy(prefix));
  }
}

/**
 * How long a drain may take, in ms.
 *
 * @throws {RangeError} If that is out of its range.
 */
export function drainTime({ timeout = TIMEOUT }: DrainOptions = {}): number {
  if (timeout >= 1 && timeout < 2 ** 31) return timeout;
  throw new RangeError(
    `Cannot drain: the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
  );
}

/** Resolves once work has ended, in whichever way, or after so many ms. */
export async function within(
  clock: Clock,
  work: Promise<unknown>,
  timeout: number,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(timeout, resolve);
  work.then(() => resolve(), () => resolve());
  await promise;
  cancel();
}
