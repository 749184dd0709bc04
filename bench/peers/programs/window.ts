/**
 * Bounds how much is under way to a system whose `publish` returns a promise: at most
 * so many messages and so many bytes, whichever is reached first.
 */
export class Window {
  readonly #messages: number;
  readonly #bytes: number;
  #openMessages = 0;
  #openBytes = 0;
  #error: unknown;
  /** The share of the bounds that is waited for. */
  #below = 0;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(messages: number, bytes: number) {
    this.#messages = messages;
    this.#bytes = bytes;
  }

  /** Takes one that is under way; a promise: the next one has to wait for it. */
  add(done: Promise<unknown>, bytes: number): Promise<void> | undefined {
    this.#openMessages++;
    this.#openBytes += bytes;
    done.then(() => this.#close(bytes), (error) => this.#fail(error));
    const full = this.#openMessages >= this.#messages ||
      this.#openBytes >= this.#bytes;
    return full ? this.#until(0.5) : undefined;
  }

  /**
   * Resolves once nothing is under way.
   *
   * @throws {unknown} What publishing has failed with.
   */
  empty(): Promise<void> {
    return this.#until(0);
  }

  #until(share: number): Promise<void> {
    this.#below = share;
    const waiting = Promise.withResolvers<void>();
    this.#waiting = waiting;
    this.#settle();
    return waiting.promise;
  }

  #close(bytes: number): void {
    this.#openMessages--;
    this.#openBytes -= bytes;
    this.#settle();
  }

  #fail(error: unknown): void {
    this.#error = error;
    this.#settle();
  }

  #settle(): void {
    if (this.#error !== undefined) this.#waiting?.reject(this.#error);
    else if (this.#hasRoom()) this.#waiting?.resolve();
  }

  #hasRoom(): boolean {
    return this.#openMessages <= this.#below * this.#messages &&
      this.#openBytes <= this.#below * this.#bytes;
  }
}
