import { IdMap } from "./_id_map.ts";
import type { Writer } from "./_bytes.ts";
import type { Item, MayTell } from "./_swim_codec.ts";
import type { NodeId } from "./types.ts";

/** Bytes of a message that carries news, unless a single piece is longer. */
const BUDGET = 1400;

/** An item, and how often it was sent. */
interface Rumour {
  readonly item: Item;
  sends: number;
}

/**
 * What is on everybody's lips: of each node the latest news, sent on with other
 * messages a limited number of times, what was sent least first.
 */
export class Gossip {
  readonly #fresh = new IdMap<Rumour>();
  readonly #told = new IdMap<Rumour>();
  /** What the message that is being written carries. */
  readonly #picked: Rumour[] = [];
  readonly #most: number;
  readonly #added: () => void;

  /** Tells of `most` nodes at a time; calls `added` when there is something new to tell. */
  constructor(most: number, added: () => void) {
    this.#most = most;
    this.#added = added;
  }

  /** Nodes of which there is something to tell. */
  get size(): number {
    return this.#fresh.size + this.#told.size;
  }

  /**
   * Tells something of a node, instead of what was told of it before; false if there
   * was too much, and something else is not told any more.
   */
  add(item: Item): boolean {
    const { id } = item.news;
    this.#told.delete(id);
    this.#fresh.set(id, { item, sends: 0 });
    this.#added();
    if (this.size <= this.#most) return true;
    const crowded = this.#told.size > 0 ? this.#told : this.#fresh;
    for (const oldest of crowded.keys()) {
      crowded.delete(oldest);
      break;
    }
    return false;
  }

  /** Tells nothing more. */
  clear(): void {
    this.#fresh.clear();
    this.#told.clear();
  }

  /** Adds to a message what there is room for. */
  write(writer: Writer, to: NodeId, mayTell: MayTell): void {
    this.#picked.length = 0;
    if (this.#fresh.size > 0) this.#pick(this.#fresh, writer, to, mayTell);
    if (this.#told.size > 0) this.#pick(this.#told, writer, to, mayTell);
  }

  /** The message was sent: counts what it carried, up to `limit` times each. */
  sent(limit: number): void {
    for (const rumour of this.#picked) {
      const { id } = rumour.item.news;
      this.#fresh.delete(id);
      // To the end, so that all come in turn.
      this.#told.delete(id);
      if (++rumour.sends < limit) this.#told.set(id, rumour);
    }
    this.#picked.length = 0;
  }

  #pick(
    rumours: IdMap<Rumour>,
    writer: Writer,
    to: NodeId,
    mayTell: MayTell,
  ): void {
    for (const rumour of rumours.values()) {
      const bytes = rumour.item.bytesFor(to, mayTell);
      const isFull = writer.length + bytes.length > BUDGET;
      if (isFull && this.#picked.length > 0) return;
      writer.raw(bytes);
      this.#picked.push(rumour);
    }
  }
}
