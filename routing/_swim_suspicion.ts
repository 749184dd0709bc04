import { Item, MAX_ACCUSERS, SUSPECT } from "./_swim_codec.ts";
import {
  confirmationsNeeded,
  shortestSuspicion,
  suspicionTimeout,
} from "./_swim_formulas.ts";
import type { NodeId } from "./types.ts";

/** What the timeouts of suspicions are made of. */
export interface SuspicionTimes {
  /** Milliseconds between two probes. */
  readonly interval: number;
  /** The shortest suspicion, in intervals and powers of ten of nodes. */
  readonly multiplier: number;
}

/** What a node thinks of one that could not be reached, and until when it waits. */
export class Suspicion {
  /** It was given up elsewhere. */
  condemned = false;
  /** This node asked it a last time. */
  asked = false;
  /** Ends what was planned for it. */
  cancel: () => void = nothing;
  readonly #id: NodeId;
  #incarnation: number;
  readonly #accusers: NodeId[] = [];
  /** Other nodes that told of an accuser. */
  readonly #tellers: NodeId[] = [];
  #item: Item | null = null;
  readonly #startedAt: number;
  readonly #shortest: number;
  readonly #needed: number;
  #heardAt = -Infinity;

  /** `now` is in milliseconds during which this node was awake. */
  constructor(
    id: NodeId,
    incarnation: number,
    now: number,
    nodes: number,
    { interval, multiplier }: SuspicionTimes,
  ) {
    this.#id = id;
    this.#incarnation = incarnation;
    this.#startedAt = now;
    this.#shortest = shortestSuspicion(nodes, multiplier, interval);
    this.#needed = confirmationsNeeded(nodes, multiplier);
  }

  /** Only a higher incarnation than this clears it. */
  get incarnation(): number {
    return this.#incarnation;
  }

  /** What is told of it. */
  get item(): Item {
    this.#item ??= new Item({
      kind: SUSPECT,
      id: this.#id,
      incarnation: this.#incarnation,
      accusers: [...this.#accusers],
    });
    return this.#item;
  }

  /** It is accused under a higher incarnation; false if not. */
  raise(incarnation: number): boolean {
    if (incarnation <= this.#incarnation) return false;
    this.#incarnation = incarnation;
    this.#item = null;
    return true;
  }

  /** One more could not reach it; false if that is known, or does not matter any more. */
  accuse(accuser: NodeId): boolean {
    const accusers = this.#accusers;
    const most = Math.min(MAX_ACCUSERS, this.#needed + 1);
    if (accusers.length >= most || accusers.includes(accuser)) return false;
    accusers.push(accuser);
    this.#item = null;
    return true;
  }

  /** It made itself heard: whoever is heard is not given up, but must still refute. */
  heard(now: number): void {
    this.#heardAt = now;
    this.asked = false;
    this.condemned = false;
  }

  /**
   * Another node says who could not reach it. It is believed one of them: a single node
   * must not shorten the time of another, whoever it names. False if that is nothing new.
   */
  told(by: NodeId, accusers: readonly NodeId[]): boolean {
    if (this.#tellers.includes(by)) return false;
    const own = accusers.includes(by) && this.accuse(by);
    if (!own && !accusers.some((accuser) => this.accuse(accuser))) return false;
    this.#tellers.push(by);
    return true;
  }

  /** When it is given up. */
  get deadline(): number {
    const confirmed = this.condemned
      ? this.#needed
      : Math.max(0, this.#accusers.length - 1);
    const timeout = suspicionTimeout(this.#shortest, this.#needed, confirmed);
    return Math.max(
      this.#startedAt + timeout,
      this.#heardAt + this.#shortest,
    );
  }
}

function nothing(): void {}
