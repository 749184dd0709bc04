import { malformed } from "./_bytes.ts";
import { hashText } from "./_hash.ts";
import { Log } from "./_log.ts";

/** How many replicas a store keeps apart: every start of a node makes one. */
export const MAX_REPLICAS = 16_384;
/** Nodes of which is remembered that they are gone: each answer names them. */
export const MAX_SETTLED = 4_096;

/** One life of a node, as the source of writes: what it wrote is numbered from 1 on. */
export interface Replica {
  /** Its place in the table. */
  readonly index: number;
  /** `node id@incarnation`. */
  readonly id: string;
  /** The node that it is a life of. */
  readonly node: string;
  /** Which life. */
  readonly incarnation: number;
  /** Tells it from others in hashes. */
  readonly hash: number;
  /** Everything that it wrote up to this number is held here, or something later in its place. */
  mark: number;
  /** The highest number of what it wrote and is held here; above `mark`: there are gaps. */
  top: number;
  /** Tombstones up to this number have been collected: who knows less must compare. */
  floor: number;
  /** When `mark` last moved, by the clock of the node. */
  moved: number;
  /** Which entries are its last word. */
  readonly log: Log;
}

/** Lives of a node that are over, and known everywhere: up to which one, and what of that. */
export interface Settled {
  readonly incarnation: number;
  /** Writes of that life up to this number are known everywhere. */
  readonly mark: number;
}

/** The id of a life of a node. */
export function replicaId(node: string, incarnation: number): string {
  return `${node}@${incarnation.toString(36)}`;
}

/** The replicas that a store has heard of, by index and by id. */
export class Replicas {
  readonly #all: (Replica | undefined)[] = [];
  readonly #byId = new Map<string, Replica>();
  /** Which lives of nodes are over, and known everywhere. */
  readonly settled = new Map<string, Settled>();

  /** How many there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** All of them. */
  [Symbol.iterator](): Iterator<Replica> {
    return this.#byId.values();
  }

  /** The one at an index. */
  at(index: number): Replica | undefined {
    return this.#all[index];
  }

  /** Whether one is known. */
  has(id: string): boolean {
    return this.#byId.has(`r:${id}`);
  }

  /** The one of an id, if it is known. */
  get(id: string): Replica | undefined {
    return this.#byId.get(`r:${id}`);
  }

  /**
   * The one of an id, made where it is new.
   *
   * @throws {RangeError} If there are too many.
   * @throws {SyntaxError} If the id is malformed.
   */
  intern(id: string): Replica {
    const known = this.get(id);
    if (known) return known;
    if (this.#byId.size >= MAX_REPLICAS) {
      throw new RangeError(
        `Cannot keep apart more than ${MAX_REPLICAS} replicas`,
      );
    }
    const life = readLife(id);
    if (!life) throw malformed(`"${id.slice(0, 80)}" is no replica`);
    const { node, incarnation } = life;
    let index = this.#all.indexOf(undefined);
    if (index < 0) index = this.#all.length;
    // What was known of it when it was settled, nobody tells anew.
    const settled = this.settled.get(`n:${node}`);
    const mark = settled?.incarnation === incarnation ? settled.mark : 0;
    const replica: Replica = {
      index,
      id,
      node,
      incarnation,
      hash: hashText(id),
      mark,
      top: mark,
      floor: mark,
      moved: 0,
      log: new Log(),
    };
    this.#all[index] = replica;
    this.#byId.set(`r:${id}`, replica);
    return replica;
  }

  /** Whether its life is over and known everywhere, so that nobody speaks of it any more. */
  isSettled(replica: Replica): boolean {
    return isOver(this.settled.get(`n:${replica.node}`), replica, replica.mark);
  }

  /** Whether a later life of its node is settled: nothing more is taken of it. */
  isPast({ node, incarnation }: Replica): boolean {
    return incarnation < (this.settled.get(`n:${node}`)?.incarnation ?? -1);
  }

  /** A life is over, and known everywhere up to a number of its writes. */
  settle(node: string, { incarnation, mark }: Settled): void {
    const known = this.settled.get(`n:${node}`);
    if (isOver(known, { incarnation }, mark)) return;
    this.settled.set(`n:${node}`, { incarnation, mark });
    if (this.settled.size <= MAX_SETTLED) return;
    const [oldest] = this.settled.keys();
    if (oldest !== undefined) this.settled.delete(oldest);
  }

  /** Forgets one that nothing is left of. */
  forget(replica: Replica): void {
    this.#all[replica.index] = undefined;
    this.#byId.delete(`r:${replica.id}`);
  }
}

/** Whether the writes of a life up to a number are over by what is settled of its node. */
export function isOver(
  settled: Settled | undefined,
  { incarnation }: Pick<Replica, "incarnation">,
  seq: number,
): boolean {
  if (!settled) return false;
  return incarnation < settled.incarnation ||
    incarnation === settled.incarnation && seq <= settled.mark;
}

/** The node and the incarnation that an id speaks of; `null`: it is none. */
export function readLife(
  id: string,
): { readonly node: string; readonly incarnation: number } | null {
  const at = id.lastIndexOf("@");
  const incarnation = parseInt(id.slice(at + 1), 36);
  const node = id.slice(0, at);
  const isWhole = at > 0 && at <= 64 && Number.isSafeInteger(incarnation) &&
    incarnation >= 0 && replicaId(node, incarnation) === id;
  return isWhole ? { node, incarnation } : null;
}
