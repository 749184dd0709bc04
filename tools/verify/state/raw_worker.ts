/**
 * A thread that writes keys to a file of SQLite, in transactions of so many and with
 * the settings of `sqlite()`, and tells how long each took, in µs.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";

/** What it is told to do. */
interface Work {
  readonly path: string;
  readonly count: number;
  /** Keys of a transaction. */
  readonly size: number;
  readonly value: string;
}

const encoder = new TextEncoder();

function write({ path, count, size, value }: Work): number {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec(
    "CREATE TABLE t (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
  );
  const put = database.prepare(
    "INSERT INTO t VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  );
  const start = performance.now();
  for (let i = 0; i < count;) {
    database.exec("BEGIN IMMEDIATE");
    for (let left = size; left > 0 && i < count; left--, i++) {
      put.run(encoder.encode(`key ${i}`), encoder.encode(value));
    }
    database.exec("COMMIT");
  }
  const micros = (performance.now() - start) * 1000 / count;
  database.close();
  return micros;
}

/** What this thread has of a worker's global scope. */
interface Port {
  onmessage: ((event: MessageEvent<Work>) => void) | null;
  postMessage(micros: number): void;
}

function isPort(scope: unknown): scope is Port {
  return typeof scope === "object" && scope !== null && "postMessage" in scope;
}

const port: unknown = globalThis;
if (isPort(port)) port.onmessage = ({ data }) => port.postMessage(write(data));
