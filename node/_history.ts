import type { Clock, NodeId } from "@devts/routing";
import { remember } from "./_remember.ts";

/** Nodes of which something is remembered; the one that it is longest ago of is forgotten. */
const MAX_NODES = 1_024;
/** What is kept of a reason, in characters. */
const MAX_REASON = 500;

/** Something that happened to a node, as this one saw it. */
export interface Happening {
  /** What, and why. */
  readonly reason: string;
  /** When, on the node's clock, in ms. */
  readonly at: number;
}

/** What is remembered of a node. */
interface Past {
  error: Happening | null;
  /** How it went, where it is no member any more. */
  leave: "left" | "failed" | null;
}

/** What went wrong with other nodes, and who of them is gone: the last of each. */
export class History {
  readonly #clock: Clock;
  // The prefix keeps ids that look like integers in the order of time.
  readonly #nodes = new Map<string, Past>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something went wrong on the way to a node. */
  failed(id: NodeId, reason: string): void {
    const at = this.#clock.now();
    this.#touch(id).error = { reason: reason.slice(0, MAX_REASON), at };
  }

  /** A node is a member again. */
  joined(id: NodeId): void {
    const past = this.#nodes.get(`n:${id}`);
    if (past !== undefined) past.leave = null;
  }

  /** A node is no member any more. */
  gone(id: NodeId, how: "left" | "failed"): void {
    this.#touch(id).leave = how;
  }

  /** What went wrong last on the way to a node; null: nothing did. */
  errorOf(id: NodeId): Happening | null {
    return this.#nodes.get(`n:${id}`)?.error ?? null;
  }

  /** How a node went that is no member any more; null: it is one, or never was. */
  leaveOf(id: NodeId): "left" | "failed" | null {
    return this.#nodes.get(`n:${id}`)?.leave ?? null;
  }

  /** The nodes that are no members any more. */
  *lost(): Iterable<NodeId> {
    for (const [key, { leave }] of this.#nodes) {
      if (leave !== null) yield key.slice(2);
    }
  }

  #touch(id: NodeId): Past {
    const key = `n:${id}`;
    const past = this.#nodes.get(key) ?? { error: null, leave: null };
    remember(this.#nodes, key, past, MAX_NODES);
    return past;
  }
}
