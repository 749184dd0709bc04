import type { Handler, HandlerContext } from "./types.ts";
import { writeHeaders } from "./headers.ts";

// Events of the node's own parts: no middleware of the program can know them.
const OWN = "devts.";

/** An event on its way out, as middleware sees it. */
export interface SentEvent {
  /** The call that sends it; `gather` is a request to each. */
  readonly kind: "emit" | "send" | "request" | "deliver";
  /** Its name. */
  readonly name: string;
  /** The node it is for; null: whoever handles it. */
  readonly to: string | null;
  /** Its data, which may be replaced. */
  data: unknown;
  /**
   * What it carries beside its data: at most 64 texts by name, 4 KiB in all. Handlers find
   * them as `context.headers`.
   */
  readonly headers: Map<string, string>;
}

/** An event that is to be handled, or a stream that another node opens. */
export interface HandledEvent {
  /** Which of the two. */
  readonly kind: "event" | "stream";
  /** Its name. */
  readonly name: string;
  /** Its data, which may be replaced; of a stream, the stream. */
  data: unknown;
  /** What handlers are told beside the data. */
  readonly context: HandlerContext;
}

/**
 * What runs around sending and handling: authorization, checks, timing. `next` goes on
 * with the rest, and returns what that does; what does not call it stops the event.
 *
 * - **Order.** The first one listed is outermost: it sees an event first, and its result
 *   last. What is sent meets the contract after all of them, what is handled before.
 * - **Handlers.** `handle` runs around each handler of an event; what it returns is the
 *   reply, what it throws is what the handler threw.
 * - **Callers.** What `send` returns or throws is what `emit`, `send`, `request` or `deliver`
 *   does.
 * - **Synchronous as it is.** Nothing is awaited here: where no middleware is `async`,
 *   handlers run and events leave in the same turn. One that awaits before `next` gives up
 *   the order of the events that it delays.
 * - Events of behaviours come by, too, under their full names (`cart/set`); those of the
 *   node itself (`devts.…`) do not. `node.open` does not, the handlers of `node.onOpen` do.
 *
 * @example A token that a node shows, and another one demands
 * ```ts
 * import { createNode, type Middleware } from "@devts/devts";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const show: Middleware = {
 *   send(event, next) {
 *     event.headers.set("token", "xyz");
 *     return next();
 *   },
 * };
 * const demand: Middleware = {
 *   handle({ name, context }, next) {
 *     if (context.headers.get("token") === "xyz") return next();
 *     throw new Error(`"${name}" needs a token`);
 *   },
 * };
 *
 * await using shop = createNode({ cluster: "demo", middleware: [demand] });
 * shop.on("price", () => 3);
 * const address = await shop.listen("tcp://127.0.0.1:0");
 * await using known = createNode({ cluster: "demo", middleware: [show] });
 * await using other = createNode({ cluster: "demo" });
 * await Promise.all([known.join(address), other.join(address)]);
 * assertEquals(await known.request(shop.id, "price"), 3);
 * await assertRejects(() => other.request(shop.id, "price"), Error, "needs a token");
 * ```
 */
export interface Middleware {
  /** Around each call of a handler. */
  handle?(event: HandledEvent, next: () => unknown): unknown;
  /** Around each call that sends an event. */
  send?<T>(event: SentEvent, next: () => Promise<T>): Promise<T>;
}

/** Sends what middleware lets through. */
export type Send<T> = (
  data: unknown,
  headers: Uint8Array | null,
) => Promise<T>;

type HandleLayer = NonNullable<Middleware["handle"]>;
type SendLayer = NonNullable<Middleware["send"]>;

/** Runs middleware around sending and handling. */
export class Layers {
  readonly #handling: readonly HandleLayer[];
  readonly #sending: readonly SendLayer[];

  constructor(middleware: readonly Middleware[]) {
    this.#handling = middleware.flatMap((one) =>
      one.handle ? [one.handle.bind(one)] : []
    );
    this.#sending = middleware.flatMap((one) =>
      one.send ? [one.send.bind(one)] : []
    );
  }

  /** A handler with all layers around it. */
  around(handler: Handler, own: string, kind: HandledEvent["kind"]): Handler {
    const layers = this.#handling;
    if (layers.length === 0 || own.startsWith(OWN)) return handler;
    return (data, context) => {
      const event: HandledEvent = { kind, name: context.name, data, context };
      function run(at: number): unknown {
        const layer = layers[at];
        return layer === undefined
          ? handler(event.data, context)
          : layer(event, () => run(at + 1));
      }
      return run(0);
    };
  }

  /** Whether an event of that name is sent without any layer. */
  isBare(name: string): boolean {
    return this.#sending.length === 0 || name.startsWith(OWN);
  }

  /** Sends an event through all layers. */
  send<T>(
    kind: SentEvent["kind"],
    name: string,
    to: string | null,
    data: unknown,
    send: Send<T>,
  ): Promise<T> {
    const layers = this.#sending;
    const event: SentEvent = { kind, name, to, data, headers: new Map() };
    function run(at: number): Promise<T> {
      const layer = layers[at];
      return layer === undefined
        ? send(event.data, written(kind, event))
        : layer(event, () => run(at + 1));
    }
    return run(0);
  }
}

function written(
  verb: string,
  { name, headers }: SentEvent,
): Uint8Array | null {
  try {
    return writeHeaders(headers);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const Kind = cause instanceof RangeError ? RangeError : TypeError;
    throw new Kind(`Cannot ${verb} "${name}": ${message}`, { cause });
  }
}
