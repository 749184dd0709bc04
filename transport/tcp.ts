/**
 * Messages over TCP: addresses are `tcp://host:port`.
 *
 * ```ts
 * import { tcp } from "@devts/transport/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const transport = tcp();
 * await using listener = await transport.listen("tcp://127.0.0.1:0");
 * await using dialled = await transport.connect(listener.address);
 * await dialled.send(new TextEncoder().encode("hello"));
 *
 * for await (const accepted of listener) {
 *   await using connection = accepted;
 *   const message = await connection.receive();
 *   assertEquals(new TextDecoder().decode(message ?? undefined), "hello");
 *   break;
 * }
 * ```
 *
 * @module
 */

import { acceptFrom } from "./_accept.ts";
import { parseHostPort, withPort } from "./_address.ts";
import { byteStream } from "./_deno_conn.ts";
import { byCredentials } from "./_encryption.ts";
import { cannot, dialTcp, remoteOf, sendAtOnce } from "./_sockets.ts";
import { TlsTransport } from "./_tls.ts";
import type { Credentials, SecurableTransport } from "./credentials.ts";
import { frame, type FrameLimits } from "./framing.ts";
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Transport,
} from "./types.ts";

/** Options of {@linkcode tcp}: the limits of its connections. */
export type TcpOptions = FrameLimits;

/**
 * Makes the transport of TCP, without encryption unless it is secured: then it
 * speaks TLS under the same addresses.
 *
 * - Addresses are `tcp://host:port`, IPv6 hosts in brackets: `tcp://[::1]:7946`.
 *   Port 0 listens on a free port.
 * - `connect` waits as long as the system does; its `signal` bounds that.
 * - A listener accepts when it is asked for the next connection; those that nobody
 *   asked for wait in the system's backlog. Where accepting fails, it goes on after
 *   100 ms.
 * - Nagle's algorithm is off: messages are joined before they are written.
 * - Closing in order waits for the other end to close, or to be quiet for 100 ms,
 *   so that what was sent arrives.
 *
 * @param options Limits of the connections.
 * @returns A transport for the scheme `tcp`.
 */
export function tcp(options: TcpOptions = {}): SecurableTransport {
  return new TcpTransport(options);
}

const SCHEME = "tcp";

class TcpTransport implements SecurableTransport {
  readonly schemes: readonly string[] = [SCHEME];
  readonly securable = this.schemes;
  readonly #options: TcpOptions;

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  secure(credentials: Credentials): Transport {
    return new TlsTransport(SCHEME, byCredentials(credentials), this.#options);
  }

  async connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    return this.#open(await dialTcp(address, SCHEME, options?.signal), address);
  }

  // deno-lint-ignore require-await -- it rejects, as the contract says, instead of throwing
  async listen(address: Address): Promise<Listener> {
    const listener = bind(address);
    return acceptFrom(
      listener,
      withPort(address, listener.addr.port),
      (conn, ended) => {
        sendAtOnce(conn);
        return this.#open(conn, remoteOf(conn, SCHEME), ended);
      },
    );
  }

  #open(
    conn: Deno.TcpConn,
    remote: Address,
    ended?: () => void,
  ): Connection {
    return frame(byteStream(conn, ended), {
      ...this.#options,
      remote,
      carrier: SCHEME,
    });
  }
}

function bind(address: Address): Deno.TcpListener {
  const { hostname, port } = parseHostPort(address, SCHEME);
  try {
    return Deno.listen({ hostname, port });
  } catch (cause) {
    throw cannot("listen on", address, cause);
  }
}
