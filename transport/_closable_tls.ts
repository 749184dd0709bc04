import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { closeQuietly, type DenoConn, writeAll } from "./_deno_conn.ts";
import { sendAtOnce } from "./_sockets.ts";
import type { StallLimits } from "./credentials.ts";

/** Hosts that are counted. */
const MAX_HOSTS = 1_024;

/** What is read of a socket at a time, in bytes: a record of TLS. */
const PIECE = 16_384;

/** A connection over TLS that was accepted, before its handshake. */
export interface TlsAccepted extends DenoConn {
  readonly remoteAddr: Deno.NetAddr;
  /** Whether closing it frees its socket before the end of its handshake, too. */
  readonly isClosable?: boolean;
  handshake(): Promise<{ readonly alpnProtocol: string | null }>;
}

/** What is needed of a `Deno.TlsListener`. */
export interface TlsListening {
  readonly port: number;
  accept(): Promise<TlsAccepted>;
  /** A connection from there was given up before the end of its handshake. */
  gaveUp?(hostname: string): void;
  close(): void;
}

/** How to listen. */
export interface TlsListenOptions {
  readonly hostname: string;
  readonly port: number;
  readonly cert: string;
  readonly key: string;
  /** The one application protocol that is spoken. */
  readonly alpn: string;
}

/**
 * A listener whose connections do their TLS by `node:tls`, over sockets of Deno. They
 * carry about half as much as those of `Deno.listenTls()`, but closing one whose
 * handshake stalls closes its socket.
 *
 * @throws {Error} If it cannot listen there.
 */
export function listenClosable(
  { hostname, port, cert, key, alpn }: TlsListenOptions,
  stalls: Required<StallLimits>,
): TlsListening {
  const context = createSecureContext({ cert, key });
  const listener = Deno.listen({ hostname, port });
  const givenUp = new GivenUp(stalls.perHost);
  return {
    port: listener.addr.port,
    accept: async () => {
      for (;;) {
        const conn = await listener.accept();
        if (!givenUp.isCrowded(conn.remoteAddr.hostname)) {
          return new ClosableTls(conn, context, alpn);
        }
        conn.close();
        stalls.met("perHost");
      }
    },
    gaveUp: (hostname) => givenUp.note(hostname),
    close: () => listener.close(),
  };
}

/** How many connections of each host were given up within this second. */
class GivenUp {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();
  #second = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  note(hostname: string): void {
    const count = this.#present().get(hostname) ?? 0;
    if (count > 0 || this.#counts.size < MAX_HOSTS) {
      this.#counts.set(hostname, count + 1);
    }
  }

  isCrowded(hostname: string): boolean {
    return (this.#present().get(hostname) ?? 0) >= this.#limit;
  }

  #present(): Map<string, number> {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#second) this.#counts.clear();
    this.#second = second;
    return this.#counts;
  }
}

/**
 * One connection. The socket is read only while somebody waits for what comes of it:
 * the TLS of Node does not hold back what is sent faster.
 */
class ClosableTls implements TlsAccepted {
  readonly remoteAddr: Deno.NetAddr;
  readonly isClosable = true;
  readonly #conn: Deno.TcpConn;
  readonly #context: SecureContext;
  readonly #alpn: string;
  #sealed: Duplex | null = null;
  #tls: TLSSocket | null = null;
  /** What was decrypted and not read. */
  #rest: Uint8Array | null = null;
  #isSecure = false;
  #ended = false;
  #error: Error | null = null;

  constructor(conn: Deno.TcpConn, context: SecureContext, alpn: string) {
    sendAtOnce(conn);
    this.#conn = conn;
    this.#context = context;
    this.#alpn = alpn;
    this.remoteAddr = conn.remoteAddr;
  }

  async handshake(): Promise<{ readonly alpnProtocol: string | null }> {
    if (this.#error) throw this.#error;
    const sealed = this.#sealed = sealedBy(this.#conn);
    const tls = this.#tls = new TLSSocket(sealed, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: [this.#alpn],
    });
    tls.allowHalfOpen = true;
    tls.on("secure", () => this.#isSecure = true);
    for (const stream of [sealed, tls]) {
      stream.on("error", (error) => this.#error ??= error);
    }
    while (!this.#isSecure) await this.#pull();
    return { alpnProtocol: tls.alpnProtocol || null };
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      this.#rest ??= this.#tls?.read() ?? null;
      if (this.#rest) return this.#take(this.#rest, buffer);
      if (this.#ended) return null;
      await this.#pull();
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#error || !this.#tls) return reject(this.#error);
      this.#tls.write(
        bytes,
        (error) => error ? reject(error) : resolve(bytes.length),
      );
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#error || !this.#tls) return reject(this.#error);
      this.#tls.end(() => resolve());
    });
  }

  close(): void {
    this.#error ??= new Deno.errors.BadResource("The connection is closed");
    this.#tls?.destroy();
    this.#sealed?.destroy();
    closeQuietly(this.#conn);
  }

  /** Decrypts what arrives next. */
  async #pull(): Promise<void> {
    if (this.#error) throw this.#error;
    if (this.#ended) {
      throw new Deno.errors.UnexpectedEof("unexpected end of file");
    }
    const piece = new Uint8Array(PIECE);
    const length = await this.#conn.read(piece);
    this.#ended = length === null;
    this.#sealed?.push(length === null ? null : piece.subarray(0, length));
    await turn();
    if (this.#error && !this.#tls?.readableLength) throw this.#error;
  }

  #take(rest: Uint8Array, buffer: Uint8Array): number {
    const taken = Math.min(rest.length, buffer.length);
    buffer.set(rest.subarray(0, taken));
    this.#rest = taken < rest.length ? rest.subarray(taken) : null;
    return taken;
  }
}

/** A socket as `node:tls` wants it; what is read of it is pushed. */
function sealedBy(conn: Deno.TcpConn): Duplex {
  return new Duplex({
    allowHalfOpen: true,
    read() {},
    write(bytes: Uint8Array, _, done) {
      writeAll(conn, bytes).then(() => done(), done);
    },
    final(done) {
      conn.closeWrite().then(() => done(), done);
    },
    destroy(error, done) {
      closeQuietly(conn);
      done(error);
    },
  });
}

/** Node's streams go on in the next turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
