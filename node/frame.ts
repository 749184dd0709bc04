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
  readonly #room: number;
  #framing: Framing | null = null;
  #framed: Uint8Array | null = null;

  /**
   * Takes the frame with `room` bytes in front; `slab`: the memory that it stands in,
   * where that is used again.
   */
  constructor(
    bytes: Uint8Array,
    slab: Slab | null = null,
    room: number = FRAMING_ROOM,
  ) {
    this.#bytes = bytes;
    this.#room = room;
    this.slab = slab;
    this.message = bytes.subarray(room);
  }

  /** A frame of a message that came, without room in front. */
  static asItIs(message: Uint8Array): Frame {
    return new Frame(message, null, 0);
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
    if (this.#framing !== null || framing.size > this.#room) return null;
    this.#framing = framing;
    this.#framed = this.#bytes.subarray(this.#room - framing.size);
    framing.write(this.#framed);
    return this.#framed;
  }
}
