import type { Fault, Timed } from "@devts/routing/testing";

/** What can go wrong in a simulated run. */
export type Trouble =
  /** The nodes are cut in two parts. */
  | "full"
  /** What one part sends to the other does not arrive; the other way it does. */
  | "asymmetric"
  /** The nodes are cut in two parts, and one node sees both. */
  | "bridge"
  /** One node after the other is cut off. */
  | "rolling"
  /** A program is killed, or its machine loses its power; it starts again later. */
  | "crash"
  /** A program does not run for a while. */
  | "stall"
  /** The clock of a machine is set. */
  | "clock"
  /** Links are slow and lose much. */
  | "slow";

/** Something that a client asks of a node. */
export type Ask = Timed & {
  readonly do: "write" | "delete" | "read";
  /** Of whom. */
  readonly node: string;
  /** Which key. */
  readonly key: string;
};

/** Something that happens in a simulated run: data, to be printed and played again. */
export type Action = Ask | Fault;

/** What a script is made from. */
export interface ScriptOptions {
  readonly nodes: readonly string[];
  readonly keys: readonly string[];
  readonly operations: number;
  readonly length: number;
  readonly troubles: readonly Trouble[];
  readonly crashes: number;
  readonly skew: number;
  readonly deletes: boolean;
}

/** A script: what clients ask, and what goes wrong meanwhile. */
export function scriptOf(
  options: ScriptOptions,
  random: () => number,
): readonly Action[] {
  return new Script(options, random).make();
}

/** The shares of what clients ask. */
const READS = 0.4;
const DELETES = 0.1;
/** How many times something goes wrong, at least and at most. */
const FEWEST = 2;
const MOST = 7;
/** How shortly before the end of another trouble it begins, at most, in ms. */
const NEAR = 5_000;

class Script {
  readonly #options: ScriptOptions;
  readonly #random: () => number;
  readonly #crashed = new Set<string>();

  constructor(options: ScriptOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  make(): readonly Action[] {
    const { operations, troubles, length } = this.#options;
    const actions: Action[] = [];
    for (let i = 0; i < operations; i++) actions.push(this.#ask());
    const count = troubles.length === 0
      ? 0
      : FEWEST + this.#below(MOST - FEWEST + 1);
    let until = 0;
    for (let i = 0; i < count; i++) {
      // Troubles seldom come alone: half of them fall into the time of the last one.
      const isNear = this.#random() < 0.5;
      const at = isNear
        ? Math.max(0, until - 1 - this.#below(NEAR))
        : this.#below(length);
      const faults = this.#trouble(this.#pick(troubles, "full"), at);
      actions.push(...faults);
      until = Math.min(
        length,
        Math.max(...faults.map((fault) => fault.at + (fault.for ?? 0)), 1),
      );
    }
    return actions.sort((one, other) => one.at - other.at);
  }

  #ask(): Ask {
    const { nodes, keys, length, deletes } = this.#options;
    const chance = this.#random();
    const what = chance < READS
      ? "read"
      : deletes && chance < READS + DELETES
      ? "delete"
      : "write";
    return {
      at: this.#below(length),
      do: what,
      node: this.#pick(nodes, ""),
      key: this.#pick(keys, ""),
    };
  }

  #trouble(what: Trouble, at: number): Fault[] {
    const { nodes, length, skew } = this.#options;
    const lasts = 500 + this.#below(length / 2);
    const node = this.#pick(nodes, "");
    const how = this.#random() < 0.5 ? "silence" : "links";
    switch (what) {
      case "full": {
        const { one, other } = this.#halves(nodes);
        return [{ at, do: "cut", from: one, to: other, how, for: lasts }];
      }
      case "asymmetric": {
        const { one, other } = this.#halves(nodes);
        return [
          { at, do: "cut", from: one, to: other, how: "one-way", for: lasts },
        ];
      }
      case "bridge": {
        const { one, other } = this.#halves(nodes.filter((id) => id !== node));
        return [{ at, do: "cut", from: one, to: other, how, for: lasts }];
      }
      case "rolling": {
        const each = Math.ceil(lasts / nodes.length);
        return nodes.map((id, i) => ({
          at: at + i * each,
          do: "cut",
          from: [id],
          to: nodes.filter((other) => other !== id),
          how,
          for: each,
        }));
      }
      case "crash":
        return this.#crash(node, at, lasts);
      case "stall":
        return [{ at, do: "stall", node, for: Math.min(lasts, 6_000) }];
      case "clock": {
        const offset = Math.round(skew * (2 * this.#random() - 1));
        return [{ at, do: "clock", node, skew: { offset } }];
      }
      case "slow":
        return [{
          at,
          do: "shape",
          shape: { loss: 0.3, latency: 50, jitter: 100 },
          for: lasts,
        }];
    }
  }

  /** As many nodes as may crash do so; the others never. */
  #crash(node: string, at: number, lasts: number): Fault[] {
    if (!this.#crashed.has(node)) {
      if (this.#crashed.size >= this.#options.crashes) return [];
      this.#crashed.add(node);
    }
    const how = this.#random() < 0.3 ? "silence" : "links";
    return [{ at, do: "crash", node, how, for: lasts }];
  }

  #halves(nodes: readonly string[]): { one: string[]; other: string[] } {
    const one = nodes.filter(() => this.#random() < 0.5);
    if (one.length === 0) one.push(nodes[0] ?? "");
    if (one.length === nodes.length) one.pop();
    return { one, other: nodes.filter((id) => !one.includes(id)) };
  }

  #below(limit: number): number {
    return Math.floor(limit * this.#random());
  }

  #pick<T>(list: readonly T[], otherwise: T): T {
    return list[this.#below(list.length)] ?? otherwise;
  }
}
