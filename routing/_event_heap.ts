/** Something that happens at a time. It stands in at most one heap, at most once. */
export abstract class Planned {
  /** Where it stands in its heap; −1: it is not planned. */
  slot = -1;

  /** What happens. */
  abstract run(): void;
}

/** A call back at a time. */
export class PlannedCall extends Planned {
  readonly #callback: () => void;

  constructor(callback: () => void) {
    super();
    this.#callback = callback;
  }

  run(): void {
    this.#callback();
  }
}

const FIRST_ROOM = 256;

/**
 * What is planned, by time; at the same time, in the order of planning. A binary
 * heap whose keys stand apart as numbers, so that sifting touches no object.
 */
export class EventHeap {
  /** The present time, in ms. */
  now = 0;
  /** How much happened so far. */
  count = 0;
  /** Called once the promises have settled that an event settled. */
  settled: () => void = nothing;
  #times = new Float64Array(FIRST_ROOM);
  #orders = new Float64Array(FIRST_ROOM);
  readonly #events: Planned[] = [];
  #asked = 0;

  /** How much is planned. */
  get size(): number {
    return this.#events.length;
  }

  /** Plans an event; a time that has passed counts as now. */
  push(event: Planned, time: number): void {
    const events = this.#events;
    const slot = events.length;
    if (slot === this.#times.length) this.#grow();
    events.push(event);
    this.#up(event, time > this.now ? time : this.now, this.#asked++, slot);
  }

  /** Takes an event out before it happens; false if it is not planned. */
  remove(event: Planned): boolean {
    const { slot } = event;
    if (slot < 0) return false;
    event.slot = -1;
    this.#takeOut(slot);
    return true;
  }

  /** Lets the next event happen that is due by `end`; false if there is none. */
  step(end: number): boolean {
    const event = this.#events[0];
    const time = this.#times[0];
    if (event === undefined || time === undefined || time > end) return false;
    event.slot = -1;
    this.#takeOut(0);
    this.now = time;
    this.count++;
    event.run();
    return true;
  }

  /** Fills a slot from which an event was taken with the last one. */
  #takeOut(slot: number): void {
    const events = this.#events;
    const last = events.pop();
    const end = events.length;
    if (last === undefined || slot === end) return;
    const time = this.#times[end] ?? 0;
    const order = this.#orders[end] ?? 0;
    const parent = (slot - 1) >> 1;
    if (slot > 0 && this.#isBefore(time, order, parent)) {
      this.#up(last, time, order, slot);
    } else this.#down(last, time, order, slot);
  }

  #up(event: Planned, time: number, order: number, from: number): void {
    let slot = from;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (!this.#isBefore(time, order, parent)) break;
      this.#move(parent, slot);
      slot = parent;
    }
    this.#put(event, time, order, slot);
  }

  #down(event: Planned, time: number, order: number, from: number): void {
    const end = this.#events.length;
    let slot = from;
    for (;;) {
      const child = this.#earlierChild(slot, end);
      if (child < 0 || this.#isBefore(time, order, child)) break;
      this.#move(child, slot);
      slot = child;
    }
    this.#put(event, time, order, slot);
  }

  #earlierChild(slot: number, end: number): number {
    const left = 2 * slot + 1;
    const right = left + 1;
    if (left >= end) return -1;
    if (right >= end) return left;
    const time = this.#times[right] ?? 0;
    return this.#isBefore(time, this.#orders[right] ?? 0, left) ? right : left;
  }

  #isBefore(time: number, order: number, slot: number): boolean {
    const other = this.#times[slot] ?? 0;
    return time < other ||
      (time === other && order < (this.#orders[slot] ?? 0));
  }

  #move(from: number, to: number): void {
    const event = this.#events[from];
    if (event === undefined) return;
    this.#put(event, this.#times[from] ?? 0, this.#orders[from] ?? 0, to);
  }

  #put(event: Planned, time: number, order: number, slot: number): void {
    this.#times[slot] = time;
    this.#orders[slot] = order;
    this.#events[slot] = event;
    event.slot = slot;
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length);
    times.set(this.#times);
    this.#times = times;
    const orders = new Float64Array(2 * this.#orders.length);
    orders.set(this.#orders);
    this.#orders = orders;
  }
}

function nothing(): void {}
