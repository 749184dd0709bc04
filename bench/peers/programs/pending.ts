/** The length of what precedes requests and replies: a number that pairs them. */
const ID = 4;

/** The requests that wait for a reply, for systems that carry only messages. */
export class Pending {
  readonly #resolves = new Map<number, (reply: Uint8Array) => void>();
  #last = 0;

  /** Makes a message of a request: a number, and a copy of the bytes. */
  open(bytes: Uint8Array): {
    readonly message: Uint8Array<ArrayBuffer>;
    readonly reply: Promise<Uint8Array>;
  } {
    this.#last = (this.#last + 1) >>> 0;
    const message = new Uint8Array(ID + bytes.length);
    new DataView(message.buffer).setUint32(0, this.#last);
    message.set(bytes, ID);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    this.#resolves.set(this.#last, resolve);
    return { message, reply: promise };
  }

  /** Takes a message that came back. */
  close(message: Uint8Array): void {
    const { buffer, byteOffset, byteLength } = message;
    const id = new DataView(buffer, byteOffset, byteLength).getUint32(0);
    this.#resolves.get(id)?.(message.subarray(ID));
    this.#resolves.delete(id);
  }
}
