import { cpuTime, now } from "../../../bench/serve.ts";
import type { Named } from "../../../bench/values.ts";

/** What is published: 128 bytes as MessagePack. */
export interface Item {
  readonly id: number;
  readonly name: string;
  readonly s: string;
}

/** The first id; all take five bytes. */
export const FIRST_ID = 1_000_000;

const TEXT = "x".repeat(94);

/** Makes an object to publish. */
export function itemOf(id: number): Item {
  return { id, name: "order.created", s: TEXT };
}

/** Counts what arrives, and checks that it is whole and in order. */
export class Arrivals {
  #next = FIRST_ID;
  #last = Infinity;
  #wrong = 0;
  #sum = 0;
  #cpu = 0;
  #all = Promise.withResolvers<number>();

  /** Expects so many more. */
  expect(count: number): Named {
    this.#last = this.#next + count - 1;
    this.#wrong = this.#sum = 0;
    this.#all = Promise.withResolvers<number>();
    this.#cpu = cpuTime();
    return {};
  }

  /** Takes one. */
  add({ id, name, s }: Item): void {
    if (
      id !== this.#next || name !== "order.created" || s.length !== TEXT.length
    ) this.#wrong++;
    this.#next = id + 1;
    this.#sum += id;
    if (id === this.#last) this.#all.resolve(now());
  }

  /** Once the last one is here: when that was, and whether all were right. */
  async arrived(): Promise<Named> {
    const endedAt = await this.#all.promise;
    return {
      endedAt,
      wrong: this.#wrong,
      sum: this.#sum,
      cpu: cpuTime() - this.#cpu,
    };
  }
}
