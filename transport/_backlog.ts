import type { Connection } from "./types.ts";

/**
 * Accepted connections on their way to whoever iterates over a listener.
 *
 * - Bounded: what does not fit is refused by its caller.
 * - Once closed, it takes nothing more and its iterations end.
 */
export class Backlog implements AsyncIterable<Connection> {
  readonly #limit: number;
  readonly #waiting: Connection[] = [];
  readonly #takers: ((connection: Connection | undefined) => void)[] = [];
  #reserved = 0;
  #closed = false;

  /** @param limit How many connections may wait, or be on their way, at a time. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Keeps a place for a connection that is not open yet. False: none is free. */
  reserve(): boolean {
    if (this.#closed) return false;
    if (this.#reserved + this.#waiting.length >= this.#limit) return false;
    this.#reserved++;
    return true;
  }

  /** Gives a reserved place back: the connection did not open. */
  release(): void {
    this.#reserved--;
  }

  /** Puts a connection in its reserved place. False: closed meanwhile. */
  fill(connection: Connection): boolean {
    this.#reserved--;
    if (this.#closed) return false;
    const taker = this.#takers.shift();
    if (taker === undefined) this.#waiting.push(connection);
    else taker(connection);
    return true;
  }

  /** Ends all iterations; returns the connections that nobody took. */
  close(): Connection[] {
    this.#closed = true;
    for (const taker of this.#takers.splice(0)) taker(undefined);
    return this.#waiting.splice(0);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    for (;;) {
      const connection = await this.#next();
      if (connection === undefined) return;
      yield connection;
    }
  }

  #next(): Promise<Connection | undefined> {
    const connection = this.#waiting.shift();
    if (connection !== undefined || this.#closed) {
      return Promise.resolve(connection);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}
