import type { NodeId } from "@devts/routing";
import type { Group } from "./interest_table.ts";

/** Groups whose turn is remembered. */
const TURNS = 4_096;

/** How one member of a group is chosen. */
export interface Choice {
  /** What a sticky group goes by, where the sender says so. */
  readonly key?: unknown;
  /** The data, of which a sticky group may name a field. */
  readonly data?: unknown;
  /** Members that are not to be chosen. */
  readonly except?: ReadonlySet<NodeId>;
}

/** What the groups are made with. */
export interface GroupsOptions {
  readonly random: () => number;
  /** How long a node takes to answer, in ms; Infinity: not known. */
  latency(id: NodeId): number;
}

/** Chooses members of groups. */
export class Groups {
  readonly #options: GroupsOptions;
  /** Whose turn it is, by name and group. */
  readonly #turns = new Map<string, number>();

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** One of the members for an event; null: none is left. */
  choose(name: string, group: Group, choice: Choice = {}): NodeId | null {
    const { except, key, data } = choice;
    const members = except === undefined || except.size === 0
      ? group.members
      : group.members.filter((id) => !except.has(id));
    if (members.length < 2) return members[0] ?? null;
    switch (group.of.strategy) {
      case "round-robin":
        return this.#inTurn(`${name}\0${group.of.name}`, members);
      case "random":
        return this.#any(members);
      case "least-latency":
        return this.#nearest(members);
      case "sticky":
        return stickyMember(members, keyIn(key, data, group.of.key));
    }
  }

  #inTurn(turn: string, members: readonly NodeId[]): NodeId | null {
    // Not all senders begin with the same member.
    const at = this.#turns.get(turn) ??
      Math.floor(this.#options.random() * members.length);
    if (this.#turns.size >= TURNS && !this.#turns.has(turn)) {
      this.#turns.clear();
    }
    this.#turns.set(turn, at + 1);
    return members[at % members.length] ?? null;
  }

  #any(members: readonly NodeId[]): NodeId | null {
    const at = Math.floor(this.#options.random() * members.length);
    return members[at] ?? null;
  }

  #nearest(members: readonly NodeId[]): NodeId | null {
    let nearest: NodeId | null = null;
    let least = Infinity;
    for (const id of members) {
      const latency = this.#options.latency(id);
      if (latency >= least) continue;
      nearest = id;
      least = latency;
    }
    return nearest ?? this.#any(members);
  }
}

/**
 * The member that a key belongs to: the one for which a hash of both is highest, so
 * that only the keys of a member that goes move (rendezvous hashing; Thaler and
 * Ravishankar, 1998).
 */
export function stickyMember(
  members: readonly NodeId[],
  key: string,
): NodeId | null {
  let chosen: NodeId | null = null;
  let most = -1;
  const seed = hash(key, 0x811c9dc5);
  for (const id of members) {
    const weight = mix(hash(id, seed));
    if (weight > most) {
      chosen = id;
      most = weight;
    }
  }
  return chosen;
}

/** What an event is chosen by: what its sender says, or else the field of its data. */
function keyIn(key: unknown, data: unknown, field: string): string {
  if (key !== undefined) return String(key);
  if (field === "" || typeof data !== "object" || data === null) return "";
  const value: unknown = Reflect.get(data, field);
  return value === undefined || typeof value === "object" ? "" : String(value);
}

/** FNV-1a over the code units of a text, 32 bits. */
function hash(text: string, seed: number): number {
  let value = seed;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  return value;
}

/** The finalizer of MurmurHash3: similar texts get hashes that are not. */
function mix(value: number): number {
  let mixed = value ^ value >>> 16;
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed = Math.imul(mixed ^ mixed >>> 13, 0xc2b2ae35);
  return (mixed ^ mixed >>> 16) >>> 0;
}
