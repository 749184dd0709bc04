import type { Fields } from "./_fields.ts";
import { isPrintable } from "./_text.ts";
import type { Introduction } from "./types.ts";

const NAME_LENGTH = 64;
const ADDRESSES = 8;
const META_SIZE = 512;
const MIN_MESSAGE = 4096;
const MAX_MESSAGE = 1024 ** 3;
const ID = /^[\x21-\x7e]{1,64}$/;
/** URLs are ASCII; so 8 addresses always fit into a message of the handshake. */
const ADDRESS = /^[\x21-\x7e]{1,256}$/;

/** The fields of an introduction, as they stand in a message. */
export interface IntroductionFields {
  cluster: string;
  id: string;
  inc: number;
  format: string;
  addresses: readonly string[];
  meta: Uint8Array;
  max: number;
  contract?: string;
}

/** Whether a text can be the id of a node. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** What is out of range in an introduction, as "its … must be …", or `null`. */
function introductionFault(of: Introduction): string | null {
  if (!isName(of.cluster)) {
    return "its cluster must be 1 to 64 printable characters";
  }
  if (!isId(of.id)) return "its id must be 1 to 64 printable ASCII characters";
  if (!isInteger(of.incarnation, 0, Number.MAX_SAFE_INTEGER)) {
    return "its incarnation must be an integer from 0 to 2⁵³ − 1";
  }
  if (!isName(of.format)) {
    return "its format must be 1 to 64 printable characters";
  }
  if (of.addresses.length > ADDRESSES) {
    return "its addresses must be at most 8";
  }
  if (!of.addresses.every((address) => ADDRESS.test(address))) {
    return "its addresses must be 1 to 256 printable ASCII characters each";
  }
  if (of.meta.length > META_SIZE) {
    return "its metadata must be at most 512 bytes";
  }
  if (!isInteger(of.maxMessage, MIN_MESSAGE, MAX_MESSAGE)) {
    return "its longest message must be between 4096 bytes and 1 GiB";
  }
  if (of.contract !== undefined && !isId(of.contract)) {
    return "its contract must be 1 to 64 printable ASCII characters";
  }
  return null;
}

/** What this node says of itself, once it is found to be in range. */
export function checked(self: Introduction): Introduction {
  const fault = introductionFault(self);
  if (fault === null) return self;
  throw new RangeError(`Cannot introduce this node: ${fault}`);
}

/** The fields that carry an introduction. */
export function introductionFields(of: Introduction): IntroductionFields {
  return {
    cluster: of.cluster,
    id: of.id,
    inc: of.incarnation,
    format: of.format,
    addresses: of.addresses,
    meta: of.meta,
    max: of.maxMessage,
    ...(of.contract !== undefined && { contract: of.contract }),
  };
}

/** Reads an introduction from the fields of a message. */
export function readIntroduction(fields: Fields): Introduction {
  const introduction: Introduction = {
    cluster: fields.text("cluster"),
    id: fields.text("id"),
    incarnation: fields.integer("inc"),
    format: fields.text("format"),
    addresses: fields.texts("addresses"),
    meta: fields.bytes("meta"),
    maxMessage: fields.integer("max"),
    ...(fields.has("contract") && { contract: fields.text("contract") }),
  };
  const fault = introductionFault(introduction);
  if (fault !== null) throw fields.error(fault);
  return introduction;
}

/** Whether a text can be the name of a cluster. */
export function isName(text: string): boolean {
  return text.length > 0 && text.length <= NAME_LENGTH && isPrintable(text);
}

function isInteger(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}
