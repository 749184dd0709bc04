import type { History, Operation } from "./_sim_history.ts";

/** A history shows what a store must not do. */
export class HistoryError extends Error {
  /** The rule that it breaks. */
  readonly rule: string;
  /** The operations that show it. */
  readonly operations: readonly Operation[];

  /** Makes the error; `message` is a sentence that names the operations. */
  constructor(rule: string, message: string, operations: readonly Operation[]) {
    super(message);
    this.name = "HistoryError";
    this.rule = rule;
    this.operations = operations;
  }
}

/**
 * No acknowledged write is lost: at the end every node reads it, or a write that may
 * be ordered after it. Which may: by the versions that the store tells, otherwise all
 * that had not returned when it was asked for.
 *
 * @throws {HistoryError} If one is lost, or something is read that nobody wrote.
 */
export function noLostWrites(history: History): void {
  const writes = new Writes(history);
  const reads = history.filter(({ isFinal }) => isFinal);
  for (const write of history) {
    if (write.kind === "read" || write.outcome !== "ok") continue;
    for (const read of reads) {
      if (read.key !== write.key || writes.shows(read, write)) continue;
      throw new HistoryError(
        "no acknowledged write is lost",
        `${
          textOf(write)
        } was acknowledged, and at the end "${read.node}" reads ${
          valueText(read.value)
        }`,
        [write, read],
      );
    }
  }
}

/**
 * All nodes read the same at the end.
 *
 * @throws {HistoryError} If two do not.
 */
export function converges(history: History): void {
  const seen = new Map<string, Operation>();
  for (const read of history) {
    if (!read.isFinal) continue;
    const other = seen.get(read.key);
    if (other === undefined) seen.set(read.key, read);
    else if (other.value !== read.value) {
      throw new HistoryError(
        "all nodes converge",
        `At the end "${other.node}" reads ${
          valueText(other.value)
        } for "${read.key}", and "${read.node}" reads ${valueText(read.value)}`,
        [other, read],
      );
    }
  }
}

/**
 * Who stays with one node never reads something that is ordered before what it read.
 *
 * @throws {HistoryError} If somebody does.
 */
export function monotonicReads(history: History): void {
  const writes = new Writes(history);
  const last = new Map<string, Operation>();
  for (const read of history) {
    if (read.kind !== "read" || read.outcome !== "ok") continue;
    const place = `${read.session} ${read.key}`;
    const before = last.get(place);
    last.set(place, read);
    if (before === undefined || !follows(read, before)) continue;
    const write = writes.of(before);
    if (write === undefined || writes.shows(read, write)) continue;
    throw new HistoryError(
      "reads are monotonic",
      `"${read.node}" read ${valueText(before.value)} for "${read.key}", and ${
        valueText(read.value)
      } later`,
      [before, read],
    );
  }
}

/**
 * Who stays with one node reads what it wrote there, or what may be ordered after it.
 *
 * @throws {HistoryError} If somebody does not.
 */
export function readYourWrites(history: History): void {
  const writes = new Writes(history);
  const last = new Map<string, Operation[]>();
  for (const one of history) {
    const place = `${one.session} ${one.key}`;
    const before = last.get(place) ?? [];
    last.set(place, before);
    if (one.outcome !== "ok") continue;
    if (one.kind !== "read") {
      before.push(one);
      continue;
    }
    for (const write of before) {
      if (!follows(one, write) || writes.shows(one, write)) continue;
      throw new HistoryError(
        "everyone reads their own writes",
        `${textOf(write)} was acknowledged there, and then it reads ${
          valueText(one.value)
        }`,
        [write, one],
      );
    }
  }
}

/**
 * All that a replicated store should hold to: {@linkcode converges},
 * {@linkcode noLostWrites}, {@linkcode monotonicReads}, {@linkcode readYourWrites}.
 *
 * @throws {HistoryError} If it does not.
 */
export function checkHistory(history: History): void {
  converges(history);
  noLostWrites(history);
  monotonicReads(history);
  readYourWrites(history);
}

/** The writes of a history, and how they may be ordered. */
class Writes {
  readonly #byValue = new Map<string, Operation>();
  readonly #deletes: Operation[] = [];
  /** Where a write stands, as told when it was made or read. */
  readonly #versions = new Map<string, string>();

  constructor(history: History) {
    for (const one of history) {
      if (one.value !== undefined && one.version !== undefined) {
        this.#versions.set(one.value, one.version);
      }
      if (one.kind === "delete") this.#deletes.push(one);
      else if (one.kind === "write" && one.value !== undefined) {
        this.#byValue.set(one.value, one);
      }
    }
  }

  /** The write whose value was read; `undefined`: none. */
  of({ value }: Operation): Operation | undefined {
    return value === undefined ? undefined : this.#byValue.get(value);
  }

  /** Whether a read shows a write, or one of its key that may be ordered after it. */
  shows(read: Operation, write: Operation): boolean {
    if (read.value === undefined) {
      return this.#deletes.some((one) =>
        one === write || one.key === write.key && one.outcome !== "fail" &&
          this.#mayFollow(one, write)
      );
    }
    const shown = this.of(read);
    if (shown?.key === read.key) {
      return shown === write || this.#mayFollow(shown, write);
    }
    throw new HistoryError(
      "nothing is made up",
      `"${read.node}" reads ${
        valueText(read.value)
      } for "${read.key}", which nobody wrote there`,
      [read],
    );
  }

  /** Whether a write may be ordered after another. */
  #mayFollow(later: Operation, earlier: Operation): boolean {
    const one = this.#versionOf(earlier);
    const other = this.#versionOf(later);
    if (one !== undefined && other !== undefined) return other > one;
    // A store that tells versions orders by them alone, and one of these is unknown.
    if (one !== undefined || other !== undefined) return true;
    return later.returned === null || later.returned >= earlier.invoked;
  }

  #versionOf({ value, version }: Operation): string | undefined {
    return value === undefined ? version : this.#versions.get(value);
  }
}

/** Whether an operation was asked for when another one had returned. */
function follows(later: Operation, earlier: Operation): boolean {
  return earlier.returned !== null && later.invoked >= earlier.returned;
}

function textOf({ kind, key, value, node }: Operation): string {
  const what = kind === "delete"
    ? `The deletion of "${key}"`
    : `The write of ${valueText(value)} to "${key}"`;
  return `${what} on "${node}"`;
}

function valueText(value: string | undefined): string {
  return value === undefined ? "nothing" : `"${value}"`;
}
