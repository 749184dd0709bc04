import type { Protocol } from "@devts/protocol";
import type { Lane } from "@devts/routing";
import type { Bundle } from "./bundle.ts";
import { Frame, FRAMING_ROOM } from "./frame.ts";
import { type Slab, SlabPool } from "./slab.ts";

/** Copies of packets from this length on stand in memory that is used again, in bytes. */
const POOLED_FROM = 16_384;
/** The length of such memory is a multiple of this one: copies are of many lengths. */
const STEP = 16_384;

const NOTHING = new Uint8Array(0);

/**
 * Makes frames of a router's packets. A packet that goes to several links is framed
 * once; a bundle of this node is framed where it stands, and what is handed on as it
 * came leaves in the frame that it came in, without a copy. Long copies stand in memory
 * that is used again: pieces of streams, which routers put something in front of.
 */
export class Packets {
  readonly #protocol: Protocol;
  /** Memory for copies; the garbage collector takes it where nothing is sent. */
  #pool = new WeakRef(new SlabPool());
  #bundle: Bundle | null = null;
  #isBare = false;
  #packet: Uint8Array = NOTHING;
  #lane: Lane = "data";
  #frame: Frame | null = null;
  /** The memory of the frame, where this one made it. */
  #slab: Slab | null = null;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  /**
   * Runs `send`, which hands a bundle's payload to the router. Whether that handed it to
   * a link as it is, with nothing in front. Another bundle may be handed on meanwhile.
   */
  during(bundle: Bundle, send: () => void): boolean {
    const outer = this.#bundle;
    const wasBare = this.#isBare;
    this.#bundle = bundle;
    this.#isBare = false;
    try {
      send();
      return this.#isBare;
    } finally {
      this.#bundle = outer;
      this.#isBare = wasBare;
      this.forget();
    }
  }

  /** A packet came in a frame: it leaves in the same one. */
  received(packet: Uint8Array, message: Uint8Array, lane: Lane): void {
    this.forget();
    this.#packet = packet;
    this.#frame = Frame.asItIs(message);
    this.#lane = lane;
  }

  /** How many events are lost with a packet: of another node, one at least. */
  get events(): number {
    return this.#bundle?.count ?? 1;
  }

  /** Whether a packet is a bundle of this node with nothing of the router's in front. */
  isBundle(packet: Uint8Array): boolean {
    return this.#bundle?.payload === packet;
  }

  /** The frame of a packet; nobody writes to it any more. */
  frame(packet: Uint8Array, lane: Lane): Frame {
    const known = this.#frame;
    if (known && packet === this.#packet && lane === this.#lane) return known;
    this.forget();
    this.#packet = packet;
    this.#lane = lane;
    return this.#frame = this.#make(packet, lane);
  }

  /** Lets go of the last packet. */
  forget(): void {
    this.#packet = NOTHING;
    this.#frame = null;
    this.#slab?.release();
    this.#slab = null;
  }

  #make(packet: Uint8Array, lane: Lane): Frame {
    const bundle = this.#bundle;
    let frame: Frame;
    if (bundle?.payload === packet && lane === "data") {
      frame = new Frame(bundle.message, bundle.slab);
      this.#isBare = true;
    } else frame = this.#copy(packet, lane);
    this.#protocol.writeHeader(lane, frame.message);
    return frame;
  }

  #copy(packet: Uint8Array, lane: Lane): Frame {
    const headroom = FRAMING_ROOM + this.#protocol.headerSize;
    const length = headroom + packet.length;
    // Links let go of memory in the data lane alone.
    const isPooled = lane === "data" && packet.length >= POOLED_FROM;
    const slab = isPooled ? this.#memory(length) : null;
    const bytes = slab?.bytes.subarray(0, length) ?? new Uint8Array(length);
    bytes.set(packet, headroom);
    this.#slab = slab;
    return new Frame(bytes, slab);
  }

  #memory(length: number): Slab {
    let pool = this.#pool.deref();
    if (pool === undefined) this.#pool = new WeakRef(pool = new SlabPool());
    return pool.take(Math.ceil(length / STEP) * STEP);
  }
}
