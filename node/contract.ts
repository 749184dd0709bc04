import type { Codec } from "@devts/protocol";
import { isAcks } from "./acks.ts";
import type { Conversation } from "./types.ts";
import {
  describedBy,
  type InputOf,
  type OutputOf,
  type StandardSchema,
} from "./schema.ts";
import type { Acknowledged, Acks, Checked } from "./types.ts";

/** The longest description of a contract that nodes exchange, in characters. */
export const MAX_DESCRIPTION = 262_144;

/** What a contract says of one event. Everything may be left out. */
export interface EventRules {
  /**
   * What its data is: a schema of any library that offers Standard Schema. Without one,
   * data is `unknown` and not checked.
   */
  readonly data?: StandardSchema<unknown>;
  /** What the reply to a request is. Without one, it is `unknown` and not checked. */
  readonly reply?: StandardSchema<unknown>;
  /**
   * How long the encoded data, or the encoded reply, may be, in bytes.
   *
   * @default {what fits in a message}
   */
  readonly maxBytes?: number;
  /**
   * What the bytes of its data and of the reply mean: of all nodes that handle it.
   *
   * @default {the node's codec}
   */
  readonly codec?: Codec;
  /**
   * Whoever sends it has to learn that it was handled: how many must have acknowledged it
   * for `deliver` to resolve, unless the call says otherwise. It is sent by `deliver`,
   * `request` or `gather`; `emit` and `send` do not compile, and throw.
   *
   * @default {nobody has to acknowledge it; `deliver` asks for `"all"`}
   */
  readonly acks?: Acks;
  /**
   * For schemas that cannot describe themselves as JSON Schema: nodes whose numbers
   * differ are incompatible for the event.
   *
   * @default {none: what differs shows when data is checked}
   */
  readonly version?: number;
}

/** What a contract says of one conversation: messages are checked at both ends. */
export interface ConversationRules {
  /** What the node sends that opens it. */
  readonly opener: StandardSchema<unknown>;
  /** What the node sends that accepts it. */
  readonly acceptor: StandardSchema<unknown>;
}

/** What {@linkcode contract} takes: the rules of each event, by its name. */
export interface Rules {
  /** What holds for the event of that name. */
  readonly [name: string]: EventRules | ConversationRules;
}

/** Refuses what is no part of a rule: it would not be heeded. */
export type OnlyKnown<R extends Rules> = {
  readonly [K in keyof R]: {
    readonly [
      P in Exclude<keyof R[K], keyof EventRules | keyof ConversationRules>
    ]: never;
  };
};

/** The events of a contract, as a node's type knows them. */
export type EventsOf<R extends Rules> = {
  [K in keyof R]: R[K] extends ConversationRules
    ? Conversation<OutputOf<R[K]["opener"]>, OutputOf<R[K]["acceptor"]>>
    : R[K] extends { readonly acks: Acks } ? CheckedBy<R[K]> & Acknowledged
    : R[K] extends EventRules ? CheckedBy<R[K]>
    : never;
};

/** An event of a contract, by its rules. */
export type CheckedBy<R extends EventRules> = Checked<
  InputOf<R["data"]>,
  OutputOf<R["data"]>,
  InputOf<R["reply"]>,
  OutputOf<R["reply"]>
>;

/**
 * What a program's events are: made by {@linkcode contract}, given to `createNode`.
 *
 * @typeParam E The events.
 */
export interface Contract<E extends object = object> {
  /** The rules, by the names of events. */
  readonly rules: ReadonlyMap<string, EventRules | ConversationRules>;
  /** What other nodes are told of it: JSON. */
  readonly description: string;
  /** The same for contracts that say the same. */
  readonly digest: string;
  /** The events, which exist for the compiler alone. */
  readonly events?: E;
}

/**
 * Says once what the events of a program are: their types, the schemas that check them
 * when they are sent and when they are received, and what limits them.
 *
 * Schemas are of any library that offers Standard Schema: Zod, Valibot, ArkType and
 * others. They have to be synchronous. What is sent is the value as it was given; what a
 * schema makes of it (defaults, transformations) is what the receiver's handler gets.
 *
 * @example
 * ```ts
 * import { contract, createNode } from "@devts/devts";
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { z } from "zod";
 *
 * const shop = contract({
 *   "user.created": { data: z.object({ email: z.email() }), maxBytes: 1_024 },
 *   "price": { data: z.string(), reply: z.number() },
 * });
 *
 * await using node = createNode({ cluster: "shop", contract: shop });
 * node.on("price", (article) => article.length);
 * assertEquals(await node.request(node.id, "price", "tea"), 3);
 * // What does not fit is refused where it is sent, and where it comes from outside.
 * assertThrows(() => node.emit("user.created", { email: "nobody" }), TypeError);
 * ```
 *
 * @throws {TypeError} If a rule is malformed, or the description of all takes more than
 * 256 Ki characters.
 */
export function contract<R extends Rules>(
  rules: R & OnlyKnown<R>,
): Contract<EventsOf<R>> {
  const known = new Map<string, EventRules | ConversationRules>(
    Object.entries(rules),
  );
  for (const [name, rule] of known) checkRule(name, rule);
  const described = [...known].sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, rule]) => [name, describeRule(rule)]);
  const description = JSON.stringify(Object.fromEntries(described));
  if (description.length > MAX_DESCRIPTION) {
    throw new TypeError(
      `Cannot make a contract of ${known.size} events: its description takes ${description.length} characters, and at most ${MAX_DESCRIPTION} are told`,
    );
  }
  return { rules: known, description, digest: digestOf(description) };
}

/** Whether a rule is of a conversation. */
export function isConversation(
  rule: EventRules | ConversationRules,
): rule is ConversationRules {
  return "opener" in rule && "acceptor" in rule;
}

function checkRule(name: string, rule: EventRules | ConversationRules): void {
  if (isConversation(rule)) {
    checkSchema(name, "opener", rule.opener);
    checkSchema(name, "acceptor", rule.acceptor);
    return;
  }
  if ("opener" in rule || "acceptor" in rule) {
    throw wrong(name, "a conversation has both `opener` and `acceptor`");
  }
  const { data, reply, maxBytes = 1, version = 0, acks = "all" } = rule;
  if (data !== undefined) checkSchema(name, "data", data);
  if (reply !== undefined) checkSchema(name, "reply", reply);
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) {
    throw wrong(name, "`maxBytes` must be an integer from 1 on");
  }
  if (!isAcks(acks)) {
    throw wrong(name, '`acks` must be "all", "quorum" or an integer from 1 on');
  }
  if (!Number.isSafeInteger(version)) {
    throw wrong(name, "`version` must be an integer");
  }
}

function checkSchema(name: string, key: string, schema: StandardSchema): void {
  if (typeof schema?.["~standard"]?.validate === "function") return;
  throw wrong(
    name,
    `\`${key}\` is no schema: it does not offer Standard Schema`,
  );
}

function wrong(name: string, why: string): TypeError {
  return new TypeError(`Cannot make a contract with "${name}": ${why}`);
}

function describeRule(
  rule: EventRules | ConversationRules,
): Record<string, unknown> {
  if (isConversation(rule)) {
    return {
      opener: describedBy(rule.opener),
      acceptor: describedBy(rule.acceptor),
    };
  }
  return {
    ...(rule.data && { data: describedBy(rule.data) }),
    ...(rule.reply && { reply: describedBy(rule.reply) }),
    ...(rule.maxBytes !== undefined && { maxBytes: rule.maxBytes }),
    ...(rule.acks !== undefined && { acks: rule.acks }),
    ...(rule.codec && { codec: rule.codec.name }),
    ...(rule.version !== undefined && { version: rule.version }),
  };
}

/**
 * 64 bits of a text, in hexadecimal: FNV-1a over its code units, twice. It tells contracts
 * apart; it proves nothing.
 */
function digestOf(text: string): string {
  let a = 0x811c9dc5;
  let b = 0xcbf29ce4;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit + i, 0x01000193);
  }
  const hex = (value: number): string =>
    (value >>> 0).toString(16).padStart(8, "0");
  return hex(a) + hex(b);
}
