import { MalformedError } from "./_bytes.ts";
import type { NodeId } from "./types.ts";

/** Where the subject of a group says so, and where its sender stands. */
const GROUP_AT = 3;
const FROM_AT = 5;
const PRINTABLE = /^[\x21-\x7e]{1,64}$/;

/** The subjects by which a node reaches others, and by which they reach it. */
export class Subjects {
  /** Of what this node sends to all. */
  readonly all: string;
  /** Of what others send to all, and to this node. */
  readonly fromAny: readonly string[];
  readonly #root: string;
  readonly #self: string;

  /** @param root What each subject begins with. */
  constructor(root: string, self: NodeId) {
    this.#root = root;
    this.#self = tokenOf(self);
    this.all = `${root}.all.${this.#self}`;
    this.fromAny = [`${root}.to.${this.#self}.*`, `${root}.all.*`];
  }

  /** Of what this node sends to another one. */
  to(id: NodeId): string {
    return `${this.#root}.to.${tokenOf(id)}.${this.#self}`;
  }

  /** Of what this node sends to one member of a group. */
  toOne(group: string, name: string): string {
    return this.#ofGroup(group, this.#self, name);
  }

  /** Of what others send to one member of a group. */
  toOneFromAny(group: string, name: string): string {
    return this.#ofGroup(group, "*", name);
  }

  #ofGroup(group: string, from: string, name: string): string {
    const tokens = name.split(".").map((token) =>
      token === "*" || token === ">" ? token : `_${tokenOf(token)}`
    );
    return `${this.#root}.one.${tokenOf(group)}.${from}.${tokens.join(".")}`;
  }
}

/** A text as one part of a subject. */
export function tokenOf(text: string): string {
  return encodeURIComponent(text).replace(
    /[.!~*'()]/g,
    (character) =>
      `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/**
 * Who sends what has a subject.
 *
 * @throws {MalformedError} If it names no node.
 */
export function senderOf(subject: string): NodeId {
  const tokens = subject.split(".");
  const isForGroup = tokens[GROUP_AT] === "one";
  return idOf(tokens.at(isForGroup ? FROM_AT : -1) ?? "");
}

function idOf(token: string): NodeId {
  let id = "";
  try {
    id = decodeURIComponent(token);
  } catch {
    // It names nobody.
  }
  if (PRINTABLE.test(id) && tokenOf(id) === token) return id;
  throw new MalformedError("A subject names no node");
}
