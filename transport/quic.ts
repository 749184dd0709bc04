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
import {
  byCertificates,
  byCredentials,
  type Encryption,
} from "./_encryption.ts";
import { QuicPort, type QuicPortContext, SCHEME } from "./_quic_port.ts";
import { QuicSession } from "./_quic_session.ts";
import type { QuicStream } from "./_quic_stream.ts";
import { cannot, toDial } from "./_sockets.ts";
import type {
  CertificateOptions,
  Credentials,
  SecurableTransport,
} from "./credentials.ts";
import { frame, type FrameLimits } from "./framing.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
} from "./types.ts";

/** Options of {@linkcode quic}: certificates, and the limits of its connections. */
export interface QuicOptions extends FrameLimits, CertificateOptions {
  /**
   * Within how many ms after its last packet the other end counts as dead, 1 or more:
   * after three quarters of that at the earliest; the lower one of both ends holds. A
   * quarter of it keeps a quiet connection alive. An attempt to connect lasts 3 s less,
   * but 1.5 s at least and 10 s at most: a peer that is gone is known to be once it cannot
   * be dialled, either.
   *
   * @default {15 s}
   */
  readonly idleTimeout?: number;
}

const IDLE_TIMEOUT = 15_000;
/** How long an attempt to connect may take, in ms. The runtime takes no signal. */
const DIAL_TIMEOUT = 10_000;
const SHORTEST_DIAL = 1_500;
/** So much sooner than a connection is an attempt to connect given up, in ms. */
const SOONER = 3_000;
/** Connections that one session carries at most; what dials opens another one then. */
const STREAMS = 8;

/**
 * Makes the QUIC transport, scheme `quic`: `"quic://127.0.0.1:7946"`.
 *
 * - A connection is a stream, which the side that dialled opens: the other side
 *   sees the connection with its first message. Up to 8 connections to one address
 *   share a QUIC session; what they carry does not wait for each other.
 * - The other end proves its name by its certificate: `serverName`, or else the
 *   host of the address. Who dialled is not proven: that is the business of a
 *   handshake. Secured, it shows and believes what its credentials say, instead of
 *   its options.
 * - A process that ends without closing its connections is noticed after
 *   `idleTimeout`, and not before. Close them when the process is told to end.
 * - A listening port dials, too, whatever it can reach; what it cannot leaves by one
 *   more socket, which the transport keeps.
 * - A closed listener refuses. Its port is free once the connections that it
 *   accepted have ended and the garbage collector has been there: the runtime
 *   keeps the socket of a closed endpoint until then. The same transport can
 *   listen on it again while such connections are open.
 *
 * @param options Certificates and limits.
 * @throws {TypeError} If the runtime has no QUIC.
 * @throws {RangeError} If `idleTimeout` is out of range.
 */
export function quic(options: QuicOptions = {}): SecurableTransport {
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
  return new SecurableQuicTransport(options, idleTimeout);
}

class QuicTransport implements Transport {
  readonly schemes: readonly string[] = [SCHEME];
  readonly #encryption: Encryption;
  readonly #timing: Deno.QuicTransportOptions;
  readonly #dialTimeout: number;
  readonly #ports = new Map<Address, QuicPort>();
  readonly #context: QuicPortContext;
  /** Sessions to dial over once more, or about to open, by whom they reach. */
  readonly #sessions = new Map<string, Promise<QuicSession>>();
  // Not closed when its last session ends: the socket of a closed endpoint stays
  // until it is garbage, and the next dial would take another one.
  #dialling: Deno.QuicEndpoint | undefined;

  constructor(encryption: Encryption, limits: FrameLimits, idle: number) {
    this.#encryption = encryption;
    this.#dialTimeout = Math.min(
      DIAL_TIMEOUT,
      Math.max(SHORTEST_DIAL, idle - SOONER),
    );
    // The time of QUIC starts anew with what this end sends first after it has heard the
    // other one (RFC 9000, section 10.1): within a quarter, which it pings after.
    const keepAliveInterval = Math.ceil(idle / 4);
    this.#timing = {
      maxIdleTimeout: Math.max(1, idle - keepAliveInterval),
      keepAliveInterval,
      maxConcurrentUnidirectionalStreams: 0,
    };
    this.#context = {
      encryption,
      session: { ...this.#timing, maxConcurrentBidirectionalStreams: STREAMS },
      connection: (stream, remote) =>
        frame(stream, { ...limits, remote, carrier: SCHEME, goodbye: true }),
      ended: (port) => {
        for (const [address, other] of this.#ports) {
          if (other === port) this.#ports.delete(address);
        }
      },
    };
  }

  async connect(
    address: Address,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { hostname, port } = toDial(address, SCHEME);
    const { signal } = options;
    const serverName = this.#encryption.serverName(hostname, options);
    signal?.throwIfAborted();
    const dialled = this.#open({ hostname, port, serverName });
    try {
      const stream = await inTime(dialled, this.#dialTimeout, signal);
      return this.#context.connection(stream, address);
    } catch (error) {
      dialled.then((late) => late.close(new Error("Too late")), () => {});
      signal?.throwIfAborted();
      throw cannot("connect to", address, error);
    }
  }

  async listen(address: Address): Promise<Listener> {
    const { hostname, port } = parseHostPort(address, SCHEME);
    try {
      const bound = this.#ports.get(address) ?? this.#bind(hostname, port);
      const chosen = withPort(address, bound.number);
      this.#ports.set(chosen, bound);
      return await bound.listen(chosen);
    } catch (error) {
      const known = error instanceof TypeError ||
        error instanceof ConnectionError;
      throw known ? error : cannot("listen on", address, error);
    }
  }

  #bind(hostname: string, port: number): QuicPort {
    return new QuicPort(hostname, port, this.#context);
  }

  /** A stream of a session there is already, or else of a new one. */
  async #open(target: Target): Promise<QuicStream> {
    const { caCerts = [] } = await this.#encryption.certificates();
    // Whoever believes others by now does not share what was believed before.
    const { hostname, port, serverName } = target;
    const key = [hostname, port, serverName, ...caCerts].join("\n");
    for (;;) {
      const known = this.#sessions.get(key);
      if (known === undefined) {
        return await this.#openNew(key, this.#dial(target, [...caCerts]));
      }
      const stream = await share(known);
      if (stream !== undefined) return stream;
      if (this.#sessions.get(key) === known) this.#sessions.delete(key);
    }
  }

  async #openNew(
    key: string,
    dialled: Promise<QuicSession>,
  ): Promise<QuicStream> {
    this.#sessions.set(key, dialled);
    const forget = () => {
      if (this.#sessions.get(key) === dialled) this.#sessions.delete(key);
    };
    dialled.then(({ closed }) => closed.then(forget), forget);
    return await (await dialled).open();
  }

  async #dial(target: Target, caCerts: string[]): Promise<QuicSession> {
    const connect = async (endpoint: Deno.QuicEndpoint) =>
      new QuicSession(
        await Deno.connectQuic<false>({
          ...this.#timing,
          ...target,
          maxConcurrentBidirectionalStreams: 0,
          caCerts,
          alpnProtocols: [this.#encryption.alpn],
          endpoint,
        }),
      );
    const ports = [...this.#ports.values()].filter((port) =>
      port.reaches(target.hostname)
    );
    // Of several, only the system knows which one leads there.
    if (ports[0] !== undefined && ports.length === 1) {
      return await ports[0].use(connect);
    }
    this.#dialling ??= bindAny();
    return await connect(this.#dialling);
  }
}

class SecurableQuicTransport extends QuicTransport
  implements SecurableTransport {
  readonly securable: readonly string[] = [SCHEME];
  readonly #options: QuicOptions;
  readonly #idle: number;

  constructor(options: QuicOptions, idle: number) {
    super(byCertificates(options), options, idle);
    this.#options = options;
    this.#idle = idle;
  }

  secure(credentials: Credentials): Transport {
    return new QuicTransport(
      byCredentials(credentials),
      this.#options,
      this.#idle,
    );
  }
}

/** Who is dialled, and the name that it must prove. */
interface Target {
  readonly hostname: string;
  readonly port: number;
  readonly serverName: string;
}

/** A stream of a session, unless it has ended, or will soon, or takes no more of them. */
async function share(
  dialled: Promise<QuicSession>,
): Promise<QuicStream | undefined> {
  try {
    const session = await dialled;
    return session.inUse ? await session.open() : undefined;
  } catch {
    return undefined;
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

/** Waits for an attempt to connect, but not for ever, and not once the signal aborts. */
async function inTime<T>(
  attempt: Promise<T>,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const { promise: given, reject: giveUp } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => giveUp(new Error(`no answer in ${limit / 1000} s`)),
    limit,
  );
  const abort = () => giveUp(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([attempt, given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
