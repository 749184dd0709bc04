/**
 * The secret of a cluster, and the keys that a node accepts while it changes.
 *
 * ```ts
 * import { createSecret, parseSecret, secretText } from "@devts/protocol/secret";
 * import { assertEquals } from "@std/assert";
 *
 * const secret = createSecret();
 * assertEquals(parseSecret(secretText(secret)), secret);
 * ```
 *
 * @module
 */
import { fromBase64, KEY_SIZE, toBase64, utf8 } from "./_crypto.ts";

const TEXT = /^[A-Za-z0-9_-]{43}$/;
/** Where a passphrase is stretched: RFC 9106 §4, its second choice. */
const ARGON2 = { name: "Argon2id", memory: 65536, passes: 3, parallelism: 1 };

/** A secret: 32 bytes, or the text that {@linkcode secretText} makes of them. */
export type Secret = Uint8Array | string;

/** Makes a new secret of 32 random bytes. */
export function createSecret(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(KEY_SIZE));
}

/** A secret as a text of 43 characters (base64url), for a file. */
export function secretText(secret: Uint8Array): string {
  return toBase64(secret);
}

/**
 * A secret of either form, as bytes of one's own.
 *
 * @throws {TypeError} If it is neither 32 bytes nor the text of 32 bytes.
 */
export function parseSecret(secret: Secret): Uint8Array {
  if (typeof secret !== "string") {
    if (secret instanceof Uint8Array && secret.length === KEY_SIZE) {
      return secret.slice();
    }
    throw new TypeError(
      `Cannot use the secret: it must be ${KEY_SIZE} bytes, such as createSecret() makes`,
    );
  }
  const text = secret.trim();
  if (!TEXT.test(text)) {
    throw new TypeError(
      "Cannot use the secret: it must be the 43 characters that `deno task secret` prints; " +
        "make one of a passphrase with secretFromPassphrase()",
    );
  }
  return fromBase64(text);
}

/**
 * Makes a secret of a passphrase, by Argon2id (RFC 9106): 64 MiB, 3 passes, a fraction of
 * a second. Whoever can connect can guess at leisure what they see, so choose six random
 * words or more; better, use {@linkcode createSecret}.
 *
 * @param passphrase At least 16 characters.
 * @param cluster The name of the cluster: another cluster gets another secret.
 * @throws {RangeError} If the passphrase is shorter.
 */
export async function secretFromPassphrase(
  passphrase: string,
  cluster: string,
): Promise<Uint8Array> {
  if (passphrase.length < 16) {
    throw new RangeError(
      "Cannot make a secret of the passphrase: it must be 16 characters or more",
    );
  }
  const key = await crypto.subtle.importKey(
    "raw-secret" as "raw",
    utf8(passphrase.normalize("NFC")),
    ARGON2.name,
    false,
    ["deriveBits"],
  );
  const how = { ...ARGON2, nonce: utf8(`devts/1 passphrase ${cluster}`) };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
}
