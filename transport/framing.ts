/**
 * Whole messages over a stream of bytes: 4 bytes of length (big-endian), then
 * the message. The one place for the length limit, joined writes and
 * back-pressure of TCP, TLS, Unix sockets and QUIC streams.
 *
 * ```ts
 * import { frame } from "@devts/transport";
 * import { assertEquals } from "@std/assert";
 *
 * // An echo: what is written can be read again.
 * const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(
 *   undefined,
 *   { highWaterMark: 1024 },
 * );
 * const reader = readable.getReader();
 * const writer = writable.getWriter();
 * await using echo = frame({
 *   async read(buffer) {
 *     const { value } = await reader.read();
 *     if (value === undefined) return null;
 *     buffer.set(value);
 *     return value.length;
 *   },
 *   async write(bytes) {
 *     await writer.write(bytes.slice());
 *     return bytes.length;
 *   },
 *   close: () => writer.close(),
 * }, { remote: "echo://here" });
 *
 * await echo.send(new TextEncoder().encode("hello"));
 * const message = await echo.receive();
 * assertEquals(new TextDecoder().decode(message ?? undefined), "hello");
 * ```
 *
 * @module
 */

import {
  alreadyReceiving,
  closedFor,
  closedLate,
  closedToSend,
  messagesOf,
  tooLongToSend,
} from "./_connection.ts";
import { GOODBYE, HEADER, LENGTH_PREFIX } from "./_frame_header.ts";
import { FrameReader } from "./_frame_reader.ts";
import { FrameWriter } from "./_frame_writer.ts";
import { handled, rejected } from "./_promise.ts";
import {
  type Address,
  type Arriving,
  type ArrivingConnection,
  ConnectionError,
  type Framing,
  type InPlaceConnection,
  type ReceiveOptions,
} from "./types.ts";

/**
 * An ordered, reliable, two-way stream of bytes. A `Deno.Conn` is one.
 *
 * - **One at a time.** {@linkcode frame} has at most one `read` and one `write`
 *   pending, never two of a kind.
 * - **End.** Once closed, a pending `read` or `write` settles (rejecting is
 *   fine).
 */
export interface ByteStream {
  /** Reads at least one byte into `buffer`; resolves to how many, or to `null` at the end. */
  read(buffer: Uint8Array): Promise<number | null>;
  /**
   * Writes at least one of the bytes; resolves to how many. The bytes do not
   * change before it settles.
   */
  write(bytes: Uint8Array): Promise<number>;
  /**
   * Without a reason: delivers what was written, then frees the stream. With one:
   * frees it at once. Called again, with a reason, where the first call takes
   * longer than 5 s; what it throws is ignored.
   */
  close(reason?: Error): void | Promise<void>;
}

/** Limits of a framed connection. */
export interface FrameLimits {
  /**
   * The longest message, in bytes, that is sent or received: 1 to 2^32 - 2. A
   * limit given to `receive` can only lower it.
   *
   * @default {1 MiB}
   */
  readonly maxMessage?: number;
  /**
   * How many bytes may be queued before `send` waits, 1 or more.
   *
   * @default {1 MiB}
   */
  readonly highWaterMark?: number;
}

/** Options of {@linkcode frame}. */
export interface FrameOptions extends FrameLimits {
  /** The other end, for {@linkcode Connection.remote} and for error messages. */
  readonly remote: Address;
  /**
   * What kind of channel it is, for {@linkcode Connection.carrier}.
   *
   * @default {not said}
   */
  readonly carrier?: string;
  /**
   * Whether whoever closes in order says so in the stream, and an end without that
   * word is no end in order: for streams whose end looks the same where they were cut
   * off (QUIC). Both ends must agree.
   *
   * @default {false}
   */
  readonly goodbye?: boolean;
}

const MIB = 1024 * 1024;
/** Ends a close whose other end takes nothing, in ms. */
const CLOSE_TIMEOUT = 5_000;

/**
 * Makes an {@linkcode InPlaceConnection} of a stream of bytes, which belongs to it from
 * then on.
 *
 * - What is queued while a write is in flight leaves in the next one. The first
 *   message of a quiet connection leaves at once.
 * - `send` copies the message, so its bytes are free as soon as it returns. It
 *   gives one shared resolved promise until the high-water mark; a sender that
 *   does not wait then queues without bound.
 * - A length over the limit is refused on sight of the header. Within the limit,
 *   a message of more than 256 KiB is read into a buffer of its announced size,
 *   whose pages the operating system provides as bytes arrive.
 * - Reads only while `receive` is pending, so an unread stream pushes back.
 *
 * @param stream What carries the bytes.
 * @param options The name of the other end, and limits.
 * @throws {RangeError} If a limit is out of range.
 */
export function frame(
  stream: ByteStream,
  options: FrameOptions,
): InPlaceConnection & ArrivingConnection {
  return new FramedConnection(stream, options);
}

class FramedConnection implements InPlaceConnection, ArrivingConnection {
  readonly remote: Address;
  readonly carrier: string | undefined;
  readonly framing: Framing = LENGTH_PREFIX;
  readonly #stream: ByteStream;
  readonly #maxMessage: number;
  readonly #goodbye: boolean;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #over = (): boolean =>
    this.#error !== undefined || this.#closed !== undefined;
  #receiving = false;
  /** Why sending is over. */
  #sendError: ConnectionError | undefined;
  /** Why the connection is over, where it did not end in order. */
  #error: ConnectionError | undefined;
  #closed: Promise<void> | undefined;
  #finished = false;
  #aborted: (() => void) | undefined;

  constructor(stream: ByteStream, options: FrameOptions) {
    const { remote, maxMessage = MIB, highWaterMark = MIB } = options;
    checkRange("maxMessage", maxMessage, 2 ** 32 - 2);
    checkRange("highWaterMark", highWaterMark, Number.MAX_SAFE_INTEGER);
    this.remote = remote;
    this.carrier = options.carrier;
    this.#stream = stream;
    this.#maxMessage = maxMessage;
    this.#goodbye = options.goodbye ?? false;
    this.#reader = new FrameReader(stream, remote, this.#goodbye);
    // Receiving goes on: what the other end said before may still be there.
    this.#writer = new FrameWriter(
      stream,
      highWaterMark,
      (error) => this.#endSending(asBroken(remote, error)),
    );
  }

  get arriving(): Arriving | null {
    return this.#receiving ? this.#reader.arriving : null;
  }

  send(message: Uint8Array): Promise<void> {
    return this.#refusal(message.length) ?? this.#writer.send(message);
  }

  sendFrame(frame: Uint8Array, done?: () => void): Promise<void> {
    return this.#refusal(frame.length - HEADER) ??
      this.#writer.sendFrame(frame, done);
  }

  receive(options?: ReceiveOptions): Promise<Uint8Array | null> {
    return this.#take(options, false);
  }

  borrow(options?: ReceiveOptions): Promise<Uint8Array | null> {
    return this.#take(options, true);
  }

  keep(): void {
    this.#reader.keep();
  }

  close(reason?: Error): Promise<void> {
    if (reason !== undefined && !this.#finished) {
      this.#abort(closedFor(this.remote, reason));
    }
    this.#closed ??= this.#finish();
    return this.#closed;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return messagesOf(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refusal(length: number): Promise<never> | undefined {
    if (this.#sendError !== undefined) return rejected(this.#sendError);
    if (length <= this.#maxMessage) return undefined;
    return rejected(tooLongToSend(this.remote, length, this.#maxMessage));
  }

  #take(
    options: ReceiveOptions | undefined,
    lend: boolean,
  ): Promise<Uint8Array | null> {
    if (this.#receiving) return rejected(alreadyReceiving(this.remote));
    if (this.#error !== undefined) return rejected(this.#error);
    if (this.#closed !== undefined) return Promise.resolve(null);
    const limit = Math.min(options?.limit ?? Infinity, this.#maxMessage);
    const message = this.#reader.next(limit, lend);
    if (message !== undefined) return Promise.resolve(message);
    return handled(this.#receive(limit, lend));
  }

  async #receive(limit: number, lend: boolean): Promise<Uint8Array | null> {
    this.#receiving = true;
    try {
      const message = await this.#reader.read(limit, lend, this.#over);
      if (this.#error !== undefined) throw this.#error;
      return message;
    } catch (error) {
      // Both overtake what the stream says of being closed under its reader.
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed !== undefined) return null;
      throw this.#abort(asBroken(this.remote, error));
    } finally {
      this.#receiving = false;
    }
  }

  // -- Ending --

  /** Flushes, then closes the stream; ends in bounded time, never rejects. */
  async #finish(): Promise<void> {
    if (this.#goodbye && this.#sendError === undefined) {
      this.#writer.sendFrame(GOODBYE);
    }
    this.#sendError ??= closedToSend(this.remote);
    const aborted = new Promise<void>((resolve) => this.#aborted = resolve);
    const timer = setTimeout(
      () => this.#abort(closedLate(this.remote)),
      CLOSE_TIMEOUT,
    );
    await Promise.race([this.#flushAndClose(), aborted]);
    clearTimeout(timer);
    this.#finished = true;
  }

  async #flushAndClose(): Promise<void> {
    await this.#writer.flushed;
    if (this.#error !== undefined) return;
    try {
      await this.#stream.close();
    } catch {
      // It was closed already.
    }
  }

  #endSending(error: ConnectionError): void {
    this.#sendError ??= error;
    this.#writer.end(error);
  }

  /** Ends both directions at once and frees the stream. */
  #abort(error: ConnectionError): ConnectionError {
    if (this.#error !== undefined) return this.#error;
    this.#error = error;
    this.#sendError = undefined;
    this.#endSending(error);
    this.#reader.clear();
    const freed = closeWithin(this.#stream, error);
    this.#closed ??= freed;
    this.#aborted?.();
    return error;
  }
}

/** Closes a stream at once; gives up waiting for it after 5 s. */
async function closeWithin(stream: ByteStream, reason: Error): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, CLOSE_TIMEOUT);
  try {
    await Promise.race([stream.close(reason), late]);
  } catch {
    // It was closed already.
  } finally {
    clearTimeout(timer);
  }
}

function checkRange(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new RangeError(
    `Cannot frame a stream with ${name} ${value}: it is an integer from 1 to ${max}`,
  );
}

function asBroken(remote: Address, error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new ConnectionError(`The connection to "${remote}" broke: ${detail}`, {
    cause: error,
  });
}
