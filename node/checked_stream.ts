import type { Checks } from "./checks.ts";
import { reasonOf, StreamError } from "./errors.ts";
import type { StandardSchema } from "./schema.ts";
import type { Stream } from "./stream.ts";
import { iteratorOf, readableOf, writableOf } from "./stream_views.ts";

/** One end of a conversation whose messages a contract describes. */
export class CheckedStream implements Stream {
  readonly #stream: Stream;
  readonly #checks: Checks;
  readonly #sent: StandardSchema;
  readonly #received: StandardSchema;
  readonly #invalid: (why: string) => void;
  readonly #quiet: <T>(promise: Promise<T>) => Promise<T>;

  constructor(
    stream: Stream,
    checks: Checks,
    schemas: {
      readonly sent: StandardSchema;
      readonly received: StandardSchema;
    },
    /** A message came that does not fit. */
    invalid: (why: string) => void,
    /** Sees to it that a rejection of which nobody takes notice ends nothing. */
    quiet: <T>(promise: Promise<T>) => Promise<T>,
  ) {
    this.#stream = stream;
    this.#checks = checks;
    this.#sent = schemas.sent;
    this.#received = schemas.received;
    this.#invalid = invalid;
    this.#quiet = quiet;
  }

  get name(): string {
    return this.#stream.name;
  }

  get peer(): string {
    return this.#stream.peer;
  }

  get closed(): Promise<void> {
    return this.#stream.closed;
  }

  get readable(): ReadableStream<unknown> {
    return readableOf(this);
  }

  get writable(): WritableStream<unknown> {
    return writableOf(this);
  }

  send(message: unknown): Promise<void> {
    return this.#quiet(this.#send(message));
  }

  receive(): Promise<unknown> {
    return this.#quiet(this.#receive());
  }

  release(bytes: Uint8Array): void {
    this.#stream.release(bytes);
  }

  close(): Promise<void> {
    return this.#stream.close();
  }

  abort(reason?: unknown): void {
    this.#stream.abort(reason);
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return iteratorOf(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stream[Symbol.asyncDispose]();
  }

  async #send(message: unknown): Promise<void> {
    this.#checks.message(this.#sent, message);
    await this.#stream.send(message);
  }

  async #receive(): Promise<unknown> {
    const message = await this.#stream.receive();
    if (message === undefined) return undefined;
    try {
      return this.#checks.message(this.#received, message);
    } catch (error) {
      const why = reasonOf(error);
      this.#invalid(why);
      const failure = new StreamError(
        "violation",
        `Stream "${this.name}" with node "${this.peer}" failed: ${why}`,
      );
      this.#stream.abort(failure);
      throw failure;
    }
  }
}
