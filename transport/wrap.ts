import { messagesOf } from "./_connection.ts";
import {
  type Credentials,
  isSecurable,
  type SecurableTransport,
} from "./credentials.ts";
import {
  type Address,
  type Arriving,
  type ArrivingConnection,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Framing,
  type InPlaceConnection,
  type Listener,
  type Transport,
} from "./types.ts";

/** Who opened a connection: this side, or the other one. */
export type ConnectionRole = "dialer" | "acceptor";

/**
 * What {@linkcode wrapConnection} puts in place of a connection's own methods. The last
 * two are of an {@linkcode InPlaceConnection}: the wrapped connection stays one where
 * `sendFrame` is given beside `send`, and `borrow` beside `receive`.
 */
export type ConnectionOverrides = Partial<
  Pick<InPlaceConnection, "send" | "receive" | "close" | "sendFrame" | "borrow">
>;

/** What {@linkcode wrapTransport} puts around a transport. */
export interface TransportOverrides {
  /** In place of the transport's own: with `connect` and `listen` that know others. */
  readonly schemes?: readonly string[];
  /** In place of the transport's own; it calls that one by itself. */
  readonly connect?: Transport["connect"];
  /** In place of the transport's own; it calls that one by itself. */
  readonly listen?: Transport["listen"];
  /**
   * Around each connection, dialled or accepted, as soon as it is open. To refuse
   * one, throw: it is closed, `connect` rejects with a `ConnectionError` that has
   * what was thrown as its cause, and a listener goes on with the next.
   */
  readonly connection?: (
    connection: Connection,
    role: ConnectionRole,
  ) => Connection;
}

/**
 * Makes a connection of another one, with some methods replaced. Iterating goes
 * through the replaced `receive`, disposing through the replaced `close`.
 *
 * @example Counting what is sent
 * ```ts
 * import { type Connection, wrapConnection } from "@devts/transport";
 *
 * function counted(connection: Connection, count: (bytes: number) => void): Connection {
 *   return wrapConnection(connection, {
 *     send(message) {
 *       count(message.length);
 *       return connection.send(message);
 *     },
 *   });
 * }
 * ```
 *
 * @param connection What stays underneath.
 * @param overrides Methods that replace its own.
 */
export function wrapConnection(
  connection: Connection,
  overrides: ConnectionOverrides,
): Connection {
  return isInPlace(connection) && staysInPlace(overrides)
    ? new WrappedInPlaceConnection(connection, overrides)
    : new WrappedConnection(connection, overrides);
}

/**
 * Makes a transport of another one: the mechanism of plugins.
 *
 * @example Dialling one scheme only
 * ```ts
 * import { type Transport, wrapTransport } from "@devts/transport";
 *
 * function onlyLocal(transport: Transport): Transport {
 *   return wrapTransport(transport, {
 *     connect(address, options) {
 *       if (address.startsWith("tcp://127.0.0.1:")) {
 *         return transport.connect(address, options);
 *       }
 *       return Promise.reject(new TypeError(`Cannot connect to "${address}": it is not local`));
 *     },
 *   });
 * }
 * ```
 *
 * It can be secured where that transport can, unless `connect` or `listen` is
 * replaced: what replaces them calls the transport underneath, which is not secured.
 * Secure that one, then wrap it.
 *
 * @param transport What stays underneath.
 * @param overrides What replaces its methods, and what wraps its connections.
 */
export function wrapTransport(
  transport: Transport,
  overrides: TransportOverrides,
): Transport {
  const replaced = overrides.connect ?? overrides.listen;
  return isSecurable(transport) && replaced === undefined
    ? new SecurableWrappedTransport(transport, overrides)
    : new WrappedTransport(transport, overrides);
}

class WrappedConnection implements Connection, ArrivingConnection {
  readonly #connection: Connection & Partial<ArrivingConnection>;
  readonly send: Connection["send"];
  readonly receive: Connection["receive"];
  readonly close: Connection["close"];

  constructor(connection: Connection, overrides: ConnectionOverrides) {
    this.#connection = connection;
    this.send = overrides.send ?? ((message) => connection.send(message));
    this.receive = overrides.receive ??
      ((options) => connection.receive(options));
    this.close = overrides.close ?? ((reason) => connection.close(reason));
  }

  get remote(): Address {
    return this.#connection.remote;
  }

  get arriving(): Arriving | null {
    return this.#connection.arriving ?? null;
  }

  get carrier(): string | undefined {
    return this.#connection.carrier;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return messagesOf(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class WrappedInPlaceConnection extends WrappedConnection
  implements InPlaceConnection {
  readonly framing: Framing;
  readonly sendFrame: InPlaceConnection["sendFrame"];
  readonly borrow: InPlaceConnection["borrow"];
  readonly keep: InPlaceConnection["keep"];

  constructor(connection: InPlaceConnection, overrides: ConnectionOverrides) {
    super(connection, overrides);
    this.framing = connection.framing;
    this.sendFrame = overrides.sendFrame ??
      ((frame, done) => connection.sendFrame(frame, done));
    this.borrow = overrides.borrow ?? ((options) => connection.borrow(options));
    this.keep = () => connection.keep();
  }
}

/** Whether nothing that is replaced is gone around in place. */
function staysInPlace(overrides: ConnectionOverrides): boolean {
  return (overrides.send === undefined || overrides.sendFrame !== undefined) &&
    (overrides.receive === undefined || overrides.borrow !== undefined);
}

/** Whether a connection sends frames from where they stand, and lends what it receives. */
export function isInPlace(
  connection: Connection,
): connection is InPlaceConnection {
  return "framing" in connection && "sendFrame" in connection &&
    "borrow" in connection && "keep" in connection;
}

type Wrap = NonNullable<TransportOverrides["connection"]>;

class WrappedTransport implements Transport {
  readonly schemes: readonly string[];
  readonly #connect: Transport["connect"];
  readonly #listen: Transport["listen"];
  readonly #wrap: Wrap | undefined;

  constructor(transport: Transport, overrides: TransportOverrides) {
    this.schemes = overrides.schemes ?? transport.schemes;
    this.#connect = overrides.connect ??
      ((address, options) => transport.connect(address, options));
    this.#listen = overrides.listen ?? ((address) => transport.listen(address));
    this.#wrap = overrides.connection;
  }

  async connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    const connection = await this.#connect(address, options);
    if (this.#wrap === undefined) return connection;
    try {
      return this.#wrap(connection, "dialer");
    } catch (cause) {
      await connection.close(asError(cause));
      throw new ConnectionError(
        `Cannot connect to "${address}": ${asError(cause).message}`,
        { cause },
      );
    }
  }

  async listen(address: Address): Promise<Listener> {
    const listener = await this.#listen(address);
    return this.#wrap === undefined
      ? listener
      : new WrappedListener(listener, this.#wrap);
  }
}

class SecurableWrappedTransport extends WrappedTransport
  implements SecurableTransport {
  readonly securable: readonly string[];
  readonly #transport: SecurableTransport;
  readonly #overrides: TransportOverrides;

  constructor(transport: SecurableTransport, overrides: TransportOverrides) {
    super(transport, overrides);
    this.securable = transport.securable;
    this.#transport = transport;
    this.#overrides = overrides;
  }

  secure(credentials: Credentials): Transport {
    return wrapTransport(this.#transport.secure(credentials), this.#overrides);
  }
}

class WrappedListener implements Listener {
  readonly #listener: Listener;
  readonly #wrap: Wrap;

  constructor(listener: Listener, wrap: Wrap) {
    this.#listener = listener;
    this.#wrap = wrap;
  }

  get address(): Address {
    return this.#listener.address;
  }

  close(): Promise<void> {
    return this.#listener.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    for await (const connection of this.#listener) {
      const wrapped = this.#tryWrap(connection);
      if (wrapped !== undefined) yield wrapped;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #tryWrap(connection: Connection): Connection | undefined {
    try {
      return this.#wrap(connection, "acceptor");
    } catch (error) {
      // Not awaited: a close that takes its time must not hold up the next one.
      connection.close(asError(error));
      return undefined;
    }
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
