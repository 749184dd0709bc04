import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { createCertificate } from "./_certificate_test.ts";
import { quic, type QuicOptions } from "./quic.ts";
import { testTransport } from "./testing.ts";
import { type Connection, ConnectionError, type Listener } from "./types.ts";

const NAME = "node.devts.internal";
const ADDRESS = "quic://127.0.0.1:0";
const ALPN = ["devts/1"];
const { cert, key } = await createCertificate(NAME);
const options: QuicOptions = { cert, key, caCerts: [cert] };

testTransport("quic()", {
  transport: () => quic(options),
  address: ADDRESS,
  skip: {
    "frees the address once the listener is closed":
      "the runtime keeps the socket of a closed endpoint until it is garbage-collected",
  },
});

Deno.test("quic() says how to turn QUIC on where it is off", async () => {
  const { code, stdout: said } = await evaluate(`
    const { quic } = await import(url);
    try { quic(); } catch (error) { console.log(String(error)); }
  `);
  assertEquals(code, 0);
  assertStringIncludes(said, "TypeError: Cannot use QUIC");
  assertStringIncludes(said, "--unstable-net");
});

Deno.test("quic() refuses an idle timeout that is no time", () => {
  for (const idleTimeout of [0, -1, 0.5, NaN, Infinity]) {
    assertThrows(() => quic({ idleTimeout }), RangeError, "idleTimeout");
  }
});

Deno.test("quic().listen() needs a certificate", async () => {
  await assertRejects(
    () => quic({ caCerts: [cert] }).listen(ADDRESS),
    TypeError,
    "cert and key",
  );
});

Deno.test("quic().listen() names the address where the certificate is none", async () => {
  await assertRejects(
    () => quic({ cert: "none", key }).listen(ADDRESS),
    ConnectionError,
    ADDRESS,
  );
});

Deno.test("quic().connect() has the other end prove its name", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  await assertRejects(
    () => transport.connect(listener.address, { serverName: "other.internal" }),
    ConnectionError,
    listener.address,
  );
  await using _connection = await transport.connect(listener.address, {
    serverName: NAME,
  });
});

Deno.test("quic().connect() refuses a certificate that nobody vouches for", async () => {
  await using listener = await quic(options).listen(ADDRESS);
  await assertRejects(
    () => quic().connect(listener.address),
    ConnectionError,
    listener.address,
  );
});

Deno.test("quic().connect() gives up with the signal, and closes what opens later", async () => {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
  const listener = endpoint.listen({ cert, key, alpnProtocols: ALPN });
  const controller = new AbortController();
  const connecting = quic(options).connect(
    `quic://127.0.0.1:${endpoint.addr.port}`,
    { signal: controller.signal },
  );
  const incoming = await listener.incoming();
  controller.abort(new RangeError("enough"));
  await assertRejects(() => connecting, RangeError, "enough");
  const late = await incoming.accept();
  assertEquals((await late.closed).closeCode, 1);
  endpoint.close();
});

Deno.test("quic().connect() rejects after the idle timeout where nobody answers", async () => {
  const silent = bindUdp();
  const address = `quic://127.0.0.1:${udpAddress(silent).port}`;
  await assertRejects(
    () => quic({ idleTimeout: 100 }).connect(address),
    ConnectionError,
    address,
  );
  silent.close();
});

Deno.test("quic() listener goes on after a failed handshake", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  await assertRejects(() => dialRaw(listener, { alpnProtocols: ["other/1"] }));
  await assertRejects(() => quic().connect(listener.address));
  const { dialled, accepted } = await open(transport, listener);
  await dialled.close();
  assertEquals(await accepted.receive(), null);
  await accepted.close();
});

Deno.test("quic() listener does not wait for the stream of a connection that opens none", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const silent = await dialRaw(listener);
  const { dialled, accepted } = await open(transport, listener);
  silent.close();
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("quic() listener refuses while too many connections wait", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const dialled: Connection[] = [];
  while (dialled.length < 128) {
    // Few at a time: the packets of more would overflow the buffer of the socket.
    dialled.push(
      ...await Promise.all(
        Array.from({ length: 16 }, () => transport.connect(listener.address)),
      ),
    );
  }
  await assertRejects(
    () => transport.connect(listener.address),
    ConnectionError,
    listener.address,
  );
  await Promise.all(dialled.map((connection) => connection.close()));
});

Deno.test("quic() listener leaves accepted connections open and refuses others once closed", async () => {
  const transport = quic(options);
  const listener = await transport.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, listener);
  await listener.close();
  await dialled.send(Uint8Array.of(7));
  assertEquals(await accepted.receive(), Uint8Array.of(7));
  await assertRejects(
    () => transport.connect(listener.address),
    ConnectionError,
    listener.address,
  );
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("quic().listen() takes up a port that connections still use", async () => {
  const transport = quic(options);
  const first = await transport.listen(ADDRESS);
  const before = await open(transport, first);
  await assertRejects(
    () => transport.listen(first.address),
    ConnectionError,
    "in use",
  );
  await first.close();
  await using second = await transport.listen(first.address);
  assertEquals(second.address, first.address);
  const after = await open(transport, second);
  for (const { dialled, accepted } of [before, after]) {
    await Promise.all([dialled.close(), accepted.close()]);
  }
});

Deno.test("quic() close delivers what was sent to a receiver that comes later", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, listener);
  const messages = Array.from(
    { length: 8 },
    (_, i) => new Uint8Array(50_000 + i).fill(i),
  );
  for (const message of messages) dialled.send(message);
  await dialled.close();
  for (const message of messages) {
    assertEquals(await accepted.receive(), message);
  }
  assertEquals(await accepted.receive(), null);
  await accepted.close();
});

Deno.test("quic() close with a reason is no clean end, not even between messages", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, listener);
  const received = accepted.receive();
  await dialled.close(new Error("enough"));
  await assertRejects(() => received, ConnectionError);
  await accepted.close();
});

Deno.test("quic() connection rejects where the other end stops within a message", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const conn = await dialRaw(listener);
  const writer = (await conn.createBidirectionalStream()).writable.getWriter();
  await writer.write(Uint8Array.of(0, 0, 0, 9, 1, 2, 3));
  await writer.close();
  const accepted = await next(listener);
  await assertRejects(() => accepted.receive(), ConnectionError, "within");
  await accepted.close();
  await conn.closed;
});

Deno.test("quic() connection rejects where the other end closes without ending its stream", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const conn = await dialRaw(listener);
  const writer = (await conn.createBidirectionalStream()).writable.getWriter();
  await writer.write(Uint8Array.of(0, 0, 0, 1, 1));
  const accepted = await next(listener);
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  conn.close();
  await assertRejects(() => accepted.receive(), ConnectionError);
  await accepted.close();
});

Deno.test("quic() connection rejects once the other end is silent for the idle timeout", async () => {
  const transport = quic({ ...options, idleTimeout: 1000 });
  await using listener = await transport.listen(ADDRESS);
  const relay = startRelay(new URL(listener.address).port);
  const dialled = await transport.connect(relay.address);
  await dialled.send(Uint8Array.of(1));
  const accepted = await next(listener);
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  const receiving = [dialled.receive(), accepted.receive()];
  relay.drop();
  for (const received of receiving) {
    await assertRejects(() => received, ConnectionError);
  }
  await Promise.all([dialled.close(), accepted.close()]);
  await relay.close();
});

Deno.test("quic() connection stays open while it is quiet", async () => {
  const transport = quic({ ...options, idleTimeout: 900 });
  await using listener = await transport.listen(ADDRESS);
  const relay = startRelay(new URL(listener.address).port);
  const dialled = await transport.connect(relay.address);
  await dialled.send(Uint8Array.of(1));
  const accepted = await next(listener);
  // Each at least 150 ms long, so in all longer than the idle timeout.
  await relay.pauses(7);
  await accepted.send(Uint8Array.of(2));
  assertEquals(await dialled.receive(), Uint8Array.of(2));
  await Promise.all([dialled.close(), accepted.close()]);
  await relay.close();
});

Deno.test("quic() opens one stream per connection, and takes no other", async () => {
  await using listener = await quic(options).listen(ADDRESS);
  const conn = await dialRaw(listener);
  await conn.createBidirectionalStream();
  await assertRejects(() => conn.createBidirectionalStream(), RangeError);
  await assertRejects(() => conn.createUnidirectionalStream(), RangeError);
  conn.close();
});

Deno.test({
  name: "quic() keeps one socket for all that it dials",
  ignore: Deno.build.os !== "linux",
  async fn() {
    // In a process of its own: others open files in this one at the same time.
    const { code, stdout } = await evaluate(
      `
      const { quic } = await import(url);
      const transport = quic(options);
      const listener = await transport.listen(address);
      const accepting = listener[Symbol.asyncIterator]();
      const openFiles = () => [...Deno.readDirSync("/proc/self/fd")].length;
      async function dialOnce() {
        const dialled = await transport.connect(listener.address, { serverName });
        await dialled.send(Uint8Array.of(1));
        const { value: accepted } = await accepting.next();
        await accepted.receive();
        await Promise.all([dialled.close(), accepted.close()]);
      }
      await dialOnce();
      const before = openFiles();
      for (let i = 0; i < 50; i++) await dialOnce();
      console.log(openFiles() - before);
      Deno.exit();
    `,
      ["--unstable-net"],
    );
    assertEquals(code, 0);
    const more = Number(stdout);
    assert(Math.abs(more) <= 2, `${more} files more`);
  },
});

// What follows tells when the runtime gets rid of a trap that `quic.ts` avoids.

Deno.test("Deno.QuicIncoming is used up by its getters", async () => {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
  const listener = endpoint.listen({ cert, key, alpnProtocols: ALPN });
  const dialling = dialPort(endpoint.addr.port);
  const incoming = await listener.incoming();
  assertEquals(incoming.remoteAddr.hostname, "127.0.0.1");
  await assertRejects(async () => await incoming.accept());
  assertInstanceOf(await dialling.catch((error) => error), Error);
  endpoint.close();
});

Deno.test("Deno.QuicListener.accept() rejects with one stranger's failed handshake", async () => {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
  const listener = endpoint.listen({ cert, key, alpnProtocols: ALPN });
  const accepting = listener.accept();
  const dialling = dialPort(endpoint.addr.port, { alpnProtocols: ["other"] });
  await assertRejects(() => accepting);
  await assertRejects(() => dialling);
  endpoint.close();
});

async function open(
  transport: ReturnType<typeof quic>,
  listener: Listener,
): Promise<{ dialled: Connection; accepted: Connection }> {
  const dialled = await transport.connect(listener.address);
  await dialled.send(Uint8Array.of(1));
  const accepted = await next(listener);
  assertEquals(await accepted.receive(), Uint8Array.of(1));
  return { dialled, accepted };
}

async function next(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

function dialRaw(
  listener: Listener,
  overrides: { alpnProtocols?: string[] } = {},
): Promise<Deno.QuicConn> {
  return dialPort(Number(new URL(listener.address).port), overrides);
}

function dialPort(
  port: number,
  overrides: { alpnProtocols?: string[] } = {},
): Promise<Deno.QuicConn> {
  return Deno.connectQuic<false>({
    hostname: "127.0.0.1",
    port,
    caCerts: [cert],
    alpnProtocols: ALPN,
    ...overrides,
  });
}

/** Runs a program that knows the `url` of the module, `options`, `address` and `serverName`. */
async function evaluate(
  program: string,
  flags: readonly string[] = [],
): Promise<{ readonly code: number; readonly stdout: string }> {
  const known = {
    url: import.meta.resolve("./quic.ts"),
    options,
    address: ADDRESS,
    serverName: NAME,
  };
  const names = Object.keys(known).join();
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--no-config",
      "--no-lock",
      "--no-check",
      "--ext=ts",
      ...flags,
      `const { ${names} } = ${JSON.stringify(known)};\n${program}`,
    ],
    stderr: "inherit",
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout) };
}

function bindUdp(): Deno.DatagramConn {
  return Deno.listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
}

function udpAddress(socket: Deno.DatagramConn): Deno.NetAddr {
  const { addr } = socket;
  if (addr.transport !== "udp") throw new TypeError("Not a UDP socket");
  return addr;
}

/** Passes packets on between one client and a port of this machine, until told not to. */
function startRelay(port: string): {
  readonly address: string;
  /** Resolves once that many packets have come by after 150 ms without any. */
  pauses(count: number): Promise<void>;
  drop(): void;
  close(): Promise<void>;
} {
  const socket = bindUdp();
  const server: Deno.NetAddr = {
    transport: "udp",
    hostname: "127.0.0.1",
    port: Number(port),
  };
  let client: Deno.Addr | undefined;
  let dropping = false;
  let awaited = 0;
  let reached = () => {};
  let last = performance.now();
  async function run(): Promise<void> {
    for await (const [packet, from] of socket) {
      if (dropping || from.transport !== "udp") continue;
      const back = from.port === server.port;
      if (!back) client = from;
      const to = back ? client : server;
      if (to !== undefined) await socket.send(packet, to);
      const now = performance.now();
      if (now - last >= 150 && --awaited === 0) reached();
      last = now;
    }
  }
  const running = run();
  return {
    address: `quic://127.0.0.1:${udpAddress(socket).port}`,
    pauses(count) {
      awaited = count;
      return new Promise((resolve) => reached = resolve);
    },
    drop: () => dropping = true,
    close() {
      socket.close();
      return running;
    },
  };
}
