import type { Framing } from "@devts/transport";
import type { Slab } from "./slab.ts";

/** Bytes in front of a frame, where the header of a connection may stand. */
export const FRAMING_ROOM = 4;

/**
 * A frame of the protocol on its way to one link or several: whole, not written
 * to any more, and with room in front, so that connections of one kind send it from where
 * it stands.
 */
export class Frame {
  /** The frame. */
  readonly message: Uint8Array;
  /** Its memory, to be retained by whoever sends it later; null: memory of its own. */
  readonly slab: Slab | null;
  readonly #bytes: Uint8Array;
  #framing: Framing | null = null;
  #framed: Uint8Array | null = null;

  /**
   * Takes the frame with {@linkcode FRAMING_ROOM} bytes in front; `slab`: the memory
   * that it stands in, where that is used again.
   */
  constructor(bytes: Uint8Array, slab: Slab | null = null) {
    this.#bytes = bytes;
    this.slab = slab;
    this.message = bytes.subarray(FRAMING_ROOM);
  }

  /** A frame of a message that has no room in front. */
  static of(message: Uint8Array): Frame {
    const bytes = new Uint8Array(FRAMING_ROOM + message.length);
    bytes.set(message, FRAMING_ROOM);
    return new Frame(bytes);
  }

  /** Its length, in bytes. */
  get length(): number {
    return this.message.length;
  }

  /**
   * The frame behind a header; null where there is no room for one, or where that
   * of another kind of connection stands.
   */
  framed(framing: Framing): Uint8Array | null {
    if (this.#framing === framing) return this.#framed;
    if (this.#framing !== null || framing.size > FRAMING_ROOM) return null;
    this.#framing = framing;
    this.#framed = this.#bytes.subarray(FRAMING_ROOM - framing.size);
    framing.write(this.#framed);
    return this.#framed;
  }
}
