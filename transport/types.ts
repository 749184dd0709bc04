/**
 * Where a node can be reached, as a URL: `"tcp://10.0.0.7:7946"`. Only the
 * transport that owns the scheme looks inside.
 */
export type Address = string;

/** Options of {@linkcode Transport.connect}. */
export interface ConnectOptions {
  /** Gives up the attempt: `connect` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * The id of the node that is to be reached, where it is known: a transport that was
   * given credentials has the other end prove it.
   */
  readonly expect?: string;
  /**
   * The name that the certificate of the other end must have, where there is one.
   *
   * @default {what the credentials of the transport say of `expect`, or else the host of the address}
   */
  readonly serverName?: string;
}

/** Options of {@linkcode Connection.receive}. */
export interface ReceiveOptions {
  /**
   * The longest message to accept, in bytes. A longer one is refused before
   * anything is allocated for it.
   *
   * @default {the limit of the transport, 1 MiB unless set}
   */
  readonly limit?: number;
}

/**
 * A way to reach other nodes.
 *
 * - What a transport shares between its connections (a QUIC endpoint) it counts
 *   and frees; there is nothing to close on the transport itself.
 * - Nothing happens before `connect` or `listen` is called.
 */
export interface Transport {
  /**
   * The schemes it answers for, without `://`: `["tcp"]`. More than one where
   * transports are combined.
   */
  readonly schemes: readonly string[];
  /**
   * Opens a connection.
   *
   * Rejects with a `ConnectionError` that names the address when it cannot be
   * reached, with a `TypeError` when the address is malformed, and with the
   * signal's reason when that aborts first. A connection that opens after the
   * signal has aborted is closed.
   */
  connect(address: Address, options?: ConnectOptions): Promise<Connection>;
  /**
   * Starts to accept connections. Port 0 asks the transport to choose one.
   *
   * Rejects with a `ConnectionError` that names the address (port in use, no
   * permission), or with a `TypeError` when the address is malformed.
   */
  listen(address: Address): Promise<Listener>;
}

/**
 * Accepts connections, by iterating over it: also what a web server hands to
 * `node.listen(listener)` for upgraded sockets.
 *
 * - One stranger's failed attempt never ends the iteration.
 * - The iteration ends once the listener is closed; connections that it has
 *   accepted stay open.
 */
export interface Listener extends AsyncIterable<Connection>, AsyncDisposable {
  /** What others can connect to, with the port filled in. */
  readonly address: Address;
  /** Stops accepting and frees the address. Idempotent. */
  close(): Promise<void>;
}

/**
 * An ordered, reliable, two-way channel of whole messages.
 *
 * - **Order.** Messages arrive in the order in which `send` was called, each
 *   whole, each once.
 * - **First word.** The side that connected speaks first (a QUIC stream is
 *   invisible until its first byte).
 * - **Back-pressure.** `send` resolves once there is room for more; what a
 *   receiver does not take makes the sender's `send` wait, within a bound.
 * - **Ownership.** Bytes given to `send` belong to the connection until the
 *   promise settles: nobody writes to them again before that. Bytes from
 *   `receive` belong to the caller for ever: nobody reuses the buffer.
 * - **One receiver.** At most one `receive` is pending at a time; a second
 *   rejects with a `TypeError`. Iterating is the same as receiving in a loop.
 * - **End.** After the other end has closed, `receive` gives what arrived before
 *   and then `null`, for ever. After the connection broke (or after a message
 *   cut short), it rejects with a `ConnectionError`.
 * - **Own end.** After this end has closed without a reason, `receive` (a pending
 *   one too) gives `null`, and `send` rejects with a `ConnectionError`.
 */
export interface Connection extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /**
   * The other end, as far as the transport knows. Its host tells a node whether the other
   * end is on the same machine, and may be told of loopback addresses: `"tcp://127.0.0.1:7"`
   * and `"unix:///run/a.sock"` are.
   */
  readonly remote: Address;
  /**
   * What kind of channel it is, in the same word on both ends: `"tcp"`, `"tls"`,
   * `"quic"`, `"websocket"`, `"memory"`. Optional; a handshake that names it tells
   * where somebody in between ended the one kind and began another.
   */
  readonly carrier?: string | undefined;
  /**
   * Queues a message. Resolves once there is room for more, which is not
   * receipt. Rejects with a `RangeError` when the message is longer than the
   * limit (the connection stays usable) and with a `ConnectionError` when the
   * connection is closed or breaks.
   */
  send(message: Uint8Array): Promise<void>;
  /**
   * Resolves to the next message, or to `null` once the other end has closed.
   * A message over the limit breaks the connection.
   */
  receive(options?: ReceiveOptions): Promise<Uint8Array | null>;
  /**
   * Without a reason: flushes what is queued, then closes. With one: drops what
   * is queued and closes at once; pending calls reject with a `ConnectionError`
   * whose cause is the reason. Idempotent, never rejects, and ends in bounded
   * time (5 s) even where the other end takes nothing.
   */
  close(reason?: Error): Promise<void>;
}

/**
 * Optional beside {@linkcode Connection}: one that saves whoever sends and receives
 * much a copy of each message. {@linkcode Connection} alone is enough; who is given
 * an in-place connection may use it as that.
 *
 * Sending: a caller that sends the same message over several connections of one
 * `framing` writes the header once, in front of the message, and lets all of them
 * send from there. Receiving: a caller that is done with a message before it asks
 * for the next one borrows it.
 */
export interface InPlaceConnection extends Connection {
  /** What stands in front of a message. Compared by identity. */
  readonly framing: Framing;
  /**
   * As `send`, of a message behind the header that `framing` wrote. The bytes
   * leave from where they stand, also after the promise has settled: nobody
   * writes to them until `done` is called, which it is once they have left, and
   * never where the connection ends before. Frames that stand one behind the other
   * in memory leave in one write.
   */
  sendFrame(frame: Uint8Array, done?: () => void): Promise<void>;
  /**
   * As `receive`, which it may take turns with, but the bytes are lent: they
   * change once the next message is asked for, unless `keep` was called before.
   */
  borrow(options?: ReceiveOptions): Promise<Uint8Array | null>;
  /**
   * What was lent last, and every view of it, stays as it is for ever. A view
   * then holds the whole read buffer in memory (up to 256 KiB).
   */
  keep(): void;
}

/**
 * Optional beside {@linkcode Connection}: one that tells how far the next message has
 * come, so that whoever receives can give up on an end that never finishes one.
 */
export interface ArrivingConnection {
  /** Null: nothing has begun to arrive since the last message, or nobody receives. */
  readonly arriving: Arriving | null;
}

/** A message that has begun to arrive. */
export interface Arriving {
  /** Unlike that of the messages before it. */
  readonly message: number;
  /** How many bytes of it have arrived, its header included. */
  readonly bytes: number;
}

/** The header that a kind of connection puts in front of each message. */
export interface Framing {
  /** Bytes of the header. */
  readonly size: number;
  /** Writes the header of a frame at its start; the message already stands behind. */
  write(frame: Uint8Array): void;
}

/** A connection could not be opened, or it broke. `cause` says why. */
export class ConnectionError extends Error {
  /** Makes the error; `message` is a sentence that names the address. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ConnectionError";
  }
}

/** The other end encrypts, and this one does not: the cause of a {@linkcode ConnectionError}. */
export class EncryptedError extends Error {
  /** Makes the error; `message` says so. */
  constructor(message: string) {
    super(message);
    this.name = "EncryptedError";
  }
}
