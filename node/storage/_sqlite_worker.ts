/** The thread that works with SQLite, so that the event loop does not wait for a disk. */
import { rename, rm } from "node:fs/promises";
import { backup, DatabaseSync, type StatementSync } from "node:sqlite";
import { eachRow, packRows } from "./_packed.ts";
import type { StorageFailure, StoredRow } from "./types.ts";

/** "devt": marks a file as one of ours. */
const APPLICATION_ID = 0x64657674;
/** The version of what stands in it. */
const VERSION = 1;
/** Rows that one statement sets: each statement costs, whatever it does. */
const TOGETHER = 32;
/** A page that is read ends with the row that brings it to this size, in bytes. */
const PAGE_SIZE = 262_144;

/** What the worker is asked. */
export type Question =
  | {
    readonly op: "open";
    readonly path: string;
    readonly cluster: string;
    readonly name: string;
  }
  | {
    readonly op: "read";
    readonly name: string;
    readonly after: Uint8Array | null;
  }
  | { readonly op: "commit"; readonly batches: readonly Batch[] }
  | { readonly op: "backup"; readonly path: string }
  | { readonly op: "close" };

/** Rows of one table. */
export interface Batch {
  readonly name: string;
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** What it answers. */
export type Answer =
  | { readonly rows: Uint8Array<ArrayBuffer> | null }
  | { readonly failure: StorageFailure; readonly message: string };

interface Statements {
  readonly put: StatementSync;
  /** As `put`, for as many as go together. */
  readonly putAll: StatementSync;
  readonly remove: StatementSync;
  readonly first: StatementSync;
  readonly next: StatementSync;
}

/** Says why in a way that survives the way to the other thread. */
class Refusal extends Error {
  readonly failure: StorageFailure;

  constructor(failure: StorageFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

let database: DatabaseSync | null = null;
const tables = new Map<string, Statements>();

async function answer(question: Question): Promise<Answer> {
  try {
    return { rows: await work(question) };
  } catch (error) {
    return explain(error);
  }
}

function work(
  question: Question,
):
  | Uint8Array<ArrayBuffer>
  | null
  | Promise<null> {
  switch (question.op) {
    case "open":
      return open(question.path, question.cluster, question.name);
    case "read":
      return read(question.name, question.after);
    case "commit":
      return commit(question.batches);
    case "backup":
      return copy(question.path);
    case "close":
      database?.close();
      database = null;
      tables.clear();
      return null;
  }
}

function open(path: string, cluster: string, name: string): null {
  database ??= openFile(path);
  checkCluster(database, cluster);
  const table = quoted(`state:${name}`);
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${table} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`,
  );
  const put = (rows: number): string =>
    `INSERT INTO ${table} (key, value) VALUES ${
      Array(rows).fill("(?, ?)").join(", ")
    } ON CONFLICT (key) DO UPDATE SET value = excluded.value`;
  tables.set(name, {
    put: database.prepare(put(1)),
    putAll: database.prepare(put(TOGETHER)),
    remove: database.prepare(`DELETE FROM ${table} WHERE key = ?`),
    first: database.prepare(`SELECT key, value FROM ${table} ORDER BY key`),
    next: database.prepare(
      `SELECT key, value FROM ${table} WHERE key > ? ORDER BY key`,
    ),
  });
  return null;
}

function openFile(path: string): DatabaseSync {
  const opened = new DatabaseSync(path, { timeout: 0 });
  try {
    // Nobody else may write to it; without others, the index of the log needs no file,
    // for which a full disk has no room.
    opened.exec("PRAGMA locking_mode = EXCLUSIVE");
    // A commit returns once it is on the disk.
    opened.exec("PRAGMA synchronous = FULL");
    if (isNew(opened)) initialize(opened);
    return opened;
  } catch (error) {
    opened.close();
    throw error;
  }
}

/** Whether nothing is in it yet. Asked before anything is written to it. */
function isNew(opened: DatabaseSync): boolean {
  const id = pragma(opened, "application_id");
  const version = pragma(opened, "user_version");
  if (id === 0 && pragma(opened, "schema_version") === 0) return true;
  if (id !== APPLICATION_ID) {
    throw new Refusal("malformed", "it is a database of something else");
  }
  if (version <= VERSION) return false;
  throw new Refusal(
    "version",
    `it has version ${version}, and this program reads up to ${VERSION}`,
  );
}

function initialize(opened: DatabaseSync): void {
  opened.exec("PRAGMA journal_mode = WAL");
  opened.exec(`
    BEGIN;
    CREATE TABLE devts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    PRAGMA user_version = ${VERSION};
    PRAGMA application_id = ${APPLICATION_ID};
    COMMIT;
  `);
}

function checkCluster(opened: DatabaseSync, cluster: string): void {
  const row = opened.prepare("SELECT value FROM devts WHERE key = 'cluster'")
    .get();
  if (row === undefined) {
    opened.prepare("INSERT INTO devts VALUES ('cluster', ?)").run(cluster);
    return;
  }
  if (row.value === cluster) return;
  throw new Refusal(
    "cluster",
    `it belongs to cluster "${row.value}", this node to "${cluster}"`,
  );
}

function pragma(opened: DatabaseSync, name: string): number {
  const row = opened.prepare(`PRAGMA ${name}`).get();
  return Number(row?.[name] ?? 0);
}

function read(
  name: string,
  after: Uint8Array | null,
): Uint8Array<ArrayBuffer> {
  const { first, next } = statementsOf(name);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const rows: StoredRow[] = [];
  let last = after;
  let size = 0;
  for (const { key, value } of after ? next.iterate(after) : first.iterate()) {
    if (!(key instanceof Uint8Array) || !(value instanceof Uint8Array)) {
      throw new Refusal("malformed", "a row is not bytes");
    }
    if (last && !isBefore(last, key)) {
      throw new Refusal("malformed", "its rows are not in order");
    }
    last = key;
    rows.push({ key: decoder.decode(key), value });
    size += key.length + value.length;
    if (size >= PAGE_SIZE) return packRows(rows);
  }
  // Iterating ends without a word where a page cannot be read; this says so.
  const isMore = (last ? next.get(last) : first.get()) !== undefined;
  if (isMore) throw new Refusal("malformed", "its rows end before their end");
  return packRows(rows);
}

function isBefore(one: Uint8Array, other: Uint8Array): boolean {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const order = (one[i] ?? 0) - (other[i] ?? 0);
    if (order !== 0) return order < 0;
  }
  return one.length < other.length;
}

function commit(batches: readonly Batch[]): null {
  if (!database) throw new Refusal("io", "it is closed");
  try {
    transact(database, batches);
  } catch (error) {
    if (codeOf(error) !== FULL) throw error;
    // What the log repeats takes room, too.
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    transact(database, batches);
  }
  return null;
}

function transact(database: DatabaseSync, batches: readonly Batch[]): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const { name, rows } of batches) {
      apply(statementsOf(name), rows);
    }
    database.exec("COMMIT");
  } catch (error) {
    // A full disk may have ended it already.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

/** Sets and removes rows in their order. */
function apply(
  { put, putAll, remove }: Statements,
  rows: Uint8Array<ArrayBuffer>,
): void {
  let pairs: Uint8Array<ArrayBuffer>[] = [];
  const flush = (): void => {
    for (let i = 0; i < pairs.length; i += 2) put.run(...pairs.slice(i, i + 2));
    pairs = [];
  };
  eachRow(rows, (key, value) => {
    if (value === null) {
      flush();
      remove.run(key);
      return;
    }
    pairs.push(key, value);
    if (pairs.length < 2 * TOGETHER) return;
    putAll.run(...pairs);
    pairs = [];
  });
  flush();
}

/** Who is killed meanwhile leaves no half of a copy under the name of a whole one. */
async function copy(path: string): Promise<null> {
  if (!database) throw new Refusal("io", "it is closed");
  const part = `${path}.part`;
  const leftovers = [part, `${part}-journal`];
  for (const file of leftovers) await rm(file, { force: true });
  try {
    await backup(database, part);
    await rename(part, path);
  } catch (error) {
    for (const file of leftovers) await rm(file, { force: true });
    throw error;
  }
  return null;
}

function statementsOf(name: string): Statements {
  const statements = tables.get(name);
  if (statements) return statements;
  throw new Refusal("io", `"${name}" is not open`);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The primary result codes of SQLite, as far as they are told apart. */
const BUSY = 5;
const FULL = 13;
const DAMAGED = [11, 26];

function explain(error: unknown): Answer {
  if (error instanceof Refusal) {
    return { failure: error.failure, message: error.message };
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  if (code === BUSY || /database is locked/.test(message)) {
    return { failure: "busy", message: "another process has it open" };
  }
  const isFull = code === FULL || /disk is full/.test(message);
  const isDamaged = DAMAGED.includes(code) ||
    /malformed|not a database/.test(message);
  const failure = isFull ? "full" : isDamaged ? "malformed" : "io";
  return { failure, message };
}

/** The primary result code of SQLite; 0: it is an error of something else. */
function codeOf(error: unknown): number {
  return error instanceof Error && "errcode" in error
    ? Number(error.errcode) & 0xff
    : 0;
}

/** What this thread has of a worker's global scope. */
interface Port {
  onmessage:
    | ((event: MessageEvent<[id: number, question: Question]>) => void)
    | null;
  postMessage(
    answer: [id: number, answer: Answer],
    transfer: Transferable[],
  ): void;
}

function isPort(scope: unknown): scope is Port {
  return typeof scope === "object" && scope !== null && "postMessage" in scope;
}

const port: unknown = globalThis;
if (isPort(port)) {
  port.onmessage = async ({ data }) => {
    const [id, question] = data;
    const reply = await answer(question);
    const rows = "rows" in reply ? reply.rows : null;
    port.postMessage([id, reply], rows ? [rows.buffer] : []);
  };
}
