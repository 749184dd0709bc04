/**
 * A transport of one's own, "STCP": TCP inside TLS. It is written against the
 * interface `Transport` alone, and the chat runs over it unchanged.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-write=stcp.pem examples/own_transport.ts --name ada       # prints its cluster port
 * deno run --allow-net=127.0.0.1 --allow-read=stcp.pem --allow-write=stcp.pem examples/own_transport.ts 7946 --name bob  # joins there
 * ```
 *
 * The first program makes a certificate and leaves it with its key in a file, where
 * the others read it. So nobody without the file can read along, or be taken for an
 * entry node. Who may join is another question: the side that dials shows nothing.
 *
 * @module
 */
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  frame,
  type Listener,
  type Transport,
} from "@devts/transport";
import {
  cryptoProvider,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Arguments, Usage } from "./_arguments.ts";
import { run } from "./_program.ts";
import { CHAT_USAGE, runChat } from "./chat.ts";

/** All nodes share one certificate, so its name is not that of a host. */
const NAME = "stcp.internal";
/** How long a certificate is valid, in ms. */
const LIFE = 30 * 24 * 3_600_000;
/** How long to wait after an error before accepting again, and for a quiet end, in ms. */
const PAUSE = 100;

/**
 * Makes the transport; addresses are `stcp://host:port`.
 *
 * @param pem The certificate and its private key, the same on every node.
 */
export function stcp(pem: string): Transport {
  return {
    schemes: ["stcp"],
    connect: (address, options) => connect(address, pem, options),
    // deno-lint-ignore require-await -- what is wrong rejects, as the interface says
    listen: async (address) => listen(address, pem),
  };
}

async function connect(
  address: Address,
  pem: string,
  { signal }: ConnectOptions = {},
): Promise<Connection> {
  const target = parse(address);
  signal?.throwIfAborted();
  try {
    const tcp = await Deno.connect({ ...target, ...signal && { signal } });
    // The node joins its messages itself: what is written should leave.
    tcp.setNoDelay(true);
    // The handshakes of TLS follow with the first message, on both sides: a stranger
    // who stalls one keeps nobody waiting, and the node allows it a few seconds.
    const conn = await Deno.startTls(tcp, { hostname: NAME, caCerts: [pem] });
    if (!signal?.aborted) return open(conn, address);
    conn.close();
    throw signal.reason;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new ConnectionError(
      `Cannot connect to "${address}": ${reasonOf(cause)}`,
      { cause },
    );
  }
}

function listen(address: Address, pem: string): Listener {
  const target = parse(address);
  try {
    return new StcpListener(
      target.hostname,
      Deno.listenTls({ ...target, cert: pem, key: pem }),
    );
  } catch (cause) {
    throw new ConnectionError(
      `Cannot listen on "${address}": ${reasonOf(cause)}`,
      { cause },
    );
  }
}

class StcpListener implements Listener {
  readonly address: Address;
  readonly #listener: Deno.TlsListener;
  #closed = false;

  constructor(hostname: string, listener: Deno.TlsListener) {
    this.address = format(hostname, listener.addr.port);
    this.#listener = listener;
  }

  // deno-lint-ignore require-await -- the interface leaves time that is not needed here
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection> {
    while (!this.#closed) {
      try {
        const conn = await this.#listener.accept();
        const { hostname, port } = conn.remoteAddr;
        yield open(conn, format(hostname, port));
      } catch {
        // Closed; or no descriptor left, which takes a while to pass.
        if (!this.#closed) {
          await new Promise((resolve) => setTimeout(resolve, PAUSE));
        }
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** `frame` makes whole messages of bytes, with limits and back-pressure. */
function open(conn: Deno.TlsConn, remote: Address): Connection {
  return frame({
    read: (buffer) => conn.read(buffer),
    write: (bytes) => conn.write(bytes),
    close: (reason) => reason === undefined ? finish(conn) : conn.close(),
  }, { remote });
}

/**
 * Says that nothing follows, and takes what still arrives until the other end is
 * quiet: closing with bytes unread resets a TCP connection, and what is under way
 * to the other end would be lost.
 */
async function finish(conn: Deno.TlsConn): Promise<void> {
  try {
    await conn.closeWrite();
    const ignored = new Uint8Array(16_384);
    while (await readUnlessQuiet(conn, ignored) !== null);
  } catch {
    // It broke, or was quiet: there is nothing more to wait for.
  }
  closeQuietly(conn);
}

async function readUnlessQuiet(
  conn: Deno.Conn,
  buffer: Uint8Array,
): Promise<number | null> {
  const timer = setTimeout(() => closeQuietly(conn), PAUSE);
  try {
    return await conn.read(buffer);
  } finally {
    clearTimeout(timer);
  }
}

function closeQuietly(conn: Deno.Conn | undefined): void {
  try {
    conn?.close();
  } catch {
    // It is closed already.
  }
}

function parse(address: Address): { hostname: string; port: number } {
  const [, host, port] =
    /^stcp:\/\/([\w.-]+|\[[\da-f:.]+\]):(\d{1,5})$/i.exec(address) ?? [];
  if (host === undefined || !(Number(port) < 2 ** 16)) {
    throw new TypeError(
      `Cannot use the address "${address}": the form is "stcp://127.0.0.1:7946"`,
    );
  }
  return { hostname: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

function format(hostname: string, port: number): Address {
  return `stcp://${
    hostname.includes(":") ? `[${hostname}]` : hostname
  }:${port}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Makes a self-signed certificate and its private key, as PEM. */
export async function createCertificate(): Promise<string> {
  cryptoProvider.set(crypto);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ]);
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${NAME}`,
    // Clocks differ: to another node, it must not come from the future.
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + LIFE),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: "dns", value: NAME }]),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return `${certificate.toString("pem")}\n${
    PemConverter.encode(key, "PRIVATE KEY")
  }\n`;
}

/** The certificate in a file; whoever comes first makes it. */
export async function certificateIn(file: string): Promise<string> {
  try {
    const pem = await createCertificate();
    // Only its owner may read it, for the private key is in it.
    await Deno.writeTextFile(file, pem, { createNew: true, mode: 0o600 });
    return pem;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    return await Deno.readTextFile(file);
  }
}

const USAGE: Usage = {
  ...CHAT_USAGE,
  synopsis: "own_transport.ts [cluster port]",
  permissions:
    "--allow-net=127.0.0.1 --allow-read=stcp.pem --allow-write=stcp.pem",
  about:
    `${CHAT_USAGE.about}\nIts transport is one of its own: TCP inside TLS.`,
  options: {
    ...CHAT_USAGE.options,
    certificate: {
      value: "FILE",
      help: 'the shared certificate; "stcp.pem" if left out',
    },
  },
};

async function main(args: Arguments): Promise<void> {
  const pem = await certificateIn(args.values.get("certificate") ?? "stcp.pem");
  await runChat(args, { transport: stcp(pem) });
}

if (import.meta.main) await run(USAGE, main);
