/** Bytes of an Ed25519 public key, of a secret, and of a nonce. */
export const KEY_SIZE = 32;
/** Bytes of an Ed25519 signature. */
export const SIGNATURE_SIZE = 64;
/** Bytes of a SHA-256 hash, and of an HMAC with it. */
export const HASH_SIZE = 32;

/** Bytes with memory of their own, as Web Crypto takes them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const NOTHING: Bytes = new Uint8Array(0);
/** The order of the field of Curve25519. */
const FIELD = 2n ** 255n - 19n;
const SIGN_BIT = 2n ** 255n;
/**
 * The y of each point whose order divides 8. For such a key there are signatures that
 * fit every message, and Web Crypto here accepts them, although its specification
 * tells it to refuse.
 */
const SMALL_ORDER: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  FIELD - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]);

/** A text in UTF-8. */
export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** One array of bytes behind the other. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes with their length (2 bytes) in front, so that no two lists of them look alike. */
export function sized(bytes: Uint8Array): Bytes {
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** Bytes in base64url (RFC 4648 §5), without padding. */
export function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** @throws {DOMException} If the text is no base64url. */
export function fromBase64(text: string): Bytes {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

/** SHA-256 of parts, one behind the other. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(
    await crypto.subtle.digest("SHA-256", concat(...parts)),
  );
}

/** A key to derive others from (HKDF, RFC 5869). */
export function hkdfKey(secret: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", concat(secret), "HKDF", false, [
    "deriveBits",
  ]);
}

/** 32 bytes derived from a key. */
export async function derive(
  key: CryptoKey,
  info: string,
  salt: Uint8Array = NOTHING,
): Promise<Bytes> {
  const how = {
    name: "HKDF",
    hash: "SHA-256",
    salt: concat(salt),
    info: utf8(info),
  };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
}

/** A key for codes of authentication (HMAC, RFC 2104). */
export function hmacKey(bytes: Bytes): Promise<CryptoKey> {
  const how = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", bytes, how, false, ["sign", "verify"]);
}

/** The code of authentication of a message. */
export async function hmac(
  key: CryptoKey,
  message: Uint8Array,
): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, concat(message)));
}

/** Whether a code of authentication is that of a message; takes as long where it is not. */
export function isHmac(
  key: CryptoKey,
  code: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  return crypto.subtle.verify("HMAC", key, concat(code), concat(message));
}

/**
 * Whether a key may be used to verify with: it is the only encoding of its point
 * (y below 2^255 - 19), and that point has no small order.
 */
export function isGoodKey(key: Uint8Array): boolean {
  if (key.length !== KEY_SIZE) return false;
  const y = BigInt(`0x${hex(key.slice().reverse())}`) % SIGN_BIT;
  return y < FIELD && !SMALL_ORDER.has(y);
}

/** Whether a signature (Ed25519, RFC 8032) of a message is by the owner of a key. */
export async function isSignature(
  key: Uint8Array,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  if (!isGoodKey(key) || signature.length !== SIGNATURE_SIZE) return false;
  try {
    const verifier = await crypto.subtle.importKey(
      "raw",
      concat(key),
      "Ed25519",
      false,
      ["verify"],
    );
    return await crypto.subtle.verify(
      "Ed25519",
      verifier,
      concat(signature),
      concat(message),
    );
  } catch {
    return false; // the bytes are no point of the curve
  }
}

/** The id of the node that owns a key: the first 16 bytes of its SHA-256, in hexadecimal. */
export async function idOfKey(key: Uint8Array): Promise<string> {
  return hex((await sha256(key)).subarray(0, 16));
}
