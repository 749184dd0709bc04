import { tooLongToReceive } from "./_connection.ts";
import { GOODBYE_LENGTH, HEADER, readLength } from "./_frame_header.ts";
import type { ByteStream } from "./framing.ts";
import {
  type Address,
  type Arriving,
  ConnectionError,
  EncryptedError,
} from "./types.ts";

const KIB = 1024;
/** What a read buffer holds while a link is quiet. */
const SMALL_READ = 2 * KIB;
/** What a read buffer holds while reads fill it. */
const LARGE_READ = 256 * KIB;
/** Less room than this at the end of such a buffer is not worth a read. */
const SMALLEST_READ = 64 * KIB;
const EMPTY = new Uint8Array(0);

/**
 * Cuts messages out of a stream of bytes. What has arrived and was not taken stands
 * in one buffer, which is reused, unless views of it were given away.
 */
export class FrameReader {
  readonly #stream: ByteStream;
  readonly #remote: Address;
  /** Whether an end without a goodbye is none in order. */
  readonly #goodbye: boolean;
  #buffer = EMPTY;
  #start = 0;
  #end = 0;
  #small = EMPTY;
  #large: WeakRef<Uint8Array<ArrayBuffer>> | undefined;
  /** Whether the last read brought a lot: more is likely to be there. */
  #flowing = false;
  /** Whether the message taken last is a view of the buffer. */
  #lent = false;
  /** Whether somebody keeps views of the buffer: what stands in it stays. */
  #kept = false;
  #ended = false;
  /** Messages taken so far. */
  #taken = 0;
  /** What of a large message stands in a buffer of its own. */
  #arrived = 0;

  constructor(stream: ByteStream, remote: Address, goodbye: boolean) {
    this.#stream = stream;
    this.#remote = remote;
    this.#goodbye = goodbye;
  }

  /** The message that has begun to arrive; only while one is being read. */
  get arriving(): Arriving | null {
    const bytes = this.#arrived + this.#end - this.#start;
    return bytes === 0 ? null : { message: this.#taken, bytes };
  }

  /** The next message, where it has arrived. */
  next(limit: number, lend: boolean): Uint8Array | undefined {
    const size = this.#announced();
    if (size === undefined || size > limit || !this.#has(size)) {
      return undefined;
    }
    return this.#take(size, lend);
  }

  /**
   * Reads the next message; null: the stream has ended, or `over` says that nobody
   * wants it any more.
   *
   * @throws {ConnectionError} If it is too long, or the stream ends within it.
   */
  async read(
    limit: number,
    lend: boolean,
    over: () => boolean,
  ): Promise<Uint8Array | null> {
    while (!this.#ended) {
      const size = this.#announced();
      if (size !== undefined) {
        if (size === GOODBYE_LENGTH && this.#goodbye) break;
        if (size > limit) throw tooLong(this.#remote, size, limit);
        if (this.#has(size)) return this.#take(size, lend);
        if (HEADER + size > LARGE_READ) {
          return await this.#readLarge(size, over);
        }
      }
      // Whoever was handed a message answers first: its reply leaves before the next
      // read is begun. So far behind is what is sent where a promise of it settles.
      await null;
      await null;
      if (over()) return null;
      this.#makeRoom(HEADER + (size ?? 0));
      const target = this.#buffer.subarray(this.#end);
      const read = await this.#stream.read(target);
      if (over()) return null;
      if (read !== null) {
        this.#filled(read, target.length);
        continue;
      }
      if (this.#end > this.#start) throw cutShort(this.#remote);
      if (this.#goodbye) throw cutOff(this.#remote);
      break;
    }
    this.#ended = true;
    return null;
  }

  /** The message lent last stays as it is, and whatever refers to it. */
  keep(): void {
    if (this.#lent) this.#kept = true;
  }

  /** Lets go of all buffers. */
  clear(): void {
    this.#buffer = this.#small = EMPTY;
    this.#large = undefined;
    this.#start = this.#end = 0;
  }

  /** The length in the next header, once that has arrived. */
  #announced(): number | undefined {
    const start = this.#start;
    if (this.#end - start < HEADER) return undefined;
    return readLength(this.#buffer, start);
  }

  #has(size: number): boolean {
    return this.#end - this.#start >= HEADER + size;
  }

  /** Takes the next message, which has arrived: as a view, or as a copy of its own. */
  #take(size: number, lend: boolean): Uint8Array {
    const start = this.#start + HEADER;
    const end = start + size;
    this.#taken++;
    this.#start = end;
    this.#lent = lend;
    return lend
      ? this.#buffer.subarray(start, end)
      : this.#buffer.slice(start, end);
  }

  /** Reads a message that no read buffer holds straight into its own. */
  async #readLarge(
    size: number,
    over: () => boolean,
  ): Promise<Uint8Array | null> {
    const message = new Uint8Array(size);
    const arrived = this.#buffer.subarray(this.#start + HEADER, this.#end);
    message.set(arrived);
    let length = arrived.length;
    this.#start = this.#end;
    this.#lent = false;
    while (length < size) {
      this.#arrived = HEADER + length;
      const read = await this.#stream.read(message.subarray(length));
      if (over()) return null;
      if (read === null) throw cutShort(this.#remote);
      length += read;
    }
    this.#arrived = 0;
    this.#taken++;
    return message;
  }

  /** A read brought so many bytes, of so many that there was room for. */
  #filled(read: number, room: number): void {
    this.#end += read;
    this.#flowing = read === room || read > SMALL_READ;
  }

  /**
   * Moves what is there to the front of the buffer that fits the traffic, with room for
   * `needed` bytes in all. A read
   * that may wait for long holds the small one.
   */
  #makeRoom(needed: number): void {
    if (this.#kept && this.#hasRoom(needed)) return;
    const there = this.#end - this.#start;
    const large = this.#flowing || Math.max(needed, there + 1) > SMALL_READ;
    if (this.#kept) this.#giveAway();
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

  /** Whether a buffer that may not be written again has enough left at its end. */
  #hasRoom(needed: number): boolean {
    const { length } = this.#buffer;
    return length - this.#end >= Math.min(SMALLEST_READ, length >>> 2) &&
      length - this.#start >= needed;
  }

  /** Others have the buffer now. */
  #giveAway(): void {
    this.#kept = false;
    if (this.#buffer === this.#small) this.#small = EMPTY;
    else this.#large = undefined;
  }

  #smallBuffer(): Uint8Array<ArrayBuffer> {
    if (this.#small.length === 0) this.#small = new Uint8Array(SMALL_READ);
    return this.#small;
  }

  /** The large buffer, which the garbage collector may take while it is not in use. */
  #largeBuffer(): Uint8Array<ArrayBuffer> {
    const known = this.#large?.deref();
    if (known !== undefined) return known;
    const buffer = new Uint8Array(LARGE_READ);
    this.#large = new WeakRef(buffer);
    return buffer;
  }
}

function tooLong(
  remote: Address,
  size: number,
  limit: number,
): ConnectionError {
  return isTls(size)
    ? encrypted(remote)
    : tooLongToReceive(remote, size, limit);
}

function encrypted(remote: Address): ConnectionError {
  const message = "it encrypts, and this end does not";
  return new ConnectionError(`Cannot receive from "${remote}": ${message}`, {
    cause: new EncryptedError(message),
  });
}

function cutShort(remote: Address): ConnectionError {
  return new ConnectionError(
    `Cannot receive from "${remote}": the connection ended within a message`,
  );
}

/** Whether what stands where a length should is the head of an alert or a handshake of TLS (RFC 8446 §5.1). */
function isTls(size: number): boolean {
  return size >>> 16 === 0x1503 || size >>> 16 === 0x1603;
}

function cutOff(remote: Address): ConnectionError {
  return new ConnectionError(
    `Cannot receive from "${remote}": the connection was cut off`,
  );
}
