import type {
  Address,
  Connection,
  Listener,
  Transport,
} from "@devts/transport";
import { type Reach, reachOf } from "./address.ts";
import { ClosedError, reasonOf } from "./errors.ts";
import type { Journal } from "./journal.ts";
import { listenFault, type Safety } from "./security.ts";

/** What listening needs. */
export interface DoorsOptions {
  readonly transport: Transport;
  readonly safety: Safety;
  readonly journal: Journal;
  /** Takes an incoming connection; never rejects. */
  accept(connection: Connection): Promise<void>;
  /** A listener has ended by itself. */
  changed(): void;
}

/** The listeners of a node. */
export class Doors {
  readonly #options: DoorsOptions;
  readonly #listeners = new Set<Listener>();
  readonly #serving = new Set<Promise<void>>();
  #closed = false;

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  /** The addresses listened on. */
  get addresses(): Address[] {
    return [...this.#listeners].map(({ address }) => address);
  }

  /** Accepts connections on an address or from a listener. */
  async open(
    where: Address | Listener,
  ): Promise<{ address: Address; reach: Reach }> {
    const wanted = typeof where === "string" ? where : where.address;
    this.#refuseOpen(wanted);
    const listener = typeof where === "string"
      ? await this.#options.transport.listen(where)
      : where;
    const { address } = listener;
    try {
      this.#refuseOpen(address);
    } catch (error) {
      await listener.close();
      throw error;
    }
    if (this.#closed) {
      await listener.close();
      throw new ClosedError(
        `Cannot listen on "${wanted}": the node was closed`,
      );
    }
    this.#listeners.add(listener);
    const serving = this.#serve(listener).finally(() =>
      this.#serving.delete(serving)
    );
    this.#serving.add(serving);
    return { address, reach: reachOf(address) };
  }

  #refuseOpen(address: Address): void {
    const fault = listenFault(address, this.#options.safety);
    if (fault === null) return;
    throw new Error(`Cannot listen on "${address}": ${fault}`);
  }

  /** Accepts no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(
      [...this.#listeners].map((listener) => listener.close()),
    );
    await Promise.allSettled(this.#serving);
  }

  async #serve(listener: Listener): Promise<void> {
    const { journal } = this.#options;
    try {
      for await (const connection of listener) this.#accept(connection);
      if (this.#closed) return;
      journal.warn(`accepting on "${listener.address}" has ended`);
    } catch (error) {
      const message = `accepting on "${listener.address}" has ended: ${
        reasonOf(error)
      }`;
      journal.fault("listener", error, message);
    }
    if (this.#closed) return;
    this.#listeners.delete(listener);
    await listener.close().catch(() => {});
    this.#options.changed();
  }

  #accept(connection: Connection): void {
    this.#options.accept(connection).catch((error) =>
      this.#options.journal.fault(
        "listener",
        error,
        `a connection from "${connection.remote}" failed: ${reasonOf(error)}`,
      )
    );
  }
}
