import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { type Facts, HELLO, numbered, onPair, open } from "./_suite.ts";
import { type Connection, ConnectionError, type Listener } from "./types.ts";

/** What holds for each transport and its listeners. */
export const TRANSPORT_FACTS: Facts = {
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

  "keeps accepted connections once the listener is closed": onPair(
    async (pair) => {
      await pair.listener.close();
      await pair.dialled.send(HELLO);
      assertEquals(await pair.accepted.receive(), HELLO);
      await pair.accepted.send(HELLO);
      assertEquals(await pair.dialled.receive(), HELLO);
    },
  ),

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

/** What the first one says who says anything. */
async function firstMessage(listener: Listener): Promise<Uint8Array | null> {
  for await (const accepted of listener) {
    await using connection = accepted;
    const message = await connection.receive().catch(() => null);
    if (message !== null) return message;
  }
  return null;
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
