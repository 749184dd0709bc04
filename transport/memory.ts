/**
 * Messages within one process: for tests, and for nodes that share it. Addresses
 * are `memory://name`.
 *
 * ```ts
 * import { memory, MemoryNetwork } from "@devts/transport/memory";
 * import { assertEquals } from "@std/assert";
 *
 * const network = new MemoryNetwork();
 * await using listener = await memory(network).listen("memory://inbox");
 * await using dialled = await memory(network).connect("memory://inbox");
 * await dialled.send(new TextEncoder().encode("hello"));
 *
 * for await (const accepted of listener) {
 *   await using connection = accepted;
 *   const message = await connection.receive();
 *   assertEquals(new TextDecoder().decode(message ?? undefined), "hello");
 *   break;
 * }
 * ```
 *
 * @module
 */

import {
  alreadyReceiving,
  closedFor,
  closedToSend,
  messagesOf,
  tooLongToReceive,
  tooLongToSend,
} from "./_connection.ts";
import { handled, handledResolvers, rejected } from "./_promise.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type ReceiveOptions,
  type Transport,
} from "./types.ts";

const MIB = 1024 * 1024;
/** What a message counts for beside its bytes, so that empty ones are bounded too. */
const OVERHEAD = 64;
/** How many connections may wait to be taken from a listener. */
const BACKLOG = 128;
/** How many messages that have been taken may stand in the queue. */
const TAKEN = 64;
const DONE: Promise<void> = Promise.resolve();

/** Lets this module see what a network keeps to itself. */
let partsOf: (network: MemoryNetwork) => NetworkParts;

interface NetworkParts {
  readonly listeners: Map<Address, MemoryListener>;
  /** An address that nobody has had. */
  freshAddress(): Address;
}

/**
 * Where transports of {@linkcode memory} meet: those that share a network reach
 * each other, and nobody else.
 */
export class MemoryNetwork {
  readonly #listeners = new Map<Address, MemoryListener>();
  #last = 0;

  static {
    partsOf = (network) => ({
      listeners: network.#listeners,
      freshAddress: () => network.#freshAddress(),
    });
  }

  /** The addresses that are listened on. */
  get addresses(): Address[] {
    return [...this.#listeners.keys()];
  }

  #freshAddress(): Address {
    do this.#last++; while (this.#listeners.has(`memory://${this.#last}`));
    return `memory://${this.#last}`;
  }
}

/** Options of {@linkcode memory}: the limits of its connections. */
export interface MemoryOptions {
  /**
   * The longest message, in bytes.
   *
   * @default {1 MiB}
   */
  readonly maxMessage?: number;
  /**
   * How many bytes may wait to be received, in each direction, before `send`
   * waits; a message counts for 64 more than its length.
   *
   * @default {1 MiB}
   */
  readonly highWaterMark?: number;
}

/**
 * Makes a transport within one process.
 *
 * - Addresses are `memory://name`: letters, digits, `.`, `_` and `-`, at most 64.
 *   `memory://0` listens on a fresh name, a number.
 * - `send` copies the message, so that nobody shares a buffer.
 * - At most 128 connections wait for a listener; further ones are refused.
 * - Closing with a reason makes the other end's `receive` reject.
 *
 * @param network Whom it reaches; only itself by default.
 * @param options Limits of the connections that it opens.
 * @returns A transport for the scheme `memory`.
 */
export function memory(
  network: MemoryNetwork = new MemoryNetwork(),
  options: MemoryOptions = {},
): Transport {
  return new MemoryTransport(partsOf(network), options);
}

class MemoryTransport implements Transport {
  readonly schemes: readonly string[] = ["memory"];
  readonly #network: NetworkParts;
  readonly #limits: Required<MemoryOptions>;

  constructor(network: NetworkParts, options: MemoryOptions) {
    this.#network = network;
    this.#limits = { maxMessage: MIB, highWaterMark: MIB, ...options };
  }

  async connect(
    address: Address,
    options?: ConnectOptions,
  ): Promise<Connection> {
    if (parseName(address) === "0") {
      throw new TypeError(
        `Cannot connect to "${address}": the name 0 can only be listened on`,
      );
    }
    // In a later turn, like any other transport, so that it can be aborted.
    await DONE;
    options?.signal?.throwIfAborted();
    const listener = this.#network.listeners.get(address);
    if (listener === undefined) {
      throw new ConnectionError(
        `Cannot connect to "${address}": nobody listens there`,
      );
    }
    const own = this.#network.freshAddress();
    const there = new Pipe(own, address, this.#limits);
    const back = new Pipe(address, own, this.#limits);
    if (!listener.offer(new MemoryConnection(there, back))) {
      throw new ConnectionError(
        `Cannot connect to "${address}": ${BACKLOG} connections wait there already`,
      );
    }
    return new MemoryConnection(back, there);
  }

  // deno-lint-ignore require-await -- it rejects, as the contract says, instead of throwing
  async listen(address: Address): Promise<Listener> {
    const { listeners } = this.#network;
    const fresh = parseName(address) === "0";
    const own = fresh ? this.#network.freshAddress() : address;
    if (listeners.has(own)) {
      throw new ConnectionError(
        `Cannot listen on "${address}": the address is in use`,
      );
    }
    const listener = new MemoryListener(own, () => listeners.delete(own));
    listeners.set(own, listener);
    return listener;
  }
}

class MemoryListener implements Listener {
  readonly address: Address;
  readonly #free: () => void;
  readonly #waiting: MemoryConnection[] = [];
  #closed = false;
  #changed: PromiseWithResolvers<void> | undefined;

  constructor(address: Address, free: () => void) {
    this.address = address;
    this.#free = free;
  }

  /** Hands over a connection; false where too many wait. */
  offer(connection: MemoryConnection): boolean {
    if (this.#waiting.length >= BACKLOG) return false;
    this.#waiting.push(connection);
    this.#wake();
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#free();
    this.#wake();
    const reason = new Error("nobody listens any longer");
    for (const connection of this.#waiting.splice(0)) {
      await connection.close(reason);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    while (!this.#closed) {
      const connection = this.#waiting.shift();
      if (connection !== undefined) {
        yield connection;
        continue;
      }
      this.#changed ??= Promise.withResolvers();
      await this.#changed.promise;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wake(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}

class MemoryConnection implements Connection {
  readonly remote: Address;
  readonly carrier = "memory";
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.remote = outgoing.to;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  send(message: Uint8Array): Promise<void> {
    return this.#outgoing.send(message);
  }

  receive(options?: ReceiveOptions): Promise<Uint8Array | null> {
    return handled(this.#receive(options?.limit ?? Infinity));
  }

  close(reason?: Error): Promise<void> {
    if (reason === undefined) {
      this.#outgoing.end();
      this.#incoming.leave();
    } else {
      this.#abort(closedFor(this.remote, reason));
    }
    return DONE;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    return messagesOf(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #receive(limit: number): Promise<Uint8Array | null> {
    const message = await this.#incoming.receive();
    if (message === null || message.length <= limit) return message;
    const error = tooLongToReceive(this.remote, message.length, limit);
    this.#abort(error);
    throw error;
  }

  #abort(error: ConnectionError): void {
    this.#outgoing.abandon(error);
    this.#incoming.refuse(error);
  }
}

/** One direction of a connection. */
class Pipe {
  readonly from: Address;
  readonly to: Address;
  readonly #limits: Required<MemoryOptions>;
  #messages: Uint8Array[] = [];
  /** Where in `#messages` the next one stands. */
  #next = 0;
  /** What the messages that wait count for. */
  #size = 0;
  #receiving = false;
  /** The writer has closed in order. */
  #ended = false;
  /** The reader has closed. */
  #left = false;
  /** Why sending is over. */
  #writerError: ConnectionError | undefined;
  /** Why receiving is over, where it did not end in order. */
  #readerError: ConnectionError | undefined;
  #arrival: PromiseWithResolvers<void> | undefined;
  #room: PromiseWithResolvers<void> | undefined;

  constructor(from: Address, to: Address, limits: Required<MemoryOptions>) {
    this.from = from;
    this.to = to;
    this.#limits = limits;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#writerError !== undefined) return rejected(this.#writerError);
    const { maxMessage, highWaterMark } = this.#limits;
    if (message.length > maxMessage) {
      return rejected(tooLongToSend(this.to, message.length, maxMessage));
    }
    this.#messages.push(message.slice());
    this.#size += message.length + OVERHEAD;
    this.#signalArrival();
    if (this.#size < highWaterMark) return DONE;
    this.#room ??= handledResolvers();
    return this.#room.promise;
  }

  async receive(): Promise<Uint8Array | null> {
    if (this.#receiving) throw alreadyReceiving(this.from);
    this.#receiving = true;
    try {
      for (;;) {
        if (this.#readerError !== undefined) throw this.#readerError;
        const message = this.#take();
        if (message !== undefined) return message;
        if (this.#ended || this.#left) return null;
        this.#arrival ??= Promise.withResolvers();
        await this.#arrival.promise;
      }
    } finally {
      this.#receiving = false;
    }
  }

  /** The writer closes in order: what waits can still be received. */
  end(): void {
    this.#ended = true;
    this.#writerError ??= closedToSend(this.to);
    this.#signalArrival();
    this.#signalRoom();
  }

  /** The reader closes in order: nobody will take what waits. */
  leave(): void {
    this.#left = true;
    this.#drop(this.#writerError ?? this.#broken());
  }

  /** The writer breaks off, unless it has closed already: what waits is lost. */
  abandon(error: ConnectionError): void {
    if (this.#writerError !== undefined) return;
    this.#readerError ??= this.#broken();
    this.#drop(error);
  }

  /** The reader breaks off, unless it has closed already. */
  refuse(error: ConnectionError): void {
    if (this.#left) return;
    this.#readerError ??= error;
    this.leave();
  }

  /** What the one end is told of the other's leaving. */
  #broken(): ConnectionError {
    return new ConnectionError(
      `The connection from "${this.from}" to "${this.to}" broke: the other end has closed it`,
    );
  }

  #drop(writerError: ConnectionError): void {
    this.#writerError = writerError;
    this.#messages = [];
    this.#next = this.#size = 0;
    this.#room?.reject(writerError);
    this.#room = undefined;
    this.#signalArrival();
  }

  #take(): Uint8Array | undefined {
    const message = this.#messages[this.#next];
    if (message === undefined) return undefined;
    this.#next++;
    // Lets go of what has been taken, also where a reader is always one behind.
    if (this.#next === this.#messages.length || this.#next === TAKEN) {
      this.#messages.splice(0, this.#next);
      this.#next = 0;
    }
    this.#size -= message.length + OVERHEAD;
    if (this.#size < this.#limits.highWaterMark) this.#signalRoom();
    return message;
  }

  #signalArrival(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  #signalRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}

/** The name in an address. */
function parseName(address: Address): string {
  const name = /^memory:\/\/([A-Za-z0-9._-]{1,64})$/.exec(address)?.[1];
  if (name !== undefined) return name;
  throw new TypeError(
    `Cannot parse address "${address}": the form is "memory://name", with at most 64 letters, digits, ".", "_" and "-"`,
  );
}
