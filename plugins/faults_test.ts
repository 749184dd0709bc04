import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionError } from "@devts/transport";
import { memory } from "@devts/transport/memory";
import { accept, pairOver, pass, TestClock, turn } from "./_support_test.ts";
import { type FaultOptions, faults } from "./faults.ts";
import { withPlugins } from "./with_plugins.ts";

async function setUp(options: FaultOptions) {
  const clock = new TestClock();
  const network = faults({ clock, ...options });
  const transport = withPlugins(memory(), network.plugin);
  const [near, far] = await pairOver(transport);
  const arrived: [at: number, byte: number | undefined][] = [];
  const receiving = (async () => {
    try {
      for await (const message of far) arrived.push([clock.now(), message[0]]);
    } catch {
      // It was cut.
    }
  })();
  return { clock, network, transport, near, far, arrived, receiving };
}

Deno.test("faults() changes nothing by itself", async () => {
  const { near, far, arrived, receiving } = await setUp({});
  for (let i = 0; i < 5; i++) await near.send(Uint8Array.of(i));
  await near.close();
  await receiving;
  await far.close();
  assertEquals(arrived.map(([, byte]) => byte), [0, 1, 2, 3, 4]);
});

Deno.test("faults() delays messages, which stay in order and may be written to meanwhile", async () => {
  const { clock, near, far, arrived, receiving } = await setUp({
    delay: [10, 50],
    seed: 3,
  });
  const message = new Uint8Array(1);
  for (let i = 0; i < 20; i++) {
    message[0] = i;
    await near.send(message);
  }
  await pass(clock, 9);
  assertEquals(arrived, []);
  await pass(clock, 41);
  assertEquals(arrived.map(([, byte]) => byte), [...Array(20).keys()]);
  assert(arrived.every(([at]) => at >= 10 && at <= 50));
  await near.close();
  await receiving;
  await far.close();
});

Deno.test("faults() slows a connection down, and makes its sender wait", async () => {
  const { clock, near, far, arrived, receiving } = await setUp({
    rate: 1_000_000,
  });
  let sent = 0;
  const sending = (async () => {
    for (; sent < 40; sent++) await near.send(new Uint8Array(100_000));
  })();
  await pass(clock, 1_000);
  assertEquals(arrived.length, 10);
  assert(sent >= 10 && sent <= 22, `${sent} were sent`);
  await pass(clock, 3_000);
  await sending;
  assertEquals(arrived.length, 40);
  await near.close();
  await receiving;
  await far.close();
});

Deno.test("faults() cuts connections by chance, the same for the same seed", async () => {
  const ends: number[] = [];
  for (let run = 0; run < 2; run++) {
    const { near, far, receiving } = await setUp({ cut: 0.05, seed: 7 });
    let count = 0;
    await assertRejects(
      async () => {
        for (; count < 1_000; count++) await near.send(new Uint8Array(1));
      },
      ConnectionError,
    );
    ends.push(count);
    await receiving;
    await Promise.all([near.close(), far.close()]);
  }
  assertEquals(ends[0], ends[1]);
  assert((ends[0] ?? 0) < 200);
});

Deno.test("faults() cuts all connections when told to, and loses what is under way", async () => {
  const { clock, network, near, far, arrived, receiving } = await setUp({
    delay: 10,
  });
  await near.send(Uint8Array.of(1));
  await pass(clock, 10);
  await near.send(Uint8Array.of(2));
  assertEquals(network.cut(), 2);
  await pass(clock, 20);
  await receiving;
  assertEquals(arrived, [[10, 1]]);
  await assertRejects(() => near.send(Uint8Array.of(3)), ConnectionError);
  await Promise.all([near.close(), far.close()]);
  assertEquals(network.cut(), 0);
});

Deno.test("faults() closes in order once what is under way has arrived", async () => {
  const { clock, near, far, arrived, receiving } = await setUp({ delay: 100 });
  await near.send(Uint8Array.of(1));
  const closing = near.close();
  await pass(clock, 100);
  await closing;
  await receiving;
  assertEquals(arrived, [[100, 1]]);
  await far.close();
});

Deno.test("faults() refuses dials, until it is told otherwise", async () => {
  const network = faults({ refuse: 1 });
  const transport = withPlugins(memory(), network.plugin);
  await using listener = await transport.listen("memory://inbox");
  await assertRejects(
    () => transport.connect(listener.address),
    ConnectionError,
    "a fault was injected",
  );
  network.set({ refuse: 0 });
  const [near, far] = await Promise.all([
    transport.connect(listener.address),
    accept(listener),
  ]);
  await Promise.all([near.close(), far.close()]);
  await turn();
});

Deno.test("faults() with refuse and cut of 1 also breaks what others dial", async () => {
  const plain = memory();
  const network = faults({ refuse: 1, cut: 1 });
  const parted = withPlugins(plain, network.plugin);
  await using listener = await parted.listen("memory://parted");
  const [dialled, accepted] = await Promise.all([
    plain.connect(listener.address),
    accept(listener),
  ]);
  await assertRejects(() => accepted.send(new Uint8Array(1)), ConnectionError);
  // No goodbye: the other end gets nothing, and then the end or an error.
  assertEquals(await dialled.receive().catch(() => null), null);
  await Promise.all([dialled.close(), accepted.close()]);
  await turn();
});

Deno.test("faults() refuses settings that make no sense", () => {
  for (
    const settings of [
      { delay: -1 },
      { delay: NaN },
      { delay: [5, 4] as const },
      { rate: 0 },
      { cut: 1.5 },
      { refuse: -0.1 },
    ]
  ) {
    assertThrows(() => faults(settings), RangeError);
    assertThrows(() => faults().set(settings), RangeError);
  }
});
