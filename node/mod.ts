/**
 * The node: it owns the links, packs events into bundles, and offers `on`, `emit`,
 * `send`, `request` and `open`. It is made of parts; `createNode` of `@devts/devts` picks
 * the usual ones.
 *
 * @example Two nodes that talk
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { assertEquals } from "@std/assert";
 *
 * interface Maths {
 *   sum(numbers: number[]): number;
 * }
 *
 * await using one = createNode<Maths>({ cluster: "demo", logger: console });
 * one.on("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));
 * const address = await one.listen("tcp://127.0.0.1:0");
 *
 * await using two = createNode<Maths>({ cluster: "demo", logger: console });
 * await two.join(address);
 * assertEquals(await two.request(one.id, "sum", [1, 2, 3]), 6);
 * ```
 *
 * @module
 */
export type { Behaviour, Scope } from "./behaviour.ts";
export type { Incompatibility } from "./compatibility.ts";
export {
  type CheckedBy,
  type Contract,
  contract,
  type ConversationRules,
  type EventRules,
  type EventsOf,
  type OnlyKnown,
  type Rules,
} from "./contract.ts";
export {
  ClosedError,
  ContractError,
  DeliveryError,
  type DeliveryFailure,
  JoinError,
  ReadyError,
  RequestError,
  type RequestFailure,
  StreamError,
  type StreamFailure,
} from "./errors.ts";
export { ClusterKeyring, KeyringError, type KeyringReport } from "./keyring.ts";
export { explanationText } from "./explain.ts";
export type { Explanation, LinkReport, PastError } from "./explain.ts";
export type { Feed } from "./feed.ts";
export type { Gathering } from "./gathering.ts";
export type { HandledEvent, Middleware, SentEvent } from "./middleware.ts";
export type {
  InputOf,
  OutputOf,
  SchemaIssue,
  SchemaResult,
  StandardSchema,
} from "./schema.ts";
export type { Security } from "./security.ts";
export { Node } from "./node.ts";
export type {
  ConnectionLimits,
  LimitCounts,
  LimitName,
  LinkBounds,
  NodeLimits,
  TableLimits,
} from "./limits.ts";
export type { Stream } from "./stream.ts";
export type * from "./types.ts";
