import { Pause } from "./_pause.ts";
import { Reserve } from "./_reserve.ts";
import type { Address, Connection, Listener } from "./types.ts";

/** What is needed of a `Deno.Listener`. */
export interface Acceptor<T> {
  accept(): Promise<T>;
  close(): void;
}

/**
 * A listener over one of the runtime. It accepts only when asked for the next
 * connection, so that those nobody asked for wait in the system's bounded backlog.
 *
 * Where it has used up the descriptors of the process, it then holds a few less for a
 * while, so that there are some for dialling: whoever floods it cannot cut off a node.
 *
 * @param open Makes a connection of what was accepted; throws to drop it. It calls `ended`
 * once the connection has let go of its descriptor.
 */
export function acceptFrom<T>(
  acceptor: Acceptor<T>,
  address: Address,
  open: (accepted: T, ended: () => void) => Connection,
): Listener {
  return new AcceptingListener(acceptor, address, open);
}

class AcceptingListener<T> implements Listener {
  readonly address: Address;
  readonly #acceptor: Acceptor<T>;
  readonly #open: (accepted: T, ended: () => void) => Connection;
  #closed = false;
  readonly #reserve = new Reserve();
  readonly #pause = new Pause();

  constructor(
    acceptor: Acceptor<T>,
    address: Address,
    open: (accepted: T, ended: () => void) => Connection,
  ) {
    this.address = address;
    this.#acceptor = acceptor;
    this.#open = open;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#acceptor.close();
      this.#pause.end();
    }
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    while (!this.#closed) {
      if (this.#reserve.isFull(performance.now())) {
        await this.#pause.begin();
        continue;
      }
      try {
        yield this.#hold(await this.#acceptor.accept());
      } catch (error) {
        // Out of descriptors, or a stranger who left before it was accepted.
        this.#reserve.failed(error, performance.now());
        if (!this.#closed) await this.#pause.begin();
      }
    }
  }

  #hold(accepted: T): Connection {
    const release = this.#reserve.hold();
    try {
      return this.#open(accepted, () => {
        release();
        this.#pause.end();
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
