/** Conversations between whole nodes, in virtual time. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { NodeNotFoundError } from "@devts/routing";
import { StreamError, type StreamFailure } from "./errors.ts";
import type { Stream } from "./stream.ts";
import type { Conversation } from "./types.ts";
import { isSettled, pass, passFor } from "./_support_test.ts";
import { pair, virtualWorld, type World } from "./_world_test.ts";

interface Talk {
  say(text: string): void;
  talk: Conversation<unknown, unknown>;
}

/** Two nodes, and both ends of a stream that the first has opened. */
async function opened(world: World) {
  const { one, two } = await pair<Talk>(world);
  const taken: Stream[] = [];
  two.node.onOpen("talk", (stream) => {
    taken.push(stream);
  });
  const here = await passFor(world.clock, one.node.open("bob", "talk"));
  const [there] = taken;
  assert(there);
  return { one: one.node, two: two.node, here, there, world };
}

/** All messages until the end. */
async function all(stream: Stream): Promise<unknown[]> {
  const messages: unknown[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

/** Bytes that tell where they are. */
function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) + seed) & 255;
  return bytes;
}

async function fails(
  promise: Promise<unknown>,
  reason: StreamFailure,
): Promise<StreamError> {
  const error = await assertRejects(() => promise, StreamError);
  assertEquals(error.reason, reason);
  return error;
}

// -- Messages --

Deno.test("Node.open() gives a stream of values both ways", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  assertEquals([here.name, here.peer], ["talk", "bob"]);
  assertEquals([there.name, there.peer], ["talk", "ada"]);
  const values = [1, "two", { three: [3] }, null, false, "", []];
  const said = (async () => {
    for (const value of values) await here.send(value);
    await here.close();
  })();
  const answered = (async () => {
    for await (const value of there) await there.send({ value });
    await there.close();
  })();
  const answers = await passFor(world.clock, all(here));
  assertEquals(answers, values.map((value) => ({ value })));
  await passFor(world.clock, Promise.all([said, answered]));
  await passFor(world.clock, Promise.all([here.closed, there.closed]));
});

Deno.test("Stream carries bytes of any length as they are", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const lengths = [0, 1, 5, 2_048, 65_530, 65_536, 200_000, 1_048_576, 5e6, 0];
  const sent = lengths.map((length, i) => pattern(length, i));
  const sending = (async () => {
    for (const bytes of sent) await here.send(bytes);
    await here.close();
  })();
  const received = await passFor(world.clock, all(there));
  await passFor(world.clock, sending);
  assertEquals(received, sent);
});

Deno.test("Stream carries values larger than a frame, among small ones", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const values = ["a", "x".repeat(3e6), pattern(10), { bytes: pattern(2e6) }];
  for (const value of values) here.send(value);
  here.close();
  assertEquals(await passFor(world.clock, all(there)), values);
});

Deno.test("Stream carries messages longer than its window without waiting for timers", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const start = world.clock.now();
  const messages = Array.from({ length: 10 }, (_, i) => pattern(4e6, i));
  const taken = all(there);
  for (const message of messages) {
    await passFor(world.clock, here.send(message));
  }
  here.close();
  const got = await passFor(world.clock, taken);
  assertEquals(got.length, messages.length);
  assert(
    got.every((one, i) => one instanceof Uint8Array && one[0] === i),
  );
  assert(world.clock.now() - start < 20, `${world.clock.now() - start} ms`);
});

Deno.test("Stream.send() resolves once its bytes may be used again", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const sending = (async () => {
    const bytes = new Uint8Array(50_000);
    for (let i = 0; i < 100; i++) {
      bytes.fill(i);
      await here.send(bytes);
    }
    await here.close();
  })();
  await pass(world.clock, 1_000);
  const received = await passFor(world.clock, all(there));
  await passFor(world.clock, sending);
  assertEquals(received.length, 100);
  for (const [i, bytes] of received.entries()) {
    assert(bytes instanceof Uint8Array && bytes.every((byte) => byte === i));
  }
});

Deno.test("Stream is a ReadableStream and a WritableStream, too", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const sent = [pattern(300_000), pattern(7), pattern(100_000, 3)];
  const piping = ReadableStream.from(sent).pipeTo(here.writable);
  const received = passFor(world.clock, Array.fromAsync(there.readable));
  assertEquals(await received, sent);
  await passFor(world.clock, piping);
});

Deno.test("Stream carries on after a loop over it was left", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  for (const value of [1, 2, 3]) here.send(value);
  here.close();
  await pass(world.clock, 100);
  for await (const value of there) if (value === 1) break;
  assertEquals(await all(there), [2, 3]);
  assertEquals(await there.receive(), undefined);
});

Deno.test("Node.open() reaches the node itself", async () => {
  await using world = virtualWorld();
  const { node } = world.add<Talk>("ada");
  node.onOpen("talk", async (stream) => {
    for await (const message of stream) await stream.send(message);
    await stream.close();
  });
  const stream = await passFor(world.clock, node.open("ada", "talk"));
  const sent = [pattern(100_000), "text", { a: 1 }];
  for (const message of sent) stream.send(message);
  stream.close();
  assertEquals(await passFor(world.clock, all(stream)), sent);
});

Deno.test("Node.open() comes after the events sent before", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  const seen: string[] = [];
  two.node.on("say", (text) => {
    seen.push(text);
  });
  two.node.onOpen("talk", () => {
    seen.push("stream");
  });
  await pass(world.clock, 0);
  one.node.emit("say", "first");
  one.node.send("bob", "say", "second");
  await passFor(world.clock, one.node.open("bob", "talk"));
  assertEquals(seen, ["first", "second", "stream"]);
});

Deno.test("Stream.release() lets later messages come in the same memory", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  for (const length of [50_000, 300_000, 3e6, 60_000]) {
    const buffers = new Set<ArrayBufferLike>();
    for (let i = 0; i < 20; i++) {
      here.send(pattern(length, i));
      const bytes = await passFor(world.clock, there.receive());
      assert(bytes instanceof Uint8Array);
      assertEquals(bytes, pattern(length, i));
      buffers.add(bytes.buffer);
      there.release(bytes);
      there.release(bytes); // no effect
      there.release(bytes.subarray(1)); // nor of a part
    }
    assertEquals(buffers.size, 1, `${length}`);
  }
});

// -- Back-pressure --

Deno.test("Stream.send() waits for a reader, with about 2 MiB under way", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const bytes = new Uint8Array(65_536);
  let sent = 0;
  const sending = (async () => {
    for (; sent < 100; sent++) await here.send(bytes);
  })();
  await pass(world.clock, 60_000);
  assert(sent >= 30 && sent <= 36, `${sent}`);
  for (let i = 0; i < 50; i++) await passFor(world.clock, there.receive());
  await pass(world.clock, 1_000);
  assert(sent >= 80 && sent <= 86, `${sent}`);
  for (let i = 0; i < 50; i++) await passFor(world.clock, there.receive());
  await passFor(world.clock, sending);
});

Deno.test("Stream has the next message under way while a long one is not received", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const messages = [pattern(5e6, 1), pattern(1e6, 2), pattern(5e6, 3)];
  let sent = 0;
  const sending = (async () => {
    for (; sent < messages.length; sent++) await here.send(messages[sent]);
  })();
  await pass(world.clock, 60_000);
  assertEquals(sent, 2);
  for (const message of messages) {
    assertEquals(await passFor(world.clock, there.receive()), message);
  }
  await passFor(world.clock, sending);
});

Deno.test("Streams take turns with messages longer than their windows", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  const taken: string[] = [];
  two.node.onOpen("talk", async (stream) => {
    for await (const bytes of stream) {
      assert(bytes instanceof Uint8Array);
      taken.push(`${bytes.length}`);
      stream.release(bytes);
    }
    await stream.close();
  });
  const lengths = [16_777_216, 3e6, 9e6, 2_097_152, 4e6, 12e6];
  const all = lengths.map(async (length) => {
    const stream = await one.node.open("bob", "talk");
    for (let i = 0; i < 3; i++) await stream.send(new Uint8Array(length));
    await stream.close();
    await stream.closed;
  });
  await passFor(world.clock, Promise.all(all));
  assertEquals(taken.length, 3 * lengths.length);
});

Deno.test("Stream fails when more is sent without waiting than it keeps", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const bytes = new Uint8Array(1_000_000);
  for (let i = 0; i < 20; i++) here.send(bytes);
  await fails(here.send(bytes), "overflow");
  await fails(here.closed, "overflow");
  await pass(world.clock, 100);
  await fails(there.closed, "aborted");
});

Deno.test("Streams with one node take turns", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  const counts = new Map<string, number>();
  let least = 0;
  two.node.onOpen("talk", async (stream) => {
    const name = String(await stream.receive());
    for await (const _ of stream) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (counts.get(name) === 100) {
        least = Math.min(...counts.values());
        break;
      }
    }
  });
  const bytes = new Uint8Array(65_536);
  const streams = await passFor(
    world.clock,
    Promise.all([1, 2, 3, 4, 5].map(() => one.node.open("bob", "talk"))),
  );
  for (const [i, stream] of streams.entries()) {
    stream.send(`stream ${i}`);
    (async () => {
      for (;;) await stream.send(bytes);
    })().catch(() => {});
  }
  await pass(world.clock, 5_000);
  assert(least >= 80, `${least}`);
});

// -- Refusals --

Deno.test("Node.open() rejects at once where nobody handles the name", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair(world);
  const before = world.clock.now();
  const opening = one.node.open("bob", "nothing");
  const error = await fails(passFor(world.clock, opening), "unhandled");
  assertEquals(
    error.message,
    'The stream "nothing" with node "bob" failed: the node does not handle streams of that name',
  );
  assert(world.clock.now() - before < 10);
  assertEquals(two.node.counters.streamsRefused, 1);
});

Deno.test("Node.open() rejects for a node that it knows no way to", async () => {
  await using world = virtualWorld();
  const { node } = world.add("ada");
  await assertRejects(() => node.open("eve", "talk"), NodeNotFoundError);
});

Deno.test("Node.open() gives up after its timeout, and when its signal aborts", async () => {
  await using world = virtualWorld();
  const { one } = await pair<Talk>(world);
  world.cut("bob");
  const late = one.node.open("bob", "talk", { timeout: 700 });
  const before = world.clock.now();
  await fails(passFor(world.clock, late), "timeout");
  assertEquals(world.clock.now() - before, 700);
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = one.node.open("bob", "talk", { signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => aborted, Error, "enough");
  await assertRejects(
    () => one.node.open("bob", "talk", { signal }),
    Error,
    "enough",
  );
  assertThrows(() => one.node.open("bob", "talk", { timeout: 0 }), RangeError);
});

Deno.test("Node.open() and those who accept keep to the limit", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world, { limits: { streams: 3 } });
  two.node.onOpen("talk", () => {});
  const open = () => passFor(world.clock, one.node.open("bob", "talk"));
  const streams = [await open(), await open(), await open()];
  await assertRejects(open, StreamError, "3 streams already");
  streams[0]?.abort();
  await pass(world.clock, 100);
  await open();
  assertEquals(two.node.counters.streamsAccepted, 4);
  assertEquals(one.node.counters.limits.streams, 1);
});

Deno.test("Node.onOpen() takes one handler for each name, until it is disposed", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  const handler = two.node.onOpen("talk", () => {});
  assertThrows(() => two.node.onOpen("talk", () => {}), TypeError, "already");
  handler[Symbol.dispose]();
  await fails(passFor(world.clock, one.node.open("bob", "talk")), "unhandled");
  two.node.onOpen("talk", () => {});
  await passFor(world.clock, one.node.open("bob", "talk"));
});

Deno.test("Stream.send() refuses what it cannot carry, and stays usable", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world, {
    limits: { streamMessage: 1_000 },
  });
  let there: Stream | undefined;
  two.node.onOpen("talk", (stream) => {
    there = stream;
  });
  const here = await passFor(world.clock, one.node.open("bob", "talk"));
  await assertRejects(() => here.send(undefined), TypeError, "undefined");
  await assertRejects(() => here.send(() => {}), TypeError, "Cannot send over");
  await assertRejects(
    () => here.send(pattern(1_001)),
    RangeError,
    "at most 1000",
  );
  await assertRejects(() => here.send("x".repeat(1_000)), RangeError, "1000");
  here.send("fits");
  here.close();
  assert(there);
  assertEquals(await passFor(world.clock, all(there)), ["fits"]);
});

// -- Ends --

Deno.test("Stream.close() ends one half; the other goes on", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  await passFor(world.clock, here.close());
  assertEquals(await passFor(world.clock, there.receive()), undefined);
  await fails(here.send("more"), "closed");
  there.send("still here");
  assertEquals(await passFor(world.clock, here.receive()), "still here");
  assert(!await isSettled(here.closed));
  there.close();
  await passFor(world.clock, Promise.all([here.closed, there.closed]));
});

Deno.test("Stream.close() waits until the other node has everything", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  for (let i = 0; i < 4; i++) here.send(pattern(1e6));
  const closing = here.close();
  await pass(world.clock, 5_000);
  assert(!await isSettled(closing)); // about 2 MiB may wait to be received
  for (let i = 0; i < 4; i++) await passFor(world.clock, there.receive());
  await passFor(world.clock, closing);
});

Deno.test("Stream.abort() ends both ends with its reason", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const reading = there.receive();
  here.send("lost");
  here.abort(new Error("changed my mind"));
  await fails(here.receive(), "aborted");
  await fails(here.send("more"), "aborted");
  await fails(here.close(), "aborted");
  const error = await fails(passFor(world.clock, there.closed), "aborted");
  assert(error.message.endsWith("the other end aborted it: changed my mind"));
  await reading.catch(() => {});
  here.abort(); // no effect
});

Deno.test("Stream is closed, or aborted, by `await using`", async () => {
  await using world = virtualWorld();
  const { here, there } = await opened(world);
  const leaving = (async () => {
    await using stream = here;
    await stream.send("last words");
  })();
  await passFor(world.clock, leaving);
  assertEquals(await passFor(world.clock, there.receive()), "last words");
  await fails(there.closed, "aborted"); // it had not ended its half
});

Deno.test("Stream fails when the handler does", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  two.node.onOpen("talk", () => Promise.reject(new Error("no disk")));
  const stream = await passFor(world.clock, one.node.open("bob", "talk"));
  const error = await fails(passFor(world.clock, stream.closed), "aborted");
  assert(error.message.endsWith("no disk"));
  assertEquals(two.node.counters.handlerErrors, 1);
});

Deno.test("Stream fails at both ends when a node closes", async () => {
  await using world = virtualWorld();
  const { one, here, there } = await opened(world);
  const closing = one.close();
  await fails(passFor(world.clock, here.closed), "closed");
  await fails(passFor(world.clock, there.closed), "closed");
  await passFor(world.clock, closing);
});

Deno.test("Stream fails in bounded time when the other node falls silent", async () => {
  for (const busy of [true, false]) {
    await using world = virtualWorld();
    const { here } = await opened(world);
    if (busy) here.send("something");
    const before = world.clock.now();
    world.cut("bob");
    await assertRejects(() => passFor(world.clock, here.closed), StreamError);
    assert(world.clock.now() - before <= 25_000);
  }
});

Deno.test("Streams leave nothing behind", async () => {
  await using world = virtualWorld();
  const { one, two } = await pair<Talk>(world);
  two.node.onOpen("talk", async (stream) => {
    for await (const message of stream) await stream.send(message);
    await stream.close();
  });
  for (let i = 0; i < 3_000; i++) {
    const stream = await passFor(world.clock, one.node.open("bob", "talk"));
    stream.send(i);
    if (i % 3 === 0) stream.abort();
    else {
      stream.close();
      assertEquals(await passFor(world.clock, all(stream)), [i]);
    }
  }
  assertEquals(one.node.counters.streamsOpened, 3_000);
  assertEquals(two.node.counters.streamsAccepted, 3_000);
});
