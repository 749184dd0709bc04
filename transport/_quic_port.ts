import { Backlog } from "./_backlog.ts";
import { type Encryption, ownCertificate } from "./_encryption.ts";
import { Newcomers } from "./_newcomers.ts";
import { handled } from "./_promise.ts";
import { QuicSession } from "./_quic_session.ts";
import type { QuicStream } from "./_quic_stream.ts";
import { remoteOf } from "./_sockets.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type Listener,
} from "./types.ts";

/** The scheme of its addresses. */
export const SCHEME = "quic";
/** How long the handshake of a session may take, and its first stream, in ms. */
const NEWCOMER_TIMEOUT = 5_000;
/** Of those at the same time: each session that is given up takes a few s to go. */
const NEWCOMERS = 64;
/** How many connections may be under way, or wait to be iterated over, per listener. */
const BACKLOG = 128;

/** What a {@linkcode QuicPort} needs of its transport. */
export interface QuicPortContext {
  readonly encryption: Encryption;
  /** Times and limits of sessions that are accepted. */
  readonly session: Deno.QuicTransportOptions;
  connection(stream: QuicStream, remote: Address): Connection;
  /** It is closed: nobody uses it any more. */
  ended(port: QuicPort): void;
}

/** Says nothing of why. */
const GIVEN_UP: Deno.QuicCloseInfo = { closeCode: 1, reason: "" };

/** A session that has not spoken yet: it is in its handshake, or has no stream. */
class Newcomer {
  /** Rejects where it is given up. */
  readonly givenUp: Promise<never>;
  /** Whether it never spoke. */
  isSilent = true;
  readonly #conn: Deno.QuicConn;
  readonly #backlog: Backlog;
  readonly #all: Newcomers<Newcomer>;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #reject: (reason: unknown) => void;

  constructor(
    conn: Deno.QuicConn,
    backlog: Backlog,
    all: Newcomers<Newcomer>,
  ) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.givenUp = handled(promise);
    this.#reject = reject;
    this.#conn = conn;
    this.#backlog = backlog;
    this.#all = all;
    this.#timer = setTimeout(() => this.giveUp(), NEWCOMER_TIMEOUT);
    all.add(this, performance.now());
  }

  /** It opened a stream: whether that is its first one, which has its place. */
  spoke(): boolean {
    this.isSilent = false;
    return this.#leave();
  }

  /** It has ended. */
  left(): void {
    if (this.#leave()) this.#backlog.release();
  }

  /** Closes it; its place is free at once. */
  giveUp(): void {
    this.left();
    this.#conn.close(GIVEN_UP);
    this.#reject(new Error("it took too long to say something"));
  }

  #leave(): boolean {
    clearTimeout(this.#timer);
    return this.#all.delete(this);
  }
}

/** A certificate to listen with. */
type Shown = ReturnType<typeof ownCertificate>;

/**
 * A UDP port: it listens and dials. It outlives its listener for as long as sessions
 * use it, since closing its endpoint would close them. Meanwhile it refuses, and the
 * transport can listen on it again. (Stopping the QUIC listener instead would leave
 * those who dial without an answer, and a pending `incoming()` pending for ever.)
 */
export class QuicPort {
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #context: QuicPortContext;
  #backlog: Backlog | undefined;
  #shown: Shown | undefined;
  /** The one that shows it. */
  #listener: Deno.QuicListener | undefined;
  #changes: Disposable | undefined;
  readonly #newcomers = new Newcomers<Newcomer>(
    NEWCOMERS,
    (newcomer) => newcomer.giveUp(),
  );
  /** Sessions that are open, or about to. */
  #users = 0;
  #closed = false;

  /** @throws {Error} If the port is in use, or cannot be used. */
  constructor(hostname: string, port: number, context: QuicPortContext) {
    this.#endpoint = new Deno.QuicEndpoint({ hostname, port });
    this.#context = context;
  }

  get number(): number {
    return this.#endpoint.addr.port;
  }

  /** Whether an address can be dialled from here; a name may stand for any. */
  reaches(hostname: string): boolean {
    const from = this.#endpoint.addr.hostname;
    if (from === "::") return true;
    const isIpv6 = hostname.includes(":");
    if (!isIpv6 && !/^[\d.]+$/.test(hostname)) return false;
    if (isIpv6 !== from.includes(":")) return false;
    return from === "0.0.0.0" || isLoopback(from) === isLoopback(hostname);
  }

  /** Starts a session from here. */
  async use(
    dial: (endpoint: Deno.QuicEndpoint) => Promise<QuicSession>,
  ): Promise<QuicSession> {
    this.#users++;
    try {
      const session = await dial(this.#endpoint);
      session.closed.then(() => this.#leave());
      return session;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** @throws {ConnectionError} If somebody listens already. */
  async listen(address: Address): Promise<Listener> {
    if (this.#backlog !== undefined) {
      throw new ConnectionError(
        `Cannot listen on "${address}": the address is in use`,
      );
    }
    // Taken from now on, so that nobody else starts to listen meanwhile.
    const backlog = new Backlog(BACKLOG);
    this.#backlog = backlog;
    const { encryption } = this.#context;
    try {
      const certificates = await encryption.certificates();
      this.#show(ownCertificate(certificates, address));
    } catch (error) {
      await this.unlisten();
      throw error;
    }
    this.#changes = encryption.onChange(() => this.#change(address));
    return new QuicListener(address, this, backlog);
  }

  /** Refuses from then on; ends once nobody uses the port. */
  async unlisten(): Promise<void> {
    const untaken = this.#backlog?.close() ?? [];
    this.#backlog = undefined;
    this.#changes?.[Symbol.dispose]();
    const reason = new Error("Nobody listens");
    await Promise.all(untaken.map((connection) => connection.close(reason)));
    this.#closeUnlessUsed();
  }

  /** Shows the present certificate from now on; never rejects. */
  async #change(address: Address): Promise<void> {
    try {
      const certificates = await this.#context.encryption.certificates();
      if (this.#backlog !== undefined) {
        this.#show(ownCertificate(certificates, address));
      }
    } catch {
      // The former certificate stays: whoever made the change knows why.
    }
  }

  /** A later listener of an endpoint replaces the one before it. */
  #show({ cert, key }: Shown): void {
    if (this.#shown?.cert === cert && this.#shown.key === key) return;
    const { encryption, session } = this.#context;
    const listener = this.#endpoint.listen({
      ...session,
      cert,
      key,
      alpnProtocols: [encryption.alpn],
    });
    this.#shown = { cert, key };
    this.#listener = listener;
    this.#accept(listener);
  }

  /**
   * Takes what comes in; never rejects. One that was replaced takes one more, since what
   * waits for it cannot be stopped.
   */
  async #accept(listener: Deno.QuicListener): Promise<void> {
    while (listener === this.#listener) {
      let incoming: Deno.QuicIncoming;
      try {
        // Not `accept()`: that rejects with one stranger's failed handshake.
        incoming = await listener.incoming();
      } catch {
        return;
      }
      // Its getters stay untouched: they use it up.
      this.#admit(incoming, listener === this.#listener);
    }
  }

  #admit(incoming: Deno.QuicIncoming, isCurrent: boolean): void {
    const backlog = this.#backlog;
    if (backlog === undefined) return drop(incoming, "refuse");
    if (!this.#hasRoom(backlog)) {
      // Who is in earnest sends its first packet again, a second later; and to whoever
      // did not send this one, though it bears its address, nothing is sent.
      return drop(incoming, this.#newcomers.size > 0 ? "ignore" : "refuse");
    }
    this.#users++;
    this.#welcome(incoming, backlog, isCurrent).then(() => this.#leave());
  }

  /** Whether it was given a place. Who stalls, or is not there, keeps out nobody for long. */
  #hasRoom(backlog: Backlog): boolean {
    if (!this.#newcomers.isFull && backlog.reserve()) return true;
    return this.#newcomers.giveUpOldest(performance.now()) && backlog.reserve();
  }

  /** Null: there is none, and the place is free again. */
  async #open(
    incoming: Deno.QuicIncoming,
    backlog: Backlog,
    isCurrent: boolean,
  ): Promise<Deno.QuicConn | null> {
    const { encryption, session } = this.#context;
    try {
      // What came to a listener that was replaced would be shown its certificate so.
      if (!isCurrent) return await incoming.accept();
      // Before its handshake, so that it can be given up.
      return incoming.accept({
        ...session,
        alpnProtocols: [encryption.alpn],
        zeroRtt: true,
      });
    } catch (error) {
      encryption.refused(error);
      backlog.release();
      return null;
    }
  }

  /** Settles once the session has ended, or did not open; never rejects. */
  async #welcome(
    incoming: Deno.QuicIncoming,
    backlog: Backlog,
    isCurrent: boolean,
  ): Promise<void> {
    const conn = await this.#open(incoming, backlog, isCurrent);
    if (conn === null) return;
    const session = new QuicSession(conn);
    const newcomer = new Newcomer(conn, backlog, this.#newcomers);
    try {
      // It also resolves where it fails: then there are no streams.
      await Promise.race([conn.handshake, newcomer.givenUp]);
      for await (const opened of conn.incomingBidirectionalStreams) {
        // The first stream has the place that was kept for the session.
        const place = newcomer.spoke() ? backlog : this.#reserve();
        if (place === undefined) giveUp(opened);
        else this.#take(session.adopt(opened), conn, place);
      }
    } catch (error) {
      // Silent for too long is as good as closed.
      if (newcomer.isSilent) this.#context.encryption.refused(error);
    }
    newcomer.left();
    await session.closed;
  }

  #reserve(): Backlog | undefined {
    return this.#backlog?.reserve() ? this.#backlog : undefined;
  }

  #take(stream: QuicStream, conn: Deno.QuicConn, place: Backlog): void {
    const remote = remoteOf(conn, SCHEME);
    const connection = this.#context.connection(stream, remote);
    if (!place.fill(connection)) connection.close(new Error("Nobody listens"));
  }

  #leave(): void {
    this.#users--;
    this.#closeUnlessUsed();
  }

  #closeUnlessUsed(): void {
    if (this.#backlog !== undefined || this.#users > 0 || this.#closed) return;
    this.#closed = true;
    this.#context.ended(this);
    this.#endpoint.close();
  }
}

class QuicListener implements Listener {
  readonly address: Address;
  readonly #port: QuicPort;
  readonly #backlog: Backlog;
  #closed: Promise<void> | undefined;

  constructor(address: Address, port: QuicPort, backlog: Backlog) {
    this.address = address;
    this.#port = port;
    this.#backlog = backlog;
  }

  close(): Promise<void> {
    this.#closed ??= this.#port.unlisten();
    return this.#closed;
  }

  [Symbol.asyncIterator](): AsyncIterator<Connection> {
    return this.#backlog[Symbol.asyncIterator]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "::1" || hostname.startsWith("127.");
}

function drop(incoming: Deno.QuicIncoming, how: "refuse" | "ignore"): void {
  try {
    incoming[how]();
  } catch {
    // It is gone already.
  }
}

function giveUp({ readable, writable }: Deno.QuicBidirectionalStream): void {
  readable.cancel().catch(() => {});
  writable.abort().catch(() => {});
}
