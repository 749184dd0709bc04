/** What copies are cut from, in bytes. */
const CHUNK = 4_096;
/** A longer one has memory of its own, in bytes. */
const SHORT = 512;

/**
 * Copies of messages. Short ones are cut from chunks, since memory of its own costs a
 * message more than all else that is done with it. Whoever keeps one keeps its chunk.
 */
export class Copies {
  #chunk = new Uint8Array(0);
  #end = 0;

  /** A copy that is not written again. */
  of(message: Uint8Array): Uint8Array {
    const { length } = message;
    if (length > SHORT) return message.slice();
    // One whose memory a handler has transferred has no length any more.
    if (this.#chunk.length - this.#end < length) {
      this.#chunk = new Uint8Array(CHUNK);
      this.#end = 0;
    }
    const start = this.#end;
    this.#end += length;
    this.#chunk.set(message, start);
    return this.#chunk.subarray(start, this.#end);
  }
}
