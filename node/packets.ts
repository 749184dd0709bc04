import type { Protocol } from "@devts/protocol";
import type { Lane } from "@devts/routing";
import type { Bundle } from "./bundle.ts";
import { Frame, FRAMING_ROOM } from "./frame.ts";

const NOTHING = new Uint8Array(0);

/**
 * Makes frames of a router's packets. A packet that goes to several links is framed
 * once; a bundle of this node is framed where it stands, without a copy.
 */
export class Packets {
  readonly #protocol: Protocol;
  #bundle: Bundle | null = null;
  #packet: Uint8Array = NOTHING;
  #lane: Lane = "data";
  #frame: Frame | null = null;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  /** Runs `send`, which hands a bundle's payload to the router. */
  during(bundle: Bundle, send: () => void): void {
    this.#bundle = bundle;
    try {
      send();
    } finally {
      this.#bundle = null;
      this.forget();
    }
  }

  /** How many events are lost with a packet. */
  eventsIn(packet: Uint8Array): number {
    return this.#bundle?.payload === packet ? this.#bundle.count : 1;
  }

  /** The frame of a packet; nobody writes to it any more. */
  frame(packet: Uint8Array, lane: Lane): Frame {
    const known = this.#frame;
    if (known && packet === this.#packet && lane === this.#lane) return known;
    this.#packet = packet;
    this.#lane = lane;
    return this.#frame = this.#make(packet, lane);
  }

  /** Lets go of the last packet. */
  forget(): void {
    this.#packet = NOTHING;
    this.#frame = null;
  }

  #make(packet: Uint8Array, lane: Lane): Frame {
    const bundle = this.#bundle;
    const frame = bundle?.payload === packet && lane === "data"
      ? new Frame(bundle.message, bundle.slab)
      : new Frame(this.#copy(packet));
    this.#protocol.writeHeader(lane, frame.message);
    return frame;
  }

  #copy(packet: Uint8Array): Uint8Array {
    const headroom = FRAMING_ROOM + this.#protocol.headerSize;
    const bytes = new Uint8Array(headroom + packet.length);
    bytes.set(packet, headroom);
    return bytes;
  }
}
