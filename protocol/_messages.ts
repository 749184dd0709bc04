import { encode } from "@std/msgpack";
import { Fields } from "./_fields.ts";
import { HEADER_SIZE, writeHeader } from "./_frames.ts";
import { introductionFields, isId, readIntroduction } from "./_introduction.ts";
import { type Introduction, ProtocolError } from "./types.ts";

/** The longest message of the handshake, in bytes with its header. */
export const MESSAGE_LIMIT = 4096;
/** Bytes of a nonce. */
export const NONCE_SIZE = 32;
/** Bytes of a code of authentication. */
export const MAC_SIZE = 32;
/** Bytes of the id of a secret. */
const KEY_ID_SIZE = 8;
/** How many secrets an end claims to know at most. */
const KEY_IDS = 8;
/** Bytes of a public key. */
const KEY_SIZE = 32;

/** Versions of the protocol, both included. */
export interface Versions {
  /** The lowest. */
  readonly min: number;
  /** The highest. */
  readonly max: number;
}

/** What an end of the handshake claims to know and to be; proven by what follows. */
export interface Claims {
  /** The ids of the secrets that it knows: of the acceptor, the one that it chose. */
  readonly keyIds: readonly Uint8Array[];
  /** Its public key; empty: none. */
  readonly key: Uint8Array;
  /** What an authority granted to the key; empty: nothing. */
  readonly grant: Uint8Array;
}

/** A signature by the key that was claimed, and a code by the secret; empty: none. */
export interface Proofs {
  readonly sig: Uint8Array;
  readonly mac: Uint8Array;
}

/** What the first message says behind its prefix. */
export interface Hello {
  /** Makes the handshake unlike every other one. */
  readonly nonce: Uint8Array;
  /** The id of the node that was dialled, or empty where it was not known. */
  readonly expect: string;
  /** Who dialled. */
  readonly introduction: Introduction;
}

/** What the second message says. */
export interface Welcome {
  /** The version that the acceptor chose. */
  readonly version: number;
  /** Makes the handshake unlike every other one. */
  readonly nonce: Uint8Array;
  /** Who accepted. */
  readonly introduction: Introduction;
}

// The prefix of a hello is fixed for ever, so that every version can read it.
const MAGIC = new TextEncoder().encode("DVTS");
const MIN_AT = HEADER_SIZE + MAGIC.length;
const MAX_AT = MIN_AT + 1;
const HELLO_AT = MAX_AT + 1;

// A welcome: the version, the length of what is said, that itself, its proof.
// The proof stands last, so that what it will vouch for is the bytes before it.
const VERSION_AT = HEADER_SIZE;
const LENGTH_AT = VERSION_AT + 1;
const WELCOME_AT = LENGTH_AT + 2;

/** Stands where keys, signatures and codes of authentication will. */
const NONE = new Uint8Array(0);

/** Who claims nothing. */
const NO_CLAIMS: Claims = { keyIds: [], key: NONE, grant: NONE };
/** Who proves nothing. */
const NO_PROOFS: Proofs = { sig: NONE, mac: NONE };

/**
 * The first message: the dialer says hello. With claims to secrets it ends in
 * {@linkcode MAC_SIZE} bytes for a code over all before, which the caller fills in.
 */
export function writeHello(
  hello: Hello,
  versions: Versions,
  claims = NO_CLAIMS,
): Uint8Array {
  const { key, keyIds, grant } = claims;
  const body = encode({
    nonce: hello.nonce,
    key,
    expect: hello.expect,
    keys: [...keyIds],
    ...introductionFields(hello.introduction),
    ...(grant.length > 0 ? { grant } : {}),
    ...(keyIds.length > 0 ? { mac: new Uint8Array(MAC_SIZE) } : {}),
  });
  const frame = new Uint8Array(HELLO_AT + body.length);
  writeHeader("hello", frame);
  frame.set(MAGIC, HEADER_SIZE);
  frame[MIN_AT] = versions.min;
  frame[MAX_AT] = versions.max;
  frame.set(body, HELLO_AT);
  return frame;
}

/** Reads the prefix of a hello: the versions that the dialer speaks. */
export function readVersions(message: Uint8Array): Versions {
  if (!MAGIC.every((byte, i) => message[HEADER_SIZE + i] === byte)) {
    throw new ProtocolError(
      'Cannot read the hello: its body does not start with "DVTS"',
    );
  }
  const min = message[MIN_AT];
  const max = message[MAX_AT];
  if (min === undefined || max === undefined) {
    throw new ProtocolError("Cannot read the hello: it ends in its prefix");
  }
  if (min < 1 || min > max) {
    throw new ProtocolError(
      `Cannot read the hello: ${min} to ${max} is no range of versions`,
    );
  }
  return { min, max };
}

/** Reads what stands behind the prefix of a hello that claims nothing. */
export function readHello(message: Uint8Array): Hello {
  const fields = helloFields(message);
  refuseKeys(fields);
  if (fields.list("keys").length > 0) {
    throw fields.error("it offers keys that this node cannot check");
  }
  return helloOf(fields);
}

/** Reads what stands behind the prefix of a hello, with what it claims. */
export function readClaimingHello(
  message: Uint8Array,
): { readonly hello: Hello; readonly claims: Claims } {
  const fields = helloFields(message);
  const keyIds = fields.list("keys");
  if (keyIds.length > KEY_IDS || !keyIds.every(isKeyId)) {
    throw fields.error(
      `its keys must be at most ${KEY_IDS}, of ${KEY_ID_SIZE} bytes each`,
    );
  }
  return { hello: helloOf(fields), claims: claimsOf(fields, keyIds) };
}

function helloFields(message: Uint8Array): Fields {
  return new Fields("hello", message.subarray(HELLO_AT));
}

function helloOf(fields: Fields): Hello {
  const expect = fields.text("expect");
  if (expect !== "" && !isId(expect)) {
    throw fields.error("the id that it expects is no id");
  }
  return {
    nonce: readNonce(fields),
    expect,
    introduction: readIntroduction(fields),
  };
}

/** The second message: the acceptor says who it is. */
export function writeWelcome(welcome: Welcome): Uint8Array {
  return withProofs(writeUnprovenWelcome(welcome, NO_CLAIMS), NO_PROOFS);
}

/** The second message up to its proofs. */
export function writeUnprovenWelcome(
  welcome: Welcome,
  { keyIds: [keyId], key, grant }: Claims,
): Uint8Array {
  const said = encode({
    nonce: welcome.nonce,
    key,
    ...introductionFields(welcome.introduction),
    ...(grant.length > 0 ? { grant } : {}),
    ...(keyId === undefined ? {} : { keys: [keyId] }),
  });
  const frame = new Uint8Array(WELCOME_AT + said.length);
  writeHeader("welcome", frame);
  frame[VERSION_AT] = welcome.version;
  frame[LENGTH_AT] = said.length >> 8;
  frame[LENGTH_AT + 1] = said.length & 0xff;
  frame.set(said, WELCOME_AT);
  return frame;
}

/** A second message with its proofs. */
export function withProofs(
  welcome: Uint8Array,
  { sig, mac }: Proofs,
): Uint8Array {
  const proofs = encode({ sig, mac });
  const frame = new Uint8Array(welcome.length + proofs.length);
  frame.set(welcome);
  frame.set(proofs, welcome.length);
  return frame;
}

/** Reads a welcome that speaks one of `versions`, and that claims nothing. */
export function readWelcome(message: Uint8Array, versions: Versions): Welcome {
  const { version, fields, end } = welcomeFields(message, versions);
  refuseKeys(fields);
  refuseProof(new Fields("welcome", message.subarray(end)), "sig", "mac");
  return welcomeOf(fields, version);
}

/** Reads a welcome that speaks one of `versions`, with what it claims and proves. */
export function readProvingWelcome(
  message: Uint8Array,
  versions: Versions,
): {
  readonly welcome: Welcome;
  readonly claims: Claims;
  readonly proofs: Proofs;
  /** The message up to its proofs. */
  readonly unproven: Uint8Array;
} {
  const { version, fields, end } = welcomeFields(message, versions);
  const keyIds = fields.has("keys") ? fields.list("keys") : [];
  if (keyIds.length > 1 || !keyIds.every(isKeyId)) {
    throw fields.error(`its key must be one, of ${KEY_ID_SIZE} bytes`);
  }
  const unproven = message.subarray(0, end);
  const proofs = proofsOf(new Fields("welcome", message.subarray(end)));
  refuseOtherForms("welcome", message, withProofs(unproven, proofs));
  return {
    welcome: welcomeOf(fields, version),
    claims: claimsOf(fields, keyIds),
    proofs,
    unproven,
  };
}

function welcomeFields(
  message: Uint8Array,
  versions: Versions,
): { version: number; fields: Fields; end: number } {
  const [version, high, low] = message.subarray(VERSION_AT, WELCOME_AT);
  if (version === undefined || high === undefined || low === undefined) {
    throw new ProtocolError("Cannot read the welcome: it ends in its prefix");
  }
  if (version < versions.min || version > versions.max) {
    throw new ProtocolError(
      `Cannot read the welcome: it chose version ${version}, which was not offered`,
    );
  }
  const end = WELCOME_AT + (high << 8 | low);
  if (end > message.length) {
    throw new ProtocolError("Cannot read the welcome: it ends too early");
  }
  const fields = new Fields("welcome", message.subarray(WELCOME_AT, end));
  return { version, fields, end };
}

function welcomeOf(fields: Fields, version: number): Welcome {
  return {
    version,
    nonce: readNonce(fields),
    introduction: readIntroduction(fields),
  };
}

/** The third message: the dialer proves who it is. */
export function writeProof({ sig, mac }: Proofs = NO_PROOFS): Uint8Array {
  return frame("proof", encode({ sig, mac }));
}

/** Reads a proof that proves nothing. */
export function readProof(message: Uint8Array): void {
  const fields = new Fields("proof", message.subarray(HEADER_SIZE));
  refuseProof(fields, "sig", "mac");
}

/** The fourth message: the acceptor lets the dialer in. */
export function writeFinish({ sig, mac }: Proofs = NO_PROOFS): Uint8Array {
  return frame("finish", encode(sig.length > 0 ? { sig, mac } : { mac }));
}

/** Reads a finish that proves nothing. */
export function readFinish(message: Uint8Array): void {
  refuseProof(new Fields("finish", message.subarray(HEADER_SIZE)), "mac");
}

/** Reads the proofs of a third or a fourth message. */
export function readProofs(
  name: "proof" | "finish",
  message: Uint8Array,
): Proofs {
  const proofs = proofsOf(new Fields(name, message.subarray(HEADER_SIZE)));
  const write = name === "proof" ? writeProof : writeFinish;
  refuseOtherForms(name, message, write(proofs));
  return proofs;
}

// What nothing later vouches for has one form only, so that none but it is accepted.
function refuseOtherForms(
  name: string,
  message: Uint8Array,
  only: Uint8Array,
): void {
  if (
    message.length === only.length &&
    message.every((byte, at) => byte === only[at])
  ) return;
  throw new ProtocolError(
    `Cannot read the ${name}: its proofs are not in the only form of this version`,
  );
}

function frame(name: "proof" | "finish", body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + body.length);
  writeHeader(name, bytes);
  bytes.set(body, HEADER_SIZE);
  return bytes;
}

function readNonce(fields: Fields): Uint8Array {
  const nonce = fields.bytes("nonce");
  if (nonce.length === NONCE_SIZE) return nonce;
  throw fields.error(`its nonce must be ${NONCE_SIZE} bytes`);
}

function refuseKeys(fields: Fields): void {
  if (fields.bytes("key").length === 0) return;
  throw fields.error("it offers a key that this node cannot check");
}

function claimsOf(fields: Fields, keyIds: readonly Uint8Array[]): Claims {
  const key = fields.bytes("key");
  if (key.length !== 0 && key.length !== KEY_SIZE) {
    throw fields.error(`its key must be ${KEY_SIZE} bytes`);
  }
  return { keyIds, key, grant: fields.bytesIfAny("grant") };
}

function isKeyId(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === KEY_ID_SIZE;
}

function proofsOf(fields: Fields): Proofs {
  return { sig: fields.bytesIfAny("sig"), mac: fields.bytes("mac") };
}

function refuseProof(fields: Fields, ...names: readonly string[]): void {
  if (names.every((name) => fields.bytes(name).length === 0)) return;
  throw fields.error("it offers a proof that this node cannot check");
}
