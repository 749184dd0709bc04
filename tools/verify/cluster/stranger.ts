import { type Connection, frame } from "@devts/transport";

const FINISH = 0x04;

/** A connection of a stranger. */
export class Stranger {
  readonly #conn: Deno.TcpConn;
  readonly #framed: Connection;

  /** Takes a connection, which belongs to it from then on. */
  constructor(conn: Deno.TcpConn) {
    conn.setNoDelay(true);
    this.#conn = conn;
    this.#framed = frame({
      read: (buffer) => conn.read(buffer),
      write: (bytes) => conn.write(bytes),
      close: () => {},
    }, { remote: "tcp://target" });
  }

  /** Whole messages, for an honest handshake. */
  get connection(): Connection {
    return this.#framed;
  }

  /** Writes bytes as they are; false: the other end has closed the connection. */
  async write(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let start = 0; start < bytes.length;) {
        start += await this.#conn.write(bytes.subarray(start));
      }
      return true;
    } catch {
      return false;
    }
  }

  /** The next message; null: the other end has closed the connection. */
  async receive(): Promise<Uint8Array | null> {
    try {
      return await this.#framed.receive();
    } catch {
      return null;
    }
  }

  /** Sends no more, and waits until the other end has closed; true: it took the handshake. */
  async finish(): Promise<boolean> {
    await this.#conn.closeWrite().catch(() => {});
    let finished = false;
    for (
      let message = await this.receive();
      message !== null;
      message = await this.receive()
    ) {
      if (message[0] === FINISH) finished = true;
    }
    return finished;
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // It was closed before its end.
    }
  }
}

/** A message as it goes over the wire. */
export function framed(message: Uint8Array): Uint8Array {
  const wire = new Uint8Array(4 + message.length);
  new DataView(wire.buffer).setUint32(0, message.length);
  wire.set(message, 4);
  return wire;
}
