import type { Clock, NodeId } from "@devts/routing";

/** How often nodes are asked, in ms, and how long after they were of interest last. */
const INTERVAL = 1_000;
const INTEREST = 5_000;
/** What a new measurement weighs. */
const WEIGHT = 0.3;
/** Nodes that are measured. */
const MAX_NODES = 1_024;

/** What the latencies are made with. */
export interface LatenciesOptions {
  readonly clock: Clock;
  /** Asks a node to answer with a number. */
  send(to: NodeId, number: number): void;
}

interface Measured {
  /** A moving average, in ms; Infinity: not known. */
  latency: number;
  /** The question that is open, and since when. */
  number: number;
  askedAt: number;
  /** When somebody wanted to know last. */
  wantedAt: number;
}

/** How long nodes take to answer; measured only while somebody wants to know. */
export class Latencies {
  readonly #options: LatenciesOptions;
  readonly #nodes = new Map<NodeId, Measured>();
  #next = 0;
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(options: LatenciesOptions) {
    this.#options = options;
  }

  /** The latency of a node in ms; Infinity: not known yet. */
  of(id: NodeId): number {
    if (this.#closed) return Infinity;
    const now = this.#options.clock.now();
    const known = this.#nodes.get(id);
    if (known) {
      known.wantedAt = now;
      return known.latency;
    }
    if (this.#nodes.size >= MAX_NODES) return Infinity;
    const measured = {
      latency: Infinity,
      number: 0,
      askedAt: now,
      wantedAt: now,
    };
    this.#nodes.set(id, measured);
    this.#ask(id, measured);
    this.#cancel ??= this.#options.clock.after(INTERVAL, () => this.#tick());
    return Infinity;
  }

  /** A node answered. */
  answered(id: NodeId, number: number): void {
    const measured = this.#nodes.get(id);
    if (!measured || measured.number !== number) return;
    measured.number = 0;
    const sample = this.#options.clock.now() - measured.askedAt;
    measured.latency = measured.latency === Infinity
      ? sample
      : measured.latency + WEIGHT * (sample - measured.latency);
  }

  /** A node is gone. */
  forget(id: NodeId): void {
    this.#nodes.delete(id);
  }

  /** Measures no more. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#nodes.clear();
  }

  #ask(id: NodeId, measured: Measured): void {
    this.#next = this.#next % 0xffff_ffff + 1;
    measured.number = this.#next;
    measured.askedAt = this.#options.clock.now();
    this.#options.send(id, measured.number);
  }

  #tick(): void {
    this.#cancel = null;
    const now = this.#options.clock.now();
    for (const [id, measured] of this.#nodes) {
      if (now - measured.wantedAt > INTEREST) this.#nodes.delete(id);
      else {
        // No answer in all this time: at least so long.
        if (measured.number !== 0) {
          measured.latency = Math.max(
            measured.latency === Infinity ? 0 : measured.latency,
            now - measured.askedAt,
          );
        }
        this.#ask(id, measured);
      }
    }
    if (this.#nodes.size === 0) return;
    this.#cancel = this.#options.clock.after(INTERVAL, () => this.#tick());
  }
}
