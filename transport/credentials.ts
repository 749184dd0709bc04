import type { Transport } from "./types.ts";

/** Reserved (RFC 9476), so that no public authority vouches for a name in it. */
export const DOMAIN = "devts.internal";

/** Certificates for a transport that is not given {@linkcode Credentials}. */
export interface CertificateOptions {
  /** The certificate chain to listen with, as PEM. Needed to listen. */
  readonly cert?: string;
  /** The private key of `cert`, as PEM. Needed to listen. */
  readonly key?: string;
  /**
   * Certificates to trust when dialling, as PEM, besides those that the runtime
   * trusts.
   *
   * @default {none}
   */
  readonly caCerts?: readonly string[];
}

/** What a secured transport shows and believes, as PEM. */
export interface Certificates {
  /** The certificate chain to show, the node's own certificate first. */
  readonly cert: string;
  /** The private key of `cert`. */
  readonly key: string;
  /**
   * The authorities to believe. The runtime also believes those that it comes with: a
   * server name that none of them vouches for (RFC 9476: `.internal`) rules them out.
   */
  readonly caCerts: readonly string[];
}

/**
 * What those may take up who begin a TLS handshake and never end it: Deno keeps the
 * socket of one that is given up until the other end closes its own.
 */
export interface StallLimits {
  /**
   * So many given up by one listener; then it goes on over `node:tls`, which closes
   * its sockets.
   *
   * @default {64}
   */
  readonly handshakes?: number;
  /**
   * So many of one host within a second, once a listener goes on over `node:tls`: until
   * that is over, further ones are closed as they come.
   *
   * @default {16}
   */
  readonly perHost?: number;
  /**
   * One was given up, whose socket stays; or one was closed as it came. Must not throw.
   */
  met?(limit: "handshakes" | "perHost"): void;
}

/**
 * What a {@linkcode SecurableTransport} is given to encrypt with. Live: it is asked
 * anew at each dial, and at each start of a listener.
 *
 * It proves the end that accepts, and by its name. Who dialled is proven by nothing
 * here: the runtime has no client certificates. That is the business of a handshake.
 */
export interface Credentials {
  /**
   * The application protocol that both ends must agree on.
   *
   * @default {`"devts/1"`}
   */
  readonly alpn?: string;
  /** What holds now. Where it rejects, so does `connect` or `listen`. */
  current(): Promise<Certificates>;
  /**
   * The name that the certificate of the other end must have.
   *
   * @param id The node that was dialled, where that is known.
   */
  serverName(id?: string): string;
  /**
   * Has `callback` called after each change: whoever listens then shows the new
   * certificate to those who come; connections that are open stay. Where it returns a
   * promise, that settles once this is done, and never rejects.
   *
   * @returns Ends the calls once disposed.
   */
  onChange(callback: () => unknown): Disposable;
  /**
   * Somebody connected, and no connection came of it: optional, for the log. Called as
   * often as strangers like; must not throw. Transports whose connections say so
   * themselves, on the first use of one, do not call it.
   */
  refused?(reason: unknown): void;
  /** For transports over TLS, asked at each use. */
  readonly stalls?: StallLimits;
}

/**
 * Optional beside {@linkcode Transport}: one that can encrypt. The same seam serves
 * every transport that has a way to use certificates, also one of your own.
 */
export interface SecurableTransport extends Transport {
  /** The schemes that are encrypted once it is secured; the others stay as they are. */
  readonly securable: readonly string[];
  /**
   * The same transport, for the same schemes, that encrypts all that it dials and
   * accepts on those that are `securable`. There is no way back to plain text on them:
   * an other end that does not encrypt is refused.
   */
  secure(credentials: Credentials): Transport;
}

/** Tells whether a transport can encrypt. */
export function isSecurable(
  transport: Transport,
): transport is SecurableTransport {
  return "securable" in transport && "secure" in transport &&
    typeof transport.secure === "function";
}

/** The name in the certificate of a node; of one whose id is not known, one that all have. */
export function serverName(id?: string): string {
  if (id === undefined) return `any.${DOMAIN}`;
  if (/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(id) && id !== "any") {
    return `${id}.${DOMAIN}`;
  }
  // What is no label of a name stands there in hexadecimal, cut to the length of labels.
  const labels = inHex(id).match(/.{1,60}/g) ?? [];
  return `${labels.join(".")}.id.${DOMAIN}`;
}

function inHex(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}
