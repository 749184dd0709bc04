import { encodeName, Pattern } from "./names.ts";
import type { Route } from "./audiences.ts";

// Names are remembered up to this many; then all are forgotten, and learned anew.
const NAMES = 4_096;

/** A name that events are sent under. */
export interface Topic {
  readonly name: string;
  /** Its bytes, the same object each time: a bundle knows it again. */
  readonly bytes: Uint8Array;
  /** Where its events go, as last found out. */
  route: Route | null;
}

/** The names that this node sends events under. */
export class Topics {
  readonly #topics = new Map<string, Topic>();
  #last: Topic | null = null;

  /**
   * The topic of a name.
   *
   * @throws {TypeError} If it is not a name.
   */
  of(name: string): Topic {
    const last = this.#last;
    if (last !== null && last.name === name) return last;
    return this.#last = this.#topics.get(name) ?? this.#make(name);
  }

  #make(name: string): Topic {
    const bytes = encodeName(name);
    if (Pattern.of(name) !== null) {
      throw new TypeError(
        `"${name}" is a pattern, and an event has one name`,
      );
    }
    if (this.#topics.size >= NAMES) this.#topics.clear();
    const topic = { name, bytes, route: null };
    this.#topics.set(name, topic);
    return topic;
  }
}
