/**
 * Messages over TLS over TCP: addresses are `tls://host:port`.
 *
 * ```ts
 * import { tls } from "@devts/transport/tls";
 * import { assertEquals } from "@std/assert";
 *
 * async function echo(cert: string, key: string): Promise<void> {
 *   const transport = tls({ cert, key });
 *   await using listener = await transport.listen("tls://127.0.0.1:0");
 *   for await (const connection of listener) {
 *     const message = await connection.receive();
 *     if (message !== null) await connection.send(message);
 *     await connection.close();
 *   }
 * }
 *
 * assertEquals(tls().schemes, ["tls"]);
 * assertEquals(typeof echo, "function");
 * ```
 *
 * @module
 */

import { byCertificates, byCredentials } from "./_encryption.ts";
import { TlsTransport } from "./_tls.ts";
import type {
  CertificateOptions,
  Credentials,
  SecurableTransport,
} from "./credentials.ts";
import type { FrameLimits } from "./framing.ts";
import type { Transport } from "./types.ts";

/** Options of {@linkcode tls}: certificates, and the limits of its connections. */
export interface TlsOptions extends FrameLimits, CertificateOptions {}

const SCHEME = "tls";

/**
 * Makes the transport of TLS 1.3 and 1.2 over TCP.
 *
 * - Addresses are as those of TCP: `tls://host:port`.
 * - The other end proves its name by its certificate: `serverName`, or else the
 *   host of the address. Who dialled is not proven: that is the business of a
 *   handshake.
 * - A TLS handshake that takes longer than 5 s ends its connection, on both sides.
 *   One that stalls holds up nobody: a listener gives each connection as soon as it
 *   was accepted, and whoever receives from it waits for the handshake.
 *   (Deno keeps the socket of one that is given up until the other end closes its own.
 *   A listener with 64 that were given up, or do not go on, continues over `node:tls`,
 *   which does not, and takes in data about half as fast.)
 * - Deno offers no way to turn off Nagle's algorithm on the side that accepts: the
 *   second of two messages that it sends without an answer between them can wait for
 *   up to 40 ms. The side that dials has it off.
 * - Secured, it shows and believes what its credentials say, instead of its options.
 *
 * @param options Certificates and limits.
 * @returns A transport for the scheme `tls`.
 */
export function tls(options: TlsOptions = {}): SecurableTransport {
  return new SecurableTlsTransport(options);
}

class SecurableTlsTransport extends TlsTransport implements SecurableTransport {
  readonly securable: readonly string[] = [SCHEME];
  readonly #options: TlsOptions;

  constructor(options: TlsOptions) {
    super(SCHEME, byCertificates(options), options);
    this.#options = options;
  }

  secure(credentials: Credentials): Transport {
    return new TlsTransport(SCHEME, byCredentials(credentials), this.#options);
  }
}
