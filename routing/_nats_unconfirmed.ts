import { dropOldest } from "./_drop_oldest.ts";
import type { NodeId } from "./types.ts";

/** How much of a payload says what it is, in bytes. */
export const HEAD = 256;
/** Unicasts whose beginning is remembered. */
const MAX_HEADS = 4_096;

/** A packet that the server has not confirmed. */
export interface Packet {
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** Its only target; null: it is for all. */
  readonly to: NodeId | null;
  /** Its number; 0: it has none, and is of no use on another connection. */
  readonly number: number;
}

/** What was handed to the client, in order, until the server has taken it. */
export class Unconfirmed {
  #queue: { readonly serial: number; readonly packet: Packet }[] = [];
  #serial = 0;
  #bytes = 0;

  /** How many bytes wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Names the last packet; 0: there is none. */
  get last(): number {
    return this.#queue.at(-1)?.serial ?? 0;
  }

  /** All that waits, the oldest first. */
  get packets(): readonly Packet[] {
    return this.#queue.map(({ packet }) => packet);
  }

  add(packet: Packet): void {
    this.#queue.push({ serial: ++this.#serial, packet });
    this.#bytes += packet.bytes.length;
  }

  /** The server has taken everything up to a packet. */
  confirm(last: number): void {
    const index = this.#queue.findIndex(({ serial }) => serial > last);
    const taken = this.#queue.splice(0, index < 0 ? this.#queue.length : index);
    for (const { packet } of taken) this.#bytes -= packet.bytes.length;
  }

  /** Forgets what is of no use on another connection. */
  dropControl(): void {
    this.#remove(({ number }) => number === 0);
  }

  /** Takes out what is for one node. */
  take(id: NodeId): readonly Packet[] {
    return this.#remove(({ to }) => to === id);
  }

  #remove(isOut: (packet: Packet) => boolean): readonly Packet[] {
    const out: Packet[] = [];
    this.#queue = this.#queue.filter(({ packet }) => {
      if (!isOut(packet)) return true;
      out.push(packet);
      this.#bytes -= packet.bytes.length;
      return false;
    });
    return out;
  }
}

interface Head {
  readonly to: NodeId;
  readonly number: number;
  readonly head: Uint8Array;
}

/** How the last 4,096 unicasts began, for whoever is told that they were lost. */
export class UnicastHeads {
  readonly #heads = new Set<Head>();

  add(to: NodeId, number: number, payload: Uint8Array): void {
    this.#heads.add({ to, number, head: payload.slice(0, HEAD) });
    dropOldest(this.#heads, MAX_HEADS);
  }

  /** Takes out those for a node with numbers from `first` to `last`. */
  take(id: NodeId, first: number, last: number): readonly Uint8Array[] {
    const taken: Uint8Array[] = [];
    for (const entry of this.#heads) {
      const { to, number, head } = entry;
      if (to !== id || number < first || number > last) continue;
      this.#heads.delete(entry);
      taken.push(head);
    }
    return taken;
  }

  /** The node is gone. */
  forget(id: NodeId): void {
    this.take(id, 0, Infinity);
  }
}
