import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createCertificate } from "./_certificate_test.ts";
import { writeAll } from "./_deno_conn.ts";
import { testTransport } from "./testing.ts";
import {
  type Connection,
  ConnectionError,
  type Listener,
  type Transport,
} from "./types.ts";
import {
  websocket,
  type WebSocketListener,
  webSocketListener,
} from "./websocket.ts";

const ADDRESS = "ws://127.0.0.1:0";
const PROTOCOL = "devts.1";
const KIB = 1024;
const MIB = 1024 * KIB;
/** What a message counts for beside its bytes. */
const OVERHEAD = 64;
const WINDOW = 2 * (MIB + OVERHEAD);

testTransport("websocket()", {
  transport: () => websocket(),
  address: ADDRESS,
});

Deno.test("websocket() refuses a limit that is out of range", () => {
  for (const maxMessage of [0, -1, 0.5, NaN, 2 ** 30 + 1]) {
    assertThrows(() => websocket({ maxMessage }), RangeError, "maxMessage");
    assertThrows(
      () => webSocketListener("ws://example.com", { maxMessage }),
      RangeError,
      "maxMessage",
    );
  }
});

Deno.test("websocket().listen() leaves TLS to a web server", async () => {
  await assertRejects(
    () => websocket().listen("wss://127.0.0.1:0"),
    TypeError,
    "webSocketListener()",
  );
});

Deno.test("websocket().listen() answers on its path alone", async () => {
  const transport = websocket();
  await using listener = await transport.listen("ws://127.0.0.1:0/cluster");
  const other = listener.address.replace("/cluster", "/other");
  await assertRejects(() => transport.connect(other), ConnectionError, other);
  const { dialled, accepted } = await open(transport, listener);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("websocket().connect() refuses another use of WebSocket", async () => {
  await using server = serve((request) =>
    Deno.upgradeWebSocket(request).response
  );
  await assertRejects(
    () => websocket().connect(server.address),
    ConnectionError,
    PROTOCOL,
  );
});

Deno.test("websocket().connect() says where the web server refuses", async () => {
  await using server = serve(() => new Response(null, { status: 503 }));
  await assertRejects(
    () => websocket().connect(server.address),
    ConnectionError,
    server.address,
  );
});

Deno.test("websocket().connect() needs nothing of Deno", async () => {
  await using listener = await websocket().listen(ADDRESS);
  const url = import.meta.resolve("./websocket.ts");
  const dialling = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-config",
      "--no-lock",
      "--no-check",
      "--ext=ts",
      `
      delete globalThis.Deno;
      const { websocket } = await import(${JSON.stringify(url)});
      const connection = await websocket().connect(${
        JSON.stringify(listener.address)
      });
      await connection.send(await connection.receive());
      await connection.close();
    `,
    ],
    stderr: "inherit",
  }).output();
  const accepted = await next(listener);
  await accepted.send(Uint8Array.of(1, 2, 3));
  assertEquals(await accepted.receive(), Uint8Array.of(1, 2, 3));
  assertEquals(await accepted.receive(), null);
  await accepted.close();
  assertEquals((await dialling).code, 0);
});

Deno.test("websocket() carries messages over its window, whatever their sizes", async () => {
  for (const maxMessage of [1, 100, 64 * KIB, 64 * KIB + 1, MIB]) {
    const transport = websocket({ maxMessage });
    await using listener = await transport.listen(ADDRESS);
    const { dialled, accepted } = await open(transport, listener);
    const sizes = [maxMessage, 0, maxMessage >> 1, maxMessage, 1];
    const window = 2 * Math.max(64 * KIB, maxMessage + OVERHEAD);
    const rounds = Math.ceil(3 * window / (3 * maxMessage + 5 * OVERHEAD));
    const lengths = Array.from(
      { length: rounds * sizes.length },
      (_, i) => sizes[i % sizes.length] ?? 0,
    );
    const sending = sendAndClose(dialled, lengths);
    let received = 0;
    for await (const message of accepted) {
      assertEquals(message.length, lengths[received++]);
    }
    assertEquals(received, lengths.length);
    await sending;
    await accepted.close();
  }
});

Deno.test("websocket() has the receiver refuse what only the sender would carry", async () => {
  await using listener = await websocket({ maxMessage: 10 }).listen(ADDRESS);
  const { dialled, accepted } = await open(websocket(), listener);
  const received = accepted.receive();
  await dialled.send(new Uint8Array(MIB));
  await assertRejects(() => received, ConnectionError, "at most 10");
  await assertRejects(() => dialled.receive(), ConnectionError);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("websocket() takes messages both ways between limits that differ", async () => {
  await using listener = await websocket({ maxMessage: 10 }).listen(ADDRESS);
  const { dialled, accepted } = await open(websocket(), listener);
  const count = 10_000; // Several of the smaller windows.
  const sent = Uint8Array.of(1, 2, 3);
  async function sendAll(connection: Connection): Promise<void> {
    for (let i = 0; i < count; i++) await connection.send(sent);
  }
  async function receiveAll(connection: Connection): Promise<void> {
    for (let i = 0; i < count; i++) {
      assertEquals(await connection.receive(), sent);
    }
  }
  await Promise.all([
    sendAll(dialled),
    receiveAll(accepted),
    sendAll(accepted),
    receiveAll(dialled),
  ]);
  await Promise.all([dialled.close(), accepted.close()]);
});

type Packet = string | Uint8Array<ArrayBuffer>;

const VIOLATIONS: readonly { says: string; packets: readonly Packet[] }[] = [
  { says: "sent text", packets: ["hello"] },
  { says: "sent something unknown", packets: [Uint8Array.of(9)] },
  { says: "sent something unknown", packets: [new Uint8Array(0)] },
  { says: "granted no number", packets: [Uint8Array.of(1, 2)] },
  { says: "granted too little", packets: [credit(1)] },
  { says: "granted too much", packets: [credit(WINDOW), credit(1)] },
  {
    says: "sent more than there was room for",
    packets: Array.from(
      { length: 1 + Math.floor(WINDOW / (MIB / 2 + OVERHEAD)) },
      () => new Uint8Array(1 + MIB / 2),
    ),
  },
  { says: `at most ${MIB}`, packets: [new Uint8Array(1 + MIB + 1)] },
];

Deno.test("websocket() connection breaks where the other end breaks a rule", async (t) => {
  for (const { says, packets } of VIOLATIONS) {
    await t.step(`${packets.length} packets: ${says}`, async () => {
      await using listener = await websocket().listen(ADDRESS);
      const socket = await openRaw(listener.address);
      const accepted = await next(listener);
      const closed = closing(socket);
      for (const packet of packets) socket.send(packet);
      assertEquals((await closed).code, 4000);
      await assertRejects(() => accepted.receive(), ConnectionError, says);
      await assertRejects(
        () => accepted.send(Uint8Array.of(1)),
        ConnectionError,
      );
      await accepted.close();
    });
  }
});

Deno.test("websocket() flushes although both ends close at once", async () => {
  const transport = websocket();
  await using listener = await transport.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, listener);
  const message = new Uint8Array(MIB);
  const ends = [dialled, accepted];
  // More than a window in each direction, of which nothing is received.
  const sending = ends.flatMap((end) =>
    Array.from({ length: 8 }, () => end.send(message))
  );
  await Promise.all(ends.map((end) => end.close()));
  const outcomes = await Promise.allSettled(sending);
  const [first, second] = [outcomes.slice(0, 8), outcomes.slice(8)];
  // Whoever is done first closes the socket: the other one may be cut short.
  assert(
    [first, second].some((all) =>
      all.every(({ status }) => status === "fulfilled")
    ),
  );
});

Deno.test("websocket() connection breaks where the other end grants room for what it has not read", async () => {
  await using listener = await websocket().listen(ADDRESS);
  // A client that sends, and never reads.
  using conn = await dialTcp(listener.address);
  const accepted = await next(listener);
  const message = new Uint8Array(MIB);
  const sending = Array.from({ length: 64 }, () => accepted.send(message));
  await writeAll(conn, packetFrame(credit(WINDOW)));
  for (let i = 0; i < 32; i++) {
    await writeAll(conn, packetFrame(credit(MIB + OVERHEAD)));
  }
  await assertRejects(
    () => Promise.all(sending),
    ConnectionError,
    "has not read",
  );
  conn.close();
  await accepted.close();
});

Deno.test("websocket() connection rejects where the other end is gone without a word", async () => {
  await using listener = await websocket().listen(ADDRESS);
  const conn = await dialTcp(listener.address);
  const accepted = await next(listener);
  const received = accepted.receive();
  conn.close();
  await assertRejects(() => received, ConnectionError);
  await accepted.close();
});

Deno.test("websocket() connection takes a close with another code for no clean end", async () => {
  for (const code of [undefined, 3000, 4000]) {
    await using listener = await websocket().listen(ADDRESS);
    const socket = await openRaw(listener.address);
    const accepted = await next(listener);
    socket.close(code);
    await assertRejects(() => accepted.receive(), ConnectionError);
    await accepted.close();
  }
});

Deno.test("websocket() connection gives what arrived before the other end broke off", async () => {
  await using listener = await websocket().listen(ADDRESS);
  const socket = await openRaw(listener.address);
  const accepted = await next(listener);
  const closed = closing(socket);
  socket.send(Uint8Array.of(0, 7));
  socket.close(4000);
  await closed;
  assertEquals(await accepted.receive(), Uint8Array.of(7));
  await assertRejects(() => accepted.receive(), ConnectionError);
  await accepted.close();
});

Deno.test("webSocketListener() refuses a malformed address", () => {
  for (const address of ["", "tcp://a:1", "ws://", "ws://a/#b", "wss://u@a"]) {
    assertThrows(() => webSocketListener(address), TypeError, "ws://host:port");
  }
});

Deno.test("webSocketListener() lives beside a web server", async () => {
  await using listener = webSocketListener("wss://example.com/cluster");
  assertEquals(listener.address, "wss://example.com/cluster");
  await using server = serve((request) =>
    new URL(request.url).pathname === "/cluster"
      ? listener.upgrade(request, "ws://10.0.0.1:1")
      : new Response("page")
  );
  const transport = websocket();
  const dialled = await transport.connect(`${server.address}/cluster`);
  const accepted = await next(listener);
  assertEquals(accepted.remote, "ws://10.0.0.1:1");
  const page = await fetch(server.address.replace("ws", "http"));
  assertEquals(await page.text(), "page");
  await dialled.send(Uint8Array.of(1));
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("websocket() dials a web server that ends TLS, whose certificate the runtime believes", async () => {
  const { cert, key } = await createCertificate("node.internal");
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen: () => {} },
    (request) => listener.upgrade(request),
  );
  const address = `wss://localhost:${server.addr.port}/cluster`;
  await using listener = webSocketListener(address);
  const answering = (async () => {
    const connection = await next(listener);
    const message = await connection.receive();
    await connection.send(message ?? new Uint8Array(0));
    assertEquals(await connection.receive(), null);
    await connection.close();
  })();
  // What a runtime believes is set where it starts.
  const believed = await Deno.makeTempFile({ suffix: ".pem" });
  await Deno.writeTextFile(believed, cert);
  const program = `
    const { websocket } = await import("${
    import.meta.resolve("./websocket.ts")
  }");
    const connection = await websocket().connect("${address}");
    await connection.send(Uint8Array.of(1, 2, 3));
    console.log(String(await connection.receive()), connection.carrier);
    await connection.close();
  `;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "--no-lock", `--cert=${believed}`, program],
    stderr: "inherit",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "1,2,3 websocket\n");
  await answering;
  await Deno.remove(believed);
  await assertRejects(() => websocket().connect(address), ConnectionError);
});

Deno.test("webSocketListener().upgrade() refuses what is no WebSocket of a node", async () => {
  await using listener = webSocketListener("ws://example.com");
  const headers = [{}, { "sec-websocket-protocol": "chat" }, {
    "sec-websocket-protocol": PROTOCOL,
  }];
  for (const header of headers) {
    const request = new Request("http://example.com", { headers: header });
    assertEquals(listener.upgrade(request).status, 400);
  }
});

Deno.test("webSocketListener().upgrade() refuses once closed, and accepted connections stay", async () => {
  const listener = webSocketListener("ws://example.com");
  await using server = serve((request) => listener.upgrade(request));
  const transport = websocket();
  const dialled = await transport.connect(server.address);
  const accepted = await next(listener);
  const untaken = await transport.connect(server.address);
  await listener.close();
  await assertRejects(() => untaken.receive(), ConnectionError);
  await assertRejects(
    () => transport.connect(server.address),
    ConnectionError,
    "503",
  );
  await dialled.send(Uint8Array.of(1));
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  await Promise.all([dialled.close(), accepted.close(), untaken.close()]);
});

Deno.test("webSocketListener().upgrade() refuses while too many connections wait", async () => {
  await using listener = webSocketListener("ws://example.com");
  await using server = serve((request) => listener.upgrade(request));
  const transport = websocket();
  const dialled = await Promise.all(
    Array.from({ length: 128 }, () => transport.connect(server.address)),
  );
  await assertRejects(
    () => transport.connect(server.address),
    ConnectionError,
    "503",
  );
  const accepted = await next(listener);
  dialled.push(await transport.connect(server.address));
  await accepted.close();
  await listener.close();
  await Promise.all(dialled.map((connection) => connection.close()));
});

async function open(
  transport: Transport,
  listener: Listener,
): Promise<{ dialled: Connection; accepted: Connection }> {
  const dialled = await transport.connect(listener.address);
  return { dialled, accepted: await next(listener) };
}

async function sendAndClose(
  connection: Connection,
  lengths: readonly number[],
): Promise<void> {
  for (const length of lengths) await connection.send(new Uint8Array(length));
  await connection.close();
}

async function next(
  listener: Listener | WebSocketListener,
): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

interface Server extends AsyncDisposable {
  readonly address: string;
}

function serve(handler: (request: Request) => Response): Server {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    handler,
  );
  return {
    address: `ws://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A packet that grants room. */
function credit(bytes: number): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(5);
  packet[0] = 1;
  new DataView(packet.buffer).setUint32(1, bytes);
  return packet;
}

/** Opens a socket that does not keep to the rules. */
function openRaw(address: string): Promise<WebSocket> {
  const socket = new WebSocket(address, [PROTOCOL]);
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = reject;
  });
}

function closing(socket: WebSocket): Promise<CloseEvent> {
  return new Promise((resolve) => socket.onclose = resolve);
}

/** Opens a WebSocket by hand, to read and close as no WebSocket would. */
async function dialTcp(address: string): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(address);
  const conn = await Deno.connect({ hostname, port: Number(port) });
  await writeAll(
    conn,
    new TextEncoder().encode([
      "GET / HTTP/1.1",
      "Host: example.com",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      `Sec-WebSocket-Protocol: ${PROTOCOL}`,
      "\r\n",
    ].join("\r\n")),
  );
  return conn;
}

/** A short binary message as a client sends it, masked with zeros (RFC 6455, 5.2). */
function packetFrame(packet: Uint8Array): Uint8Array {
  return Uint8Array.of(0x82, 0x80 | packet.length, 0, 0, 0, 0, ...packet);
}
