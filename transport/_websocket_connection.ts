import {
  alreadyReceiving,
  closedFor,
  closedLate,
  closedToSend,
  messagesOf,
  tooLongToReceive,
  tooLongToSend,
} from "./_connection.ts";
import type { ServerSocket } from "./_server_socket.ts";
import { handled, handledResolvers, rejected } from "./_promise.ts";
import {
  type Address,
  type Arriving,
  type ArrivingConnection,
  type Connection,
  ConnectionError,
  type ReceiveOptions,
} from "./types.ts";

// The first byte of each binary message says what it is. Nothing else is sent.
/** A message of the user: the rest is its bytes. */
const DATA = 0;
/** Room at the receiver: 4 bytes, big-endian. The first one grants its whole window. */
const CREDIT = 1;

/** What a message counts for beside its bytes, so that empty ones are bounded too. */
const OVERHEAD = 64;
/** Room is given back in steps of at least this size. */
const CREDIT_STEP = 64 * 1024;
/** Half of a window, which takes a message of any length and leaves room for a step. */
const MIN_HALF = CREDIT_STEP;
/** Ends a close whose other end takes nothing, in ms. */
const CLOSE_TIMEOUT = 5_000;

/** The code of a close in order. */
const CLEAN = 1000;
/** The code of a close that drops what is under way. */
const ABORTED = 4000;

const DONE: Promise<void> = Promise.resolve();

/** Options of {@linkcode WebSocketConnection}. */
export interface WebSocketConnectionOptions {
  readonly role: "dialer" | "acceptor";
  readonly remote: Address;
  readonly maxMessage: number;
  /** Called once the socket is closed, before `close` settles. Never rejects. */
  readonly ended?: () => Promise<void>;
}

/** A message that waits for room at the receiver. */
interface Outgoing {
  readonly packet: Uint8Array<ArrayBuffer>;
  readonly cost: number;
  readonly left: PromiseWithResolvers<void>;
}

/** How a socket was closed. */
type CloseOf = Pick<CloseEvent, "code" | "wasClean">;

interface Waiter {
  readonly limit: number;
  resolve(message: Uint8Array | null): void;
  reject(error: ConnectionError): void;
}

/**
 * A WebSocket, which is open, as a connection.
 *
 * A WebSocket cannot push back: it reads whatever arrives. So each side grants the
 * other a window of bytes, and grants anew what its user has taken. A window is
 * twice the longest message, so that the half that may not have been granted anew
 * never holds one up.
 */
export class WebSocketConnection implements Connection, ArrivingConnection {
  readonly remote: Address;
  readonly carrier = "websocket";
  readonly #socket: WebSocket | ServerSocket;
  readonly #maxMessage: number;
  readonly #window: number;
  readonly #ended: () => Promise<void>;
  /** Whether the other end was granted its window. */
  #granted = false;
  #released: Promise<void> | undefined;

  // Receiving.
  #messages: Uint8Array[] = [];
  /** Where in `#messages` the next one stands. */
  #next = 0;
  #waiter: Waiter | undefined;
  /** What has arrived and was not granted anew. */
  #held = 0;
  /** The part of that which was taken. */
  #taken = 0;
  /** The other end has closed in order. */
  #over = false;

  // Sending.
  #outgoing: Outgoing[] = [];
  /** What may be under way: the smaller window; 0 until the other end grants one. */
  #allowed = 0;
  #underWay = 0;
  #emptied: (() => void) | undefined;

  // Ending.
  #sendError: ConnectionError | undefined;
  #error: ConnectionError | undefined;
  #closed: Promise<void> | undefined;
  /** Settles once the socket is closed. */
  readonly #gone = Promise.withResolvers<void>();

  constructor(
    socket: WebSocket | ServerSocket,
    options: WebSocketConnectionOptions,
  ) {
    this.remote = options.remote;
    this.#socket = socket;
    this.#maxMessage = options.maxMessage;
    this.#window = windowFor(options.maxMessage);
    this.#ended = options.ended ?? (() => DONE);
    socket.onmessage = ({ data }: { readonly data: unknown }) =>
      this.#arrive(data);
    socket.onclose = (event: CloseOf) => this.#end(event);
    // What follows is the end, which says the same.
    socket.onerror = (event: Event) => event.preventDefault();
    if ("ontoolong" in socket) {
      socket.ontoolong = (length) =>
        this.#abort(
          tooLongToReceive(this.remote, length - 1, this.#maxMessage),
        );
    }
    if (options.role === "dialer") this.#grantWindow();
  }

  get arriving(): Arriving | null {
    return "arriving" in this.#socket ? this.#socket.arriving : null;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#sendError !== undefined) return rejected(this.#sendError);
    if (message.length > this.#maxMessage) {
      return rejected(
        tooLongToSend(this.remote, message.length, this.#maxMessage),
      );
    }
    const packet = new Uint8Array(1 + message.length);
    packet[0] = DATA;
    packet.set(message, 1);
    const cost = message.length + OVERHEAD;
    if (this.#outgoing.length === 0 && this.#hasRoom(cost)) {
      this.#dispatch(packet, cost);
      return DONE;
    }
    const left = handledResolvers();
    this.#outgoing.push({ packet, cost, left });
    return left.promise;
  }

  receive(options?: ReceiveOptions): Promise<Uint8Array | null> {
    if (this.#waiter !== undefined) {
      return rejected(alreadyReceiving(this.remote));
    }
    const limit = Math.min(options?.limit ?? Infinity, this.#maxMessage);
    const message = this.#shift();
    if (message !== undefined) {
      const error = this.#take(message, limit);
      return error === undefined ? Promise.resolve(message) : rejected(error);
    }
    if (this.#error !== undefined) return rejected(this.#error);
    if (this.#over || this.#closed !== undefined) return Promise.resolve(null);
    return handled(
      new Promise((resolve, reject) => {
        this.#waiter = { limit, resolve, reject };
      }),
    );
  }

  close(reason?: Error): Promise<void> {
    if (reason !== undefined && !this.#over) {
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

  // -- Receiving --

  #arrive(data: unknown): void {
    // This side has closed: nobody takes what is still under way.
    if (this.#error !== undefined) return;
    if (!(data instanceof ArrayBuffer)) return this.#violated("sent text");
    const packet = new Uint8Array(data);
    switch (packet[0]) {
      case DATA:
        return this.#arriveData(packet.subarray(1));
      case CREDIT:
        return this.#arriveCredit(packet);
      default:
        return this.#violated("sent something unknown");
    }
  }

  #arriveData(message: Uint8Array): void {
    if (message.length > this.#maxMessage) {
      this.#abort(
        tooLongToReceive(this.remote, message.length, this.#maxMessage),
      );
      return;
    }
    this.#held += message.length + OVERHEAD;
    if (this.#held > this.#window) {
      return this.#violated("sent more than there was room for");
    }
    // Nobody takes it, but an other end that flushes must get on.
    if (this.#closed !== undefined) return this.#giveRoom(message.length);
    const waiter = this.#waiter;
    if (waiter === undefined) {
      this.#messages.push(message);
      return;
    }
    this.#waiter = undefined;
    const error = this.#take(message, waiter.limit);
    if (error === undefined) waiter.resolve(message);
    else waiter.reject(error);
  }

  #shift(): Uint8Array | undefined {
    const message = this.#messages[this.#next];
    if (message === undefined) return undefined;
    this.#next++;
    // Lets go of what was taken, also where there is always something left.
    if (this.#next >= this.#messages.length / 2) {
      this.#messages = this.#messages.slice(this.#next);
      this.#next = 0;
    }
    return message;
  }

  #clear(): void {
    for (let message; (message = this.#shift()) !== undefined;) {
      this.#giveRoom(message.length);
    }
  }

  /** Makes room for what the user takes; returns why the user may not. */
  #take(message: Uint8Array, limit: number): ConnectionError | undefined {
    if (message.length > limit) {
      return this.#abort(
        tooLongToReceive(this.remote, message.length, limit),
      );
    }
    this.#giveRoom(message.length);
    return undefined;
  }

  #giveRoom(length: number): void {
    this.#taken += length + OVERHEAD;
    if (this.#taken < CREDIT_STEP) return;
    this.#grant(this.#taken);
    this.#held -= this.#taken;
    this.#taken = 0;
  }

  // -- Sending --

  #arriveCredit(packet: Uint8Array<ArrayBuffer>): void {
    if (packet.length !== 5) return this.#violated("granted no number");
    const credit = new DataView(packet.buffer).getUint32(1);
    if (this.#allowed === 0) {
      if (credit < 2 * MIN_HALF) return this.#violated("granted too little");
      this.#allowed = Math.min(credit, this.#window);
      // The acceptor answers: its answer acknowledges the grant, without which
      // Nagle's algorithm would hold up what the dialer sends next.
      if (!this.#granted) this.#grantWindow();
    } else {
      if (credit > this.#underWay) return this.#violated("granted too much");
      this.#underWay -= credit;
    }
    this.#dispatchQueued();
  }

  /**
   * Counts a message that the other end is bound to refuse, since it is longer
   * than half of its window, as one that fits: for the other end to refuse it.
   */
  #charge(cost: number): number {
    return Math.min(cost, this.#allowed / 2);
  }

  #hasRoom(cost: number): boolean {
    if (this.#allowed === 0) return false;
    return this.#underWay + this.#charge(cost) <= this.#allowed;
  }

  #dispatchQueued(): void {
    let count = 0;
    for (const { packet, cost, left } of this.#outgoing) {
      if (!this.#hasRoom(cost)) break;
      this.#dispatch(packet, cost);
      left.resolve();
      count++;
    }
    this.#outgoing.splice(0, count);
    if (this.#outgoing.length === 0) this.#emptied?.();
  }

  #dispatch(packet: Uint8Array<ArrayBuffer>, cost: number): void {
    this.#underWay += this.#charge(cost);
    this.#write(packet);
  }

  #grantWindow(): void {
    this.#granted = true;
    this.#grant(this.#window);
  }

  #grant(credit: number): void {
    const packet = new Uint8Array(5);
    packet[0] = CREDIT;
    new DataView(packet.buffer).setUint32(1, credit);
    this.#write(packet);
  }

  #write(packet: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    // At most a window is under way. Whoever has more waiting for the network
    // faces another end that grants room for what it has not read.
    if (this.#socket.bufferedAmount > 2 * this.#window) {
      return this.#violated("granted room for what it has not read");
    }
    this.#socket.send(packet);
  }

  // -- Ending --

  /** Flushes, then closes the socket; ends in bounded time, never rejects. */
  async #finish(): Promise<void> {
    this.#sendError ??= closedToSend(this.remote);
    this.#clear();
    this.#endReceiving();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#abort(closedLate(this.remote));
      late.resolve();
    }, CLOSE_TIMEOUT);
    await Promise.race([this.#flush(), this.#gone.promise, late.promise]);
    this.#closeSocket(CLEAN);
    await Promise.race([this.#gone.promise, late.promise]);
    clearTimeout(timer);
    await this.#release();
  }

  #release(): Promise<void> {
    this.#released ??= this.#ended();
    return this.#released;
  }

  #flush(): Promise<void> {
    if (this.#outgoing.length === 0) return DONE;
    return new Promise((resolve) => this.#emptied = resolve);
  }

  /** The socket is closed, by whomever. */
  #end(event: CloseOf): void {
    const inOrder = event.wasClean && event.code === CLEAN;
    const error = new ConnectionError(
      inOrder
        ? `Cannot send to "${this.remote}": the other end has closed`
        : `The connection to "${this.remote}" broke: its socket closed with code ${event.code}`,
    );
    if (inOrder) this.#over = true;
    else this.#error ??= error;
    this.#sendError ??= error;
    this.#drop(error);
    this.#endReceiving();
    this.#gone.resolve();
    this.#release();
  }

  /** Ends both directions at once. */
  #abort(error: ConnectionError): ConnectionError {
    if (this.#error !== undefined) return this.#error;
    this.#error = error;
    this.#sendError = error;
    this.#closeSocket(ABORTED);
    this.#drop(error);
    this.#clear();
    this.#endReceiving();
    return error;
  }

  #violated(how: string): void {
    this.#abort(
      new ConnectionError(
        `The connection to "${this.remote}" broke: the other end ${how}`,
      ),
    );
  }

  /** Gives up what is queued. */
  #drop(error: ConnectionError): void {
    for (const { left } of this.#outgoing.splice(0)) left.reject(error);
    this.#emptied?.();
  }

  #endReceiving(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (this.#error === undefined) waiter?.resolve(null);
    else waiter?.reject(this.#error);
  }

  #closeSocket(code: number): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.close(code);
  }
}

/** The longest message of a WebSocket that makes sense, for messages of so many bytes. */
export function longestPacket(maxMessage: number): number {
  return 1 + Math.max(maxMessage, 4);
}

function windowFor(maxMessage: number): number {
  return 2 * Math.max(MIN_HALF, maxMessage + OVERHEAD);
}
