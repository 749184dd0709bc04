/**
 * A node that sends and takes streams, or a raw socket that does the same:
 * `stream_program.ts ID direct|relayed`.
 *
 * @module
 */

import { createNode } from "@devts/devts";
import { hopRouter } from "@devts/routing/hop";
import { peerRouter } from "@devts/routing/peer";
import { now, pause, quiet, serve, until } from "../../../bench/serve.ts";

/** How often events are sent beside a stream, in ms. */
const EVENT_INTERVAL = 5;
/** What a raw reader reads at once, in bytes. */
const READ = 262_144;
const HEADER = 4;

interface Events {
  event(sent: { readonly at: number; readonly text: string }): void;
}

const [id = "", kind = "direct"] = Deno.args;
const node = createNode<
  Events & { readonly copy: { opener: Uint8Array; acceptor: number } }
>({
  cluster: "bench",
  id,
  logger: quiet,
  // Only the links that the program opens: the ends reach each other by the relay.
  router: kind === "relayed" ? hopRouter({ links: 0 }) : peerRouter(),
});

/** What the last stream, or raw connection, brought. */
let taken = { bytes: 0, sum: 0, ms: 0, ended: 0, failure: "" };
/** What it takes, in bytes per second. */
let pace = Infinity;
let isSummed = false;
/** Whether memory is not given back. */
let isKept = false;
let delays: number[] = [];

node.on("event", ({ at }) => {
  delays.push(now() - at);
});

node.onOpen("copy", async (stream) => {
  taken = { bytes: 0, sum: 0, ms: 0, ended: 0, failure: "" };
  const begin = performance.now();
  try {
    for await (const bytes of stream) {
      if (isSummed) taken.sum = sumOf(bytes, taken.sum);
      taken.bytes += bytes.length;
      if (!isKept) stream.release(bytes);
      const ahead = 1_000 * taken.bytes / pace - (performance.now() - begin);
      if (ahead > 1) await pause(ahead);
    }
  } catch (error) {
    taken.failure = String(error);
  }
  taken.ms = performance.now() - begin;
  taken.ended = 1;
  await stream.close().catch(() => {});
});

/** A checksum over words of 32 bits, continued from another; order counts. */
function sumOf(bytes: Uint8Array, from: number): number {
  let sum = from;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = bytes.length & ~3;
  for (let at = 0; at < words; at += 4) {
    sum = Math.imul(sum, 31) + view.getInt32(at, true) | 0;
  }
  for (let at = words; at < bytes.length; at++) {
    sum = Math.imul(sum, 31) + view.getUint8(at) | 0;
  }
  return sum;
}

/** Messages of a size, each with other bytes, until so many bytes have been made. */
function* messages(total: number, size: number): Generator<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = at * 7 + (at >>> 8);
  for (let made = 0; made < total; made += size) {
    new DataView(bytes.buffer).setUint32(0, made / size);
    yield made + size <= total ? bytes : bytes.subarray(0, total - made);
  }
}

/** Whoever runs it wants to know how far it is, and nothing more. */
let sending = { ms: 0, sum: 0, ended: 0, failure: "" };

async function send(to: string, total: number, size: number): Promise<void> {
  sending = { ms: 0, sum: 0, ended: 0, failure: "" };
  try {
    const stream = await node.open(to, "copy");
    const begin = performance.now();
    for (const bytes of messages(total, size)) {
      if (isSummed) sending.sum = sumOf(bytes, sending.sum);
      await stream.send(bytes);
    }
    await stream.close();
    sending.ms = performance.now() - begin;
    await stream.closed;
  } catch (error) {
    sending.failure = String(error);
  }
  sending.ended = 1;
}

let listener: Deno.Listener | undefined;
let isEventful = false;

/** Takes messages off one connection, whole, and counts their bytes. */
async function takeRaw(from: Deno.Listener): Promise<void> {
  const conn = await from.accept();
  const buffer = new Uint8Array(READ);
  const view = new DataView(buffer.buffer);
  let start = 0;
  let end = 0;
  let left = 0;
  for (;;) {
    const read = await conn.read(buffer.subarray(end));
    if (read === null) break;
    end += read;
    for (;;) {
      const part = Math.min(left, end - start);
      left -= part;
      start += part;
      taken.bytes += part;
      if (left > 0 || end - start < HEADER) break;
      left = view.getUint32(start);
      start += HEADER;
    }
    buffer.copyWithin(0, start, end);
    end -= start;
    start = 0;
  }
  conn.close();
  taken.ended = 1;
}

await serve({
  listen: async () => ({ address: await node.listen("tcp://127.0.0.1:0") }),
  join: async (args) => ({ nodes: await node.join(args.text("address")) }),
  linked: async (args) => {
    await until(() => node.members.size >= args.number("nodes"), 60_000);
    return { nodes: node.members.size };
  },
  set: (args) => {
    pace = args.number("pace") || Infinity;
    isSummed = args.number("summed") === 1;
    isKept = args.has("kept");
    return {};
  },
  // Sends in the background; `sent` tells.
  send: (args) => {
    send(args.text("to"), args.number("total"), args.number("size"));
    return {};
  },
  sent: async (args) => {
    await until(() => sending.ended === 1, args.number("within"));
    return sending;
  },
  taken: async (args) => {
    await until(() => taken.ended === 1, args.number("within"));
    return taken;
  },
  // Waits for the first bytes.
  taking: async (args) => {
    await until(() => taken.bytes > 0, args.number("within"));
    return taken;
  },
  "send events": (args) => {
    isEventful = true;
    const text = "x".repeat(110);
    (async () => {
      while (isEventful) {
        node.send(args.text("to"), "event", { at: now(), text });
        await pause(EVENT_INTERVAL);
      }
    })();
    return {};
  },
  "stop events": () => {
    isEventful = false;
    return {};
  },
  delays: () => {
    const sorted = delays.sort((a, b) => a - b);
    delays = [];
    const at = (share: number) =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ??
        NaN;
    return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  },
  "listen raw": () => {
    taken = { bytes: 0, sum: 0, ms: 0, ended: 0, failure: "" };
    listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    takeRaw(listener);
    const { addr } = listener;
    return { port: addr.transport === "tcp" ? addr.port : 0 };
  },
  // To the last byte taken at the other end, which then closes.
  "send raw": async (args) => {
    const conn = await Deno.connect({
      hostname: "127.0.0.1",
      port: args.number("port"),
    });
    const size = args.number("size");
    const frame = new Uint8Array(HEADER + size);
    new DataView(frame.buffer).setUint32(0, size);
    const begin = performance.now();
    for (let left = args.number("total"); left > 0; left -= size) {
      for (let at = 0; at < frame.length;) {
        at += await conn.write(frame.subarray(at));
      }
    }
    await conn.closeWrite();
    await conn.read(new Uint8Array(1));
    const ms = performance.now() - begin;
    conn.close();
    return { ms };
  },
});
listener?.close();
await node.close();
