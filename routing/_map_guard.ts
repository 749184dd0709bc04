import type { Clock, Lane } from "./types.ts";

/** Time from a packet to the question whether it has arrived, in ms. */
const MARK_DELAY = 100;
/** After so many packets or bytes the question does not wait. */
const MARK_COUNT = 64;
const MARK_BYTES = 256 * 1024;
/** What is asked about and not confirmed for so long is stuck, in ms. */
const STUCK_AFTER = 1000;
/** What a link holds that the other end has not confirmed; then it has no room. */
const MAX_COUNT = 16_384;
const MAX_BYTES = 8 * 1024 * 1024;

/** A packet that may be lost when its link ends. */
export interface Guarded {
  readonly packet: Uint8Array;
  readonly lane: Lane;
  /** Only the neighbour itself depends on it, nobody behind it. */
  readonly isAlone: boolean;
}

/** A packet, and how many were sent in its lane up to it. */
interface Entry {
  readonly number: number;
  readonly guarded: Guarded;
}

/** One lane of a link. */
interface Track {
  /** Packets sent so far. */
  sent: number;
  /** Those among them that were asked about. */
  marked: number;
  /** Those that are not confirmed, oldest first. */
  pending: Entry[];
}

/**
 * Keeps what was sent to a neighbour until that has confirmed it, so that it can be sent
 * another way when the link ends. A link is ordered: one mark behind many packets asks
 * for all of them.
 */
export class Guard {
  readonly #clock: Clock;
  readonly #mark: (lane: Lane, number: number) => boolean;
  readonly #tracks: Readonly<Record<Lane, Track>> = {
    control: { sent: 0, marked: 0, pending: [] },
    data: { sent: 0, marked: 0, pending: [] },
  };
  /** Packets that came from the neighbour: what it would want to know. */
  readonly received: Record<Lane, number> = { control: 0, data: 0 };
  #bytes = 0;
  /** Bytes since the last mark. */
  #unmarked = 0;
  #cancel: (() => void) | null = null;
  #waitingSince: number | null = null;

  /** @param mark Sends a mark behind the packets of a lane. */
  constructor(clock: Clock, mark: (lane: Lane, number: number) => boolean) {
    this.#clock = clock;
    this.#mark = mark;
  }

  /** Whether all is confirmed that was sent. */
  get isEmpty(): boolean {
    const { control, data } = this.#tracks;
    return control.pending.length + data.pending.length === 0;
  }

  /** Whether another packet of a lane may be sent. */
  hasRoom(lane: Lane): boolean {
    return this.#bytes < MAX_BYTES &&
      this.#tracks[lane].pending.length < MAX_COUNT;
  }

  /** Since when it waits for a confirmation; null: it does not. */
  get waitingSince(): number | null {
    return this.#waitingSince;
  }

  /** Whether it has waited for a confirmation for long. */
  get isStuck(): boolean {
    return this.#waitingSince !== null &&
      this.#clock.now() - this.#waitingSince >= STUCK_AFTER;
  }

  /** A packet was sent. */
  add(guarded: Guarded): void {
    const track = this.#tracks[guarded.lane];
    track.pending.push({ number: ++track.sent, guarded });
    this.#bytes += guarded.packet.length;
    this.#unmarked += guarded.packet.length;
    const isMuch = track.sent - track.marked >= MARK_COUNT ||
      this.#unmarked >= MARK_BYTES;
    if (isMuch) this.#ask();
    else this.#cancel ??= this.#clock.after(MARK_DELAY, () => this.#ask());
  }

  /** The neighbour has the first so many packets of a lane. */
  confirm(lane: Lane, number: number): void {
    const { pending } = this.#tracks[lane];
    const left = pending.findIndex((entry) => entry.number > number);
    const confirmed = pending.splice(0, left < 0 ? pending.length : left);
    if (confirmed.length === 0) return;
    for (const { guarded } of confirmed) this.#bytes -= guarded.packet.length;
    this.#waitingSince = this.isEmpty ? null : this.#clock.now();
  }

  /** Asks again about what is not confirmed: a mark or its answer may be lost. */
  remind(): void {
    for (const track of Object.values(this.#tracks)) {
      track.marked = (track.pending[0]?.number ?? track.sent + 1) - 1;
    }
    if (this.#cancel === null) this.#ask();
  }

  /** The link has ended. */
  stop(): void {
    this.#cancel?.();
  }

  /** Gives out what was not confirmed, or those of it that are asked for. */
  take(isWanted: (guarded: Guarded) => boolean = always): Guarded[] {
    const taken: Guarded[] = [];
    for (const track of [this.#tracks.control, this.#tracks.data]) {
      track.pending = track.pending.filter((entry) => {
        if (!isWanted(entry.guarded)) return true;
        this.#bytes -= entry.guarded.packet.length;
        taken.push(entry.guarded);
        return false;
      });
    }
    if (this.isEmpty) this.#waitingSince = null;
    return taken;
  }

  #ask(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#unmarked = 0;
    this.#askIn("control");
    this.#askIn("data");
  }

  #askIn(lane: Lane): void {
    const track = this.#tracks[lane];
    if (track.marked >= track.sent || track.pending.length === 0) return;
    this.#waitingSince ??= this.#clock.now();
    if (this.#mark(lane, track.sent)) track.marked = track.sent;
  }
}

function always(): boolean {
  return true;
}
