import type {
  CertificateOptions,
  Certificates,
  Credentials,
  StallLimits,
} from "./credentials.ts";
import type { ConnectOptions } from "./types.ts";

/** The application protocol of a secured channel (RFC 7301): refuses every other use. */
export const ALPN = "devts/1";

/** Where an encrypting transport takes what it needs for that. */
export interface Encryption {
  readonly alpn: string;
  /** What to show and to believe: without `cert` and `key`, it cannot listen. */
  certificates(): Promise<CertificateOptions>;
  /** What the other end must prove, of a host that is dialled. */
  serverName(hostname: string, options: ConnectOptions): string;
  onChange(callback: () => unknown): Disposable;
  /** Nobody is given a connection that came to nothing, so this is told of it. */
  refused(reason: unknown): void;
  /** What stalled handshakes may take up. */
  readonly stalls: Required<StallLimits>;
}

const STALLS = { handshakes: 64, perHost: 16, met: () => {} };

/** As credentials say: names of nodes, whatever host they are on. */
export function byCredentials(credentials: Credentials): Encryption {
  return {
    alpn: credentials.alpn ?? ALPN,
    certificates: () => credentials.current(),
    serverName: (_, { serverName, expect }) =>
      serverName ?? credentials.serverName(expect),
    onChange: (callback) => credentials.onChange(callback),
    refused: (reason) => credentials.refused?.(reason),
    get stalls() {
      return { ...STALLS, ...credentials.stalls };
    },
  };
}

/** As options say, once and for all: names of hosts. */
export function byCertificates(options: CertificateOptions): Encryption {
  return {
    alpn: ALPN,
    certificates: () => Promise.resolve(options),
    serverName: (hostname, { serverName }) => serverName ?? hostname,
    onChange: () => ({ [Symbol.dispose]() {} }),
    refused: () => {},
    stalls: STALLS,
  };
}

/**
 * The certificate to listen with.
 *
 * @throws {TypeError} If there is none.
 */
export function ownCertificate(
  { cert, key }: CertificateOptions,
  address: string,
): Pick<Certificates, "cert" | "key"> {
  if (cert !== undefined && key !== undefined) return { cert, key };
  throw new TypeError(
    `Cannot listen on "${address}": it needs a certificate; give the transport the options cert and key`,
  );
}
