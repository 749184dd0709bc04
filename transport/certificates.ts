/**
 * Certificates that nodes make for themselves, of the secret of their cluster or of
 * keys of their own: credentials for a transport that can encrypt, without files and
 * without tools.
 *
 * ```ts
 * import { secretCredentials } from "@devts/transport/certificates";
 * import { tcp } from "@devts/transport/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const credentials = (id: string) =>
 *   secretCredentials({
 *     id,
 *     cluster: "demo",
 *     secrets: () => Promise.resolve([secret]),
 *   });
 * const one = tcp().secure(credentials("one")); // speaks TLS from now on
 * const two = tcp().secure(credentials("two"));
 *
 * await using listener = await one.listen("tcp://127.0.0.1:0");
 * const [accepted, dialled] = await Promise.all([
 *   listener[Symbol.asyncIterator]().next(),
 *   two.connect(listener.address, { expect: "one" }),
 * ]);
 * assertEquals(dialled.carrier, "tls");
 * await Promise.all([dialled.close(), accepted.value?.close()]);
 * ```
 *
 * @module
 */
import {
  BasicConstraintsExtension,
  cryptoProvider,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import {
  type Certificates,
  type Credentials,
  DOMAIN,
  serverName,
} from "./credentials.ts";

const DAY = 86_400_000;
/** The longest delay of `setTimeout`, in ms; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;
/** How long a certificate of a node holds. */
const LIFETIME = 30 * DAY;
/** Clocks may differ by so much. */
const SKEW = DAY;
/** The time within which all certificates of authorities hold: keys are what expires. */
const ALWAYS = {
  notBefore: new Date(0),
  notAfter: new Date(253_370_764_800_000),
};
const ED25519 = "Ed25519";
/** The name that every node has. */
const ANY = serverName();
const NAME_CONSTRAINTS = "2.5.29.30";
const PKCS8 = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06],
  ...[0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

cryptoProvider.set(crypto);

/** What both kinds of credentials are made with. */
export interface NodeCredentialsOptions {
  /** The id of the node. */
  readonly id: string;
  /**
   * Has `callback` called when what is believed or shown has changed.
   *
   * @default {nothing changes}
   */
  readonly onChange?: (callback: () => unknown) => Disposable;
  /**
   * How long a certificate holds, in ms; it is renewed after two thirds of that.
   *
   * @default {30 days}
   */
  readonly lifetime?: number;
}

/** Options of {@linkcode secretCredentials}. */
export interface SecretCredentialsOptions extends NodeCredentialsOptions {
  /** The name of the cluster. */
  readonly cluster: string;
  /** The secrets of the cluster: the certificate is made by the first one, all are believed. */
  secrets(): Promise<readonly Uint8Array[]>;
}

/** Options of {@linkcode keyCredentials}. */
export interface KeyCredentialsOptions extends NodeCredentialsOptions {
  /** The Ed25519 keys of the node. */
  readonly keys: CryptoKeyPair;
  /**
   * The certificate of the node's key by an authority, as PEM: see
   * {@linkcode nodeCertificate}.
   *
   * @default {none: its key is believed by itself}
   */
  readonly certificate?: string;
  /** The Ed25519 public keys of nodes that are believed by themselves, with their ids. */
  readonly believed: readonly {
    readonly id: string;
    readonly key: Uint8Array;
  }[];
  /** The Ed25519 public keys of authorities. */
  readonly authorities: readonly Uint8Array[];
}

/**
 * Credentials of a secret: whoever knows it can make a certificate for any node of the
 * cluster, and nobody else.
 *
 * Each node signs a certificate of its own with an Ed25519 key that is derived (HKDF)
 * from the secret and the name of the cluster.
 */
export function secretCredentials(
  options: SecretCredentialsOptions,
): Credentials {
  const { id, cluster, secrets } = options;
  return new NodeCredentials(options, async (lifetime, before) => {
    const issuers = await Promise.all(
      (await secrets()).map((secret) => issuerOf(secret, cluster)),
    );
    const [own] = issuers;
    if (own === undefined) throw new TypeError("There is no secret");
    // It stays as long as it can: a listener makes way for another one.
    const isKept = before?.issuer === own.name;
    const { cert, key } = isKept ? before : await mint(id, own, lifetime);
    return {
      cert,
      key,
      issuer: own.name,
      caCerts: await Promise.all(
        issuers.map(({ name, keys }) => anchor(name, keys.publicKey)),
      ),
    };
  });
}

/**
 * Credentials of keys: each node signs certificates for itself with its own key, which
 * others believe for the node's own name alone.
 */
export function keyCredentials(options: KeyCredentialsOptions): Credentials {
  const { id, keys, certificate, believed, authorities } = options;
  return new NodeCredentials(options, async (lifetime) => {
    const { cert, key } = await mint(
      id,
      { name: nodeName(id), keys },
      lifetime,
    );
    const nodes = believed.map(async ({ id, key }) =>
      anchor(nodeName(id), await publicKey(key), [serverName(id), ANY])
    );
    const others = authorities.map(async (key) =>
      anchor(authorityName(key), await publicKey(key))
    );
    return {
      cert: certificate === undefined ? cert : `${cert}\n${certificate}\n`,
      key,
      caCerts: await Promise.all([...nodes, ...others]),
    };
  });
}

/** Options of {@linkcode nodeCertificate}. */
export interface NodeCertificateOptions {
  /** The id of the node: it may make certificates for its own name alone. */
  readonly id: string;
  /** The Ed25519 public key of the node. */
  readonly key: Uint8Array;
  /** The Ed25519 keys of the authority. */
  readonly authority: CryptoKeyPair;
  /** The public key of the authority. */
  readonly authorityKey: Uint8Array;
  /** From when on it holds, in ms since 1970. */
  readonly from: number;
  /** Until when it holds, in ms since 1970. */
  readonly until: number;
}

/**
 * Signs the key of a node, as PEM: others that believe the authority then believe the
 * certificates that the node makes for its own name.
 */
export async function nodeCertificate(
  { id, key, authority, authorityKey, from, until }: NodeCertificateOptions,
): Promise<string> {
  const certificate = await X509CertificateGenerator.create({
    subject: nodeName(id),
    issuer: authorityName(authorityKey),
    notBefore: new Date(from),
    notAfter: new Date(until),
    publicKey: await publicKey(key),
    signingKey: authority.privateKey,
    signingAlgorithm: { name: ED25519 },
    extensions: issuing([serverName(id), ANY]),
  });
  return certificate.toString("pem");
}

/** An end that signs certificates. */
interface Issuer {
  readonly name: string;
  readonly keys: CryptoKeyPair;
}

/** Certificates, and who signed the node's own. */
interface Made extends Certificates {
  readonly issuer?: string;
}

/** Makes certificates; `before`: those that were made last, and need no renewal yet. */
type Make = (lifetime: number, before?: Made) => Promise<Made>;

/** Certificates that are made when they are asked for, and again before they expire. */
class NodeCredentials implements Credentials {
  readonly #lifetime: number;
  readonly #make: Make;
  readonly #source: NodeCredentialsOptions["onChange"];
  readonly #callbacks = new Set<() => unknown>();
  #made: { readonly at: number; readonly what: Promise<Made> } | undefined;
  /** What they are made of has changed since. */
  #isOutdated = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #changes: Disposable | undefined;

  constructor(
    { lifetime = LIFETIME, onChange }: NodeCredentialsOptions,
    make: Make,
  ) {
    this.#lifetime = lifetime;
    this.#make = make;
    this.#source = onChange;
    // Whoever only dials asks anew each time, so nothing need be told: just forget.
    onChange?.(() => this.#isOutdated = true);
  }

  current(): Promise<Certificates> {
    const now = Date.now();
    const made = this.#made;
    const holds = made !== undefined && now - made.at < this.#renewal;
    if (holds && !this.#isOutdated) return made.what;
    this.#isOutdated = false;
    const what = this.#makeAfter(holds ? made.what : undefined);
    this.#made = { at: holds ? made.at : now, what };
    what.catch(() => this.#made = undefined);
    return what;
  }

  serverName(id?: string): string {
    return serverName(id);
  }

  onChange(callback: () => unknown): Disposable {
    const own = (): unknown => callback();
    this.#callbacks.add(own);
    if (this.#callbacks.size === 1) this.#watch();
    return {
      [Symbol.dispose]: (): void => {
        this.#callbacks.delete(own);
        if (this.#callbacks.size > 0) return;
        clearTimeout(this.#timer);
        this.#changes?.[Symbol.dispose]();
      },
    };
  }

  get #renewal(): number {
    return Math.min(Math.max(1, this.#lifetime * 2 / 3), MAX_DELAY);
  }

  /** While somebody listens: renews in time, and tells of changes. */
  #watch(): void {
    this.#changes = this.#source?.(() => this.#tell());
    const renew = (): void => {
      this.#made = undefined;
      void this.#tell();
      this.#timer = setTimeout(renew, this.#renewal);
    };
    this.#timer = setTimeout(renew, this.#renewal);
  }

  async #makeAfter(before: Promise<Made> | undefined): Promise<Made> {
    return this.#make(this.#lifetime, await before?.catch(() => undefined));
  }

  /** Resolves once all who were told have done what they do then. */
  async #tell(): Promise<void> {
    await Promise.all([...this.#callbacks].map((callback) => callback()));
  }
}

/** The authority that a secret stands for in a cluster. */
async function issuerOf(secret: Uint8Array, cluster: string): Promise<Issuer> {
  const root = await crypto.subtle.importKey(
    "raw",
    new Uint8Array(secret),
    "HKDF",
    false,
    ["deriveBits"],
  );
  const bits = await crypto.subtle.deriveBits(
    {
      name: "HKDF",
      hash: "SHA-256",
      salt: new Uint8Array(0),
      info: new TextEncoder().encode(`devts/1 tls-ca ${cluster}`),
    },
    root,
    256,
  );
  const seed = new Uint8Array(bits);
  const pkcs8 = new Uint8Array([...PKCS8, ...seed]);
  const open = await crypto.subtle.importKey("pkcs8", pkcs8, ED25519, true, [
    "sign",
  ]);
  const { x = "" } = await crypto.subtle.exportKey("jwk", open);
  const key = Uint8Array.from(
    atob(x.replaceAll("-", "+").replaceAll("_", "/")),
    (char) => char.charCodeAt(0),
  );
  return {
    name: authorityName(key),
    keys: { privateKey: open, publicKey: await publicKey(key) },
  };
}

/** A certificate of a node for itself, and its key, as PEM. */
async function mint(
  id: string,
  issuer: Issuer,
  lifetime: number,
): Promise<{ cert: string; key: string }> {
  const keys = await crypto.subtle.generateKey(ED25519, true, [
    "sign",
    "verify",
  ]);
  if (!("privateKey" in keys)) throw new TypeError("There is no key pair");
  const now = Date.now();
  const leaf = await X509CertificateGenerator.create({
    subject: `${nodeName(id)}, OU=channel`,
    issuer: issuer.name,
    notBefore: new Date(now - SKEW),
    notAfter: new Date(now + lifetime),
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: { name: ED25519 },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new SubjectAlternativeNameExtension([
        { type: "dns", value: serverName(id) },
        { type: "dns", value: ANY },
      ]),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: leaf.toString("pem"),
    key: PemConverter.encode(key, "PRIVATE KEY"),
  };
}

/**
 * A certificate to believe a key by. Only the name, the key and the constraints of a
 * believed certificate count (RFC 5280 §6.1.1), so any key may have signed it.
 */
async function anchor(
  name: string,
  publicKey: CryptoKey,
  names: readonly string[] = [DOMAIN],
): Promise<string> {
  const any = await crypto.subtle.generateKey(ED25519, false, [
    "sign",
    "verify",
  ]);
  if (!("privateKey" in any)) throw new TypeError("There is no key pair");
  const certificate = await X509CertificateGenerator.create({
    subject: name,
    issuer: name,
    ...ALWAYS,
    publicKey,
    signingKey: any.privateKey,
    signingAlgorithm: { name: ED25519 },
    extensions: issuing(names),
  });
  return certificate.toString("pem");
}

/** What makes an issuer of a certificate, for these names and those below them alone. */
function issuing(names: readonly string[]): Extension[] {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    new Extension(NAME_CONSTRAINTS, true, nameConstraints(names)),
  ];
}

/** `NameConstraints` (RFC 5280 §4.2.1.10) that permits these names of the DNS. */
function nameConstraints(names: readonly string[]): Uint8Array<ArrayBuffer> {
  const subtrees = names.flatMap((name) =>
    der(0x30, der(0x82, [...new TextEncoder().encode(name)]))
  );
  return new Uint8Array(der(0x30, der(0xa0, subtrees)));
}

/** A value of DER: its tag, its length, itself. */
function der(tag: number, value: readonly number[]): number[] {
  const { length } = value;
  if (length < 0x80) return [tag, length, ...value];
  return [tag, 0x82, length >> 8, length & 0xff, ...value];
}

function publicKey(key: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", new Uint8Array(key), ED25519, true, [
    "verify",
  ]);
}

function authorityName(key: Uint8Array): string {
  return `CN=${hex(key)}, O=devts authority`;
}

function nodeName(id: string): string {
  return `CN=${hex(new TextEncoder().encode(id)).slice(0, 64)}, O=devts node`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}
