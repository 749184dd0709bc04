import { assert, assertEquals } from "@std/assert";
import { v1 } from "@devts/protocol/v1";
import { ProtocolError } from "@devts/protocol";
import { VirtualClock } from "@devts/routing/testing";
import { Link, type LinkLimits } from "./link.ts";
import {
  FakeConnection,
  isSettled,
  pass,
  peer,
  turn,
} from "./_support_test.ts";

const protocol = v1();

/** What the link told its owner. */
type Call = readonly unknown[];

interface Setup {
  readonly limits?: LinkLimits;
  readonly received?: (message: Uint8Array) => Promise<void> | undefined;
}

function setUp(
  {
    limits = { highWaterMark: 100, outbox: 1_000 },
    received = () => undefined,
  }: Setup = {},
) {
  const clock = new VirtualClock();
  const connection = new FakeConnection();
  const calls: Call[] = [];
  const link: Link = new Link({
    received: (_link, message) => {
      calls.push(["received", ...message]);
      return received(message);
    },
    congestion: () => {},
    slow: (_link, slow) => calls.push(["slow", slow]),
    oversized: (_link, error) => calls.push(["oversized", error.message]),
    ended: (_link, reason) => calls.push(["ended", reason]),
  }, {
    peer: peer("ada"),
    connection,
    maxMessage: 1_048_576,
    protocol,
    clock,
    limits,
  });
  return { clock, connection, calls, link };
}

/** A data frame of a length, with a number in it. */
function data(number: number, length = 50): Uint8Array {
  const frame = new Uint8Array(length);
  protocol.writeHeader("data", frame);
  frame[4] = number;
  return frame;
}

function control(number: number, length = 5): Uint8Array {
  const frame = new Uint8Array(length);
  protocol.writeHeader("control", frame);
  frame[4] = number;
  return frame;
}

/** What was sent, in short. */
function shortly(sent: readonly Uint8Array[]): string[] {
  return sent.map((frame) => {
    const kind = protocol.readHeader(frame);
    if (kind === "gap") return `gap ${protocol.readGap(frame)}`;
    if (kind === "goodbye") return `goodbye ${protocol.readGoodbye(frame)}`;
    return `${kind} ${frame[4]}`;
  });
}

Deno.test("Link sends the first frame at once and keeps the order", async () => {
  const { link, connection } = setUp();
  for (let i = 0; i < 5; i++) assert(link.send(data(i, 10), "data", 1));
  assertEquals(connection.sent.length, 1);
  await turn();
  assertEquals(
    shortly(connection.sent),
    [0, 1, 2, 3, 4].map((i) => `data ${i}`),
  );
  assertEquals(link.queued, 0);
  link.end("done");
});

Deno.test("Link sends everything of the control lane before anything of the data lane", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  for (let i = 0; i < 3; i++) link.send(control(i), "control", 0);
  connection.take();
  await turn();
  link.send(control(3), "control", 0);
  connection.release();
  await turn();
  assertEquals(shortly(connection.sent), [
    "data 0",
    "control 0",
    "control 1",
    "control 2",
    "control 3",
    "data 1",
    "data 2",
  ]);
  link.end("done");
});

Deno.test("Link is congested from the high-water mark on until it is below", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  link.send(data(0), "data", 1);
  assert(!link.congested);
  link.send(data(1), "data", 1);
  assert(link.congested);
  const room = link.room();
  assert(!await isSettled(room));
  connection.take();
  assert(await isSettled(room));
  assert(!link.congested && !link.dropping);
  link.end("done");
});

Deno.test("Link tells what is missing, where it is missing", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  // 20 frames of 50 bytes fill the outbox.
  for (let i = 0; i < 20; i++) assert(link.send(data(i), "data", 1));
  assert(!link.dropping);
  assert(!link.send(data(100), "data", 3));
  assert(link.dropping && !link.congested);
  assert(!link.send(data(101, 5), "data", 4), "it drops on, also small ones");
  assert(link.send(control(7), "control", 0), "but no control frames");
  assert(link.queued <= 1_005);
  // Down to one frame in flight: below the high-water mark.
  for (let i = 0; i < 20; i++) {
    assert(link.dropping);
    connection.take();
    await turn();
  }
  assert(!link.dropping);
  assert(link.send(data(21), "data", 1));
  connection.release();
  await turn();
  assertEquals(shortly(connection.sent), [
    "data 0",
    "control 7",
    ...Array.from({ length: 19 }, (_, i) => `data ${i + 1}`),
    "gap 7",
    "data 21",
  ]);
  link.end("done");
});

Deno.test("Link counts each series of drops by itself", async () => {
  const { link, connection } = setUp();
  let missing = 0;
  let sent = 0;
  for (let round = 1; round <= 3; round++) {
    connection.held = true;
    while (link.send(data(round), "data", 2)) sent++;
    for (let i = 0; i < round; i++) link.send(data(round), "data", 2);
    missing += 2 * (1 + round);
    connection.release();
    await turn();
    assert(!link.dropping);
  }
  const gaps = connection.sent.filter((frame) =>
    protocol.readHeader(frame) === "gap"
  ).map((frame) => protocol.readGap(frame));
  assertEquals(gaps, [4, 6, 8]);
  assertEquals(gaps.reduce((sum, gap) => sum + gap), missing);
  assertEquals(connection.sent.length - gaps.length, sent);
  link.end("done");
});

Deno.test("Link is slow after a second without progress, and lets waiting senders go", async () => {
  const { link, connection, clock, calls } = setUp();
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  const room = link.room();
  await pass(clock, 999);
  assert(link.congested && !link.dropping);
  assert(!await isSettled(room));
  await pass(clock, 1);
  assert(link.dropping && !link.congested);
  assert(await isSettled(room));
  assertEquals(calls, [["slow", true]]);
  assert(!link.send(data(9), "data", 5));
  await pass(clock, 2_000);
  connection.release();
  await turn();
  assertEquals(calls, [["slow", true], ["slow", false]]);
  assertEquals(shortly(connection.sent).at(-1), "gap 5");
  assert(!link.dropping);
  await pass(clock, 60_000);
  assertEquals(calls.length, 2);
  assertEquals(clock.pending, 0);
  link.end("done");
});

Deno.test("Link is not slow as long as it makes progress", async () => {
  const { link, connection, clock, calls } = setUp();
  connection.held = true;
  for (let i = 0; i < 20; i++) link.send(data(i), "data", 1);
  for (let i = 0; i < 18; i++) {
    await pass(clock, 990);
    connection.take();
    await turn();
    assert(link.congested, `after ${i}`);
  }
  assertEquals(calls, []);
  connection.release();
  link.end("done");
  assertEquals(clock.pending, 0);
});

Deno.test("Link ends after ten seconds without progress", async () => {
  const { link, connection, clock, calls } = setUp();
  await pass(clock, 5_000);
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  await pass(clock, 9_999);
  assertEquals(calls, [["slow", true]]);
  await pass(clock, 1);
  assertEquals(calls, [["slow", true], ["ended", "it took nothing for 10 s"]]);
  assertEquals(connection.closes.length, 1);
  assert(connection.closes[0] instanceof Error);
  assert(await isSettled(link.done));
  assertEquals(link.queued, 0);
  assertEquals(clock.pending, 0);
});

Deno.test("Link that is idle for long is not slow when it is used again", async () => {
  const { link, connection, clock, calls } = setUp();
  link.send(data(0), "data", 1);
  await pass(clock, 100_000);
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  await pass(clock, 900);
  assertEquals(calls, []);
  connection.release();
  await turn();
  link.end("done");
});

Deno.test("Link.close() says goodbye after what is queued, then closes in order", async () => {
  const { link, connection, clock, calls } = setUp();
  link.start();
  connection.held = true;
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  const closing = link.close("enough");
  assert(!link.send(data(9), "data", 1), "it takes nothing any more");
  assert(!link.send(control(9), "control", 0));
  assert(!await isSettled(closing));
  connection.release();
  await closing;
  assertEquals(shortly(connection.sent), [
    "data 0",
    "data 1",
    "data 2",
    "goodbye enough",
  ]);
  assertEquals(connection.closes[0], null);
  assertEquals(calls, [["ended", "this node closed the link"]]);
  await link.close("again");
  assertEquals(clock.pending, 0);
});

Deno.test("Link.close() ends within two seconds when the other end takes nothing", async () => {
  for (const how of ["takes nothing", "closing hangs"]) {
    const { link, connection, clock, calls } = setUp();
    link.start();
    connection.held = how === "takes nothing";
    connection.hangs = how === "closing hangs";
    for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
    const closing = link.close("enough");
    await pass(clock, 1_999);
    assert(!await isSettled(closing));
    await pass(clock, 1);
    assert(await isSettled(closing), how);
    assertEquals(calls.filter(([what]) => what === "ended").length, 1);
    assert(connection.closes.at(-1) instanceof Error);
    assertEquals(clock.pending, 0);
  }
});

Deno.test("Link.close() tells what was dropped before it says goodbye", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  while (link.send(data(0), "data", 1));
  link.send(data(1), "data", 2);
  const closing = link.close("enough");
  connection.release();
  await closing;
  assertEquals(shortly(connection.sent).slice(-2), ["gap 3", "goodbye enough"]);
});

Deno.test("Link loses only the message that is too long for the transport", async () => {
  const { link, connection, calls } = setUp();
  connection.failure = new RangeError("too long");
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  await turn();
  assertEquals(shortly(connection.sent), ["data 1", "data 2"]);
  assertEquals(calls, [["oversized", "too long"]]);
  assertEquals(link.queued, 0);
  link.end("done");
});

Deno.test("Link ends when sending fails", async () => {
  const { link, connection, calls } = setUp();
  connection.failure = new Error("it broke");
  link.send(data(0), "data", 1);
  link.send(data(1), "data", 1);
  await turn();
  assertEquals(calls, [["ended", "it broke"]]);
  assert(!link.open);
  assert(!link.send(data(2), "data", 1));
});

Deno.test("Link.send() takes a message longer than the outbox when nothing is queued", async () => {
  const { link, connection, clock, calls } = setUp({
    limits: { highWaterMark: 100, outbox: 1_000 },
  });
  await pass(clock, 60_000);
  assert(link.send(data(1, 2_000), "data", 1));
  assert(link.send(data(2), "data", 1) || link.dropping);
  await pass(clock, 60_000);
  assert(!link.dropping);
  assertEquals(calls, []);
  assertEquals(shortly(connection.sent)[0], "data 1");
  link.end("done");
});

Deno.test("Link bounds its control lane", () => {
  const { link, connection } = setUp();
  connection.held = true;
  let taken = 0;
  while (link.send(control(1, 1_000), "control", 0)) taken++;
  assert(taken >= 1_000 && taken < 1_100, `${taken} were taken`);
  assert(link.send(data(0), "data", 1), "the data lane has its own bound");
  link.end("done");
});

Deno.test("Link ends when the other end closes, with what it said", async () => {
  for (const farewell of [null, "the node leaves"]) {
    const { link, connection, calls } = setUp();
    link.start();
    if (farewell) link.farewell(farewell);
    connection.arrive(null);
    await turn();
    assertEquals(calls, [[
      "ended",
      farewell ?? "the other end closed the connection",
    ]]);
  }
});

Deno.test("Link ends with what its owner throws on a message", async () => {
  const { link, connection, calls } = setUp({
    received: () => {
      throw new ProtocolError("nonsense");
    },
  });
  link.start();
  connection.arrive(Uint8Array.of(1));
  connection.arrive(Uint8Array.of(2));
  await turn();
  assertEquals(calls, [["received", 1], ["ended", "nonsense"]]);
  assert(connection.closes[0] instanceof ProtocolError);
});

Deno.test("Link pauses reading while its owner says so", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { link, connection, calls } = setUp({
    received: (message) => message[0] === 1 ? promise : undefined,
  });
  link.start();
  for (const number of [1, 2, 3]) connection.arrive(Uint8Array.of(number));
  await turn();
  assertEquals(calls, [["received", 1]]);
  resolve();
  await turn();
  assertEquals(calls, [["received", 1], ["received", 2], ["received", 3]]);
  link.end("done");
});

Deno.test("Link gives its owner nothing any more once it has ended", async () => {
  const { link, connection, calls } = setUp();
  link.start();
  await turn();
  link.end("first");
  link.end("second");
  connection.arrive(Uint8Array.of(1));
  await turn();
  assertEquals(calls, [["ended", "first"]]);
});

Deno.test("Link.room() is given when the link ends", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  const room = link.room();
  link.end("done");
  assert(await isSettled(room));
});
