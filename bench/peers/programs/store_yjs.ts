/**
 * A program with a `Y.Map` that is shared by Yjs's WebSocket provider. Several changes are
 * one transaction, as its documentation recommends.
 *
 * @module
 */

// @ts-ignore -- installed when it is first needed
import { WebsocketProvider } from "y-websocket";
// @ts-ignore -- installed when it is first needed
import { Doc } from "yjs";
import { now, until } from "../../serve.ts";
import { serve } from "./role.ts";

/** The part of a `Y.Map` in use. */
interface SharedMap {
  readonly size: number;
  get(key: string): string | undefined;
  set(key: string, value: string): void;
  observe(callback: () => void): void;
}

/** The key that is set last. */
const END = "end";
const VALUE = "x".repeat(100);

const doc = new Doc();
const shared: SharedMap = doc.getMap("cart");

await serve({
  connect: async (args) => {
    const url = `ws://127.0.0.1:${args.number("port")}`;
    const provider = new WebsocketProvider(url, "cart", doc, {
      // Two programs on one machine would find each other without the server.
      disableBc: true,
    });
    if (!await until(() => provider.synced, 10_000)) {
      throw new Error(`Cannot reach ${url}`);
    }
    return {};
  },
  /** Sets keys, so many in a transaction, and then the last one. */
  set: async (args) => {
    const count = args.number("count");
    const keys = args.number("keys");
    const batch = args.number("batch");
    const start = now();
    for (let i = 0; i < count;) {
      doc.transact(() => {
        for (let left = batch; left > 0 && i < count; left--, i++) {
          shared.set(`key ${i % keys}`, VALUE);
        }
      });
      // What was set leaves in the next turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    shared.set(END, args.text("round"));
    return { start };
  },
  /** When the last key of a round was seen. */
  seen: async (args) => {
    const round = args.text("round");
    const { promise, resolve } = Promise.withResolvers<number>();
    const look = (): void => {
      if (shared.get(END) === round) resolve(now());
    };
    shared.observe(look);
    look();
    return { end: await promise, size: shared.size };
  },
});
