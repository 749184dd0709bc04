import { assertEquals } from "@std/assert";
import { Batches, HEADER, Joined } from "./batches.ts";
import { FIRST, isWhole, SIZES, stamp, template } from "./payload.ts";

const COUNT = 3_000;
const FRAME = HEADER + SIZES.bytes1k;

async function loopback(): Promise<[Deno.Conn, Deno.Conn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
}

/** Reads messages, and returns how many of them are what was sent in that place. */
async function right(conn: Deno.Conn): Promise<number> {
  const bytes = new Uint8Array(COUNT * FRAME);
  for (let end = 0; end < bytes.length;) {
    end += await conn.read(bytes.subarray(end)) ?? bytes.length;
  }
  let right = 0;
  for (let index = 0; index < COUNT; index++) {
    const start = index * FRAME;
    const message = bytes.subarray(start + HEADER, start + FRAME);
    if (isWhole(message, FIRST + index)) right++;
  }
  return right;
}

Deno.test("Batches writes every message to all sockets, in order", async () => {
  const [[one, oneEnd], [other, otherEnd]] = [
    await loopback(),
    await loopback(),
  ];
  using _1 = one;
  using _2 = oneEnd;
  using _3 = other;
  using _4 = otherEnd;
  const arrived = Promise.all([right(oneEnd), right(otherEnd)]);
  const batches = new Batches([one, other], 65_536);
  const bytes = template(SIZES.bytes1k);
  for (let index = 0; index < COUNT; index++) {
    await batches.add(stamp(bytes, FIRST + index));
  }
  await batches.flush();
  assertEquals(await arrived, [COUNT, COUNT]);
});

Deno.test("Joined writes what comes while it writes", async () => {
  const [conn, end] = await loopback();
  using _1 = conn;
  using _2 = end;
  const arrived = right(end);
  const joined = new Joined(conn);
  const bytes = template(SIZES.bytes1k);
  for (let index = 0; index < COUNT; index++) {
    joined.add(stamp(bytes, FIRST + index));
    const written = joined.flush();
    if (index % 100 === 0) await written;
  }
  await joined.flush();
  assertEquals(await arrived, COUNT);
});
