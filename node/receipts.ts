import type { NodeId } from "@devts/routing";
import {
  type Code,
  type DeliveryId,
  type Result,
  RUNNING,
  WINDOW,
  writeReceipts,
} from "./delivery_wire.ts";

/** Results in a row that one entry of a receipt holds. */
const MAX_COUNT = 4_096;
/** The states that a window holds at first. */
const FIRST_STATES = 64;
/** Not heard of. */
const UNKNOWN = 0;

/** What the receipts need of their node. */
export interface ReceiptsOptions {
  /** Of so many nodes it remembers which deliveries it knows. */
  readonly limit: number;
  readonly met: { origins: number };
  readonly counts: { duplicates: number };
  /** Sends a receipt to a node; must not throw. */
  send(to: NodeId, run: number, receipt: Uint8Array): void;
}

/** Which deliveries of one start of a node are known here, and what became of them. */
export class Window {
  readonly from: NodeId;
  readonly run: number;
  readonly incarnation: number;
  /** All before are settled, and do not come again. */
  floor: number;
  /** By sequence, modulo their number. */
  states = new Uint8Array(FIRST_STATES);
  /** What is to be told. */
  results: Result[] = [];

  constructor(from: NodeId, { run, incarnation, floor }: DeliveryId) {
    this.from = from;
    this.run = run;
    this.incarnation = incarnation;
    this.floor = floor;
  }

  /** The state of a delivery that is not settled. */
  get(sequence: number): number {
    const ahead = sequence - this.floor;
    return ahead < this.states.length
      ? this.states[sequence % this.states.length] ?? UNKNOWN
      : UNKNOWN;
  }

  /** Notes a state; what is settled already is not remembered. */
  set(sequence: number, state: number): void {
    const ahead = sequence - this.floor;
    if (ahead < 0 || ahead >= WINDOW) return;
    if (ahead >= this.states.length) this.#grow(ahead + 1);
    this.states[sequence % this.states.length] = state;
  }

  /** Forgets what is settled. */
  advance(floor: number): void {
    const size = this.states.length;
    const end = Math.min(floor, this.floor + size);
    for (let at = this.floor; at < end; at++) this.states[at % size] = UNKNOWN;
    this.floor = Math.max(this.floor, floor);
  }

  #grow(needed: number): void {
    const before = this.states;
    let size = before.length;
    while (size < needed) size *= 2;
    this.states = new Uint8Array(size);
    for (let i = 0; i < before.length; i++) {
      const sequence = this.floor + i;
      this.states[sequence % size] = before[sequence % before.length] ?? 0;
    }
  }
}

/**
 * What a node remembers of acknowledged deliveries to it, so that it handles none
 * twice, and the receipts that it owes for them.
 *
 * Of each origin it keeps one window: which deliveries it knows, from the first one
 * that the origin has not settled on. An origin never has more than
 * {@linkcode WINDOW} in it, so a window forgets nothing that may come again, and its
 * memory is bounded all the same. A later start of an origin replaces the window;
 * what was sent by an earlier one is dropped.
 *
 * Results are told once per microtask, in runs: deliveries that arrive together and
 * are handled at once cost one receipt.
 */
export class Receipts {
  readonly #options: ReceiptsOptions;
  /** By origin; the one heard of last stands last. */
  readonly #windows = new Map<string, Window>();
  #last: Window | null = null;
  readonly #owed = new Set<Window>();
  readonly #flush = (): void => this.flush();

  constructor(options: ReceiptsOptions) {
    this.#options = options;
  }

  /** How many origins it remembers. */
  get size(): number {
    return this.#windows.size;
  }

  /**
   * A delivery came. The window to settle it in, where it is to be handled; null: it
   * was before, or its origin waits for it no longer.
   */
  accept(from: NodeId, id: DeliveryId): Window | null {
    const window = this.#windowOf(from, id);
    if (window === null) return null;
    if (id.floor > window.floor) window.advance(id.floor);
    const { sequence } = id;
    if (sequence < window.floor || sequence - window.floor >= WINDOW) {
      this.#options.counts.duplicates++;
      return null;
    }
    const state = window.get(sequence);
    if (state === UNKNOWN) {
      window.set(sequence, RUNNING);
      return window;
    }
    this.#options.counts.duplicates++;
    this.#owe(window, state as Code, sequence, "");
    return null;
  }

  /** A delivery has been handled, or cannot be. */
  settle(window: Window, code: Code, sequence: number, text = ""): void {
    window.set(sequence, code);
    this.#owe(window, code, sequence, text);
  }

  /** A delivery of a node was dropped before it could be handled. */
  refuse(from: NodeId, run: number, result: Result): void {
    this.#send(from, run, [result]);
  }

  /** Sends what is owed. */
  flush(): void {
    for (const window of this.#owed) {
      const { results } = window;
      window.results = [];
      this.#send(window.from, window.run, results);
    }
    this.#owed.clear();
  }

  #send(to: NodeId, run: number, results: readonly Result[]): void {
    for (const receipt of writeReceipts(results)) {
      this.#options.send(to, run, receipt);
    }
  }

  #windowOf(from: NodeId, id: DeliveryId): Window | null {
    const last = this.#last;
    if (last?.from === from && last.run === id.run) return last;
    const key = `o:${from}`;
    const known = this.#windows.get(key);
    if (known?.run === id.run) {
      this.#windows.delete(key);
      this.#windows.set(key, known);
      return this.#last = known;
    }
    if (known && known.incarnation >= id.incarnation) {
      this.#options.counts.duplicates++;
      return null;
    }
    const window = new Window(from, id);
    this.#windows.delete(key);
    this.#windows.set(key, window);
    this.#bound();
    return this.#last = window;
  }

  #bound(): void {
    if (this.#windows.size <= this.#options.limit) return;
    this.#options.met.origins++;
    for (const oldest of this.#windows.keys()) {
      this.#windows.delete(oldest);
      return;
    }
  }

  #owe(window: Window, code: Code, sequence: number, text: string): void {
    const { results } = window;
    const last = results[results.length - 1];
    const follows = last !== undefined && last.code === code && text === "" &&
      last.text === "" && last.first + last.count === sequence &&
      last.count < MAX_COUNT;
    if (follows) last.count++;
    else results.push({ code, first: sequence, count: 1, text });
    if (this.#owed.size === 0) queueMicrotask(this.#flush);
    this.#owed.add(window);
  }
}
