import { byteStream, closeQuietly, writeAll } from "./_deno_conn.ts";
import type { Arriving } from "./types.ts";

// RFC 6455, 5.2.
const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const FINAL = 0x80;
const MASKED = 0x80;
const MAX_CONTROL = 125;

/** Codes of a close: a rule was broken, a message was too long, and there was none. */
const VIOLATED = 1002;
const TOO_LONG = 1009;
const NO_CODE = 1005;
const BROKEN = 1006;

const READ = 64 * 1024;
/** From so many bytes on, unmasking four at a time is worth its preparation. */
const WORTH_WORDS = 512;
/** How long the other end may take to answer a close, in ms. */
const CLOSE_TIMEOUT = 2_000;
/** Frames that wait above which pings get no answer. */
const MAX_WAITING = 1_000;
/** Bytes of a mask, and of the longest head. */
const MASK = 4;
const MAX_HEAD = 14;

const EMPTY = new Uint8Array(0);

/** The head of a frame. */
interface Head {
  readonly isFinal: boolean;
  readonly opcode: number;
  readonly length: number;
  readonly mask: Uint8Array;
}

/**
 * The accepting end of a WebSocket, as far as a connection needs it, over a socket whose
 * upgrade was answered. The runtime's own puts together a message of any length before
 * anybody sees it, if it comes in parts, and goes on with that once it is closed; this one
 * keeps no more than the longest message, and tells how far it has come.
 */
export class ServerSocket {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose:
    | ((event: { readonly code: number; readonly wasClean: boolean }) => void)
    | null = null;
  onerror: ((event: Event) => void) | null = null;
  /** A message of so many bytes was announced, which is too long. */
  ontoolong: ((length: number) => void) | null = null;
  readyState: number = WebSocket.OPEN;
  bufferedAmount = 0;
  /** Settles once it has let go of the socket below; never rejects. */
  readonly gone: Promise<void>;
  readonly #conn: Deno.TcpConn;
  readonly #ended = Promise.withResolvers<void>();
  readonly #limit: number;
  readonly #outgoing: Uint8Array[] = [];
  #writing = false;
  /** Called once nothing waits to be written any more. */
  #flushed: (() => void) | undefined;
  /** What has arrived of the head of a frame. */
  #headBytes = EMPTY;
  /** The frame that is arriving, what has arrived of it, and how long that is. */
  #head: Head | null = null;
  #payload: Uint8Array<ArrayBuffer>[] = [];
  #arrived = 0;
  /** The frames before it of the same message, and how long they are together. */
  #opcode = CONTINUATION;
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #length = 0;
  /** Messages that have arrived. */
  #taken = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  /**
   * @param limit The longest message, in bytes.
   */
  constructor(conn: Deno.TcpConn, limit: number) {
    this.#conn = conn;
    this.#limit = limit;
    this.gone = this.#ended.promise;
  }

  /** The message that has begun to arrive. */
  get arriving(): Arriving | null {
    const bytes = this.#headBytes.length + this.#arrived + this.#length;
    const hasBegun = bytes > 0 || this.#head !== null;
    return hasBegun ? { message: this.#taken, bytes } : null;
  }

  /** Begins to read, with what has arrived behind the request. */
  start(rest: Uint8Array): void {
    this.#read(rest);
  }

  send(message: Uint8Array): void {
    if (this.readyState === WebSocket.OPEN) this.#write(BINARY, message);
  }

  close(code: number): void {
    if (this.readyState !== WebSocket.OPEN) return;
    this.#sayClose(Uint8Array.of(code >> 8, code & 0xff));
    this.#timer = setTimeout(() => this.#end(BROKEN), CLOSE_TIMEOUT);
  }

  // -- Reading --

  async #read(rest: Uint8Array): Promise<void> {
    const buffer = new Uint8Array(READ);
    let bytes: Uint8Array | null = rest;
    try {
      while (bytes !== null && !this.#isOver) {
        this.#take(bytes);
        const count = this.#isOver ? null : await this.#conn.read(buffer);
        bytes = count === null ? null : buffer.subarray(0, count);
      }
    } catch {
      // Broken, or closed here.
    }
    this.#end(BROKEN);
  }

  #take(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#isOver) {
      rest = this.#head === null
        ? this.#takeHead(rest)
        : this.#takePayload(this.#head, rest);
    }
  }

  /** Takes bytes until the head is whole; returns what is left. */
  #takeHead(bytes: Uint8Array): Uint8Array {
    const start = this.#headBytes.length;
    const more = bytes.subarray(0, MAX_HEAD - start);
    const known = start === 0 ? more : joined([this.#headBytes, more]);
    const size = headSize(known);
    if (known.length < size) {
      this.#headBytes = known.slice();
      return EMPTY;
    }
    const head = headOf(known.subarray(0, size));
    this.#headBytes = EMPTY;
    const isMessage = head !== null && head.opcode < CLOSE;
    const total = this.#length + (head?.length ?? 0);
    if (head === null || !this.#isInPlace(head)) this.#fail(VIOLATED);
    else if (isMessage && total > this.#limit) {
      this.ontoolong?.(total);
      this.#fail(TOO_LONG);
    } else {
      this.#head = head;
      if (head.length === 0) this.#finishFrame(head);
    }
    return bytes.subarray(size - start);
  }

  /** Whether a frame may come now. */
  #isInPlace({ opcode, isFinal, length }: Head): boolean {
    if (opcode >= CLOSE) return isFinal && length <= MAX_CONTROL;
    return (opcode === CONTINUATION) === (this.#opcode !== CONTINUATION);
  }

  #takePayload(head: Head, bytes: Uint8Array): Uint8Array {
    const part = new Uint8Array(
      bytes.subarray(0, head.length - this.#arrived),
    );
    unmask(part, head.mask, this.#arrived);
    this.#payload.push(part);
    this.#arrived += part.length;
    if (this.#arrived === head.length) this.#finishFrame(head);
    return bytes.subarray(part.length);
  }

  #finishFrame(head: Head): void {
    const parts = this.#payload;
    this.#head = null;
    this.#payload = [];
    this.#arrived = 0;
    if (head.opcode >= CLOSE) {
      return this.#takeControl(head.opcode, joined(parts));
    }
    if (head.opcode !== CONTINUATION) this.#opcode = head.opcode;
    this.#parts.push(...parts);
    this.#length += head.length;
    if (!head.isFinal) return;
    const [only] = this.#parts;
    const message = only && this.#parts.length === 1
      ? only
      : joined(this.#parts);
    const isText = this.#opcode === TEXT;
    this.#opcode = CONTINUATION;
    this.#parts = [];
    this.#length = 0;
    this.#taken++;
    this.onmessage?.({ data: isText ? "" : message.buffer });
  }

  #takeControl(opcode: number, payload: Uint8Array): void {
    if (opcode === PING) this.#pong(payload);
    if (opcode !== CLOSE) return;
    const [high, low] = payload;
    const code = high === undefined || low === undefined
      ? NO_CODE
      : high << 8 | low;
    if (this.readyState === WebSocket.OPEN) this.#sayClose(payload);
    this.#end(code);
  }

  /** Whoever pings and does not read gets no further answers. */
  #pong(payload: Uint8Array): void {
    const isOpen = this.readyState === WebSocket.OPEN;
    if (isOpen && this.#outgoing.length < MAX_WAITING) {
      this.#write(PONG, payload);
    }
  }

  // -- Writing --

  #sayClose(payload: Uint8Array): void {
    this.#write(CLOSE, payload);
    this.readyState = WebSocket.CLOSING;
  }

  #write(opcode: number, payload: Uint8Array): void {
    const frame = frameOf(opcode, payload);
    this.#outgoing.push(frame);
    this.bufferedAmount += frame.length;
    this.#flush();
  }

  /** What is written next: small frames that wait leave together. */
  #nextWrite(): Uint8Array | null {
    let count = 0;
    let length = 0;
    for (const frame of this.#outgoing) {
      if (count > 0 && length + frame.length > READ) break;
      count++;
      length += frame.length;
    }
    const frames = this.#outgoing.splice(0, count);
    const [only] = frames;
    if (!only) return null;
    return frames.length === 1 ? only : joined(frames);
  }

  async #flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    await null; // what is sent in the same turn leaves with it
    try {
      for (let bytes; (bytes = this.#nextWrite()) !== null;) {
        await writeAll(this.#conn, bytes);
        this.bufferedAmount -= bytes.length;
      }
    } catch {
      this.#end(BROKEN);
    }
    this.#writing = false;
    this.#flushed?.();
  }

  // -- Ending --

  #fail(code: number): void {
    if (this.readyState === WebSocket.OPEN) {
      this.#sayClose(Uint8Array.of(code >> 8, code & 0xff));
    }
    this.#end(code, false);
  }

  /** It is over; what is queued still leaves, unless it broke. */
  #end(code: number, wasClean = code !== BROKEN): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.readyState = WebSocket.CLOSED;
    clearTimeout(this.#timer);
    this.#letGo(code === BROKEN);
    this.onclose?.({ code, wasClean });
  }

  async #letGo(isBroken: boolean): Promise<void> {
    const stream = byteStream(this.#conn, this.#ended.resolve);
    try {
      if (isBroken) return await stream.close(new Error("Broken"));
      const late = setTimeout(() => closeQuietly(this.#conn), CLOSE_TIMEOUT);
      if (this.#writing) {
        await new Promise<void>((resolve) => this.#flushed = resolve);
      }
      await stream.close();
      clearTimeout(late);
    } catch {
      // It was closed already.
      this.#ended.resolve();
    }
  }
}

/** How long a head is, as far as its first bytes say. */
function headSize(bytes: Uint8Array): number {
  if (bytes.length < 2) return 2;
  const second = bytes[1] ?? 0;
  const short = second & 0x7f;
  const size = short < 126 ? 2 : short === 126 ? 4 : 10;
  return (second & MASKED) === 0 ? size : size + MASK;
}

/** A whole head; null: it breaks a rule. */
function headOf(bytes: Uint8Array): Head | null {
  const [first = 0, second = 0] = bytes;
  const opcode = first & 0x0f;
  const isKnown = opcode <= BINARY || opcode >= CLOSE && opcode <= PONG;
  // Extensions were not agreed on, and what a client sends is masked.
  if ((first & 0x70) !== 0 || !isKnown || (second & MASKED) === 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const short = second & 0x7f;
  const length = short < 126
    ? short
    : short === 126
    ? view.getUint16(2)
    : Number(view.getBigUint64(2));
  return {
    isFinal: (first & FINAL) !== 0,
    opcode,
    length,
    mask: bytes.slice(bytes.length - MASK),
  };
}

/** A frame as a server sends it. */
function frameOf(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const size = length < 126 ? 2 : length < 0x10000 ? 4 : 10;
  const frame = new Uint8Array(size + length);
  const view = new DataView(frame.buffer);
  frame[0] = FINAL | opcode;
  frame[1] = size === 2 ? length : size === 4 ? 126 : 127;
  if (size === 4) view.setUint16(2, length);
  if (size === 10) view.setBigUint64(2, BigInt(length));
  frame.set(payload, size);
  return frame;
}

/** Unmasks a part that begins so many bytes behind the start of its frame. */
function unmask(
  part: Uint8Array<ArrayBuffer>,
  mask: Uint8Array,
  start: number,
): void {
  let done = 0;
  if (part.length >= WORTH_WORDS) {
    const turned = Uint8Array.from(mask, (_, i) => mask[(start + i) & 3] ?? 0);
    const [word = 0] = new Uint32Array(turned.buffer);
    const words = new Uint32Array(part.buffer, 0, part.length >> 2);
    for (let i = 0; i < words.length; i++) words[i] = (words[i] ?? 0) ^ word;
    done = 4 * words.length;
  }
  for (let i = done; i < part.length; i++) {
    part[i] = (part[i] ?? 0) ^ (mask[(start + i) & 3] ?? 0);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
