import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  Authority,
  createCertificate,
  NodeCredentials,
} from "./_certificate_test.ts";
import { quic, type QuicOptions } from "./quic.ts";
import { testTransport } from "./testing.ts";
import {
  type Connection,
  ConnectionError,
  type Listener,
  type Transport,
} from "./types.ts";

const NAME = "node.devts.internal";
const ADDRESS = "quic://127.0.0.1:0";
const ALPN = ["devts/1"];
const IDLE = 1_800;
const { cert, key } = await createCertificate(NAME);
const options: QuicOptions = { cert, key, caCerts: [cert] };
const authority = await Authority.create();
const credentials = await NodeCredentials.create("one", authority);

const skip = {
  "frees the address once the listener is closed":
    "the runtime keeps the socket of a closed endpoint until it is garbage-collected",
};
testTransport("quic()", {
  transport: () => quic(options),
  address: ADDRESS,
  skip,
});
testTransport("quic().secure()", {
  transport: () => quic().secure(credentials),
  address: ADDRESS,
  skip,
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

Deno.test("quic().connect() rejects after 10 s where nobody answers", async () => {
  const silent = bindUdp();
  const silentAddress = `quic://127.0.0.1:${udpAddress(silent).port}`;
  // In a process of its own: the runtime's attempt lasts longer, and cannot be stopped.
  const { stdout } = await evaluate(
    `
    const { quic } = await import(url);
    await quic(options).connect("${silentAddress}").catch((error) =>
      console.log(error.message)
    );
    Deno.exit();
  `,
    ["--unstable-net"],
  );
  assertStringIncludes(
    stdout,
    `Cannot connect to "${silentAddress}": no answer in 10 s`,
  );
  silent.close();
});

Deno.test("quic().connect() gives up sooner where connections end early", async () => {
  const silent = bindUdp();
  const silentAddress = `quic://127.0.0.1:${udpAddress(silent).port}`;
  const { stdout } = await evaluate(
    `
    const { quic } = await import(url);
    await quic({ ...options, idleTimeout: 3_000 }).connect("${silentAddress}")
      .catch((error) => console.log(error.message));
    Deno.exit();
  `,
    ["--unstable-net"],
  );
  assertStringIncludes(stdout, "no answer in 1.5 s");
  silent.close();
});

Deno.test("quic() listener refuses while too many connections wait", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const dialled = await inTurn(129, async () => {
    const connection = await transport.connect(listener.address);
    await connection.send(Uint8Array.of(1));
    return connection;
  });
  // One of them finds no place. Then there is none for another session, either.
  await assertRejects(
    () => Promise.race(dialled.map((connection) => connection.receive())),
    ConnectionError,
  );
  await refusedSession(quic(options), listener);
  const reason = new Error("enough");
  await Promise.all(dialled.map((connection) => connection.close(reason)));
});

Deno.test("quic() listener leaves accepted connections open and refuses others once closed", async () => {
  const transport = quic(options);
  const listener = await transport.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, listener);
  await listener.close();
  await dialled.send(Uint8Array.of(7));
  assertEquals(await accepted.receive(), Uint8Array.of(7));
  await refusedSession(quic(options), listener);
  // A stream of the session that is still open is refused only when it is seen.
  const late = await transport.connect(listener.address);
  await late.send(Uint8Array.of(1));
  await assertRejects(() => late.receive(), ConnectionError);
  await late.close();
  await dialled.send(Uint8Array.of(8));
  assertEquals(await accepted.receive(), Uint8Array.of(8));
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
  const transport = quic({ ...options, idleTimeout: IDLE });
  await using listener = await transport.listen(ADDRESS);
  const relay = startRelay(new URL(listener.address).port);
  // From a port of its own, so that the relay can tell the two apart.
  const dialled = await quic({ ...options, idleTimeout: IDLE }).connect(
    relay.address,
  );
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

Deno.test("quic() counts the ping of a quiet connection as part of the idle timeout", async () => {
  const transport = quic({ ...options, idleTimeout: IDLE });
  await using listener = await transport.listen(ADDRESS);
  const { connectQuic } = Deno;
  let dialled: Deno.ConnectQuicOptions<boolean> | undefined;
  Deno.connectQuic = (given) => {
    dialled = given;
    return connectQuic(given);
  };
  try {
    await (await transport.connect(listener.address)).close();
  } finally {
    Deno.connectQuic = connectQuic;
  }
  const { maxIdleTimeout = Infinity, keepAliveInterval = Infinity } = dialled ??
    {};
  assertEquals(maxIdleTimeout + keepAliveInterval, IDLE);
  assert(maxIdleTimeout >= 3 * keepAliveInterval, "a lost ping ends nothing");
});

Deno.test("quic() connection stays open while it is quiet", async () => {
  const transport = quic({ ...options, idleTimeout: IDLE });
  await using listener = await transport.listen(ADDRESS);
  const relay = startRelay(new URL(listener.address).port);
  // From a port of its own, so that the relay can tell the two apart.
  const dialled = await quic({ ...options, idleTimeout: IDLE }).connect(
    relay.address,
  );
  await dialled.send(Uint8Array.of(1));
  const accepted = await next(listener);
  // Each at least 300 ms long, so in all longer than the idle timeout.
  await relay.pauses(7);
  await accepted.send(Uint8Array.of(2));
  assertEquals(await dialled.receive(), Uint8Array.of(2));
  await Promise.all([dialled.close(), accepted.close()]);
  await relay.close();
});

Deno.test("quic() takes 8 streams of a session, and none that goes one way", async () => {
  await using listener = await quic(options).listen(ADDRESS);
  const conn = await dialRaw(listener);
  for (let i = 0; i < 8; i++) await conn.createBidirectionalStream();
  await assertRejects(() => conn.createBidirectionalStream(), RangeError);
  await assertRejects(() => conn.createUnidirectionalStream(), RangeError);
  conn.close();
});

Deno.test("quic() carries connections to one address over one session, up to 8", async () => {
  const transport = quic(options);
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
  const listener = endpoint.listen({
    cert,
    key,
    alpnProtocols: ALPN,
    maxConcurrentBidirectionalStreams: 8,
  });
  const address = `quic://127.0.0.1:${endpoint.addr.port}`;
  let sessions = 0;
  const accepting = (async () => {
    for (;;) {
      const incoming = await listener.incoming().catch(() => null);
      if (incoming === null) return;
      sessions++;
      // It closes when the last connection does, before it is of any use here.
      await Promise.resolve(incoming.accept()).catch(() => {});
    }
  })();
  const dialled = await Promise.all(
    Array.from({ length: 9 }, () => transport.connect(address)),
  );
  assertEquals(sessions, 2);
  const reason = new Error("enough");
  await Promise.all(dialled.map((connection) => connection.close(reason)));
  endpoint.close();
  await accepting;
});

Deno.test("quic() ends one connection of a session and leaves the others", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const first = await open(transport, listener);
  const second = await open(transport, listener);
  const third = await open(transport, listener);
  assertEquals(first.accepted.remote, second.accepted.remote);

  await first.dialled.close(new Error("enough"));
  await assertRejects(
    () => first.accepted.receive(),
    ConnectionError,
    "cut off",
  );
  const closing = second.accepted.close();
  assertEquals(await second.dialled.receive(), null);
  await Promise.all([closing, second.dialled.close(), first.accepted.close()]);
  await third.dialled.send(Uint8Array.of(3));
  assertEquals(await third.accepted.receive(), Uint8Array.of(3));
  await Promise.all([third.dialled.close(), third.accepted.close()]);
});

Deno.test("quic() gives up a connection whose other end takes nothing, beside others", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const first = await open(transport, listener);
  const second = await open(transport, listener);
  // More than the other end buffers: its end cannot be said in the stream.
  for (let i = 0; i < 4; i++) first.dialled.send(new Uint8Array(1024 * 1024));
  await second.dialled.send(Uint8Array.of(2));
  assertEquals(await second.accepted.receive(), Uint8Array.of(2));
  await first.dialled.close(new Error("enough"));
  await Promise.all(
    [first.accepted, second.dialled, second.accepted].map((connection) =>
      connection.close(new Error("done"))
    ),
  );
});

Deno.test("quic() dials from the port that it listens on", async () => {
  const transport = quic(options);
  await using listener = await transport.listen(ADDRESS);
  const other = quic(options);
  await using target = await other.listen(ADDRESS);
  const { dialled, accepted } = await open(transport, target);
  assertEquals(accepted.remote, listener.address);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("quic().secure() has the node prove its id, where that is known", async () => {
  const transport = quic().secure(credentials);
  await using listener = await transport.listen(ADDRESS);
  await assertRejects(
    () => transport.connect(listener.address, { expect: "two" }),
    ConnectionError,
    listener.address,
  );
  const { dialled, accepted } = await open(transport, listener);
  assertEquals([dialled.carrier, accepted.carrier], ["quic", "quic"]);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("quic().secure() shows its new certificate from a change on, and keeps its connections", async () => {
  const other = await Authority.create();
  const live = await NodeCredentials.create("one", authority);
  const transport = quic().secure(live);
  const listener = await transport.listen(ADDRESS);
  const before = await open(transport, listener);
  await live.change("one", other);
  assertEquals(live.listeners, 1);
  const newcomer = quic().secure(await NodeCredentials.create("two", other));
  const after = await open(newcomer, listener);
  await assertRejects(
    () => quic().secure(credentials).connect(listener.address),
    ConnectionError,
    listener.address,
  );
  for (const { dialled, accepted } of [before, after]) {
    await dialled.send(Uint8Array.of(1));
    assertEquals(await accepted.receive(), Uint8Array.of(1));
    await Promise.all([dialled.close(), accepted.close()]);
  }
  await listener.close();
  assertEquals(live.listeners, 0);
});

Deno.test("quic().secure() keeps its certificate where the next one is none", async () => {
  const live = await NodeCredentials.create("one", authority);
  await using listener = await quic().secure(live).listen(ADDRESS);
  await live.spoil();
  const { dialled, accepted } = await open(
    quic().secure(credentials),
    listener,
  );
  await Promise.all([dialled.close(), accepted.close()]);
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

async function inTurn<T>(
  count: number,
  make: () => Promise<T>,
): Promise<T[]> {
  const made: T[] = [];
  while (made.length < count) made.push(await make());
  return made;
}

async function refusedSession(
  stranger: Transport,
  listener: Listener,
): Promise<void> {
  await assertRejects(
    () => stranger.connect(listener.address),
    ConnectionError,
    listener.address,
  );
}

async function open(
  transport: Transport,
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
  /** Resolves once that many packets have come by after 300 ms without any. */
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
      if (now - last >= 300 && --awaited === 0) reached();
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
