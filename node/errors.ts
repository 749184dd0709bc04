import type { DeliveryOutcome } from "./types.ts";

/** Why a request failed. */
export type RequestFailure =
  /** The node has no handler for the event. */
  | "unhandled"
  /** The handler threw or rejected; the message repeats what it said. */
  | "handler"
  /** The data or the reply does not fit the contract; the message says why. */
  | "invalid"
  /** No reply within the time given. */
  | "timeout"
  /** The way to the node was lost: it may or may not have handled the request. */
  | "lost"
  /** This node was closed. */
  | "closed"
  /** As many requests are waiting as this node keeps, in all or for that node. */
  | "limit";

/** A request got no reply. */
export class RequestError extends Error {
  /** Why. */
  readonly reason: RequestFailure;

  /** Makes the error; `message` is a sentence that names the event and the node. */
  constructor(reason: RequestFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RequestError";
    this.reason = reason;
  }
}

/** Why somebody is not known to have a delivery. */
export type DeliveryFailure =
  /** The node does not handle the name. */
  | "unhandled"
  /** A handler threw or rejected; in a group, of every member. */
  | "handler"
  /** The data does not fit the node's contract, or is malformed; the message says why. */
  | "invalid"
  /** The node, or this one, is a guest that has no right to it. */
  | "forbidden"
  /** The node left the cluster. */
  | "left"
  /** There was no way to the node, or the group had no member, when the time was over. */
  | "unreachable"
  /** No receipt came in the time given: it may have been handled. */
  | "timeout"
  /** The signal aborted: it may have been handled. */
  | "aborted"
  /** This node was closed: it may have been handled. */
  | "closed"
  /** Enough others have it; this one is still tried. */
  | "pending";

/** Not as many have a delivery as were to. */
export class DeliveryError extends Error {
  /** Who has it, who does not, and why. */
  readonly outcome: DeliveryOutcome;

  /** Makes the error; `message` is a sentence that names the event. */
  constructor(message: string, outcome: DeliveryOutcome) {
    super(message);
    this.name = "DeliveryError";
    this.outcome = outcome;
  }
}

/** An event was not sent, because the contract of the other node does not fit it. */
export class ContractError extends Error {
  /** Makes the error; `message` is a sentence that names the event, the node and why. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ContractError";
  }
}

/** Why a stream failed. */
export type StreamFailure =
  /** The node does not handle streams of that name. */
  | "unhandled"
  /** One of the two has as many streams as it keeps. */
  | "limit"
  /** One of the two aborted it; the message repeats the reason. */
  | "aborted"
  /** Something of it was lost on its way through other nodes. */
  | "lost"
  /** The node is gone, or the way to it: the link broke, or it knows the stream no more. */
  | "gone"
  /** The node has not answered. */
  | "timeout"
  /** This end, this node or the other one was closed. */
  | "closed"
  /** The other end did not keep to the protocol. */
  | "violation"
  /** More was sent without waiting than this node keeps. */
  | "overflow";

/** A stream was not opened, or it failed: both of its ends learn of it. */
export class StreamError extends Error {
  /** Why. */
  readonly reason: StreamFailure;

  /** Makes the error; `message` is a sentence that names the stream and the node. */
  constructor(reason: StreamFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StreamError";
    this.reason = reason;
  }
}

/** No entry node took this node in, and one of them refused it for good. */
export class JoinError extends Error {
  /** Makes the error; `message` is a sentence that names the address and the reason. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "JoinError";
  }
}

/** The node is closed, or closing: it does nothing any more. */
export class ClosedError extends Error {
  /** Makes the error; `message` is a sentence that names the call. */
  constructor(message: string) {
    super(message);
    this.name = "ClosedError";
  }
}

/** What a program waits for by `ready` has not come. */
export class ReadyError extends Error {
  /** Makes the error; `message` is a sentence that says what is missing. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ReadyError";
  }
}

/** A sentence about whatever was thrown, with its causes where it does not repeat them. */
export function reasonOf(error: unknown, causes = 4): string {
  try {
    if (!(error instanceof Error)) return String(error);
    const message = String(error.message || error.name);
    if (causes === 0 || !(error.cause instanceof Error)) return message;
    const cause = reasonOf(error.cause, causes - 1);
    return message.includes(cause) ? message : `${message}: ${cause}`;
  } catch {
    return "something was thrown that cannot be shown";
  }
}

/** Whether a message over the limit is at the root of an error. */
export function isTooLong(error: unknown): boolean {
  return hasCause(error, (cause) => cause instanceof RangeError);
}

/** Whether bytes that make no sense are at the root of an error. */
export function isGarbage(error: unknown): boolean {
  return isEncrypted(error) ||
    hasCause(error, ({ name }) => name === "InvalidData");
}

/** Whether TLS is at the root of an error, where none is spoken here. */
export function isEncrypted(error: unknown): boolean {
  return hasCause(error, ({ name }) => name === "EncryptedError");
}

/** Whether the program lacks a permission of Deno. */
export function isForbidden(error: unknown): boolean {
  return hasCause(error, ({ name }) => name === "NotCapable");
}

function hasCause(error: unknown, is: (cause: Error) => boolean): boolean {
  for (let depth = 0; error instanceof Error && depth < 8; depth++) {
    if (is(error)) return true;
    error = error.cause;
  }
  return false;
}

/** Whether a link ended because the peer broke the protocol. */
export function isViolation(error: unknown): boolean {
  return error instanceof SyntaxError ||
    (error instanceof Error && error.name === "ProtocolError");
}
