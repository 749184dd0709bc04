import { Writer } from "./_bytes.ts";
import type { Write } from "./_entries.ts";

/** A write that is made once the storage has it. */
export interface Staged extends Readonly<Write> {
  /** Where the bytes that tell others of it start, and end. */
  readonly start: number;
  readonly end: number;
  /** How many of the last of those are its value, with its length in front. */
  readonly size: number;
}

/** Writes that go to the storage together, and who waits for them. */
interface Group {
  /** The number of the last one. */
  last: number;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Writes that wait for the storage, in the order of their numbers, and the bytes that
 * will tell others of them. What is written meanwhile without waiting has later numbers:
 * it is told after them, so its bytes wait here, too.
 */
export class StagedWrites {
  readonly #bytes = new Writer(4_096);
  /** Where the bytes that are there start, among all that ever were. */
  #base = 0;
  #writes: Staged[] = [];
  /** How many of them are on their way to the storage. */
  #taken = 0;
  /** In the order of their numbers; the last one may grow. */
  #groups: Group[] = [];
  #grows = false;
  /** The last one of each key, once somebody has asked. */
  #byKey: Map<string, Staged> | null = null;

  /** How many there are. */
  get size(): number {
    return this.#writes.length;
  }

  /** How many are not on their way to the storage. */
  get waiting(): number {
    return this.#writes.length - this.#taken;
  }

  /** The number of the first one. */
  get firstSeq(): number | null {
    return this.#writes[0]?.seq ?? null;
  }

  /** Takes the bytes of what is told after all that is here. */
  get writer(): Writer {
    return this.#bytes;
  }

  /** Where the next bytes start. */
  get end(): number {
    return this.#base + this.#bytes.at;
  }

  /** The last one of a key. */
  get(key: string): Staged | undefined {
    if (this.#writes.length === 0) return undefined;
    this.#byKey ??= new Map(this.#writes.map((write) => [write.key, write]));
    return this.#byKey.get(key);
  }

  /** Adds one, whose bytes are there already; settles once it is made, or refused. */
  add(write: Staged): Promise<void> {
    this.#writes.push(write);
    this.#byKey?.set(write.key, write);
    const group = this.#group();
    // The same promise for all that go together: one of its own costs more than the rest.
    group.last = write.seq;
    return group.done.promise;
  }

  /** Those that were not on their way to the storage: now they are. */
  take(): readonly Staged[] {
    const taken = this.#writes.slice(this.#taken);
    this.#grows = false;
    this.#taken = this.#writes.length;
    return taken;
  }

  /** Copies the value of one, with its length in front. */
  copyValue({ end, size }: Staged, into: Writer): void {
    const at = end - this.#base;
    into.append(this.#bytes.bytes.subarray(at - size, at));
  }

  /**
   * The storage has those up to a number.
   *
   * @param pending Takes the bytes that others can be told now.
   * @returns Those writes; who waits for them is told by `settle`.
   */
  keep(seq: number, pending: Writer): readonly Staged[] {
    const writes = this.#writes;
    let count = 0;
    while (count < writes.length && (writes[count]?.seq ?? 0) <= seq) count++;
    const kept = writes.splice(0, count);
    this.#taken -= count;
    this.#forget(kept);
    this.#release(writes[0]?.start ?? this.end, pending);
    return kept;
  }

  /**
   * The storage refuses all.
   *
   * @param pending Takes the bytes of the others that waited behind them.
   * @returns Those writes; who waits for them is told by `settle`.
   */
  refuse(pending: Writer): readonly Staged[] {
    const refused = this.#writes;
    this.#writes = [];
    this.#taken = 0;
    this.#byKey = null;
    for (const { start, end } of refused) {
      this.#release(start, pending);
      this.#drop(end);
    }
    this.#release(this.end, pending);
    return refused;
  }

  /** Tells those who wait for writes up to a number that they are made, or why not. */
  settle(seq: number, error?: Error): void {
    for (let [first] = this.#groups; first; [first] = this.#groups) {
      if (first.last > seq) return;
      this.#groups.shift();
      if (error) first.done.reject(error);
      else first.done.resolve();
    }
    this.#grows = false;
  }

  #group(): Group {
    const last = this.#groups.at(-1);
    if (last && this.#grows) return last;
    const group: Group = { last: 0, done: Promise.withResolvers() };
    // Nobody need await it.
    group.done.promise.catch(() => {});
    this.#groups.push(group);
    this.#grows = true;
    return group;
  }

  #forget(kept: readonly Staged[]): void {
    const byKey = this.#byKey;
    if (!byKey) return;
    if (this.#writes.length === 0) this.#byKey = null;
    for (const write of kept) {
      if (byKey.get(write.key) === write) byKey.delete(write.key);
    }
  }

  /** Moves the bytes before a place. */
  #release(to: number, pending: Writer): void {
    const { bytes } = this.#bytes;
    pending.append(bytes.subarray(0, to - this.#base));
    this.#drop(to);
  }

  #drop(to: number): void {
    const count = to - this.#base;
    this.#bytes.bytes.copyWithin(0, count, this.#bytes.at);
    this.#bytes.at -= count;
    this.#base = to;
  }
}
