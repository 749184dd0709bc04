/**
 * Messages over QUIC: encrypted, and quick to connect. It stands on an unstable
 * API of Deno: turn it on with `deno run --unstable-net`, or with
 * `"unstable": ["net"]` in `deno.json`.
 *
 * ```ts
 * import { quic } from "@devts/transport/quic";
 * import { assertEquals } from "@std/assert";
 *
 * async function echo(cert: string, key: string): Promise<void> {
 *   const transport = quic({ cert, key });
 *   await using listener = await transport.listen("quic://127.0.0.1:0");
 *   for await (const connection of listener) {
 *     const message = await connection.receive();
 *     if (message !== null) await connection.send(message);
 *     await connection.close();
 *   }
 * }
 *
 * assertEquals(quic().schemes, ["quic"]);
 * assertEquals(typeof echo, "function");
 * ```
 *
 * @module
 */

import { parseHostPort, withPort } from "./_address.ts";
import { Backlog } from "./_backlog.ts";
import { QuicStream } from "./_quic_stream.ts";
import { frame, type FrameOptions } from "./framing.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
} from "./types.ts";

/** Options of {@linkcode quic}: certificates, and the limits of its connections. */
export interface QuicOptions extends Omit<FrameOptions, "remote" | "carrier"> {
  /** The certificate chain to listen with, as PEM. Needed to listen. */
  readonly cert?: string;
  /** The private key of `cert`, as PEM. Needed to listen. */
  readonly key?: string;
  /**
   * Certificates to trust when dialling, as PEM, besides those that the runtime
   * trusts.
   *
   * @default {none}
   */
  readonly caCerts?: readonly string[];
  /**
   * After how many ms without a packet the other end counts as dead, 1 or more;
   * the lower one of both ends holds. A third of it keeps a quiet connection
   * alive. Also how long an attempt to connect lasts, at most.
   *
   * @default {15 s}
   */
  readonly idleTimeout?: number;
}

const SCHEME = "quic";
/** Names the first stream as one of framed messages; refuses every other use. */
const ALPN = "devts/1";
const IDLE_TIMEOUT = 15_000;
/** How long an accepted connection may take to open its stream, in ms. */
const STREAM_TIMEOUT = 10_000;
/** How many connections may be under way, or wait to be iterated over, per listener. */
const BACKLOG = 128;

/**
 * Makes the QUIC transport, scheme `quic`: `"quic://127.0.0.1:7946"`.
 *
 * - A connection is one stream, which the side that dialled opens: the other side
 *   sees the connection with its first message.
 * - The other end proves its name by its certificate: `serverName`, or else the
 *   host of the address. Who dialled is not proven.
 * - A process that ends without closing its connections is noticed after
 *   `idleTimeout`, and not before.
 * - All that is dialled leaves by one socket, which the transport keeps.
 * - A closed listener refuses. Its port is free once the connections that it
 *   accepted have ended and the garbage collector has been there: the runtime
 *   keeps the socket of a closed endpoint until then. The same transport can
 *   listen on it again while such connections are open.
 *
 * @param options Certificates and limits.
 * @throws {TypeError} If the runtime has no QUIC.
 * @throws {RangeError} If `idleTimeout` is out of range.
 */
export function quic(options: QuicOptions = {}): Transport {
  if (typeof Deno === "undefined" || Deno.QuicEndpoint === undefined) {
    throw new TypeError(
      'Cannot use QUIC: the unstable API "net" of Deno is off; run with "--unstable-net", or add "unstable": ["net"] to deno.json',
    );
  }
  const { idleTimeout = IDLE_TIMEOUT } = options;
  if (!Number.isSafeInteger(idleTimeout) || idleTimeout < 1) {
    throw new RangeError(
      `Cannot use QUIC with idleTimeout ${idleTimeout}: it is a whole number of ms, 1 or more`,
    );
  }
  return new QuicTransport(options, idleTimeout);
}

class QuicTransport implements Transport {
  readonly schemes: readonly string[] = [SCHEME];
  readonly #options: QuicOptions;
  readonly #timing: Deno.QuicTransportOptions;
  readonly #bindings = new Map<Address, Binding>();
  // Not closed when its last connection ends: the socket of a closed endpoint
  // stays until it is garbage, and the next dial would take another one.
  #dialling: Deno.QuicEndpoint | undefined;

  constructor(options: QuicOptions, idleTimeout: number) {
    this.#options = options;
    this.#timing = {
      maxIdleTimeout: idleTimeout,
      keepAliveInterval: Math.ceil(idleTimeout / 3),
      maxConcurrentUnidirectionalStreams: 0,
    };
  }

  async connect(
    address: Address,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { hostname, port } = parseHostPort(address, SCHEME);
    if (port === 0) {
      throw new TypeError(
        `Cannot connect to "${address}": port 0 can only be listened on`,
      );
    }
    const { signal, serverName = hostname } = options;
    signal?.throwIfAborted();
    const dialled = this.#dial(hostname, port, serverName);
    try {
      const stream = await unlessAborted(dialled, signal);
      return this.#frame(stream, address);
    } catch (error) {
      if (signal?.aborted) {
        dialled.then((late) => late.close(new Error("Aborted")))
          .catch(() => {});
        throw signal.reason;
      }
      throw cannot("connect to", address, error);
    }
  }

  // deno-lint-ignore require-await -- async: what is thrown rejects
  async listen(address: Address): Promise<Listener> {
    const { hostname, port } = parseHostPort(address, SCHEME);
    const { cert, key } = this.#options;
    if (cert === undefined || key === undefined) {
      throw new TypeError(
        `Cannot listen on "${address}": QUIC needs a certificate; give quic() the options cert and key`,
      );
    }
    let binding = this.#bindings.get(address);
    if (binding === undefined) {
      try {
        binding = this.#bind(hostname, port, { cert, key });
      } catch (error) {
        throw cannot("listen on", address, error);
      }
    }
    const bound = withPort(address, binding.port);
    const backlog = binding.listen(bound);
    return new QuicListener(bound, binding, backlog);
  }

  async #dial(
    hostname: string,
    port: number,
    serverName: string,
  ): Promise<QuicStream> {
    this.#dialling ??= bindAny();
    const conn = await Deno.connectQuic({
      ...this.#timing,
      maxConcurrentBidirectionalStreams: 0,
      hostname,
      port,
      serverName,
      caCerts: [...this.#options.caCerts ?? []],
      alpnProtocols: [ALPN],
      endpoint: this.#dialling,
    });
    conn.closed.catch(() => {});
    return new QuicStream(conn, await conn.createBidirectionalStream());
  }

  #bind(
    hostname: string,
    port: number,
    certificate: { cert: string; key: string },
  ): Binding {
    const endpoint = new Deno.QuicEndpoint({ hostname, port });
    try {
      const listener = endpoint.listen({
        ...this.#timing,
        ...certificate,
        maxConcurrentBidirectionalStreams: 1,
        alpnProtocols: [ALPN],
      });
      const bound = `${SCHEME}://${authority(hostname, endpoint.addr.port)}`;
      const binding = new Binding(endpoint, listener, {
        connection: (stream, remote) => this.#frame(stream, remote),
        ended: () => this.#bindings.delete(bound),
      });
      this.#bindings.set(bound, binding);
      return binding;
    } catch (error) {
      endpoint.close();
      throw error;
    }
  }

  #frame(stream: QuicStream, remote: Address): Connection {
    return frame(stream, { ...this.#options, remote, carrier: SCHEME });
  }
}

/** What a {@linkcode Binding} asks of the transport. */
interface BindingContext {
  connection(stream: QuicStream, remote: Address): Connection;
  ended(): void;
}

/**
 * A port: it outlives its listener for as long as connections use it, since
 * closing its endpoint would close them. Meanwhile it refuses, and the transport
 * can listen on it again. (Stopping the QUIC listener instead would leave those
 * who dial without an answer, and a pending `incoming()` pending for ever.)
 */
class Binding {
  readonly port: number;
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #listener: Deno.QuicListener;
  readonly #context: BindingContext;
  #backlog: Backlog | undefined;
  /** Connections that are open, or about to. */
  #users = 0;

  constructor(
    endpoint: Deno.QuicEndpoint,
    listener: Deno.QuicListener,
    context: BindingContext,
  ) {
    this.port = endpoint.addr.port;
    this.#endpoint = endpoint;
    this.#listener = listener;
    this.#context = context;
    this.#accept();
  }

  /** @throws {ConnectionError} If somebody listens already. */
  listen(address: Address): Backlog {
    if (this.#backlog !== undefined) {
      throw new ConnectionError(
        `Cannot listen on "${address}": the address is in use`,
      );
    }
    this.#backlog = new Backlog(BACKLOG);
    return this.#backlog;
  }

  /** Refuses from then on; ends once nobody uses the port. */
  async unlisten(): Promise<void> {
    const untaken = this.#backlog?.close() ?? [];
    this.#backlog = undefined;
    const reason = new Error("Nobody listens");
    await Promise.all(untaken.map((connection) => connection.close(reason)));
    this.#endUnlessUsed();
  }

  /** Takes what comes in; never rejects. */
  async #accept(): Promise<void> {
    for (;;) {
      let incoming: Deno.QuicIncoming;
      try {
        // Not `accept()`: that rejects with one stranger's failed handshake.
        incoming = await this.#listener.incoming();
      } catch {
        break;
      }
      // Its getters stay untouched: they use it up.
      this.#admit(incoming);
    }
    await this.unlisten();
  }

  #admit(incoming: Deno.QuicIncoming): void {
    const backlog = this.#backlog;
    if (backlog === undefined || !backlog.reserve()) return refuse(incoming);
    this.#users++;
    this.#welcome(incoming, backlog).catch(() => backlog.release()).then(() => {
      this.#users--;
      this.#endUnlessUsed();
    });
  }

  /** Settles once the connection has ended; rejects where it never opened. */
  async #welcome(
    incoming: Deno.QuicIncoming,
    backlog: Backlog,
  ): Promise<void> {
    const conn = await incoming.accept();
    const closed = conn.closed.then(() => {}, () => {});
    try {
      const connection = await this.#open(conn);
      if (!backlog.fill(connection)) {
        connection.close(new Error("Not listening"));
      }
    } catch (error) {
      conn.close({ closeCode: 1, reason: "" });
      throw error;
    }
    await closed;
  }

  async #open(conn: Deno.QuicConn): Promise<Connection> {
    const stream = new QuicStream(conn, await firstStream(conn));
    const { hostname, port } = conn.remoteAddr;
    const remote = `${SCHEME}://${authority(hostname, port)}`;
    return this.#context.connection(stream, remote);
  }

  #endUnlessUsed(): void {
    if (this.#backlog !== undefined || this.#users > 0) return;
    this.#context.ended();
    this.#endpoint.close();
  }
}

class QuicListener implements Listener {
  readonly address: Address;
  readonly #binding: Binding;
  readonly #backlog: Backlog;
  #closed: Promise<void> | undefined;

  constructor(address: Address, binding: Binding, backlog: Backlog) {
    this.address = address;
    this.#binding = binding;
    this.#backlog = backlog;
  }

  close(): Promise<void> {
    this.#closed ??= this.#binding.unlisten();
    return this.#closed;
  }

  [Symbol.asyncIterator](): AsyncIterator<Connection> {
    return this.#backlog[Symbol.asyncIterator]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A socket to dial from: for IPv4 and IPv6, or for IPv4 where there is no other. */
function bindAny(): Deno.QuicEndpoint {
  try {
    return new Deno.QuicEndpoint({ hostname: "::" });
  } catch {
    return new Deno.QuicEndpoint({ hostname: "0.0.0.0" });
  }
}

/** The stream that the dialling side opens; closes the connection where none comes. */
async function firstStream(
  conn: Deno.QuicConn,
): Promise<Deno.QuicBidirectionalStream> {
  const timer = setTimeout(
    () => conn.close({ closeCode: 1, reason: "" }),
    STREAM_TIMEOUT,
  );
  try {
    const { value } = await conn.incomingBidirectionalStreams.getReader()
      .read();
    if (value === undefined) throw new Error("The connection has no stream");
    return value;
  } finally {
    clearTimeout(timer);
  }
}

function refuse(incoming: Deno.QuicIncoming): void {
  try {
    incoming.refuse();
  } catch {
    // It is gone already.
  }
}

/** Waits for a promise, or rejects as soon as the signal aborts. */
async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function authority(hostname: string, port: number): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

function cannot(what: string, address: Address, error: unknown): Error {
  const detail = error instanceof Error ? error.message : String(error);
  return new ConnectionError(`Cannot ${what} "${address}": ${detail}`, {
    cause: error,
  });
}
