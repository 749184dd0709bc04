import { assertEquals } from "@std/assert";
import { type Carrier, Outbox } from "./_nats_outbox.ts";
import { VirtualClock } from "./testing.ts";

const MIB = 1_048_576;

/** A connection that keeps what it is given, and confirms when it is told. */
class TestCarrier implements Carrier {
  readonly info = { max_payload: MIB };
  /** The subjects of what was published. */
  readonly published: string[] = [];
  #flushes: PromiseWithResolvers<void>[] = [];

  publish(subject: string): void {
    this.published.push(subject);
  }

  flush(): Promise<void> {
    const flush = Promise.withResolvers<void>();
    this.#flushes.push(flush);
    return flush.promise;
  }

  /** The server has taken all so far. */
  async confirm(): Promise<void> {
    for (const { resolve } of this.#flushes.splice(0)) resolve();
    await settled();
  }
}

function setUp(maxPending = MIB) {
  const clock = new VirtualClock();
  const counters = { dropped: 0, oversized: 0, failed: 0 };
  let resumed = 0;
  const outbox = new Outbox({
    clock,
    maxPending,
    counters,
    resumed: () => resumed++,
  });
  return { clock, counters, outbox, timesResumed: () => resumed };
}

function data(subject: string, number: number, length = 1) {
  return { subject, bytes: new Uint8Array(length), to: null, number };
}

/** Promises have settled that can. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

Deno.test("Outbox keeps data until there is a connection, and drops what is of no use later", () => {
  const { outbox, counters } = setUp();
  assertEquals(outbox.control("news", new Uint8Array(1)), false);
  assertEquals(outbox.data(data("a", 1)), true);
  assertEquals([outbox.flows, outbox.room], [false, null]);
  const carrier = new TestCarrier();
  outbox.reconnected(carrier);
  assertEquals(carrier.published, []);
  outbox.resume();
  assertEquals(carrier.published, ["a"]);
  assertEquals(counters, { dropped: 0, oversized: 0, failed: 0 });
});

Deno.test("Outbox sends again what was not confirmed, in order, once it is resumed", async () => {
  const { outbox, timesResumed } = setUp();
  const first = new TestCarrier();
  outbox.connected(first);
  outbox.data(data("a", 1));
  await first.confirm();
  outbox.data(data("b", 2));
  outbox.control("news", new Uint8Array(1));
  assertEquals(first.published, ["a", "b", "news"]);
  outbox.disconnected();
  outbox.data(data("c", 3));

  const second = new TestCarrier();
  outbox.reconnected(second);
  outbox.data(data("d", 4));
  outbox.control("here", new Uint8Array(1));
  assertEquals(second.published, ["here"]);
  assertEquals([outbox.left(null, 4), timesResumed()], [1, 0]);
  outbox.resume();
  assertEquals(second.published, ["here", "b", "c", "d"]);
  assertEquals([outbox.left(null, 4), timesResumed()], [4, 1]);
});

Deno.test("Outbox holds data back for a second at most", () => {
  const { clock, outbox } = setUp();
  const carrier = new TestCarrier();
  outbox.data(data("a", 1));
  outbox.reconnected(carrier);
  clock.tick(999);
  assertEquals([outbox.flows, carrier.published], [false, []]);
  clock.tick(1);
  assertEquals([outbox.flows, carrier.published], [true, ["a"]]);
});

Deno.test("Outbox bounds what waits, and counts what it drops", async () => {
  const { outbox, counters } = setUp(2 * MIB);
  const carrier = new TestCarrier();
  outbox.connected(carrier);
  const size = 0.75 * MIB;
  assertEquals(outbox.data(data("a", 1, size)), true);
  assertEquals(outbox.room, null);
  assertEquals(outbox.data(data("b", 2, size)), true);
  assertEquals(outbox.data(data("c", 3, size)), false);
  assertEquals(counters.dropped, 1);
  // The control lane has 1 MiB more.
  assertEquals(outbox.control("news", new Uint8Array(size)), true);
  assertEquals(outbox.isOversized(new Uint8Array(MIB + 1)), true);
  assertEquals(counters.oversized, 1);

  let hasRoom = false;
  outbox.room?.then(() => hasRoom = true);
  await settled();
  assertEquals(hasRoom, false);
  // The first question was asked after the first packet.
  await carrier.confirm();
  assertEquals(hasRoom, false);
  await carrier.confirm();
  assertEquals(hasRoom, true);
});

Deno.test("Outbox gives room to who waits for it when the connection breaks", async () => {
  const { outbox } = setUp(4 * MIB);
  outbox.connected(new TestCarrier());
  for (const number of [1, 2, 3]) outbox.data(data("a", number, 0.75 * MIB));
  const { room } = outbox;
  outbox.disconnected();
  await room;
  assertEquals(outbox.room, null);
});
