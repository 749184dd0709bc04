/**
 * Whether two contracts fit: compares what nodes say of their events, which is JSON
 * Schema (draft 2020-12). It finds what is sure to fail: what one end needs and the other
 * does not have, types without a value in common, values that only one knows. What it
 * cannot decide passes; data is checked in any case.
 */

/** What is incompatible of an event. */
export interface Incompatibility {
  /** The event. */
  readonly event: string;
  /** What it concerns. */
  readonly part: "data" | "reply" | "codec" | "version" | "conversation";
  /** Whose it is: this node could not take the peer's, or the peer not this node's. */
  readonly sender: "peer" | "self";
  /** What is wrong: `"user.created" lacks "email"`. */
  readonly message: string;
}

type Json = { readonly [key: string]: unknown };

// How deep schemas are compared; below, they pass.
const DEPTH = 16;
// Incompatibilities that are remembered of one node.
const MOST = 64;
// How long a reason may be, in characters.
const MAX_REASON = 500;
// What all comparisons of one pair of contracts may take, in schemas.
const STEPS = 20_000;

/**
 * What is incompatible between this node's description and a peer's.
 *
 * @throws {SyntaxError} If the peer's makes no sense.
 */
export function compare(own: string, theirs: string): Incompatibility[] {
  const mine = read(own);
  const peers = read(theirs);
  const comparison = new Comparison();
  const found: Incompatibility[] = [];
  for (const [event, rule] of mine) {
    const other = peers.get(event);
    if (other === undefined) continue;
    for (const one of comparison.event(event, rule, other)) {
      if (found.length < MOST) found.push(one);
    }
  }
  return found;
}

function read(description: string): Map<string, Json> {
  let value: unknown;
  try {
    value = JSON.parse(description);
  } catch (cause) {
    throw new SyntaxError("its description is no JSON", { cause });
  }
  if (!isObject(value)) throw new SyntaxError("its description is no object");
  const events = new Map<string, Json>();
  for (const [name, rule] of Object.entries(value)) {
    if (isObject(rule)) events.set(name, rule);
  }
  return events;
}

class Comparison {
  #steps = 0;

  event(event: string, mine: Json, theirs: Json): Incompatibility[] {
    const found: Incompatibility[] = [];
    const add = (
      part: Incompatibility["part"],
      sender: Incompatibility["sender"],
      reason: string | null,
    ): void => {
      if (reason === null) return;
      const text = printable(`"${event}" ${reason}`);
      found.push({ event, part, sender, message: text });
    };
    if (
      typeof mine.version === "number" && typeof theirs.version === "number" &&
      mine.version !== theirs.version
    ) {
      const why =
        `has the version ${theirs.version}, and this node has ${mine.version}`;
      add("version", "peer", why);
      add("version", "self", why);
    }
    add("codec", "peer", codecFault(theirs, mine));
    add("codec", "self", turned(codecFault(mine, theirs)));
    add("data", "peer", this.#fault(theirs.data, mine.data, ""));
    add("data", "self", turned(this.#fault(mine.data, theirs.data, "")));
    add("reply", "peer", inReply(this.#fault(theirs.reply, mine.reply, "")));
    add(
      "reply",
      "self",
      inReply(turned(this.#fault(mine.reply, theirs.reply, ""))),
    );
    for (const side of ["opener", "acceptor"]) {
      add(
        "conversation",
        "peer",
        this.#fault(theirs[side], mine[side], ""),
      );
      add(
        "conversation",
        "self",
        turned(this.#fault(mine[side], theirs[side], "")),
      );
    }
    return found;
  }

  /** Why what `sent` describes does not fit what `wanted` describes; null: it may. */
  #fault(sent: unknown, wanted: unknown, at: string, depth = 0): string | null {
    if (!isObject(sent) || !isObject(wanted)) return null;
    if (depth > DEPTH || ++this.#steps > STEPS) return null;
    if ("$ref" in sent || "$ref" in wanted) return null;
    const alternatives = alternativesOf(wanted);
    if (alternatives !== null) {
      const first = alternatives.map((one) =>
        this.#fault(sent, one, at, depth + 1)
      );
      return first.some((fault) => fault === null) ? null : first[0] ?? null;
    }
    const offered = alternativesOf(sent);
    if (offered !== null) {
      // One that fits is enough: it is not sure to fail.
      const all = offered.map((one) => this.#fault(one, wanted, at, depth + 1));
      return all.some((fault) => fault === null) ? null : all[0] ?? null;
    }
    return typeFault(sent, wanted, at) ?? valueFault(sent, wanted, at) ??
      this.#fieldFault(sent, wanted, at, depth) ??
      this.#itemFault(sent, wanted, at, depth);
  }

  #fieldFault(
    sent: Json,
    wanted: Json,
    at: string,
    depth: number,
  ): string | null {
    const has = isObject(sent.properties) ? sent.properties : null;
    const wants = isObject(wanted.properties) ? wanted.properties : null;
    if (has === null || wants === null) return null;
    const isOpen = isObject(sent.additionalProperties) ||
      sent.additionalProperties === true;
    for (const field of textsOf(wanted.required)) {
      if (!Object.hasOwn(has, field) && !isOpen) {
        return `lacks "${at}${field}"`;
      }
    }
    if (wanted.additionalProperties === false) {
      for (const field of textsOf(sent.required)) {
        if (!Object.hasOwn(wants, field)) {
          return `has "${at}${field}", which is not allowed`;
        }
      }
    }
    const sure = new Set(
      [...textsOf(sent.required), ...textsOf(wanted.required)],
    );
    for (const [field, schema] of Object.entries(wants)) {
      // What neither demands may be left out.
      if (!sure.has(field) || !Object.hasOwn(has, field)) continue;
      const fault = this.#fault(
        has[field],
        schema,
        `${at}${field}.`,
        depth + 1,
      );
      if (fault !== null) return fault;
    }
    return null;
  }

  #itemFault(
    sent: Json,
    wanted: Json,
    at: string,
    depth: number,
  ): string | null {
    return this.#fault(sent.items, wanted.items, `${at}*.`, depth + 1);
  }
}

function typeFault(sent: Json, wanted: Json, at: string): string | null {
  const has = typesOf(sent);
  const wants = typesOf(wanted);
  if (has.length === 0 || wants.length === 0) return null;
  const fits = has.some((type) =>
    wants.includes(type) || type === "integer" && wants.includes("number") ||
    type === "number" && wants.includes("integer")
  );
  if (fits) return null;
  return `has ${nameOf(at)} of type ${has.join(" or ")}, not ${
    wants.join(" or ")
  }`;
}

function valueFault(sent: Json, wanted: Json, at: string): string | null {
  const has = valuesOf(sent);
  const wants = valuesOf(wanted);
  if (has === null || wants === null) return null;
  // What a peer lists may be long.
  const wanting = new Set(wants);
  if (has.some((value) => wanting.has(value))) return null;
  return `has ${nameOf(at)} with no value in common`;
}

function alternativesOf(schema: Json): readonly unknown[] | null {
  for (const key of ["anyOf", "oneOf"]) {
    const value = schema[key];
    if (Array.isArray(value) && value.length > 0) return value;
  }
  return null;
}

/** The values that a schema lists, as JSON; null: it lists none. */
function valuesOf(schema: Json): string[] | null {
  if ("const" in schema) return [JSON.stringify(schema.const)];
  if (!Array.isArray(schema.enum)) return null;
  return schema.enum.map((value) => JSON.stringify(value));
}

function typesOf({ type }: Json): string[] {
  return typeof type === "string" ? [type] : textsOf(type);
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((one) => typeof one === "string")
    : [];
}

function nameOf(at: string): string {
  return at === "" ? "data" : `"${at.slice(0, -1)}"`;
}

/** What has no format of its own is read by everybody. */
function codecFault(sent: Json, wanted: Json): string | null {
  if (typeof sent.codec !== "string" || sent.codec === wanted.codec) {
    return null;
  }
  return `has the format "${sent.codec}", for which the other node has no codec`;
}

/** Names of fields are a peer's, and this is for a log. */
function printable(text: string): string {
  return text.slice(0, MAX_REASON)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** Said of what this node sends. */
function turned(fault: string | null): string | null {
  return fault === null ? null : `of this node ${fault}`;
}

function inReply(fault: string | null): string | null {
  return fault === null ? null : `in its reply ${fault}`;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
