import type { ByteStream } from "./framing.ts";

/** How much is read ahead of the receiver, in bytes. */
const READ_AHEAD = 1024 * 1024;
/** What one read of the stream takes at most. */
const CHUNK = 16 * 1024;
const EMPTY = new Uint8Array(0);

/** Says that this side gave up: what it sent may not have arrived. */
const ABORTED: Deno.QuicCloseInfo = { closeCode: 1, reason: "" };
const CLOSED: Deno.QuicCloseInfo = { closeCode: 0, reason: "" };

/**
 * The one stream of a QUIC connection as a stream of bytes that closes in order.
 *
 * Closing a QUIC connection discards what is under way, and the end of a stream
 * says nothing of its arrival. So whoever closes ends its own half, waits for the
 * other half to end, and only then closes the connection; the other side ends its
 * half on sight of the end of the first. It reads ahead to see that, so that a
 * receiver that takes its time does not hold up a sender that is done.
 */
export class QuicStream implements ByteStream {
  readonly #conn: Deno.QuicConn;
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Settles once the other end's half is over; never rejects. */
  readonly #ended: Promise<void>;

  // What was read ahead stands in #buffer from #start to #end.
  #buffer: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  /** The other half is over, in order or not. */
  #over = false;
  /** Why the other half is over, where it is not in order. */
  #error: unknown;
  #closing = false;
  /** Wakes the reader of this stream. */
  #arrived: (() => void) | undefined;
  /** Wakes the reading ahead. */
  #taken: (() => void) | undefined;

  constructor(conn: Deno.QuicConn, stream: Deno.QuicBidirectionalStream) {
    this.#conn = conn;
    this.#reader = stream.readable.getReader({ mode: "byob" });
    this.#writer = stream.writable.getWriter();
    // Each is also seen where it matters: by a pending write, read or close.
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
    this.#reader.closed.catch(() => {});
    this.#ended = this.#readAhead();
  }

  async read(target: Uint8Array): Promise<number | null> {
    while (this.#start === this.#end) {
      if (this.#closing) return null;
      if (this.#error !== undefined) throw this.#error;
      if (this.#over) return null;
      await new Promise<void>((resolve) => this.#arrived = resolve);
    }
    return this.#take(target);
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#writer.write(bytes);
    return bytes.length;
  }

  async close(reason?: Error): Promise<void> {
    this.#closing = true;
    this.#arrived?.();
    this.#taken?.();
    if (reason !== undefined) {
      this.#conn.close(ABORTED);
    } else {
      await this.#writer.close().catch(() => {});
      await this.#ended;
      this.#conn.close(CLOSED);
    }
    await this.#conn.closed.catch(() => {});
  }

  async #readAhead(): Promise<void> {
    try {
      await this.#readToEnd();
      // Says that all of it is here. Whoever has closed takes nothing more.
      if (!this.#closing) await this.#writer.abort().catch(() => {});
    } catch (error) {
      this.#error = error;
    }
    this.#over = true;
    this.#arrived?.();
  }

  async #readToEnd(): Promise<void> {
    let chunk = new Uint8Array(CHUNK);
    for (;;) {
      const { value, done } = await this.#reader.read(chunk);
      if (done) return;
      chunk = new Uint8Array(value.buffer);
      // Once this side has closed, nobody takes what still arrives.
      if (this.#closing) continue;
      this.#append(value);
      this.#arrived?.();
      while (this.#end - this.#start > READ_AHEAD - CHUNK && !this.#closing) {
        await new Promise<void>((resolve) => this.#taken = resolve);
      }
    }
  }

  #append(bytes: Uint8Array): void {
    const there = this.#buffer.subarray(this.#start, this.#end);
    if (this.#end + bytes.length > this.#buffer.length) {
      const needed = there.length + bytes.length;
      const grow = needed > this.#buffer.length / 2;
      const buffer = grow ? new Uint8Array(2 * needed) : this.#buffer;
      buffer.set(there);
      this.#buffer = buffer;
      this.#start = 0;
      this.#end = there.length;
    }
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #take(target: Uint8Array): number {
    const size = Math.min(target.length, this.#end - this.#start);
    target.set(this.#buffer.subarray(this.#start, this.#start + size));
    this.#start += size;
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (this.#buffer.length > 2 * CHUNK) this.#buffer = EMPTY;
    }
    this.#taken?.();
    return size;
  }
}
