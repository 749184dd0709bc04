import type { Address } from "@devts/transport";
import type { Clock, NodeId } from "@devts/routing";
import { type DialResult, resultText } from "./links.ts";

// A seed that does not answer is dialled again after half to all of a limit, in ms,
// that doubles with each failure up to the second of these.
const FIRST_DELAY = 1_000;
const LAST_DELAY = 10_000;

/** What the seeds ask of the node. */
export interface SeedsOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Dials once; never rejects. */
  dial(address: Address): Promise<DialResult>;
  /** Whether there is a link to a node. */
  linked(id: NodeId): boolean;
  /** What a dial brought, the first one excepted. */
  answered(address: Address, result: DialResult): void;
}

interface Seed {
  readonly address: Address;
  /** The node that answered there last. */
  id: NodeId | null;
  limit: number;
  /** What the last dial brought, where that was no link; null: there was none. */
  reason: string | null;
  cancel: () => void;
}

/**
 * The addresses by which this node came into the cluster. Whenever one of them does
 * not lead to a link, it is dialled again, for ever, so that two nodes started in
 * either order, or cut off and back, end in one cluster. Names are resolved anew by
 * each dial.
 */
export class Seeds {
  readonly #options: SeedsOptions;
  readonly #seeds = new Map<Address, Seed>();
  #closed = false;

  constructor(options: SeedsOptions) {
    this.#options = options;
  }

  /** Dials an address now, and again whenever there is no link to whom it led. */
  async add(address: Address): Promise<DialResult> {
    const known = this.#seeds.get(address);
    known?.cancel();
    const seed: Seed = known ??
      {
        address,
        id: null,
        limit: FIRST_DELAY,
        reason: null,
        cancel: () => {},
      };
    this.#seeds.set(address, seed);
    return await this.#dial(seed);
  }

  /** Those to which no link leads, and what the last dial brought. */
  unanswered(): {
    readonly address: Address;
    readonly reason: string | null;
  }[] {
    return [...this.#seeds.values()]
      .filter(({ id }) => id === null || !this.#options.linked(id))
      .map(({ address, reason }) => ({ address, reason }));
  }

  /** Dials it no more. */
  remove(address: Address): void {
    this.#seeds.get(address)?.cancel();
    this.#seeds.delete(address);
  }

  /** Dials none any more. */
  close(): void {
    this.#closed = true;
    for (const seed of this.#seeds.values()) seed.cancel();
    this.#seeds.clear();
  }

  async #dial(seed: Seed): Promise<DialResult> {
    const result = await this.#options.dial(seed.address);
    if (result.type === "self") {
      this.remove(seed.address);
      return result;
    }
    seed.reason = result.type === "linked" ? null : resultText(result);
    if (result.type === "linked") {
      seed.id = result.id;
      seed.limit = FIRST_DELAY;
    } else {
      seed.limit = Math.min(seed.limit * 2, LAST_DELAY);
    }
    this.#schedule(seed);
    return result;
  }

  #schedule(seed: Seed): void {
    if (this.#closed || this.#seeds.get(seed.address) !== seed) return;
    const delay = seed.limit * (0.5 + this.#options.random() / 2);
    seed.cancel(); // of two dials at the same time, the later one plans the next
    seed.cancel = this.#options.clock.after(delay, () => this.#check(seed));
  }

  #check(seed: Seed): void {
    if (seed.id !== null && this.#options.linked(seed.id)) {
      return this.#schedule(seed);
    }
    this.#dial(seed).then(
      (result) => this.#options.answered(seed.address, result),
      () => this.#schedule(seed),
    );
  }
}
