/**
 * Keeps replicated state in a file of SQLite, which comes with Deno, Node and Bun.
 *
 * @module
 */
import { packRows, unpackRows } from "./_packed.ts";
import type { Answer, Batch, Question } from "./_sqlite_worker.ts";
import {
  type Storage,
  StorageError,
  type StoredIdentity,
  type StoredRow,
  type StoredTable,
} from "./types.ts";

const encoder = new TextEncoder();

/** A storage in a file of SQLite. */
export interface SqliteStorage extends Storage {
  /**
   * Copies all that is committed into another file, while writes go on. It has another
   * name, that ends in `.part`, until it is whole: what is there under this one is whole,
   * whatever happens. To restore it, open the copy.
   *
   * @returns Rejects with a {@linkcode StorageError}; also while no state uses it.
   */
  backup(path: string): Promise<void>;
}

/**
 * Keeps state in a file of SQLite, in its write-ahead log mode; beside it, a file that
 * ends in `-wal` holds what is not in it yet. A thread of its own does the work.
 *
 * - **Durability.** A commit is on the disk (`fsync`) before it resolves; whatever byte
 *   the process ends at, what was committed is there afterwards.
 * - **Groups.** What waits while a transaction runs becomes the next one.
 * - **One process.** It is locked while it is open.
 *
 * Needs permission to read and write the file.
 *
 * @example A map that outlives its node
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { map } from "@devts/node/state";
 * import { sqlite } from "@devts/node/storage/sqlite";
 * import { assertEquals } from "@std/assert";
 *
 * const path = await Deno.makeTempFile({ suffix: ".db" });
 * for (const expected of [undefined, 3]) {
 *   await using node = createNode({ cluster: "demo" });
 *   const cart = node.use("cart", map<number>({ storage: sqlite(path) }));
 *   await cart.ready;
 *   assertEquals(cart.get("apples"), expected);
 *   await cart.set("apples", 3, { level: "fsync" });
 * }
 * await Deno.remove(path);
 * ```
 */
export function sqlite(path: string): SqliteStorage {
  return new SqliteFile(path);
}

/** Rows that wait for a transaction. */
interface Waiting extends Batch {
  readonly done: PromiseWithResolvers<void>;
}

class SqliteFile implements SqliteStorage {
  readonly #path: string;
  readonly #open = new Set<string>();
  #thread: Thread | null = null;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | null = null;
  /** The last copy: one is made after the other, as two may go to the same place. */
  #copying: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async open({ cluster, name }: StoredIdentity): Promise<StoredTable> {
    if (this.#open.has(name)) {
      throw new StorageError(
        "busy",
        `Cannot open "${name}" in ${this.#path}: it is open already`,
      );
    }
    this.#open.add(name);
    try {
      await this.#ask({ op: "open", path: this.#path, cluster, name }, "open");
    } catch (error) {
      await this.#leave(name);
      throw error;
    }
    return {
      read: () => this.#read(name),
      commit: (rows) => this.#commit(name, rows),
      close: () => this.#leave(name),
    };
  }

  async backup(path: string): Promise<void> {
    if (this.#open.size === 0) {
      throw new StorageError(
        "io",
        `Cannot back up ${this.#path}: no state uses it`,
      );
    }
    const copying = this.#copying.then(() =>
      this.#ask({ op: "backup", path }, "back up")
    );
    this.#copying = copying.catch(() => {});
    await copying;
  }

  async *#read(name: string): AsyncGenerator<readonly StoredRow[]> {
    for (let after: Uint8Array | null = null;;) {
      const bytes = await this.#ask({ op: "read", name, after }, "read");
      const rows = unpackRows(bytes ?? new Uint8Array(0));
      const last = rows.at(-1);
      if (!last) return;
      after = encoder.encode(last.key);
      yield rows;
    }
  }

  #commit(name: string, rows: readonly StoredRow[]): Promise<void> {
    if (!this.#open.has(name)) {
      return Promise.reject(
        new StorageError("io", `Cannot write ${this.#path}: it is closed`),
      );
    }
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ name, rows: packRows(rows), done });
    this.#committing ??= this.#commitWaiting();
    return done.promise;
  }

  async #commitWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      const batches = waiting.map(({ name, rows }) => ({ name, rows }));
      try {
        await this.#ask({ op: "commit", batches }, "write");
        for (const { done } of waiting) done.resolve();
      } catch (error) {
        // What came after it must not be there without it.
        for (const { done } of [...waiting, ...this.#waiting.splice(0)]) {
          done.reject(error);
        }
      }
    }
    this.#committing = null;
  }

  async #leave(name: string): Promise<void> {
    if (!this.#open.delete(name)) return;
    await this.#committing;
    await this.#copying;
    if (this.#open.size > 0) return;
    const thread = this.#thread;
    this.#thread = null;
    await thread?.ask({ op: "close" });
    thread?.end();
  }

  /** @throws {StorageError} What the thread says, or that it has ended. */
  async #ask(
    question: Question,
    verb: string,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#thread ??= new Thread();
    const answer = await this.#thread.ask(question);
    if ("rows" in answer) return answer.rows;
    throw new StorageError(
      answer.failure,
      `Cannot ${verb} ${this.#path}: ${answer.message}`,
    );
  }
}

/** The worker, and who waits for its answers. */
class Thread {
  readonly #worker: Worker;
  readonly #asked = new Map<number, (answer: Answer) => void>();
  #lastId = 0;
  /** Why it has ended, where it has. */
  #ended: Answer | null = null;

  constructor() {
    const url = new URL("./_sqlite_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = (
      { data: [id, answer] }: MessageEvent<[number, Answer]>,
    ) => {
      this.#asked.get(id)?.(answer);
      this.#asked.delete(id);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const ended: Answer = { failure: "io", message: event.message };
      this.#ended = ended;
      for (const tell of this.#asked.values()) tell(ended);
      this.#asked.clear();
    };
  }

  /** Asks; the bytes of the question are the worker's from then on. */
  ask(question: Question): Promise<Answer> {
    if (this.#ended) return Promise.resolve(this.#ended);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const id = ++this.#lastId;
    this.#asked.set(id, resolve);
    const transfer = question.op === "commit"
      ? question.batches.map(({ rows }) => rows.buffer)
      : [];
    this.#worker.postMessage([id, question], transfer);
    return promise;
  }

  /** Ends it; nobody may be waiting. */
  end(): void {
    this.#worker.terminate();
  }
}
