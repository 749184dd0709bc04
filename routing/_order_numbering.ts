import { dropOldest } from "./_drop_oldest.ts";
import { IdMap } from "./_id_map.ts";
import {
  hashOf,
  type Mention,
  NO_MENTIONS,
  RECENT_TIME,
  type Stamp,
} from "./_order_stamp.ts";
import { epochOf } from "./incarnation.ts";
import type { Lane, NodeId, RouterContext } from "./types.ts";

/** Destinations that are kept. */
const MAX_DESTINATIONS = 16_384;
/** Unicasts that a broadcast mentions: the latest before it, to as many nodes. */
const MAX_MENTIONS = 255;

/** How many packets went to all, or to one node. */
interface Destination {
  data: number;
  control: number;
}

/** Numbers what this node sends. */
export class Numbering {
  readonly #context: Pick<RouterContext, "self" | "clock">;
  #epoch: number;
  #broadcasts: Destination = { data: 0, control: 0 };
  #broadcastAt = -Infinity;
  readonly #destinations = new IdMap<Destination>();
  /** Where a destination starts that was forgotten, or never known. */
  #base = 0;
  readonly #mentions = new IdMap<number>();

  constructor(context: Pick<RouterContext, "self" | "clock">) {
    this.#context = context;
    this.#epoch = epochOf(context.self.incarnation);
  }

  /** The stamp of the next packet to a node, or with `null` to all. */
  next(to: NodeId | null, lane: Lane): Stamp {
    const epoch = epochOf(this.#context.self.incarnation);
    if (epoch !== this.#epoch) this.#beginEpoch(epoch);
    const origin = this.#context.self.id;
    const broadcasts = this.#broadcasts.data;
    const target = to === null ? this.#broadcasts : this.#destination(to);
    const unicasts = target.data;
    const number = ++target[lane];
    let mentions = NO_MENTIONS;
    let isRecent = false;
    if (lane === "data") {
      const now = this.#context.clock.now();
      if (to === null) {
        mentions = this.#takeMentions();
        this.#broadcastAt = now;
      } else {
        this.#mention(to, number);
        isRecent = now - this.#broadcastAt < RECENT_TIME;
      }
    }
    return {
      origin,
      epoch,
      to,
      lane,
      number,
      broadcasts,
      unicasts,
      isRecent,
      mentions,
    };
  }

  #beginEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#broadcasts = { data: 0, control: 0 };
    this.#broadcastAt = -Infinity;
    this.#destinations.clear();
    this.#mentions.clear();
    this.#base = 0;
  }

  #destination(to: NodeId): Destination {
    const known = this.#destinations.get(to);
    if (known !== undefined) return known;
    if (this.#destinations.size >= MAX_DESTINATIONS) {
      for (const { data, control } of this.#destinations.values()) {
        this.#base = Math.max(this.#base, data, control);
      }
      this.#destinations.clear();
    }
    const made = { data: this.#base, control: this.#base };
    this.#destinations.set(to, made);
    return made;
  }

  #mention(to: NodeId, number: number): void {
    this.#mentions.delete(to); // to the end
    this.#mentions.set(to, number);
    dropOldest(this.#mentions, MAX_MENTIONS);
  }

  #takeMentions(): readonly Mention[] {
    if (this.#mentions.size === 0) return NO_MENTIONS;
    const mentions: Mention[] = [];
    for (const [id, number] of this.#mentions) {
      mentions.push({ hash: hashOf(id), number });
    }
    this.#mentions.clear();
    return mentions;
  }
}
