import { closeQuietly, writeAll } from "./_deno_conn.ts";
import { Newcomers } from "./_newcomers.ts";
import { Pause } from "./_pause.ts";
import { Reserve } from "./_reserve.ts";
import { ServerSocket } from "./_server_socket.ts";
import { remoteOf, sendAtOnce } from "./_sockets.ts";
import type { Address } from "./types.ts";

/** The longest request, in bytes. */
const MAX_REQUEST = 8_192;
/** How long a request may take to arrive, in ms. */
const REQUEST_TIMEOUT = 5_000;
/** Requests that arrive at the same time. */
const REQUESTS = 64;
/** What a server answers a key with (RFC 6455, 4.2.2). */
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** How to serve WebSockets. */
export interface SocketServerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly pathname: string;
  readonly protocol: string;
  /** The longest message, in bytes. */
  readonly limit: number;
  /** Keeps a place for one more; false: there is none. */
  reserve(): boolean;
  /** The place was not needed. */
  release(): void;
  /** One is open, and is to be started. */
  opened(socket: ServerSocket, remote: Address): void;
}

/**
 * A web server that knows nothing but WebSockets of one path.
 *
 * @throws {Error} If it cannot listen there.
 */
export class SocketServer {
  readonly port: number;
  readonly #options: SocketServerOptions;
  readonly #listener: Deno.TcpListener;
  readonly #reserve = new Reserve();
  readonly #pause = new Pause();
  /** Those whose request is arriving. */
  readonly #newcomers = new Newcomers<Deno.TcpConn>(REQUESTS, closeQuietly);
  readonly #serving: Promise<void>;
  #closed = false;

  constructor(options: SocketServerOptions) {
    const { hostname, port } = options;
    this.#options = options;
    this.#listener = Deno.listen({ hostname, port });
    this.port = this.#listener.addr.port;
    this.#serving = this.#serve();
  }

  /** Accepts no more; sockets that are open stay. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    this.#pause.end();
    this.#newcomers.giveUpAll();
    await this.#serving;
  }

  async #serve(): Promise<void> {
    while (!this.#closed) {
      if (this.#reserve.isFull(performance.now())) {
        await this.#pause.begin();
        continue;
      }
      try {
        this.#take(await this.#listener.accept());
      } catch (error) {
        this.#reserve.failed(error, performance.now());
        if (!this.#closed) await this.#pause.begin();
      }
    }
  }

  #take(conn: Deno.TcpConn): void {
    if (!this.#hasRoom()) return closeQuietly(conn);
    const release = this.#reserve.hold();
    this.#newcomers.add(conn, performance.now());
    this.#answer(conn, release).catch(() => {
      this.#newcomers.delete(conn);
      closeQuietly(conn);
      release();
    });
  }

  #hasRoom(): boolean {
    return !this.#newcomers.isFull ||
      this.#newcomers.giveUpOldest(performance.now());
  }

  async #answer(conn: Deno.TcpConn, release: () => void): Promise<void> {
    sendAtOnce(conn);
    const { protocol, pathname, limit } = this.#options;
    const timer = setTimeout(() => closeQuietly(conn), REQUEST_TIMEOUT);
    const { head, rest } = await requestOf(conn).finally(() => {
      clearTimeout(timer);
      this.#newcomers.delete(conn);
    });
    const request = parse(head);
    if (request?.pathname !== pathname) {
      return await refuse(404, "Nothing is here");
    }
    const { key, isUpgrade, protocols } = request;
    if (!protocols.includes(protocol)) return await refuse(400, "Not a node");
    if (!isUpgrade || key === "") return await refuse(400, "Not a WebSocket");
    if (!this.#options.reserve()) return await refuse(503, "No place is free");
    try {
      await write(
        conn,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
          `Connection: Upgrade\r\nSec-WebSocket-Accept: ${await acceptOf(
            key,
          )}\r\n` +
          `Sec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
      );
    } catch (error) {
      this.#options.release();
      throw error;
    }
    const socket = new ServerSocket(conn, limit);
    socket.gone.then(release);
    this.#options.opened(socket, remoteOf(conn, "ws"));
    socket.start(rest);

    async function refuse(status: number, text: string): Promise<void> {
      await write(
        conn,
        `HTTP/1.1 ${status} ${text}\r\nContent-Length: ${text.length}\r\n` +
          `Content-Type: text/plain\r\nConnection: close\r\n\r\n${text}`,
      );
      await conn.closeWrite();
      closeQuietly(conn);
      release();
    }
  }
}

/** The head of a request, and what has arrived behind it. */
async function requestOf(
  conn: Deno.TcpConn,
): Promise<{ readonly head: string; readonly rest: Uint8Array }> {
  const buffer = new Uint8Array(MAX_REQUEST);
  for (let end = 0; end < MAX_REQUEST;) {
    const count = await conn.read(buffer.subarray(end));
    if (count === null) throw new Error("It has left");
    end += count;
    const text = latin1.decode(buffer.subarray(0, end));
    const at = text.indexOf("\r\n\r\n");
    if (at >= 0) {
      return { head: text.slice(0, at), rest: buffer.slice(at + 4, end) };
    }
  }
  throw new Error("Its request is too long");
}

const latin1 = new TextDecoder("latin1");

/** What is needed of a request; null: it is none. */
function parse(head: string) {
  const [line = "", ...lines] = head.split("\r\n");
  const [, target] = /^GET (\S+) HTTP\/1\.1$/.exec(line) ?? [];
  const url = target === undefined ? null : URL.parse(target, "http://host");
  if (url === null) return null;
  const headers = new Map(lines.map((text) => {
    const colon = text.indexOf(":");
    const name = text.slice(0, colon).toLowerCase();
    return [`h:${name}`, text.slice(colon + 1).trim()] as const;
  }));
  const header = (name: string): string => headers.get(`h:${name}`) ?? "";
  const list = (name: string): string[] =>
    header(name).split(",").map((each) => each.trim());
  return {
    pathname: url.pathname,
    key: header("sec-websocket-key"),
    isUpgrade: header("upgrade").toLowerCase() === "websocket" &&
      header("sec-websocket-version") === "13" &&
      list("connection").some((each) => each.toLowerCase() === "upgrade"),
    protocols: list("sec-websocket-protocol"),
  };
}

async function acceptOf(key: string): Promise<string> {
  const text = new TextEncoder().encode(key + KEY_SUFFIX);
  const hash = await crypto.subtle.digest("SHA-1", text);
  return new Uint8Array(hash).toBase64();
}

async function write(conn: Deno.TcpConn, text: string): Promise<void> {
  await writeAll(conn, new TextEncoder().encode(text));
}
