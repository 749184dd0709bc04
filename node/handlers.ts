import type { Handler, HandlerContext } from "./types.ts";

/** The handlers of one event name; the list is replaced, never changed in place. */
export interface Registration {
  /** The event. */
  readonly name: string;
  /** In the order of registration. */
  handlers: readonly Handler[];
}

/** Which handlers an event goes to. Only this program adds names, so the table needs no bound. */
export class Handlers {
  readonly #byName = new Map<string, Registration>();

  /** The handlers of a name, or null where there are none. */
  get(name: string): Registration | null {
    return this.#byName.get(name) ?? null;
  }

  /** Adds a handler; disposing removes it. */
  add(name: string, handler: Handler): Disposable {
    const known = this.#byName.get(name);
    if (known) known.handlers = [...known.handlers, handler];
    else this.#byName.set(name, { name, handlers: [handler] });
    let done = false;
    return {
      [Symbol.dispose]: (): void => {
        if (done) return;
        done = true;
        this.#remove(name, handler);
      },
    };
  }

  #remove(name: string, handler: Handler): void {
    const known = this.#byName.get(name);
    if (!known) return;
    const index = known.handlers.indexOf(handler);
    known.handlers = known.handlers.filter((_, i) => i !== index);
    if (known.handlers.length === 0) this.#byName.delete(name);
  }
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
