import { IdMap } from "./_id_map.ts";
import type { Stamp } from "./_order_stamp.ts";
import type { Clock, NodeId } from "./types.ts";

/** A unicast that has had no answer for this long is asked about, in ms. */
const ASK_AFTER = 2500;
/** One that has had none for this long is undelivered, in ms. */
const GIVE_UP_AFTER = 5000;
/** Time between two looks at what has had no answer, in ms. */
const LOOK_INTERVAL = 500;
/** Unicasts without an answer that are remembered: to one node, and in all. */
const MAX_PENDING_EACH = 1024;
const MAX_PENDING = 8192;
/** Bytes of a payload by which its sender recognises it. */
export const HEAD = 256;

/** Notes of the same kind to the same node leave together, one packet in so many ms. */
const NOTE_INTERVAL = 100;
/** Numbers in a note or a question. */
export const MAX_NUMBERS = 32;
/** Kinds of notes that wait. */
const MAX_NOTES = 1024;

/** What became of a unicast; the place in the list is what travels. */
const REASONS = [
  "received",
  "its link had no room",
  "there was no link any more",
  "it had gone through too many nodes",
  "it came too late for its turn",
] as const;

/** What became of a unicast. */
export type Reason = typeof REASONS[number];

/** What travels for a reason. */
export function codeOf(reason: Reason): number {
  return REASONS.indexOf(reason);
}

/** The reason that travels as a code. */
export function reasonAt(code: number): Reason | undefined {
  return REASONS[code];
}

/** What a node tells the origin of unicasts: what became of them. */
export interface Note {
  /** Whose unicasts. */
  readonly origin: NodeId;
  readonly epoch: number;
  /** For whom they were. */
  readonly target: NodeId;
  readonly reason: Reason;
  /** The neighbour to which they could not be handed; the target, where that took them. */
  readonly next: NodeId;
  readonly numbers: readonly number[];
}

/** What is asked of the program whose receipts these are. */
export interface ReceiptsOwner {
  readonly clock: Clock;
  /** Asks a node which of these unicasts it has. */
  ask(to: NodeId, numbers: readonly number[]): void;
  /** Sends a note to its origin. */
  note(note: Note): void;
  /** A unicast will not arrive, as far as can be known. */
  undelivered(
    to: NodeId,
    head: Uint8Array,
    lastHop: NodeId,
    reason: string,
  ): void;
  /** A node has not answered for long. */
  silent(to: NodeId): void;
}

interface Pending {
  readonly head: Uint8Array;
  readonly sentAt: number;
  isAsked: boolean;
  /** Where it was dropped, though it may have come by another way. */
  trouble: { readonly at: NodeId; readonly reason: string } | null;
}

interface Batch {
  readonly about: Omit<Note, "numbers">;
  numbers: number[];
}

/**
 * Receipts for unicasts of the data lane, so that none gets lost in silence: the
 * target notes which have come, a relay which it had to drop. What nobody has noted is
 * asked about after 2.5 s, and undelivered after 5 s.
 *
 * The first note leaves at once, the next ones to the same node 100 ms later, together:
 * at most about ten small packets each second for each pair of nodes that talk.
 */
export class Receipts {
  readonly #owner: ReceiptsOwner;
  readonly #self: NodeId;
  /** By target, then by number. */
  readonly #pending = new IdMap<Map<number, Pending>>();
  #count = 0;
  #cancelLook: (() => void) | null = null;
  readonly #batches = new Map<string, Batch>();
  #cancelNotes: (() => void) | null = null;
  readonly counters = { unwatched: 0, unnoted: 0 };

  constructor(owner: ReceiptsOwner, self: NodeId) {
    this.#owner = owner;
    this.#self = self;
  }

  // -- At the origin --

  /** A unicast has left; from here on it is either noted or undelivered. */
  sent({ to, lane, number }: Stamp, payload: Uint8Array): void {
    if (to === null || lane === "control") return;
    const pending = this.#pending.get(to) ?? new Map<number, Pending>();
    if (pending.size >= MAX_PENDING_EACH || this.#count >= MAX_PENDING) {
      this.counters.unwatched++;
      return;
    }
    this.#pending.set(to, pending);
    pending.set(number, {
      head: payload.slice(0, HEAD),
      sentAt: this.#owner.clock.now(),
      isAsked: false,
      trouble: null,
    });
    this.#count++;
    this.#cancelLook ??= this.#planLook();
  }

  /** A note came. `isFinal`: what was dropped cannot have come by another way. */
  noted(by: NodeId, note: Note, isFinal: boolean): void {
    const pending = this.#pending.get(note.target);
    if (pending === undefined) return;
    for (const number of note.numbers) {
      const one = pending.get(number);
      if (one === undefined) continue;
      if (note.reason === "received") {
        // Only the target itself knows.
        if (by === note.target) this.#drop(note.target, pending, number);
      } else if (isFinal || by === note.target) {
        this.#undelivered(note.target, pending, number, by, note.reason);
      } else one.trouble = { at: by, reason: note.reason };
    }
  }

  /** There is no way to a node any more. */
  gone(to: NodeId, reason: string): void {
    const pending = this.#pending.get(to);
    if (pending === undefined) return;
    for (const [number, { trouble }] of [...pending]) {
      const { at, reason: why } = trouble ?? { at: this.#self, reason };
      this.#undelivered(to, pending, number, at, why);
    }
  }

  #undelivered(
    to: NodeId,
    pending: Map<number, Pending>,
    number: number,
    lastHop: NodeId,
    reason: string,
  ): void {
    const one = pending.get(number);
    if (one === undefined) return;
    this.#drop(to, pending, number);
    this.#owner.undelivered(to, one.head, lastHop, reason);
  }

  #drop(to: NodeId, pending: Map<number, Pending>, number: number): void {
    if (!pending.delete(number)) return;
    this.#count--;
    if (pending.size === 0) this.#pending.delete(to);
  }

  #planLook(): () => void {
    return this.#owner.clock.after(LOOK_INTERVAL, () => {
      this.#cancelLook = this.#count > 0 ? this.#planLook() : null;
      for (const [to, pending] of [...this.#pending]) this.#look(to, pending);
    });
  }

  #look(to: NodeId, pending: Map<number, Pending>): void {
    const now = this.#owner.clock.now();
    let asked: number[] = [];
    let isSilent = false;
    for (const [number, one] of [...pending]) {
      const age = now - one.sentAt;
      if (age < ASK_AFTER) break;
      if (age >= GIVE_UP_AFTER) {
        isSilent ||= one.trouble === null;
        const { at, reason } = one.trouble ??
          { at: this.#self, reason: "nobody has answered" };
        this.#undelivered(to, pending, number, at, reason);
      } else if (!one.isAsked) {
        one.isAsked = true;
        asked.push(number);
        if (asked.length < MAX_NUMBERS) continue;
        this.#owner.ask(to, asked);
        asked = [];
      }
    }
    if (asked.length > 0) this.#owner.ask(to, asked);
    if (isSilent) this.#owner.silent(to);
  }

  // -- Elsewhere --

  /** Something became of a unicast of another node; without a number, of one that nobody counts. */
  note(about: Omit<Note, "numbers">, number?: number): void {
    // Ids have no spaces.
    const { origin, epoch, target, reason, next } = about;
    const key = `${origin} ${epoch} ${target} ${reason} ${next}`;
    const batch = this.#batches.get(key);
    if (batch !== undefined) {
      if (number === undefined) return;
      batch.numbers.push(number);
      if (batch.numbers.length >= MAX_NUMBERS) this.#send(batch);
      return;
    }
    if (this.#batches.size >= MAX_NOTES) {
      this.counters.unnoted++;
      return;
    }
    this.#batches.set(key, { about, numbers: [] });
    const numbers = number === undefined ? [] : [number];
    this.#owner.note({ ...about, numbers });
    this.#cancelNotes ??= this.#planNotes();
  }

  #send(batch: Batch): void {
    const { about, numbers } = batch;
    batch.numbers = [];
    this.#owner.note({ ...about, numbers });
  }

  #planNotes(): () => void {
    return this.#owner.clock.after(NOTE_INTERVAL, () => {
      for (const [key, batch] of this.#batches) {
        if (batch.numbers.length > 0) this.#send(batch);
        else this.#batches.delete(key);
      }
      this.#cancelNotes = this.#batches.size > 0 ? this.#planNotes() : null;
    });
  }

  close(): void {
    this.#cancelLook?.();
    this.#cancelNotes?.();
    this.#pending.clear();
    this.#batches.clear();
    this.#count = 0;
  }
}
