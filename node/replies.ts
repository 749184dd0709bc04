import type { NodeId } from "@devts/routing";
import { FAILURE, REPLY } from "./bundle.ts";
import { reasonOf, RequestError } from "./errors.ts";
import { type Checks, InvalidData } from "./checks.ts";
import type { Journal } from "./journal.ts";
import type { Outbound, Target } from "./outbound.ts";
import type { Requests } from "./requests.ts";

const UNHANDLED = 1;
const HANDLER = 2;
const INVALID = 3;
const CODES = { unhandled: UNHANDLED, handler: HANDLER, invalid: INVALID };
const MAX_TEXT = 1_024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What replies are made with. */
export interface RepliesOptions {
  readonly outbound: Outbound;
  readonly requests: Requests;
  readonly checks: Checks;
  readonly journal: Journal;
  readonly counts: {
    sent: number;
    handlerErrors: number;
    undelivered: number;
    lateReplies: number;
    invalid: number;
  };
  /** Where a reply goes; null: there is no way any more. */
  target(to: NodeId): Target | null;
}

/** Replies to requests, and those that come back. */
export class Replies {
  readonly #options: RepliesOptions;

  constructor(options: RepliesOptions) {
    this.#options = options;
  }

  /** Sends a handler's result; where the codec cannot carry it, a failure. */
  reply(to: NodeId, request: number, value: unknown, name: string): void {
    const target = this.#target(to);
    if (!target) return;
    const { outbound, counts, journal, checks } = this.#options;
    const rule = checks.rule(name);
    try {
      if (rule === null) outbound.add(target, REPLY, null, request, value);
      else {
        const checked = checks.returned(rule, value);
        outbound.add(target, REPLY, null, request, checked, rule.extras);
      }
      counts.sent++;
    } catch (error) {
      counts.handlerErrors++;
      const message = `Cannot reply to "${name}" of node "${to}": ${
        reasonOf(error)
      }`;
      journal.fault("handler", error, message);
      this.refuse(to, request, "handler", message);
    }
  }

  /** Says that there is no reply, and why. */
  refuse(
    to: NodeId,
    request: number,
    reason: "unhandled" | "handler" | "invalid",
    text: string,
  ): void {
    const target = this.#target(to);
    if (!target) return;
    const body = encoder.encode(text.slice(0, MAX_TEXT));
    const bytes = new Uint8Array(1 + body.length);
    bytes[0] = CODES[reason];
    bytes.set(body, 1);
    this.#options.outbound.addBytes(target, FAILURE, null, request, bytes);
    this.#options.counts.sent++;
  }

  /** A reply came. */
  replied(from: NodeId, request: number, value: unknown): void {
    const { checks } = this.#options;
    if (checks.contract !== null) {
      return this.#repliedChecked(from, request, value);
    }
    this.#resolve(from, request, value);
  }

  #repliedChecked(from: NodeId, request: number, value: unknown): void {
    const { checks, requests } = this.#options;
    const name = requests.nameOf(request, from);
    const rule = name === null ? null : checks.rule(name);
    try {
      this.#resolve(from, request, checks.replied(rule, value));
    } catch (error) {
      if (!(error instanceof InvalidData)) throw error;
      this.invalid(from, request, error.message);
    }
  }

  /** A reply came that does not fit the contract, or cannot be read. */
  invalid(from: NodeId, request: number, why: string): void {
    const { requests, counts } = this.#options;
    counts.invalid++;
    const known = requests.reject(request, from, (name) =>
      new RequestError(
        "invalid",
        `Request "${name}" to node "${from}" failed: ${why}`,
      ));
    if (!known) counts.lateReplies++;
  }

  #resolve(from: NodeId, request: number, value: unknown): void {
    if (!this.#options.requests.resolve(request, from, value)) {
      this.#options.counts.lateReplies++;
    }
  }

  /** A request of this node was not let through to another one. */
  forbidden(to: NodeId, request: number, why: string): void {
    this.#options.requests.reject(request, to, (name) =>
      new RequestError(
        "handler",
        `Request "${name}" to node "${to}" failed: ${why}`,
      ));
  }

  /** A failure came. */
  failed(from: NodeId, request: number, bytes: Uint8Array): void {
    const known = this.#options.requests.reject(request, from, (name) => {
      const attempt = `Request "${name}" to node "${from}" failed`;
      if (bytes[0] === UNHANDLED) {
        return new RequestError(
          "unhandled",
          `${attempt}: it does not handle the event`,
        );
      }
      const text = decoder.decode(bytes.subarray(1, 1 + 4 * MAX_TEXT));
      const reason = bytes[0] === INVALID ? "invalid" : "handler";
      return new RequestError(reason, `${attempt}: ${text}`);
    });
    if (!known) this.#options.counts.lateReplies++;
  }

  #target(to: NodeId): Target | null {
    const target = this.#options.target(to);
    if (!target) this.#options.counts.undelivered++;
    return target;
  }
}
