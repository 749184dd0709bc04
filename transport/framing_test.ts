import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { type ByteStream, frame } from "./framing.ts";
import { ConnectionError } from "./types.ts";

const REMOTE = "test://peer";
const KIB = 1024;

/** A stream whose other end is the test. */
class TestStream implements ByteStream {
  /** What `write` took, one entry a write. */
  readonly written: Uint8Array[] = [];
  /** The memory that each write was given. */
  readonly memory: ArrayBufferLike[] = [];
  /** How large the buffers were that `read` was given. */
  readonly readSizes: number[] = [];
  /** What `close` was called with. */
  readonly closedWith: (Error | undefined)[] = [];
  /** The most that one write takes. */
  maxWrite = Infinity;
  readonly #input: Uint8Array[];
  #gate: Promise<void> | undefined;

  constructor(...input: Uint8Array[]) {
    this.#input = input.filter((chunk) => chunk.length > 0);
  }

  /** Makes writes wait until the gate opens. */
  holdWrites(gate: Promise<void>): void {
    this.#gate = gate;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    this.readSizes.push(buffer.length);
    const chunk = this.#input.shift();
    if (chunk === undefined) return Promise.resolve(null);
    const taken = chunk.subarray(0, buffer.length);
    buffer.set(taken);
    if (taken.length < chunk.length) {
      this.#input.unshift(chunk.subarray(taken.length));
    }
    return Promise.resolve(taken.length);
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.memory.push(bytes.buffer);
    await this.#gate;
    const taken = bytes.slice(0, Math.min(bytes.length, this.maxWrite));
    this.written.push(taken);
    return taken.length;
  }

  close(reason?: Error): void {
    this.closedWith.push(reason);
  }
}

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + message.length);
  new DataView(bytes.buffer).setUint32(0, message.length);
  bytes.set(message, 4);
  return bytes;
}

function filled(size: number, byte: number): Uint8Array {
  return new Uint8Array(size).fill(byte);
}

/** Bytes of no regular pattern, the same for the same number. */
function noise(number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = number * 7919 + 1;
  for (let index = 0; index < size; index++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

/** Like `assertEquals`, for bytes that are too long to print. */
function assertSame(
  actual: Uint8Array | null | undefined,
  expected: Uint8Array,
  what = "",
): void {
  assert(actual instanceof Uint8Array, `${what}: ${actual}`);
  assertEquals(actual.length, expected.length, what);
  const index = expected.findIndex((byte, index) => actual[index] !== byte);
  assertEquals(index, -1, `${what}: the byte at ${index} differs`);
}

/** Lets so many promises settle one after the other. */
async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await null;
}

/** As `join`, for many bytes. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The bytes in pieces of the given sizes, over and over. */
function cutUp(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const size = sizes[pieces.length % sizes.length] ?? bytes.length;
    pieces.push(bytes.slice(start, start + size));
    start += size;
  }
  return pieces;
}

// -- Reading --

Deno.test("frame() gives the same messages for every split of the bytes", async () => {
  const messages = [filled(3, 1), filled(0, 0), filled(5, 2), filled(1, 3)];
  const bytes = join(...messages.map(framed));
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const stream = new TestStream(
        bytes.slice(0, first),
        bytes.slice(first, second),
        bytes.slice(second),
      );
      await using connection = frame(stream, { remote: REMOTE });
      assertEquals(await Array.fromAsync(connection), messages);
    }
  }
});

Deno.test("frame() gives back any messages, cut anywhere, whatever writes take", async () => {
  const message = fc.uint8Array({ maxLength: 20 * KIB });
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { maxLength: 8 }),
      fc.integer({ min: 1, max: 9 * KIB }),
      fc.integer({ min: 1, max: 9 * KIB }),
      async (messages, maxWrite, cut) => {
        const out = new TestStream();
        out.maxWrite = maxWrite;
        await using sender = frame(out, { remote: REMOTE });
        for (const message of messages) await sender.send(message);
        await sender.close();
        const bytes = join(...out.written);
        const chunks: Uint8Array[] = [];
        for (let start = 0; start < bytes.length; start += cut) {
          chunks.push(bytes.slice(start, start + cut));
        }
        await using receiver = frame(new TestStream(...chunks), {
          remote: REMOTE,
        });
        assertEquals(await Array.fromAsync(receiver), messages);
      },
    ),
    { numRuns: 50, seed: 1 },
  );
});

Deno.test("frame() ends in a message, null or ConnectionError for any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 })),
      async (chunks) => {
        await using connection = frame(new TestStream(...chunks), {
          remote: REMOTE,
          maxMessage: 64,
        });
        try {
          for await (const message of connection) assert(message.length <= 64);
        } catch (error) {
          assertInstanceOf(error, ConnectionError);
        }
      },
    ),
    { numRuns: 300, seed: 2 },
  );
});

Deno.test("frame() refuses a length over the limit on sight of the header", async () => {
  for (const size of [1025, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const header = new Uint8Array(4);
    new DataView(header.buffer).setUint32(0, size);
    const stream = new TestStream(header);
    await using connection = frame(stream, {
      remote: REMOTE,
      maxMessage: 1024,
    });
    const error = await assertRejects(
      () => connection.receive(),
      ConnectionError,
    );
    assertStringIncludes(error.message, `${size} bytes from "${REMOTE}"`);
    assert(stream.readSizes.every((size) => size <= 2 * KIB));
    assertStrictEquals(stream.closedWith[0], error);
    assertStrictEquals(
      await assertRejects(() => connection.receive()),
      error,
    );
  }
});

Deno.test("frame() applies the limit of receive to what was read ahead", async () => {
  const stream = new TestStream(
    join(framed(filled(10, 1)), framed(filled(11, 2))),
  );
  await using connection = frame(stream, { remote: REMOTE });
  assertEquals((await connection.receive({ limit: 10 }))?.length, 10);
  await assertRejects(
    () => connection.receive({ limit: 10 }),
    ConnectionError,
    "11 bytes",
  );
  assertEquals(stream.readSizes.length, 1);
});

Deno.test("frame() does not let receive raise the limit", async () => {
  const stream = new TestStream(framed(filled(11, 1)));
  await using connection = frame(stream, { remote: REMOTE, maxMessage: 10 });
  await assertRejects(
    () => connection.receive({ limit: 100 }),
    ConnectionError,
  );
});

Deno.test("frame() rejects when the stream ends within a message", async () => {
  const bytes = framed(filled(5, 1));
  for (let length = 1; length < bytes.length; length++) {
    const stream = new TestStream(bytes.slice(0, length));
    await using connection = frame(stream, { remote: REMOTE });
    await assertRejects(
      () => connection.receive(),
      ConnectionError,
      "within a message",
    );
  }
});

Deno.test("frame() rejects when the stream ends within a long message", async () => {
  const bytes = framed(filled(400 * KIB, 1)).subarray(0, 300 * KIB);
  await using connection = frame(new TestStream(bytes), { remote: REMOTE });
  await assertRejects(
    () => connection.receive(),
    ConnectionError,
    "within a message",
  );
});

Deno.test("frame() reads with a small buffer until reads fill it, and again after", async () => {
  const stream = new TestStream(
    ...Array.from({ length: 3 }, () => framed(filled(100 * KIB, 1))),
    framed(filled(10, 2)),
  );
  await using connection = frame(stream, { remote: REMOTE });
  const messages = await Array.fromAsync(connection);
  assertEquals(messages.map((message) => message.length), [
    100 * KIB,
    100 * KIB,
    100 * KIB,
    10,
  ]);
  assertEquals(stream.readSizes[0], 2 * KIB);
  assert(Math.max(...stream.readSizes) > 2 * KIB);
  assertEquals(stream.readSizes.at(-1), 2 * KIB);
});

Deno.test("frame() rejects with the cause when reading fails", async () => {
  const stream = new TestStream();
  const cause = new Error("cable cut");
  stream.read = () => Promise.reject(cause);
  await using connection = frame(stream, { remote: REMOTE });
  const error = await assertRejects(
    () => connection.receive(),
    ConnectionError,
    "cable cut",
  );
  assertStrictEquals(error.cause, cause);
  await assertRejects(() => connection.send(filled(1, 1)), ConnectionError);
});

// -- Borrowing --

Deno.test("frame().borrow() lends bytes that change with the next message", async () => {
  const stream = new TestStream(framed(filled(5, 1)), framed(filled(5, 2)));
  await using connection = frame(stream, { remote: REMOTE });
  const first = await connection.borrow();
  assertEquals(first, filled(5, 1));
  const second = await connection.borrow();
  assertEquals(second, filled(5, 2));
  assertEquals(first, filled(5, 2), "it was not lent, but copied");
});

Deno.test("frame().keep() leaves what was lent, and every view of it, as it is", async () => {
  const stream = new TestStream(framed(filled(5, 1)), framed(filled(5, 2)));
  await using connection = frame(stream, { remote: REMOTE });
  const first = await connection.borrow();
  const part = first?.subarray(1, 3);
  connection.keep();
  assertEquals(await connection.borrow(), filled(5, 2));
  assertEquals(await connection.borrow(), null);
  assertEquals(first, filled(5, 1));
  assertEquals(part, filled(2, 1));
});

Deno.test("frame().keep() does nothing where nothing was lent", async () => {
  const stream = new TestStream(framed(filled(5, 1)), framed(filled(5, 2)));
  await using connection = frame(stream, { remote: REMOTE });
  connection.keep();
  assertEquals(await connection.receive(), filled(5, 1));
  connection.keep();
  const second = await connection.borrow();
  assertEquals(second, filled(5, 2));
  assertEquals(stream.readSizes, [2 * KIB, 2 * KIB]);
});

Deno.test("frame() gives what was kept and received for ever, whatever follows", async () => {
  const step = fc.record({
    size: fc.oneof(
      { weight: 6, arbitrary: fc.nat(300) },
      { weight: 3, arbitrary: fc.nat(20 * KIB) },
      { weight: 1, arbitrary: fc.integer({ min: 200, max: 300 }) },
    ),
    how: fc.constantFrom("receive", "borrow", "keep", "spoil"),
  });
  const cut = fc.oneof(fc.integer({ min: 1, max: 500 }), fc.constant(100_000));
  let lentMemory = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      fc.array(cut, { minLength: 1, maxLength: 10 }),
      async (steps, cuts) => {
        // Some of 200 to 300 KiB: more than what is read at once, or nearly.
        const messages = steps.map(({ size, how }, index) =>
          noise(index, how === "keep" && index % 16 === 15 ? size * KIB : size)
        );
        const bytes = joined(messages.map(framed));
        const stream = new TestStream(...cutUp(bytes, cuts));
        await using connection = frame(stream, { remote: REMOTE });
        const kept: { index: number; bytes: Uint8Array }[] = [];
        const buffers = new Set<ArrayBufferLike>();
        for (const [index, { how }] of steps.entries()) {
          const expected = messages[index] ?? filled(0, 0);
          const got = await (how === "receive"
            ? connection.receive()
            : connection.borrow());
          assertSame(got, expected, `message ${index}, ${how}`);
          if (got === null) {
            return;
          }
          if (how === "keep") {
            connection.keep();
          }
          if (how === "receive" || how === "keep") {
            kept.push({ index, bytes: got });
          } else {
            buffers.add(got.buffer);
            // It is the borrower's until the next message, and no more than this.
            if (how === "spoil") {
              got.fill(0xee);
            }
          }
        }
        assertEquals(await connection.borrow(), null);
        for (const { index, bytes } of kept) {
          assertSame(bytes, messages[index] ?? filled(0, 0), `kept ${index}`);
        }
        lentMemory += steps.length - buffers.size;
      },
    ),
    { numRuns: 300, seed: 3 },
  );
  assert(lentMemory > 0, "no buffer was used again");
});

Deno.test("frame() does not let what is done to kept bytes reach others", async () => {
  const messages = Array.from({ length: 50 }, (_, i) => noise(i, 100 * i));
  const bytes = joined(messages.map(framed));
  const stream = new TestStream(...cutUp(bytes, [3_000, 70, 9_000]));
  await using connection = frame(stream, { remote: REMOTE });
  for (const message of messages) {
    const got = await connection.borrow();
    assertSame(got, message);
    connection.keep();
    got?.fill(0xee);
  }
});

Deno.test("frame().borrow() lends a message longer than a read buffer", async () => {
  const long = noise(1, 300 * KIB);
  const stream = new TestStream(
    joined([filled(3, 1), long, filled(3, 2), long, filled(3, 3)].map(framed)),
  );
  await using connection = frame(stream, { remote: REMOTE });
  const kept: (Uint8Array | null)[] = [];
  for (let i = 0; i < 5; i++) {
    kept.push(await connection.borrow());
    connection.keep();
  }
  assertEquals(await connection.borrow(), null);
  assertSame(kept[1], long);
  assertSame(kept[3], long);
  assertEquals([kept[0], kept[2], kept[4]], [1, 2, 3].map((i) => filled(3, i)));
});

Deno.test("frame().borrow() and receive() have the same limits, in turns", async () => {
  for (const how of ["borrow", "receive"] as const) {
    const stream = new TestStream(
      joined([filled(10, 1), filled(10, 2), filled(11, 3)].map(framed)),
    );
    await using connection = frame(stream, { remote: REMOTE });
    assertEquals(await connection.borrow({ limit: 10 }), filled(10, 1));
    assertEquals(await connection.receive({ limit: 10 }), filled(10, 2));
    const error = await assertRejects(
      () => connection[how]({ limit: 10 }),
      ConnectionError,
      "11 bytes",
    );
    assertStrictEquals(await assertRejects(() => connection.borrow()), error);
    assertEquals(stream.readSizes.length, 1);
  }
});

Deno.test("frame() has one receive or borrow pending at a time", async () => {
  const stream = new TestStream();
  const arrival = Promise.withResolvers<number | null>();
  stream.read = (buffer) => {
    buffer.set(framed(filled(2, 1)));
    return arrival.promise;
  };
  await using connection = frame(stream, { remote: REMOTE });
  const pending = connection.borrow();
  await assertRejects(() => connection.receive(), TypeError, "pending");
  await assertRejects(() => connection.borrow(), TypeError, "pending");
  arrival.resolve(6);
  assertEquals(await pending, filled(2, 1));
});

Deno.test("frame().borrow() ends as receive() does", async () => {
  const gone = frame(new TestStream(), { remote: REMOTE });
  assertStrictEquals(await gone.borrow(), null);
  assertStrictEquals(await gone.borrow(), null);
  await gone.close();
  assertStrictEquals(await gone.borrow(), null);
  const short = frame(new TestStream(Uint8Array.of(0, 0, 0, 5, 1)), {
    remote: REMOTE,
  });
  const error = await assertRejects(() => short.borrow(), ConnectionError);
  assertStrictEquals(await assertRejects(() => short.borrow()), error);
});

Deno.test("frame() gives back a small buffer once it is quiet, although messages are borrowed", async () => {
  const quiet = Array.from({ length: 5 }, () => framed(filled(10, 2)));
  const stream = new TestStream(
    ...Array.from({ length: 3 }, () => framed(filled(100 * KIB, 1))),
    ...quiet,
  );
  await using connection = frame(stream, { remote: REMOTE });
  while (await connection.borrow() !== null);
  assert(Math.max(...stream.readSizes) > 2 * KIB);
  assertEquals(stream.readSizes.slice(-4), [
    2 * KIB,
    2 * KIB,
    2 * KIB,
    2 * KIB,
  ]);
});

Deno.test("frame().keep() costs a quiet connection small buffers only", async () => {
  const messages = Array.from({ length: 300 }, (_, i) => noise(i, 100));
  const stream = new TestStream(...messages.map(framed));
  await using connection = frame(stream, { remote: REMOTE });
  const kept: Uint8Array[] = [];
  for (;;) {
    const message = await connection.borrow();
    if (message === null) break;
    connection.keep();
    kept.push(message);
  }
  assertEquals(kept, messages);
  const buffers = new Set(kept.map(({ buffer }) => buffer));
  for (const { byteLength } of buffers) assertEquals(byteLength, 2 * KIB);
  // 104 bytes each, and a buffer is given up with a good part of it unused.
  assert(buffers.size < 2 * 300 * 104 / (2 * KIB), `${buffers.size} buffers`);
});

Deno.test("frame() uses a buffer again after one was given away", async () => {
  const messages = Array.from({ length: 200 }, (_, i) => noise(i, 2_000));
  const stream = new TestStream(...messages.map(framed));
  await using connection = frame(stream, { remote: REMOTE });
  const buffers = new Set<ArrayBufferLike>();
  for (const [index, message] of messages.entries()) {
    const got = await connection.borrow();
    assert(got !== null);
    assertSame(got, message);
    if (index % 50 === 0) connection.keep();
    buffers.add(got.buffer);
  }
  assert(buffers.size <= 5, `${buffers.size} buffers for four that were kept`);
});

// -- Writing --

Deno.test("frame() writes the first message at once and joins those behind it", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  const messages = [1, 2, 3, 4].map((byte) => filled(byte, byte));
  for (const message of messages) connection.send(message);
  gate.resolve();
  await connection.close();
  assertEquals(stream.written, [
    framed(filled(1, 1)),
    join(...messages.slice(1).map(framed)),
  ]);
});

Deno.test("frame() has one write under way at a time, and loops short ones", async () => {
  const stream = new TestStream();
  stream.maxWrite = 7;
  let underWay = 0;
  const write = stream.write.bind(stream);
  stream.write = async (bytes) => {
    assertEquals(++underWay, 1);
    const written = await write(bytes);
    underWay--;
    return written;
  };
  await using connection = frame(stream, { remote: REMOTE });
  const messages = [filled(30, 1), filled(0, 0), filled(100, 2)];
  for (const message of messages) connection.send(message);
  await connection.close();
  assertEquals(join(...stream.written), join(...messages.map(framed)));
});

Deno.test("frame() gives one shared promise below the high-water mark", async () => {
  const stream = new TestStream();
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  await using connection = frame(stream, {
    remote: REMOTE,
    highWaterMark: 100,
  });
  const first = connection.send(filled(10, 1));
  assertStrictEquals(connection.send(filled(10, 2)), first);
  const waiting = connection.send(filled(100, 3));
  assert(waiting !== first);
  gate.resolve();
  await waiting;
  assertStrictEquals(connection.send(filled(10, 4)), first);
});

Deno.test("frame() lets a sender go on once a short write has made room", async () => {
  const stream = new TestStream();
  stream.maxWrite = 10;
  await using connection = frame(stream, { remote: REMOTE, highWaterMark: 95 });
  await connection.send(filled(96, 1));
  // 100 bytes were queued: one short write of 10 made room.
  assertEquals(stream.written.length, 1);
});

Deno.test("frame() leaves sent bytes to the sender at once", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  const message = filled(10, 1);
  connection.send(message);
  message.fill(2);
  await connection.close();
  assertEquals(stream.written, [framed(filled(10, 1))]);
});

Deno.test("frame() copies into one small buffer while it is quiet", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  for (let i = 0; i < 100; i++) {
    connection.send(filled(100, i));
    await ticks(10);
    assertEquals(stream.written.length, i + 1);
  }
  assertEquals(new Set(stream.memory).size, 1);
  assertEquals(stream.memory[0]?.byteLength, 2 * KIB);
});

Deno.test("frame() refuses to send over the limit and stays usable", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE, maxMessage: 10 });
  await assertRejects(
    () => connection.send(filled(11, 1)),
    RangeError,
    "at most 10",
  );
  await connection.send(filled(10, 2));
  await connection.close();
  assertEquals(stream.written, [framed(filled(10, 2))]);
});

Deno.test("frame() goes on receiving after writing has failed", async () => {
  const stream = new TestStream(framed(filled(3, 1)));
  const cause = new Error("broken pipe");
  stream.write = () => Promise.reject(cause);
  await using connection = frame(stream, {
    remote: REMOTE,
    highWaterMark: 1,
  });
  const error = await assertRejects(
    () => connection.send(filled(1, 1)),
    ConnectionError,
    "broken pipe",
  );
  assertStrictEquals(error.cause, cause);
  await assertRejects(() => connection.send(filled(1, 1)), ConnectionError);
  assertEquals(await connection.receive(), filled(3, 1));
  assertStrictEquals(await connection.receive(), null);
});

// -- Sending in place --

/** Messages with their headers, one behind the other in one memory. */
function inOneMemory(...messages: Uint8Array[]): Uint8Array[] {
  const memory = joined(messages.map(framed));
  let at = 0;
  return messages.map(({ length }) => memory.subarray(at, at += 4 + length));
}

Deno.test("frame().framing writes the header, and is one for all connections", async () => {
  await using one = frame(new TestStream(), { remote: REMOTE });
  await using other = frame(new TestStream(), { remote: REMOTE });
  const { framing } = one;
  assertStrictEquals(framing, other.framing);
  assertEquals(framing.size, 4);
  for (const size of [0, 1, 255, 256, 65_536, 70_000]) {
    const bytes = filled(4 + size, 9);
    framing.write(bytes);
    assertSame(bytes, framed(filled(size, 9)));
  }
});

Deno.test("frame().sendFrame() joins frames that stand one behind the other, without a copy", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  const frames = inOneMemory(filled(1, 1), filled(0, 2), filled(3, 3));
  const apart = inOneMemory(filled(5_000, 4), filled(2, 5), filled(6_000, 6));
  for (const one of [...frames, ...apart]) connection.sendFrame(one);
  gate.resolve();
  await connection.close();
  assertEquals(stream.written.map(({ length }) => length), [
    5, // at once
    4 + 7, // what stood behind it
    5_004 + 6 + 6_004,
  ]);
  assertEquals(
    stream.memory,
    [frames[0], frames[1], apart[0]].map((one) => one?.buffer),
  );
  assertSame(joined(stream.written), joined([...frames, ...apart]));
});

Deno.test("frame().sendFrame() sends frames of one memory in the order of the calls", async () => {
  const messages = [0, 1, 2, 3, 4].map((byte) => filled(5_000 + byte, byte));
  for (const order of [[1, 0, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1, 3]]) {
    const stream = new TestStream();
    await using connection = frame(stream, { remote: REMOTE });
    const frames = inOneMemory(...messages);
    for (const index of order) {
      connection.sendFrame(frames[index] ?? filled(0, 0));
    }
    await connection.close();
    assertSame(
      joined(stream.written),
      joined(order.map((index) => framed(filled(5_000 + index, index)))),
    );
  }
});

Deno.test("frame().sendFrame() copies a small frame that stands apart, and is done with it at once", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  const done: number[] = [];
  connection.send(filled(1, 0));
  for (const byte of [1, 2, 3]) {
    const one = framed(filled(400, byte));
    connection.sendFrame(one, () => done.push(byte));
    assertEquals(done.at(-1), byte);
    one.fill(0xee);
  }
  connection.send(filled(1, 4));
  assertEquals(stream.written, []);
  gate.resolve();
  await connection.close();
  assertEquals(done, [1, 2, 3]);
  assertEquals(stream.written.length, 2);
  assertSame(
    joined(stream.written),
    joined([
      framed(filled(1, 0)),
      ...[1, 2, 3].map((byte) => framed(filled(400, byte))),
      framed(filled(1, 4)),
    ]),
  );
});

Deno.test("frame().sendFrame() sends a long frame from where it stands, and is done once all of it has left", async () => {
  const stream = new TestStream();
  stream.maxWrite = 5_000;
  await using connection = frame(stream, { remote: REMOTE });
  const long = framed(noise(1, 12_000));
  let leftWhenDone = 0;
  connection.send(filled(1, 0));
  connection.sendFrame(long, () => leftWhenDone = stream.written.length);
  connection.send(filled(1, 2));
  assertEquals(leftWhenDone, 0);
  await connection.close();
  // 5 bytes; then 5,000, 5,000 and 2,004; then 5.
  assertEquals(stream.written.length, 5);
  assertEquals(leftWhenDone, 4);
  assertEquals(
    stream.memory.map((memory) => memory === long.buffer),
    [false, true, true, true, false],
  );
});

Deno.test("frame().sendFrame() keeps the order where done sends", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE });
  connection.send(filled(1, 1));
  for (const byte of [2, 5]) {
    connection.sendFrame(framed(filled(1, byte)), () => {
      connection.send(filled(1, byte + 1));
      connection.sendFrame(framed(filled(1, byte + 2)));
    });
  }
  await connection.close();
  assertEquals(
    join(...stream.written),
    join(...[1, 2, 3, 4, 5, 6, 7].map((byte) => framed(filled(1, byte)))),
  );
});

Deno.test("frame().sendFrame() is never done with what did not leave", async () => {
  for (const how of ["the write fails", "it is closed"]) {
    const stream = new TestStream();
    const gate = Promise.withResolvers<void>();
    stream.holdWrites(gate.promise);
    stream.maxWrite = 9_000;
    const connection = frame(stream, { remote: REMOTE });
    const done: number[] = [];
    for (let number = 0; number < 4; number++) {
      connection.sendFrame(
        framed(filled(5_000, number)),
        () => done.push(number),
      );
    }
    if (how === "it is closed") {
      const closing = connection.close(new Error("enough"));
      gate.resolve();
      await closing;
    } else {
      // The first frame leaves whole; what follows does not.
      const write = stream.write.bind(stream);
      stream.write = (bytes) =>
        stream.written.length < 1
          ? write(bytes)
          : Promise.reject(new Error("broken pipe"));
      gate.resolve();
      await connection.close();
    }
    await ticks(20);
    assertEquals(done, how === "it is closed" ? [] : [0]);
    await assertRejects(
      () => connection.sendFrame(framed(filled(1, 1)), () => done.push(9)),
      ConnectionError,
    );
    assert(!done.includes(9));
  }
});

Deno.test("frame().sendFrame() refuses a message over the limit and stays usable", async () => {
  const stream = new TestStream();
  await using connection = frame(stream, { remote: REMOTE, maxMessage: 10 });
  let done = false;
  await assertRejects(
    () => connection.sendFrame(framed(filled(11, 1)), () => done = true),
    RangeError,
    "Cannot send 11 bytes",
  );
  assert(!done);
  await connection.sendFrame(framed(filled(10, 2)));
  await connection.close();
  assertEquals(stream.written, [framed(filled(10, 2))]);
});

Deno.test("frame().sendFrame() waits above the high-water mark as send does", async () => {
  const stream = new TestStream();
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  await using connection = frame(stream, {
    remote: REMOTE,
    highWaterMark: 100,
  });
  const [one, two, three] = inOneMemory(
    filled(10, 1),
    filled(40, 2),
    filled(60, 3),
  );
  assert(one && two && three);
  const first = connection.sendFrame(one);
  assertStrictEquals(connection.sendFrame(two), first);
  const waiting = connection.sendFrame(three);
  assert(waiting !== first);
  gate.resolve();
  await waiting;
  assertStrictEquals(connection.send(filled(10, 4)), first);
});

/** A stream that takes as many bytes, and as long for it, as a list says. */
class SlowStream extends TestStream {
  /** Bytes that have left. */
  left = 0;
  /** Bytes that had left before the last write. */
  leftBefore = 0;
  /** Whether bytes changed before the write that took them had settled. */
  changed = false;
  readonly #pace: readonly Pace[];
  #writes = 0;

  constructor(pace: readonly Pace[]) {
    super();
    this.#pace = pace;
  }

  override async write(bytes: Uint8Array): Promise<number> {
    const { most, ticks: count } =
      this.#pace[this.#writes++ % this.#pace.length] ?? { most: 1, ticks: 0 };
    const taken = bytes.slice(0, most);
    await ticks(count);
    this.changed ||= taken.some((byte, index) => byte !== bytes[index]);
    this.written.push(taken);
    this.leftBefore = this.left;
    this.left += taken.length;
    return taken.length;
  }
}

/** How one write behaves. */
interface Pace {
  /** The most that it takes. */
  readonly most: number;
  /** How many promises settle meanwhile. */
  readonly ticks: number;
}

Deno.test("frame() sends any messages in order, and their memory is free once it says so", async () => {
  const size = fc.oneof(
    { weight: 5, arbitrary: fc.nat(100) },
    { weight: 3, arbitrary: fc.nat(5_000) },
    { weight: 2, arbitrary: fc.nat(70_000) },
    { weight: 1, arbitrary: fc.nat(600_000) },
  );
  const step = fc.record({
    size,
    how: fc.constantFrom("send", "behind", "behind", "apart"),
    // Mostly in one go, at times after a while in which all may have left.
    pause: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.nat(40) },
    ),
  });
  const pace = fc.record({
    most: fc.oneof(
      fc.constant(Infinity),
      fc.integer({ min: 1_000, max: 300_000 }),
    ),
    ticks: fc.nat(5),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      fc.array(pace, { minLength: 1, maxLength: 8 }),
      async (steps, paces) => {
        const stream = new SlowStream(paces);
        const connection = frame(stream, { remote: REMOTE });
        const messages = steps.map(({ size }, index) => noise(index, size));
        const memory = joined(messages.map(framed));
        const late: number[] = [];
        let start = 0;
        for (const [index, { how, pause }] of steps.entries()) {
          const message = messages[index] ?? filled(0, 0);
          const end = start + 4 + message.length;
          const inPlace = how === "behind"
            ? memory.subarray(start, end)
            : framed(message);
          let atOnce = true;
          let calls = 0;
          const done = (): void => {
            assertEquals(++calls, 1);
            if (!atOnce) {
              assert(end <= stream.left, "done before it has left");
              assert(end > stream.leftBefore, "done later than it could be");
              late.push(index);
            }
            inPlace.fill(0xee);
          };
          if (how === "send") {
            connection.send(message);
            message.fill(0xee);
          } else connection.sendFrame(inPlace, done);
          atOnce = false;
          start = end;
          await ticks(pause);
        }
        await connection.close();
        assert(!stream.changed, "bytes changed while they were written");
        const expected = steps.map(({ size }, index) =>
          framed(noise(index, size))
        );
        assertSame(joined(stream.written), joined(expected));
        assertEquals(late, late.toSorted((a, b) => a - b));
        const [first] = steps;
        if (first?.how !== "send") assertEquals(late[0], 0);
        for (const [index, { how, size }] of steps.entries()) {
          if (how === "apart" && size >= 4_096) assert(late.includes(index));
        }
      },
    ),
    { numRuns: 60, seed: 4 },
  );
});

Deno.test("frame() copies into a buffer that has left, and never into one that has not", async () => {
  // What is copied is cut into pieces by what is not.
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.nat(3_000) },
    { weight: 1, arbitrary: fc.nat(9_000) },
    { weight: 4, arbitrary: fc.constant("apart" as const) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 100, maxLength: 300 }),
      fc.array(
        fc.record({
          most: fc.integer({ min: 3_000, max: 90_000 }),
          ticks: fc.integer({ min: 1, max: 30 }),
        }),
        { minLength: 1, maxLength: 5 },
      ),
      async (steps, paces) => {
        const stream = new SlowStream(paces);
        const connection = frame(stream, {
          remote: REMOTE,
          highWaterMark: 30_000,
        });
        const messages = steps.map((step, index) =>
          noise(index, step === "apart" ? 4_096 : step)
        );
        for (const [index, message] of messages.entries()) {
          await (steps[index] === "apart"
            ? connection.sendFrame(framed(message))
            : connection.send(message));
        }
        await connection.close();
        assert(!stream.changed, "bytes changed while they were written");
        assertSame(joined(stream.written), joined(messages.map(framed)));
      },
    ),
    { numRuns: 40, seed: 5 },
  );
});

// -- Closing --

Deno.test("frame().close() flushes, then closes the stream once", async () => {
  const stream = new TestStream();
  const connection = frame(stream, { remote: REMOTE });
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  connection.send(filled(1, 1));
  connection.send(filled(1, 2));
  const closing = connection.close();
  assertStrictEquals(connection.close(), closing);
  assertEquals(stream.closedWith, []);
  gate.resolve();
  await closing;
  assertEquals(stream.written.length, 2);
  assertEquals(stream.closedWith, [undefined]);
});

Deno.test("frame().close() with a reason drops what is queued, even while flushing", async () => {
  const stream = new TestStream();
  const connection = frame(stream, { remote: REMOTE, highWaterMark: 1 });
  const gate = Promise.withResolvers<void>();
  stream.holdWrites(gate.promise);
  const waiting = connection.send(filled(1, 1));
  connection.send(filled(1, 2));
  const closing = connection.close();
  const reason = new Error("no time");
  await connection.close(reason);
  await closing;
  const error = await assertRejects(() => waiting, ConnectionError);
  assertStrictEquals(error.cause, reason);
  gate.resolve();
  await gate.promise;
  assertEquals(stream.closedWith, [error]);
  // Only the write that was under way; nothing followed.
  assert(stream.written.length <= 1);
});

Deno.test("frame().close() never rejects, whatever closing the stream throws", async () => {
  for (const reason of [undefined, new Error("enough")]) {
    const stream = new TestStream();
    stream.close = () => {
      throw new Error("closed already");
    };
    await frame(stream, { remote: REMOTE }).close(reason);
  }
});

Deno.test("frame() leaves no unhandled rejection behind", async () => {
  const stream = new TestStream(Uint8Array.of(255, 255, 255, 255));
  const connection = frame(stream, { remote: REMOTE, maxMessage: 1 });
  connection.send(filled(2, 1));
  connection.receive();
  connection.receive();
  await connection.close(new Error("enough"));
  connection.send(filled(1, 1));
  connection.receive();
  // Unhandled rejections are reported between turns.
  await new Promise((resolve) => setTimeout(resolve, 0));
});

Deno.test("frame() throws a RangeError for limits that make no sense", () => {
  for (const value of [0, -1, 1.5, NaN, 2 ** 32]) {
    const options = { remote: REMOTE, maxMessage: value };
    assertThrows(() => frame(new TestStream(), options), RangeError);
  }
  assertThrows(
    () => frame(new TestStream(), { remote: REMOTE, highWaterMark: 0 }),
    RangeError,
    "highWaterMark 0",
  );
});

Deno.test("frame() tells how far the next message has come, while it is received", async () => {
  for (const size of [10, 300 * KIB]) {
    const bytes = framed(noise(1, size));
    const half = bytes.length >> 1;
    const rest = Promise.withResolvers<void>();
    const stream = new TestStream(bytes.subarray(0, half));
    const read = stream.read.bind(stream);
    stream.read = async (buffer) => {
      const count = await read(buffer);
      if (count !== null) return count;
      await rest.promise;
      const late = new TestStream(bytes.subarray(half));
      stream.read = late.read.bind(late);
      return await stream.read(buffer);
    };
    await using connection = frame(stream, { remote: REMOTE });
    assertEquals(connection.arriving, null);
    const received = connection.receive();
    await ticks(50);
    assertEquals(connection.arriving, { message: 0, bytes: half });
    rest.resolve();
    assertEquals((await received)?.length, size);
    assertEquals(connection.arriving, null);
  }
});

// -- Goodbye --

const GOODBYE = Uint8Array.of(255, 255, 255, 255);
const POLITE = { remote: REMOTE, goodbye: true };

Deno.test("frame() says goodbye where both ends agreed to, after all that was sent", async () => {
  const stream = new TestStream();
  const connection = frame(stream, POLITE);
  connection.send(filled(3, 7));
  await connection.close();
  assertEquals(join(...stream.written), join(framed(filled(3, 7)), GOODBYE));
  assertEquals(stream.closedWith, [undefined]);
});

Deno.test("frame() says no goodbye of a connection that is closed for a reason", async () => {
  const stream = new TestStream();
  await frame(stream, POLITE).close(new Error("enough"));
  assertEquals(stream.written, []);
});

Deno.test("frame() takes a goodbye for the end, however it is cut", async () => {
  const bytes = join(framed(filled(3, 7)), GOODBYE);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const stream = new TestStream(bytes.subarray(0, cut), bytes.subarray(cut));
    const connection = frame(stream, POLITE);
    assertEquals(await connection.receive(), filled(3, 7));
    assertStrictEquals(await connection.receive(), null);
    assertStrictEquals(await connection.receive(), null);
    await connection.close();
  }
});

Deno.test("frame() takes an end without a goodbye for a broken connection", async () => {
  const connection = frame(new TestStream(framed(filled(3, 7))), POLITE);
  assertEquals(await connection.receive(), filled(3, 7));
  await assertRejects(() => connection.receive(), ConnectionError, "cut off");
  await connection.close();
});

Deno.test("frame() without goodbyes refuses one as a message that is too long", async () => {
  const connection = frame(new TestStream(GOODBYE), { remote: REMOTE });
  await assertRejects(() => connection.receive(), ConnectionError, "at most");
  await connection.close();
});
