import type { Behaviour, Scope } from "../behaviour.ts";
import { Replicated } from "./_replicated.ts";

/** What became of a node's presence. */
export interface PresenceChange<S> {
  /** The node. */
  readonly id: string;
  /** What it says of itself from now on; `undefined`: it is gone, or says nothing. */
  readonly state: S | undefined;
}

/**
 * Who is there, and what each says of itself: a status, a load, a cursor. What a node
 * says is forgotten when the node is gone.
 */
export interface Presence<S> extends AsyncDisposable {
  /** What this node says of itself; `undefined` until it is set. */
  readonly own: S | undefined;
  /** What the nodes that are there say of themselves, this one among them, by id. */
  all(): Map<string, S>;
  /** Says something else of this node. Of changes at short intervals, the last is told. */
  set(state: S): Promise<void>;
  /** Calls back for each change of another node; dispose it to stop. */
  watch(callback: (change: PresenceChange<S>) => void): Disposable;
  /** Ends it on this node. */
  close(): Promise<void>;
}

/**
 * Presence of nodes.
 *
 * @typeParam S What a node says of itself.
 * @param state What this node says of itself at first.
 */
export function presence<S>(state?: S): Behaviour<Presence<S>> {
  return (scope) => new NodePresence<S>(scope, state);
}

class NodePresence<S> implements Presence<S> {
  readonly #scope: Scope;
  readonly #state: Replicated;
  readonly #watchers = new Set<(change: PresenceChange<S>) => void>();
  #own: S | undefined;

  constructor(scope: Scope, state: S | undefined) {
    this.#scope = scope;
    this.#state = scope.use(
      "state",
      (inner) =>
        new Replicated(
          inner,
          {},
          () => "set what this node says of itself",
          // What a node said is forgotten where it is gone: not everywhere at once.
          false,
        ),
    );
    this.#state.replication.watch((id, value, _isDelete, isLocal) => {
      if (isLocal || !scope.members.has(id)) return;
      this.#tell({ id, state: value as S | undefined });
    });
    scope.onSystem("join", ({ id }) => this.#joined(id));
    scope.onSystem("leave", ({ member }) => this.#left(member.id));
    if (state !== undefined) this.set(state);
  }

  get own(): S | undefined {
    return this.#own;
  }

  all(): Map<string, S> {
    const { id, members } = this.#scope;
    const all = new Map<string, S>();
    for (const [one, state] of this.#state.replication.store.entries.live) {
      if (one === id || members.has(one)) all.set(one, state as S);
    }
    return all;
  }

  set(state: S): Promise<void> {
    const done = this.#state.replication.write(this.#scope.id, state, false);
    this.#own = state;
    return done;
  }

  watch(callback: (change: PresenceChange<S>) => void): Disposable {
    const own = (change: PresenceChange<S>): void => callback(change);
    this.#watchers.add(own);
    return {
      [Symbol.dispose]: (): void => {
        this.#watchers.delete(own);
      },
    };
  }

  close(): Promise<void> {
    return this.#scope.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #joined(id: string): void {
    const state = this.#state.replication.store.entries.live.get(id);
    if (state !== undefined) this.#tell({ id, state: state as S });
    // Who took this node for dead has forgotten what it said.
    if (this.#own !== undefined) this.set(this.#own);
  }

  #left(id: string): void {
    const { entries } = this.#state.replication.store;
    const slot = entries.find(id);
    if (slot < 0) return;
    entries.drop(slot);
    this.#tell({ id, state: undefined });
  }

  #tell(change: PresenceChange<S>): void {
    // Who begins to watch meanwhile hears of what comes then.
    for (const watcher of [...this.#watchers]) {
      if (!this.#watchers.has(watcher)) continue;
      try {
        watcher(change);
      } catch (error) {
        this.#scope.fault(error, `a watcher failed: ${error}`);
      }
    }
  }
}
