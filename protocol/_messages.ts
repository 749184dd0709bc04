import { encode } from "@std/msgpack";
import { Fields } from "./_fields.ts";
import { HEADER_SIZE, writeHeader } from "./_frames.ts";
import { introductionFields, isId, readIntroduction } from "./_introduction.ts";
import { type Introduction, ProtocolError } from "./types.ts";

/** The longest message of the handshake, in bytes with its header. */
export const MESSAGE_LIMIT = 4096;
/** Bytes of a nonce. */
export const NONCE_SIZE = 32;

/** Versions of the protocol, both included. */
export interface Versions {
  /** The lowest. */
  readonly min: number;
  /** The highest. */
  readonly max: number;
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

/** The first message: the dialer says hello. */
export function writeHello(hello: Hello, versions: Versions): Uint8Array {
  const body = encode({
    nonce: hello.nonce,
    key: NONE,
    expect: hello.expect,
    keys: [],
    ...introductionFields(hello.introduction),
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

/** Reads what stands behind the prefix of a hello. */
export function readHello(message: Uint8Array): Hello {
  const fields = new Fields("hello", message.subarray(HELLO_AT));
  refuseKeys(fields);
  if (fields.list("keys").length > 0) {
    throw fields.error("it offers keys that this node cannot check");
  }
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
  const said = encode({
    nonce: welcome.nonce,
    key: NONE,
    ...introductionFields(welcome.introduction),
  });
  const proof = encode({ sig: NONE, mac: NONE });
  const frame = new Uint8Array(WELCOME_AT + said.length + proof.length);
  writeHeader("welcome", frame);
  frame[VERSION_AT] = welcome.version;
  frame[LENGTH_AT] = said.length >> 8;
  frame[LENGTH_AT + 1] = said.length & 0xff;
  frame.set(said, WELCOME_AT);
  frame.set(proof, WELCOME_AT + said.length);
  return frame;
}

/** Reads a welcome that speaks one of `versions`. */
export function readWelcome(message: Uint8Array, versions: Versions): Welcome {
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
  refuseKeys(fields);
  refuseProof(new Fields("welcome", message.subarray(end)), "sig", "mac");
  return {
    version,
    nonce: readNonce(fields),
    introduction: readIntroduction(fields),
  };
}

/** The third message: the dialer proves who it is. */
export function writeProof(): Uint8Array {
  return frame("proof", encode({ sig: NONE, mac: NONE }));
}

/** Reads a proof, of which there is none yet. */
export function readProof(message: Uint8Array): void {
  const fields = new Fields("proof", message.subarray(HEADER_SIZE));
  refuseProof(fields, "sig", "mac");
}

/** The fourth message: the acceptor lets the dialer in. */
export function writeFinish(): Uint8Array {
  return frame("finish", encode({ mac: NONE }));
}

/** Reads a finish, whose proof is empty yet. */
export function readFinish(message: Uint8Array): void {
  refuseProof(new Fields("finish", message.subarray(HEADER_SIZE)), "mac");
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

// The seam of authentication: what is said stands in the messages up to here, and
// whoever checks proofs replaces this by a check against a hash of those bytes.
function refuseProof(fields: Fields, ...names: readonly string[]): void {
  if (names.every((name) => fields.bytes(name).length === 0)) return;
  throw fields.error("it offers a proof that this node cannot check");
}
