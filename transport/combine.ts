import {
  type Credentials,
  isSecurable,
  type SecurableTransport,
} from "./credentials.ts";
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Transport,
} from "./types.ts";

/**
 * Makes one transport of several: the scheme of an address picks.
 *
 * @example A node that browsers reach too
 * ```ts
 * import { combine } from "@devts/transport";
 * import { tcp } from "@devts/transport/tcp";
 * import { websocket } from "@devts/transport/websocket";
 * import { assertEquals } from "@std/assert";
 *
 * const transport = combine(tcp(), websocket());
 * assertEquals(transport.schemes.includes("tcp"), true);
 * ```
 *
 * Securing it secures those of them that can be.
 *
 * @param transports What to pick from; their schemes differ.
 * @returns A transport whose `connect` and `listen` reject with a `TypeError` for a
 * scheme that none of them answers for.
 * @throws {TypeError} If two answer for the same scheme.
 */
export function combine(...transports: Transport[]): SecurableTransport {
  const byScheme = new Map<string, Transport>();
  for (const transport of transports) {
    for (const scheme of transport.schemes) {
      if (byScheme.has(scheme)) {
        throw new TypeError(
          `Cannot combine two transports for the scheme "${scheme}"`,
        );
      }
      byScheme.set(scheme, transport);
    }
  }
  return new CombinedTransport(transports, byScheme);
}

class CombinedTransport implements SecurableTransport {
  readonly schemes: readonly string[];
  readonly securable: readonly string[];
  readonly #transports: readonly Transport[];
  readonly #byScheme: ReadonlyMap<string, Transport>;

  constructor(
    transports: readonly Transport[],
    byScheme: ReadonlyMap<string, Transport>,
  ) {
    this.schemes = [...byScheme.keys()];
    this.securable = transports.filter(isSecurable).flatMap(
      (transport) => transport.securable,
    );
    this.#transports = transports;
    this.#byScheme = byScheme;
  }

  secure(credentials: Credentials): Transport {
    return combine(
      ...this.#transports.map((transport) =>
        isSecurable(transport) ? transport.secure(credentials) : transport
      ),
    );
  }

  async connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    return await this.#pick("connect to", address).connect(address, options);
  }

  async listen(address: Address): Promise<Listener> {
    return await this.#pick("listen on", address).listen(address);
  }

  #pick(action: string, address: Address): Transport {
    const end = address.indexOf("://");
    const scheme = address.slice(0, Math.max(end, 0));
    const transport = this.#byScheme.get(scheme);
    if (transport !== undefined) return transport;
    const known = this.schemes.map((scheme) => `"${scheme}://"`).join(", ");
    const detail = end < 0
      ? "it has no scheme"
      : `no transport answers for "${scheme}://"`;
    throw new TypeError(
      `Cannot ${action} "${address}": ${detail}; known are ${known || "none"}`,
    );
  }
}
