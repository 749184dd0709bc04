import { DeliveryError, type Node, type Outcome } from "@devts/devts";
import { now, pause, serve } from "../../../bench/serve.ts";

/** Between two calls of a kind, in ms. */
const INTERVAL = 5;

/** What all versions of the program have in common. */
type Common = Pick<
  Node,
  "id" | "listen" | "join" | "drain" | "members" | "onSystem"
>;

/** What a program sends. */
export interface Calls {
  place(number: number): Promise<Outcome>;
  pay(number: number): Promise<{ readonly acknowledged: readonly Has[] }>;
  price(to: string, number: number): Promise<{ readonly cents: number }>;
  create(number: number): Promise<Outcome>;
}

interface Has {
  readonly node: string | null;
}

/** What a program says of its life, as JSON. */
export interface Report {
  /** When each number was sent: of all kinds at the same time. */
  readonly sentAt: readonly number[];
  /** By kind and sender, what was handled, in order. */
  readonly took: Readonly<Record<string, Record<string, number[]>>>;
  /** By number: who has acknowledged it, and who not and why. */
  readonly paid: readonly {
    readonly by: readonly string[];
    readonly missing: readonly string[];
  }[];
  /** Requests that failed, and why. */
  readonly failed: readonly {
    readonly at: number;
    readonly to: string;
    readonly why: string;
  }[];
  /** How many others `user.created` was handed on for last. */
  readonly reached: number;
  /** What did not fit of others: `node "b": "user.created" lacks "email"`. */
  readonly incompatible: readonly string[];
  /** Whether all that was under way had ended when it closed. */
  readonly isDrained: boolean;
}

/** Sends events of all kinds, one each 5 ms, and keeps what comes. */
export class Traffic {
  readonly #node: Common;
  readonly #calls: Calls;
  readonly #sentAt: number[] = [];
  readonly #took: Record<string, Record<string, number[]>> = {};
  readonly #paid: { by: string[]; missing: string[] }[] = [];
  readonly #failed: { at: number; to: string; why: string }[] = [];
  readonly #incompatible: string[] = [];
  #reached = -1;
  #isOver = false;

  constructor(node: Common, calls: Calls) {
    this.#node = node;
    this.#calls = calls;
    node.onSystem("incompatible", ({ id, events }) => {
      for (const { message } of events) {
        this.#incompatible.push(`node "${id}": ${message}`);
      }
    });
  }

  /** An event was handled. */
  took(kind: string, from: string, number: number): void {
    ((this.#took[kind] ??= {})[from] ??= []).push(number);
  }

  /** Does as it is told, until it is to stop. */
  async run(): Promise<void> {
    const node = this.#node;
    await serve({
      listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
      join: async (args) => {
        await node.join(...args.text("entries").split(",").filter(Boolean));
        return { readyAt: now() };
      },
      send: (args) => {
        this.#send(args.number("first"));
        return {};
      },
      incompatible: () => ({ lines: JSON.stringify(this.#incompatible) }),
      stop: async () => {
        const stopAt = now();
        this.#isOver = true;
        const isDrained = await node.drain();
        return { stopAt, report: JSON.stringify(this.#report(isDrained)) };
      },
    });
  }

  async #send(first: number): Promise<void> {
    const start = now();
    while (!this.#isOver) {
      const number = first + this.#sentAt.length;
      this.#sentAt.push(now());
      this.#calls.place(number);
      this.#pay(number);
      this.#calls.create(number).then(({ nodes }) => this.#reached = nodes);
      const others = [...this.#node.members.keys()];
      const to = others[number % others.length];
      if (to !== undefined) this.#price(to, number);
      await pause(start + this.#sentAt.length * INTERVAL - now());
    }
  }

  async #pay(number: number): Promise<void> {
    const paid = { by: new Array<string>(), missing: new Array<string>() };
    this.#paid.push(paid);
    try {
      const { acknowledged } = await this.#calls.pay(number);
      paid.by.push(...acknowledged.map(({ node }) => `${node}`));
    } catch (error) {
      if (!(error instanceof DeliveryError)) return;
      const { acknowledged, missing } = error.outcome;
      paid.by.push(...acknowledged.map(({ node }) => `${node}`));
      paid.missing.push(...missing.map(({ node }) => `${node}`));
    }
  }

  async #price(to: string, number: number): Promise<void> {
    const at = now();
    try {
      const { cents } = await this.#calls.price(to, number);
      if (cents !== 100 * number) throw new Error(`it was ${cents} cents`);
    } catch (error) {
      this.#failed.push({ at, to, why: String(error) });
    }
  }

  #report(isDrained: boolean): Report {
    return {
      sentAt: this.#sentAt,
      took: this.#took,
      paid: this.#paid,
      failed: this.#failed,
      reached: this.#reached,
      incompatible: this.#incompatible,
      isDrained,
    };
  }
}
