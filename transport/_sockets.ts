import { parseHostPort } from "./_address.ts";
import { type Address, ConnectionError } from "./types.ts";

/**
 * Dials a TCP socket, without Nagle's algorithm: messages are joined before they are
 * written.
 *
 * @throws {TypeError} If the address is malformed, or its port is 0.
 * @throws {ConnectionError} If it cannot be reached.
 */
export async function dialTcp(
  address: Address,
  scheme: string,
  signal: AbortSignal | undefined,
): Promise<Deno.TcpConn> {
  const target = toDial(address, scheme);
  signal?.throwIfAborted();
  let conn: Deno.TcpConn;
  try {
    conn = await Deno.connect({ ...target, ...(signal && { signal }) });
  } catch (cause) {
    signal?.throwIfAborted();
    throw cannot("connect to", address, cause);
  }
  if (signal?.aborted) {
    conn.close();
    throw signal.reason;
  }
  sendAtOnce(conn);
  return conn;
}

/**
 * Reads an address that is to be dialled.
 *
 * @throws {TypeError} If it is malformed, or its port is 0.
 */
export function toDial(
  address: Address,
  scheme: string,
): { readonly hostname: string; readonly port: number } {
  const target = parseHostPort(address, scheme);
  if (target.port !== 0) return target;
  throw new TypeError(
    `Cannot connect to "${address}": port 0 can only be listened on`,
  );
}

/** Turns Nagle's algorithm off. */
export function sendAtOnce(conn: Deno.TcpConn): void {
  try {
    conn.setNoDelay(true);
  } catch {
    // The other end has gone already: reading will say so.
  }
}

/** The address of the other end of a connection that was accepted. */
export function remoteOf(
  { remoteAddr }: { readonly remoteAddr: Deno.NetAddr },
  scheme: string,
): Address {
  const { hostname, port } = remoteAddr;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${scheme}://${host}:${port}`;
}

/** The error of an attempt to connect or to listen. */
export function cannot(
  what: "connect to" | "listen on",
  address: Address,
  cause: unknown,
): ConnectionError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ConnectionError(`Cannot ${what} "${address}": ${detail}`, {
    cause,
  });
}
