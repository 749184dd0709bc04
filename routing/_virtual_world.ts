import { type EventHeap, type Planned, PlannedCall } from "./_event_heap.ts";
import { InvariantError } from "./_invariant.ts";
import { seededRandom, seedFor } from "./_random.ts";
import { Trace } from "./_trace.ts";
import { heapOf, type VirtualClock } from "./_virtual_clock.ts";
import type { Host } from "./_virtual_host.ts";
import type {
  LinkShape,
  VirtualNetworkOptions,
  VirtualNode,
} from "./_virtual_types.ts";
import type { MachineHost } from "./_virtual_machine.ts";
import type { SimListener } from "./_virtual_transport.ts";
import type { End } from "./_virtual_wire.ts";
import type { Lane, NodeId } from "./types.ts";

/** The wall-clock time at which every network begins. */
export const BEGINNING: number = Date.UTC(2026, 0, 1);

/** When a transmission that was lost is first repeated, and at the latest, in ms: as TCP does. */
const FIRST_RETRY = 200;
const LAST_RETRY = 120_000;
/** How much longer a datagram may take that is overtaken. */
const REORDERED = 10;

/** What is called with each packet that is handed to a link. */
export type Tap = (
  from: NodeId,
  to: NodeId,
  packet: Uint8Array,
  lane: Lane,
) => void;

/** What holds after each event of a node. */
export interface Invariant {
  readonly name: string;
  readonly check: (node: VirtualNode) => void;
}

/** What the machines of a network share: time, chance, cuts, and who is where. */
export class World {
  readonly clock: VirtualClock;
  readonly heap: EventHeap;
  readonly trace: Trace;
  readonly seed: number;
  readonly hosts = new Map<NodeId, Host>();
  /** Where each address leads, in the order in which machines were added. */
  readonly places = new Map<string, Host[]>();
  /** Where programs of machines accept connections. */
  readonly listeners = new Map<string, SimListener>();
  /** Machines on which something happened that is not checked yet. */
  readonly touched = new Set<MachineHost>();
  /** Ends of which something is held. */
  readonly holding = new Set<End>();
  readonly taps: Tap[] = [];
  readonly invariants: Invariant[] = [];
  readonly outbox: number;
  readonly dialTimeout: number;
  readonly giveUp: number;
  readonly datagrams: boolean;
  readonly backoff: boolean;
  /** None: everything may be told. */
  readonly mayTell:
    | ((from: NodeId, to: NodeId, address: string) => boolean)
    | null;
  readonly #noise: () => number;
  readonly #cuts = new Set<string>();
  readonly #changes = new Map<string, Partial<LinkShape>>();
  #shape: LinkShape;

  constructor(clock: VirtualClock, options: VirtualNetworkOptions) {
    this.clock = clock;
    this.heap = heapOf(clock);
    this.heap.settled = this.settled;
    this.trace = new Trace(options.record ?? 0);
    this.seed = options.seed ?? 1;
    this.#noise = seededRandom(seedFor(this.seed, "links"));
    this.outbox = options.outbox ?? 1024;
    this.dialTimeout = options.dialTimeout ?? 1000;
    this.giveUp = options.giveUp ?? Infinity;
    this.datagrams = options.datagrams ?? false;
    this.backoff = options.backoff ?? false;
    this.mayTell = options.mayTell ?? null;
    const { latency = 1, jitter = 0, loss = 0, duplicate = 0, reorder = 0 } =
      options;
    this.#shape = checked({ latency, jitter, loss, duplicate, reorder });
  }

  host(id: NodeId): Host {
    const host = this.hosts.get(id);
    if (host === undefined) {
      throw new TypeError(`Cannot find node "${id}" in the network`);
    }
    return host;
  }

  /** Who answers at the first of these addresses that leads anywhere: who runs, first. */
  listener(addresses: readonly string[]): Host | null {
    let found: Host | null = null;
    for (const address of addresses) {
      for (const host of this.places.get(address) ?? []) {
        if (found === null || rank(host) < rank(found)) found = host;
      }
    }
    return found;
  }

  /** Calls back so many ms from now. */
  plan(delay: number, callback: () => void): Planned {
    const event = new PlannedCall(callback);
    this.heap.push(event, this.heap.now + delay);
    return event;
  }

  // How transmissions fare

  /** How long one takes that is not lost. */
  flight(shape: LinkShape): number {
    const { latency, jitter } = shape;
    return jitter === 0 ? latency : latency + jitter * this.#noise();
  }

  /** How long one takes that is repeated until it arrives; Infinity: that is given up. */
  transit(shape: LinkShape): number {
    let delay = this.flight(shape);
    let wait = FIRST_RETRY;
    const end = delay + this.giveUp;
    while (this.happens(shape.loss)) {
      delay += wait;
      if (delay > end) return Infinity;
      wait = Math.min(2 * wait, LAST_RETRY);
    }
    return delay;
  }

  /** How long a datagram takes that is not lost. */
  throw(shape: LinkShape): number {
    const delay = this.flight(shape);
    if (!this.happens(shape.reorder)) return delay;
    return delay * (1 + (REORDERED - 1) * this.#noise());
  }

  /** Whether something of this chance comes true. */
  happens(chance: number): boolean {
    return chance > 0 && this.#noise() < chance;
  }

  /** When what was held since a time is tried next. */
  nextTry(since: number): number {
    if (!this.backoff) return this.heap.now;
    let time = since;
    for (let wait = FIRST_RETRY; time < this.heap.now;) {
      time += wait;
      wait = Math.min(2 * wait, LAST_RETRY);
    }
    return time;
  }

  // Shapes and cuts

  shapeOf(from: NodeId, to: NodeId): LinkShape {
    const change = this.#changes.get(keyOf(from, to));
    return change === undefined ? this.#shape : { ...this.#shape, ...change };
  }

  reshape(
    change: Partial<LinkShape>,
    link?: { readonly from: NodeId; readonly to: NodeId },
  ): Partial<LinkShape> {
    const before = link === undefined
      ? this.#shape
      : this.shapeOf(link.from, link.to);
    if (link === undefined) {
      this.#shape = checked({ ...this.#shape, ...change });
    } else {
      const key = keyOf(link.from, link.to);
      const all = { ...this.#changes.get(key), ...change };
      checked({ ...this.#shape, ...all });
      this.#changes.set(key, all);
    }
    for (const { ends } of this.hosts.values()) {
      for (const end of ends) {
        end.shape = this.shapeOf(end.host.id, end.other.host.id);
      }
    }
    return before;
  }

  isCut(from: NodeId, to: NodeId): boolean {
    return this.#cuts.has(keyOf(from, to));
  }

  /** Whether nothing passes between two machines at present, in one direction at least. */
  isParted(a: Host, b: Host): boolean {
    return a.silent || b.silent || this.isCut(a.id, b.id) ||
      this.isCut(b.id, a.id);
  }

  cut(from: Host, to: Host): void {
    this.#cuts.add(keyOf(from.id, to.id));
    for (const end of from.ends) if (end.other.host === to) end.blocked = true;
  }

  heal(from: Host, to: Host): void {
    if (!this.#cuts.delete(keyOf(from.id, to.id))) return;
    for (const end of from.ends) if (end.other.host === to) end.unblock();
  }

  healAll(): void {
    this.#cuts.clear();
    for (const { ends } of this.hosts.values()) {
      for (const end of ends) end.unblock();
    }
  }

  /** Something held may pass again. */
  release(): void {
    for (const end of this.holding) end.release();
  }

  // Invariants and trace

  /** Checks what must hold after each event of a node. */
  check(node: VirtualNode): void {
    for (const { name, check } of this.invariants) {
      try {
        check(node);
      } catch (error) {
        throw new InvariantError(name, this.heap.now, node.id, error);
      }
    }
  }

  /** Checks what must hold on the machines on which something happened. */
  readonly settled = (): void => {
    if (this.touched.size === 0) return;
    for (const machine of this.touched) machine.check();
    this.touched.clear();
  };

  assert(name: string, id: NodeId | null, check: () => void): void {
    try {
      check();
    } catch (error) {
      throw new InvariantError(name, this.heap.now, id, error);
    }
  }

  /** Takes into the trace what was done to the network from outside. */
  note(what: string): void {
    this.trace.time(this.heap.now);
    this.trace.text(what);
    if (this.trace.isRecorded) this.record(what);
  }

  record(what: string): void {
    this.trace.line(`${this.heap.now.toFixed(3).padStart(12)} ms  ${what}`);
  }
}

function rank({ running, index }: Host): number {
  return running ? index : index + 2 ** 32;
}

function keyOf(from: NodeId, to: NodeId): string {
  return `${from} ${to}`;
}

function checked(shape: LinkShape): LinkShape {
  const { latency, jitter, loss, duplicate, reorder } = shape;
  if (!(latency >= 0 && latency < Infinity)) throw outOf("latency", latency);
  if (!(jitter >= 0 && jitter < Infinity)) throw outOf("jitter", jitter);
  if (!(loss >= 0 && loss <= 0.9)) throw outOf("loss", loss);
  if (!(duplicate >= 0 && duplicate <= 1)) throw outOf("duplicate", duplicate);
  if (!(reorder >= 0 && reorder <= 1)) throw outOf("reorder", reorder);
  return shape;
}

function outOf(what: string, value: number): RangeError {
  return new RangeError(
    `Cannot use ${value} as the ${what} of a link: it is out of its range`,
  );
}
