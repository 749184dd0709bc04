import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Connection,
  ConnectionError,
  wrapConnection,
} from "@devts/transport";
import { memory, MemoryNetwork } from "@devts/transport/memory";
import fc from "fast-check";
import { pairOver, turn } from "./_support_test.ts";
import { compress } from "./compress.ts";

const KIB = 1_024;
const MIB = KIB * KIB;

/** Both ends of a connection, and how long what passes is below the plugin. */
async function setUp(
  near: (connection: Connection) => Connection,
  far: (connection: Connection) => Connection,
) {
  const [dialled, accepted] = await pairOver(memory(new MemoryNetwork()));
  const lengths: number[] = [];
  const counted = wrapConnection(dialled, {
    send(message) {
      lengths.push(message.length);
      return dialled.send(message);
    },
  });
  return { near: near(counted), far: far(accepted), lengths };
}

const plain = (connection: Connection): Connection => connection;
const packed = (connection: Connection): Connection =>
  compress()(connection, { id: "bob" });

/** Bytes that pack to about a fourth. */
function text(length: number): Uint8Array {
  const words = "the quick brown fox jumps over the lazy dog and on it goes ";
  let seed = 1;
  return Uint8Array.from({ length }, (_, i) => {
    if (i % 8 === 0) seed = seed * 1_103_515_245 + 12_345 & 0x7fffffff;
    return words.charCodeAt((seed >> 8) + i & 31);
  });
}

/** Lets one message go each way, so that each end knows of the other. */
async function meet(near: Connection, far: Connection): Promise<void> {
  await far.send(Uint8Array.of(1));
  await near.receive();
  await near.send(Uint8Array.of(1));
  await far.receive();
}

/** The other end says that it unpacks, and then sends what is given. */
async function attack(message: Uint8Array): Promise<Connection> {
  const { near, far } = await setUp(plain, packed);
  await near.send(message);
  await near.close();
  return far;
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream()
    .pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function compressed(body: Uint8Array): Uint8Array {
  return Uint8Array.of(0xa1, 0, 0, 0, ...body);
}

Deno.test("compress() sends less, and gives what was sent, in order", async () => {
  const { near, far, lengths } = await setUp(packed, packed);
  await meet(near, far);
  const messages = [10, 1_023, 1_024, 50_000, 5, MIB].map(text);
  lengths.length = 0;
  const sending = (async () => {
    for (const message of messages) await near.send(message);
    await near.close();
  })();
  const received = await Array.fromAsync(far);
  await sending;
  assertEquals(
    received.map(({ length }) => length),
    messages.map(({ length }) => length),
  );
  for (const [index, message] of messages.entries()) {
    assert(message.every((byte, at) => byte === received[index]?.[at]));
  }
  assertEquals([lengths[0], lengths[1], lengths[4]], [10, 1_023, 5]);
  for (const index of [2, 3, 5]) {
    const [packed = 0, whole = 0] = [lengths[index], messages[index]?.length];
    assert(packed < whole * 0.7, `${packed} of ${whole}`);
  }
  await far.close();
});

Deno.test("compress() leaves alone what does not get shorter, and what gets too short", async () => {
  const { near, far, lengths } = await setUp(packed, packed);
  await meet(near, far);
  lengths.length = 0;
  const noise = crypto.getRandomValues(new Uint8Array(10_000));
  const zeros = new Uint8Array(500_000); // no receiver would unpack it
  for (const message of [noise, zeros]) {
    await near.send(message);
    assertEquals((await far.receive())?.length, message.length);
  }
  assertEquals(lengths, [noise.length, zeros.length]);
  await Promise.all([near.close(), far.close()]);
});

Deno.test("compress() on one end only changes nothing but a message to be skipped", async () => {
  const { near, far, lengths } = await setUp(packed, plain);
  await near.send(text(50_000));
  assertEquals(await far.receive(), Uint8Array.of(0xa0, 0, 0, 0));
  assertEquals(await far.receive(), text(50_000));
  await far.send(Uint8Array.of(7));
  assertEquals(await near.receive(), Uint8Array.of(7));
  assertEquals(lengths, [4, 50_000]);
  await Promise.all([near.close(), far.close()]);
});

Deno.test("compress() unpacks no more than 20 times what came", async () => {
  const bomb = await deflate(new Uint8Array(64 * MIB));
  assert(bomb.length < 70_000);
  const link = await attack(compressed(bomb));
  const error = await assertRejects(
    () => link.receive(),
    ConnectionError,
    "Cannot unpack a message",
  );
  assert(error.cause instanceof RangeError);
  await assertRejects(() => link.receive(), ConnectionError);
  await link.close();
});

Deno.test("compress() unpacks no more than the limit of the receiver", async () => {
  const body = await deflate(text(100_000).slice());
  const link = await attack(compressed(body));
  await assertRejects(() => link.receive({ limit: 99_999 }), ConnectionError);
  await link.close();
  const other = await attack(compressed(body));
  assertEquals((await other.receive({ limit: 100_000 }))?.length, 100_000);
  await other.close();
});

Deno.test("compress() ends over whatever is malformed, and never throws anything else", async () => {
  const body = await deflate(text(10_000).slice());
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.tuple(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }))
          .map(([at, flip]) =>
            body.map((byte, i) => i === at ? byte ^ flip : byte)
          ),
        fc.nat(body.length - 1).map((end) => body.subarray(0, end)),
      ),
      async (body) => {
        const link = await attack(compressed(body));
        try {
          await link.receive();
        } catch (error) {
          if (!(error instanceof ConnectionError)) throw error;
        }
        await link.close();
        await turn();
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});

Deno.test("compress() refuses a threshold that makes no sense", () => {
  for (const threshold of [0, -1, 1.5, NaN]) {
    assertThrows(() => compress({ threshold }), RangeError);
  }
});
