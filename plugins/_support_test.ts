/** What the tests of plugins share. It registers none of its own. */
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
  wrapTransport,
} from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import type { PluginClock } from "./types.ts";

/** A clock that stands still until it is told to go on. */
export class TestClock implements PluginClock {
  #now = 0;
  readonly #due = new Set<{ readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void): () => void {
    const entry = { at: this.#now + delay, run: callback };
    this.#due.add(entry);
    return () => this.#due.delete(entry);
  }

  /** Lets time pass, and calls back whatever is due by then, in order. */
  tick(ms: number): void {
    this.#now += ms;
    const due = [...this.#due].filter(({ at }) => at <= this.#now)
      .sort((a, b) => a.at - b.at);
    for (const entry of due) if (this.#due.delete(entry)) entry.run();
  }
}

/** One turn of the event loop, and with it every promise that can settle without time. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Lets virtual time pass, ms by ms. */
export async function pass(clock: TestClock, ms: number): Promise<void> {
  await turn();
  for (let i = 0; i < ms; i++) {
    clock.tick(1);
    await turn();
  }
}

/** The next connection of a listener. */
export async function accept(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

/** Both ends of a connection over a transport. */
export async function pairOver(
  transport: Transport,
): Promise<[dialled: Connection, accepted: Connection]> {
  await using listener = await transport.listen("memory://pair");
  return await Promise.all([
    transport.connect(listener.address),
    accept(listener),
  ]);
}

/** A network in which any address of any scheme can be dialled, or fails. */
export class FakeNetwork {
  /** The addresses dialled, in order. */
  readonly dialled: Address[] = [];
  /** Those that do not answer. */
  readonly down = new Set<Address>();
  /** Those that neither answer nor refuse. */
  readonly silent = new Set<Address>();
  readonly #memory = memory(new MemoryNetwork());
  #listener: Listener | null = null;

  /** Reaches all of it. */
  readonly transport: Transport = wrapTransport(this.#memory, {
    schemes: ["tcp", "quic"],
    connect: (address, options) => this.#connect(address, options),
    listen: (address) => Promise.reject(new TypeError(address)),
  });

  async #connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    this.dialled.push(address);
    if (this.silent.has(address)) {
      const signal = options?.signal;
      await new Promise((_, reject) =>
        signal?.addEventListener("abort", () => reject(signal.reason))
      );
    }
    if (this.down.has(address)) {
      throw new ConnectionError(`Cannot connect to "${address}": it is down`);
    }
    this.#listener ??= await this.#memory.listen("memory://all");
    return await this.#memory.connect("memory://all");
  }

  /** Frees what it holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.close();
  }
}
