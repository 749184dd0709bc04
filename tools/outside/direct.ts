import {
  type LinkEvent,
  type MemberEvent,
  type NodeId,
  NodeNotFoundError,
  type Router,
  type RouterContext,
} from "@devts/routing";

/**
 * A router that the library does not have: it links to every member and sends
 * payloads to neighbours as they are; nothing is relayed.
 */
export function direct(context: RouterContext): Router {
  return new DirectRouter(context);
}

class DirectRouter implements Router {
  readonly #context: RouterContext;
  readonly #nodes = new Set<NodeId>();
  #closed = false;

  constructor(context: RouterContext) {
    this.#context = context;
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.#nodes;
  }

  send(
    to: readonly NodeId[] | "all",
    payload: Uint8Array,
    lane: "control" | "data" = "data",
  ): number {
    if (this.#closed) return 0;
    const targets = to === "all" ? [...this.#nodes] : to;
    for (const id of targets) {
      if (!this.#nodes.has(id)) throw new NodeNotFoundError(id);
    }
    return targets.filter((id) => this.#context.links.send(id, payload, lane))
      .length;
  }

  receive(from: NodeId, packet: Uint8Array): void {
    if (!this.#closed) this.#context.up.deliver(from, packet);
  }

  link(event: LinkEvent): void {
    if (event.type === "up") this.#nodes.add(event.peer.id);
    if (event.type === "down") this.#nodes.delete(event.id);
  }

  member(event: MemberEvent): void {
    if (
      this.#closed || event.type === "leave" || this.#nodes.has(event.member.id)
    ) return;
    this.#context.links.connect(event.member);
  }

  close(): void {
    this.#closed = true;
  }
}
