/**
 * Messages over WebSocket: for browsers, and for nodes beside a web server.
 * Dialling needs nothing but the platform's `WebSocket`.
 *
 * ```ts
 * import { webSocketListener, websocket } from "@devts/transport/websocket";
 * import { assertEquals } from "@std/assert";
 *
 * // Beside a web server, on its port:
 * await using listener = webSocketListener("ws://example.com/cluster");
 * async function handler(request: Request): Promise<Response> {
 *   const { pathname } = new URL(request.url);
 *   if (pathname === "/cluster") return listener.upgrade(request);
 *   return await fetch("https://example.com/");
 * }
 * assertEquals(typeof handler, "function");
 *
 * // On a port of its own:
 * const transport = websocket();
 * await using own = await transport.listen("ws://127.0.0.1:0/cluster");
 * await using dialled = await transport.connect(own.address);
 * await dialled.send(new TextEncoder().encode("hello"));
 * for await (const accepted of own) {
 *   await using connection = accepted;
 *   const message = await connection.receive();
 *   assertEquals(new TextDecoder().decode(message ?? undefined), "hello");
 *   break;
 * }
 * ```
 *
 * @module
 */

import { Backlog } from "./_backlog.ts";
import type { ServerSocket } from "./_server_socket.ts";
import { longestPacket, WebSocketConnection } from "./_websocket_connection.ts";
import {
  type Address,
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
} from "./types.ts";

/** Options of {@linkcode websocket} and {@linkcode webSocketListener}. */
export interface WebSocketOptions {
  /**
   * The longest message, in bytes, that is sent or received: 1 to 2^30. Twice that
   * much, or 128 KiB, may wait to be received.
   *
   * @default {1 MiB}
   */
  readonly maxMessage?: number;
}

/** A listener that is fed by a web server. */
export interface WebSocketListener extends Listener {
  /**
   * Answers a request to open a WebSocket. The connection comes out of the
   * iteration once it is open.
   *
   * The answer is a refusal where the request asks for anything else (400), or
   * where the listener is closed or too many connections wait to be iterated over
   * (503).
   *
   * @param request What the web server received.
   * @param remote The other end, where the web server knows it.
   * @returns What the web server must answer.
   * @throws {TypeError} If the runtime is not Deno.
   */
  upgrade(request: Request, remote?: Address): Response;
}

const MIB = 1024 * 1024;
const MAX_MESSAGE = 1024 * MIB;
/** The subprotocol: refuses every other use of WebSocket. */
const PROTOCOL = "devts.1";
/** How many connections may be about to open, or wait to be iterated over. */
const BACKLOG = 128;
/** What is said of an other end that nobody knows (RFC 6761, 6.4). */
const UNKNOWN = "ws://unknown.invalid";
/** The code of a close that drops what is under way. */
const ABORTED = 4000;

/**
 * Makes the WebSocket transport, schemes `ws` and `wss`:
 * `"wss://example.com/cluster"`.
 *
 * - `connect` goes with any `WebSocket`, also that of a browser. Over `wss`, the
 *   other end proves the host of the address, whatever `serverName` says.
 * - `listen` needs Deno, and takes `ws` only: TLS is ended by a web server, whose
 *   requests a {@linkcode webSocketListener} takes.
 * - `listen` takes no more of a message than its limit, in how many parts ever. Where the
 *   platform has the socket (dialling, and {@linkcode webSocketListener}), it puts a
 *   message together before its length can be checked: Deno up to 64 MiB in one part, and
 *   without a limit in several.
 * - A closed listener takes no more; connections that it accepted stay.
 *
 * @param options Limits.
 * @throws {RangeError} If a limit is out of range.
 */
export function websocket(options: WebSocketOptions = {}): Transport {
  return new WebSocketTransport(checkMaxMessage(options));
}

/**
 * Makes a listener for connections that a web server receives: hand the requests
 * to its `upgrade`. Only where whoever can connect is trusted not to send without end: see
 * {@linkcode websocket}.
 *
 * @param address What others can connect to: `"wss://example.com/cluster"`.
 * @param options Limits.
 * @throws {TypeError} If the address is malformed.
 * @throws {RangeError} If a limit is out of range.
 */
export function webSocketListener(
  address: Address,
  options: WebSocketOptions = {},
): WebSocketListener {
  parse(address);
  return new UpgradingListener(address, checkMaxMessage(options));
}

class WebSocketTransport implements Transport {
  readonly schemes: readonly string[] = ["ws", "wss"];
  readonly #maxMessage: number;

  constructor(maxMessage: number) {
    this.#maxMessage = maxMessage;
  }

  async connect(
    address: Address,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const { port } = parse(address);
    if (port === "0") {
      throw new TypeError(
        `Cannot connect to "${address}": port 0 can only be listened on`,
      );
    }
    options.signal?.throwIfAborted();
    const socket = dial(address);
    return await opened(socket, address, this.#maxMessage, options.signal);
  }

  async listen(address: Address): Promise<Listener> {
    const { protocol, hostname, pathname, port, search } = parse(address);
    if (protocol !== "ws:" || search !== "") {
      throw new TypeError(
        `Cannot listen on "${address}": the form is "ws://host:port/path"; behind a web server, use webSocketListener()`,
      );
    }
    const path = pathname === "/" ? "" : pathname;
    return await serve(
      { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) },
      (chosen) => `ws://${hostname}:${chosen}${path}`,
      pathname,
      this.#maxMessage,
    );
  }
}

/** Takes upgraded sockets, and counts them for whoever serves the requests. */
class UpgradingListener implements WebSocketListener {
  readonly address: Address;
  readonly #maxMessage: number;
  readonly #backlog = new Backlog(BACKLOG);
  /** Called once it is closed. */
  readonly #stop: () => Promise<void>;
  #closed: Promise<void> | undefined;

  constructor(
    address: Address,
    maxMessage: number,
    stop: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.address = address;
    this.#maxMessage = maxMessage;
    this.#stop = stop;
  }

  upgrade(request: Request, remote: Address = UNKNOWN): Response {
    if (typeof Deno === "undefined") {
      throw new TypeError(
        `Cannot accept connections on "${this.address}": only Deno can upgrade a request`,
      );
    }
    if (!offersProtocol(request)) return refusal(400, "Not a node");
    if (!this.#backlog.reserve()) return refusal(503, "No place is free");
    try {
      const upgraded = Deno.upgradeWebSocket(request, { protocol: PROTOCOL });
      this.#await(upgraded.socket, remote);
      return upgraded.response;
    } catch {
      this.#backlog.release();
      return refusal(400, "Not a WebSocket");
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncIterator](): AsyncIterator<Connection> {
    return this.#backlog[Symbol.asyncIterator]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Keeps a place for a socket that is about to open. False: none is free. */
  reserve(): boolean {
    return this.#backlog.reserve();
  }

  /** Gives it back. */
  release(): void {
    this.#backlog.release();
  }

  /** Makes a connection of a socket that is open, in the place that was kept for it. */
  take(socket: WebSocket | ServerSocket, remote: Address): void {
    const connection = new WebSocketConnection(socket, {
      role: "acceptor",
      remote,
      maxMessage: this.#maxMessage,
      ...("gone" in socket && { ended: () => socket.gone }),
    });
    if (this.#backlog.fill(connection)) return;
    connection.close(new Error("Nobody listens"));
  }

  #await(socket: WebSocket, remote: Address): void {
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.take(socket, remote);
    socket.onerror = (event) => event.preventDefault();
    socket.onclose = () => this.release();
  }

  async #close(): Promise<void> {
    const reason = new Error("Nobody listens");
    const untaken = this.#backlog.close();
    await this.#stop();
    await Promise.all(untaken.map((connection) => connection.close(reason)));
  }
}

/** Starts a web server that does nothing but feed a listener. */
async function serve(
  where: { readonly hostname: string; readonly port: number },
  addressOf: (port: number) => Address,
  pathname: string,
  maxMessage: number,
): Promise<Listener> {
  if (typeof Deno === "undefined") {
    throw new TypeError(
      `Cannot listen on "${addressOf(where.port)}": only Deno can`,
    );
  }
  const { SocketServer } = await import("./_websocket_server.ts");
  try {
    const server = new SocketServer({
      ...where,
      pathname,
      protocol: PROTOCOL,
      limit: longestPacket(maxMessage),
      reserve: () => listener.reserve(),
      release: () => listener.release(),
      opened: (socket, remote) => listener.take(socket, remote),
    });
    const listener: UpgradingListener = new UpgradingListener(
      addressOf(server.port),
      maxMessage,
      () => server.close(),
    );
    return listener;
  } catch (cause) {
    throw new ConnectionError(
      `Cannot listen on "${addressOf(where.port)}": ${messageOf(cause)}`,
      { cause },
    );
  }
}

function dial(address: Address): WebSocket {
  try {
    return new WebSocket(address, [PROTOCOL]);
  } catch (cause) {
    // A browser refuses "ws" from a page that came by "https".
    throw new ConnectionError(
      `Cannot connect to "${address}": ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** A connection, as soon as the socket that was dialled is open. */
function opened(
  socket: WebSocket,
  address: Address,
  maxMessage: number,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  let cause: unknown = "it was refused";
  const abort = () => {
    socket.close();
    reject(signal?.reason);
  };
  signal?.addEventListener("abort", abort, { once: true });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    signal?.removeEventListener("abort", abort);
    if (signal?.aborted) return socket.close(ABORTED);
    if (socket.protocol !== PROTOCOL) {
      cause = `the other end does not speak "${PROTOCOL}"`;
      return socket.close(ABORTED);
    }
    resolve(
      new WebSocketConnection(socket, {
        role: "dialer",
        remote: address,
        maxMessage,
      }),
    );
  };
  socket.onerror = (event) => {
    event.preventDefault();
    if (event instanceof ErrorEvent) cause = event.error ?? event.message;
  };
  socket.onclose = () => {
    signal?.removeEventListener("abort", abort);
    reject(
      new ConnectionError(
        `Cannot connect to "${address}": ${messageOf(cause)}`,
        { cause },
      ),
    );
  };
  return promise;
}

function parse(address: Address): URL {
  const url = URL.parse(address);
  const known = url?.protocol === "ws:" || url?.protocol === "wss:";
  if (url === null || !known || url.username !== "" || url.hash !== "") {
    throw new TypeError(
      `Cannot parse address "${address}": the form is "ws://host:port/path" or "wss://host:port/path"`,
    );
  }
  return url;
}

function offersProtocol(request: Request): boolean {
  const offered = request.headers.get("sec-websocket-protocol") ?? "";
  return offered.split(",").some((name) => name.trim() === PROTOCOL);
}

function refusal(status: number, text: string): Response {
  return new Response(text, { status });
}

function checkMaxMessage({ maxMessage = MIB }: WebSocketOptions): number {
  if (
    Number.isInteger(maxMessage) && maxMessage >= 1 && maxMessage <= MAX_MESSAGE
  ) {
    return maxMessage;
  }
  throw new RangeError(
    `Cannot use WebSocket with maxMessage ${maxMessage}: it is an integer from 1 to ${MAX_MESSAGE}`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
