/**
 * What data is, for whoever writes a codec: plain values, nested no deeper and no larger
 * than every decoder takes.
 *
 * @example A codec that carries what JSON does, and says where it cannot
 * ```ts
 * import { checkData } from "@devts/protocol/data";
 * import { assertThrows } from "@std/assert";
 *
 * function encode(value: unknown): Uint8Array {
 *   checkData(value, (one) => typeof one === "bigint" ? "JSON has no bigint" : null);
 *   return new TextEncoder().encode(JSON.stringify(value));
 * }
 * assertThrows(() => encode({ at: new Date() }), TypeError, "$.at");
 * ```
 *
 * @module
 */
import { DEFAULT_LIMITS } from "./scan.ts";

/** Tells why a scalar cannot be carried, or `null` where it can. */
export type Judge = (
  value: number | bigint | string | Uint8Array,
) => string | null;

/**
 * Checks that a codec can carry a value.
 *
 * @throws {TypeError} If it cannot; the message names the path.
 */
export function checkData(value: unknown, judge: Judge): void {
  const fault = findFault(value, judge);
  if (fault !== null) throw new TypeError(`Cannot encode ${fault}`);
}

/**
 * Looks for what a codec cannot carry: what is not plain data, what is over the
 * limits that every decoder sets, and what `judge` refuses.
 *
 * @returns The path to it and what is wrong with it; `null` if all is well.
 */
export function findFault(value: unknown, judge: Judge): string | null {
  return new Walk(judge).visit(value);
}

// One walk over a value, and where in the value it stands.
class Walk {
  readonly #judge: Judge;
  readonly #path: (string | number)[] = [];
  readonly #open: object[] = [];
  #items = 1;

  constructor(judge: Judge) {
    this.#judge = judge;
  }

  visit(value: unknown): string | null {
    switch (typeof value) {
      case "boolean":
        return null;
      case "number":
      case "bigint":
      case "string":
        return this.#fault(this.#judge(value));
      case "object":
        return value === null ? null : this.#visitObject(value);
      case "undefined":
        return this.#fault("undefined is not data");
      default:
        return this.#fault(`a ${typeof value} is not data`);
    }
  }

  #visitObject(value: object): string | null {
    if (value instanceof Uint8Array) return this.#fault(this.#judge(value));
    if (this.#open.includes(value)) return this.#fault("a cycle is not data");
    if (this.#open.length === DEFAULT_LIMITS.depth) {
      return this.#fault(`nested deeper than ${DEFAULT_LIMITS.depth} levels`);
    }
    this.#open.push(value);
    const fault = Array.isArray(value)
      ? this.#visitArray(value)
      : this.#visitRecord(value);
    this.#open.pop();
    return fault;
  }

  #visitArray(values: readonly unknown[]): string | null {
    return this.#count(values.length, values.length) ??
      this.#visitEntries(values.length, (i) => i, (i) => values[i]);
  }

  #visitRecord(record: object): string | null {
    const prototype = Object.getPrototypeOf(record);
    if (prototype !== Object.prototype && prototype !== null) {
      return this.#fault(
        `an instance of ${className(prototype)} is not plain data`,
      );
    }
    const entries: readonly [string, unknown][] = Object.entries(record);
    return this.#count(entries.length, 2 * entries.length) ??
      this.#visitEntries(
        entries.length,
        (i) => entries[i]?.[0] ?? "",
        (i) => entries[i]?.[1],
      );
  }

  #visitEntries(
    count: number,
    keyAt: (i: number) => string | number,
    valueAt: (i: number) => unknown,
  ): string | null {
    for (let i = 0; i < count; i++) {
      const key = keyAt(i);
      this.#path.push(key);
      const fault = this.#judgeKey(key) ?? this.visit(valueAt(i));
      if (fault !== null) return fault;
      this.#path.pop();
    }
    return null;
  }

  #judgeKey(key: string | number): string | null {
    if (typeof key === "number") return null;
    if (key === "__proto__") return this.#fault("a key may not be __proto__");
    return this.#fault(this.#judge(key));
  }

  #count(entries: number, items: number): string | null {
    if (entries > DEFAULT_LIMITS.entries) {
      return this.#fault(
        `a container has more than ${DEFAULT_LIMITS.entries} entries`,
      );
    }
    this.#items += items;
    if (this.#items <= DEFAULT_LIMITS.items) return null;
    return this.#fault(
      `the whole has more than ${DEFAULT_LIMITS.items} items`,
    );
  }

  #fault(why: string | null): string | null {
    if (why === null) return null;
    return `value at ${formatPath(this.#path)}: ${why}`;
  }
}

function formatPath(path: readonly (string | number)[]): string {
  return "$" + path.map(formatStep).join("");
}

function formatStep(step: string | number): string {
  if (typeof step === "number") return `[${step}]`;
  if (/^[A-Za-z_$][\w$]{0,63}$/.test(step)) return `.${step}`;
  return `[${
    JSON.stringify(step.length > 64 ? `${step.slice(0, 63)}…` : step)
  }]`;
}

function className(prototype: unknown): string {
  if (typeof prototype !== "object" || prototype === null) return "a class";
  const { constructor } = prototype;
  return typeof constructor === "function" && constructor.name !== ""
    ? constructor.name
    : "a class";
}
