import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type {
  Framing,
  InPlaceConnection,
  ReceiveOptions,
} from "@devts/transport";
import { v1 } from "@devts/protocol/v1";
import { ProtocolError } from "@devts/protocol";
import type { Clock } from "@devts/routing";
import { VirtualClock } from "@devts/routing/testing";
import { Frame, FRAMING_ROOM } from "./frame.ts";
import { noneMet, withDefaults } from "./limits.ts";
import { Link, type LinkLimits } from "./link.ts";
import { type Slab, SlabPool } from "./slab.ts";
import {
  FakeConnection,
  isSettled,
  pass,
  peer,
  turn,
} from "./_support_test.ts";
import type { SlowLinkPolicy } from "./types.ts";

const protocol = v1();
const LIMITS: LinkLimits = {
  ...withDefaults({}),
  highWaterMark: 100,
  outbox: 1_000,
};

/** What the link told its owner. */
type Call = readonly unknown[];

interface Setup {
  readonly limits?: Partial<LinkLimits>;
  readonly slowLink?: SlowLinkPolicy;
  /** Bytes queued for all links. */
  readonly queued?: { bytes: number };
  readonly received?: (message: Uint8Array) => Promise<void> | undefined;
  /** In place of a clock of its own. */
  readonly clock?: Clock;
}

function setUp(options: Setup = {}) {
  return setUpOver(new FakeConnection(), options);
}

function setUpOver<C extends FakeConnection>(
  connection: C,
  {
    limits,
    slowLink = "drop-newest",
    queued = { bytes: 0 },
    received = () => undefined,
    clock: given,
  }: Setup = {},
) {
  const clock = new VirtualClock();
  const calls: Call[] = [];
  const met = noneMet();
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
    clock: given ?? clock,
    limits: { ...LIMITS, ...limits },
    met,
    slowLink,
    queued,
  });
  return { clock, connection, calls, link, met };
}

/** A data frame of a length, with a number in it. */
function data(number: number, length = 50): Frame {
  const message = new Uint8Array(length);
  protocol.writeHeader("data", message);
  message[4] = number;
  return Frame.of(message);
}

function control(number: number, length = 5): Frame {
  const message = new Uint8Array(length);
  protocol.writeHeader("control", message);
  message[4] = number;
  return Frame.of(message);
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

Deno.test("Link is not slow as long as its peer says that it takes data", async () => {
  const { link, connection, clock, calls } = setUp();
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  for (let i = 0; i < 20; i++) {
    await pass(clock, 900);
    link.progressed();
  }
  assertEquals(calls, []);
  await pass(clock, 1_250);
  assertEquals(calls, [["slow", true]]);
  connection.release();
  link.end("done");
  assertEquals(clock.pending, 0);
});

Deno.test("Link has more patience with a peer that sends data itself", async () => {
  const { link, connection, clock, calls } = setUp({
    received: () => undefined,
  });
  connection.held = true;
  link.start();
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  const slow = () => calls.filter(([what]) => what === "slow").length;
  for (let ms = 0; ms < 3_900; ms += 100) {
    connection.arrive(new Uint8Array(1_000));
    await pass(clock, 100);
  }
  assertEquals(slow(), 0);
  for (let ms = 0; ms < 200; ms += 100) {
    connection.arrive(new Uint8Array(1_000));
    await pass(clock, 100);
  }
  assertEquals(slow(), 1);
  connection.release();
  link.end("done");
  assertEquals(clock.pending, 0);
});

Deno.test("Link tells its peer that it takes data, five times a second", async () => {
  const { link, connection, clock } = setUp();
  link.start();
  const told = () =>
    connection.sent.filter((frame) => protocol.readHeader(frame) === "progress")
      .length;
  for (let i = 0; i < 10; i++) connection.arrive(new Uint8Array(100));
  await turn();
  assertEquals(told(), 0, "small messages need no telling");
  for (let ms = 0; ms < 1_000; ms += 10) {
    connection.arrive(new Uint8Array(1_000));
    await turn();
    clock.tick(10);
  }
  assertEquals(told(), 5);
  clock.tick(60_000);
  assertEquals(told(), 5, "nothing came");
  link.end("done");
  assertEquals(clock.pending, 0);
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

Deno.test("Link does not blame its peer for a pause of this node", async () => {
  const clock = new VirtualClock();
  let paused = 0;
  const { link, connection, calls } = setUpOver(new FakeConnection(), {
    // After a pause, what was due meanwhile comes late.
    clock: {
      now: () => clock.now() + paused,
      after: (delay, callback) => clock.after(delay, callback),
      soon: (callback) => clock.soon(callback),
    },
  });
  connection.held = true;
  for (let i = 0; i < 4; i++) link.send(data(i), "data", 1);
  await pass(clock, 500);
  paused = 60_000;
  await pass(clock, 499);
  assertEquals(calls, []);
  await pass(clock, 1);
  assertEquals(calls, [["slow", true]], "a second of its own has passed");
  paused += 60_000;
  await pass(clock, 8_999);
  assertEquals(calls, [["slow", true]]);
  await pass(clock, 1);
  assertEquals(calls, [["slow", true], ["ended", "it took nothing for 10 s"]]);
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

Deno.test("Link bounds its control lane, and counts what does not fit", () => {
  const { link, connection, met } = setUp({
    limits: { controlOutbox: 100_000 },
  });
  connection.held = true;
  let taken = 0;
  while (link.send(control(1, 1_000), "control", 0)) taken++;
  assert(taken >= 100 && taken < 110, `${taken} were taken`);
  assertEquals(met.controlOutbox, 1);
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

Deno.test("Link reads 256 KiB, then lets the event loop turn", async () => {
  for (
    const connection of [
      new FakeConnection(),
      new FakeInPlace(new FakeFraming(9)),
    ]
  ) {
    let received = 0;
    const { link, clock } = setUpOver(connection, {
      received: () => {
        received++;
        return undefined;
      },
    });
    link.start();
    for (let i = 0; i < 20; i++) connection.arrive(new Uint8Array(60_000));
    const perTurn = Math.ceil(262_144 / 60_000);
    for (let turns = 1; received < 20; turns++) {
      await turn();
      assertEquals(received, Math.min(20, turns * perTurn));
      clock.tick(0);
    }
    link.end("done");
    assertEquals(clock.pending, 0);
  }
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

// -- In place --

/** A framing of two bytes: a number, and the length of the message. */
class FakeFraming implements Framing {
  readonly size = 2;
  /** How many headers it wrote. */
  writes = 0;
  readonly #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  write(frame: Uint8Array): void {
    this.writes++;
    frame.set([this.#number, frame.length - this.size]);
  }
}

/** An in-place connection whose other end is the test. */
class FakeInPlace extends FakeConnection implements InPlaceConnection {
  /** The frames that were sent in place. */
  readonly frames: Uint8Array[] = [];
  /** How messages were asked for, and that they are kept. */
  readonly asked: ("receive" | "borrow" | "keep")[] = [];
  readonly framing: Framing;
  readonly #onTheirWay: ((() => void) | undefined)[] = [];

  constructor(framing: Framing) {
    super();
    this.framing = framing;
  }

  async sendFrame(frame: Uint8Array, done?: () => void): Promise<void> {
    const sending = this.send(frame.subarray(this.framing.size));
    const taken = this.sent.at(-1)?.byteOffset;
    if (taken === frame.byteOffset + this.framing.size) {
      this.frames.push(frame);
      this.#onTheirWay.push(done);
    }
    await sending;
  }

  /** All frames have left. */
  left(): void {
    for (const done of this.#onTheirWay.splice(0)) done?.();
  }

  override receive(): Promise<Uint8Array | null> {
    this.asked.push("receive");
    return super.receive();
  }

  borrow(_options?: ReceiveOptions): Promise<Uint8Array | null> {
    this.asked.push("borrow");
    return super.receive();
  }

  keep(): void {
    this.asked.push("keep");
  }
}

/** A data frame that stands in a slab, held by this test alone. */
function inSlab(pool: SlabPool, number: number): { frame: Frame; slab: Slab } {
  const slab = pool.take(64);
  const bytes = slab.bytes.subarray(7, 7 + FRAMING_ROOM + 10);
  const frame = new Frame(bytes, slab);
  protocol.writeHeader("data", frame.message);
  frame.message[4] = number;
  return { frame, slab };
}

Deno.test("Link sends a frame from where it stands, with one header for all links of a framing", async () => {
  const framing = new FakeFraming(9);
  const pool = new SlabPool();
  const links = [0, 1, 2].map(() => setUpOver(new FakeInPlace(framing)));
  const { frame, slab } = inSlab(pool, 7);
  for (const { link } of links) link.send(frame, "data", 1);
  await turn();
  for (const { link, connection } of links) {
    assertEquals(connection.frames.length, 1);
    const [sent] = connection.frames;
    assertEquals(sent, Uint8Array.of(9, 10, ...frame.message));
    assertStrictEquals(sent?.buffer, slab.bytes.buffer);
    assertEquals(sent?.byteOffset, 7 + FRAMING_ROOM - 2);
    link.end("done");
  }
  assertEquals(framing.writes, 1);
});

Deno.test("Link sends frames of its own in place, too", async () => {
  const { link, connection } = setUpOver(new FakeInPlace(new FakeFraming(9)));
  link.send(control(3), "control", 0);
  link.send(data(4, 10), "data", 1);
  await link.close("enough");
  assertEquals(connection.frames.length, 3);
  assertEquals(connection.frames.map(([number]) => number), [9, 9, 9]);
  assertEquals(shortly(connection.sent), [
    "control 3",
    "data 4",
    "goodbye enough",
  ]);
});

Deno.test("Link needs the memory of a frame until it has left over all links", async () => {
  const framing = new FakeFraming(9);
  const pool = new SlabPool();
  const links = [0, 1].map(() => setUpOver(new FakeInPlace(framing)));
  const { frame, slab } = inSlab(pool, 7);
  for (const { link, connection } of links) {
    // It waits in the queue of the second one.
    if (link === links[1]?.link) {
      connection.held = true;
      link.send(data(1, 10), "data", 1);
    }
    assert(link.send(frame, "data", 1));
  }
  slab.release();
  const isFree = (): boolean => pool.take(64) === slab;
  assert(!isFree());
  await turn();
  links[0]?.connection.left();
  assert(!isFree());
  links[1]?.connection.left();
  assert(!isFree(), "it is still in the queue");
  links[1]?.connection.release();
  await turn();
  assert(!isFree(), "it was handed over, but has not left");
  links[1]?.connection.left();
  assert(isFree());
  for (const { link } of links) link.end("done");
});

Deno.test("Link never frees the memory of a frame that did not leave", async () => {
  for (const how of ["it ends", "it is too long", "it is dropped"]) {
    const { link, connection } = setUpOver(new FakeInPlace(new FakeFraming(9)));
    const pool = new SlabPool();
    const { frame, slab } = inSlab(pool, 7);
    // Somebody else has it, too.
    slab.retain();
    if (how === "it is dropped") {
      connection.held = true;
      while (link.send(data(1), "data", 1));
      assert(!link.send(frame, "data", 1));
    } else {
      if (how === "it is too long") {
        connection.failure = new RangeError("too long");
      } else connection.held = true;
      link.send(frame, "data", 1);
      await turn();
    }
    link.end("done");
    slab.release();
    assert(pool.take(64) !== slab, how);
    slab.release();
    // One that was dropped has never been needed.
    assertEquals(pool.take(64) === slab, how === "it is dropped", how);
  }
});

Deno.test("Link falls back to send where another header stands, or there is no room for one", async () => {
  const pool = new SlabPool();
  const { frame, slab } = inSlab(pool, 7);
  const wide: Framing = { size: FRAMING_ROOM + 1, write: () => {} };
  const links = [new FakeFraming(9), new FakeFraming(8), wide]
    .map((framing) => setUpOver(new FakeInPlace(framing)));
  const plain = setUp();
  for (const { link } of [...links, plain]) {
    assert(link.send(frame, "data", 1));
  }
  slab.release();
  await turn();
  assertEquals(links.map(({ connection }) => connection.frames.length), [
    1,
    0,
    0,
  ]);
  for (const { connection } of [...links, plain]) {
    assertEquals(shortly(connection.sent), ["data 7"]);
  }
  // Nobody knows when the others have sent it.
  for (const { connection } of links) connection.left();
  assert(pool.take(64) !== slab);
  for (const { link } of [...links, plain]) link.end("done");
});

Deno.test("Link loses only the frame that is too long for an in-place connection", async () => {
  const { link, connection, calls } = setUpOver(
    new FakeInPlace(new FakeFraming(9)),
  );
  connection.failure = new RangeError("too long");
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  await turn();
  assertEquals(shortly(connection.sent), ["data 1", "data 2"]);
  assertEquals(calls, [["oversized", "too long"]]);
  assertEquals(link.queued, 0);
  link.end("done");
});

/** How a link reads, where its owner keeps what `keeps` says, bundle by bundle. */
async function readBy(
  connection: FakeConnection,
  keeps: readonly (boolean | null)[],
): Promise<boolean[]> {
  const lents: boolean[] = [];
  const link = new Link({
    received(link, _message, lent) {
      const keep = keeps[lents.length] ?? null;
      lents.push(lent);
      if (keep !== null) link.kept(keep);
      return undefined;
    },
    congestion: () => {},
    slow: () => {},
    oversized: () => {},
    ended: () => {},
  }, {
    peer: peer("ada"),
    connection,
    maxMessage: 1_048_576,
    protocol,
    clock: new VirtualClock(),
    limits: LIMITS,
    met: noneMet(),
    slowLink: "drop-newest",
    queued: { bytes: 0 },
  });
  link.start();
  for (let number = 0; number < keeps.length; number++) {
    connection.arrive(Uint8Array.of(number));
    await turn();
  }
  link.end("done");
  await turn();
  return lents;
}

Deno.test("Link borrows messages as long as nobody keeps views of them", async () => {
  const connection = new FakeInPlace(new FakeFraming(9));
  const lents = await readBy(connection, [
    null,
    false,
    true, // kept; the next is copied out
    null,
    true,
    false, // borrowed again from here on
    null,
  ]);
  assertEquals(lents, [true, true, true, false, false, false, true]);
  assertEquals(connection.asked, [
    ...["borrow", "borrow", "borrow", "keep"],
    ...["receive", "receive", "keep", "receive", "borrow", "borrow"],
  ]);
});

Deno.test("Link lends nothing where its connection does not", async () => {
  const lents = await readBy(new FakeConnection(), [null, true, false, null]);
  assertEquals(lents, [false, false, false, false]);
});

/** A connection on which a message is arriving. */
class FakeArriving extends FakeConnection {
  arriving: { message: number; bytes: number } | null = null;
}

Deno.test("Link ends when a message takes longer than 10 s to arrive", () => {
  const connection = new FakeArriving();
  const { link, calls, met } = setUpOver(connection);
  for (let second = 0; second < 10; second++) {
    connection.arriving = { message: 1, bytes: 1 + 4_096 * second };
    link.look(1_000);
  }
  assertEquals(calls, []);
  link.look(1_000);
  assertEquals(calls, [["ended", "a message took longer than 10 s to arrive"]]);
  assertEquals([met.frameTime, met.frameRate], [1, 0]);
});

Deno.test("Link ends when a message trickles in", () => {
  const connection = new FakeArriving();
  const { link, calls, met } = setUpOver(connection);
  connection.arriving = { message: 1, bytes: 5_000 };
  for (let second = 0; second < 5; second++) link.look(1_000);
  assertEquals(calls, []);
  link.look(1_000);
  assertEquals(calls, [
    ["ended", "a message arrived at less than 1024 bytes per second"],
  ]);
  assertEquals([met.frameTime, met.frameRate], [0, 1]);
});

Deno.test("Link does not mind messages that arrive in time, nor a pause between them", () => {
  const connection = new FakeArriving();
  const { link, calls } = setUpOver(connection);
  for (let second = 0; second < 60; second++) {
    connection.arriving = second % 7 === 6
      ? null
      : { message: Math.floor(second / 4), bytes: 1 };
    link.look(1_000);
  }
  assertEquals(calls, []);
  link.end("done");
});

Deno.test("Link that is to wait lets senders wait, and ends after 10 s in any case", async () => {
  const { link, connection, clock, calls } = setUp({ slowLink: "wait" });
  connection.held = true;
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  await pass(clock, 9_000);
  assertEquals(calls, [["slow", true]]);
  assert(link.congested);
  assert(!link.dropping);
  assert(link.send(data(3), "data", 1), "there is room in the outbox");
  assert(!await isSettled(link.room()));
  await pass(clock, 2_000);
  assertEquals(calls.at(-1), ["ended", "it took nothing for 10 s"]);
});

Deno.test("Link that is to wait drops what nobody waits for above its outbox", async () => {
  const { link, connection, clock } = setUp({ slowLink: "wait" });
  connection.held = true;
  for (let i = 0; i < 20; i++) link.send(data(i), "data", 1);
  assert(!link.send(data(20), "data", 1));
  connection.release();
  await pass(clock, 100);
  assert(shortly(connection.sent).some((sent) => sent.startsWith("gap")));
  link.end("done");
});

Deno.test("Link that is to close ends after a second without progress", async () => {
  const { link, connection, clock, calls } = setUp({ slowLink: "close" });
  connection.held = true;
  for (let i = 0; i < 3; i++) link.send(data(i), "data", 1);
  await pass(clock, 1_250);
  assertEquals(calls, [["slow", true], ["ended", "it took nothing for 1 s"]]);
});

Deno.test("Link that is to close ends above its outbox", () => {
  const { link, connection, calls, met } = setUp({ slowLink: "close" });
  connection.held = true;
  for (let i = 0; i < 22; i++) link.send(data(i), "data", 1);
  assertEquals(calls, [["ended", "more is queued for it than may be"]]);
  assertEquals(met.outbox, 1);
});

Deno.test("Link drops above a number of bundles", () => {
  const { link, connection, met } = setUp({ limits: { outboxFrames: 3 } });
  connection.held = true;
  const taken = [1, 2, 3, 4, 5, 6].map((i) => link.send(data(i, 5), "data", 1));
  // The first one is on its way.
  assertEquals(taken, [true, true, true, true, false, false]);
  assertEquals(met.outboxFrames, 1);
  link.end("done");
});

Deno.test("Link drops while all links hold too much, but not below its high-water mark", () => {
  const queued = { bytes: 0 };
  const limits = { outboxTotal: 300 };
  const one = setUp({ limits, queued });
  const two = setUp({ limits, queued });
  one.connection.held = two.connection.held = true;
  for (let i = 0; i < 5; i++) assert(one.link.send(data(i), "data", 1));
  assertEquals(queued.bytes, 250);
  // Below its own mark: whoever waits for its links must lose nothing.
  assert(two.link.send(data(0), "data", 1));
  assert(two.link.send(data(1), "data", 1));
  assert(!two.link.send(data(2), "data", 1));
  assertEquals(two.met.outboxTotal, 1);
  one.link.end("done");
  assertEquals(queued.bytes, 100);
  two.link.end("done");
  assertEquals(queued.bytes, 0);
});

Deno.test("Link.answers() asks once for a sign of life, and waits for it", async () => {
  const { link, connection } = setUp();
  const first = link.answers(500);
  const second = link.answers(500);
  await turn();
  assertEquals(connection.sent.map((frame) => protocol.readHeader(frame)), [
    "echo",
  ]);
  link.echoed();
  assertEquals([await first, await second], [true, true]);
  const third = link.answers(500);
  link.end("over");
  assertEquals([await third, await link.answers(500)], [false, false]);
});

Deno.test("Link.answers() is over in time, and a late answer means nothing", async () => {
  const { link, clock } = setUp();
  const first = link.answers(500);
  clock.tick(499);
  assertEquals(await isSettled(first), false);
  clock.tick(1);
  assertEquals(await first, false);
  link.echoed();
  const second = link.answers(500);
  assertEquals(await isSettled(second), false);
  link.echoed();
  assertEquals(await second, true);
});

Deno.test("Link.answers() does not hold a pause of this node against its peer", async () => {
  const virtual = new VirtualClock();
  let behind = 0;
  const { link } = setUp({
    clock: {
      now: () => virtual.now() + behind,
      after: (delay, callback) => virtual.after(delay, callback),
      soon: (callback) => virtual.soon(callback),
    },
  });
  const answer = link.answers(500);
  behind = 2_000;
  virtual.tick(500);
  assertEquals(await isSettled(answer), false);
  link.echoed();
  assertEquals(await answer, true);
});

Deno.test("Link.echo() gives a sign of life, in front of events", async () => {
  const { link, connection } = setUp();
  connection.held = true;
  link.send(data(1), "data", 1);
  link.send(data(2), "data", 1);
  link.echo();
  connection.release();
  await turn();
  assertEquals(shortly(connection.sent), [
    "data 1",
    "echoed undefined",
    "data 2",
  ]);
});
