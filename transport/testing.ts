/**
 * The conformance suite of transports: one call registers a test for each point of
 * the contracts of `Transport`, `Listener` and `Connection`.
 *
 * ```ts
 * import { memory } from "@devts/transport/memory";
 * import { testTransport } from "@devts/transport/testing";
 *
 * // In my_transport_test.ts; here it is called without being run.
 * function register(): void {
 *   testTransport("memory()", { transport: () => memory(), address: "memory://0" });
 * }
 * console.assert(typeof register === "function");
 * ```
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  type Connection,
  ConnectionError,
  type InPlaceConnection,
  type Listener,
  type Transport,
} from "./types.ts";

/** Options of {@linkcode testTransport}. */
export interface TestTransportOptions {
  /** Makes the transport; called once per test. */
  readonly transport: () => Transport | Promise<Transport>;
  /** What to listen on, such that what is free is chosen: `"tcp://127.0.0.1:0"`. */
  readonly address: string;
  /** Tests that do not apply, by name, each with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
}

/**
 * Registers the conformance tests of a transport with `Deno.test`.
 *
 * - A skipped test is registered as ignored, with its reason in its name.
 * - Connections that are an {@linkcode InPlaceConnection} are held to that, too. For
 *   others, those tests have one ignored step, "skipped", and nothing else.
 * - The limit of a message is taken to be 1 MiB, as it is by default.
 * - The runtime's sanitizers tell what leaks: every test closes what it opens.
 *
 * @param name What the names of the tests start with: `"tcp()"`.
 * @param options The transport, where to listen, what to skip.
 * @throws {TypeError} If `skip` names a test that does not exist.
 */
export function testTransport(
  name: string,
  options: TestTransportOptions,
): void {
  const skip = new Map(Object.entries(options.skip ?? {}));
  for (const fact of skip.keys()) {
    if (Object.hasOwn(FACTS, fact)) continue;
    throw new TypeError(
      `Cannot skip the test "${fact}" of ${name}: there is none of that name`,
    );
  }
  for (const [fact, run] of Object.entries(FACTS)) {
    const reason = skip.get(fact);
    Deno.test({
      name: reason === undefined
        ? `${name} ${fact}`
        : `${name} ${fact} (skipped: ${reason})`,
      ignore: reason !== undefined,
      fn: async (t) => await run(await options.transport(), options.address, t),
    });
  }
}

/** Checks one fact of a transport that can listen on an address. */
type Check = (
  transport: Transport,
  address: string,
  t: Deno.TestContext,
) => Promise<void>;

const KIB = 1024;
const MIB = 1024 * KIB;
/** More than any transport may hold on to. */
const ENDLESS = 64 * MIB;
/** What a transport and the system's buffers together may hold on to. */
const HELD = 32 * MIB;
const HELLO = Uint8Array.of(104, 105);

const FACTS: Readonly<Record<string, Check>> = {
  // -- Connection: messages --

  "keeps the order of messages": async (transport, address) => {
    await using pair = await open(transport, address);
    const count = 1_000;
    for (let number = 0; number < count; number++) {
      pair.dialled.send(numbered(number, 8));
    }
    for (let number = 0; number < count; number++) {
      assertEquals(await pair.accepted.receive(), numbered(number, 8));
    }
  },

  "keeps messages whole at every size": async (transport, address) => {
    await using pair = await open(transport, address);
    const sizes = [0, 1, 127, 128, 65_535, 65_536, MIB, 0, 2];
    const sending = inTurn(sizes, (size) => pair.dialled.send(pattern(size)));
    for (const size of sizes) {
      assertSame(await pair.accepted.receive(), pattern(size));
    }
    await sending;
  },

  "carries messages both ways at once": async (transport, address) => {
    await using pair = await open(transport, address);
    const sizes = Array.from({ length: 200 }, (_, number) => 50 * number);
    async function exchange(connection: Connection): Promise<void> {
      const sending = inTurn(sizes, (size) => connection.send(pattern(size)));
      for (const size of sizes) {
        assertSame(await connection.receive(), pattern(size));
      }
      await sending;
    }
    await Promise.all([exchange(pair.dialled), exchange(pair.accepted)]);
  },

  "iterates over messages as receive gives them": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    for (let number = 0; number < 4; number++) {
      await pair.dialled.send(numbered(number, 1));
    }
    for await (const message of pair.accepted) {
      assertEquals(message, numbered(0, 1));
      break;
    }
    assertEquals(await pair.accepted.receive(), numbered(1, 1));
    const [rest] = await Promise.all([
      Array.fromAsync(pair.accepted),
      pair.dialled.close(),
    ]);
    assertEquals(rest, [numbered(2, 1), numbered(3, 1)]);
  },

  "leaves sent bytes to the sender once send has settled": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const count = 500;
    const buffer = new Uint8Array(3_000);
    async function reuse(): Promise<void> {
      for (let number = 0; number < count; number++) {
        buffer.fill(number);
        await pair.dialled.send(buffer);
      }
      buffer.fill(255);
    }
    const sending = reuse();
    for (let number = 0; number < count; number++) {
      assertSame(
        await pair.accepted.receive(),
        new Uint8Array(buffer.length).fill(number),
      );
    }
    await sending;
  },

  "never changes a message that was received": async (transport, address) => {
    await using pair = await open(transport, address);
    const sizes = Array.from({ length: 300 }, (_, number) => 17 * number);
    const sending = inTurn(sizes, (size) => pair.dialled.send(pattern(size)));
    const received = await inTurn(sizes, () => pair.accepted.receive());
    await sending;
    for (const [index, size] of sizes.entries()) {
      assertSame(received[index], pattern(size));
    }
  },

  // -- Connection: limits --

  "refuses to send a message over the limit and stays usable": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    await assertRejects(
      () => pair.dialled.send(new Uint8Array(MIB + 1)),
      RangeError,
    );
    await pair.dialled.send(HELLO);
    assertEquals(await pair.accepted.receive(), HELLO);
  },

  "receives a message as long as the limit given": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    await pair.dialled.send(pattern(100));
    await pair.dialled.send(pattern(101));
    assertEquals(await pair.accepted.receive({ limit: 100 }), pattern(100));
    assertEquals(await pair.accepted.receive(), pattern(101));
  },

  "breaks over a message longer than the limit given": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    await pair.dialled.send(pattern(101));
    await pair.dialled.send(pattern(1));
    await assertRejects(
      () => pair.accepted.receive({ limit: 100 }),
      ConnectionError,
    );
    await assertRejects(() => pair.accepted.receive(), ConnectionError);
    await assertRejects(() => pair.accepted.send(HELLO), ConnectionError);
  },

  // -- Connection: back-pressure --

  "makes a sender wait for a receiver that takes nothing": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const flood = new Flood(pair.dialled);
    const sending = flood.run();
    await flood.stalled();
    let received = 0;
    while (received < ENDLESS) {
      const held = flood.sent - received;
      assert(held <= HELD, `${held} bytes were taken on that nobody received`);
      const message = await pair.accepted.receive();
      assertEquals(message?.length, MIB);
      received += MIB;
      await turn();
    }
    assertStrictEquals(await sending, undefined);
    assertEquals(flood.sent, ENDLESS);
  },

  // -- Connection: one receiver --

  "refuses a second receive while one is pending": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const first = pair.accepted.receive();
    await assertRejects(() => pair.accepted.receive(), TypeError);
    await pair.dialled.send(HELLO);
    assertEquals(await first, HELLO);
  },

  // -- Connection: end --

  "delivers what was sent before close": async (transport, address) => {
    await using pair = await open(transport, address);
    const count = 40;
    for (let number = 0; number < count; number++) {
      pair.dialled.send(numbered(number, 100 * KIB));
    }
    const closing = pair.dialled.close();
    for (let number = 0; number < count; number++) {
      assertSame(
        await pair.accepted.receive(),
        numbered(number, 100 * KIB),
      );
    }
    assertStrictEquals(await pair.accepted.receive(), null);
    await pair.accepted.close();
    await closing;
  },

  "delivers what was sent before close although it leaves messages unread":
    async (transport, address) => {
      await using pair = await open(transport, address);
      for (let number = 0; number < 8; number++) {
        await pair.accepted.send(numbered(number, 32 * KIB));
      }
      const count = 20;
      for (let number = 0; number < count; number++) {
        pair.dialled.send(numbered(number, 100 * KIB));
      }
      const closing = pair.dialled.close();
      // The receiver starts late: the system still holds most of it then.
      await turns(20);
      for (let number = 0; number < count; number++) {
        assertSame(
          await pair.accepted.receive(),
          numbered(number, 100 * KIB),
        );
      }
      assertStrictEquals(await pair.accepted.receive(), null);
      await pair.accepted.close();
      await closing;
    },

  "gives null for ever once the other end has closed": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const pending = pair.accepted.receive();
    const closing = pair.dialled.close();
    assertStrictEquals(await pending, null);
    assertStrictEquals(await pair.accepted.receive(), null);
    assertStrictEquals(await pair.accepted.receive({ limit: 1 }), null);
    await pair.accepted.close();
    assertStrictEquals(await pair.accepted.receive(), null);
    await closing;
  },

  "gives null once this end has closed": async (transport, address) => {
    await using pair = await open(transport, address);
    const pending = pair.accepted.receive();
    await Promise.all([pair.accepted.close(), pair.dialled.close()]);
    assertStrictEquals(await pending, null);
    assertStrictEquals(await pair.accepted.receive(), null);
  },

  "refuses to send once this end has closed": async (transport, address) => {
    await using pair = await open(transport, address);
    const closing = pair.dialled.close();
    await assertRejects(() => pair.dialled.send(HELLO), ConnectionError);
    await pair.accepted.close();
    await closing;
    await assertRejects(() => pair.dialled.send(HELLO), ConnectionError);
  },

  "refuses to send once the other end has gone": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    await pair.accepted.close(new Error("gone"));
    const error = await new Flood(pair.dialled).run();
    assertInstanceOf(error, ConnectionError);
  },

  "drops what is queued on close with a reason": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const flood = new Flood(pair.dialled);
    const sending = flood.run();
    await flood.stalled();
    const reason = new Error("enough");
    await pair.dialled.close(reason);
    const error = await sending;
    assertInstanceOf(error, ConnectionError);
    assertStrictEquals(error.cause, reason);
    const received = await countUntilEnd(pair.accepted);
    assert(received < ENDLESS, "everything was delivered");
  },

  "rejects a pending receive on close with a reason": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const pending = pair.accepted.receive();
    const reason = new Error("enough");
    await pair.accepted.close(reason);
    const error = await assertRejects(() => pending, ConnectionError);
    assertStrictEquals(error.cause, reason);
    const again = await assertRejects(
      () => pair.accepted.receive(),
      ConnectionError,
    );
    assertStrictEquals(again.cause, reason);
  },

  "closes once, however often it is asked to": async (transport, address) => {
    await using pair = await open(transport, address);
    await Promise.all([
      pair.dialled.close(),
      pair.dialled.close(),
      pair.accepted.close(),
    ]);
    await pair.dialled.close();
    await pair.dialled.close(new Error("late"));
    await pair.dialled[Symbol.asyncDispose]();
    assertStrictEquals(await pair.dialled.receive(), null);
  },

  "ends close although the other end takes nothing": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    const flood = new Flood(pair.dialled);
    const sending = flood.run();
    await flood.stalled();
    await pair.dialled.close();
    assertInstanceOf(await sending, ConnectionError);
  },

  // -- In-place connection --

  "sends frames from where they stand, in order with messages": inPlace(
    async ({ dialled, accepted }) => {
      const sizes = [0, 1, 5_000, 127, 128, 65_535, 65_536, 3, MIB, 0, 2];
      const memory = inOneMemory(dialled, sizes);
      const sending = inTurn([...sizes.entries()], async ([index, size]) => {
        await dialled.sendFrame(memory[index] ?? framed(dialled, size));
        await dialled.send(pattern(size));
        await dialled.sendFrame(framed(dialled, size));
      });
      for (const size of sizes) {
        for (let time = 0; time < 3; time++) {
          assertSame(await accepted.receive(), pattern(size));
        }
      }
      await sending;
    },
  ),

  "is done with each frame once, and does not need its memory then": inPlace(
    async ({ dialled, accepted }) => {
      const sizes = Array.from({ length: 400 }, (_, number) => 41 * number);
      const memory = inOneMemory(dialled, sizes);
      const done = new Array(sizes.length).fill(0);
      const all = Promise.withResolvers<void>();
      let left = sizes.length;
      const sending = inTurn([...sizes.entries()], ([index, size]) => {
        // Half of them stand one behind the other, the others alone.
        const frame = index % 4 < 2 ? memory[index] : framed(dialled, size);
        assert(frame !== undefined);
        return dialled.sendFrame(frame, () => {
          frame.fill(255);
          done[index]++;
          if (--left === 0) all.resolve();
        });
      });
      for (const size of sizes) {
        assertSame(await accepted.receive(), pattern(size));
      }
      await Promise.all([sending, all.promise]);
      await turns(5);
      assertEquals(done, new Array(sizes.length).fill(1));
    },
  ),

  "is never done with a frame after the connection has ended": inPlace(
    async ({ dialled, accepted }) => {
      const frame = framed(dialled, MIB);
      let sent = 0;
      let done = 0;
      const flood = new Flood({
        send() {
          sent++;
          return dialled.sendFrame(frame, () => done++);
        },
      });
      const sending = flood.run();
      await flood.stalled();
      const closing = dialled.close(new Error("enough"));
      const before = done;
      assert(before < sent, "all has left, although nobody receives");
      await closing;
      assertInstanceOf(await sending, ConnectionError);
      await countUntilEnd(accepted);
      await turns(5);
      assertEquals(done, before);
    },
  ),

  "sends a frame over each connection of its framing": inPlace(
    async ({ dialled, accepted }) => {
      assertStrictEquals(dialled.framing, accepted.framing);
      const frame = framed(dialled, 10_000);
      const free = Promise.withResolvers<void>();
      let left = 4;
      const done = (): void => {
        if (--left === 0) free.resolve();
      };
      for (const connection of [dialled, accepted, dialled, accepted]) {
        await connection.sendFrame(frame, done);
      }
      for (const connection of [dialled, accepted, dialled, accepted]) {
        assertSame(await connection.receive(), pattern(10_000));
      }
      await free.promise;
    },
  ),

  "refuses to send a frame over the limit and stays usable": inPlace(
    async ({ dialled, accepted }) => {
      let done = 0;
      await assertRejects(
        () => dialled.sendFrame(framed(dialled, MIB + 1), () => done++),
        RangeError,
      );
      await dialled.sendFrame(framed(dialled, 100));
      assertSame(await accepted.receive(), pattern(100));
      const closing = dialled.close();
      await assertRejects(
        () => dialled.sendFrame(framed(dialled, 1), () => done++),
        ConnectionError,
      );
      await accepted.close();
      await closing;
      assertEquals(done, 0);
    },
  ),

  "makes a sender of frames wait for a receiver that takes nothing": inPlace(
    async ({ dialled, accepted }) => {
      const frame = framed(dialled, MIB);
      const flood = new Flood({ send: () => dialled.sendFrame(frame) });
      const sending = flood.run();
      await flood.stalled();
      assert(flood.sent <= HELD, `${flood.sent} bytes were taken on`);
      for (let received = 0; received < ENDLESS; received += MIB) {
        assertEquals((await accepted.borrow())?.length, MIB);
      }
      assertStrictEquals(await sending, undefined);
    },
  ),

  "lends what receive would give, in turns with it": inPlace(
    async ({ dialled, accepted }) => {
      const sizes = [0, 1, 127, 70_000, 128, 65_536, MIB, 300_000, 0, 2];
      const sending = inTurn([...sizes, ...sizes], async (size) => {
        await dialled.send(pattern(size));
        await dialled.sendFrame(framed(dialled, size));
      });
      for (const [index, size] of [...sizes, ...sizes].entries()) {
        assertSame(await accepted.borrow(), pattern(size));
        const message =
          await (index % 3 === 0 ? accepted.receive() : accepted.borrow());
        assertSame(message, pattern(size));
      }
      await sending;
    },
  ),

  "never changes a message that was kept, nor what is seen of it": inPlace(
    async ({ dialled, accepted }) => {
      const sizes = Array.from(
        { length: 300 },
        (_, number) => number % 30 === 7 ? 1_000 * number : 17 * number,
      );
      const sending = inTurn(sizes, (size) => dialled.send(pattern(size)));
      const kept: { readonly view: Uint8Array; readonly size: number }[] = [];
      for (const [index, size] of sizes.entries()) {
        const message = await accepted.borrow();
        assertSame(message, pattern(size));
        assert(message !== null);
        // The others are lent only, and spoiled by whom they were lent to.
        if (index % 5 < 2) message.fill(255);
        else {
          accepted.keep();
          kept.push({ view: message.subarray(size >>> 1), size });
        }
      }
      await sending;
      for (const { view, size } of kept) {
        assertSame(view, pattern(size).subarray(size >>> 1));
      }
    },
  ),

  "breaks over a message to lend that is longer than the limit given": inPlace(
    async ({ dialled, accepted }) => {
      await dialled.send(pattern(100));
      await dialled.send(pattern(101));
      assertSame(await accepted.borrow({ limit: 100 }), pattern(100));
      await assertRejects(
        () => accepted.borrow({ limit: 100 }),
        ConnectionError,
      );
      await assertRejects(() => accepted.borrow(), ConnectionError);
      await assertRejects(() => accepted.receive(), ConnectionError);
    },
  ),

  "lends nothing while a receive is pending, and null at the end": inPlace(
    async ({ dialled, accepted }) => {
      const lending = accepted.borrow();
      await assertRejects(() => accepted.receive(), TypeError);
      await assertRejects(() => accepted.borrow(), TypeError);
      await dialled.send(HELLO);
      assertEquals(await lending, HELLO);
      const pending = accepted.borrow();
      const closing = dialled.close();
      assertStrictEquals(await pending, null);
      assertStrictEquals(await accepted.borrow(), null);
      assertStrictEquals(await accepted.receive(), null);
      await accepted.close();
      assertStrictEquals(await accepted.borrow(), null);
      await closing;
    },
  ),

  // -- Transport --

  "names both ends": async (transport, address) => {
    await using pair = await open(transport, address);
    const scheme = address.slice(0, address.indexOf("://"));
    assert(transport.schemes.includes(scheme));
    for (const end of [pair.dialled.remote, pair.accepted.remote]) {
      assertStringIncludes(end, `${scheme}://`);
    }
  },

  "opens many connections at once": async (transport, address) => {
    await using listener = await transport.listen(address);
    const count = 50;
    const serving = echo(listener, count);
    await Promise.all(Array.from({ length: count }, async (_, number) => {
      await using connection = await transport.connect(listener.address);
      await connection.send(numbered(number, 1_000));
      assertEquals(await connection.receive(), numbered(number, 1_000));
    }));
    await serving;
  },

  "rejects with a ConnectionError where nobody listens": async (
    transport,
    address,
  ) => {
    const listener = await transport.listen(address);
    await listener.close();
    const error = await assertRejects(
      () => transport.connect(listener.address),
      ConnectionError,
    );
    assertStringIncludes(error.message, listener.address);
  },

  "rejects with a TypeError for a malformed address": async (
    transport,
    address,
  ) => {
    const scheme = address.slice(0, address.indexOf("://"));
    for (const malformed of ["", "nonsense", `${scheme}://`, `${scheme}:// `]) {
      await assertRejects(() => transport.connect(malformed), TypeError);
      await assertRejects(() => transport.listen(malformed), TypeError);
    }
  },

  "does not connect where the signal has aborted": async (
    transport,
    address,
  ) => {
    await using listener = await transport.listen(address);
    const reason = new Error("never");
    const signal = AbortSignal.abort(reason);
    const error = await rejection(
      transport.connect(listener.address, { signal }),
    );
    assertStrictEquals(error, reason);
  },

  "gives up connecting once the signal aborts": async (transport, address) => {
    await using listener = await transport.listen(address);
    const reason = new Error("too late");
    const controller = new AbortController();
    const { signal } = controller;
    const connecting = transport.connect(listener.address, { signal });
    controller.abort(reason);
    assertStrictEquals(await rejection(connecting), reason);
  },

  "does not mind a signal that aborts after connecting": async (
    transport,
    address,
  ) => {
    const controller = new AbortController();
    const { signal } = controller;
    await using pair = await open(transport, address, signal);
    controller.abort();
    await pair.dialled.send(HELLO);
    assertEquals(await pair.accepted.receive(), HELLO);
  },

  // -- Listener --

  "listens on an address that others can connect to": async (
    transport,
    address,
  ) => {
    await using first = await transport.listen(address);
    await using second = await transport.listen(address);
    assert(first.address !== address, "what was chosen is not filled in");
    assert(first.address !== second.address, "the same was chosen twice");
  },

  "rejects with a ConnectionError where the address is in use": async (
    transport,
    address,
  ) => {
    await using listener = await transport.listen(address);
    const error = await assertRejects(
      () => transport.listen(listener.address),
      ConnectionError,
    );
    assertStringIncludes(error.message, listener.address);
  },

  "ends the iteration once the listener is closed": async (
    transport,
    address,
  ) => {
    const listener = await transport.listen(address);
    const iterator = listener[Symbol.asyncIterator]();
    const pending = iterator.next();
    await listener.close();
    assertEquals(await pending, { done: true, value: undefined });
    assertEquals(await Array.fromAsync(listener), []);
  },

  "closes a listener that nobody iterates over, once": async (
    transport,
    address,
  ) => {
    const listener = await transport.listen(address);
    await Promise.all([listener.close(), listener.close()]);
    await listener[Symbol.asyncDispose]();
    assertEquals(await Array.fromAsync(listener), []);
  },

  "frees the address once the listener is closed": async (
    transport,
    address,
  ) => {
    const first = await transport.listen(address);
    await first.close();
    await using second = await transport.listen(first.address);
    assertEquals(second.address, first.address);
  },

  "keeps accepted connections once the listener is closed": async (
    transport,
    address,
  ) => {
    await using pair = await open(transport, address);
    await pair.listener.close();
    await pair.dialled.send(HELLO);
    assertEquals(await pair.accepted.receive(), HELLO);
    await pair.accepted.send(HELLO);
    assertEquals(await pair.dialled.receive(), HELLO);
  },

  "goes on accepting after a stranger's failed attempt": async (
    transport,
    address,
  ) => {
    await using listener = await transport.listen(address);
    // Accepting goes on meanwhile: `connect` may wait for the other end.
    const heard = firstMessage(listener);
    for (let number = 0; number < 3; number++) {
      const stranger = await transport.connect(listener.address);
      await stranger.close(new Error("changed my mind"));
    }
    await using dialled = await transport.connect(listener.address);
    await dialled.send(HELLO);
    assertEquals(await heard, HELLO);
  },
};

/** Makes a check of two ends; where they are not in place, it says so and checks nothing. */
function inPlace(
  check: (ends: {
    readonly dialled: InPlaceConnection;
    readonly accepted: InPlaceConnection;
  }) => Promise<void>,
): Check {
  return async (transport, address, t) => {
    await using pair = await open(transport, address);
    const { dialled, accepted } = pair;
    if (isInPlace(dialled) && isInPlace(accepted)) {
      return await check({ dialled, accepted });
    }
    await t.step({
      name: "skipped: its connections are not in place",
      ignore: true,
      fn: () => {},
    });
  };
}

function isInPlace(connection: Connection): connection is InPlaceConnection {
  return "framing" in connection && "sendFrame" in connection &&
    "borrow" in connection && "keep" in connection;
}

/** The frame of a pattern. */
function framed({ framing }: InPlaceConnection, size: number): Uint8Array {
  const frame = new Uint8Array(framing.size + size);
  frame.set(pattern(size), framing.size);
  framing.write(frame);
  return frame;
}

/** Frames of patterns that stand one behind the other. */
function inOneMemory(
  connection: InPlaceConnection,
  sizes: readonly number[],
): Uint8Array[] {
  const header = connection.framing.size;
  const all = sizes.reduce((sum, size) => sum + header + size, 0);
  const memory = new Uint8Array(all);
  let start = 0;
  return sizes.map((size) => {
    const frame = memory.subarray(start, start += header + size);
    frame.set(framed(connection, size));
    return frame;
  });
}

/** What the first one says who says anything. */
async function firstMessage(listener: Listener): Promise<Uint8Array | null> {
  for await (const accepted of listener) {
    await using connection = accepted;
    const message = await connection.receive().catch(() => null);
    if (message !== null) return message;
  }
  return null;
}

/** Two ends of one connection, in use: the dialler has spoken. */
interface Pair extends AsyncDisposable {
  readonly listener: Listener;
  readonly dialled: Connection;
  readonly accepted: Connection;
}

async function open(
  transport: Transport,
  address: string,
  signal?: AbortSignal,
): Promise<Pair> {
  const listener = await transport.listen(address);
  const accepting = listener[Symbol.asyncIterator]().next();
  const dialled = await transport.connect(
    listener.address,
    signal ? { signal } : {},
  );
  await dialled.send(HELLO);
  const { value } = await accepting;
  const accepted: Connection = value;
  assertEquals(await accepted.receive(), HELLO);
  return {
    listener,
    dialled,
    accepted,
    async [Symbol.asyncDispose](): Promise<void> {
      // Together: closing in order may wait for the other end to close too.
      await Promise.all([dialled.close(), accepted.close(), listener.close()]);
    },
  };
}

/** Sends 64 MiB, in messages of 1 MiB, waiting for each. */
class Flood {
  /** Bytes whose `send` has resolved. */
  sent = 0;
  readonly #connection: Pick<Connection, "send">;

  constructor(connection: Pick<Connection, "send">) {
    this.#connection = connection;
  }

  /** Resolves to what `send` rejected with, or to `undefined` at the end. */
  async run(): Promise<unknown> {
    const message = pattern(MIB);
    try {
      while (this.sent < ENDLESS) {
        await this.#connection.send(message);
        this.sent += message.length;
      }
    } catch (error) {
      return error;
    }
  }

  /** Resolves once many turns have passed in which nothing more was sent. */
  async stalled(): Promise<void> {
    let before = -1;
    while (this.sent !== before) {
      before = this.sent;
      await turns(20);
    }
  }
}

/** Answers the first message of so many connections with itself. */
async function echo(listener: Listener, count: number): Promise<void> {
  const answered: Promise<void>[] = [];
  for await (const connection of listener) {
    answered.push(answer(connection));
    if (answered.length === count) break;
  }
  await Promise.all(answered);
}

async function answer(accepted: Connection): Promise<void> {
  await using connection = accepted;
  const message = await connection.receive();
  assert(message !== null);
  await connection.send(message);
  assertStrictEquals(await connection.receive(), null);
}

/** Bytes that can be received until the connection ends, in order or not. */
async function countUntilEnd(connection: Connection): Promise<number> {
  let received = 0;
  try {
    for await (const message of connection) received += message.length;
  } catch (error) {
    assertInstanceOf(error, ConnectionError);
  }
  return received;
}

/** What the promise rejects with; closes the connection if it does not. */
async function rejection(connecting: Promise<Connection>): Promise<unknown> {
  let connection: Connection;
  try {
    connection = await connecting;
  } catch (error) {
    return error;
  }
  await connection.close();
  return undefined;
}

async function inTurn<T, R>(
  items: readonly T[],
  action: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await action(item));
  return results;
}

/** Lets timers, and the input and output of the system, have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function turns(count: number): Promise<void> {
  for (let number = 0; number < count; number++) await turn();
}

/** Bytes that show where they are cut or mixed up. */
function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = size + index * 7;
  return bytes;
}

/** Bytes that start with a number, as far as they go. */
function numbered(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < Math.min(size, 4); index++) {
    bytes[index] = number >>> (8 * index);
  }
  return bytes;
}

/** Like `assertEquals`, for messages that are too long to print. */
function assertSame(
  actual: Uint8Array | null | undefined,
  expected: Uint8Array,
): void {
  assert(actual instanceof Uint8Array, `received ${actual}`);
  assertEquals(actual.length, expected.length);
  const index = expected.findIndex((byte, index) => actual[index] !== byte);
  assertEquals(index, -1, `the byte at ${index} differs`);
}
