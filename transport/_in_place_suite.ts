import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  assertSame,
  type Check,
  countUntilEnd,
  ENDLESS,
  type Facts,
  Flood,
  HELD,
  HELLO,
  inTurn,
  MIB,
  open,
  pattern,
  turns,
} from "./_suite.ts";
import { ConnectionError, type InPlaceConnection } from "./types.ts";
import { isInPlace } from "./wrap.ts";

/** What holds for a connection that is an {@linkcode InPlaceConnection}, too. */
export const IN_PLACE_FACTS: Facts = {
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
