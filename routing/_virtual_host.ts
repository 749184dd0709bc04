import { Planned } from "./_event_heap.ts";
import { seededRandom, seedFor } from "./_random.ts";
import type { ClockSkew, VirtualHost } from "./_virtual_types.ts";
import type { End } from "./_virtual_wire.ts";
import { BEGINNING, type World } from "./_virtual_world.ts";
import type { Clock, NodeId } from "./types.ts";

/** What kind of event it was, for the hash of the trace. */
const TIMER = 1;
const CALL = 2;
export const ARRIVAL = 3;

/** Something that a machine does when it is awake. */
export abstract class HostEvent extends Planned {
  readonly host: Host;

  constructor(host: Host) {
    super();
    this.host = host;
  }

  run(): void {
    this.host.take(this);
  }

  /** What it does. */
  abstract perform(): void;
  /** Takes itself into the hash of the trace. */
  abstract hash(): void;
  /** What a line of the trace says of it. */
  abstract describe(): string;
}

/**
 * A machine: what comes to it waits while it is paused or busy, and what belongs to
 * an earlier life of it has no effect.
 */
export abstract class Host implements VirtualHost {
  readonly id: NodeId;
  readonly index: number;
  readonly world: World;
  readonly ends = new Set<End>();
  running = false;
  silent = false;
  /** Counts its lives. */
  life = 0;
  /** Timers of this life that are pending. */
  timers = 0;
  #pausedUntil = -Infinity;
  #busyUntil = -Infinity;
  /** How long each event keeps it busy. */
  #pace = 0;
  #backlog: HostEvent[] = [];
  /** Where in `#backlog` the next one stands. */
  #next = 0;
  #inTurn = false;
  readonly #wake: Wake;
  /** How much its clocks gain in one ms, plus that. */
  #rate = 1;
  /** What its clocks measured until `#measured`. */
  #elapsed = 0;
  #measured = 0;
  #wallOffset: number;
  #origin = 0;

  constructor(world: World, id: NodeId, clock: ClockSkew = {}) {
    this.world = world;
    this.id = id;
    this.index = world.hosts.size;
    this.#wake = new Wake(this);
    this.#wallOffset = clock.offset ?? 0;
    this.#setDrift(clock.drift ?? 0);
  }

  abstract restart(): void;
  /** Its program has ended. */
  protected abstract stopped(): void;
  /** After each event, and what it brought about. */
  protected abstract after(): void;

  crash(how: "links" | "silence" = "links"): void {
    if (!this.running) return;
    this.world.note(`crash ${this.id}, ${how}`);
    this.silent = how === "silence";
    for (const end of [...this.ends]) {
      if (this.silent) end.cutOff();
      else end.close("connection reset");
    }
    this.end();
  }

  pause(): void {
    if (!this.running) return;
    this.world.note(`pause ${this.id}`);
    this.#pausedUntil = Infinity;
  }

  resume(): void {
    this.world.note(`resume ${this.id}`);
    this.#pausedUntil = -Infinity;
    this.wake();
  }

  stall(ms: number): void {
    if (!this.running) return;
    this.world.note(`stall ${this.id} for ${ms} ms`);
    const end = this.world.heap.now + ms;
    this.#pausedUntil = Math.max(this.#pausedUntil, end);
    this.world.plan(ms, () => this.wake());
  }

  slow(ms: number): void {
    this.world.note(`slow ${this.id} to ${ms} ms`);
    this.#pace = ms;
  }

  setClock({ offset, drift }: ClockSkew): void {
    this.world.note(`clock of ${this.id}: ${offset} ${drift}`);
    if (offset !== undefined) this.#wallOffset = offset;
    if (drift !== undefined) this.#setDrift(drift);
  }

  wallClock(): number {
    return BEGINNING + this.#wallOffset + this.#passed();
  }

  /** Whether a life of it goes on. */
  isIn(life: number): boolean {
    return this.running && this.life === life;
  }

  /** Does something now or, while it sleeps, when it wakes up. */
  take(event: HostEvent): void {
    if (this.#isAwake() && this.#backlog.length === 0) this.#execute(event);
    else this.#backlog.push(event);
  }

  /** As `take`, for what an event of this machine itself brings about. */
  call(callback: () => void, what: string): void {
    if (this.#inTurn) callback();
    else this.take(new Call(this, callback, what));
  }

  /** Calls back in this life, so many ms from now. */
  later(delay: number, callback: () => void, what: string): Planned {
    const event = new Call(this, callback, what);
    this.world.heap.push(event, this.world.heap.now + delay);
    return event;
  }

  /** Does what it slept through, as far as it is awake. */
  wake(): void {
    while (this.#isAwake()) {
      const event = this.#backlog[this.#next];
      if (event === undefined) return this.#forget();
      this.#next++;
      this.#execute(event);
    }
  }

  /** A new life begins. */
  protected begin(): void {
    this.life++;
    this.running = true;
    this.silent = false;
    this.timers = 0;
    this.#origin = this.#wallOffset;
  }

  /** Its program ends, and with it what waited for it. */
  protected end(): void {
    this.running = false;
    this.#pausedUntil = -Infinity;
    this.#busyUntil = -Infinity;
    this.#forget();
    this.stopped();
  }

  /** The time as this life sees it, and hears it when it is awake. */
  protected makeClock(): Clock {
    const { life } = this;
    return {
      now: () => this.#origin + this.#passed(),
      after: (delay, callback) => {
        // A program whose machine has crashed may go on until it waits for something.
        if (!this.isIn(life)) return nothing;
        const timer = new Timer(this, callback);
        const { heap } = this.world;
        const due = delay > 0 ? heap.now + delay / this.#rate : heap.now;
        heap.push(timer, due);
        return () => timer.cancel();
      },
      soon: (callback) => {
        if (this.isIn(life)) this.later(0, callback, "soon");
      },
    };
  }

  /** The randomness of this life. */
  protected chance(): () => number {
    return seededRandom(seedFor(this.world.seed, `${this.id} ${this.life}`));
  }

  #isAwake(): boolean {
    const { now } = this.world.heap;
    return now >= this.#pausedUntil && now >= this.#busyUntil;
  }

  #forget(): void {
    if (this.#backlog.length > 0) this.#backlog = [];
    this.#next = 0;
  }

  #execute(event: HostEvent): void {
    const { world } = this;
    world.trace.time(world.heap.now);
    event.hash();
    if (world.trace.isRecorded) world.record(event.describe());
    this.#inTurn = true;
    try {
      event.perform();
    } finally {
      this.#inTurn = false;
    }
    this.after();
    if (this.#pace > 0) this.#tire();
  }

  #tire(): void {
    const { heap } = this.world;
    this.#busyUntil = heap.now + this.#pace;
    heap.remove(this.#wake);
    heap.push(this.#wake, this.#busyUntil);
  }

  #setDrift(drift: number): void {
    if (!(drift >= -0.5 && drift <= 1)) {
      throw new RangeError(
        `Cannot let the clock of "${this.id}" drift by ${drift}: it must be −0.5 to 1`,
      );
    }
    this.#elapsed = this.#passed();
    this.#measured = this.world.heap.now;
    this.#rate = 1 + drift;
  }

  #passed(): number {
    const passed = this.world.heap.now - this.#measured;
    return this.#elapsed + (this.#rate === 1 ? passed : passed * this.#rate);
  }
}

/** It has had its time after an event that kept it busy. */
class Wake extends Planned {
  readonly #host: Host;

  constructor(host: Host) {
    super();
    this.#host = host;
  }

  run(): void {
    this.#host.wake();
  }
}

class Timer extends HostEvent {
  readonly #callback: () => void;
  readonly #life: number;
  #pending = true;

  constructor(host: Host, callback: () => void) {
    super(host);
    this.#callback = callback;
    this.#life = host.life;
    host.timers++;
  }

  cancel(): void {
    if (!this.#settle()) return;
    this.host.world.heap.remove(this);
  }

  perform(): void {
    if (this.#settle() && this.host.running) this.#callback();
  }

  hash(): void {
    const { trace } = this.host.world;
    trace.int(TIMER);
    trace.int(this.host.index);
  }

  describe(): string {
    return `${this.host.id}: timer`;
  }

  /** False: it was cancelled, or belongs to an earlier life. */
  #settle(): boolean {
    if (!this.#pending || this.host.life !== this.#life) return false;
    this.#pending = false;
    this.host.timers--;
    return true;
  }
}

class Call extends HostEvent {
  readonly #callback: () => void;
  readonly #what: string;
  readonly #life: number;

  constructor(host: Host, callback: () => void, what: string) {
    super(host);
    this.#callback = callback;
    this.#what = what;
    this.#life = host.life;
  }

  perform(): void {
    if (this.host.isIn(this.#life)) this.#callback();
  }

  hash(): void {
    const { trace } = this.host.world;
    trace.int(CALL);
    trace.int(this.host.index);
  }

  describe(): string {
    return `${this.host.id}: ${this.#what}`;
  }
}

function nothing(): void {}
