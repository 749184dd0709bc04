import { End, join } from "./_virtual_wire.ts";
import type { MachineHost } from "./_virtual_machine.ts";
import type { Planned } from "./_event_heap.ts";

const MIB = 1024 * 1024;
/** The longest message, in bytes. */
const MAX_MESSAGE = MIB;
/** What may be on the way or unread before `send` waits, in bytes. */
const WINDOW = MIB;
/** What a message counts for beside its bytes, so that empty ones are bounded too. */
const OVERHEAD = 64;
/** How much is taken before the other end is told that there is room for it again. */
const CREDIT_STEP = WINDOW / 4;
/** How many connections may wait to be taken from a listener. */
const BACKLOG = 128;
const DONE: Promise<void> = Promise.resolve();

/**
 * A transport over a virtual network, in the shape of `Transport` of
 * `@devts/transport`: this package imports no other.
 *
 * - Addresses are `virtual://name`: letters, digits, `.`, `_` and `-`, at most 64;
 *   `virtual://0` listens on a fresh name.
 * - Messages have at most 1 MiB. `send` waits while 1 MiB is on the way or unread.
 * - What the network does to links, it does to connections.
 */
export interface VirtualTransport {
  /** `["virtual"]`. */
  readonly schemes: readonly string[];
  /** Opens a connection; rejects where nobody listens, and where nobody answers in time. */
  connect(
    address: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<VirtualConnection>;
  /** Starts to accept connections. */
  listen(address: string): Promise<VirtualListener>;
}

/** Accepts connections, by iterating over it. */
export interface VirtualListener
  extends AsyncIterable<VirtualConnection>, AsyncDisposable {
  /** What others can connect to. */
  readonly address: string;
  /** Stops accepting and frees the address. Idempotent. */
  close(): Promise<void>;
}

/** An ordered, reliable, two-way channel of whole messages. */
export interface VirtualConnection
  extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The other end. */
  readonly remote: string;
  /** Queues a message; resolves once there is room for more. */
  send(message: Uint8Array): Promise<void>;
  /** Resolves to the next message, or to `null` once the other end has closed. */
  receive(
    options?: { readonly limit?: number },
  ): Promise<Uint8Array | null>;
  /** Closes it: behind what was sent or, with a reason, at once. Idempotent. */
  close(reason?: Error): Promise<void>;
}

/** The transport of one life of a machine; afterwards its promises never settle. */
export class SimTransport implements VirtualTransport {
  readonly schemes: readonly string[] = ["virtual"];
  readonly #host: MachineHost;
  readonly #life: number;

  constructor(host: MachineHost) {
    this.#host = host;
    this.#life = host.life;
  }

  async connect(
    address: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<VirtualConnection> {
    if (parseName(address) === "0") {
      throw new TypeError(
        `Cannot connect to "${address}": the name 0 can only be listened on`,
      );
    }
    await this.#alive();
    options?.signal?.throwIfAborted();
    return await new Dial(this.#host, address, options?.signal).result;
  }

  async listen(address: string): Promise<VirtualListener> {
    const name = parseName(address);
    await this.#alive();
    return this.#host.listen(name === "0" ? null : address);
  }

  #alive(): Promise<void> {
    return this.#host.isIn(this.#life) ? DONE : new Promise(() => {});
  }
}

/** Where a machine accepts connections. */
export class SimListener implements VirtualListener {
  readonly address: string;
  readonly host: MachineHost;
  readonly #waiting: ConnectionEnd[] = [];
  #closed = false;
  #changed: (() => void) | null = null;

  constructor(host: MachineHost, address: string) {
    this.host = host;
    this.address = address;
  }

  /** Hands over a connection; false where too many wait. */
  offer(connection: ConnectionEnd): boolean {
    if (this.#closed || this.#waiting.length >= BACKLOG) return false;
    this.#waiting.push(connection);
    this.#wake();
    return true;
  }

  close(): Promise<void> {
    if (this.#closed) return DONE;
    this.#closed = true;
    this.host.world.listeners.delete(this.address);
    for (const connection of this.#waiting.splice(0)) connection.reset();
    this.#wake();
    return DONE;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<VirtualConnection> {
    while (!this.#closed) {
      const connection = this.#waiting.shift();
      if (connection !== undefined) {
        yield connection.connection;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wake(): void {
    this.#changed?.();
    this.#changed = null;
  }
}

/** An attempt to open a connection. */
class Dial {
  readonly result: Promise<VirtualConnection>;
  readonly #host: MachineHost;
  readonly #life: number;
  readonly #address: string;
  readonly #signal: AbortSignal | undefined;
  readonly #resolvers = Promise.withResolvers<VirtualConnection>();
  readonly #timeout: Planned;
  #end: ConnectionEnd | null = null;
  #isOver = false;

  constructor(
    host: MachineHost,
    address: string,
    signal: AbortSignal | undefined,
  ) {
    this.result = this.#resolvers.promise;
    this.#host = host;
    this.#life = host.life;
    this.#address = address;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    const { world } = host;
    this.#timeout = host.later(
      world.dialTimeout,
      () => this.#fail(this.#error("timed out")),
      "gives a dial up",
    );
    const target = world.listeners.get(address)?.host;
    const delay = world.transit(world.shapeOf(host.id, target?.id ?? ""));
    if (delay < world.dialTimeout) world.plan(delay, () => this.#knock());
  }

  readonly #abort = (): void => this.#fail(this.#signal?.reason);

  #knock(): void {
    const { world } = this.#host;
    const listener = world.listeners.get(this.#address);
    // Where who dialled has crashed, nobody takes the answer: no connection comes of it.
    if (this.#isOver || !this.#host.isIn(this.#life)) return;
    if (listener === undefined) return this.#refuse(0);
    const there = listener.host;
    if (world.isParted(this.#host, there)) return;
    const delay = world.transit(world.shapeOf(there.id, this.#host.id));
    if (!there.running) return this.#refuse(delay);
    const own = this.#host.freshAddress();
    const end = new ConnectionEnd(this.#host, there, this.#address, () => {
      this.#settle();
      this.#resolvers.resolve(end.connection);
    });
    const other = new ConnectionEnd(there, this.#host, own, () => {});
    join(end, other);
    this.#end = end;
    other.accept();
    there.call(() => {
      if (!listener.offer(other)) other.reset();
    }, "accepts");
  }

  #refuse(delay: number): void {
    this.#host.later(
      delay,
      () => this.#fail(this.#error("nobody listens there")),
      "dial refused",
    );
  }

  #error(reason: string): Error {
    return this.#host.error(`Cannot connect to "${this.#address}": ${reason}`);
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#settle();
    this.#end?.reset();
    this.#resolvers.reject(reason);
  }

  #settle(): void {
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#host.world.heap.remove(this.#timeout);
  }
}

/** The wire of a connection, as one end has it. */
class ConnectionEnd extends End {
  readonly connection: SimConnection;
  readonly #opened: () => void;

  constructor(
    host: MachineHost,
    to: MachineHost,
    remote: string,
    opened: () => void,
  ) {
    super(host, to);
    this.connection = new SimConnection(this, host, remote);
    this.#opened = opened;
  }

  protected opened(): void {
    this.#opened();
  }

  protected received(message: Uint8Array): void {
    this.connection.arrived(message);
  }

  protected credited(bytes: number): void {
    this.connection.credited(bytes);
  }

  protected ended(_reason: string, isOrderly: boolean): void {
    this.host.call(() => this.connection.ended(isOrderly), "connection ends");
  }
}

/** One end of a connection, as a program has it. */
class SimConnection implements VirtualConnection {
  readonly remote: string;
  readonly #end: ConnectionEnd;
  readonly #host: MachineHost;
  #inbox: Uint8Array[] = [];
  /** Where in `#inbox` the next message stands. */
  #next = 0;
  /** What was sent, and is on the way or unread. */
  #outstanding = 0;
  /** What was taken since the other end was last told. */
  #taken = 0;
  #receiving = false;
  /** The other end has closed in order: what arrived can still be received. */
  #finished = false;
  /** This end has closed in order. */
  #closed = false;
  #writerError: Error | null = null;
  #readerError: Error | null = null;
  #arrival: (() => void) | null = null;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(end: ConnectionEnd, host: MachineHost, remote: string) {
    this.#end = end;
    this.#host = host;
    this.remote = remote;
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#writerError !== null) return rejected(this.#writerError);
    if (message.length > MAX_MESSAGE) {
      return rejected(
        new RangeError(
          `Cannot send ${message.length} bytes to "${this.remote}": a message has at most ${MAX_MESSAGE}`,
        ),
      );
    }
    if (!this.#end.open) return new Promise(() => {}); // its machine has crashed
    this.#outstanding += message.length + OVERHEAD;
    this.#end.transmit(message.slice(), "data");
    if (this.#outstanding < WINDOW) return DONE;
    this.#room ??= withoutAlarm();
    return this.#room.promise;
  }

  receive(
    options?: { readonly limit?: number },
  ): Promise<Uint8Array | null> {
    const receiving = this.#receive(options?.limit ?? Infinity);
    receiving.catch(() => {});
    return receiving;
  }

  close(reason?: Error): Promise<void> {
    if (this.#closed || this.#readerError !== null) return DONE;
    if (reason === undefined) {
      this.#closed = true;
      this.#writerError ??= this.#error("it is closed");
      this.#inbox = [];
      this.#end.close("closed");
      this.#room?.resolve();
    } else {
      this.#break(
        this.#error(reason.message, { cause: reason }),
      );
      this.#end.reset();
    }
    this.#wake();
    return DONE;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const message = await this.receive();
      if (message === null) return;
      yield message;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  arrived(message: Uint8Array): void {
    this.#inbox.push(message);
    this.#wake();
  }

  credited(bytes: number): void {
    this.#outstanding -= bytes;
    if (this.#outstanding >= WINDOW) return;
    this.#room?.resolve();
    this.#room = null;
  }

  ended(isOrderly: boolean): void {
    const error = this.#error("the other end has closed it");
    if (isOrderly) {
      this.#finished = true;
      this.#writerError ??= error;
      this.#room?.reject(error);
    } else this.#break(error);
    this.#wake();
  }

  async #receive(limit: number): Promise<Uint8Array | null> {
    if (this.#receiving) {
      throw new TypeError(
        `Cannot receive from "${this.remote}": another receive is pending`,
      );
    }
    this.#receiving = true;
    try {
      for (;;) {
        if (this.#readerError !== null) throw this.#readerError;
        if (this.#closed) return null;
        const message = this.#take(limit);
        if (message !== undefined) return message;
        if (this.#finished) return null;
        await new Promise<void>((resolve) => {
          this.#arrival = resolve;
        });
      }
    } finally {
      this.#receiving = false;
    }
  }

  #take(limit: number): Uint8Array | undefined {
    const message = this.#inbox[this.#next];
    if (message === undefined) return undefined;
    if (message.length > limit) {
      const error = this.#error(`a message has more than ${limit} bytes`);
      this.#break(error);
      this.#end.reset();
      throw error;
    }
    this.#next++;
    if (this.#next === this.#inbox.length) {
      this.#inbox = [];
      this.#next = 0;
    }
    this.#taken += message.length + OVERHEAD;
    if (this.#taken >= CREDIT_STEP && this.#end.open) {
      this.#end.credit(this.#taken);
      this.#taken = 0;
    }
    return message;
  }

  #break(error: Error): void {
    this.#inbox = [];
    this.#next = 0;
    this.#readerError = error;
    this.#writerError = error;
    this.#room?.reject(error);
  }

  #error(reason: string, options?: ErrorOptions): Error {
    return this.#host.error(
      `The connection to "${this.remote}" is over: ${reason}`,
      options,
    );
  }

  #wake(): void {
    this.#arrival?.();
    this.#arrival = null;
  }
}

/** A promise to settle later, which may be left alone. */
function withoutAlarm(): PromiseWithResolvers<void> {
  const resolvers = Promise.withResolvers<void>();
  resolvers.promise.catch(() => {});
  return resolvers;
}

function rejected(error: Error): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}

function parseName(address: string): string {
  const name = /^virtual:\/\/([A-Za-z0-9._-]{1,64})$/.exec(address)?.[1];
  if (name !== undefined) return name;
  throw new TypeError(
    `Cannot parse address "${address}": the form is "virtual://name", with at most 64 letters, digits, ".", "_" and "-"`,
  );
}
