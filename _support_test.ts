/** What tests of whole nodes share. It registers none of its own. */
import {
  type Transport,
  wrapConnection,
  wrapTransport,
} from "@devts/transport";

/** Waits for conditions, which are looked at whenever something has changed. */
export class Changes {
  readonly #checks = new Set<() => void>();

  /** Something may have changed: whoever waits looks once this is through. */
  readonly changed = (): void => {
    for (const check of this.#checks) queueMicrotask(check);
  };

  /** Resolves once the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (condition()) resolve();
    };
    this.#checks.add(check);
    check();
    await promise;
    this.#checks.delete(check);
  }
}

/** A transport that tells of each connection that this side ends. */
export function tellingOfEnds(
  transport: Transport,
  ended: () => void,
): Transport {
  return wrapTransport(transport, {
    connection: (connection) =>
      wrapConnection(connection, {
        close: (reason) => {
          ended();
          return connection.close(reason);
        },
      }),
  });
}
