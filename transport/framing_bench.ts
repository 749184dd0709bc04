// What framing costs beside the bare stream it works on, over loopback. Each
// iteration moves 64 MiB from one end to the other. The functions are `async`:
// `Deno.bench` does not await a promise that another function returns.

import { byteStream, writeAll } from "./_deno_conn.ts";
import { frame } from "./framing.ts";

const TOTAL = 64 * 1024 * 1024;
const BATCH = 1024 * 1024;

async function loopback(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
  ]);
}

/** Writes batches of 1 MiB; reads into one buffer of 256 KiB. */
async function raw(): Promise<void> {
  const [reader, writer] = await loopback();
  const batch = new Uint8Array(BATCH);
  const buffer = new Uint8Array(256 * 1024);
  async function write(): Promise<void> {
    for (let sent = 0; sent < TOTAL; sent += BATCH) {
      await writeAll(writer, batch);
    }
  }
  const writing = write();
  for (let received = 0; received < TOTAL;) {
    received += await reader.read(buffer) ?? TOTAL;
  }
  await writing;
  reader.close();
  writer.close();
}

async function framed(size: number): Promise<void> {
  const [reader, writer] = await loopback();
  const to = frame(byteStream(writer), { remote: "tcp://reader" });
  const from = frame(byteStream(reader), { remote: "tcp://writer" });
  const message = new Uint8Array(size);
  const resolved = to.send(message);
  async function write(): Promise<void> {
    for (let sent = size; sent < TOTAL; sent += size) {
      const sending = to.send(message);
      // As a node does it: only a promise that is not the shared one is awaited.
      if (sending !== resolved) await sending;
    }
  }
  const writing = write();
  for (let received = 0; received < TOTAL; received += size) {
    await from.receive();
  }
  await writing;
  await Promise.all([to.close(), from.close()]);
}

/** Round trips of one message, nothing else under way. */
async function pingPong(size: number): Promise<void> {
  const [one, other] = await loopback();
  const asking = frame(byteStream(one), { remote: "tcp://other" });
  const answering = frame(byteStream(other), { remote: "tcp://one" });
  const message = new Uint8Array(size);
  async function answer(): Promise<void> {
    for await (const question of answering) await answering.send(question);
  }
  const answers = answer();
  for (let round = 0; round < 1_000; round++) {
    await asking.send(message);
    await asking.receive();
  }
  await Promise.all([asking.close(), answers.then(() => answering.close())]);
}

async function rawPingPong(size: number): Promise<void> {
  const [one, other] = await loopback();
  const message = new Uint8Array(size);
  async function answer(): Promise<void> {
    const buffer = new Uint8Array(size);
    while (await other.read(buffer) !== null) await other.write(buffer);
    other.close();
  }
  const answers = answer();
  const buffer = new Uint8Array(size);
  for (let round = 0; round < 1_000; round++) {
    await one.write(message);
    await one.read(buffer);
  }
  one.close();
  await answers;
}

Deno.bench("Deno.Conn 64 MiB in 1 MiB writes", {
  group: "throughput",
  baseline: true,
}, raw);

for (const size of [128, 1024, 64 * 1024, 1024 * 1024 - 4]) {
  Deno.bench(`frame() 64 MiB in ${size} B messages`, {
    group: "throughput",
  }, async () => await framed(size));
}

Deno.bench("Deno.Conn 1000 round trips of 128 B", {
  group: "latency",
  baseline: true,
}, async () => await rawPingPong(128));

Deno.bench("frame() 1000 round trips of 128 B", {
  group: "latency",
}, async () => await pingPong(128));
