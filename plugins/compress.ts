/**
 * Compresses what a link carries (DEFLATE, RFC 1951), where both ends have the plugin.
 *
 * ```ts
 * import { createNode } from "@devts/devts";
 * import { compress } from "@devts/plugins/compress";
 *
 * await using node = createNode({
 *   cluster: "demo",
 *   linkPlugins: [compress()],
 * });
 * ```
 *
 * @module
 */

import {
  type Connection,
  ConnectionError,
  type ReceiveOptions,
  wrapConnection,
} from "@devts/transport";
import type { LinkPlugin } from "./types.ts";

/** Options of {@linkcode compress}. */
export interface CompressOptions {
  /**
   * Messages from this length on are compressed, in bytes: 1 or more.
   *
   * @default {1_024}
   */
  readonly threshold?: number;
}

/** A type of frame that whoever does not know it skips: "I understand compressed messages." */
const OFFER = Uint8Array.of(0xa0, 0, 0, 0);
/** Stands in front of a compressed message. */
const COMPRESSED = Uint8Array.of(0xa1, 0, 0, 0);
/** What is compressed further than that is sent as it is: no receiver would take it. */
const MAX_RATIO = 20;
const MIB = 1_048_576;
/** What is packed or unpacked at once, in bytes. */
const PIECE = 4_096;

/**
 * Compresses each message on its own.
 *
 * - **Both ends** say that they have the plugin with the first message of the link; until
 *   then, and to a peer without it, messages go out as they are. So it may be rolled out
 *   node by node.
 * - **No bombs.** A message is unpacked piece by piece, and the link ends as soon as
 *   there is more than 20 times its compressed length, or more than the link takes.
 * - **What it costs.** A copy and some 50 µs for each message from the threshold on, at
 *   each end. Worth it where the network is slower than that.
 * - **What it tells.** The length of a message then depends on what is in it. Where
 *   somebody can watch an encrypted link and have text of theirs sent beside a secret,
 *   they may find out the secret: leave it off there (CRIME, BREACH).
 *
 * @throws {RangeError} If the threshold is not an integer from 1 on.
 */
export function compress(options: CompressOptions = {}): LinkPlugin {
  const { threshold = 1024 } = options;
  if (!Number.isSafeInteger(threshold) || threshold < 1) {
    throw new RangeError(
      `Cannot compress from ${threshold} bytes on: it is an integer from 1 on`,
    );
  }
  return (connection) => {
    let isUnderstood = false;
    // A link that has ended already says so by itself.
    connection.send(OFFER).catch(() => {});
    return wrapConnection(connection, {
      async send(message) {
        const packed = isUnderstood && message.length >= threshold
          ? await pack(message)
          : null;
        await connection.send(packed ?? message);
      },
      async receive(options) {
        for (;;) {
          const message = await connection.receive(options);
          if (message === null) return null;
          if (startsWith(message, COMPRESSED)) {
            return await unpackFrom(connection, message, options);
          }
          if (message.length !== OFFER.length || !startsWith(message, OFFER)) {
            return message;
          }
          isUnderstood = true;
        }
      },
    });
  };
}

/** Null: it is not worth it, or the other end would not take it. */
async function pack(message: Uint8Array): Promise<Uint8Array | null> {
  const packed = await through(
    new CompressionStream("deflate-raw"),
    message,
    message.length - COMPRESSED.length,
  );
  if (!packed || message.length > MAX_RATIO * packed.length) return null;
  const framed = new Uint8Array(COMPRESSED.length + packed.length);
  framed.set(COMPRESSED);
  framed.set(packed, COMPRESSED.length);
  return framed;
}

async function unpackFrom(
  connection: Connection,
  message: Uint8Array,
  { limit = MIB }: ReceiveOptions = {},
): Promise<Uint8Array> {
  const packed = message.subarray(COMPRESSED.length);
  const most = Math.min(limit, MAX_RATIO * packed.length);
  let cause: unknown = new RangeError(`it is longer than ${most} bytes`);
  try {
    const unpacked = await through(
      new DecompressionStream("deflate-raw"),
      packed,
      most,
    );
    if (unpacked) return unpacked;
  } catch (error) {
    cause = error;
  }
  const error = new ConnectionError(
    `Cannot unpack a message from "${connection.remote}": ${
      cause instanceof Error ? cause.message : cause
    }`,
    { cause },
  );
  await connection.close(error);
  throw error;
}

/**
 * What comes out of a stream; null: more than `most` bytes. In small pieces, since a
 * piece is unpacked whole, to a thousand times its length, before anyone can stop it.
 */
async function through(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  most: number,
): Promise<Uint8Array | null> {
  const writer = stream.writable.getWriter();
  const writing = write(writer, bytes);
  writing.catch(() => {}); // reading says the same
  const reader = stream.readable.getReader();
  const whole = new Uint8Array(most);
  let length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return whole.slice(0, length);
    if (length + value.length > most) break;
    whole.set(value, length);
    length += value.length;
  }
  await reader.cancel();
  return null;
}

async function write(
  writer: WritableStreamDefaultWriter<BufferSource>,
  bytes: Uint8Array,
): Promise<void> {
  for (let start = 0; start < bytes.length; start += PIECE) {
    await writer.ready;
    await writer.write(bytes.slice(start, start + PIECE));
  }
  await writer.close();
}

function startsWith(message: Uint8Array, head: Uint8Array): boolean {
  return head.every((byte, index) => message[index] === byte);
}
