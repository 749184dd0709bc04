/**
 * A program that publishes, or subscribes, with nothing between the codec and a
 * connection of the runtime: what everything is compared with. `raw.ts CARRIER SECRET`
 * uses TLS or QUIC instead of TCP. Batches are shared by all sockets;
 * subscribers read into one large buffer, and decode in place or take views of it.
 *
 * @module
 */

import { Packr } from "msgpackr/pack";
import { Arrivals } from "./arrivals.ts";
import { Batches, HEADER, Joined } from "./batches.ts";
import { carrierOf, type Conn } from "./carriers.ts";
import {
  type BytesKind,
  type Item,
  itemOf,
  kindOf,
  sequenceOf,
  SIZES,
  stamp,
  template,
} from "./payload.ts";
import type { Kind } from "./peer.ts";
import { requests } from "./requests.ts";
import { cpuTime, now, serve } from "./serve.ts";

const BATCH = 65_536;
/** For messages that would fill a batch alone. */
const LARGE_BATCH = 1_048_576;
const READ_BUFFER = 262_144;
/** How many requests can wait for a reply. */
const IN_FLIGHT = 1_024;

const codec = new Packr({ useRecords: false });
// The next read overwrites what the subscriber is handed.
const arrivals = new Arrivals({ cpuTime, keeps: false });
let expected: Kind = "object128";
/** To the subscribers. */
const conns: Conn[] = [];
/** Requests something of the server. */
let request: ReturnType<typeof clientOf> | undefined;

/** Reads frames until the stream ends; `read` is called after each read. */
async function readFrames(
  conn: Conn,
  take: (frame: Uint8Array) => void,
  read: () => void = () => {},
): Promise<void> {
  const buffer = new Uint8Array(READ_BUFFER);
  const view = new DataView(buffer.buffer);
  let end = 0;
  for (;;) {
    const length = await conn.read(buffer.subarray(end));
    if (length === null) return conn.close();
    end += length;
    let start = 0;
    while (end - start >= HEADER) {
      const next = start + HEADER + view.getUint32(start);
      if (next > end) break;
      take(buffer.subarray(start + HEADER, next));
      start = next;
    }
    // Whoever awaited a frame sees it before it is overwritten.
    await read();
    buffer.copyWithin(0, start, end);
    end -= start;
  }
}

async function subscribe(conn: Conn): Promise<void> {
  await readFrames(conn, (frame) => {
    if (expected === "object128") arrivals.addObject(decode(frame));
    else arrivals.addBytes(frame);
  });
}

// The other end is this same program.
function decode(bytes: Uint8Array): Item {
  return codec.unpack(bytes);
}

async function echo(conn: Conn): Promise<void> {
  const replies = new Joined(conn);
  await readFrames(
    conn,
    (frame) => replies.add(encoded(decoded(frame))),
    () => {
      replies.flush();
    },
  );
}

async function publish(
  kind: Kind,
  first: number,
  count: number,
): Promise<void> {
  if (kind === "object128") await publishObjects(first, first + count);
  else await publishBytes(kind, first, first + count);
}

async function publishObjects(first: number, end: number): Promise<void> {
  const batches = new Batches(conns, BATCH);
  for (let sequence = first; sequence < end; sequence++) {
    const room = batches.add(codec.pack(itemOf(sequence)));
    if (room) await room;
  }
  await batches.flush();
}

async function publishBytes(
  kind: BytesKind,
  first: number,
  end: number,
): Promise<void> {
  const batches = new Batches(conns, SIZES[kind] < BATCH ? BATCH : LARGE_BATCH);
  const bytes = template(SIZES[kind]);
  for (let sequence = first; sequence < end; sequence++) {
    const room = batches.add(stamp(bytes, sequence));
    if (room) await room;
  }
  await batches.flush();
}

/** What a request and its reply are as a message. */
function encoded(bytes: Uint8Array): Uint8Array {
  return isCoded ? codec.pack(bytes) : bytes;
}

function decoded(frame: Uint8Array): Uint8Array {
  return isCoded ? codec.unpack(frame) : frame;
}

/** Makes a client of the server at the other end of a connection. */
function clientOf(
  conn: Conn,
): (bytes: Uint8Array) => Promise<Uint8Array> {
  const joined = new Joined(conn);
  // By sequence number; replies come in the order of their requests.
  const waiting: ((reply: Uint8Array) => void)[] = [];
  let leaving = false;
  readFrames(conn, (frame) => {
    const reply = decoded(frame);
    waiting[sequenceOf(reply) % IN_FLIGHT]?.(reply);
  });
  function leave(): void {
    leaving = false;
    joined.flush();
  }
  return (bytes) => {
    joined.add(encoded(bytes));
    // One write for all those that go on together, once their replies are here.
    if (!leaving) queueMicrotask(leave);
    leaving = true;
    return new Promise((resolve) => {
      waiting[sequenceOf(bytes) % IN_FLIGHT] = resolve;
    });
  };
}

const [name = "tcp", secret] = Deno.args;
/** Encrypted connections are compared with the codec, also for requests. */
const isCoded = name !== "tcp";
const carrier = await carrierOf(name, secret);
const events = carrier.listen();
const requested = carrier.listen();

await serve({
  listen: () => {
    events.accept().then(subscribe);
    requested.accept().then(echo);
    return { events: events.number, requests: requested.number };
  },
  subscriber: async (args) => {
    conns.push(await carrier.connect(args.number("port")));
    return {};
  },
  server: async (args) => {
    request = clientOf(await carrier.connect(args.number("port")));
    return {};
  },
  expect: (args) => {
    expected = kindOf(args.text("kind"));
    return arrivals.expect(
      expected,
      args.number("first"),
      args.number("count"),
    );
  },
  arrived: () => arrivals.arrived(),
  publish: async (args) => {
    const startedAt = now();
    const cpu = cpuTime();
    const kind = kindOf(args.text("kind"));
    await publish(kind, args.number("first"), args.number("count"));
    return { startedAt, cpu: cpuTime() - cpu };
  },
  request: (args) => {
    if (request === undefined) throw new Error("There is no server");
    return requests({
      count: args.number("count"),
      inFlight: args.number("inFlight"),
      cpuTime,
      request,
    });
  },
});
Deno.exit();
