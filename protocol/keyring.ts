/**
 * The secrets that a node accepts, one of them in use: how a cluster changes its
 * secret while it runs.
 *
 * ```ts
 * import { Keyring } from "@devts/protocol/keyring";
 * import { createSecret } from "@devts/protocol/secret";
 * import { assertEquals } from "@std/assert";
 *
 * const ring = new Keyring(createSecret());
 * const [old] = await ring.keys();
 * const next = await ring.install(createSecret()); // accepted from now on
 * await ring.use(next); // shown from now on
 * await ring.remove(old?.id ?? ""); // refused from now on
 * assertEquals((await ring.keys()).map(({ id }) => id), [next]);
 * ```
 *
 * @module
 */
import {
  concat,
  derive,
  fromBase64,
  hex,
  hkdfKey,
  hmac,
  hmacKey,
  isHmac,
  toBase64,
  utf8,
} from "./_crypto.ts";
import { parseSecret, type Secret, secretText } from "./secret.ts";

export type { Secret };

/** How many secrets a ring holds at most. */
const RING_SIZE = 8;
const ID_SIZE = 8;
const NONCE_SIZE = 12;

/** A secret of a ring, without the secret. */
export interface KeyInfo {
  /** Its id: 16 hexadecimal digits, which tell nothing of the secret. */
  readonly id: string;
  /** Whether it is the one in use: shown to others, and derived from for certificates. */
  readonly inUse: boolean;
}

/** A secret, and what is derived from it. */
export class SecretKey {
  /** The secret itself. */
  readonly secret: Uint8Array;
  /** Its id, 8 bytes. */
  readonly id: Uint8Array;
  /** Its id in hexadecimal. */
  readonly name: string;
  readonly #root: CryptoKey;
  readonly #first: CryptoKey;

  private constructor(
    secret: Uint8Array,
    root: CryptoKey,
    id: Uint8Array,
    first: CryptoKey,
  ) {
    this.secret = secret;
    this.#root = root;
    this.id = id;
    this.name = hex(id);
    this.#first = first;
  }

  /** Derives what a secret is used for. */
  static async of(secret: Uint8Array): Promise<SecretKey> {
    const root = await hkdfKey(secret);
    const id = (await derive(root, "devts/1 key-id")).slice(0, ID_SIZE);
    const first = await hmacKey(await derive(root, "devts/1 mac1"));
    return new SecretKey(secret, root, id, first);
  }

  /** The secret as text. */
  get text(): string {
    return secretText(this.secret);
  }

  /** The code that the first message of a handshake ends in. */
  first(message: Uint8Array): Promise<Uint8Array> {
    return hmac(this.#first, message);
  }

  /** Whether a code is that of a first message. */
  isFirst(code: Uint8Array, message: Uint8Array): Promise<boolean> {
    return isHmac(this.#first, code, message);
  }

  /** The code by which `role` proves to know the secret, in one handshake. */
  async prove(role: string, transcript: Uint8Array): Promise<Uint8Array> {
    return hmac(await this.#keyOf(role, transcript), transcript);
  }

  /** Whether a code is that proof. */
  async isProof(
    role: string,
    transcript: Uint8Array,
    code: Uint8Array,
  ): Promise<boolean> {
    return isHmac(await this.#keyOf(role, transcript), code, transcript);
  }

  /** Encrypts what only those who hold the secret may read (AES-GCM). */
  async seal(text: string): Promise<string> {
    const iv = crypto.getRandomValues(new Uint8Array(NONCE_SIZE));
    const how = { name: "AES-GCM", iv };
    const key = await this.#sealing();
    const sealed = await crypto.subtle.encrypt(how, key, utf8(text));
    return toBase64(concat(iv, new Uint8Array(sealed)));
  }

  /**
   * Decrypts it.
   *
   * @throws {DOMException} If it was not encrypted by this secret, or was changed.
   */
  async open(sealed: string): Promise<string> {
    const bytes = fromBase64(sealed);
    const how = { name: "AES-GCM", iv: bytes.slice(0, NONCE_SIZE) };
    const key = await this.#sealing();
    const rest = bytes.slice(NONCE_SIZE);
    return new TextDecoder().decode(
      await crypto.subtle.decrypt(how, key, rest),
    );
  }

  async #keyOf(role: string, transcript: Uint8Array): Promise<CryptoKey> {
    return hmacKey(
      await derive(this.#root, `devts/1 auth ${role}`, transcript),
    );
  }

  async #sealing(): Promise<CryptoKey> {
    const bytes = await derive(this.#root, "devts/1 seal");
    return crypto.subtle.importKey("raw", bytes, "AES-GCM", false, [
      "encrypt",
      "decrypt",
    ]);
  }
}

/**
 * The secrets that one node accepts, at most 8. All calls are idempotent; a change is
 * whole or does not happen.
 */
export class Keyring {
  readonly #first: readonly Uint8Array[];
  #keys: Promise<readonly SecretKey[]> | undefined;
  readonly #callbacks = new Set<() => unknown>();

  /**
   * Makes a ring of secrets; the first one is in use, the others are accepted.
   *
   * @throws {TypeError} If there is none, or one is malformed.
   * @throws {RangeError} If there are more than 8.
   */
  constructor(secrets: Secret | readonly Secret[]) {
    const list = typeof secrets === "string" || secrets instanceof Uint8Array
      ? [secrets]
      : secrets;
    if (list.length === 0) {
      throw new TypeError("Cannot make a keyring: it needs a secret");
    }
    checkSize(list.length);
    this.#first = list.map(parseSecret);
  }

  /** The secrets without the secrets, the one in use first. */
  async keys(): Promise<readonly KeyInfo[]> {
    const keys = await this.secretKeys();
    return keys.map(({ name }, index) => ({ id: name, inUse: index === 0 }));
  }

  /** The secrets and what is derived from them, the one in use first. */
  secretKeys(): Promise<readonly SecretKey[]> {
    this.#keys ??= Promise.all(this.#first.map((one) => SecretKey.of(one)))
      .then(unique);
    return this.#keys;
  }

  /**
   * Accepts another secret from now on.
   *
   * @returns Its id.
   * @throws {TypeError} If it is malformed.
   * @throws {RangeError} If the ring is full.
   */
  async install(secret: Secret): Promise<string> {
    const key = await SecretKey.of(parseSecret(secret));
    await this.#change((keys) => {
      if (keys.some(({ name }) => name === key.name)) return keys;
      checkSize(keys.length + 1);
      return [...keys, key];
    });
    return key.name;
  }

  /**
   * Shows this secret from now on, and goes on accepting the others.
   *
   * @throws {RangeError} If it is not installed.
   */
  async use(id: string): Promise<void> {
    await this.#change((keys) => {
      const key = keys.find(({ name }) => name === id);
      if (key === undefined) {
        throw new RangeError(
          `Cannot use the key "${id}": it is not installed; install its secret first`,
        );
      }
      return key === keys[0]
        ? keys
        : [key, ...keys.filter((other) => other !== key)];
    });
  }

  /**
   * Refuses this secret from now on.
   *
   * @throws {RangeError} If it is the one in use.
   */
  async remove(id: string): Promise<void> {
    await this.#change((keys) => {
      if (keys[0]?.name === id) {
        throw new RangeError(
          `Cannot remove the key "${id}": it is in use; use another one first`,
        );
      }
      const rest = keys.filter(({ name }) => name !== id);
      return rest.length === keys.length ? keys : rest;
    });
  }

  /**
   * Calls back after each change, until disposed. Where `callback` returns a promise,
   * whoever makes the change waits for it; it must not reject.
   */
  onChange(callback: () => unknown): Disposable {
    const own = (): unknown => callback();
    this.#callbacks.add(own);
    return { [Symbol.dispose]: (): void => void this.#callbacks.delete(own) };
  }

  /** Changes come one after the other; one that fails changes nothing. */
  async #change(
    change: (keys: readonly SecretKey[]) => readonly SecretKey[],
  ): Promise<void> {
    const before = this.secretKeys();
    const after = before.then(change);
    this.#keys = after.catch(() => before);
    if (await after !== await before) {
      await Promise.all([...this.#callbacks].map((callback) => callback()));
    }
  }
}

function unique(keys: readonly SecretKey[]): readonly SecretKey[] {
  const names = new Set<string>();
  return keys.filter(({ name }) => !names.has(name) && names.add(name));
}

function checkSize(size: number): void {
  if (size <= RING_SIZE) return;
  throw new RangeError(
    `Cannot keep ${size} secrets: a ring holds ${RING_SIZE}; remove one first`,
  );
}
