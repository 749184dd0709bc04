import { QuicStream, type StreamCarrier } from "./_quic_stream.ts";

/** Says that this side gave up: what it sent may not have arrived. */
const ABORTED: Deno.QuicCloseInfo = { closeCode: 1, reason: "" };
const CLOSED: Deno.QuicCloseInfo = { closeCode: 0, reason: "" };

/** A QUIC connection. It lasts as long as its streams do. */
export class QuicSession implements StreamCarrier {
  /** Settles once it is closed, by whomever; never rejects. */
  readonly closed: Promise<void>;
  readonly #conn: Deno.QuicConn;
  readonly #streams = new Set<QuicStream>();
  /** Streams that are about to open. */
  #opening = 0;

  constructor(conn: Deno.QuicConn) {
    this.#conn = conn;
    // It rejects where the other end was silent for too long.
    this.closed = conn.closed.then(() => {}, () => {});
  }

  get alone(): boolean {
    return this.#streams.size + this.#opening === 1;
  }

  /** Whether one of its streams is in use, so that it will be there for another one. */
  get inUse(): boolean {
    if (this.#opening > 0) return true;
    for (const stream of this.#streams) if (!stream.ending) return true;
    return false;
  }

  /** Opens a stream; rejects where it is closed, or the other end takes no more of them. */
  async open(): Promise<QuicStream> {
    this.#opening++;
    try {
      return this.adopt(await this.#conn.createBidirectionalStream());
    } finally {
      this.#opening--;
      this.#closeUnlessUsed();
    }
  }

  /** Takes a stream that was opened. */
  adopt(opened: Deno.QuicBidirectionalStream): QuicStream {
    const stream = new QuicStream(this, opened);
    this.#streams.add(stream);
    return stream;
  }

  release(stream: QuicStream): void {
    this.#streams.delete(stream);
    this.#closeUnlessUsed();
  }

  abort(): void {
    this.#conn.close(ABORTED);
  }

  #closeUnlessUsed(): void {
    if (this.#streams.size + this.#opening === 0) this.#conn.close(CLOSED);
  }
}
