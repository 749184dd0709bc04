import { RECENT_TIME } from "./_order_stamp.ts";

/** How far a number may be from the others of its series. */
export const WINDOW = 1024;
/** Tracks of a series, and the time between two that displace others, in ms. */
const MAX_TRACKS = 2;
const OPEN_INTERVAL = 1000;
/** A track that brings nothing new for this long, in ms, is over. */
const TRACK_LIFE = 60_000;

/** A run of numbers, of which those near its end are told apart. */
interface Track {
  /** The first one. */
  start: number;
  /** The last one. */
  at: number;
  /** How many were news, and when the last of them came. */
  count: number;
  usedAt: number;
}

/**
 * Where a series of numbers stands. A number far from all others begins a track of its
 * own beside the one before, since it may be made up: the series goes on in the track
 * in which its numbers go on. The shorter one makes room for another, or one that has
 * not been used for a minute; once a second at most.
 */
class Series<T extends Track> {
  /** At most two, the later one first. */
  readonly tracks: T[] = [];
  #openedAt = -Infinity;

  /** The track that a number belongs to. */
  near(number: number): T | undefined {
    for (const track of this.tracks) {
      const { start, at } = track;
      if (number > start - WINDOW && number <= at + WINDOW) return track;
    }
    return undefined;
  }

  /** Begins a track. False: it is too soon for another one. */
  open(track: T): boolean {
    const { tracks } = this;
    if (tracks.length === MAX_TRACKS) {
      if (track.usedAt - this.#openedAt < OPEN_INTERVAL) return false;
      this.#openedAt = track.usedAt;
      const worth = tracks.map(({ usedAt, count }) =>
        track.usedAt - usedAt > TRACK_LIFE ? 0 : count
      );
      tracks.splice(worth.indexOf(Math.min(...worth)), 1);
    }
    tracks.push(track);
    tracks.sort((a, b) => b.start - a.start);
    return true;
  }
}

/** Which of the last 1,024 numbers of a track have been seen. */
class Seen implements Track {
  readonly start: number;
  at: number;
  count = 0;
  usedAt: number;
  readonly #bits = new Uint32Array(WINDOW / 32);

  constructor(start: number, now: number) {
    this.start = start;
    this.at = start - 1;
    this.usedAt = now;
  }

  /** Marks a number; whether that is news. */
  add(number: number, now: number): "new" | "seen" | "old" {
    if (number <= this.at - WINDOW) return "old";
    if (number > this.at) this.#advance(number);
    if (this.has(number)) return "seen";
    const bit = number % WINDOW;
    this.#bits[bit >>> 5] = this.#word(bit) | (1 << (bit & 31));
    this.count++;
    this.usedAt = now;
    return "new";
  }

  /** Whether a number has been seen, as far as that is remembered. */
  has(number: number): boolean {
    if (number > this.at || number <= this.at - WINDOW) return false;
    const bit = number % WINDOW;
    return (this.#word(bit) & (1 << (bit & 31))) !== 0;
  }

  /** A number that was marked counts as not seen again. */
  remove(number: number): void {
    if (!this.has(number)) return;
    const bit = number % WINDOW;
    this.#bits[bit >>> 5] = this.#word(bit) & ~(1 << (bit & 31));
  }

  #advance(number: number): void {
    for (let next = this.at + 1; next <= number; next++) {
      const bit = next % WINDOW;
      this.#bits[bit >>> 5] = this.#word(bit) & ~(1 << (bit & 31));
    }
    this.at = number;
  }

  #word(bit: number): number {
    return this.#bits[bit >>> 5] ?? 0;
  }
}

/** Which numbers of a series have been seen. */
export class Window {
  readonly #series = new Series<Seen>();

  /** Marks a number; whether that is news, or why it cannot be told. */
  add(number: number, now: number): "new" | "seen" | "old" | "absurd" {
    const track = this.#series.near(number) ?? new Seen(number, now);
    if (track.at < track.start && !this.#series.open(track)) return "absurd";
    return track.add(number, now);
  }

  /** Whether a number has been seen, as far as that is remembered. */
  has(number: number): boolean {
    return this.#series.near(number)?.has(number) ?? false;
  }

  /** A number that was marked counts as not seen again. */
  remove(number: number): void {
    this.#series.near(number)?.remove(number);
  }
}

/** A packet that came before its turn. */
export interface Held {
  readonly payload: Uint8Array;
  /** The last number of the other series that must come before it. */
  readonly after: number;
  /** That has left only just before. */
  readonly isRecent: boolean;
  /** When it came. */
  readonly since: number;
}

/** Up to where a series was delivered, or given up. */
export interface Position extends Track {
  /** The last number that was delivered; -1: none was. */
  delivered: number;
  /** The origin itself told of it, and may have sent what is before. */
  isTold: boolean;
  /** What is missing before it, until a second number proves that. */
  passed: number;
}

/** A series whose packets are delivered in order. */
export class Line {
  readonly #series = new Series<Position>();
  readonly held = new Map<number, Held>();
  /** What the origin said to have sent, when it was more than was heard: then, and that. */
  told = -1;
  toldAt = 0;
  heardThen = -1;

  get positions(): readonly Position[] {
    return this.#series.tracks;
  }

  /** The position that a number belongs to. */
  near(number: number): Position | undefined {
    return this.#series.near(number);
  }

  /** A packet came: the position that it belongs to. Undefined: it cannot be told. */
  place(number: number, now: number): Position | undefined {
    const position = this.#series.near(number);
    if (position === undefined) {
      const before = this.#series.tracks.find(({ at }) => at < number);
      const passed = before === undefined ? 0 : number - 1 - before.at;
      return this.#open(number, passed, false, now);
    }
    if (number > position.at) {
      position.count++;
      position.usedAt = now;
    }
    if (position.isTold && number <= position.at) {
      position.at = number - 1;
      position.start = Math.min(position.start, number);
    }
    position.isTold = false;
    return position;
  }

  /**
   * Whether the number that a packet comes after is yet to come. Of what a node was only
   * told it cannot say what is on its way; what has only just left may well be.
   */
  awaits({ after, isRecent }: Held, now: number): boolean {
    const position = this.#series.near(after);
    if (position === undefined) return false;
    if (after > position.at) return true;
    return isRecent && position.isTold && now - position.usedAt < RECENT_TIME;
  }

  /** Whether a packet is held that was sent before a number of the other series. */
  precedes(number: number): boolean {
    for (const { after } of this.held.values()) if (after < number) return true;
    return false;
  }

  /** A number is delivered. */
  deliver(number: number): void {
    const position = this.#series.near(number);
    if (position === undefined) return;
    position.delivered = Math.max(position.delivered, number);
  }

  /** What comes after a number is delivered: where nothing else was told, it begins there. */
  pass(number: number): void {
    const position = this.#series.near(number);
    if (!position?.isTold) return;
    position.isTold = false;
    position.at = Math.min(position.at, number);
  }

  /** Whether a later number than this one has been delivered. */
  isPast(number: number): boolean {
    return number < (this.#series.near(number)?.delivered ?? -1);
  }

  /** Passes over what is missing up to a number; returns how many that were. */
  skip(number: number): number {
    const position = this.#series.near(number);
    // What is out of reach is made up.
    if (position === undefined) return 0;
    position.isTold = false;
    const missed = Math.max(0, number - position.at);
    position.at += missed;
    return missed;
  }

  /** The origin has sent all up to a number: where nothing was heard, that is the beginning. */
  begin(number: number, now: number): void {
    if (this.#series.tracks.length === 0) this.#open(number + 1, 0, true, now);
  }

  #open(
    start: number,
    passed: number,
    isTold: boolean,
    usedAt: number,
  ): Position | undefined {
    const at = start - 1;
    const position = {
      start,
      at,
      delivered: -1,
      passed,
      isTold,
      count: 1,
      usedAt,
    };
    return this.#series.open(position) ? position : undefined;
  }

  /** The lowest number that is held. */
  lowest(): number {
    let lowest = Infinity;
    for (const number of this.held.keys()) lowest = Math.min(lowest, number);
    return lowest;
  }

  /** When the packet came that has been held for longest. */
  oldest(): number {
    for (const { since } of this.held.values()) return since;
    return Infinity;
  }
}
