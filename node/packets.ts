import type { Protocol } from "@devts/protocol";
import type { Lane } from "@devts/routing";
import type { Bundle } from "./bundle.ts";

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
  #frame: Uint8Array = NOTHING;

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
  frame(packet: Uint8Array, lane: Lane): Uint8Array {
    if (packet === this.#packet && lane === this.#lane) return this.#frame;
    this.#frame = this.#make(packet, lane);
    this.#packet = packet;
    this.#lane = lane;
    return this.#frame;
  }

  /** Lets go of the last packet. */
  forget(): void {
    this.#packet = this.#frame = NOTHING;
  }

  #make(packet: Uint8Array, lane: Lane): Uint8Array {
    const { headerSize } = this.#protocol;
    let frame: Uint8Array;
    if (this.#bundle?.payload === packet && lane === "data") {
      frame = this.#bundle.message;
    } else {
      frame = new Uint8Array(headerSize + packet.length);
      frame.set(packet, headerSize);
    }
    this.#protocol.writeHeader(lane, frame);
    return frame;
  }
}
