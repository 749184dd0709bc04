/** What a table belongs to: one that belongs to something else is refused. */
export interface StoredIdentity {
  /** The name of the cluster. */
  readonly cluster: string;
  /** The name of the behaviour whose state it is. */
  readonly name: string;
}

/** A key and what is kept for it; `null`: nothing any more. */
export interface StoredRow {
  /** Any text; the empty one comes first. */
  readonly key: string;
  /** The storage does not look inside. */
  readonly value: Uint8Array | null;
}

/** What is kept for one behaviour. */
export interface StoredTable {
  /** All rows, in the order of their keys' UTF-8, some at a time; not while rows are committed. */
  read(): AsyncIterable<readonly StoredRow[]>;
  /**
   * Sets and removes rows: all of them or, where it rejects, none. Resolves once they
   * survive the end of the process and of the machine. Calls take effect in their
   * order, and several that wait may become one transaction; where one fails, those
   * that were made before it did fail with it. The bytes are the caller's again when
   * the call returns.
   *
   * @returns Rejects with a {@linkcode StorageError}.
   */
  commit(rows: readonly StoredRow[]): Promise<void>;
  /** Lets go of it, once what was committed is kept. Idempotent. */
  close(): Promise<void>;
}

/**
 * Where replicated state is kept. One may serve several behaviours of a node. What it
 * shares (a file) it opens with the first table and closes with the last.
 */
export interface Storage {
  /**
   * Opens what is kept for a behaviour, made where there is none. One that is open is
   * not opened again.
   *
   * @returns Rejects with a {@linkcode StorageError}; then nothing was changed.
   */
  open(identity: StoredIdentity): Promise<StoredTable>;
}

/** Why a storage failed. */
export type StorageFailure =
  /** It belongs to another cluster. */
  | "cluster"
  /** A newer version of this system wrote it. */
  | "version"
  /** It is something else, or damaged. */
  | "malformed"
  /** It is open already, here or in another process. */
  | "busy"
  /** No room is left. */
  | "full"
  /** It cannot be read or written. */
  | "io";

/** A storage cannot be opened, read or written. */
export class StorageError extends Error {
  /** Why. */
  readonly reason: StorageFailure;

  /** Makes the error; `message` is a sentence that names the storage. */
  constructor(reason: StorageFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StorageError";
    this.reason = reason;
  }
}
