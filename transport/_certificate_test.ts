import {
  BasicConstraintsExtension,
  cryptoProvider,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Certificates, Credentials } from "./credentials.ts";

/** A certificate and its private key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const HOUR = 3_600_000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const VALID = {
  notBefore: new Date(Date.now() - HOUR),
  notAfter: new Date(Date.now() + HOUR),
  signingAlgorithm: ALGORITHM,
};

/** Makes a self-signed certificate for `localhost`, 127.0.0.1 and a name. */
export async function createCertificate(name: string): Promise<Certificate> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...VALID,
    name: "CN=devts test",
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "dns", value: name },
        { type: "ip", value: "127.0.0.1" },
      ]),
    ],
  });
  return await asPem(certificate, keys);
}

/** Issues certificates, as the authority of a cluster does. */
export class Authority {
  readonly #certificate: X509Certificate;
  readonly #keys: CryptoKeyPair;

  private constructor(certificate: X509Certificate, keys: CryptoKeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(): Promise<Authority> {
    const keys = await generateKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      ...VALID,
      name: "CN=devts test authority",
      keys,
      extensions: [new BasicConstraintsExtension(true, 0, true)],
    });
    return new Authority(certificate, keys);
  }

  get cert(): string {
    return this.#certificate.toString("pem");
  }

  async issue(...names: string[]): Promise<Certificate> {
    const keys = await generateKeys();
    const certificate = await X509CertificateGenerator.create({
      ...VALID,
      subject: "CN=devts test node",
      issuer: this.#certificate.subject,
      signingKey: this.#keys.privateKey,
      publicKey: keys.publicKey,
      extensions: [
        new SubjectAlternativeNameExtension(
          names.map((value) => ({ type: "dns" as const, value })),
        ),
      ],
    });
    return await asPem(certificate, keys);
  }
}

/** The credentials of a node of a cluster: names end in `.devts.internal`. */
export class NodeCredentials implements Credentials {
  readonly #listeners = new Set<() => unknown>();
  #certificates: Certificates;

  private constructor(certificates: Certificates) {
    this.#certificates = certificates;
  }

  /** Of a node whose authority issues its certificate; it believes that one. */
  static async create(id: string, by: Authority): Promise<NodeCredentials> {
    return new NodeCredentials(await certificatesOf(id, by));
  }

  /** How many ask to be told of changes. */
  get listeners(): number {
    return this.#listeners.size;
  }

  current(): Promise<Certificates> {
    return Promise.resolve(this.#certificates);
  }

  serverName(id = "any"): string {
    return `${id}.devts.internal`;
  }

  onChange(callback: () => unknown): Disposable {
    this.#listeners.add(callback);
    return { [Symbol.dispose]: () => this.#listeners.delete(callback) };
  }

  /**
   * Has another authority issue the certificate from now on, and believes both; resolves
   * once all who were told have done what they do then.
   */
  async change(id: string, by: Authority): Promise<void> {
    const next = await certificatesOf(id, by);
    const caCerts = [...this.#certificates.caCerts, by.cert];
    await this.#show({ ...next, caCerts });
  }

  /** Shows a certificate that is none. */
  async spoil(): Promise<void> {
    await this.#show({ ...this.#certificates, cert: "none" });
  }

  async #show(certificates: Certificates): Promise<void> {
    this.#certificates = certificates;
    await Promise.all([...this.#listeners].map((listener) => listener()));
  }
}

async function certificatesOf(
  id: string,
  authority: Authority,
): Promise<Certificates> {
  return {
    ...await authority.issue("any.devts.internal", `${id}.devts.internal`),
    caCerts: [authority.cert],
  };
}

function generateKeys(): Promise<CryptoKeyPair> {
  cryptoProvider.set(crypto);
  return crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
}

async function asPem(
  certificate: X509Certificate,
  keys: CryptoKeyPair,
): Promise<Certificate> {
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: certificate.toString("pem"),
    key: PemConverter.encode(key, "PRIVATE KEY"),
  };
}
