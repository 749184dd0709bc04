import type { Codec } from "@devts/protocol";
import { isBufferCodec } from "./bundle.ts";
import {
  type Contract,
  type ConversationRules,
  type EventRules,
  isConversation,
} from "./contract.ts";
import { Encoded } from "./encoded.ts";
import { reasonOf } from "./errors.ts";
import { EXTRA_CODEC, extraIn, writeExtras } from "./extras.ts";
import { parsed, type StandardSchema } from "./schema.ts";

type Read = (source: Uint8Array, start: number, end: number) => unknown;

// The name of a format has up to 64 characters; of a longer one, the beginning is told.
const MAX_FORMAT = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The rules of one event, as they are applied. */
export interface Rule {
  readonly event: EventRules;
  /** The extras that name the format of its data; null: the node's. */
  readonly extras: Uint8Array | null;
}

/** Data that does not fit the contract, or cannot be read: its sender's fault. */
export class InvalidData extends Error {}

/** Holds what is sent and what comes against the contract, where there is one. */
export class Checks {
  readonly contract: Contract | null;
  readonly #codec: Codec;
  readonly #rules = new Map<string, Rule>();
  readonly #conversations = new Map<string, ConversationRules>();
  readonly #readers = new Map<string, Read>();

  constructor(contract: Contract | null, codec: Codec) {
    this.contract = contract;
    this.#codec = codec;
    this.#readers.set(codec.name, readerOf(codec));
    for (const [name, rule] of contract?.rules ?? []) this.#add(name, rule);
  }

  #add(name: string, rule: EventRules | ConversationRules): void {
    if (isConversation(rule)) {
      this.#conversations.set(name, rule);
      return;
    }
    const { codec = this.#codec } = rule;
    if (!this.#readers.has(codec.name)) {
      this.#readers.set(codec.name, readerOf(codec));
    }
    const extras = codec.name === this.#codec.name
      ? null
      : writeExtras([[EXTRA_CODEC, encoder.encode(codec.name)]]);
    this.#rules.set(name, { event: rule, extras });
  }

  /** The rule of an event; null: nothing is checked. */
  rule(name: string): Rule | null {
    return this.contract === null ? null : this.#rules.get(name) ?? null;
  }

  /** The rules of a conversation; null: nothing is checked. */
  conversation(name: string): ConversationRules | null {
    return this.#conversations.get(name) ?? null;
  }

  /**
   * The program uses a name.
   *
   * @throws {TypeError} If the contract does not have it, or not for that.
   */
  assertKnown(verb: string, name: string): void {
    if (this.contract === null) return;
    if (!this.contract.rules.has(name)) {
      throw new TypeError(
        `Cannot ${verb} "${name}": the contract has nothing of that name`,
      );
    }
    if (verb !== "emit" && verb !== "send") return;
    if (this.#rules.get(name)?.event.acks === undefined) return;
    throw new TypeError(
      `Cannot ${verb} "${name}": the contract wants it acknowledged; use \`deliver\` or \`request\``,
    );
  }

  /**
   * The data of an event that is sent: as it is, or encoded already.
   *
   * @throws {TypeError} If it does not fit, or cannot be encoded.
   * @throws {RangeError} If it is too long.
   */
  sent({ event }: Rule, data: unknown): unknown {
    return this.#out(event, event.data, data, "data");
  }

  /** As {@linkcode Checks.sent}, for a reply. */
  returned({ event }: Rule, value: unknown): unknown {
    return this.#out(event, event.reply, value, "reply");
  }

  #out(
    { maxBytes, codec }: EventRules,
    schema: StandardSchema | undefined,
    value: unknown,
    what: string,
  ): unknown {
    if (schema !== undefined) check(schema, value, what);
    const isPlain = maxBytes === undefined && codec === undefined;
    if (isPlain || value === undefined) return value;
    const bytes = (codec ?? this.#codec).encode(value);
    if (maxBytes === undefined || bytes.length <= maxBytes) {
      return new Encoded(bytes);
    }
    throw new RangeError(
      `its ${what} takes ${bytes.length} bytes, and the contract allows ${maxBytes}`,
    );
  }

  /**
   * The data of an event, or the reply, that came; `start` is -1 where there is none.
   *
   * @throws {InvalidData} If it does not fit, or nothing here can read its format.
   * @throws {SyntaxError} If it is malformed.
   */
  read(
    rule: Rule | null,
    what: "data" | "reply",
    format: string | null,
    payload: Uint8Array,
    start: number,
    end: number,
  ): unknown {
    const most = rule?.event.maxBytes ?? Infinity;
    if (start >= 0 && end - start > most) {
      throw new InvalidData(
        `its ${what} takes ${
          end - start
        } bytes, and the contract allows ${most}`,
      );
    }
    const value = start < 0
      ? undefined
      : this.#reader(format, what)(payload, start, end);
    return what === "data" ? this.taken(rule, value) : value;
  }

  /** The data of an event of this node, from what was sent. */
  decode(name: string, bytes: Uint8Array): unknown {
    return (this.rule(name)?.event.codec ?? this.#codec).decode(bytes);
  }

  /** What handlers get of data that came. */
  taken(rule: Rule | null, data: unknown): unknown {
    const schema = rule?.event.data;
    return schema === undefined ? data : fitted(schema, data, "data");
  }

  /** What a request resolves to, of a reply that came. */
  replied(rule: Rule | null, value: unknown): unknown {
    const schema = rule?.event.reply;
    return schema === undefined ? value : fitted(schema, value, "reply");
  }

  /**
   * What a schema makes of a message of a conversation.
   *
   * @throws {TypeError} If it does not fit.
   */
  message(schema: StandardSchema, message: unknown): unknown {
    return check(schema, message, "message");
  }

  #reader(format: string | null, what: string): Read {
    const reader = this.#readers.get(format ?? this.#codec.name);
    if (reader !== undefined) return reader;
    throw new InvalidData(
      `its ${what} has the format ${
        JSON.stringify(format)
      }, for which this node has no codec`,
    );
  }
}

/** The format that extras name; null: the node's. */
export function readFormat(
  payload: Uint8Array,
  start: number,
  end: number,
): string | null {
  const bytes = extraIn(payload, start, end, EXTRA_CODEC);
  return bytes === null ? null : decoder.decode(bytes.subarray(0, MAX_FORMAT));
}

function check(schema: StandardSchema, value: unknown, what: string): unknown {
  try {
    return parsed(schema, value);
  } catch (error) {
    throw new TypeError(
      `its ${what} does not fit the contract: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

function fitted(schema: StandardSchema, value: unknown, what: string): unknown {
  try {
    return check(schema, value, what);
  } catch (error) {
    throw new InvalidData(reasonOf(error));
  }
}

/** How a codec decodes what stands in something longer. */
export function readerOf(codec: Codec): Read {
  if (isBufferCodec(codec)) {
    return (source, start, end) => codec.decodeAt(source, start, end);
  }
  return (source, start, end) => codec.decode(source.subarray(start, end));
}
