import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  frame,
  type Listener,
  type Transport,
} from "@devts/transport";

/**
 * A transport that the library does not have: Unix sockets, `unix:///path`. Framing,
 * limits and back-pressure come from `frame()`.
 */
export function unix(): Transport {
  return { schemes: ["unix"], connect, listen };
}

async function connect(
  address: Address,
  { signal }: ConnectOptions = {},
): Promise<Connection> {
  const path = pathOf(address);
  signal?.throwIfAborted();
  const conn = await Deno.connect({ transport: "unix", path }).catch(
    (cause) => {
      throw new ConnectionError(
        `Cannot connect to "${address}": nobody listens`,
        { cause },
      );
    },
  );
  if (signal?.aborted) {
    conn.close();
    throw signal.reason;
  }
  return frame(conn, { remote: address });
}

// deno-lint-ignore require-await -- it rejects, as the contract says, instead of throwing
async function listen(address: Address): Promise<Listener> {
  const listener = bind(address);
  let isOpen = true;
  // deno-lint-ignore require-await -- as above
  async function close(): Promise<void> {
    if (isOpen) listener.close();
    isOpen = false;
  }
  return {
    address,
    close,
    async *[Symbol.asyncIterator]() {
      while (isOpen) {
        // Rejects once the listener is closed, and where one attempt fails.
        const conn = await listener.accept().catch(() => null);
        if (conn !== null) yield frame(conn, { remote: address });
      }
    },
    [Symbol.asyncDispose]: close,
  };
}

function bind(address: Address): Deno.UnixListener {
  const path = pathOf(address);
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (cause) {
    throw new ConnectionError(
      `Cannot listen on "${address}": the path is taken`,
      { cause },
    );
  }
}

function pathOf(address: Address): string {
  if (!address.startsWith("unix:///")) {
    throw new TypeError(`Cannot use "${address}": no path`);
  }
  return address.slice("unix://".length);
}
