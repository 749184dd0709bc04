/** Scopes that a test connects: what they send waits until it is delivered, lost or doubled. It registers no tests. */
import { VirtualClock } from "@devts/routing/testing";
import { msgpackr } from "@devts/protocol/msgpackr";
import type { Scope } from "../behaviour.ts";
import type { Handler, Member, Outcome } from "../types.ts";

const OUTCOME: Outcome = { nodes: 1, dropped: 0 };
const codec = msgpackr();

/** Something on its way. */
interface Message {
  readonly from: string;
  readonly to: string;
  readonly name: string;
  readonly data: Uint8Array;
}

/** A network of scopes without nodes. */
export class Mesh {
  readonly clock = new VirtualClock();
  readonly queue: Message[] = [];
  /** Nodes that are cut off: what they send is lost, and what is sent to them. */
  readonly cut = new Set<string>();
  readonly #handlers = new Map<string, Map<string, Handler>>();
  readonly #closers = new Map<string, (() => unknown)[]>();
  readonly #incarnations = new Map<string, number>();
  readonly #abort = new AbortController();

  /** Makes the scopes of some nodes that know each other. */
  scopes(ids: readonly string[]): Scope[] {
    return ids.map((id) => this.#scope(id, ids));
  }

  /** Delivers what is on its way at an index. */
  deliver(index: number): void {
    const [message] = this.queue.splice(index % this.queue.length, 1);
    if (message) this.#hand(message);
  }

  /** Loses it. */
  lose(index: number): void {
    this.queue.splice(index % this.queue.length, 1);
  }

  /** Delivers it, and leaves it to be delivered again. */
  double(index: number): void {
    const message = this.queue[index % this.queue.length];
    if (message) this.#hand(message);
  }

  /** Ends a node, and makes the scope of its next life. */
  restart(id: string, ids: readonly string[]): Scope {
    this.#end(id);
    return this.#scope(id, ids);
  }

  /** Ends all. */
  close(): void {
    for (const id of this.#closers.keys()) this.#end(id);
  }

  #end(id: string): void {
    for (const close of this.#closers.get(id) ?? []) close();
    this.#closers.delete(id);
  }

  #hand({ from, to, name, data }: Message): unknown {
    if (this.cut.has(from) || this.cut.has(to)) return undefined;
    const handler = this.#handlers.get(to)?.get(name);
    return handler?.(codec.decode(data), {
      from,
      name,
      signal: this.#abort.signal,
      headers: new Map(),
    });
  }

  #scope(id: string, ids: readonly string[]): Scope {
    const { clock, queue } = this;
    const incarnation = (this.#incarnations.get(id) ?? 0) + 1;
    this.#incarnations.set(id, incarnation);
    const closers: (() => unknown)[] = [];
    this.#closers.set(id, closers);
    const handlers = new Map<string, Handler>();
    this.#handlers.set(id, handlers);
    const members = new Map<string, Member>(
      ids.filter((one) => one !== id).map((one) => [one, {
        id: one,
        incarnation: 1,
        addresses: [],
        meta: undefined,
      }]),
    );
    const send = (to: string, name: string, data: unknown): void => {
      queue.push({ from: id, to, name, data: codec.encode(data) });
    };
    const nothing: Disposable = { [Symbol.dispose]: () => {} };
    const scope: Scope = {
      name: "state",
      generation: 0,
      id,
      cluster: "test",
      incarnation,
      members,
      maxMessage: 1_048_576,
      signal: this.#abort.signal,
      clock,
      wallClock: () => 1_000_000 + clock.now(),
      random: () => 0.5,
      codec,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      on: (name: string, handler: Handler) => {
        handlers.set(name, handler);
        return nothing;
      },
      onSystem: () => nothing,
      emit: (name, ...[data]) => {
        for (const to of members.keys()) send(to, name, data);
        return Promise.resolve(OUTCOME);
      },
      send: (to, name, ...[data]) => {
        send(to, name, data);
        return Promise.resolve(OUTCOME);
      },
      request: async (to, name, ...[data]) => {
        const bytes = codec.encode(data);
        if (this.cut.has(id) || this.cut.has(to)) {
          throw new Error("it is cut off");
        }
        const reply = await this.#hand({ from: id, to, name, data: bytes });
        return codec.decode(codec.encode(reply));
      },
      deliver: unused,
      gather: unused,
      events: unused,
      open: unused,
      onOpen: unused,
      use: (_name, behaviour) => behaviour(scope as never),
      defer: (cleanup) => void closers.push(cleanup),
      fault: (error) => {
        throw error;
      },
      drain: () => Promise.resolve(true),
      close: () => Promise.resolve(),
    };
    return scope;
  }
}

/** Replicated state needs neither receipts nor conversations. */
function unused(): never {
  throw new Error("not in this network");
}
