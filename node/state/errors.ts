/** Why a write was refused, or not acknowledged. */
export type WriteFailure =
  /** This node's clock is wrong. */
  | "clock"
  /** The storage does not take it. */
  | "storage"
  /** Not as many replicas as it takes have said in time that they hold it. */
  | "replicas"
  /** The behaviour, or its node, has ended. */
  | "closed";

/**
 * A write was refused, or nobody can say that it will last as long as was asked for.
 *
 * With `"clock"`, `"closed"` and `"storage"`, nothing was written, here or anywhere.
 * With `"replicas"`, the write was made and may spread: it is not acknowledged, and it
 * is not undone.
 */
export class WriteError extends Error {
  /** Why. */
  readonly reason: WriteFailure;

  /** Makes the error; `message` is a sentence that names the key, or the state. */
  constructor(reason: WriteFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "WriteError";
    this.reason = reason;
  }
}
