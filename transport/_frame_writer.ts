import { HEADER, writeLength } from "./_frame_header.ts";
import { handledResolvers } from "./_promise.ts";
import type { ByteStream } from "./framing.ts";
import type { ConnectionError } from "./types.ts";

const KIB = 1024;
/** A buffer for copies up to this size is kept while a link is quiet. */
const SMALL_WRITE = 2 * KIB;
/** The largest buffer for copies, but for a message that is longer. */
const LARGE_WRITE = 256 * KIB;
/** The most that is written at once, in bytes. */
const MAX_WRITE = 1024 * KIB;
/** A shorter frame is copied beside its neighbours, unless it stands there already. */
const WORTH_A_WRITE = 4 * KIB;

const DONE: Promise<void> = Promise.resolve();
const EMPTY = new Uint8Array(0);

/** Bytes that leave one after the other from where they stand. */
interface Run {
  readonly buffer: ArrayBufferLike;
  start: number;
  end: number;
}

/** Somebody who waits until so many bytes have left. */
interface Waiting {
  readonly at: number;
  readonly done: () => void;
}

/**
 * Writes messages to a stream of bytes, one write at a time: all that stands one
 * behind the other in memory leaves in one write.
 */
export class FrameWriter {
  readonly #stream: ByteStream;
  readonly #highWaterMark: number;
  /** Told what is wrong, once, where writing fails. */
  readonly #broken: (error: unknown) => void;
  readonly #queue: Run[] = [];
  /** Who waits for bytes to leave, in their order, by the bytes pushed until then. */
  readonly #waiting: Waiting[] = [];
  /** Bytes queued so far. */
  #pushed = 0;
  /** Bytes queued or in flight. */
  #queued = 0;
  #writing: Promise<void> | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #ended = false;
  // Messages are copied into #copies up to #copied.
  #copies: Uint8Array<ArrayBuffer> = EMPTY;
  #copied = 0;
  /** The buffer for copies before this one, and whether all of it has left. */
  #former: Uint8Array<ArrayBuffer> = EMPTY;
  #formerLeft = false;
  /** Whether more than a small buffer holds has left since the last pause. */
  #busy = false;

  constructor(
    stream: ByteStream,
    highWaterMark: number,
    broken: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#highWaterMark = highWaterMark;
    this.#broken = broken;
  }

  /** Queues a copy of a message. */
  send(message: Uint8Array): Promise<void> {
    const start = this.#makeRoom(HEADER + message.length);
    writeLength(this.#copies, start, message.length);
    this.#copies.set(message, start + HEADER);
    return this.#push(
      this.#copies.buffer,
      start,
      HEADER + message.length,
    );
  }

  /** Queues a message with its header, which is not written to before `done` is called. */
  sendFrame(frame: Uint8Array, done?: () => void): Promise<void> {
    const { buffer, byteOffset, length } = frame;
    if (length >= WORTH_A_WRITE || this.#isNext(buffer, byteOffset)) {
      if (done) this.#waiting.push({ at: this.#pushed + length, done });
      return this.#push(buffer, byteOffset, length);
    }
    const start = this.#makeRoom(length);
    this.#copies.set(frame, start);
    const room = this.#push(this.#copies.buffer, start, length);
    done?.();
    return room;
  }

  /** Resolves once nothing is left to write; never rejects. */
  get flushed(): Promise<void> {
    return this.#writing ?? DONE;
  }

  /** Drops what is queued; senders who wait are told why. */
  end(error: ConnectionError): void {
    this.#ended = true;
    this.#room?.reject(error);
    this.#room = undefined;
    this.#queue.length = this.#waiting.length = 0;
    this.#queued = 0;
    this.#copies = this.#former = EMPTY;
  }

  #push(buffer: ArrayBufferLike, start: number, length: number): Promise<void> {
    const end = start + length;
    const last = this.#queue.at(-1);
    if (last?.buffer === buffer && last.end === start) last.end = end;
    else this.#queue.push({ buffer, start, end });
    this.#pushed += length;
    this.#queued += length;
    this.#writing ??= this.#write();
    if (this.#queued < this.#highWaterMark) return DONE;
    this.#room ??= handledResolvers();
    return this.#room.promise;
  }

  #isNext(buffer: ArrayBufferLike, start: number): boolean {
    const last = this.#queue.at(-1);
    return last === undefined || last.buffer === buffer && last.end === start;
  }

  /** Room for so many bytes in the buffer for copies: where. */
  #makeRoom(needed: number): number {
    if (this.#copies.length - this.#copied < needed) this.#turnOver(needed);
    const start = this.#copied;
    this.#copied += needed;
    return start;
  }

  /** Copies go to another buffer, while this one leaves. */
  #turnOver(needed: number): void {
    const next = this.#formerLeft && this.#former.length >= needed
      ? this.#former
      : this.#newBuffer(needed);
    this.#former = this.#copies;
    this.#formerLeft = !this.#isQueued(this.#copies.buffer);
    this.#copies = next;
    this.#copied = 0;
  }

  #newBuffer(needed: number): Uint8Array<ArrayBuffer> {
    if (needed <= SMALL_WRITE && this.#copies.length === 0) {
      return new Uint8Array(SMALL_WRITE);
    }
    const doubled = Math.min(LARGE_WRITE, 2 * this.#copies.length);
    return new Uint8Array(Math.max(needed, doubled));
  }

  #isQueued(buffer: ArrayBufferLike): boolean {
    return this.#queue.some((run) => run.buffer === buffer);
  }

  /** Writes until nothing is left; never rejects. */
  async #write(): Promise<void> {
    try {
      for (let run = this.#queue[0]; run !== undefined; run = this.#queue[0]) {
        await this.#writeSome(run);
        if (this.#ended) break;
      }
    } catch (error) {
      if (!this.#ended) this.#broken(error);
    }
    this.#pause();
    this.#writing = undefined;
  }

  async #writeSome(run: Run): Promise<void> {
    const { buffer, start } = run;
    const length = Math.min(run.end - start, MAX_WRITE);
    if (length > SMALL_WRITE) this.#busy = true;
    const written = await this.#stream.write(
      new Uint8Array(buffer, start, length),
    );
    if (this.#ended) return;
    run.start += written;
    this.#queued -= written;
    if (run.start === run.end) this.#finish(run);
    this.#tellDone();
    if (this.#queued < this.#highWaterMark) this.#giveRoom();
  }

  #finish({ buffer }: Run): void {
    this.#queue.shift();
    if (buffer === this.#former.buffer) {
      this.#formerLeft = !this.#isQueued(buffer);
    }
  }

  /**
   * Keeps a small buffer for a quiet link. Large ones stay until less than they are
   * made for was written: making one costs as much as filling it.
   */
  #pause(): void {
    this.#copied = 0;
    if (!this.#busy || this.#copies.length > LARGE_WRITE) {
      this.#former = EMPTY;
      if (this.#copies.length > SMALL_WRITE) this.#copies = EMPTY;
    }
    this.#busy = false;
  }

  #tellDone(): void {
    const left = this.#pushed - this.#queued;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (next.at > left) return;
      this.#waiting.shift();
      next.done();
    }
  }

  #giveRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
