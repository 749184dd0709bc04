import type { Codec } from "@devts/protocol";
import type { MemberEvent, NodeId, Peer } from "@devts/routing";
import type { History } from "./_history.ts";
import type { Journal } from "./journal.ts";
import type { MetLimits } from "./limits.ts";
import type { Member } from "./types.ts";

/** What the list of members is made with. */
export interface RosterOptions {
  readonly codec: Codec;
  /** The longest metadata that is decoded, in bytes. */
  readonly maxMeta: number;
  readonly met: MetLimits;
  readonly journal: Journal;
  readonly history: History;
  /** Whether there is a way to a node. */
  reachable(id: NodeId): boolean;
  /** There is one member more. */
  joined(): void;
}

/**
 * The members as the program sees them, and the system events that tell of them.
 *
 * A node counts as a member as soon as it can be sent to, or is known not to be; until
 * then, nothing is told of it.
 */
export class Roster {
  readonly #options: RosterOptions;
  readonly #members = new Map<NodeId, Member>();
  /** Nodes that the membership knows, and that nothing has been heard of beyond that. */
  readonly #untold = new Map<NodeId, Member>();
  #silent = false;

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  /** The members, this node left out. Live. */
  get members(): ReadonlyMap<NodeId, Member> {
    return this.#members;
  }

  /** A node as the program sees it. */
  memberOf({ id, incarnation, addresses, meta }: Peer): Member {
    const { codec, maxMeta, met, journal } = this.#options;
    let value: unknown;
    const isLong = (meta?.length ?? 0) > maxMeta;
    if (isLong) met.meta++;
    try {
      value = meta && meta.length > 0 && !isLong
        ? codec.decode(meta)
        : undefined;
    } catch (error) {
      const message = `the metadata of node "${id}" is malformed`;
      journal.fault("link", error, message);
    }
    return { id, incarnation, addresses, meta: value };
  }

  /** The membership learned of a node, or gave it up. */
  changed(event: MemberEvent, member: Member): void {
    const { id } = member;
    const { history, journal } = this.#options;
    if (event.type !== "leave") history.joined(id);
    else if (event.reason !== "restarted") history.gone(id, event.reason);
    if (!this.#members.has(id)) {
      if (event.type === "leave") this.#untold.delete(id);
      else this.#untold.set(id, member);
      return this.tell(id);
    }
    if (event.type === "leave") this.#members.delete(id);
    else this.#members.set(id, member);
    if (this.#silent) return;
    if (event.type !== "leave") return journal.tell("update", member);
    journal.info(`"${id}" is gone: ${event.reason} (${this.#size})`);
    journal.tell("leave", { member, reason: event.reason });
  }

  /** Tells of a node that was not told of, once there is a way to it. */
  tell(id: NodeId, reachable = this.#options.reachable(id)): void {
    const member = this.#untold.get(id);
    if (!member || !reachable) return;
    this.#untold.delete(id);
    this.#members.set(id, member);
    if (this.#silent) return;
    const { joined, journal } = this.#options;
    joined();
    journal.info(`"${id}" joined (${this.#size})`);
    journal.tell("join", member);
  }

  /** Tells nothing any more. */
  hush(): void {
    this.#silent = true;
  }

  /** Forgets all. */
  clear(): void {
    this.#members.clear();
    this.#untold.clear();
  }

  get #size(): string {
    const nodes = this.#members.size + 1;
    return nodes === 1 ? "1 node" : `${nodes} nodes`;
  }
}
