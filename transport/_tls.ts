import { acceptFrom, type Acceptor } from "./_accept.ts";
import { parseHostPort, withPort } from "./_address.ts";
import { byteStream } from "./_deno_conn.ts";
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
/** How long to wait for a port that a listener has just left, in ms; doubled each time. */
const MIN_PAUSE = 5;
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
      (conn) =>
        this.#frame(acceptedStream(conn, alpn), remoteOf(conn, this.#scheme)),
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
 */
function acceptedStream(conn: Deno.TlsConn, alpn: string): ByteStream {
  const stream = byteStream(conn);
  let open = false;
  const opened = handled(
    handshake(conn, alpn, undefined).then(() => {
      open = true;
    }, (error) => {
      closeQuietly(conn);
      throw error;
    }),
  );
  return {
    read: (buffer) =>
      open ? stream.read(buffer) : opened.then(() => stream.read(buffer)),
    write: (bytes) =>
      open ? stream.write(bytes) : opened.then(() => stream.write(bytes)),
    // Whoever has not finished the handshake was sent nothing that could be lost.
    close: (reason) =>
      stream.close(open ? reason : reason ?? new Error("No handshake")),
  };
}

/** Completes a handshake, or rejects in time. */
async function handshake(
  conn: Deno.TlsConn,
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
    throw new Error(
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
class TlsAcceptor implements Acceptor<Deno.TlsConn> {
  readonly #address: Address;
  readonly #encryption: Encryption;
  readonly #hostname: string;
  #port = 0;
  #shown: Shown | undefined;
  #listener: Deno.TlsListener | undefined;
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
      this.#listener = this.#bind(port, shown);
    } catch (error) {
      throw cannot("listen on", this.#address, error);
    }
    this.#shown = shown;
    this.#port = this.#listener.addr.port;
    this.#changes = this.#encryption.onChange(() => {
      this.#changed = this.#changed.then(() => this.#change());
    });
    return this.#port;
  }

  async accept(): Promise<Deno.TlsConn> {
    for (;;) {
      await this.#changed;
      const listener = this.#listener;
      if (listener === undefined) throw new Error("The listener is closed");
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

  /** Shows the present certificate from now on; never rejects. */
  async #change(): Promise<void> {
    try {
      const next = await this.#ownCertificate();
      const { cert, key } = this.#shown ?? {};
      if (this.#closed || next.cert === cert && next.key === key) return;
      // One that cannot be used throws here, while the former still listens.
      this.#bind(0, next).close();
      this.#listener?.close();
      this.#listener = undefined;
      this.#listener = await this.#rebind(next);
      this.#shown = next;
    } catch {
      // The former certificate stays: whoever made the change knows why.
    }
  }

  /** Listens on the same port again, as soon as the former listener has left it. */
  async #rebind(shown: Shown): Promise<Deno.TlsListener | undefined> {
    for (let pause = MIN_PAUSE; !this.#closed; pause *= 2) {
      try {
        return this.#bind(this.#port, shown);
      } catch {
        // Whoever took the port meanwhile may leave it, too.
        await new Promise((resolve) =>
          setTimeout(resolve, Math.min(pause, MAX_PAUSE))
        );
      }
    }
  }

  #bind(port: number, shown: Shown): Deno.TlsListener {
    return Deno.listenTls({
      hostname: this.#hostname,
      port,
      ...shown,
      alpnProtocols: [this.#encryption.alpn],
    });
  }
}

/** Says of what the runtime throws in a handshake what it may come of. */
function withHint(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message } = error;
  if (/InvalidContentType|corrupt message/.test(message)) {
    return new Error(`it does not encrypt (${message})`);
  }
  return /end of file|UnexpectedEof/.test(message)
    ? new Error(
      `it closed in the TLS handshake: it may not encrypt (${message})`,
    )
    : error;
}

function closeQuietly(conn: Pick<Deno.Conn, "close">): void {
  try {
    conn.close();
  } catch {
    // It was closed already.
  }
}
