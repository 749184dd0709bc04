/** What a write must be, and what is said of one that is not. */
import { reasonOf } from "../errors.ts";
import type { Level, WriteOptions } from "./types.ts";

/** How long a write waits for replicas, in ms, unless it says. */
export const DEFAULT_TIMEOUT = 10_000;

const LEVELS: readonly Level[] = ["memory", "fsync", "quorum", "all"];
/** The longest key, in bytes of UTF-8. */
const MAX_KEY = 1_024;
/** What is shown of a key, in code units. */
const SHOWN = 80;

/** What the program called, for error messages: `set "apples"`. */
export type Call = (key: string, isDelete: boolean) => string;

/** The calls of a map. */
export const callOfMap: Call = (key, isDelete) =>
  `${isDelete ? "delete" : "set"} "${shown(key)}"`;

/** As much of a text as an error message shows. */
export function shown(text: unknown): string {
  return String(text).slice(0, SHOWN);
}

/** What levels need. */
export interface Means {
  /** The name of the behaviour. */
  readonly name: string;
  readonly hasStorage: boolean;
  /** How many replicas are configured. */
  readonly replicas: number;
}

/**
 * Checks options of a write.
 *
 * @throws {RangeError} If the timeout makes no sense.
 * @throws {TypeError} If the level is none, or needs what there is not.
 */
export function checkOptions(
  call: string,
  level: Level,
  { timeout = DEFAULT_TIMEOUT }: WriteOptions = {},
  { name, hasStorage, replicas }: Means,
): void {
  if (!(timeout >= 1 && timeout < 2 ** 31)) {
    throw new RangeError(
      `Cannot ${call}: the timeout ${timeout} is not 1 to 2^31 - 1 ms`,
    );
  }
  if (!LEVELS.includes(level)) {
    throw new TypeError(
      `Cannot ${call} at "${level}": the levels are ${LEVELS.join(", ")}`,
    );
  }
  if (level === "fsync" && !hasStorage) {
    throw new TypeError(
      `Cannot ${call} at "fsync": "${name}" has no storage`,
    );
  }
  const counts = level === "quorum" || level === "all";
  if (counts && replicas === 0) {
    throw new TypeError(
      `Cannot ${call} at "${level}": "${name}" has no configured replicas; pass \`replicas\``,
    );
  }
}

/**
 * Checks the key of a write.
 *
 * @throws {TypeError} If it is no text.
 * @throws {RangeError} If it is too long.
 */
export function checkKey(key: unknown): void {
  if (typeof key !== "string") {
    throw new TypeError(`a key is a string, not ${typeof key}`);
  }
  // Three bytes is the most that a code unit takes.
  if (key.length * 3 > MAX_KEY && utf8Length(key) > MAX_KEY) {
    throw new RangeError(`its key takes more than ${MAX_KEY} bytes`);
  }
  if (!key.isWellFormed()) {
    throw new TypeError("its key has half of a surrogate pair");
  }
}

/** The error of a write that is not allowed. */
export function explained(error: unknown, call: string): Error {
  const message = `Cannot ${call}: ${reasonOf(error)}`;
  return error instanceof RangeError
    ? new RangeError(message, { cause: error })
    : new TypeError(message, { cause: error });
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
