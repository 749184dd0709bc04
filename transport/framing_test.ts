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
    assert(stream.readSizes.every((size) => size <= 8 * KIB));
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
  assertEquals(stream.readSizes[0], 8 * KIB);
  assert(Math.max(...stream.readSizes) > 8 * KIB);
  assertEquals(stream.readSizes.at(-1), 8 * KIB);
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
