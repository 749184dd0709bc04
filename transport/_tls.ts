import { acceptFrom, type Acceptor } from "./_accept.ts";
import { parseHostPort, withPort } from "./_address.ts";
import type {
  TlsAccepted,
  TlsListening,
  TlsListenOptions,
} from "./_closable_tls.ts";
import { byteStream, closeQuietly } from "./_deno_conn.ts";
import { type Encryption, ownCertificate } from "./_encryption.ts";
import { handled } from "./_promise.ts";
import { cannot, dialTcp, remoteOf, toDial } from "./_sockets.ts";
import { type ByteStream, frame, type FrameLimits } from "./framing.ts";
import type {
  Address,
  Connection,
  ConnectOptions,
  Listener,
  Transport,
} from "./types.ts";

/** How long a TLS handshake may take, in ms. The runtime has no limit of its own. */
const HANDSHAKE_TIMEOUT = 5_000;
/** A handshake takes less than so many ms, unless it stalls. */
const GRACE = 500;
/** How long to wait for a port that a listener has just left, in ms; doubled each time. */
const MIN_PAUSE = 1;
const MAX_PAUSE = 1_000;

/** A certificate to listen with. */
type Shown = ReturnType<typeof ownCertificate>;

/** Messages over TLS over TCP, for one scheme. */
export class TlsTransport implements Transport {
  readonly schemes: readonly string[];
  readonly #scheme: string;
  readonly #encryption: Encryption;
  readonly #limits: FrameLimits;

  constructor(
    scheme: string,
    encryption: Encryption,
    limits: FrameLimits,
  ) {
    this.schemes = [scheme];
    this.#scheme = scheme;
    this.#encryption = encryption;
    this.#limits = limits;
  }

  async connect(
    address: Address,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { hostname } = toDial(address, this.#scheme);
    const { signal } = options;
    const serverName = this.#encryption.serverName(hostname, options);
    signal?.throwIfAborted();
    const caCerts = await this.#caCerts(address);
    const socket = await dialTcp(address, this.#scheme, signal);
    const { alpn } = this.#encryption;
    let conn: Deno.TlsConn | Deno.TcpConn = socket;
    try {
      const options = { hostname: serverName, caCerts, alpnProtocols: [alpn] };
      const secured = await Deno.startTls(socket, options);
      conn = secured;
      await handshake(secured, alpn, signal);
      return this.#frame(byteStream(secured), address);
    } catch (error) {
      closeQuietly(conn);
      signal?.throwIfAborted();
      throw cannot("connect to", address, error);
    }
  }

  async listen(address: Address): Promise<Listener> {
    const { hostname, port } = parseHostPort(address, this.#scheme);
    const acceptor = new TlsAcceptor(address, this.#encryption, hostname);
    const bound = withPort(address, await acceptor.start(port));
    const { alpn } = this.#encryption;
    return acceptFrom(
      acceptor,
      bound,
      (conn, ended) =>
        this.#frame(
          acceptedStream(conn, alpn, {
            ended,
            shaken: acceptor.shaking(conn),
          }),
          remoteOf(conn, this.#scheme),
        ),
    );
  }

  async #caCerts(address: Address): Promise<string[]> {
    try {
      const { caCerts = [] } = await this.#encryption.certificates();
      return [...caCerts];
    } catch (error) {
      throw cannot("connect to", address, error);
    }
  }

  #frame(stream: ByteStream, remote: Address): Connection {
    return frame(stream, { ...this.#limits, remote, carrier: "tls" });
  }
}

/**
 * What was accepted, before its handshake: one that stalls is closed by a timer, and
 * holds up nobody, since reading is what waits for it.
 *
 * @param on Told once its handshake is over, or given up before that, and once it is closed.
 */
function acceptedStream(
  conn: TlsAccepted,
  alpn: string,
  on: { shaken(isGivenUp: boolean): void; ended(): void },
): ByteStream {
  const stream = byteStream(conn, on.ended);
  let open = false;
  let over = false;
  const end = (isGivenUp: boolean): void => {
    if (!over) on.shaken(isGivenUp);
    over = true;
  };
  let opening: Promise<void> | null = null;
  const opened = () =>
    opening ??= handled(
      handshake(conn, alpn, undefined).then(() => {
        open = true;
        end(false);
      }, (error) => {
        end(error instanceof LateError);
        on.ended();
        closeQuietly(conn);
        throw error;
      }),
    );
  // Whoever is closed at once, as one too many, costs no handshake.
  const timer = setTimeout(opened, 0);
  return {
    read: (buffer) =>
      open ? stream.read(buffer) : opened().then(() => stream.read(buffer)),
    write: (bytes) =>
      open ? stream.write(bytes) : opened().then(() => stream.write(bytes)),
    // Whoever has not finished the handshake was sent nothing that could be lost.
    close: (reason) => {
      clearTimeout(timer);
      end(true);
      return stream.close(open ? reason : reason ?? new Error("No handshake"));
    },
  };
}

/** Completes a handshake, or rejects in time. */
async function handshake(
  conn: Pick<TlsAccepted, "handshake" | "close">,
  alpn: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  let late = false;
  // Closing makes a pending handshake reject.
  const timer = setTimeout(() => {
    late = true;
    closeQuietly(conn);
  }, HANDSHAKE_TIMEOUT);
  const abort = () => closeQuietly(conn);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    signal?.throwIfAborted();
    const { alpnProtocol } = await conn.handshake();
    signal?.throwIfAborted();
    if (alpnProtocol === alpn) return;
    throw new Error(`the other end does not speak "${alpn}"`);
  } catch (error) {
    if (!late) throw withHint(error);
    throw new LateError(
      `the TLS handshake took longer than ${HANDSHAKE_TIMEOUT / 1000} s`,
    );
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * A TLS listener that changes its certificate: by making way for another one on the
 * same port, since the runtime's own cannot change it.
 */
class TlsAcceptor implements Acceptor<TlsAccepted> {
  readonly #address: Address;
  readonly #encryption: Encryption;
  readonly #hostname: string;
  #port = 0;
  #shown: Shown | undefined;
  #listener: TlsListening | undefined;
  /** Handshakes over the runtime's own TLS that were given up, and that are under way. */
  #stuck = 0;
  #shaking = 0;
  #oneOver = (): void => {};
  /** Whether it goes on over TLS whose sockets can be closed. */
  #isClosable = false;
  #changes: Disposable | undefined;
  /** Settles once no change is under way; never rejects. */
  #changed: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(address: Address, encryption: Encryption, hostname: string) {
    this.#address = address;
    this.#encryption = encryption;
    this.#hostname = hostname;
  }

  /** Starts to listen; resolves to the port. */
  async start(port: number): Promise<number> {
    const shown = await this.#ownCertificate();
    try {
      this.#listener = listenTls(this.#options(port, shown));
    } catch (error) {
      throw cannot("listen on", this.#address, error);
    }
    this.#shown = shown;
    this.#port = this.#listener.port;
    this.#changes = this.#encryption.onChange(() => this.#changeInTurn());
    return this.#port;
  }

  /**
   * A handshake begins; what is returned is to say once whether it was given up.
   *
   * Deno cannot close the socket of one that was, so whoever stalls could take up one after
   * the other: where too many are given up, or do not come to an end, this goes on over
   * `node:tls`, which can, and takes in data more slowly.
   */
  shaking(conn: TlsAccepted): (isGivenUp: boolean) => void {
    const { hostname } = conn.remoteAddr;
    if (conn.isClosable) {
      return (isGivenUp) => {
        if (isGivenUp) this.#listener?.gaveUp?.(hostname);
      };
    }
    this.#shaking++;
    return (isGivenUp) => {
      this.#shaking--;
      if (isGivenUp) {
        this.#stuck++;
        this.#encryption.stalls.met("handshakes");
        if (!this.#hasRoom(0)) this.#goOnClosable();
      }
      this.#oneOver();
    };
  }

  async accept(): Promise<TlsAccepted> {
    for (;;) {
      await this.#changed;
      const listener = this.#listener;
      if (listener === undefined) throw new Error("The listener is closed");
      if (!this.#isClosable && !this.#hasRoom(this.#shaking)) {
        await this.#untilOneIsOver();
        continue;
      }
      try {
        return await listener.accept();
      } catch (error) {
        if (listener === this.#listener) throw error;
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#changes?.[Symbol.dispose]();
    this.#listener?.close();
    this.#listener = undefined;
    this.#oneOver();
  }

  /** Whether one more may be begun beside so many, whose sockets may stay. */
  #hasRoom(shaking: number): boolean {
    return this.#stuck + shaking < this.#encryption.stalls.handshakes;
  }

  /** Those that come to no end in time are as good as given up. */
  async #untilOneIsOver(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#oneOver = resolve;
    const timer = setTimeout(() => this.#goOnClosable(), GRACE);
    await promise;
    clearTimeout(timer);
  }

  #goOnClosable(): void {
    if (this.#isClosable) return;
    this.#isClosable = true;
    this.#changed = this.#changed.then(() => this.#change({ anew: true }));
    this.#oneOver();
  }

  async #ownCertificate(): Promise<Shown> {
    try {
      const certificates = await this.#encryption.certificates();
      return ownCertificate(certificates, this.#address);
    } catch (error) {
      if (error instanceof TypeError) throw error;
      throw cannot("listen on", this.#address, error);
    }
  }

  /** Resolves once it shows the present certificate, or somebody else has the port. */
  #changeInTurn(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed = this.#changed
      .then(() => this.#change({ isTaken: resolve }))
      .then(resolve);
    return promise;
  }

  /** Shows the present certificate from now on; never rejects. */
  async #change(
    { anew = false, isTaken = () => {} }: {
      readonly anew?: boolean;
      /** Called where the port does not become free for long. */
      readonly isTaken?: () => void;
    },
  ): Promise<void> {
    try {
      const next = await this.#ownCertificate();
      const { cert, key } = this.#shown ?? {};
      const isSame = next.cert === cert && next.key === key;
      if (this.#closed || isSame && !anew) return;
      // One that cannot be used throws here, while the former still listens.
      listenTls(this.#options(0, next)).close();
      this.#listener?.close();
      this.#listener = undefined;
      const listener = await this.#rebind(next, isTaken);
      if (this.#closed) return listener?.close();
      this.#listener = listener;
      this.#shown = next;
    } catch {
      // The former listener stays: whoever changed the certificate knows why.
      if (anew) this.#isClosable = false;
    }
  }

  /** Listens on the same port again, as soon as the former listener has left it. */
  async #rebind(
    shown: Shown,
    isTaken: () => void,
  ): Promise<TlsListening | undefined> {
    const options = this.#options(this.#port, shown);
    for (let pause = MIN_PAUSE; !this.#closed; pause *= 2) {
      try {
        if (!this.#isClosable) return listenTls(options);
        const { listenClosable } = await import("./_closable_tls.ts");
        return listenClosable(options, this.#encryption.stalls);
      } catch {
        // Whoever took the port meanwhile may leave it, too.
        if (pause > MAX_PAUSE) isTaken();
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(pause, MAX_PAUSE))
        );
      }
    }
  }

  #options(port: number, shown: Shown): TlsListenOptions {
    const { alpn } = this.#encryption;
    return { hostname: this.#hostname, port, ...shown, alpn };
  }
}

/** Listens over the runtime's own TLS. */
function listenTls({ alpn, ...options }: TlsListenOptions): TlsListening {
  const listener = Deno.listenTls({ ...options, alpnProtocols: [alpn] });
  return {
    port: listener.addr.port,
    accept: () => listener.accept(),
    close: () => listener.close(),
  };
}

/** The other end did not go on with the handshake. */
class LateError extends Error {}

/** Says of what the runtime throws in a handshake what it may come of. */
function withHint(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message } = error;
  if (/InvalidContentType|corrupt message/.test(message)) {
    // Of the same kind whoever does the TLS: bytes that make no sense.
    return new Deno.errors.InvalidData(`it does not encrypt (${message})`);
  }
  return /end of file|UnexpectedEof/.test(message)
    ? new Error(
      `it closed in the TLS handshake: it may not encrypt (${message})`,
    )
    : error;
}
