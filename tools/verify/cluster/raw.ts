/**
 * A program that publishes objects over TCP, or subscribes to them, with nothing
 * between the codec and `Deno.Conn`: what devts is compared with. Batches of 64 KiB
 * are shared by all sockets; subscribers read into a large buffer and decode in place.
 *
 * @module
 */

import { Packr } from "msgpackr/pack";
import { Arrivals, type Item, itemOf } from "./item.ts";
import { cpuTime, now, serve } from "../../../bench/serve.ts";

const BATCH = 65_536;
const READ_BUFFER = 262_144;
const HIGH_WATER_MARK = 1_048_576;
const HEADER = 4;

const codec = new Packr({ useRecords: false });
const arrivals = new Arrivals();
const outboxes: Outbox[] = [];

/** Writes batches to one socket, one write at a time. */
class Outbox {
  readonly #conn: Deno.Conn;
  #batches: Uint8Array[] = [];
  #queued = 0;
  #writing: Promise<void> | null = null;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Queues a batch; a promise where the publisher should wait. */
  send(batch: Uint8Array): Promise<void> | undefined {
    this.#batches.push(batch);
    this.#queued += batch.length;
    this.#writing ??= this.#write();
    if (this.#queued < HIGH_WATER_MARK) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** Resolves once everything is written. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#batches.length > 0) {
      const batches = this.#batches;
      this.#batches = [];
      for (const batch of batches) await this.#writeAll(batch);
    }
    this.#writing = null;
  }

  async #writeAll(batch: Uint8Array): Promise<void> {
    for (let start = 0; start < batch.length;) {
      start += await this.#conn.write(batch.subarray(start));
    }
    this.#queued -= batch.length;
    if (this.#queued >= HIGH_WATER_MARK || this.#room === null) return;
    this.#room.resolve();
    this.#room = null;
  }
}

async function subscribe(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(READ_BUFFER);
  const view = new DataView(buffer.buffer);
  let end = 0;
  for (;;) {
    const read = await conn.read(buffer.subarray(end));
    if (read === null) return conn.close();
    end += read;
    let start = 0;
    while (end - start >= HEADER) {
      const next = start + HEADER + view.getUint32(start);
      if (next > end) break;
      arrivals.add(decode(buffer.subarray(start + HEADER, next)));
      start = next;
    }
    buffer.copyWithin(0, start, end);
    end -= start;
  }
}

// The other end is this same program.
function decode(bytes: Uint8Array): Item {
  return codec.unpack(bytes);
}

async function publish(first: number, count: number): Promise<void> {
  let batch = new Uint8Array(BATCH);
  let view = new DataView(batch.buffer);
  let end = 0;
  for (let id = first; id < first + count; id++) {
    const bytes = codec.pack(itemOf(id));
    if (end + HEADER + bytes.length > BATCH) {
      for (
        const room of outboxes.map((outbox) =>
          outbox.send(batch.subarray(0, end))
        )
      ) {
        if (room) await room;
      }
      batch = new Uint8Array(BATCH);
      view = new DataView(batch.buffer);
      end = 0;
    }
    view.setUint32(end, bytes.length);
    batch.set(bytes, end + HEADER);
    end += HEADER + bytes.length;
  }
  for (const outbox of outboxes) outbox.send(batch.subarray(0, end));
  for (const outbox of outboxes) await outbox.flush();
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

await serve({
  listen: () => {
    listener.accept().then(subscribe);
    return { port: listener.addr.port };
  },
  connect: async (args) => {
    outboxes.push(
      new Outbox(
        await Deno.connect({
          hostname: "127.0.0.1",
          port: args.number("port"),
        }),
      ),
    );
    return {};
  },
  expect: (args) => arrivals.expect(args.number("count")),
  arrived: () => arrivals.arrived(),
  publish: async (args) => {
    const startedAt = now();
    const cpu = cpuTime();
    await publish(args.number("first"), args.number("count"));
    return { startedAt, cpu: cpuTime() - cpu };
  },
});
Deno.exit();
