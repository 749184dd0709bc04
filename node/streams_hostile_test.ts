/** Members that do not keep to the rules of streams. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { StreamError } from "./errors.ts";
import type { Stream } from "./stream.ts";
import { Streams } from "./streams.ts";
import {
  ACCEPT,
  acceptFrame,
  BYTES,
  CREDIT,
  DATA,
  DATA_HEADER,
  END,
  FRAME_HEADER,
  numbersFrame,
  OPEN,
  openFrame,
  PROBE,
  readReset,
  readUint32,
  readUint53,
  RESET,
  writeFrameHeader,
  writeUint32,
  writeUint53,
  YOURS,
} from "./stream_wire.ts";
import { noneMet } from "./limits.ts";
import { msgpackr } from "@devts/protocol/msgpackr";
import { seededRandom, VirtualClock } from "@devts/routing/testing";
import { turn } from "./_support_test.ts";

const NAME = new TextEncoder().encode("talk");
const MIB = 1_048_576;

/** The streams of one node; the test is its peers. */
class Scene {
  readonly clock = new VirtualClock();
  /** What it sent, frame by frame. */
  readonly sent: Uint8Array[] = [];
  readonly taken: Stream[] = [];
  readonly met = noneMet();
  readonly counts = {
    streamsOpened: 0,
    streamsAccepted: 0,
    streamsRefused: 0,
    streamsFailed: 0,
  };
  readonly streams: Streams;

  constructor(handler: (stream: Stream) => unknown = () => {}) {
    this.streams = new Streams({
      clock: this.clock,
      random: seededRandom(1),
      codec: msgpackr(),
      headroom: 0,
      streams: 1_024,
      longest: 16 * MIB,
      counts: this.counts,
      met: this.met,
      signal: new AbortController().signal,
      ship: (_to, message) => {
        this.sent.push(message.slice());
        return true;
      },
      hasRoom: () => true,
      isDirect: () => true,
      failed: () => {},
      quiet: (promise) => {
        promise.catch(() => {});
        return promise;
      },
    });
    this.streams.handle("talk", (stream) => {
      this.taken.push(stream);
      return handler(stream);
    });
  }

  take(frame: Uint8Array, from = "eve"): void {
    this.streams.take(from, frame, false);
  }

  /** Opens a stream here, and accepts it. */
  async opened(): Promise<Stream> {
    const opening = this.streams.open("eve", "talk", NAME, 1_000, undefined);
    const id = readUint32(this.sent.at(-1) ?? NAME, 2);
    this.take(acceptFrame(id, MIB, MIB));
    return await opening;
  }

  /** Frames of a type that it sent. */
  of(type: number): Uint8Array[] {
    return this.sent.filter((frame) => ((frame[1] ?? 0) & ~YOURS) === type);
  }
}

/** A piece of a stream that the peer opened. */
function piece(id: number, offset: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(DATA_HEADER + bytes.length);
  const at = writeFrameHeader(frame, 0, DATA, id);
  writeUint53(frame, at, offset);
  frame.set(bytes, DATA_HEADER);
  return frame;
}

/** A message as it stands in the sequence; `announced`: what it says of its length. */
function message(length: number, announced = length): Uint8Array {
  const bytes = new Uint8Array(5 + length);
  bytes[0] = BYTES;
  writeUint32(bytes, 1, announced);
  return bytes;
}

function throws(work: () => void): string {
  try {
    work();
  } catch (error) {
    assert(error instanceof SyntaxError, String(error));
    return error.message;
  }
  throw new Error("It does not throw");
}

Deno.test("Streams end the link of a peer that sends more than it may", async () => {
  const scene = new Scene();
  scene.take(openFrame(7, MIB, MIB, NAME));
  const [stream] = scene.taken;
  const limit = readUint53(scene.of(ACCEPT)[0] ?? NAME, FRAME_HEADER);
  const most = message(limit - 5);
  scene.take(piece(7, 0, most));
  const text = throws(() => scene.take(piece(7, limit, message(1))));
  assert(text.includes("more than it may"), text);
  const error = await assertRejects(
    async () => await stream?.closed,
    StreamError,
  );
  assertEquals(error.reason, "violation");
  assertEquals(readReset(scene.of(RESET)[0] ?? NAME).code, "violation");
});

Deno.test("Streams end the link of a peer that acknowledges what was never sent", async () => {
  const scene = new Scene();
  const stream = await scene.opened();
  const id = readUint32(scene.of(OPEN)[0] ?? NAME, 2);
  throws(() => scene.take(numbersFrame(CREDIT | YOURS, id, 1, MIB)));
  await assertRejects(() => stream.closed, StreamError, "never sent");
});

Deno.test("Streams take no message longer than the limit, on sight of its length", async () => {
  const scene = new Scene();
  scene.take(openFrame(7, MIB, MIB, NAME));
  const text = throws(() => scene.take(piece(7, 0, message(0, 16 * MIB + 1))));
  assert(text.includes("at most 16777216"), text);
  assertEquals(scene.met.streamMessage, 1);
  const [stream] = scene.taken;
  await assertRejects(async () => await stream?.receive(), StreamError);
});

Deno.test("Streams take no malformed frames", () => {
  const scene = new Scene();
  scene.take(openFrame(7, MIB, MIB, NAME));
  const frames: readonly Uint8Array[] = [
    Uint8Array.of(3, DATA),
    Uint8Array.of(3, DATA, 0, 0, 0, 7),
    Uint8Array.of(3, CREDIT, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1),
    Uint8Array.of(3, END, 0, 0, 0, 7, 255, 255, 255, 255, 255, 255, 255, 255),
    Uint8Array.of(3, RESET, 0, 0, 0, 7),
    Uint8Array.of(3, OPEN, 0, 0, 0, 8, 0, 0),
    openFrame(8, MIB, MIB, new Uint8Array(0)),
    openFrame(8, MIB, MIB, new Uint8Array(300)),
    openFrame(8, MIB, MIB, Uint8Array.of(0xff)),
    openFrame(7, MIB, MIB, NAME), // it is open already
  ];
  for (const frame of frames) throws(() => scene.take(frame));
  // A type of a later version.
  scene.take(Uint8Array.of(3, 100, 0, 0, 0, 7));
  assertEquals(scene.taken.length, 1);
});

Deno.test("Streams fail, and say so, where something is missing or comes twice", async () => {
  const second = [100, 3, 0];
  for (const offset of second) {
    const scene = new Scene();
    scene.take(openFrame(7, MIB, MIB, NAME));
    const bytes = message(45);
    scene.take(piece(7, 0, bytes));
    const [stream] = scene.taken;
    assert(stream);
    scene.take(piece(7, offset, bytes));
    const error = await assertRejects(() => stream.closed, StreamError);
    assertEquals(error.reason, "lost");
    assertEquals(readReset(scene.of(RESET)[0] ?? NAME).code, "lost");
    // What is still on its way is not answered.
    scene.sent.length = 0;
    scene.take(piece(7, 150, bytes));
    assertEquals(scene.sent, []);
  }
});

Deno.test("Streams answer frames of streams that they do not know, and keep nothing of them", () => {
  const scene = new Scene();
  for (let id = 0; id < 10_000; id++) scene.take(piece(id, 0, message(1)));
  assertEquals(scene.of(RESET).length, 10_000);
  scene.sent.length = 0;
  scene.take(numbersFrame(CREDIT, 1, 0, 0));
  scene.take(Uint8Array.of(3, RESET, 0, 0, 0, 1, 0));
  assertEquals(scene.sent, []); // no answer to an answer
});

Deno.test("Streams bound a flood of opens, also where each is reset at once", () => {
  const scene = new Scene(() => new Promise(() => {})); // it never ends
  for (let id = 0; id < 5_000; id++) {
    scene.take(openFrame(id, MIB, MIB, NAME));
    scene.take(Uint8Array.of(3, RESET, 0, 0, id >>> 8, id & 255, 0));
  }
  assertEquals(scene.taken.length, 1_024);
  assertEquals(scene.counts.streamsRefused, 5_000 - 1_024);
  assertEquals(scene.met.streams, 5_000 - 1_024);
});

Deno.test("Streams bound what one peer may send before it is received", () => {
  const scene = new Scene();
  for (let id = 0; id < 1_024; id++) scene.take(openFrame(id, MIB, MIB, NAME));
  const credit = scene.of(ACCEPT)
    .map((frame) => readUint53(frame, FRAME_HEADER))
    .reduce((a, b) => a + b, 0);
  assert(credit <= 32 * MIB + 1_024 * 16_384, `${credit}`);
  // What each announces reserves nothing, but for one, which may go beyond its credit.
  let longer = 0;
  for (let id = 0; id < 1_024; id++) {
    const before = scene.of(CREDIT).length;
    scene.take(piece(id, 0, message(10, 16 * MIB)));
    if (scene.of(CREDIT).length > before) longer++;
  }
  assert(longer <= 1, `${longer}`);
});

Deno.test("Streams take one peer's longest messages once the program has received others", async () => {
  const scene = new Scene(() => new Promise(() => {}));
  const limits = new Map<number, number>();
  const sent = new Map<number, number>();
  const long = message(16 * MIB);
  for (let id = 0; id < 8; id++) {
    scene.take(openFrame(id, MIB, MIB, NAME));
    sent.set(id, 0);
  }
  /** Sends all that may be sent of one message of each stream. */
  function sendAll(): void {
    for (let before = -1; before !== total();) {
      before = total();
      for (const frame of [...scene.of(ACCEPT), ...scene.of(CREDIT)]) {
        const isCredit = ((frame[1] ?? 0) & ~YOURS) === CREDIT;
        const at = FRAME_HEADER + (isCredit ? 8 : 0);
        const id = readUint32(frame, 2);
        limits.set(id, Math.max(limits.get(id) ?? 0, readUint53(frame, at)));
      }
      scene.sent.length = 0;
      for (const [id, offset] of sent) {
        const end = Math.min(limits.get(id) ?? 0, long.length);
        for (let at = offset; at < end; at += 65_536) {
          const part = long.subarray(at, Math.min(end, at + 65_536));
          scene.take(piece(id, at, part));
        }
        sent.set(id, end);
      }
    }
  }
  const total = (): number => [...sent.values()].reduce((a, b) => a + b, 0);
  sendAll();
  const whole = [...sent].filter(([, bytes]) => bytes === long.length);
  assertEquals(whole.length, 1);
  assert(total() <= 32 * MIB + 8 * 16_384, `${total()}`);
  // Each that is received makes room for the next.
  for (let received = 1; received <= 8; received++) {
    const next = scene.taken.find((_, id) => sent.get(id) === long.length);
    assert(next);
    const bytes = await next.receive();
    assert(bytes instanceof Uint8Array && bytes.length === 16 * MIB);
    sent.delete(scene.taken.indexOf(next));
    sendAll();
  }
  assertEquals(sent.size, 0);
});

Deno.test("Streams give up a peer that neither acknowledges nor answers", async () => {
  const scene = new Scene();
  const stream = await scene.opened();
  stream.send(new Uint8Array(1_000));
  await turn();
  scene.clock.tick(25_000);
  assert(scene.of(PROBE).length > 0);
  const error = await assertRejects(() => stream.closed, StreamError);
  assertEquals(error.reason, "timeout");
});

Deno.test("Streams keep little for a peer that never reads, and answers", async () => {
  const scene = new Scene();
  const stream = await scene.opened();
  const id = readUint32(scene.of(OPEN)[0] ?? NAME, 2);
  let room = 0;
  const sending = (async () => {
    for (; room < 1_000; room++) await stream.send(new Uint8Array(100_000));
  })();
  sending.catch(() => {});
  for (let i = 0; i < 100; i++) {
    await turn();
    scene.clock.tick(1_000);
    scene.take(numbersFrame(CREDIT | YOURS, id, 0, MIB));
  }
  assert(room <= 13, `${room}`); // 1 MiB of credit, and a piece
  assertEquals(scene.counts.streamsFailed, 0);
  scene.streams.close();
  await assertRejects(() => sending, StreamError);
});

Deno.test("Streams remember what has come of a stream that is over", async () => {
  const scene = new Scene((stream) => stream.close());
  scene.take(openFrame(7, MIB, MIB, NAME));
  scene.take(numbersFrame(END, 7, 0));
  scene.take(numbersFrame(CREDIT, 7, 1, MIB));
  await scene.taken[0]?.closed;
  scene.sent.length = 0;
  // The acknowledgement of its end was lost.
  scene.take(numbersFrame(PROBE, 7, 1));
  assertEquals(readUint53(scene.of(CREDIT)[0] ?? NAME, FRAME_HEADER), 1);
  // Of one that failed, nothing is claimed.
  scene.take(numbersFrame(PROBE, 7, 2));
  assertEquals(readReset(scene.of(RESET)[0] ?? NAME).code, "unknown");
});
