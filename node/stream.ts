import type { BufferCodec, Codec } from "@devts/protocol";
import { Fifo } from "./_fifo.ts";
import { isBufferCodec } from "./bundle.ts";
import { reasonOf, StreamError, type StreamFailure } from "./errors.ts";
import type { Slab } from "./slab.ts";
import { type Keep, type Message, MessageReader } from "./stream_reader.ts";
import { iteratorOf, readableOf, writableOf } from "./stream_views.ts";
import {
  BYTES,
  CREDIT,
  DATA,
  DATA_HEADER,
  END,
  MESSAGE_HEADER,
  numbersFrame,
  PROBE,
  RESET,
  type ResetCode,
  resetFrame,
  VALUE,
  writeFrameHeader,
  writeUint32,
  writeUint53,
  YOURS,
} from "./stream_wire.ts";

/** Credit that a stream has at most, and at least, in bytes. */
const WINDOW = 2_097_152;
const LEAST_WINDOW = 16_384;
/** Credit that all streams of one peer share, in bytes; each has the least in any case. */
const PEER_CREDIT = 16_777_216;
/** Acknowledgements for what is on its way at most; a little later for what is less. */
const ACKNOWLEDGEMENTS = 4;
// Data of a piece, in bytes: of one that is begun for little, and of others. With what
// is put in front, it fits in the shortest message that a node must accept, 128 KiB.
const SMALL_PIECE = 2_048;
const PIECE = 122_880;
// What an encoder may need beyond its result.
const ENCODING_ROOM = 64;
/** Bytes of messages that wait without anybody waiting for them, at most. */
const QUEUE = 8_388_608;

/** After this long without a word, the other end is asked for one, in ms. */
const ASK_IDLE = 15_000;
/** The same while something has no answer. */
const ASK_WAITING = 3_000;
/** Without an answer for this long, it is gone, in ms. */
const ANSWER_WITHIN = 10_000;

const DONE: Promise<void> = Promise.resolve();

/**
 * One end of a conversation with another node: messages go both ways, in order, as
 * fast as the other end takes them.
 *
 * - **Messages** are values of the node's codec, or bytes: a `Uint8Array` stays one, and
 *   travels without being encoded. One longer than a frame travels in pieces.
 * - **Back-pressure.** What the other end does not receive makes `send` wait here:
 *   about 2 MiB is under way.
 * - **Two halves.** `close` ends what this end sends, and the other end may go on.
 * - **All or nothing.** Messages arrive whole, each once, in order, until the end or
 *   until the stream fails. A failure reaches both ends as a {@linkcode StreamError}: at
 *   once where one of them aborts it, within 25 s where a node or the network is silent.
 * - **Iterating** is the same as receiving in a loop. Leaving the loop leaves the stream
 *   open; another loop goes on from there.
 *
 * @typeParam Sent What this end sends.
 * @typeParam Received What it receives.
 */
export interface Stream<Sent = unknown, Received = unknown>
  extends AsyncIterable<Received>, AsyncDisposable {
  /** The name it was opened with. */
  readonly name: string;
  /** The node at the other end. */
  readonly peer: string;
  /**
   * Sends a message. Bytes belong to the stream until the promise settles.
   *
   * @returns Resolves once there is room for more, which is not receipt. Rejects when
   * the stream has failed or this end is closed, with a `TypeError` when the message
   * cannot be encoded, and with a `RangeError` when it is longer than the other end takes
   * (the stream stays usable). Whoever does not wait for it may have 8 MiB waiting: then
   * the stream fails.
   */
  send(message: Sent): Promise<void>;
  /**
   * Resolves to the next message, or to `undefined` once the other end has closed. Rejects
   * when the stream has failed, and with a `TypeError` while another `receive` is
   * pending.
   */
  receive(): Promise<Received | undefined>;
  /**
   * Gives back the memory of a message of bytes that was received and is needed no more:
   * later ones of the same length come in it. For those who receive gigabytes: the
   * garbage collector stops a program for some ms for each 64 MiB that it drops.
   */
  release(bytes: Uint8Array): void;
  /**
   * Ends what this end sends. Idempotent.
   *
   * @returns Resolves once the other node has all that was sent; rejects when the stream
   * fails before.
   */
  close(): Promise<void>;
  /**
   * Ends both halves at once; what has not been received is lost. The other end is told
   * the reason. Idempotent, and without effect on a stream that is over.
   */
  abort(reason?: unknown): void;
  /** Resolves once both halves have ended in order; rejects when the stream fails. */
  readonly closed: Promise<void>;
  /** What it receives; cancelling aborts the stream. Use it instead of `receive`. */
  readonly readable: ReadableStream<Received>;
  /** What it sends; aborting it aborts the stream. */
  readonly writable: WritableStream<Sent>;
  /** Closes this end in order; then aborts what the other end has not ended. Never rejects. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What the streams with one peer share. */
export interface StreamPeer extends Keep {
  /** The node. */
  readonly id: string;
  /** Bytes sent to it and not acknowledged. */
  inFlight: number;
  /** Credit given to it and not used up by what the program has received, in bytes. */
  credit: number;
  /** What messages longer than a credit take that the program has not received, in bytes. */
  long: number;
  /** Those that wait for room for such a message, in their order. */
  readonly waiting: Set<StreamEnd>;
}

/** What the end of a stream asks of the table that it is in. */
export interface StreamOwner {
  readonly codec: Codec;
  /** Room in front of a payload, in bytes. */
  readonly headroom: number;
  /** The longest message that is taken, in bytes. */
  readonly longest: number;
  /** What is on its way to one node without an acknowledgement at most, in bytes. */
  readonly inFlight: number;
  /** Milliseconds that never go back. */
  now(): number;
  /** Memory for a piece, retained once. */
  memory(size: number): Slab;
  /** Sends a piece; false: it is lost. */
  sendPiece(to: string, message: Uint8Array, slab: Slab): boolean;
  /** Sends another frame. */
  sendFrame(to: string, frame: Uint8Array, lane: "control" | "data"): unknown;
  /** It has something to send at once. */
  ready(stream: StreamEnd): void;
  /** It has something to send in this turn of the event loop. */
  soon(stream: StreamEnd): void;
  /** It has something to acknowledge within some ms. */
  acknowledge(stream: StreamEnd): void;
  /** The other end sends a message that is too long. */
  tooLong(): void;
  /** It is over, in order or by `failure`. */
  over(stream: StreamEnd, failure: StreamFailure | null): void;
  /** Sees to it that a rejection of which nobody takes notice ends nothing. */
  quiet<T>(promise: Promise<T>): Promise<T>;
}

/** A message that waits for room. */
interface Waiting extends PromiseWithResolvers<void> {
  readonly kind: number;
  readonly data: Uint8Array;
  /** How much of its data is in pieces, in bytes; below 0: not even its header. */
  at: number;
}

/** One end of a stream: the machine behind {@linkcode Stream}. */
export class StreamEnd implements Stream {
  readonly name: string;
  readonly peer: string;
  /** Its number among those that the same node opened for the same peer. */
  readonly id: number;
  /** Whether this node opened it. */
  readonly isOwn: boolean;
  /** What it shares with others. */
  readonly shared: StreamPeer;
  /** When the other end was heard last. */
  heardAt: number;
  /** Whether it waits for its turn to send. */
  isReady = false;
  readonly #owner: StreamOwner;
  readonly #opened = Promise.withResolvers<Stream>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #inPlace: BufferCodec | null;
  #isOpen: boolean;
  #isOver = false;
  #failure: unknown = null;
  #askedAt = -1;
  // What is sent.
  readonly #queue = new Fifo<Waiting>();
  #queued = 0;
  #head: Waiting | null = null;
  #piece: Slab | null = null;
  #end = 0;
  /** Whether the open piece is to leave although there is room in it. */
  #isDue = false;
  /** Whether the codec is at work: it calls the value's own code. */
  #isEncoding = false;
  /** Whether the last piece was full. */
  #isBusy = false;
  #sent = 0;
  #acknowledged = 0;
  #sendLimit = 0;
  #longest = 0;
  #closing: PromiseWithResolvers<void> | null = null;
  #isEndSent = false;
  #isEndTaken = false;
  // What is received.
  readonly #reader: MessageReader;
  readonly #messages = new Fifo<Message>();
  #receiving: PromiseWithResolvers<unknown> | null = null;
  #received = 0;
  #told = 0;
  #used = 0;
  #limit = 0;
  /** What the message takes that is longer than its credit, in bytes; 0: there is none. */
  #long = 0;
  #hasEnded = false;

  /** `limits`: what the other end takes; null where it has not said so yet. */
  constructor(
    owner: StreamOwner,
    options: {
      readonly name: string;
      readonly id: number;
      readonly isOwn: boolean;
      readonly shared: StreamPeer;
      readonly limits:
        | { readonly limit: number; readonly longest: number }
        | null;
    },
  ) {
    const { name, id, isOwn, shared, limits } = options;
    this.name = name;
    this.peer = shared.id;
    this.id = id;
    this.isOwn = isOwn;
    this.shared = shared;
    this.heardAt = owner.now();
    this.#owner = owner;
    this.#isOpen = limits !== null;
    this.#sendLimit = limits?.limit ?? 0;
    this.#longest = limits?.longest ?? 0;
    this.#inPlace = isBufferCodec(owner.codec) ? owner.codec : null;
    this.#reader = new MessageReader({
      longest: owner.longest,
      keep: shared,
      take: (message) => this.#arrived(message),
      room: (missing) => this.#roomFor(missing),
    });
    owner.quiet(this.#opened.promise);
    owner.quiet(this.#closed.promise);
    this.#raise(this.#window());
  }

  // -- For the program --

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  send(message: unknown): Promise<void> {
    if (this.#failure !== null) return this.#rejected(this.#failure);
    if (this.#closing !== null) {
      return this.#rejected(this.#error("closed", "this end is closed"));
    }
    if (this.#isEncoding) {
      return this.#rejected(
        new TypeError(`Cannot send over ${this}: a message sends another one`),
      );
    }
    if (message instanceof Uint8Array) return this.#put(BYTES, message);
    if (message === undefined) {
      return this.#rejected(
        new TypeError(`Cannot send undefined over ${this}`),
      );
    }
    let data: Uint8Array;
    try {
      if (this.#encodeInPlace(message)) return DONE;
      data = this.#owner.codec.encode(message);
    } catch (cause) {
      const text = `Cannot send over ${this}: ${reasonOf(cause)}`;
      return this.#rejected(new TypeError(text, { cause }));
    }
    return this.#put(VALUE, data);
  }

  receive(): Promise<unknown> {
    if (this.#receiving !== null) {
      return this.#rejected(
        new TypeError(
          `Cannot receive from ${this}: another receive is pending`,
        ),
      );
    }
    const message = this.#messages.shift();
    if (message !== undefined) return this.#give(message);
    if (this.#hasEnded) return Promise.resolve(undefined);
    if (this.#failure !== null) return this.#rejected(this.#failure);
    this.#receiving = Promise.withResolvers<unknown>();
    return this.#owner.quiet(this.#receiving.promise);
  }

  release(bytes: Uint8Array): void {
    if (!this.#isOver) this.#reader.release(bytes);
  }

  close(): Promise<void> {
    if (this.#closing !== null) return this.#closing.promise;
    this.#closing = Promise.withResolvers<void>();
    this.#owner.quiet(this.#closing.promise);
    if (this.#failure !== null) this.#closing.reject(this.#failure);
    else this.flush();
    return this.#closing.promise;
  }

  abort(reason?: unknown): void {
    const text = reason === undefined ? "no reason given" : reasonOf(reason);
    this.fail("aborted", `this end aborted it: ${text}`, {
      cause: reason,
      tell: "aborted",
      text,
    });
  }

  get readable(): ReadableStream<unknown> {
    return readableOf(this);
  }

  get writable(): WritableStream<unknown> {
    return writableOf(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return iteratorOf(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {});
    if (!this.#isOver) this.abort("it is not wanted any more");
  }

  toString(): string {
    return `stream "${this.name}" with node "${this.peer}"`;
  }

  // -- For the table --

  /** Resolves once the other end has accepted it. */
  get opened(): Promise<Stream> {
    return this.#opened.promise;
  }

  /** Up to which offset it takes bytes. */
  get limit(): number {
    return this.#limit;
  }

  /** Up to which offset bytes have come; one more once the end has. */
  get received(): number {
    return this.#hasEnded ? this.#received + 1 : this.#received;
  }

  /** The other end takes the stream. */
  accepted(limit: number, longest: number): void {
    this.#longest = longest;
    this.#sendLimit = Math.max(this.#sendLimit, limit);
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#opened.resolve(this);
    this.#owner.ready(this);
  }

  /**
   * The other end tells what has come, and what may come.
   *
   * @throws {SyntaxError} If it has what was never sent.
   */
  credited(received: number, limit: number): void {
    const most = this.#isEndSent ? this.#sent + 1 : this.#sent;
    if (received > most) throw this.#violation("it has what was never sent");
    this.#sendLimit = Math.max(this.#sendLimit, limit);
    const taken = Math.min(received, this.#sent);
    if (taken > this.#acknowledged) {
      this.shared.inFlight -= taken - this.#acknowledged;
      this.#acknowledged = taken;
    }
    if (received > this.#sent && !this.#isEndTaken) {
      this.#isEndTaken = true;
      this.#closing?.resolve();
      this.#finish();
    }
    this.#owner.ready(this);
  }

  /**
   * A piece came: a frame with its header.
   *
   * @throws {SyntaxError} If the other end does not keep to the protocol.
   */
  data(offset: number, frame: Uint8Array, lent: boolean): void {
    if (!this.#isNext(offset)) return;
    const end = offset + frame.length - DATA_HEADER;
    if (end > this.#limit) throw this.#violation("it sends more than it may");
    this.#received = end;
    try {
      this.#reader.take(frame, DATA_HEADER, lent);
    } catch (error) {
      if (error instanceof RangeError) this.#owner.tooLong();
      throw this.#violation(reasonOf(error));
    }
    if (this.#isOver) return;
    this.#letGoOn();
    const untold = this.#received - this.#told;
    // For the end of a long message, the other end waits until all before is acknowledged.
    const isEnding = this.#long > 0 && this.#messages.size === 0 &&
      this.#limit - this.#received < PIECE;
    if (isEnding || untold >= this.#owner.inFlight / ACKNOWLEDGEMENTS) {
      this.tell();
    } else this.#owner.acknowledge(this);
  }

  /**
   * The other end has sent all.
   *
   * @throws {SyntaxError} If it ends within a message.
   */
  ended(offset: number): void {
    if (!this.#isNext(offset)) return;
    if (!this.#reader.isBetween) {
      throw this.#violation("it ends within a message");
    }
    this.#hasEnded = true;
    this.tell();
    this.#receiving?.resolve(undefined);
    this.#receiving = null;
    this.#finish();
  }

  /** The other end asks whether all up to an offset has come. */
  probed(offset: number): void {
    if (offset > this.received) return this.#lost();
    this.tell();
  }

  /** The other end is over. */
  reset(code: ResetCode, text: string): void {
    const reason = code === "unknown" ? "gone" : code;
    this.fail(reason, `${SAID[code]}${text === "" ? "" : `: ${text}`}`);
  }

  /** Lets go of what is in an open piece. */
  flush(): void {
    this.#isDue = true;
    this.#owner.ready(this);
  }

  /** Whether it may send something now. */
  get canSend(): boolean {
    if (this.#isOver || !this.#isOpen) return false;
    if (this.#piece === null) {
      return this.#closing !== null && !this.#isEndSent;
    }
    return this.#isDue && this.#sendable > 0;
  }

  /** Sends a piece, or the end. */
  sendNext(): void {
    const piece = this.#piece;
    if (piece === null) return this.#sendEnd();
    const bytes = this.#sendable;
    const start = this.#owner.headroom;
    const end = start + DATA_HEADER + bytes;
    const offset = this.#sent;
    const rest = end < this.#end ? piece.bytes.slice(end, this.#end) : null;
    this.#writeHeader(DATA, piece.bytes, start);
    writeUint53(piece.bytes, start + 6, offset);
    this.#sent += bytes;
    this.shared.inFlight += bytes;
    this.#piece = null;
    this.#isBusy = end === piece.bytes.length;
    const message = piece.bytes.subarray(0, end);
    if (!this.#owner.sendPiece(this.peer, message, piece)) {
      return this.#lost();
    }
    if (rest !== null) this.#append(rest, 0);
    else this.#isDue = false;
    this.#refill();
  }

  /** Tells what has come, and what may come. */
  tell(): void {
    this.#raise(this.#window());
    this.#told = this.#received;
    this.#tellNumbers(CREDIT, "control", this.received, this.#limit);
  }

  /** Tells what has come, where it has not been told. */
  acknowledge(): void {
    if (!this.#isOver && this.#told < this.#received) this.tell();
  }

  /** Looks whether the other end has been silent for too long. */
  look(now: number): void {
    if (!this.#isOpen) return;
    if (this.heardAt >= this.#askedAt) this.#askedAt = -1;
    if (this.#askedAt < 0) {
      const isWaiting = this.#acknowledged < this.#sent ||
        this.#piece !== null || this.#isEndSent && !this.#isEndTaken;
      const patience = isWaiting ? ASK_WAITING : ASK_IDLE;
      if (now - this.heardAt >= patience) this.#ask(now);
    } else if (now - this.#askedAt >= ANSWER_WITHIN) {
      const seconds = ANSWER_WITHIN / 1000;
      this.fail("timeout", `the other end has not answered for ${seconds} s`, {
        tell: "lost",
      });
    }
  }

  /** Gives credit for a message that is longer than it, once there is room. */
  takeLong(): void {
    const { missing } = this.#reader;
    const end = this.#received + missing;
    if (this.#isOver || end <= this.#limit && this.#long === 0) {
      this.shared.waiting.delete(this);
      return;
    }
    if (missing === 0 || !this.#claim()) return;
    // What follows the message has its own credit: it comes while that is received.
    const limit = Math.min(
      this.#received + WINDOW,
      this.#window() + this.#long,
    );
    if (limit - this.#limit < Math.min(missing, WINDOW / 2)) return;
    this.#raise(limit);
    this.tell();
  }

  /** Ends it both ways; without effect where it is over. */
  fail(
    reason: StreamFailure,
    why: string,
    { cause, error = this.#error(reason, why, cause), tell, text = why }: {
      readonly cause?: unknown;
      readonly error?: unknown;
      readonly tell?: ResetCode;
      readonly text?: string;
    } = {},
  ): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = error;
    if (tell !== undefined) {
      const frame = resetFrame(this.#type(RESET), this.id, tell, text);
      this.#owner.sendFrame(this.peer, frame, "control");
    }
    this.#dropSending(error);
    if (!this.#hasEnded) this.#dropReceiving(error);
    this.#opened.reject(error);
    this.#closed.reject(error);
    this.#leave(reason);
  }

  // -- Sending --

  #put(kind: number, data: Uint8Array): Promise<void> {
    if (data.length > this.#longest) {
      return this.#rejected(
        new RangeError(
          `Cannot send ${data.length} bytes over ${this}: a message has at most ${this.#longest}`,
        ),
      );
    }
    const waiting: Waiting = {
      kind,
      data,
      at: -MESSAGE_HEADER,
      ...Promise.withResolvers<void>(),
    };
    if (this.#head === null && this.#place(waiting)) return DONE;
    if (this.#failure !== null) return this.#rejected(this.#failure);
    const room = this.#owner.quiet(waiting.promise);
    if (this.#head === null) this.#head = waiting;
    else {
      this.#queue.push(waiting);
      this.#queued += data.length + MESSAGE_HEADER;
      if (this.#queued > QUEUE) {
        const why = `more than ${QUEUE} bytes wait: wait for what send returns`;
        this.fail("overflow", why, { tell: "aborted" });
      }
    }
    return room;
  }

  /** Puts a message into pieces, and lets go of those that are full; whether all of it. */
  #place(waiting: Waiting): boolean {
    while (!this.#fill(waiting)) {
      if (!this.#letGo() || this.#isOver) return false;
    }
    this.#leaveSoon();
    return true;
  }

  /** Puts as much of a message into the open piece as there is room for; whether all of it. */
  #fill(waiting: Waiting): boolean {
    const { data } = waiting;
    if (waiting.at < 0) {
      const size = MESSAGE_HEADER + data.length;
      if (this.#room(size) < MESSAGE_HEADER) return false;
      this.#writeMessageHeader(waiting.kind, data.length);
      waiting.at = 0;
    }
    if (waiting.at < data.length) waiting.at = this.#append(data, waiting.at);
    return waiting.at === data.length;
  }

  #encodeInPlace(value: unknown): boolean {
    const codec = this.#inPlace;
    if (codec === null || this.#head !== null) return false;
    let room = this.#room(MESSAGE_HEADER + ENCODING_ROOM);
    if (room < MESSAGE_HEADER + ENCODING_ROOM) {
      if (!this.#letGo()) return false;
      room = this.#room(MESSAGE_HEADER + ENCODING_ROOM);
    }
    const piece = this.#piece;
    if (piece === null) return false;
    const start = this.#end + MESSAGE_HEADER;
    this.#isEncoding = true;
    let end;
    try {
      end = codec.encodeInto(value, piece.bytes, start);
    } finally {
      this.#isEncoding = false;
    }
    if (end < 0 || end > piece.bytes.length || end - start > this.#longest) {
      return false;
    }
    this.#writeMessageHeader(VALUE, end - start);
    this.#end = end;
    this.#leaveSoon();
    return true;
  }

  /** Room in the open piece, which is begun where there is none. */
  #room(needed: number): number {
    let piece = this.#piece;
    if (piece === null) {
      const isSmall = needed <= SMALL_PIECE && !this.#isBusy;
      const { headroom } = this.#owner;
      piece = this.#piece = this.#owner.memory(
        headroom + DATA_HEADER + (isSmall ? SMALL_PIECE : PIECE),
      );
      this.#end = headroom + DATA_HEADER;
    }
    return piece.bytes.length - this.#end;
  }

  #writeMessageHeader(kind: number, length: number): void {
    const bytes = this.#piece?.bytes;
    if (bytes === undefined) return;
    bytes[this.#end] = kind;
    writeUint32(bytes, this.#end + 1, length);
    this.#end += MESSAGE_HEADER;
  }

  /** Copies data from an offset on, as much as there is room for; returns up to where. */
  #append(data: Uint8Array, from: number): number {
    const length = Math.min(data.length - from, this.#room(data.length));
    const part = length === data.length
      ? data
      : data.subarray(from, from + length);
    this.#piece?.bytes.set(part, this.#end);
    this.#end += length;
    return from + length;
  }

  /** Lets go of a full piece; whether it has left. */
  #letGo(): boolean {
    this.flush();
    return this.#piece === null;
  }

  #leaveSoon(): void {
    if (!this.#isDue) this.#owner.soon(this);
  }

  /** What waits goes into the next piece. */
  #refill(): void {
    for (let next = this.#head; next !== null; next = this.#head) {
      const isWhole = this.#fill(next);
      this.#isDue = true;
      if (!isWhole) return;
      next.resolve();
      this.#head = this.#queue.shift() ?? null;
      if (this.#head) this.#queued -= this.#head.data.length + MESSAGE_HEADER;
    }
  }

  /** How much of the open piece may leave, in bytes. */
  get #sendable(): number {
    const { headroom } = this.#owner;
    const length = this.#end - headroom - DATA_HEADER;
    const credit = this.#sendLimit - this.#sent;
    if (credit >= length) return length;
    // A part leaves only where nothing else would bring more credit.
    return this.#acknowledged === this.#sent ? Math.max(0, credit) : 0;
  }

  #sendEnd(): void {
    this.#isEndSent = true;
    this.#tellNumbers(END, "data", this.#sent);
  }

  #ask(now: number): void {
    this.#askedAt = now;
    const sent = this.#isEndSent ? this.#sent + 1 : this.#sent;
    this.#tellNumbers(PROBE, "data", sent);
  }

  #type(type: number): number {
    return this.isOwn ? type : type | YOURS;
  }

  #writeHeader(type: number, target: Uint8Array, at: number): void {
    writeFrameHeader(target, at, this.#type(type), this.id);
  }

  #tellNumbers(
    type: number,
    lane: "control" | "data",
    first: number,
    second?: number,
  ): void {
    const frame = numbersFrame(this.#type(type), this.id, first, second);
    this.#owner.sendFrame(this.peer, frame, lane);
  }

  // -- Receiving --

  /** Whether something stands at the end of what has come. If not, something is lost. */
  #isNext(offset: number): boolean {
    if (this.#isOver || this.#hasEnded) return false;
    if (offset === this.#received) return true;
    this.#lost();
    return false;
  }

  #arrived(message: Message): void {
    const waiting = this.#receiving;
    if (waiting === null) return this.#messages.push(message);
    this.#receiving = null;
    waiting.resolve(this.#give(message));
  }

  #give(message: Message): Promise<unknown> {
    if (!this.#isOver) {
      this.#used += message.size;
      this.shared.credit -= message.size;
      if (this.#long > 0) this.#giveUpClaim();
      this.#letGoOn();
    }
    if (message.isBytes) return Promise.resolve(message.data);
    try {
      return Promise.resolve(this.#owner.codec.decode(message.data));
    } catch (error) {
      const why = `a message is malformed: ${reasonOf(error)}`;
      this.fail("violation", why, { cause: error, tell: "violation" });
      return this.#rejected(this.#failure ?? error);
    }
  }

  /** Gives more credit, where that is worth a frame. */
  #letGoOn(): void {
    if (this.#isOver || this.#hasEnded) return;
    const limit = this.#window();
    const window = limit - this.#used;
    if (limit - this.#limit >= window / 2) this.tell();
    this.takeLong();
    letWaitingGoOn(this.shared);
  }

  /** Memory for a message beyond what has come of it, of which so much is missing, in bytes. */
  #roomFor(missing: number): number {
    const credit = this.#limit - this.#received;
    return missing <= credit || this.#claim() ? missing : credit;
  }

  /** Whether it may take the message that is coming, although that is longer than its credit. */
  #claim(): boolean {
    const { waiting } = this.shared;
    // What the program has not received yet makes room first.
    if (this.#messages.size > 0) {
      waiting.delete(this);
      return false;
    }
    if (this.#long > 0) return true;
    waiting.add(this);
    const [first] = waiting;
    const { size } = this.#reader;
    const most = this.#owner.longest + MESSAGE_HEADER;
    if (first !== this || this.shared.long + size > most) return false;
    waiting.delete(this);
    this.shared.long += size;
    this.#long = size;
    return true;
  }

  /** Needs room for a long message no more. */
  #giveUpClaim(): void {
    this.shared.long -= this.#long;
    this.#long = 0;
    this.shared.waiting.delete(this);
    letWaitingGoOn(this.shared);
  }

  /** Up to where it may take bytes, by what the streams of the peer have in all. */
  #window(): number {
    const own = this.#limit - this.#used;
    const free = PEER_CREDIT - (this.shared.credit - own);
    const window = Math.max(LEAST_WINDOW, Math.min(WINDOW, free / 2));
    return this.#used + Math.floor(window);
  }

  #raise(limit: number): void {
    if (limit <= this.#limit) return;
    this.shared.credit += limit - this.#limit;
    this.#limit = limit;
  }

  // -- The end --

  #lost(): void {
    this.fail("lost", "something of it was lost on its way", { tell: "lost" });
  }

  #finish(): void {
    if (this.#isOver || !this.#isEndTaken || !this.#hasEnded) return;
    this.#isOver = true;
    this.#closed.resolve();
    this.#leave(null);
  }

  #leave(failure: StreamFailure | null): void {
    const { shared } = this;
    shared.inFlight -= this.#sent - this.#acknowledged;
    shared.credit -= this.#limit - this.#used;
    this.#used = this.#limit;
    this.#reader.clear();
    this.#giveUpClaim();
    this.#owner.over(this, failure);
  }

  #dropSending(error: unknown): void {
    this.#piece?.release();
    this.#piece = null;
    this.#head?.reject(error);
    this.#head = null;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      next.reject(error);
    }
    if (!this.#isEndTaken) this.#closing?.reject(error);
  }

  #dropReceiving(error: unknown): void {
    this.#messages.clear();
    this.#receiving?.reject(error);
    this.#receiving = null;
  }

  #rejected(error: unknown): Promise<never> {
    return this.#owner.quiet(Promise.reject(error));
  }

  #error(reason: StreamFailure, why: string, cause?: unknown): StreamError {
    const options = cause === undefined ? {} : { cause };
    return new StreamError(reason, `The ${this} failed: ${why}`, options);
  }

  /** Ends the stream, and is thrown. */
  #violation(why: string): SyntaxError {
    this.fail("violation", why, { tell: "violation" });
    return new SyntaxError(`Cannot go on with ${this}: ${why}`);
  }
}

/** Room for long messages goes to those who wait, in their order. */
function letWaitingGoOn({ waiting }: StreamPeer): void {
  if (waiting.size === 0) return;
  for (const stream of waiting) {
    stream.takeLong();
    if (waiting.has(stream)) return;
  }
}

/** What a reset means, in words. */
const SAID: Readonly<Record<ResetCode, string>> = {
  aborted: "the other end aborted it",
  unhandled: "the node does not handle streams of that name",
  limit: "the node has as many streams as it takes",
  lost: "something of it was lost on its way",
  unknown: "the other end knows it no more",
  closed: "the other node was closed",
  violation: "the other end found that this one broke the protocol",
};
