import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  type Connection,
  ConnectionError,
  type Listener,
  type Transport,
} from "./types.ts";

/** Checks one fact of a transport that can listen on an address. */
export type Check = (
  transport: Transport,
  address: string,
  t: Deno.TestContext,
) => Promise<void>;

/** Facts by name, each with its check. */
export type Facts = Readonly<Record<string, Check>>;

export const KIB = 1024;
export const MIB = 1024 * KIB;
/** More than any transport may hold on to. */
export const ENDLESS = 64 * MIB;
/** What a transport and the system's buffers together may hold on to. */
export const HELD = 32 * MIB;
/** What a dialler says first. */
export const HELLO = Uint8Array.of(104, 105);

/** Two ends of one connection, in use: the dialler has spoken. */
export interface Pair extends AsyncDisposable {
  readonly listener: Listener;
  readonly dialled: Connection;
  readonly accepted: Connection;
}

/** Listens, connects, and says hello. */
export async function open(
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

/** Makes a check of two ends of one connection. */
export function onPair(check: (pair: Pair) => Promise<void>): Check {
  return async (transport, address) => {
    await using pair = await open(transport, address);
    await check(pair);
  };
}

/** Sends 64 MiB, in messages of 1 MiB, waiting for each. */
export class Flood {
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

/** Bytes that can be received until the connection ends, in order or not. */
export async function countUntilEnd(connection: Connection): Promise<number> {
  let received = 0;
  try {
    for await (const message of connection) received += message.length;
  } catch (error) {
    assertInstanceOf(error, ConnectionError);
  }
  return received;
}

/** Does something with each, one after the other. */
export async function inTurn<T, R>(
  items: readonly T[],
  action: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await action(item));
  return results;
}

/** Lets timers, and the input and output of the system, have their turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

export async function turns(count: number): Promise<void> {
  for (let number = 0; number < count; number++) await turn();
}

/** Bytes that show where they are cut or mixed up. */
export function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = size + index * 7;
  return bytes;
}

/** Bytes that start with a number, as far as they go. */
export function numbered(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < Math.min(size, 4); index++) {
    bytes[index] = number >>> (8 * index);
  }
  return bytes;
}

/** Like `assertEquals`, for messages that are too long to print. */
export function assertSame(
  actual: Uint8Array | null | undefined,
  expected: Uint8Array,
): void {
  assert(actual instanceof Uint8Array, `received ${actual}`);
  assertEquals(actual.length, expected.length);
  const index = expected.findIndex((byte, index) => actual[index] !== byte);
  assertEquals(index, -1, `the byte at ${index} differs`);
}
