import type { ByteStream } from "./framing.ts";

/** What is needed of a `Deno.TcpConn` or a `Deno.TlsConn`. */
export type DenoConn = Pick<
  Deno.Conn,
  "read" | "write" | "closeWrite" | "close"
>;

/** How long the other end may be quiet before a close stops waiting for its end, in ms. */
const QUIET = 100;

/**
 * A connection of the runtime as a stream whose `close` delivers what was written.
 *
 * @param ended Called once it is closed.
 */
export function byteStream(
  conn: DenoConn,
  ended: () => void = () => {},
): ByteStream {
  return {
    read: (buffer) => conn.read(buffer),
    write: (bytes) => conn.write(bytes),
    close: (reason) => {
      if (reason === undefined) return linger(conn).then(ended);
      ended();
      conn.close();
    },
  };
}

/**
 * Says that nothing follows and takes what still arrives, until the other end has
 * closed too or is quiet. Closing with bytes unread would reset the connection,
 * and what is under way to the other end would be lost (RFC 1122, 4.2.2.13).
 */
async function linger(conn: DenoConn): Promise<void> {
  try {
    await conn.closeWrite();
    const ignored = new Uint8Array(16 * 1024);
    while (await readUnlessQuiet(conn, ignored) !== null);
  } catch {
    // Broken, or closed by the timer: nothing more can be delivered.
  }
  closeQuietly(conn);
}

async function readUnlessQuiet(
  conn: DenoConn,
  buffer: Uint8Array,
): Promise<number | null> {
  // Closing makes the pending read reject.
  const timer = setTimeout(() => closeQuietly(conn), QUIET);
  try {
    return await conn.read(buffer);
  } finally {
    clearTimeout(timer);
  }
}

/** Writes all of some bytes: the runtime's own may write a part. */
export async function writeAll(
  conn: Pick<Deno.Conn, "write">,
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await conn.write(bytes.subarray(at));
  }
}

/** Closes a connection that may be closed already. */
export function closeQuietly(conn: Pick<Deno.Conn, "close">): void {
  try {
    conn.close();
  } catch {
    // It was closed already.
  }
}
