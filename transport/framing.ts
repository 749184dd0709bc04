/**
 * Whole messages over a stream of bytes: 4 bytes of length (big-endian), then
 * the message. The one place for the length limit, joined writes and
 * back-pressure of TCP, TLS, Unix sockets and QUIC streams.
 *
 * ```ts
 * import { frame } from "@devts/transport/framing";
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

import { closedFor, messagesOf } from "./_connection.ts";
import { handled, handledResolvers, rejected } from "./_promise.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
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

/** Options of {@linkcode frame}. */
export interface FrameOptions {
  /** The other end, for {@linkcode Connection.remote} and for error messages. */
  readonly remote: Address;
  /**
   * The longest message, in bytes, that is sent or received: 1 to 2^32 - 1. A
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

const KIB = 1024;
const MIB = 1024 * KIB;
const HEADER = 4;
/** What a read buffer holds while a link is quiet. */
const SMALL_READ = 8 * KIB;
/** What a read buffer holds while reads fill it. */
const LARGE_READ = 256 * KIB;
/** A write buffer up to this size is kept while a link is quiet. */
const SMALL_WRITE = 2 * KIB;
/** The largest write buffer that a busy link keeps between two writes, in bytes. */
const KEPT_WRITE = 256 * 1024;
/** Ends a close whose other end takes nothing, in ms. */
const CLOSE_TIMEOUT = 5_000;

const DONE: Promise<void> = Promise.resolve();
const EMPTY = new Uint8Array(0);

/**
 * Makes a {@linkcode Connection} of a stream of bytes, which belongs to it from
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
export function frame(stream: ByteStream, options: FrameOptions): Connection {
  return new FramedConnection(stream, options);
}

class FramedConnection implements Connection {
  readonly remote: Address;
  readonly #stream: ByteStream;
  readonly #maxMessage: number;
  readonly #highWaterMark: number;

  // Reading: what has arrived and was not taken stands in #buffer from #start to #end.
  #buffer = EMPTY;
  #start = 0;
  #end = 0;
  #small = EMPTY;
  #large: WeakRef<Uint8Array<ArrayBuffer>> | undefined;
  /** Whether the last read brought a lot: more is likely to be there. */
  #flowing = false;
  #receiving = false;
  #ended = false;

  // Writing: #front collects while #back is written.
  #front = EMPTY;
  #back = EMPTY;
  #spare: WeakRef<Uint8Array<ArrayBuffer>> | undefined;
  #collected = 0;
  /** Whether more than a small buffer holds has left since the last pause. */
  #busy = false;
  /** Bytes collected or in flight. */
  #queued = 0;
  #writing: Promise<void> | undefined;
  #room: PromiseWithResolvers<void> | undefined;

  // Ending.
  /** Why sending is over. */
  #sendError: ConnectionError | undefined;
  /** Why the connection is over, where it did not end in order. */
  #error: ConnectionError | undefined;
  #closed: Promise<void> | undefined;
  #finished = false;
  #aborted: (() => void) | undefined;

  constructor(stream: ByteStream, options: FrameOptions) {
    const { remote, maxMessage = MIB, highWaterMark = MIB } = options;
    checkRange("maxMessage", maxMessage, 2 ** 32 - 1);
    checkRange("highWaterMark", highWaterMark, Number.MAX_SAFE_INTEGER);
    this.remote = remote;
    this.#stream = stream;
    this.#maxMessage = maxMessage;
    this.#highWaterMark = highWaterMark;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#sendError !== undefined) return rejected(this.#sendError);
    if (message.length > this.#maxMessage) {
      return rejected(
        new RangeError(
          `Cannot send ${message.length} bytes to "${this.remote}": a message has at most ${this.#maxMessage}`,
        ),
      );
    }
    this.#collect(message);
    this.#writing ??= this.#write();
    if (this.#queued < this.#highWaterMark) return DONE;
    this.#room ??= handledResolvers();
    return this.#room.promise;
  }

  receive(options?: ReceiveOptions): Promise<Uint8Array | null> {
    if (this.#receiving) {
      return rejected(
        new TypeError(
          `Cannot receive from "${this.remote}": another receive is pending`,
        ),
      );
    }
    if (this.#error !== undefined) return rejected(this.#error);
    if (this.#ended || this.#closed !== undefined) return Promise.resolve(null);
    const limit = Math.min(options?.limit ?? Infinity, this.#maxMessage);
    const size = this.#announced();
    if (size !== undefined && size <= limit && this.#has(size)) {
      return Promise.resolve(this.#cut(size));
    }
    return handled(this.#receive(limit));
  }

  close(reason?: Error): Promise<void> {
    if (reason !== undefined && !this.#finished) {
      this.#abort(
        closedFor(this.remote, reason),
      );
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

  // -- Reading --

  /** The length in the next header, once that has arrived. */
  #announced(): number | undefined {
    const start = this.#start;
    if (this.#end - start < HEADER) return undefined;
    return readLength(this.#buffer, start);
  }

  #has(size: number): boolean {
    return this.#end - this.#start >= HEADER + size;
  }

  /** Takes the next message, which has arrived, as a copy of its own. */
  #cut(size: number): Uint8Array {
    const start = this.#start + HEADER;
    this.#start = start + size;
    return this.#buffer.slice(start, start + size);
  }

  async #receive(limit: number): Promise<Uint8Array | null> {
    this.#receiving = true;
    try {
      return await this.#read(limit);
    } catch (error) {
      // Both overtake what the stream says of being closed under its reader.
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed !== undefined) return null;
      throw this.#abort(asBroken(this.remote, error));
    } finally {
      this.#receiving = false;
    }
  }

  async #read(limit: number): Promise<Uint8Array | null> {
    for (;;) {
      const size = this.#announced();
      if (size !== undefined) {
        if (size > limit) throw tooLong(this.remote, size, limit);
        if (this.#has(size)) return this.#cut(size);
        if (HEADER + size > LARGE_READ) return await this.#readLarge(size);
      }
      const more = await this.#fill(HEADER + (size ?? 0));
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed !== undefined) return null;
      if (more) continue;
      if (this.#end > this.#start) throw cutShort(this.remote);
      this.#ended = true;
      return null;
    }
  }

  /** Reads a message that no read buffer holds straight into its own. */
  async #readLarge(size: number): Promise<Uint8Array | null> {
    const message = new Uint8Array(size);
    const arrived = this.#buffer.subarray(this.#start + HEADER, this.#end);
    message.set(arrived);
    let length = arrived.length;
    this.#start = this.#end = 0;
    while (length < size) {
      const read = await this.#stream.read(message.subarray(length));
      if (this.#error !== undefined) throw this.#error;
      if (this.#closed !== undefined) return null;
      if (read === null) throw cutShort(this.remote);
      length += read;
    }
    return message;
  }

  /** Reads more behind what is there, with room for `needed` bytes in all. */
  async #fill(needed: number): Promise<boolean> {
    this.#makeRoom(needed);
    const target = this.#buffer.subarray(this.#end);
    const read = await this.#stream.read(target);
    if (read === null) return false;
    this.#end += read;
    this.#flowing = read === target.length || read > SMALL_READ;
    return true;
  }

  /**
   * Moves what is there to the front of the buffer that fits the traffic. A read
   * that may wait for long holds the small one.
   */
  #makeRoom(needed: number): void {
    const there = this.#end - this.#start;
    const large = this.#flowing || Math.max(needed, there + 1) > SMALL_READ;
    const buffer = large ? this.#largeBuffer() : this.#smallBuffer();
    if (buffer !== this.#buffer) {
      buffer.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = buffer;
    } else if (this.#start > 0) {
      buffer.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = there;
  }

  #smallBuffer(): Uint8Array<ArrayBuffer> {
    if (this.#small.length === 0) this.#small = new Uint8Array(SMALL_READ);
    return this.#small;
  }

  /** The large buffer, which the garbage collector may take while it is not in use. */
  #largeBuffer(): Uint8Array<ArrayBuffer> {
    const kept = this.#large?.deref();
    if (kept !== undefined) return kept;
    const buffer = new Uint8Array(LARGE_READ);
    this.#large = new WeakRef(buffer);
    return buffer;
  }

  // -- Writing --

  #collect(message: Uint8Array): void {
    const start = this.#collected;
    const end = start + HEADER + message.length;
    if (end > this.#front.length) this.#grow(end);
    writeLength(this.#front, start, message.length);
    this.#front.set(message, start + HEADER);
    this.#collected = end;
    this.#queued += end - start;
  }

  #grow(needed: number): void {
    const buffer = this.#writeBuffer(needed);
    buffer.set(this.#front.subarray(0, this.#collected));
    this.#front = buffer;
  }

  #writeBuffer(needed: number): Uint8Array<ArrayBuffer> {
    if (needed <= SMALL_WRITE) return new Uint8Array(SMALL_WRITE);
    const spare = this.#spare?.deref();
    this.#spare = undefined;
    if (spare !== undefined && spare.length >= needed) return spare;
    return new Uint8Array(Math.max(needed, 2 * this.#front.length));
  }

  /** Writes until nothing is left; never rejects. */
  async #write(): Promise<void> {
    try {
      while (this.#collected > 0) await this.#writeCollected();
    } catch (error) {
      // Receiving goes on: what the other end said before may still be there.
      this.#endSending(asBroken(this.remote, error));
    }
    this.#front = this.#retire(this.#front);
    this.#back = this.#retire(this.#back);
    this.#busy = false;
    this.#writing = undefined;
  }

  async #writeCollected(): Promise<void> {
    const batch = this.#front;
    const end = this.#collected;
    this.#front = this.#back;
    this.#back = batch;
    this.#collected = 0;
    if (end > SMALL_WRITE) this.#busy = true;
    for (let start = 0; start < end;) {
      const written = await this.#stream.write(batch.subarray(start, end));
      if (this.#error !== undefined) throw this.#error;
      start += written;
      this.#queued -= written;
      if (this.#queued < this.#highWaterMark) this.#giveRoom();
    }
  }

  /**
   * Keeps a small buffer for a quiet link. A large one stays until less than it is
   * made for was written: making one costs as much as filling it. Then, or if it is
   * very large, the garbage collector may take it.
   */
  #retire(buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (buffer.length <= SMALL_WRITE) return buffer;
    if (this.#busy && buffer.length <= KEPT_WRITE) return buffer;
    this.#spare = new WeakRef(buffer);
    return EMPTY;
  }

  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  #endSending(error: ConnectionError): void {
    this.#sendError ??= error;
    this.#room?.reject(error);
    this.#room = undefined;
    this.#collected = 0;
    this.#queued = 0;
  }

  // -- Ending --

  /** Flushes, then closes the stream; ends in bounded time, never rejects. */
  async #finish(): Promise<void> {
    this.#sendError ??= new ConnectionError(
      `Cannot send to "${this.remote}": the connection is closed`,
    );
    const aborted = new Promise<void>((resolve) => this.#aborted = resolve);
    const timer = setTimeout(() => {
      this.#abort(
        new ConnectionError(
          `Cannot close the connection to "${this.remote}" in order: the other end did not take what was queued`,
        ),
      );
    }, CLOSE_TIMEOUT);
    await Promise.race([this.#flushAndClose(), aborted]);
    clearTimeout(timer);
    this.#finished = true;
  }

  async #flushAndClose(): Promise<void> {
    await this.#writing;
    if (this.#error !== undefined) return;
    try {
      await this.#stream.close();
    } catch {
      // It was closed already.
    }
  }

  /** Ends both directions at once and frees the stream. */
  #abort(error: ConnectionError): ConnectionError {
    if (this.#error !== undefined) return this.#error;
    this.#error = error;
    this.#sendError = undefined;
    this.#endSending(error);
    this.#buffer = this.#small = EMPTY;
    this.#start = this.#end = 0;
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

function readLength(bytes: Uint8Array, offset: number): number {
  // Within bounds by the caller: `?? 0` is for the type checker.
  const high = ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  const low = ((bytes[offset + 2] ?? 0) << 8) | (bytes[offset + 3] ?? 0);
  return high * 0x10000 + low;
}

function writeLength(bytes: Uint8Array, offset: number, length: number): void {
  bytes[offset] = length >>> 24;
  bytes[offset + 1] = length >>> 16;
  bytes[offset + 2] = length >>> 8;
  bytes[offset + 3] = length;
}

function tooLong(
  remote: Address,
  size: number,
  limit: number,
): ConnectionError {
  return new ConnectionError(
    `Cannot receive ${size} bytes from "${remote}": a message has at most ${limit}`,
  );
}

function cutShort(remote: Address): ConnectionError {
  return new ConnectionError(
    `Cannot receive from "${remote}": the connection ended within a message`,
  );
}

function asBroken(remote: Address, error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new ConnectionError(`The connection to "${remote}" broke: ${detail}`, {
    cause: error,
  });
}
