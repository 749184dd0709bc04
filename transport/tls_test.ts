import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  Authority,
  createCertificate,
  NodeCredentials,
} from "./_certificate_test.ts";
import { combine } from "./combine.ts";
import { type Credentials, isSecurable } from "./credentials.ts";
import { memory } from "./memory.ts";
import { tcp } from "./tcp.ts";
import { testTransport } from "./testing.ts";
import { tls } from "./tls.ts";
import {
  type Connection,
  ConnectionError,
  type ConnectOptions,
  type Listener,
  type Transport,
} from "./types.ts";
import { wrapConnection, wrapTransport } from "./wrap.ts";

const ADDRESS = "tls://127.0.0.1:0";
const { cert, key } = await createCertificate("node.internal");
const options = { cert, key, caCerts: [cert] };
const authority = await Authority.create();
const credentials = await NodeCredentials.create("one", authority);

testTransport("tls()", { transport: () => tls(options), address: ADDRESS });
testTransport("tcp().secure()", {
  transport: () => tcp().secure(credentials),
  address: "tcp://127.0.0.1:0",
});

testTransport("tls(), after many handshakes that stalled", {
  transport: () => besieged(tls(options)),
  address: ADDRESS,
});

Deno.test("tls() closes the sockets of those who stall, once there were many", async () => {
  const transport = tls(options);
  await using listener = await transport.listen(ADDRESS);
  await stall(listener);
  await echoOnce(transport, listener);
  using silent = await silentTo(listener);
  const stalled = await next(listener);
  await stalled.close(new Error("enough"));
  // One of the runtime would stay open.
  const read = silent.read(new Uint8Array(1));
  assertEquals(await read.catch(() => null), null);
});

Deno.test("tls().listen() needs a certificate, and names the address where it is none", async () => {
  await assertRejects(() => tls().listen(ADDRESS), TypeError, "cert and key");
  await assertRejects(
    () => tls({ cert: "none", key }).listen(ADDRESS),
    ConnectionError,
    ADDRESS,
  );
});

Deno.test("tls().connect() names the address where an authority is none", async () => {
  await using listener = await tls(options).listen(ADDRESS);
  const refused = next(listener).then((accepted) => accepted.receive());
  await assertRejects(
    () => tls({ caCerts: ["none"] }).connect(listener.address),
    ConnectionError,
    listener.address,
  );
  await assertRejects(() => refused, ConnectionError);
});

Deno.test("tls().connect() has the other end prove its name, and who vouches for it", async () => {
  await using listener = await tls(options).listen(ADDRESS);
  const refused: [Transport, string | undefined][] = [
    [tls(options), "other.internal"],
    [tls(), undefined],
  ];
  for (const [transport, serverName] of refused) {
    const accepting = next(listener);
    await assertRejects(
      () =>
        transport.connect(listener.address, serverName ? { serverName } : {}),
      ConnectionError,
      `Cannot connect to "${listener.address}": `,
    );
    const accepted = await accepting;
    await assertRejects(() => accepted.receive(), ConnectionError);
  }
  await echoOnce(tls(options), listener, { serverName: "node.internal" });
});

Deno.test("tls() refuses another application protocol, and none", async () => {
  await using listener = await tls(options).listen(ADDRESS);
  const port = Number(listener.address.split(":").at(-1));
  const hostname = "127.0.0.1";
  for (const alpnProtocols of [["http/1.1"], []]) {
    const accepting = next(listener);
    const conn = await Deno.connectTls({
      hostname,
      port,
      caCerts: [cert],
      alpnProtocols,
    });
    await conn.handshake().catch(() => {});
    await assertRejects(
      async () => (await accepting).receive(),
      ConnectionError,
    );
    conn.close();
  }
});

Deno.test("tls() closes whoever speaks in plain text, and goes on", async () => {
  await using listener = await tls(options).listen(ADDRESS);
  const port = Number(listener.address.split(":").at(-1));
  using stranger = await Deno.connect({ hostname: "127.0.0.1", port });
  await stranger.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
  const refused = await next(listener);
  const error = await assertRejects(() => refused.receive(), ConnectionError);
  // By which whoever listens tells it from somebody who has left.
  assert(error.cause instanceof Deno.errors.InvalidData);
  await echoOnce(tls(options), listener);
});

Deno.test("tls() holds up nobody for a handshake that stalls, and ends that after 5 s", async () => {
  await using listener = await tls(options).listen(ADDRESS);
  const port = Number(listener.address.split(":").at(-1));
  using _silent = await Deno.connect({ hostname: "127.0.0.1", port });
  const stalled = await next(listener);
  const refused = assertRejects(
    () => stalled.receive(),
    ConnectionError,
    "the TLS handshake took longer than 5 s",
  );
  await echoOnce(tls(options), listener);
  await refused;
});

Deno.test("tls().connect() ends a handshake that stalls, with the signal and after 5 s", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `tls://127.0.0.1:${silent.addr.port}`;
  const controller = new AbortController();
  const { signal } = controller;
  const dialling = tls(options).connect(address, { signal });
  using first = await silent.accept();
  // Its first word is there: the handshake is under way.
  await first.read(new Uint8Array(1));
  controller.abort(new RangeError("enough"));
  await assertRejects(() => dialling, RangeError, "enough");
  await assertRejects(
    () => tls(options).connect(address),
    ConnectionError,
    `Cannot connect to "${address}": the TLS handshake took longer than 5 s`,
  );
});

Deno.test("a secured transport has the node prove its id, where that is known", async () => {
  const transport = tcp().secure(credentials);
  await using listener = await transport.listen("tcp://127.0.0.1:0");
  const refused = next(listener).then((accepted) => accepted.receive());
  await assertRejects(
    () => transport.connect(listener.address, { expect: "two" }),
    ConnectionError,
    listener.address,
  );
  await assertRejects(() => refused, ConnectionError);
  const { dialled, accepted } = await open(transport, listener, {
    expect: "one",
  });
  assertEquals([dialled.carrier, accepted.carrier], ["tls", "tls"]);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("a secured transport and a plain one do not understand each other", async () => {
  const secured = tcp().secure(credentials);
  await using listener = await secured.listen("tcp://127.0.0.1:0");
  await using plain = await tcp().connect(listener.address);
  await plain.send(new Uint8Array(100));
  const refused = await next(listener);
  await assertRejects(() => refused.receive(), ConnectionError);
  await using open = await tcp().listen("tcp://127.0.0.1:0");
  const [dialled] = await Promise.allSettled([
    secured.connect(open.address),
    next(open).then((accepted) => accepted.receive()),
  ]);
  assertEquals(dialled.status, "rejected");
});

Deno.test("a secured listener shows its new certificate from a change on, and keeps its connections", async () => {
  const other = await Authority.create();
  const live = await NodeCredentials.create("one", authority);
  const transport = tcp().secure(live);
  const listener = await transport.listen("tcp://127.0.0.1:0");
  assertEquals(live.listeners, 1);
  const before = await open(transport, listener);

  await live.change("one", other);
  // Whoever believes the new authority alone gets through, once it has changed.
  const newcomer = tcp().secure(await NodeCredentials.create("two", other));
  const after = await open(newcomer, listener);
  const refused = next(listener).then((accepted) => accepted.receive());
  await assertRejects(
    () => tcp().secure(credentials).connect(listener.address),
    ConnectionError,
    listener.address,
  );
  await assertRejects(() => refused, ConnectionError);
  for (const { dialled, accepted } of [before, after]) {
    await dialled.send(Uint8Array.of(1));
    assertEquals(await accepted.receive(), Uint8Array.of(1));
    await Promise.all([dialled.close(), accepted.close()]);
  }
  await listener.close();
  assertEquals(live.listeners, 0);
});

Deno.test("combine() and wrapTransport() pass credentials on", async () => {
  const combined = combine(tcp(), memory());
  assertEquals(combined.securable, ["tcp"]);
  const wrapped = wrapTransport(combined, {
    connection: (connection) => wrapConnection(connection, {}),
  });
  if (!isSecurable(wrapped)) throw new Error("It cannot be secured");
  const transport = wrapped.secure(credentials);
  assertEquals(transport.schemes, ["tcp", "memory"]);
  await using listener = await transport.listen("tcp://127.0.0.1:0");
  const { dialled, accepted } = await open(transport, listener);
  assertEquals([dialled.carrier, accepted.carrier], ["tls", "tls"]);
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("wrapTransport() is no way around credentials", () => {
  const transport = tcp();
  const wrapped = wrapTransport(transport, {
    connect: (address) => transport.connect(address),
  });
  assertEquals(isSecurable(wrapped), false);
});

Deno.test("a listener that cannot have its certificate says why", async () => {
  const none = tcp().secure({
    current: () => Promise.reject(new Error("no secret")),
    serverName: () => "any.devts.internal",
    onChange: () => ({ [Symbol.dispose]() {} }),
  });
  const error = await assertRejects(
    () => none.listen("tcp://127.0.0.1:0"),
    ConnectionError,
  );
  assertStringIncludes(error.message, "no secret");
  await assertRejects(
    () => none.connect("tcp://127.0.0.1:1"),
    ConnectionError,
    "no secret",
  );
});

Deno.test("tcp().secure() keeps its certificate where the next one is none", async () => {
  const live = await NodeCredentials.create("one", authority);
  await using listener = await tcp().secure(live).listen("tcp://127.0.0.1:0");
  await live.spoil();
  const { dialled, accepted } = await open(
    tcp().secure(credentials),
    listener,
  );
  await Promise.all([dialled.close(), accepted.close()]);
});

Deno.test("a secured listener counts the handshakes that stall, and closes a host that is crowded with them", async () => {
  const met = { handshakes: 0, perHost: 0 };
  const bounded: Credentials = {
    current: () => credentials.current(),
    serverName: (id) => credentials.serverName(id),
    onChange: (callback) => credentials.onChange(callback),
    stalls: { handshakes: 3, perHost: 5, met: (limit) => met[limit]++ },
  };
  const listener = await tcp().secure(bounded).listen("tcp://127.0.0.1:0");
  const accepting = (async () => {
    for await (const connection of listener) {
      await connection.close(new Error("enough"));
    }
  })();
  while (met.perHost === 0) {
    using _silent = await silentTo(listener);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert(met.handshakes >= 3, `${met.handshakes} were counted`);
  await listener.close();
  await accepting;
});

interface Pair {
  readonly dialled: Connection;
  readonly accepted: Connection;
}

async function open(
  transport: Transport,
  listener: Listener,
  options: ConnectOptions = {},
): Promise<Pair> {
  const accepting = next(listener);
  const dialled = await transport.connect(listener.address, options);
  await dialled.send(Uint8Array.of(0));
  const accepted = await accepting;
  assertEquals(await accepted.receive(), Uint8Array.of(0));
  return { dialled, accepted };
}

async function echoOnce(
  transport: Transport,
  listener: Listener,
  options?: ConnectOptions,
): Promise<void> {
  const { dialled, accepted } = await open(transport, listener, options);
  await Promise.all([dialled.close(), accepted.close()]);
}

async function next(listener: Listener): Promise<Connection> {
  for await (const connection of listener) return connection;
  throw new Error("The listener is closed");
}

/** A transport whose listeners have met many that stalled. */
function besieged(transport: Transport): Transport {
  return wrapTransport(transport, {
    async listen(address) {
      const listener = await transport.listen(address);
      await stall(listener);
      return listener;
    },
  });
}

/** One connection more than the runtime's own TLS is given: none goes on with its handshake. */
async function stall(listener: Listener): Promise<void> {
  for (let i = 0; i < 65; i++) {
    using _silent = await silentTo(listener);
    await (await next(listener)).close(new Error("enough"));
  }
}

/** Connects, as soon as somebody listens again. */
async function silentTo({ address }: Listener): Promise<Deno.TcpConn> {
  const port = Number(address.split(":").at(-1));
  for (;;) {
    try {
      return await Deno.connect({ hostname: "127.0.0.1", port });
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    }
  }
}
