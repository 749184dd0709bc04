/** A newcomer that has had so many ms makes room for the next one: enough for a handshake. */
const GRACE = 500;

/**
 * Those who have connected and are yet to say what they came for, in a bounded number of
 * places: who stalls keeps out nobody for long.
 */
export class Newcomers<T> {
  readonly #limit: number;
  readonly #giveUp: (newcomer: T) => void;
  /** Since when each is there, in ms; the one that came first at the front. */
  readonly #since = new Map<T, number>();

  /**
   * @param limit How many there may be at a time.
   * @param giveUp Ends one, which has to make room.
   */
  constructor(limit: number, giveUp: (newcomer: T) => void) {
    this.#limit = limit;
    this.#giveUp = giveUp;
  }

  get size(): number {
    return this.#since.size;
  }

  get isFull(): boolean {
    return this.#since.size >= this.#limit;
  }

  /** One has come, at this time in ms. */
  add(newcomer: T, now: number): void {
    this.#since.set(newcomer, now);
  }

  /** One has left, or has said it. False: it was none any more. */
  delete(newcomer: T): boolean {
    return this.#since.delete(newcomer);
  }

  /** Gives up the one that came first. False: there is none, or it has time left. */
  giveUpOldest(now: number): boolean {
    for (const [newcomer, since] of this.#since) {
      if (now - since < GRACE) return false;
      this.#end(newcomer);
      return true;
    }
    return false;
  }

  giveUpAll(): void {
    for (const newcomer of this.#since.keys()) this.#end(newcomer);
  }

  #end(newcomer: T): void {
    this.#giveUp(newcomer);
    this.#since.delete(newcomer);
  }
}
