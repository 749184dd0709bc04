/** A router for tests of others against a hostile node. It registers no tests. */
import type { Lane, NodeId, RouterContext, RouterFactory } from "./types.ts";

/** A node that sends what it is told to, and keeps what it gets. */
export class Liar {
  readonly got: Uint8Array[] = [];
  #context: RouterContext | null = null;

  readonly router: RouterFactory = (context) => {
    this.#context = context;
    return {
      nodes: new Set(),
      send: () => 0,
      receive: (_from, packet) => {
        this.got.push(packet);
      },
      link: () => {},
      member: () => {},
      close: () => {},
    };
  };

  send(to: NodeId, packet: Uint8Array, lane: Lane = "data"): void {
    this.#context?.links.send(to, packet, lane);
  }
}
