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
import { frame, type FrameOptions } from "./framing.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
} from "./types.ts";

/** Options of {@linkcode tcp}: the limits of its connections. */
export type TcpOptions = Omit<FrameOptions, "remote">;

/**
 * Makes the transport of TCP, without encryption.
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
export function tcp(options: TcpOptions = {}): Transport {
  return new TcpTransport(options);
}

class TcpTransport implements Transport {
  readonly schemes: readonly string[] = ["tcp"];
  readonly #options: TcpOptions;

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  async connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    const target = parseHostPort(address, "tcp");
    if (target.port === 0) {
      throw new TypeError(
        `Cannot connect to "${address}": port 0 can only be listened on`,
      );
    }
    const signal = options?.signal;
    signal?.throwIfAborted();
    const conn = await dial(address, { ...target, ...(signal && { signal }) });
    if (signal?.aborted) {
      conn.close();
      throw signal.reason;
    }
    return this.#open(conn, address);
  }

  // deno-lint-ignore require-await -- it rejects, as the contract says, instead of throwing
  async listen(address: Address): Promise<Listener> {
    const { hostname, port } = parseHostPort(address, "tcp");
    const listener = bind(address, hostname, port);
    return acceptFrom(
      listener,
      withPort(address, listener.addr.port),
      (conn) => this.#open(conn, remoteOf(conn)),
    );
  }

  #open(conn: Deno.TcpConn, remote: Address): Connection {
    try {
      conn.setNoDelay(true);
    } catch {
      // The other end has gone already: reading will say so.
    }
    return frame(byteStream(conn), { ...this.#options, remote });
  }
}

async function dial(
  address: Address,
  options: Deno.ConnectOptions,
): Promise<Deno.TcpConn> {
  try {
    return await Deno.connect(options);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw connectionError(`Cannot connect to "${address}"`, cause);
  }
}

function bind(
  address: Address,
  hostname: string,
  port: number,
): Deno.TcpListener {
  try {
    return Deno.listen({ hostname, port });
  } catch (cause) {
    throw connectionError(`Cannot listen on "${address}"`, cause);
  }
}

function connectionError(action: string, cause: unknown): ConnectionError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ConnectionError(`${action}: ${detail}`, { cause });
}

function remoteOf(conn: Deno.TcpConn): Address {
  const { hostname, port } = conn.remoteAddr;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `tcp://${host}:${port}`;
}
