import type { ByteStream } from "./framing.ts";

/** How much is read ahead of a receiver that does not ask, in bytes. */
const READ_AHEAD = 1024 * 1024;
/** How long a receiver may not ask before that begins, in ms. */
const PATIENCE = 20;
/** What one read of a stream takes at most. */
const LARGE = 64 * 1024;
/** The same while the stream is quiet: after so many reads in a row that brought less. */
const SMALL = 4 * 1024;
const QUIET_READS = 16;
/** How long a stream that was given up may take to end by itself, in ms. */
const ABORT_TIMEOUT = 5_000;

/** A read that waits for bytes. */
interface Waiting {
  readonly target: Uint8Array;
  readonly resolve: (read: number | null) => void;
  readonly reject: (error: unknown) => void;
}

/** What a stream needs of the QUIC connection that carries it, among others. */
export interface StreamCarrier {
  /** Whether it carries no other stream. */
  readonly alone: boolean;
  /** Settles once it is closed; never rejects. */
  readonly closed: Promise<void>;
  /** A stream is over: frees its place, and closes the carrier with the last one. */
  release(stream: QuicStream): void;
  /** Closes the carrier at once, and with it all that it carries. */
  abort(): void;
}

/**
 * A QUIC stream as a stream of bytes that closes in order.
 *
 * Closing a QUIC connection discards what is under way, and the end of a stream
 * says nothing of its arrival. So whoever closes ends its own half, waits for the
 * other half to end, and only then lets go of the connection; the other side ends its
 * half on sight of the end of the first. It reads ahead to see that, where nobody asks
 * for more, so that a receiver that takes its time does not hold up a sender that is
 * done.
 *
 * A stream that is given up ends in the same way as one that is done: the bytes must
 * tell the one from the other.
 */
export class QuicStream implements ByteStream {
  readonly #carrier: StreamCarrier;
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** What has arrived, from #start of the first chunk on. */
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #start = 0;
  #arrived = 0;
  /** A read of the runtime, which never rejects; one at a time. */
  #reading: Promise<void> | undefined;
  /** What the next one takes at most, and a buffer that can be used again for it. */
  #size = SMALL;
  #quiet = 0;
  #spare: ArrayBuffer | undefined;
  #waiting: Waiting | undefined;
  #patience: ReturnType<typeof setTimeout> | undefined;
  /** The other half is over, in order or not. */
  #over = false;
  /** Why the other half is over, where it is not in order. */
  #error: unknown;
  #closing = false;
  #released = false;

  constructor(carrier: StreamCarrier, stream: Deno.QuicBidirectionalStream) {
    this.#carrier = carrier;
    this.#reader = stream.readable.getReader({ mode: "byob" });
    this.#writer = stream.writable.getWriter();
    // Each is also seen where it matters: by a pending write, read or close.
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
    this.#reader.closed.catch(() => {});
    this.#wait();
  }

  /** Whether one of the two ends is done with it. */
  get ending(): boolean {
    return this.#closing || this.#over;
  }

  read(target: Uint8Array): Promise<number | null> {
    return new Promise((resolve, reject) => {
      this.#waiting = { target, resolve, reject };
      if (!this.#answer()) this.#readMore();
    });
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#writer.write(bytes);
    return bytes.length;
  }

  async close(reason?: Error): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#patience);
    this.#answer();
    if (reason !== undefined) return await this.#giveUp();
    await this.#writer.close().catch(() => {});
    while (!this.#over) await this.#readMore();
    await this.#release();
  }

  /** Drops what is under way, without the streams beside it. */
  async #giveUp(): Promise<void> {
    if (this.#carrier.alone) {
      this.#carrier.abort();
    } else {
      // What the other end does not take would hold up the end of the stream.
      const timer = setTimeout(() => this.#carrier.abort(), ABORT_TIMEOUT);
      await Promise.allSettled([this.#reader.cancel(), this.#writer.abort()]);
      clearTimeout(timer);
    }
    await this.#release();
  }

  async #release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    const last = this.#carrier.alone;
    this.#carrier.release(this);
    if (last) await this.#carrier.closed;
  }

  /** Begins to read ahead if nobody asks for more in time. */
  #wait(): void {
    if (this.#over || this.#closing) return;
    this.#patience ??= setTimeout(() => {
      this.#patience = undefined;
      if (this.#waiting === undefined) this.#readAhead();
    }, PATIENCE);
  }

  async #readAhead(): Promise<void> {
    while (!this.#over && this.#arrived <= READ_AHEAD - LARGE) {
      await this.#readMore();
    }
  }

  /** Settles once there is more, or nothing follows; never rejects. */
  #readMore(): Promise<void> {
    return this.#reading ??= this.#reader.read(this.#buffer())
      .then(this.#got, this.#failed);
  }

  readonly #got = (
    { value, done }: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>,
  ): void => {
    this.#reading = undefined;
    if (done) this.#end();
    else this.#append(value);
    this.#answer();
  };

  readonly #failed = (error: unknown): void => {
    this.#reading = undefined;
    this.#error = error;
    this.#end();
    this.#answer();
  };

  /** Settles the read that waits, where that is possible. */
  #answer(): boolean {
    const waiting = this.#waiting;
    if (waiting === undefined) return false;
    if (this.#arrived > 0) waiting.resolve(this.#take(waiting.target));
    else if (this.#closing) waiting.resolve(null);
    else if (this.#error !== undefined) waiting.reject(this.#error);
    else if (this.#over) waiting.resolve(null);
    else return false;
    this.#waiting = undefined;
    return true;
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#patience);
    // Says that all of it is here. Whoever has closed takes nothing more.
    if (this.#error !== undefined || this.#closing) return;
    this.#writer.abort().catch(() => {});
  }

  #buffer(): Uint8Array<ArrayBuffer> {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare?.byteLength === this.#size
      ? new Uint8Array(spare)
      : new Uint8Array(this.#size);
  }

  #append(bytes: Uint8Array<ArrayBuffer>): void {
    this.#quiet = bytes.length < SMALL ? this.#quiet + 1 : 0;
    if (bytes.length === this.#size) this.#size = LARGE;
    else if (this.#quiet >= QUIET_READS) this.#size = SMALL;
    // Once this side has closed, nobody takes what still arrives.
    if (this.#closing) {
      this.#spare = bytes.buffer;
      return;
    }
    this.#arrived += bytes.length;
    // A large buffer is not held for few bytes that wait.
    const waits = this.#chunks.length > 0 &&
      bytes.length < bytes.buffer.byteLength / 2;
    this.#chunks.push(waits ? bytes.slice() : bytes);
    if (waits) this.#spare = bytes.buffer;
  }

  #take(target: Uint8Array): number {
    let size = 0;
    for (let chunk = this.#chunks[0]; chunk; chunk = this.#chunks[0]) {
      const end = Math.min(chunk.length, this.#start + target.length - size);
      const part = chunk.subarray(this.#start, end);
      target.set(part, size);
      size += part.length;
      this.#start = end;
      if (end < chunk.length) break;
      this.#start = 0;
      this.#chunks.shift();
      this.#spare = chunk.buffer;
      if (size === target.length) break;
    }
    this.#arrived -= size;
    this.#wait();
    return size;
  }
}
