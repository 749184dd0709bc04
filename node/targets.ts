import type { NodeId, Router } from "@devts/routing";
import { MYSELF, type Target } from "./outbound.ts";
import type { Asked } from "./requests.ts";

const NOTHING = new Uint8Array(0);

/** Single nodes as targets: the same one for each node, as long as there is a way to it. */
export class Targets {
  readonly #id: NodeId;
  readonly #router: Router;
  readonly #known = new Map<NodeId, Target>();
  /** Requests of this node to itself. */
  readonly #own: Asked;

  constructor(id: NodeId, router: Router) {
    this.#id = id;
    this.#router = router;
    this.#own = { id, waiting: 0 };
  }

  /** A node as a target. */
  of(id: NodeId): Target {
    if (id === this.#id) return MYSELF;
    const known = this.#known.get(id);
    if (known) return known;
    const target: Target = { to: [id], asked: { id, waiting: 0 } };
    if (this.#router.nodes.has(id)) this.#known.set(id, target);
    return target;
  }

  /** The same; null: no way to it is known. */
  find(id: NodeId): Target | null {
    return id === this.#id || this.#router.nodes.has(id) ? this.of(id) : null;
  }

  /** How many requests wait for a node. */
  waiting(id: NodeId): number {
    return id === this.#id
      ? this.#own.waiting
      : this.#known.get(id)?.asked?.waiting ?? 0;
  }

  /** What counts the requests that wait for a node. */
  asked(target: Target): Asked {
    return target.asked ?? this.#own;
  }

  /** What the router says of a node that it knows no way to; null: it knows one. */
  objection(id: NodeId): unknown {
    if (id === this.#id || this.#router.nodes.has(id)) return null;
    try {
      this.#router.send([id], NOTHING);
    } catch (error) {
      return error;
    }
    return null;
  }

  /** A node is gone. */
  forget(id: NodeId): void {
    this.#known.delete(id);
  }
}
