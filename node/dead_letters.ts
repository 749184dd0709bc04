import type { Clock, NodeId } from "@devts/routing";
import { Bucket } from "./_bucket.ts";
import type { Journal } from "./journal.ts";
import type { DeadLetter } from "./types.ts";

/** So many are told per second. */
const PER_SECOND = 100;

/** What the dead letters are made with. */
export interface DeadLettersOptions {
  readonly id: NodeId;
  readonly clock: Clock;
  /** The data of an event, from what was sent. */
  decode(name: string, bytes: Uint8Array): unknown;
  readonly journal: Journal;
}

/**
 * Tells of events that could not be delivered or handled, as far as somebody wants to
 * know: at most a hundred per second, and then how many more there were.
 */
export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #bucket = new Bucket(PER_SECOND, PER_SECOND);
  #skipped = 0;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** Whether somebody wants to know. */
  get wanted(): boolean {
    return this.#options.journal.hears("deadLetter");
  }

  /** An event came that nobody handles. */
  unhandled(name: string, from: NodeId, data: () => unknown): void {
    if (!this.#mayTell()) return;
    const message = `nobody handles "${name}", sent by node "${from}"`;
    const to = this.#options.id;
    this.#tell({ reason: "unhandled", name, from, to, data: data(), message });
  }

  /** Events for a node were lost on their way. */
  lost(names: readonly string[], to: NodeId, why: string): void {
    for (const name of names) {
      if (!this.#mayTell()) continue;
      const message = `"${name}" for node "${to}" was lost: ${why}`;
      const from = this.#options.id;
      this.#tell({ reason: "lost", name, from, to, data: undefined, message });
    }
  }

  /** A call of `deliver` failed. */
  undelivered(name: string, bytes: Uint8Array | null, message: string): void {
    if (!this.#mayTell()) return;
    const { id } = this.#options;
    const data = bytes === null ? undefined : this.#decoded(name, bytes);
    const letter = { name, from: id, to: null, data, message };
    this.#tell({ reason: "undelivered", ...letter });
  }

  /** A codec may be one that only writes. */
  #decoded(name: string, bytes: Uint8Array): unknown {
    try {
      return this.#options.decode(name, bytes);
    } catch {
      return undefined;
    }
  }

  #mayTell(): boolean {
    if (!this.wanted) return false;
    if (this.#bucket.take(this.#options.clock.now())) return true;
    this.#skipped++;
    return false;
  }

  #tell(letter: Omit<DeadLetter, "skipped">): void {
    const skipped = this.#skipped;
    this.#skipped = 0;
    this.#options.journal.tell("deadLetter", { ...letter, skipped });
  }
}
