/**
 * Who a node is, proven by a key: Ed25519 keys, and what an authority grants them.
 *
 * ```ts
 * import { createIdentity, grant, parseIdentity } from "@devts/protocol/identity";
 * import { assertEquals } from "@std/assert";
 *
 * // The operator, offline.
 * const { identity: authority } = await createIdentity();
 * const { identity: node, text } = await createIdentity();
 * const granted = await grant(authority, {
 *   cluster: "demo",
 *   key: node.key,
 *   from: Date.UTC(2030, 0, 1),
 *   until: Date.UTC(2031, 0, 1),
 * });
 *
 * // The node, from its file.
 * const own = await parseIdentity(text, granted);
 * assertEquals(own.id, node.id);
 * ```
 *
 * @module
 */
import { encode } from "@std/msgpack";
import {
  type Bytes,
  concat,
  fromBase64,
  idOfKey,
  isGoodKey,
  isSignature,
  KEY_SIZE,
  SIGNATURE_SIZE,
  toBase64,
  utf8,
} from "./_crypto.ts";
import { Fields } from "./_fields.ts";
import { isName } from "./_introduction.ts";
import { ProtocolError, type Rights } from "./types.ts";

/** The longest grant, in bytes. */
const GRANT_LIMIT = 2048;
const RIGHTS = 64;
const RIGHT_LENGTH = 256;
const NOTHING: Bytes = new Uint8Array(0);
/** What stands in front of the seed of an Ed25519 key in PKCS #8 (RFC 8410). */
const PKCS8 = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06],
  ...[0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

/** A key, and who it makes its owner. */
export interface Identity {
  /** The id of its owner: the first 16 bytes of the key's SHA-256, in hexadecimal. */
  readonly id: string;
  /** The public key, 32 bytes. */
  readonly key: Uint8Array;
  /** Both keys, as Web Crypto holds them. */
  readonly keys: CryptoKeyPair;
  /** What an authority granted to the key; empty: nothing. */
  readonly grant: Uint8Array;
}

/** What an authority says of a key. */
export interface Grant {
  /** In which cluster it holds. */
  readonly cluster: string;
  /** The public key, 32 bytes. */
  readonly key: Uint8Array;
  /** From when on it holds, in ms since 1970. */
  readonly from: number;
  /** Until when it holds, in ms since 1970. */
  readonly until: number;
  /**
   * What its owner may do.
   *
   * @default {everything: it is a member}
   */
  readonly rights?: Rights;
}

/** Whom to believe. */
export interface Believed {
  /**
   * Public keys of members, as text; with rights: of guests.
   *
   * @default {[]}
   */
  readonly keys?: readonly (string | KeyWithRights)[];
  /**
   * Public keys of authorities, as text: what they grant is believed.
   *
   * @default {[]}
   */
  readonly authorities?: readonly string[];
  /**
   * Ids of nodes that are believed no more, whatever else is said.
   *
   * @default {[]}
   */
  readonly revoked?: readonly string[];
}

/** The key of a guest, and what the guest may do. */
export interface KeyWithRights {
  /** The public key, as text. */
  readonly key: string;
  /** What its owner may do. */
  readonly rights: Rights;
}

/** What was found of a key: its owner's rights (`null`: all of them), or what is wrong. */
export type Verdict =
  | { readonly rights: Rights | null }
  | { readonly fault: string };

/** Makes an identity of a new key, and the text to keep of it: as secret as the key. */
export async function createIdentity(): Promise<
  { identity: Identity; text: string }
> {
  const seed = crypto.getRandomValues(new Uint8Array(KEY_SIZE));
  const text = toBase64(seed);
  return { identity: await parseIdentity(text), text };
}

/**
 * The identity of a text that {@linkcode createIdentity} gave.
 *
 * @param text The text.
 * @param grant What an authority granted to the key.
 * @throws {TypeError} If the text is malformed.
 */
export async function parseIdentity(
  text: string,
  grant: Uint8Array = NOTHING,
): Promise<Identity> {
  const pkcs8 = concat(PKCS8, parseBytes(text, "the key"));
  // Extractable: the public key is read from its other form.
  const how = ["pkcs8", pkcs8, "Ed25519"] as const;
  const open = await crypto.subtle.importKey(...how, true, ["sign"]);
  const { x = "" } = await crypto.subtle.exportKey("jwk", open);
  const privateKey = await crypto.subtle.importKey(...how, false, ["sign"]);
  return await identityOf(privateKey, fromBase64(x), grant);
}

/**
 * The identity of a pair of keys that Web Crypto made: in a browser, keys that no
 * script can read.
 *
 * @param keys Ed25519 keys; the private one need not be extractable.
 * @param grant What an authority granted to the key.
 */
export async function identityOfKeys(
  keys: CryptoKeyPair,
  grant: Uint8Array = NOTHING,
): Promise<Identity> {
  const key = new Uint8Array(
    await crypto.subtle.exportKey("raw", keys.publicKey),
  );
  return await identityOf(keys.privateKey, key, grant);
}

/** A public key as text: 43 characters (base64url). */
export function keyText(key: Uint8Array): string {
  return toBase64(key);
}

/**
 * A public key of its text.
 *
 * @throws {TypeError} If it is malformed, or no key that a signature can be checked with.
 */
export function parseKey(text: string): Uint8Array {
  const key = parseBytes(text, "the public key");
  if (isGoodKey(key)) return key;
  throw new TypeError(
    `Cannot use the public key "${text}": signatures by it prove nothing`,
  );
}

/** The id of the node that owns a key. */
export function nodeIdOf(key: Uint8Array): Promise<string> {
  return idOfKey(key);
}

/**
 * Grants a key its place in a cluster.
 *
 * @param authority Who grants.
 * @param of What is granted to whom.
 * @throws {RangeError} If it is out of range.
 */
export async function grant(
  authority: Identity,
  of: Grant,
): Promise<Uint8Array> {
  const fault = grantFault(of);
  if (fault !== null) throw new RangeError(`Cannot grant: ${fault}`);
  const { cluster, key, from, until, rights } = of;
  const said = concat(encode({
    cluster,
    key,
    from,
    until,
    ...(rights && { emit: [...rights.emit], handle: [...rights.handle] }),
  }));
  const granted = concat(said, await sign(authority, GRANTING, said));
  if (granted.length <= GRANT_LIMIT) return granted;
  throw new RangeError(
    `Cannot grant: with its rights it takes ${granted.length} bytes, and at most ${GRANT_LIMIT} are told`,
  );
}

/**
 * Reads what was granted, without believing it.
 *
 * @throws {ProtocolError} If it is malformed.
 */
export function readGrant(bytes: Uint8Array): Grant {
  const fields = new Fields("grant", saidIn(bytes));
  const rights = fields.has("emit")
    ? { emit: fields.texts("emit"), handle: fields.texts("handle") }
    : undefined;
  const of: Grant = {
    cluster: fields.text("cluster"),
    key: fields.bytes("key"),
    from: fields.integer("from"),
    until: fields.integer("until"),
    ...(rights && { rights }),
  };
  const fault = grantFault(of);
  if (fault !== null) throw fields.error(fault);
  return of;
}

const GRANTING = "devts/1 grant\0";

/** Signs a message for one purpose. */
export async function sign(
  { keys }: Identity,
  purpose: string,
  message: Uint8Array,
): Promise<Uint8Array> {
  const signed = concat(utf8(purpose), message);
  return new Uint8Array(
    await crypto.subtle.sign("Ed25519", keys.privateKey, signed),
  );
}

/** Whom a node believes; ids can be revoked while it runs. */
export class Belief {
  readonly #rights = new Map<string, Rights | null>();
  readonly #authorities: readonly Uint8Array[];
  readonly #revoked: Set<string>;

  /**
   * Makes it of lists.
   *
   * @throws {TypeError} If a key or the rights of a key are malformed.
   */
  constructor(of: Believed) {
    for (const entry of of.keys ?? []) {
      const { key, rights } = typeof entry === "string"
        ? { key: entry, rights: null }
        : entry;
      this.#rights.set(toBase64(parseKey(key)), rights);
      const fault = rights && rightsFault(rights);
      if (fault) {
        throw new TypeError(`Cannot believe the key "${key}": ${fault}`);
      }
    }
    this.#authorities = (of.authorities ?? []).map(parseKey);
    this.#revoked = new Set(of.revoked);
  }

  /** Believes a node no more. */
  revoke(id: string): void {
    this.#revoked.add(id);
  }

  /** What a key and its grant are worth. The key is not proven by this. */
  async judge(
    { key, grant, cluster, now }: {
      readonly key: Uint8Array;
      readonly grant: Uint8Array;
      readonly cluster: string;
      readonly now: number;
    },
  ): Promise<Verdict> {
    if (!isGoodKey(key)) return { fault: "its key proves nothing" };
    const id = await idOfKey(key);
    if (this.#revoked.has(id)) return { fault: `node "${id}" is revoked` };
    const listed = this.#rights.get(toBase64(key));
    if (listed !== undefined) return { rights: listed };
    if (grant.length === 0 || this.#authorities.length === 0) {
      return { fault: `nobody vouches for its key ${toBase64(key)}` };
    }
    return await this.#judgeGrant(key, grant, cluster, now);
  }

  async #judgeGrant(
    key: Uint8Array,
    bytes: Uint8Array,
    cluster: string,
    now: number,
  ): Promise<Verdict> {
    let of: Grant;
    try {
      of = readGrant(bytes);
    } catch (error) {
      if (error instanceof ProtocolError) return { fault: error.message };
      throw error;
    }
    if (toBase64(of.key) !== toBase64(key)) {
      return { fault: "its grant is for another key" };
    }
    if (of.cluster !== cluster) {
      return { fault: `its grant is for cluster "${of.cluster}"` };
    }
    if (now < of.from || now >= of.until) {
      return { fault: "its grant has expired, or does not hold yet" };
    }
    const signed = concat(utf8(GRANTING), saidIn(bytes));
    const signature = bytes.subarray(bytes.length - SIGNATURE_SIZE);
    for (const authority of this.#authorities) {
      if (await isSignature(authority, signature, signed)) {
        return { rights: of.rights ?? null };
      }
    }
    return { fault: "its grant is by no authority that this node believes" };
  }
}

async function identityOf(
  privateKey: CryptoKey,
  key: Bytes,
  grant: Uint8Array,
): Promise<Identity> {
  const publicKey = await crypto.subtle.importKey("raw", key, "Ed25519", true, [
    "verify",
  ]);
  if (grant.length > 0 && toBase64(readGrant(grant).key) !== toBase64(key)) {
    throw new TypeError("Cannot use the grant: it is for another key");
  }
  return {
    id: await idOfKey(key),
    key,
    keys: { privateKey, publicKey },
    grant,
  };
}

function saidIn(grant: Uint8Array): Uint8Array {
  return grant.subarray(0, Math.max(0, grant.length - SIGNATURE_SIZE));
}

function grantFault(
  { cluster, key, from, until, rights }: Grant,
): string | null {
  if (!isName(cluster)) {
    return "its cluster must be 1 to 64 printable characters";
  }
  if (!isGoodKey(key)) return "signatures by its key prove nothing";
  if (!(from < until)) return "it must end after it begins";
  return rights === undefined ? null : rightsFault(rights);
}

function rightsFault({ emit, handle }: Rights): string | null {
  for (const names of [emit, handle]) {
    if (names.length > RIGHTS) return `at most ${RIGHTS} names can be told`;
    if (names.some((name) => name === "" || name.length > RIGHT_LENGTH)) {
      return `names must be 1 to ${RIGHT_LENGTH} characters`;
    }
  }
  return null;
}

function parseBytes(text: string, what: string): Bytes {
  const trimmed = text.trim();
  if (/^[A-Za-z0-9_-]{43}$/.test(trimmed)) return fromBase64(trimmed);
  throw new TypeError(
    `Cannot use ${what}: it must be 43 characters of base64url`,
  );
}
