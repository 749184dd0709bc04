import { assert, assertEquals, assertRejects } from "@std/assert";
import { writeAll } from "./_deno_conn.ts";
import { type Connection, ConnectionError, type Listener } from "./types.ts";
import { websocket } from "./websocket.ts";

const ADDRESS = "ws://127.0.0.1:0/cluster";
const MAX_MESSAGE = 10_000;
const BINARY = 2;
const PING = 9;

/** A client that keeps to no rule but its own. */
class Client implements Disposable {
  readonly #conn: Deno.TcpConn;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async connect({ address }: Listener): Promise<Client> {
    const { port } = new URL(address);
    return new Client(await Deno.connect({ port: Number(port) }));
  }

  /** Connects, and asks for a WebSocket as a node does. */
  static async open(listener: Listener): Promise<Client> {
    const client = await Client.connect(listener);
    await client.write(request());
    const answer = new TextDecoder().decode(await client.read());
    assert(answer.startsWith("HTTP/1.1 101 "), answer);
    // The sample of RFC 6455, 1.3.
    assert(answer.includes("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), answer);
    return client;
  }

  write(bytes: Uint8Array): Promise<void> {
    return writeAll(this.#conn, bytes);
  }

  /** What arrives next; empty: nothing does any more. */
  async read(): Promise<Uint8Array> {
    const buffer = new Uint8Array(65_536);
    const count = await this.#conn.read(buffer).catch(() => null);
    return buffer.subarray(0, count ?? 0);
  }

  /** Resolves once the other end has closed. */
  async closed(): Promise<void> {
    while ((await this.read()).length > 0);
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

function request(path = "/cluster", ...more: string[]): Uint8Array {
  const lines = [
    `GET ${path} HTTP/1.1`,
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: other, devts.1",
    ...more,
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

/** A frame with a mask. */
function frame(
  opcode: number,
  payload: Uint8Array,
  { isFinal = true, length = payload.length } = {},
): Uint8Array {
  const bytes = new Uint8Array(14 + payload.length);
  bytes[0] = (isFinal ? 0x80 : 0) | opcode;
  bytes[1] = 0x80 | 127;
  new DataView(bytes.buffer).setBigUint64(2, BigInt(length));
  bytes.set([1, 2, 3, 4], 10);
  payload.forEach((byte, i) => bytes[14 + i] = byte ^ (i % 4 + 1));
  return bytes;
}

/** A message of a connection, as it stands in a WebSocket. */
function message(...bytes: number[]): Uint8Array {
  return Uint8Array.of(0, ...bytes);
}

async function next(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

function listen(): Promise<Listener> {
  return websocket({ maxMessage: MAX_MESSAGE }).listen(ADDRESS);
}

Deno.test("websocket().listen() puts a message together from its parts, and answers what comes between", async () => {
  await using listener = await listen();
  using client = await Client.open(listener);
  await using connection = await next(listener);
  const parts = [
    frame(BINARY, message(1, 2), { isFinal: false }),
    frame(PING, Uint8Array.of(9)),
    frame(0, new Uint8Array(0), { isFinal: false }),
    frame(0, Uint8Array.of(3)),
    frame(BINARY, message()),
  ];
  for (const part of parts) {
    for (const byte of part) await client.write(Uint8Array.of(byte));
  }
  assertEquals(await connection.receive(), Uint8Array.of(1, 2, 3));
  assertEquals(await connection.receive(), new Uint8Array(0));
  assertEquals(await client.read(), Uint8Array.of(0x8a, 1, 9));
  await client.write(frame(8, Uint8Array.of(3, 0xe8)));
  assertEquals(await connection.receive(), null);
  assertEquals(await client.read(), Uint8Array.of(0x88, 2, 3, 0xe8));
});

Deno.test("websocket().listen() takes no more than the longest message, in how many parts ever", async () => {
  await using listener = await listen();
  using client = await Client.open(listener);
  await using connection = await next(listener);
  const received = assertRejects(() => connection.receive(), ConnectionError);
  const part = new Uint8Array(1_000);
  await client.write(frame(BINARY, part, { isFinal: false }));
  for (let sent = 1; sent < MAX_MESSAGE / 1_000; sent++) {
    await client.write(frame(0, part, { isFinal: false }));
  }
  await client.write(frame(0, new Uint8Array(2), { isFinal: false }));
  const error = await received;
  assert(error.cause instanceof RangeError, `${error.cause}`);
  await client.closed();
});

Deno.test("websocket().listen() refuses what is too long on sight of its length", async () => {
  await using listener = await listen();
  for (const length of [MAX_MESSAGE + 2, 2 ** 40]) {
    using client = await Client.open(listener);
    await using connection = await next(listener);
    const received = assertRejects(() => connection.receive(), ConnectionError);
    await client.write(frame(BINARY, new Uint8Array(0), { length }));
    assert((await received).cause instanceof RangeError);
    await client.closed();
  }
});

Deno.test("websocket().listen() tells how far a message has come", async () => {
  await using listener = await listen();
  using client = await Client.open(listener);
  await using connection = await next(listener);
  const arriving = (): { message: number; bytes: number } | null =>
    "arriving" in connection
      ? connection.arriving as { message: number; bytes: number } | null
      : null;
  assertEquals(arriving(), null);
  const seen: number[] = [];
  for (const isFinal of [false, false, true]) {
    const opcode = seen.length === 0 ? BINARY : 0;
    const payload = seen.length === 0 ? message(7) : Uint8Array.of(7, 7);
    await client.write(frame(opcode, payload, { isFinal }));
    if (isFinal) break;
    await client.write(frame(PING, new Uint8Array(0)));
    await client.read(); // it has come this far
    seen.push(arriving()?.bytes ?? 0);
    assertEquals(arriving()?.message, 0);
  }
  assertEquals(seen, [2, 4]);
  assertEquals((await connection.receive())?.length, 5);
  assertEquals(arriving(), null);
});

const BROKEN: Readonly<Record<string, Uint8Array>> = {
  "no mask": Uint8Array.of(0x82, 1, 0),
  "an extension": Uint8Array.of(0xc2, 0x80, 0, 0, 0, 0),
  "an unknown kind": frame(3, message()),
  "a part of nothing": frame(0, message()),
  "a ping in parts": frame(PING, new Uint8Array(0), { isFinal: false }),
  "a ping that is too long": frame(PING, new Uint8Array(126)),
  "text": frame(1, message()),
};

for (const [what, bytes] of Object.entries(BROKEN)) {
  Deno.test(`websocket().listen() closes a socket over ${what}`, async () => {
    await using listener = await listen();
    using client = await Client.open(listener);
    await using connection = await next(listener);
    const received = assertRejects(() => connection.receive(), ConnectionError);
    await client.write(bytes);
    await received;
    await client.closed();
  });
}

const REFUSED: Readonly<Record<string, [status: string, request: Uint8Array]>> =
  {
    "another path": ["404", request("/other")],
    "no request": ["404", new TextEncoder().encode("hello\r\n\r\n")],
    "another method": [
      "404",
      new TextEncoder().encode("POST /cluster HTTP/1.1\r\n\r\n"),
    ],
    "another protocol": [
      "400",
      request("/cluster", "Sec-WebSocket-Protocol: other"),
    ],
    "another version": ["400", request("/cluster", "Sec-WebSocket-Version: 8")],
  };

for (const [what, [status, bytes]] of Object.entries(REFUSED)) {
  Deno.test(`websocket().listen() answers ${what} with ${status}`, async () => {
    await using listener = await listen();
    using client = await Client.connect(listener);
    await client.write(bytes);
    const answer = new TextDecoder().decode(await client.read());
    assert(answer.startsWith(`HTTP/1.1 ${status} `), answer);
    await client.closed();
  });
}

Deno.test("websocket().listen() closes whose request has no end", async () => {
  await using listener = await listen();
  using client = await Client.connect(listener);
  await client.write(new Uint8Array(8_192).fill(65));
  await client.closed();
});
