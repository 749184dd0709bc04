import { Pattern, tokensOf } from "./names.ts";
import type { Handler, HandlerContext } from "./types.ts";

// Names that patterns matched are remembered up to this many.
const MATCHES = 4_096;

/** The handlers of one event name; replaced, never changed in place. */
export interface Registration {
  /** The event. */
  readonly name: string;
  /** Those that get every event, in the order of registration. */
  readonly handlers: readonly Handler[];
  /** Those in groups: of each, one gets an event. Null: there are none. */
  readonly groups: readonly GroupHandlers[] | null;
}

/** The handlers of a name in one group, who take turns. */
export interface GroupHandlers {
  readonly group: string;
  readonly handlers: readonly Handler[];
  turn: number;
}

/** A handler of a name or a pattern. */
interface Entry {
  readonly name: string;
  readonly pattern: Pattern | null;
  readonly handler: Handler;
  readonly group: string | null;
  /** Rises from one registration to the next. */
  readonly order: number;
}

/** Which handlers an event goes to. Only this program adds names, so the table needs no bound. */
export class Handlers {
  /** Rises with every change. */
  version = 0;
  readonly #byName = new Map<string, Entry[]>();
  #patterns: Entry[] = [];
  readonly #registrations = new Map<string, Registration>();
  #count = 0;

  /** The handlers of a name, or null where there are none. */
  get(name: string): Registration | null {
    const isPlain = this.#patterns.length === 0;
    if (isPlain && !this.#byName.has(name)) return null;
    // The prefix keeps names that look like integers from clustering in the table.
    const key = `n:${name}`;
    const known = this.#registrations.get(key);
    if (known) return known;
    const entries = this.#entriesOf(name);
    if (entries.length === 0) return null;
    const registration = {
      name,
      handlers: entries.filter(({ group }) => group === null)
        .map(({ handler }) => handler),
      groups: groupsOf(entries),
    };
    if (this.#registrations.size >= MATCHES) this.#registrations.clear();
    this.#registrations.set(key, registration);
    return registration;
  }

  /** Whether some handler of a name gets every event. */
  takesAll(name: string): boolean {
    const registration = this.get(name);
    return registration !== null && registration.handlers.length > 0;
  }

  /**
   * Adds a handler of a name or a pattern, in a group or (null) not; disposing removes
   * it and calls `removed`.
   *
   * @throws {TypeError} If it is a malformed pattern.
   */
  add(
    name: string,
    handler: Handler,
    group: string | null = null,
    removed: () => void = () => {},
  ): Disposable {
    const pattern = Pattern.of(name);
    const entry = { name, pattern, handler, group, order: this.#count++ };
    if (entry.pattern) this.#patterns = [...this.#patterns, entry];
    else {
      const known = this.#byName.get(name);
      if (known) known.push(entry);
      else this.#byName.set(name, [entry]);
    }
    this.#changed();
    let done = false;
    return {
      [Symbol.dispose]: (): void => {
        if (done) return;
        done = true;
        this.#remove(entry);
        removed();
      },
    };
  }

  #entriesOf(name: string): readonly Entry[] {
    const own = this.#byName.get(name) ?? [];
    if (this.#patterns.length === 0) return own;
    const tokens = tokensOf(name);
    const matching = this.#patterns.filter(({ pattern }) =>
      pattern?.matches(tokens)
    );
    if (matching.length === 0) return own;
    return [...own, ...matching].sort((a, b) => a.order - b.order);
  }

  #remove(entry: Entry): void {
    this.#patterns = this.#patterns.filter((other) => other !== entry);
    const rest = this.#byName.get(entry.name)?.filter((one) => one !== entry);
    if (rest && rest.length > 0) this.#byName.set(entry.name, rest);
    else if (rest) this.#byName.delete(entry.name);
    this.#changed();
  }

  #changed(): void {
    this.version++;
    this.#registrations.clear();
  }
}

function groupsOf(entries: readonly Entry[]): GroupHandlers[] | null {
  const groups = new Map<string, Handler[]>();
  for (const { group, handler } of entries) {
    if (group === null) continue;
    const known = groups.get(group);
    if (known) known.push(handler);
    else groups.set(group, [handler]);
  }
  if (groups.size === 0) return null;
  return [...groups].map(([group, handlers]) => ({ group, handlers, turn: 0 }));
}

/** Whether a handler's result is to be waited for. May throw: the result's own code runs. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}

/** Calls a handler; what it throws becomes a rejection, what it promises a promise. */
export function invoke(
  handler: Handler,
  data: unknown,
  context: HandlerContext,
): unknown {
  try {
    const result = handler(data, context);
    if (!isThenable(result)) return result;
    return result instanceof Promise
      ? result
      : new Promise((resolve) => resolve(result));
  } catch (error) {
    return Promise.reject(error);
  }
}
