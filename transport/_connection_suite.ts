import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  assertSame,
  countUntilEnd,
  ENDLESS,
  type Facts,
  Flood,
  HELD,
  HELLO,
  inTurn,
  KIB,
  MIB,
  numbered,
  onPair,
  pattern,
  turn,
  turns,
} from "./_suite.ts";
import { type Connection, ConnectionError } from "./types.ts";

/** What holds for each connection. */
export const CONNECTION_FACTS: Facts = {
  // -- Connection: messages --

  "keeps the order of messages": onPair(async (pair) => {
    const count = 1_000;
    for (let number = 0; number < count; number++) {
      pair.dialled.send(numbered(number, 8));
    }
    for (let number = 0; number < count; number++) {
      assertEquals(await pair.accepted.receive(), numbered(number, 8));
    }
  }),

  "keeps messages whole at every size": onPair(async (pair) => {
    const sizes = [0, 1, 127, 128, 65_535, 65_536, MIB, 0, 2];
    const sending = inTurn(sizes, (size) => pair.dialled.send(pattern(size)));
    for (const size of sizes) {
      assertSame(await pair.accepted.receive(), pattern(size));
    }
    await sending;
  }),

  "carries messages both ways at once": onPair(async (pair) => {
    const sizes = Array.from({ length: 200 }, (_, number) => 50 * number);
    async function exchange(connection: Connection): Promise<void> {
      const sending = inTurn(sizes, (size) => connection.send(pattern(size)));
      for (const size of sizes) {
        assertSame(await connection.receive(), pattern(size));
      }
      await sending;
    }
    await Promise.all([exchange(pair.dialled), exchange(pair.accepted)]);
  }),

  "iterates over messages as receive gives them": onPair(async (pair) => {
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
  }),

  "leaves sent bytes to the sender once send has settled": onPair(
    async (pair) => {
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
  ),

  "never changes a message that was received": onPair(async (pair) => {
    const sizes = Array.from({ length: 300 }, (_, number) => 17 * number);
    const sending = inTurn(sizes, (size) => pair.dialled.send(pattern(size)));
    const received = await inTurn(sizes, () => pair.accepted.receive());
    await sending;
    for (const [index, size] of sizes.entries()) {
      assertSame(received[index], pattern(size));
    }
  }),

  // -- Connection: limits --

  "refuses to send a message over the limit and stays usable": onPair(
    async (pair) => {
      await assertRejects(
        () => pair.dialled.send(new Uint8Array(MIB + 1)),
        RangeError,
      );
      await pair.dialled.send(HELLO);
      assertEquals(await pair.accepted.receive(), HELLO);
    },
  ),

  "receives a message as long as the limit given": onPair(async (pair) => {
    await pair.dialled.send(pattern(100));
    await pair.dialled.send(pattern(101));
    assertEquals(await pair.accepted.receive({ limit: 100 }), pattern(100));
    assertEquals(await pair.accepted.receive(), pattern(101));
  }),

  "breaks over a message longer than the limit given": onPair(async (pair) => {
    await pair.dialled.send(pattern(101));
    await pair.dialled.send(pattern(1));
    await assertRejects(
      () => pair.accepted.receive({ limit: 100 }),
      ConnectionError,
    );
    await assertRejects(() => pair.accepted.receive(), ConnectionError);
    await assertRejects(() => pair.accepted.send(HELLO), ConnectionError);
  }),

  // -- Connection: back-pressure --

  "makes a sender wait for a receiver that takes nothing": onPair(
    async (pair) => {
      const flood = new Flood(pair.dialled);
      const sending = flood.run();
      await flood.stalled();
      let received = 0;
      while (received < ENDLESS) {
        const held = flood.sent - received;
        assert(
          held <= HELD,
          `${held} bytes were taken on that nobody received`,
        );
        const message = await pair.accepted.receive();
        assertEquals(message?.length, MIB);
        received += MIB;
        await turn();
      }
      assertStrictEquals(await sending, undefined);
      assertEquals(flood.sent, ENDLESS);
    },
  ),

  // -- Connection: one receiver --

  "refuses a second receive while one is pending": onPair(async (pair) => {
    const first = pair.accepted.receive();
    await assertRejects(() => pair.accepted.receive(), TypeError);
    await pair.dialled.send(HELLO);
    assertEquals(await first, HELLO);
  }),

  // -- Connection: end --

  "delivers what was sent before close": onPair(async (pair) => {
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
  }),

  "delivers what was sent before close although it leaves messages unread":
    onPair(async (pair) => {
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
    }),

  "gives null for ever once the other end has closed": onPair(async (pair) => {
    const pending = pair.accepted.receive();
    const closing = pair.dialled.close();
    assertStrictEquals(await pending, null);
    assertStrictEquals(await pair.accepted.receive(), null);
    assertStrictEquals(await pair.accepted.receive({ limit: 1 }), null);
    await pair.accepted.close();
    assertStrictEquals(await pair.accepted.receive(), null);
    await closing;
  }),

  "gives null once this end has closed": onPair(async (pair) => {
    const pending = pair.accepted.receive();
    await Promise.all([pair.accepted.close(), pair.dialled.close()]);
    assertStrictEquals(await pending, null);
    assertStrictEquals(await pair.accepted.receive(), null);
  }),

  "refuses to send once this end has closed": onPair(async (pair) => {
    const closing = pair.dialled.close();
    await assertRejects(() => pair.dialled.send(HELLO), ConnectionError);
    await pair.accepted.close();
    await closing;
    await assertRejects(() => pair.dialled.send(HELLO), ConnectionError);
  }),

  "refuses to send once the other end has gone": onPair(async (pair) => {
    await pair.accepted.close(new Error("gone"));
    const error = await new Flood(pair.dialled).run();
    assertInstanceOf(error, ConnectionError);
  }),

  "drops what is queued on close with a reason": onPair(async (pair) => {
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
  }),

  "rejects a pending receive on close with a reason": onPair(async (pair) => {
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
  }),

  "closes once, however often it is asked to": onPair(async (pair) => {
    await Promise.all([
      pair.dialled.close(),
      pair.dialled.close(),
      pair.accepted.close(),
    ]);
    await pair.dialled.close();
    await pair.dialled.close(new Error("late"));
    await pair.dialled[Symbol.asyncDispose]();
    assertStrictEquals(await pair.dialled.receive(), null);
  }),

  "ends close although the other end takes nothing": onPair(async (pair) => {
    const flood = new Flood(pair.dialled);
    const sending = flood.run();
    await flood.stalled();
    await pair.dialled.close();
    assertInstanceOf(await sending, ConnectionError);
  }),
};
