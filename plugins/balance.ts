/**
 * One address that stands for several: `balance://name`.
 *
 * ```ts
 * import { withPlugins } from "@devts/plugins";
 * import { balance } from "@devts/plugins/balance";
 * import { combine } from "@devts/transport";
 * import { memory } from "@devts/transport/memory";
 * import { tcp } from "@devts/transport/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const transport = withPlugins(
 *   combine(tcp(), memory()),
 *   balance({ entry: ["memory://nobody", "memory://inbox"] }),
 * );
 * await using _listener = await transport.listen("memory://inbox");
 * await using connection = await transport.connect("balance://entry");
 * assertEquals(connection.remote, "memory://inbox");
 * ```
 *
 * @module
 */

import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Transport,
  wrapTransport,
} from "@devts/transport";
import { machineClock } from "./_clock.ts";
import type { Plugin, PluginClock } from "./types.ts";

/** Which address is tried first. */
export type BalanceStrategy =
  /** Each in turn. */
  | "round-robin"
  /** Any. */
  | "random"
  /** The one that opened connections fastest lately; one not tried yet comes before. */
  | "least-latency";

/** Options of {@linkcode balance}. */
export interface BalanceOptions {
  /**
   * Which address is tried first; where that fails, the next one is.
   *
   * @default {"round-robin"}
   */
  readonly strategy?: BalanceStrategy;
  /**
   * How long one address may take to answer before the next is tried, in ms.
   *
   * @default {3_000}
   */
  readonly timeout?: number;
  /**
   * After so many failures in a row an address is ejected: tried only where no other
   * answers.
   *
   * @default {2}
   */
  readonly failures?: number;
  /**
   * For how long it is ejected, in ms, before it is tried again in its turn. Twice as
   * long with each further failure, up to 32 times.
   *
   * @default {5_000}
   */
  readonly ejection?: number;
  /**
   * Where time comes from.
   *
   * @default {the time of this machine}
   */
  readonly clock?: PluginClock;
  /**
   * Where randomness comes from: 0 ≤ x < 1.
   *
   * @default {Math.random}
   */
  readonly random?: () => number;
}

/** The weight of the latest connection in what an address is held to take (an exponential moving average). */
const LATEST = 0.3;
const MAX_DOUBLINGS = 5;
const SCHEME = "balance";

/**
 * Adds the scheme `balance` to a transport. Its connections go to one of the addresses
 * behind a name, of any scheme that the transport knows; `remote` says which. Listening
 * is not changed.
 *
 * Put it outside plugins that check or count what is really dialled.
 *
 * @param targets The addresses behind each name: `{ entry: ["tcp://10.0.0.7:7946"] }`.
 * @throws {TypeError} If a name has no addresses, or one of another `balance://`.
 */
export function balance(
  targets: Readonly<Record<string, readonly Address[]>>,
  options: BalanceOptions = {},
): Plugin {
  const pools = new Map<Address, Pool>();
  for (const [name, addresses] of Object.entries(targets)) {
    pools.set(`${SCHEME}://${name}`, new Pool(name, addresses, options));
  }
  return (transport) =>
    wrapTransport(transport, {
      schemes: [...transport.schemes, SCHEME],
      async connect(address, options) {
        if (!isVirtual(address)) {
          return await transport.connect(address, options);
        }
        const pool = pools.get(address);
        if (pool) return await pool.connect(transport, options);
        throw new TypeError(
          `Cannot connect to "${address}": known are ${known(pools)}`,
        );
      },
      async listen(address) {
        if (!isVirtual(address)) return await transport.listen(address);
        throw new TypeError(
          `Cannot listen on "${address}": it stands for several addresses`,
        );
      },
    });
}

function isVirtual(address: Address): boolean {
  return address.startsWith(`${SCHEME}://`);
}

function known(pools: ReadonlyMap<Address, Pool>): string {
  return [...pools.keys()].map((address) => `"${address}"`).join(", ");
}

/** One of the addresses behind a name. */
interface Backend {
  readonly address: Address;
  failures: number;
  ejectedUntil: number;
  /** In ms; -1: it has not opened a connection yet. */
  latency: number;
}

class Pool {
  readonly #name: string;
  readonly #backends: readonly Backend[];
  readonly #options: Required<BalanceOptions>;
  #turn = 0;

  constructor(
    name: string,
    addresses: readonly Address[],
    options: BalanceOptions,
  ) {
    if (addresses.length === 0 || addresses.some(isVirtual)) {
      throw new TypeError(
        `Cannot balance over the addresses of "${name}": at least one is needed, and none may be of "${SCHEME}://"`,
      );
    }
    this.#name = name;
    this.#backends = addresses.map((address) => ({
      address,
      failures: 0,
      ejectedUntil: -Infinity,
      latency: -1,
    }));
    this.#options = {
      strategy: "round-robin",
      timeout: 3_000,
      failures: 2,
      ejection: 5_000,
      clock: machineClock,
      random: Math.random,
      ...options,
    };
  }

  async connect(
    transport: Transport,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const reasons: string[] = [];
    for (const backend of this.#order()) {
      try {
        return await this.#try(transport, backend, options);
      } catch (error) {
        options.signal?.throwIfAborted();
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new ConnectionError(
      `Cannot connect to "${SCHEME}://${this.#name}": none of its addresses answers: ${
        reasons.join("; ")
      }`,
    );
  }

  /** In which order they are tried; those that are ejected come last. */
  #order(): Backend[] {
    const now = this.#options.clock.now();
    const turned = this.#turned();
    return [
      ...turned.filter(({ ejectedUntil }) => ejectedUntil <= now),
      ...turned.filter(({ ejectedUntil }) => ejectedUntil > now),
    ];
  }

  #turned(): Backend[] {
    const { strategy, random } = this.#options;
    const { length } = this.#backends;
    if (strategy === "least-latency") {
      return this.#backends.toSorted((a, b) => a.latency - b.latency);
    }
    const first = strategy === "random"
      ? Math.floor(random() * length)
      : this.#turn++ % length;
    return this.#backends.map((_, index) =>
      this.#backends[(first + index) % length] as Backend
    );
  }

  async #try(
    transport: Transport,
    backend: Backend,
    { signal, ...options }: ConnectOptions,
  ): Promise<Connection> {
    const { clock, timeout } = this.#options;
    const start = clock.now();
    const late = new AbortController();
    const cancel = clock.after(timeout, () =>
      late.abort(
        new ConnectionError(
          `Cannot connect to "${backend.address}": no answer in ${
            timeout / 1000
          } s`,
        ),
      ));
    try {
      const connection = await transport.connect(backend.address, {
        ...options,
        signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
      });
      this.#opened(backend, clock.now() - start);
      return connection;
    } catch (error) {
      // Whoever gives up says nothing of the address.
      if (!signal?.aborted) this.#failed(backend);
      throw error;
    } finally {
      cancel();
    }
  }

  #opened(backend: Backend, took: number): void {
    backend.failures = 0;
    backend.ejectedUntil = -Infinity;
    backend.latency = backend.latency < 0
      ? took
      : LATEST * took + (1 - LATEST) * backend.latency;
  }

  #failed(backend: Backend): void {
    const { clock, failures, ejection } = this.#options;
    const over = ++backend.failures - failures;
    if (over < 0) return;
    const pause = ejection * 2 ** Math.min(over, MAX_DOUBLINGS);
    backend.ejectedUntil = clock.now() + pause;
  }
}
