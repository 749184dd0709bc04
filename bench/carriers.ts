import { secretCredentials } from "@devts/transport/certificates";
import { parseSecret } from "@devts/protocol/secret";

/** What messages go over. */
export type CarrierName = "tcp" | "tls" | "quic";

/** What is used of a connection. */
export type Conn = Pick<Deno.Conn, "read" | "write" | "close">;

/** A port that one connection is taken from. */
export interface Port {
  readonly number: number;
  accept(): Promise<Conn>;
}

/** Connections of the runtime, as they are. */
export interface Carrier {
  listen(): Port;
  connect(port: number): Promise<Conn>;
}

const HOST = "127.0.0.1";
const ALPN = ["bench"];
const CHUNK = 65_536;
/** Others take their turns meanwhile: a QUIC connection lives without being used, in ms. */
const ALIVE = { keepAliveInterval: 5_000, maxIdleTimeout: 60_000 };

/**
 * The carrier of a name.
 *
 * @param secret What the certificates are made of, where it encrypts.
 * @throws {TypeError} If there is none of that name.
 */
export async function carrierOf(
  name: string,
  secret = "",
): Promise<Carrier> {
  if (name === "tcp") return tcp;
  const { cert, key, caCerts } = await secretCredentials({
    id: "bench",
    cluster: "bench",
    secrets: () => Promise.resolve([parseSecret(secret)]),
  }).current();
  const server = { hostname: HOST, port: 0, cert, key, alpnProtocols: ALPN };
  const client = {
    serverName: "any.devts.internal",
    caCerts: [...caCerts],
    alpnProtocols: ALPN,
  };
  if (name === "tls") return tls(server, client);
  if (name === "quic") return quic(server, client);
  throw new TypeError(`There is no carrier "${name}"`);
}

const tcp: Carrier = {
  listen() {
    const listener = Deno.listen({ hostname: HOST, port: 0 });
    return {
      number: listener.addr.port,
      async accept() {
        const conn = await listener.accept();
        conn.setNoDelay();
        return conn;
      },
    };
  },
  connect: dial,
};

type Server = Deno.ListenTlsOptions & Deno.TlsCertifiedKeyPem & {
  readonly alpnProtocols: string[];
};

interface Client {
  readonly serverName: string;
  readonly caCerts: string[];
  readonly alpnProtocols: string[];
}

function tls(server: Server, { serverName, ...client }: Client): Carrier {
  return {
    listen() {
      const listener = Deno.listenTls(server);
      return { number: listener.addr.port, accept: () => listener.accept() };
    },
    async connect(port) {
      const conn = await Deno.startTls(await dial(port), {
        ...client,
        hostname: serverName,
      });
      await conn.handshake();
      return conn;
    },
  };
}

function quic(server: Server, client: Client): Carrier {
  return {
    listen() {
      const endpoint = new Deno.QuicEndpoint({ hostname: HOST });
      const listener = endpoint.listen({ ...server, ...ALIVE });
      return {
        number: endpoint.addr.port,
        async accept() {
          const conn = await (await listener.incoming()).accept();
          const streams = conn.incomingBidirectionalStreams.getReader();
          const { value } = await streams.read();
          if (value === undefined) throw new Error("No stream came");
          const stream = new StreamConn(value);
          await stream.read(new Uint8Array(1));
          return stream;
        },
      };
    },
    async connect(port) {
      const conn = await Deno.connectQuic<false>({
        ...client,
        ...ALIVE,
        hostname: HOST,
        port,
      });
      const stream = new StreamConn(await conn.createBidirectionalStream());
      // Nobody sees a stream before its first byte.
      await stream.write(Uint8Array.of(0));
      return stream;
    },
  };
}

async function dial(port: number): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname: HOST, port });
  conn.setNoDelay();
  return conn;
}

/** A QUIC stream that reads into a buffer: the runtime takes buffers away meanwhile. */
class StreamConn implements Conn {
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #chunk = new Uint8Array(CHUNK);
  #unread = this.#chunk.subarray(0, 0);

  constructor({ readable, writable }: Deno.QuicBidirectionalStream) {
    this.#reader = readable.getReader({ mode: "byob" });
    this.#writer = writable.getWriter();
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.#unread.length === 0) {
      const { value, done } = await this.#reader.read(this.#chunk);
      if (done) return null;
      this.#unread = value;
    }
    const part = this.#unread.subarray(0, buffer.length);
    buffer.set(part);
    this.#unread = this.#unread.subarray(part.length);
    if (this.#unread.length === 0) {
      this.#chunk = new Uint8Array(this.#unread.buffer);
    }
    return part.length;
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#writer.write(bytes);
    return bytes.length;
  }

  close(): void {
    this.#writer.close().catch(() => {});
  }
}
