import { assert, assertEquals, assertThrows } from "@std/assert";
import { memory } from "@devts/transport/memory";
import { pairOver, pass, TestClock, turn } from "./_support_test.ts";
import { limit, type LimitOptions } from "./limit.ts";

async function setUp(options: Omit<LimitOptions, "clock">) {
  const clock = new TestClock();
  const [near, far] = await pairOver(memory());
  const link = limit({ ...options, clock })(near, { id: "bob" });
  return { clock, link, far };
}

Deno.test("limit() lets a burst pass, then so many messages per second, in both directions", async () => {
  const { clock, link, far } = await setUp({
    send: { messages: 10, burst: 0.5 },
    receive: { messages: 20, burst: 0.5 },
  });
  let sent = 0;
  let received = 0;
  const sending = (async () => {
    for (; sent < 30; sent++) await link.send(new Uint8Array(1));
  })();
  const receiving = (async () => {
    for await (const _ of link) received++;
  })();
  for (let i = 0; i < 30; i++) await far.send(new Uint8Array(1));
  await turn();
  assertEquals([sent, received], [5, 10]);
  await pass(clock, 1_000);
  assertEquals([sent, received], [15, 30]);
  await pass(clock, 1_500);
  await sending;
  assertEquals(sent, 30);
  await link.close();
  await receiving;
  await far.close();
});

Deno.test("limit() counts bytes, and a message larger than a burst passes", async () => {
  const { clock, link, far } = await setUp({
    send: { bytes: 1_000, burst: 1 },
  });
  const times: number[] = [];
  for (const size of [5_000, 1_000, 1_000]) {
    const sending = link.send(new Uint8Array(size));
    sending.then(() => times.push(clock.now()));
    await turn();
  }
  await pass(clock, 7_000);
  // The debt of the first is what the second waits for.
  assertEquals(times, [0, 5_000, 6_000]);
  await Promise.all([link.close(), far.close()]);
});

Deno.test("limit() keeps the order, whatever the lengths", async () => {
  const { clock, link, far } = await setUp({ send: { bytes: 1_000 } });
  for (const size of [900, 900, 1, 1, 800]) {
    link.send(new Uint8Array(size)).catch(() => {});
  }
  const sizes: number[] = [];
  const receiving = (async () => {
    for await (const message of far) sizes.push(message.length);
  })();
  await pass(clock, 3_000);
  assertEquals(sizes, [900, 900, 1, 1, 800]);
  await link.close();
  await receiving;
  await far.close();
});

Deno.test("limit() does not hold up a close", async () => {
  const { link, far } = await setUp({ send: { messages: 0.001 } });
  await link.send(new Uint8Array(1));
  const waiting = link.send(new Uint8Array(1));
  let settled = false;
  waiting.then(() => settled = true, () => settled = true);
  await turn();
  assert(!settled);
  await link.close();
  await turn();
  assert(settled);
  await far.close();
});

Deno.test("limit() without limits gives each its own way", async () => {
  const { link, far } = await setUp({});
  await link.send(new Uint8Array(3));
  assertEquals((await far.receive())?.length, 3);
  await Promise.all([link.close(), far.close()]);
});

Deno.test("limit() refuses rates that make no sense", () => {
  for (
    const rate of [{ messages: 0 }, { bytes: -1 }, { burst: 0 }, { bytes: NaN }]
  ) {
    assertThrows(() => limit({ send: rate }), RangeError);
    assertThrows(() => limit({ receive: rate }), RangeError);
  }
});
