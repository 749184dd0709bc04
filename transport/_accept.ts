import type { Address, Connection, Listener } from "./types.ts";

/** What is needed of a `Deno.Listener`. */
export interface Acceptor<T> {
  accept(): Promise<T>;
  close(): void;
}

/** How long to wait after an error (no file descriptor left) before accepting again, in ms. */
const PAUSE = 100;

/**
 * A listener over one of the runtime. It accepts only when asked for the next
 * connection, so that those nobody asked for wait in the system's bounded backlog.
 *
 * @param open Makes a connection of what was accepted; throws to drop it.
 */
export function acceptFrom<T>(
  acceptor: Acceptor<T>,
  address: Address,
  open: (accepted: T) => Connection,
): Listener {
  return new AcceptingListener(acceptor, address, open);
}

class AcceptingListener<T> implements Listener {
  readonly address: Address;
  readonly #acceptor: Acceptor<T>;
  readonly #open: (accepted: T) => Connection;
  #closed = false;
  /** Ends a pause early. */
  #resume: (() => void) | undefined;

  constructor(
    acceptor: Acceptor<T>,
    address: Address,
    open: (accepted: T) => Connection,
  ) {
    this.address = address;
    this.#acceptor = acceptor;
    this.#open = open;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#acceptor.close();
      this.#resume?.();
    }
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    while (!this.#closed) {
      try {
        yield this.#open(await this.#acceptor.accept());
      } catch {
        // Out of descriptors, or a stranger who left before it was accepted.
        await this.#pause();
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, PAUSE);
      this.#resume = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
