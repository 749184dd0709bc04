/**
 * What this folder works around in the runtime. Each test passes while the trap is
 * there, and fails once a later Deno is rid of it: its message says what to simplify.
 */
import { assert, assertRejects } from "@std/assert";
import { createCertificate } from "./_certificate_test.ts";
import { writeAll } from "./_deno_conn.ts";

const NAME = "node.internal";
const ALPN = ["devts/1"];
const HOST = "127.0.0.1";
const { cert, key } = await createCertificate(NAME);

/** Registers a check that resolves to whether the trap is still there. */
function testTrap(
  trap: string,
  simplify: string,
  isThere: () => Promise<boolean>,
): void {
  Deno.test(`Deno: ${trap}`, async () => {
    assert(
      await isThere(),
      `Deno ${Deno.version.deno} is rid of this: ${trap}. Now ${simplify}.`,
    );
  });
}

// -- QUIC --

testTrap(
  "a getter of Deno.QuicIncoming uses it up",
  "_quic_port.ts can look at the address before it accepts a session",
  async () => {
    using server = listenQuic();
    const dialling = settled(dialQuic(server.port));
    const incoming = await server.listener.incoming();
    assert(incoming.remoteAddr.hostname === HOST);
    const accepted = await settled(
      (async () => await incoming.accept())(),
    );
    const dialled = await dialling;
    accepted.value?.close();
    dialled.value?.close();
    return accepted.error !== undefined;
  },
);

testTrap(
  "Deno.QuicListener.accept() rejects with one stranger's failed handshake",
  "_quic_port.ts can iterate over the listener",
  async () => {
    using server = listenQuic();
    const accepting = settled(server.listener.accept());
    await settled(dialQuic(server.port, { alpnProtocols: ["other"] }));
    const good = settled(dialQuic(server.port, { maxIdleTimeout: 100 }));
    const { error, value } = await accepting;
    value?.close();
    (await good).value?.close();
    return error !== undefined;
  },
);

testTrap(
  "Deno.QuicEndpoint.close() keeps the port until the garbage collector comes",
  "run the test of quic() that is skipped for it, and take the sentence out of its documentation",
  // deno-lint-ignore require-await -- like the others
  async () => {
    const { endpoint } = listenQuic();
    const { addr } = endpoint;
    endpoint.close();
    return isTaken(addr);
  },
);

testTrap(
  "the first listener of a Deno.QuicEndpoint waits for ever once it is stopped",
  "a port of _quic_port.ts that refuses can stop its listener instead",
  async () => {
    using server = listenQuic();
    const pending = server.listener.incoming().then(() => true, () => true);
    server.listener.stop();
    // What a connection needs to open and close is more than a settled promise needs.
    using other = listenQuic();
    const dialling = dialQuic(other.port);
    const accepted = await (await other.listener.incoming()).accept();
    (await dialling).close();
    await accepted.closed;
    return !await Promise.race([pending, Promise.resolve(false)]);
  },
);

testTrap(
  "Deno.QuicConn.closed rejects where the other end was silent for too long",
  "QuicSession.closed can be that promise itself",
  async () => {
    using server = listenQuic({ maxIdleTimeout: 100 });
    const dialling = dialQuic(server.port);
    const accepted = await (await server.listener.incoming()).accept();
    const dialled = await dialling;
    const { error } = await settled(accepted.closed);
    await settled(dialled.closed);
    return error !== undefined;
  },
);

testTrap(
  "the handshake of a Deno.QuicConn that was accepted early resolves where it fails",
  "_quic_port.ts can tell of it where that rejects, instead of where there are no streams",
  async () => {
    using server = listenQuic();
    const dialling = settled(dialQuic(server.port, { caCerts: [] }));
    const incoming = await server.listener.incoming();
    const accepted = incoming.accept({ alpnProtocols: ALPN, zeroRtt: true });
    const { error } = await settled(accepted.handshake);
    await Promise.all([dialling, settled(accepted.closed)]);
    return error === undefined;
  },
);

testTrap(
  "Deno.connectQuic() takes no signal",
  "quic.ts can pass its signal on, and need not close what opens too late",
  async () => {
    const silent = Deno.listenDatagram({
      transport: "udp",
      hostname: HOST,
      port: 0,
    });
    assert(silent.addr.transport === "udp");
    const reason = new Error("enough");
    const options = { maxIdleTimeout: 100, signal: AbortSignal.abort(reason) };
    const { error } = await settled(dialQuic(silent.addr.port, options));
    silent.close();
    return error !== reason;
  },
);

testTrap(
  "a QUIC stream that is aborted looks like one that ends in order",
  'quic.ts can leave out the option "goodbye" of frame(), and framing.ts that option',
  async () => {
    using server = listenQuic();
    const { dialled, accepted, ours, theirs } = await quicStreams(server);
    const reader = theirs.readable.getReader();
    const writer = ours.writable.getWriter();
    await reader.read();
    await writer.abort(new Error("enough"));
    const { value } = await settled(reader.read());
    dialled.close();
    await accepted.closed;
    return value?.done === true;
  },
);

testTrap(
  "closing a QUIC connection loses what was just written",
  "a QuicStream can close without waiting for the other end",
  async () => {
    using server = listenQuic();
    const { dialled, accepted, ours, theirs } = await quicStreams(server);
    const writer = ours.writable.getWriter();
    await writer.write(new Uint8Array(500_000));
    await writer.close();
    dialled.close();
    await accepted.closed;
    let size = 0;
    try {
      for await (const chunk of theirs.readable) size += chunk.length;
    } catch {
      // Cut off.
    }
    return size < 500_000;
  },
);

testTrap(
  "Deno.connectQuic() without an endpoint leaves its socket open",
  "quic.ts need not keep an endpoint to dial from",
  async () => {
    // Kept until the collector comes, which may be at any time: so many, at once.
    using server = listenQuic();
    const ports: Deno.NetAddr[] = [];
    for (let i = 0; i < 20; i++) {
      const dialling = dialQuic(server.port);
      const accepted = await (await server.listener.incoming()).accept();
      const dialled = await dialling;
      ports.push(dialled.endpoint.addr);
      dialled.close();
      dialled.endpoint.close();
      await accepted.closed;
    }
    return ports.some(isTaken);
  },
);

// -- TLS --

testTrap(
  "a connection of Deno.listenTls() has Nagle's algorithm on, and no way to turn it off",
  "_tls.ts can turn it off, as tcp.ts does, and documentation that says so is out of date",
  async () => {
    const { dialled, accepted } = await tlsPair();
    const can = "setNoDelay" in accepted;
    dialled.close();
    accepted.close();
    return !can;
  },
);

testTrap(
  "closing a Deno.TlsConn whose handshake stalls leaves its socket open",
  "_tls.ts needs no other TLS beside it, and the documentation of tls() need not say so",
  async () => {
    using listener = listenTls();
    const silent = await Deno.connect({ port: listener.addr.port });
    const accepted = await listener.accept();
    const shaking = settled(accepted.handshake());
    accepted.close();
    await shaking;
    let ended = false;
    const reading = settled(
      silent.read(new Uint8Array(1)).then(() => {
        ended = true;
      }),
    );
    // What another connection needs to open and close is more than an end needs.
    const pair = await tlsPair();
    pair.dialled.close();
    await settled(pair.accepted.read(new Uint8Array(1)));
    pair.accepted.close();
    const isThere = !ended;
    silent.close();
    await reading;
    return isThere;
  },
);

testTrap(
  "Deno.startTls() takes no signal",
  "_tls.ts can pass its signal on",
  async () => {
    using silent = Deno.listen({ hostname: HOST, port: 0 });
    const socket = await Deno.connect({ port: silent.addr.port });
    using _other = await silent.accept();
    const options = { hostname: NAME, signal: AbortSignal.abort() };
    const { value } = await settled(Deno.startTls(socket, options));
    value?.close();
    return value !== undefined;
  },
);

Deno.test("Deno: a listener can listen again on the port that a closed one has left", async () => {
  // What a change of the certificate of tls() stands on.
  const listener = listenTls();
  const { port } = listener.addr;
  const accepting = settled(listener.accept());
  listener.close();
  await accepting;
  let again: Deno.TlsListener | undefined;
  while (again === undefined) {
    try {
      again = listenTls(port);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
  again.close();
});

Deno.test("Deno: a later listener of a QUIC endpoint shows its own certificate", async () => {
  // What a change of the certificate of quic() stands on.
  using server = listenQuic();
  const next = await createCertificate(NAME);
  const listener = server.endpoint.listen({ ...next, alpnProtocols: ALPN });
  const serve = async (listener: Deno.QuicListener): Promise<void> => {
    const incoming = await listener.incoming().catch(() => undefined);
    await settled((async () => await incoming?.accept())());
  };
  const serving = [serve(server.listener), serve(listener)];
  await assertRejects(() => dialQuic(server.port));
  const dialled = await dialQuic(server.port, { caCerts: [next.cert] });
  dialled.close();
  server.endpoint.close();
  await Promise.all(serving);
});

// -- WebSocket --

testTrap(
  "a WebSocket puts the parts of a message together, however long it becomes",
  "websocket() can listen with Deno.upgradeWebSocket() again, and the warning of webSocketListener() can go",
  async () => {
    const closed = Promise.withResolvers<void>();
    await using server = Deno.serve(
      { hostname: HOST, port: 0, onListen: () => {} },
      (request) => {
        const { socket, response } = Deno.upgradeWebSocket(request);
        socket.onclose = () => closed.resolve();
        socket.onerror = (event) => event.preventDefault();
        return response;
      },
    );
    const { port } = server.addr;
    const conn = await Deno.connect({ hostname: HOST, port });
    await writeAll(
      conn,
      new TextEncoder().encode(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
    );
    await conn.read(new Uint8Array(1_024));
    // The runtime's limit of a message is 64 MiB: this one has one part more.
    const part = new Uint8Array(2 ** 20);
    const head = Uint8Array.of(2, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0);
    const { error } = await settled((async () => {
      for (let sent = 0; sent < 65; sent++) {
        await writeAll(conn, head);
        await writeAll(conn, part);
        head[0] = 0;
      }
    })());
    conn.close();
    await closed.promise;
    return error === undefined;
  },
);

interface QuicServer extends Disposable {
  readonly endpoint: Deno.QuicEndpoint;
  readonly listener: Deno.QuicListener;
  readonly port: number;
}

function listenQuic(options: Deno.QuicTransportOptions = {}): QuicServer {
  const endpoint = new Deno.QuicEndpoint({ hostname: HOST });
  const listener = endpoint.listen({
    cert,
    key,
    alpnProtocols: ALPN,
    ...options,
  });
  const { port } = endpoint.addr;
  return {
    endpoint,
    listener,
    port,
    [Symbol.dispose]: () => endpoint.close(),
  };
}

function dialQuic(
  port: number,
  options: Partial<Deno.ConnectQuicOptions<false>> = {},
): Promise<Deno.QuicConn> {
  return Deno.connectQuic<false>({
    hostname: HOST,
    port,
    caCerts: [cert],
    alpnProtocols: ALPN,
    ...options,
  });
}

/** Both ends of a stream, in use: the dialler has spoken. */
async function quicStreams({ listener, port }: QuicServer): Promise<{
  readonly dialled: Deno.QuicConn;
  readonly accepted: Deno.QuicConn;
  readonly ours: Deno.QuicBidirectionalStream;
  readonly theirs: Deno.QuicBidirectionalStream;
}> {
  const dialling = dialQuic(port);
  const accepted = await (await listener.incoming()).accept();
  const dialled = await dialling;
  const ours = await dialled.createBidirectionalStream();
  const writer = ours.writable.getWriter();
  await writer.write(Uint8Array.of(1));
  writer.releaseLock();
  const streams = accepted.incomingBidirectionalStreams.getReader();
  const { value: theirs } = await streams.read();
  assert(theirs !== undefined);
  return { dialled, accepted, ours, theirs };
}

function listenTls(port = 0): Deno.TlsListener {
  return Deno.listenTls({
    hostname: HOST,
    port,
    cert,
    key,
    alpnProtocols: ALPN,
  });
}

async function tlsPair(): Promise<{
  readonly dialled: Deno.TlsConn;
  readonly accepted: Deno.TlsConn;
}> {
  using listener = listenTls();
  const dialling = Deno.connectTls({
    hostname: HOST,
    port: listener.addr.port,
    caCerts: [cert],
    alpnProtocols: ALPN,
  });
  const accepted = await listener.accept();
  const dialled = await dialling;
  await Promise.all([dialled.handshake(), accepted.handshake()]);
  return { dialled, accepted };
}

/** Whether there is a socket of that address. */
function isTaken({ hostname, port }: Deno.NetAddr): boolean {
  try {
    new Deno.QuicEndpoint({ hostname, port }).close();
    return false;
  } catch {
    return true;
  }
}

/** What became of a promise, which never rejects. */
async function settled<T>(
  promise: Promise<T>,
): Promise<{ readonly value?: T; readonly error?: unknown }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}
