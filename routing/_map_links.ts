import { IdMap } from "./_id_map.ts";
import type { Neighbour } from "./_map_neighbour.ts";
import { type Talk, writeTalk } from "./_map_packets.ts";
import type { Lane, NodeId, RouterContext } from "./types.ts";

/** What a map router dropped or refused, by kind. */
export interface MapCounters {
  malformed: number;
  unknown: number;
  strangers: number;
  forged: number;
  refused: number;
  flooded: number;
  full: number;
  dropped: number;
  lost: number;
}

/** The links of a node, as its map router uses them. */
export class Links {
  readonly neighbours: IdMap<Neighbour> = new IdMap();
  /** The neighbours, of whom those count that relay. */
  readonly relays: Pick<ReadonlySet<NodeId>, "size" | "has">;
  readonly #context: RouterContext;
  readonly #counters: MapCounters;

  constructor(context: RouterContext, counters: MapCounters) {
    const { neighbours } = this;
    this.relays = {
      get size(): number {
        let size = 0;
        for (const { isLeaf } of neighbours.values()) if (!isLeaf) size++;
        return size;
      },
      has: (id) => neighbours.has(id),
    };
    this.#context = context;
    this.#counters = counters;
  }

  /** Whether there is a link to a node that can be used. */
  isOpen(id: NodeId): boolean {
    return this.neighbours.get(id)?.isSilent === false;
  }

  /** The neighbours whose links can be used. */
  open(): Neighbour[] {
    return [...this.neighbours.values()].filter(({ isSilent }) => !isSilent);
  }

  /**
   * Hands a packet to a neighbour, and guards it. False: there is no room for it.
   *
   * @param isAlone Nobody behind the neighbour depends on it.
   */
  pass(
    to: NodeId,
    packet: Uint8Array,
    lane: Lane,
    isAlone: boolean = true,
  ): boolean {
    const neighbour = this.neighbours.get(to);
    if (
      neighbour?.isSilent === false && neighbour.guard.hasRoom(lane) &&
      this.#context.links.send(to, packet, lane)
    ) {
      neighbour.guard.add({ packet, lane, isAlone });
      return true;
    }
    this.#counters.dropped++;
    return false;
  }

  /** Says something to a neighbour. Unguarded: what is lost is found out later. */
  talk(to: NodeId, talk: Talk, lane: Lane = "control"): boolean {
    return this.#context.links.send(to, writeTalk(talk), lane);
  }

  /** Says something to all neighbours that answer, but one. */
  talkToAll(talk: Talk, except?: NodeId): void {
    const packet = writeTalk(talk);
    for (const { id } of this.open()) {
      if (id !== except) this.#context.links.send(id, packet, "control");
    }
  }
}
