import type { NodeId } from "@devts/routing";
import { type GroupOf, keyOf, type Subscription } from "./interest_codec.ts";
import { Pattern, tokensOf } from "./names.ts";

/** Groups of one name that a node is in: more of them count for nothing. */
export const GROUPS_OF_ONE = 64;

/** Who handles a name. */
export interface Interested {
  /** Nodes that get every event. */
  readonly nodes: ReadonlySet<NodeId>;
  /** Groups of which one member gets each event. */
  readonly groups: readonly Group[];
}

/** A group for one name. */
export interface Group {
  /** As the member with the smallest id tells it: all should tell the same. */
  readonly of: GroupOf;
  /** Its members, sorted. */
  readonly members: readonly NodeId[];
}

/** A name or a pattern that somebody handles. */
interface Entry {
  readonly pattern: Pattern | null;
  /** What each node handles by it. */
  readonly by: Map<NodeId, Map<string, Subscription>>;
}

/** Which node handles what. Whoever fills it sees to its bounds. */
export class InterestTable {
  readonly #nodes = new Map<NodeId, Map<string, Subscription>>();
  // The prefix keeps names that look like integers from clustering in the tables.
  readonly #names = new Map<string, Entry>();
  readonly #patterns = new Set<Entry>();

  /** Whether it is known what a node handles. */
  has(id: NodeId): boolean {
    return this.#nodes.has(id);
  }

  /** The nodes of which that is known. */
  get nodes(): IterableIterator<NodeId> {
    return this.#nodes.keys();
  }

  /** How many names and patterns of a node it knows, once for each group. */
  size(id: NodeId): number {
    return this.#nodes.get(id)?.size ?? 0;
  }

  /** Replaces all that a node handles. */
  set(id: NodeId, subscriptions: Iterable<Subscription>): void {
    this.delete(id);
    this.#nodes.set(id, new Map());
    for (const subscription of subscriptions) this.add(id, subscription);
  }

  /** A node handles something more. */
  add(id: NodeId, subscription: Subscription): void {
    const key = keyOf(subscription);
    this.remove(id, subscription);
    this.#nodes.get(id)?.set(key, subscription);
    const entry = this.#entry(subscription.name);
    const own = entry.by.get(id);
    if (own) own.set(key, subscription);
    else entry.by.set(id, new Map([[key, subscription]]));
  }

  /** A node handles something no more. */
  remove(id: NodeId, subscription: Subscription): void {
    const key = keyOf(subscription);
    if (!this.#nodes.get(id)?.delete(key)) return;
    const name = `n:${subscription.name}`;
    const entry = this.#names.get(name);
    const own = entry?.by.get(id);
    own?.delete(key);
    if (!entry || own === undefined || own.size > 0) return;
    entry.by.delete(id);
    if (entry.by.size > 0) return;
    this.#names.delete(name);
    this.#patterns.delete(entry);
  }

  /** Nothing is known of a node any more. */
  delete(id: NodeId): void {
    for (const subscription of [...this.#nodes.get(id)?.values() ?? []]) {
      this.remove(id, subscription);
    }
    this.#nodes.delete(id);
  }

  /** Who handles a name. */
  find(name: string): Interested {
    const nodes = new Set<NodeId>();
    const members = new Map<string, Map<NodeId, GroupOf>>();
    for (const { by } of this.#entriesFor(name)) {
      for (const [id, subscriptions] of by) {
        let taken = 0;
        for (const { group } of subscriptions.values()) {
          if (group === null) nodes.add(id);
          else if (taken++ < GROUPS_OF_ONE) {
            const key = `g:${group.name}`;
            const known = members.get(key);
            if (known) known.set(id, group);
            else members.set(key, new Map([[id, group]]));
          }
        }
      }
    }
    const groups: Group[] = [];
    for (const by of members.values()) {
      const ids = [...by.keys()].sort();
      const of = by.get(ids[0] ?? "");
      if (of) groups.push({ of, members: ids });
    }
    return { nodes, groups };
  }

  *#entriesFor(name: string): Generator<Entry> {
    const entry = this.#names.get(`n:${name}`);
    if (entry !== undefined && entry.pattern === null) yield entry;
    if (this.#patterns.size === 0) return;
    const tokens = tokensOf(name);
    for (const entry of this.#patterns) {
      if (entry.pattern?.matches(tokens)) yield entry;
    }
  }

  #entry(name: string): Entry {
    const key = `n:${name}`;
    let entry = this.#names.get(key);
    if (entry) return entry;
    entry = { pattern: Pattern.of(name), by: new Map() };
    this.#names.set(key, entry);
    if (entry.pattern !== null) this.#patterns.add(entry);
    return entry;
  }
}
