import type { Planned } from "./_event_heap.ts";
import { ARRIVAL, type Host, HostEvent } from "./_virtual_host.ts";
import type { LinkShape } from "./_virtual_types.ts";
import type { Lane } from "./types.ts";

/** What travels over a wire. */
const OPEN = 0;
const PACKET = 1;
const DATAGRAM = 2;
const CREDIT = 3;
const CLOSE = 4;
const RESET = 5;
const NAMES = ["open", "packet", "datagram", "credit", "close", "reset"];

const NOTHING = new Uint8Array(0);

/**
 * One end of a wire between two machines, and what travels from it to the other.
 *
 * What it carries arrives in order, each once, as long as both ends are open. Behind a
 * cut, or while the other machine has no power, it is held and tried again.
 * Datagrams are on their own.
 */
export abstract class End {
  readonly host: Host;
  /** Set once, by {@linkcode join}. */
  other: End;
  open = true;
  /** What this end sends reaches nobody: its direction is cut. */
  blocked: boolean;
  shape: LinkShape;
  /** Packets on the way or held. */
  count = 0;
  /** Its machine lost its power: nothing of it is repeated any more. */
  #gone = false;
  /** It gave up: nothing more arrives. */
  #dead = false;
  /** When the last arrives. */
  #arrival = 0;
  #held: Arrival[] = [];
  /** Since when it has had no progress; −1: it has. */
  #stuckSince = -1;
  /** When what was held is tried again. */
  #resumesAt = -1;
  #giveUp: Planned | null = null;

  constructor(host: Host, to: Host) {
    const { world } = host;
    this.host = host;
    this.other = this;
    this.blocked = world.isCut(host.id, to.id);
    this.shape = world.shapeOf(host.id, to.id);
    host.ends.add(this);
  }

  /** The other end has accepted. */
  protected abstract opened(): void;
  /** A packet arrived while this end is open. */
  protected abstract received(packet: Uint8Array, lane: Lane): void;
  /** The other end made room for so many bytes. */
  protected abstract credited(bytes: number): void;
  /** It is over: closed by the other end, or broken. */
  protected abstract ended(reason: string, isOrderly: boolean): void;

  /** Sends a packet; false: closed, or no room. */
  send(packet: Uint8Array, lane: Lane): boolean {
    if (!this.open || this.count >= this.host.world.outbox) return false;
    this.transmit(packet, lane);
    return true;
  }

  /** As `send`, where there is room. */
  transmit(packet: Uint8Array, lane: Lane): void {
    const { world, id } = this.host;
    for (const tap of world.taps) tap(id, this.other.host.id, packet, lane);
    if (world.datagrams && lane === "control") return this.#throw(packet);
    this.count++;
    this.#carry(PACKET, packet, lane, "", 0);
  }

  /** Tells the other end that it is accepted. */
  accept(): void {
    this.#carry(OPEN, NOTHING, "control", "", 0);
  }

  /** Tells the other end that there is room for so many bytes more. */
  credit(bytes: number): void {
    this.#carry(CREDIT, NOTHING, "control", "", bytes);
  }

  /** Closes this end; the other hears of it behind what was sent before. */
  close(reason: string): void {
    if (!this.open) return;
    this.#carry(CLOSE, NOTHING, "control", reason, 0);
    this.abandon();
  }

  /** Breaks this end off; the other hears of it behind what arrives. */
  reset(): void {
    if (!this.open) return;
    this.#carry(RESET, NOTHING, "control", "", 0);
    this.abandon();
  }

  /** Closes this end without a word. */
  abandon(): void {
    this.open = false;
    this.#cancelGiveUp();
    if (!this.other.open) this.#detach();
  }

  /** Its machine loses its power. */
  cutOff(): void {
    this.#gone = true;
    this.abandon();
  }

  /** Its direction is no longer cut. */
  unblock(): void {
    this.blocked = false;
    this.release();
  }

  /** What is held is tried again at its time, if it can pass. */
  release(): void {
    const { world } = this.host;
    if (this.#held.length === 0 || this.#isStopped()) return;
    const time = world.nextTry(this.#stuckSince);
    this.#resumesAt = time;
    this.#arrival = Math.max(this.#arrival, time);
    for (const arrival of this.#held) world.heap.push(arrival, time);
    this.#held = [];
    world.holding.delete(this);
  }

  /** Something comes out at the other end, unless it is held, or lost. */
  pass(arrival: Arrival): void {
    if (this.#gone && arrival.kind !== RESET) return;
    if (arrival.kind === DATAGRAM) {
      if (!this.#isStopped()) this.other.host.take(arrival);
      return;
    }
    if (this.#held.length > 0 || this.#isStopped()) return this.#hold(arrival);
    const { heap } = this.host.world;
    if (heap.now < this.#resumesAt) return heap.push(arrival, this.#resumesAt);
    if (this.#stuckSince >= 0) this.#progress();
    this.other.host.take(arrival);
  }

  /** The other machine takes what came out. */
  deliver({ kind, packet, lane, reason, bytes }: Arrival): void {
    const to = this.other;
    if (kind === PACKET) this.count--;
    if (kind === RESET) return to.#end("connection reset", false);
    if (!to.open) {
      if (kind === PACKET) to.#carry(RESET, NOTHING, "control", "", 0);
    } else if (kind === PACKET || kind === DATAGRAM) to.received(packet, lane);
    else if (kind === CREDIT) to.credited(bytes);
    else if (kind === OPEN) to.opened();
    else to.#end(reason, true);
  }

  /** This end notices that it is over, and the other does not hear of it. */
  breakOff(reason: string): void {
    this.#end(reason, false);
  }

  /** Both ends notice that it is over. */
  snap(reason: string): void {
    this.breakOff(reason);
    this.other.breakOff(reason);
  }

  #end(reason: string, isOrderly: boolean): void {
    if (!this.open) return;
    this.abandon();
    this.ended(reason, isOrderly);
  }

  #isStopped(): boolean {
    return this.blocked || this.other.host.silent;
  }

  #carry(
    kind: number,
    packet: Uint8Array,
    lane: Lane,
    reason: string,
    bytes: number,
  ): void {
    if (this.#dead && kind !== RESET) return;
    const { world } = this.host;
    const arrival = world.heap.now + world.transit(this.shape);
    if (arrival === Infinity) return this.#die();
    if (arrival > this.#arrival) this.#arrival = arrival;
    world.heap.push(
      new Arrival(this, kind, packet, lane, reason, bytes),
      this.#arrival,
    );
  }

  /** Sends a datagram, or two, or none. */
  #throw(packet: Uint8Array): void {
    const { world } = this.host;
    if (world.happens(this.shape.loss)) return;
    const copies = world.happens(this.shape.duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      world.heap.push(
        new Arrival(this, DATAGRAM, packet, "control", "", 0),
        world.heap.now + world.throw(this.shape),
      );
    }
  }

  #hold(arrival: Arrival): void {
    const { world } = this.host;
    world.holding.add(this);
    this.#held.push(arrival);
    if (this.#stuckSince >= 0) return;
    this.#stuckSince = world.heap.now;
    this.#planGiveUp();
  }

  #progress(): void {
    this.#stuckSince = -1;
    this.#cancelGiveUp();
  }

  /** A transmission was lost so often that it will not arrive, nor anything behind it. */
  #die(): void {
    this.#dead = true;
    this.#planGiveUp();
  }

  #planGiveUp(): void {
    const { world } = this.host;
    if (this.#giveUp !== null || world.giveUp === Infinity || !this.open) {
      return;
    }
    this.#giveUp = world.plan(world.giveUp, () => {
      this.#giveUp = null;
      this.#dead = true;
      this.#held = [];
      this.#stuckSince = -1;
      world.holding.delete(this);
      this.host.call(() => this.breakOff("timed out"), "gives a link up");
    });
  }

  #cancelGiveUp(): void {
    if (this.#giveUp === null) return;
    this.host.world.heap.remove(this.#giveUp);
    this.#giveUp = null;
  }

  #detach(): void {
    for (const end of [this, this.other]) {
      end.host.ends.delete(end);
      end.host.world.holding.delete(end);
    }
  }
}

/** Makes one wire of two ends. */
export function join(a: End, b: End): void {
  a.other = b;
  b.other = a;
}

/** Something on its way to the other end. */
export class Arrival extends HostEvent {
  readonly from: End;
  readonly kind: number;
  readonly packet: Uint8Array;
  readonly lane: Lane;
  readonly reason: string;
  readonly bytes: number;

  constructor(
    from: End,
    kind: number,
    packet: Uint8Array,
    lane: Lane,
    reason: string,
    bytes: number,
  ) {
    super(from.other.host);
    this.from = from;
    this.kind = kind;
    this.packet = packet;
    this.lane = lane;
    this.reason = reason;
    this.bytes = bytes;
  }

  override run(): void {
    this.from.pass(this);
  }

  perform(): void {
    this.from.deliver(this);
  }

  hash(): void {
    const { trace } = this.host.world;
    trace.int(ARRIVAL + this.kind);
    trace.int(this.from.host.index);
    trace.int(this.host.index);
    trace.packet(this.packet);
  }

  describe(): string {
    const what = NAMES[this.kind] ?? "";
    const size = this.packet.length > 0
      ? ` of ${this.packet.length} bytes`
      : "";
    const why = this.reason === "" ? "" : `: ${this.reason}`;
    return `${this.host.id}: ${what}${size} from ${this.from.host.id}${why}`;
  }
}
