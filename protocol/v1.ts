/**
 * Version 1 of the protocol: frames, and the handshake that introduces two nodes.
 *
 * ```ts
 * import type { Channel } from "@devts/protocol";
 * import { v1 } from "@devts/protocol/v1";
 * import { assertEquals } from "@std/assert";
 *
 * const protocol = v1();
 *
 * // A frame is a header, then a body.
 * const frame = new Uint8Array([0, 0, 0, 0, 104, 105]);
 * protocol.writeHeader("data", frame);
 * assertEquals(protocol.readHeader(frame), "data");
 *
 * // Two nodes introduce themselves over any channel of whole messages.
 * const there = new TransformStream<Uint8Array, Uint8Array>();
 * const back = new TransformStream<Uint8Array, Uint8Array>();
 * const introduce = (id: string, role: "dialer" | "acceptor") =>
 *   protocol.introduce(
 *     role === "dialer" ? channel(there, back) : channel(back, there),
 *     {
 *       role,
 *       self: () => ({
 *         cluster: "demo",
 *         id,
 *         incarnation: 1,
 *         format: "msgpack",
 *         addresses: [],
 *         meta: new Uint8Array(),
 *         maxMessage: 1024 ** 2,
 *       }),
 *       admit: () => null,
 *     },
 *   );
 * const [met] = await Promise.all([
 *   introduce("a", "dialer"),
 *   introduce("b", "acceptor"),
 * ]);
 * assertEquals("peer" in met && met.peer.id, "b");
 *
 * function channel(
 *   to: TransformStream<Uint8Array, Uint8Array>,
 *   from: TransformStream<Uint8Array, Uint8Array>,
 * ): Channel {
 *   const writer = to.writable.getWriter();
 *   const reader = from.readable.getReader();
 *   return {
 *     send: (message) => writer.write(message),
 *     receive: async () => (await reader.read()).value ?? null,
 *   };
 * }
 * ```
 *
 * **Frames.** A frame is one message. Its header has four bytes: the type, the
 * flags (0), and two reserved bytes (0). Numbers are big-endian. The types, to
 * which later versions only append:
 *
 * | type | name | who sends it, and when | body |
 * | --- | --- | --- | --- |
 * | `0x01` | hello | the dialer, first | `"DVTS"`, the lowest and the highest version that it speaks (1 byte each), map |
 * | `0x02` | welcome | the acceptor, after a hello | the version chosen (1 byte), the length of the map (2 bytes), map, map of proofs |
 * | `0x03` | proof | the dialer, after a welcome | map of proofs |
 * | `0x04` | finish | the acceptor, after a proof | map of proofs |
 * | `0x05` | refusal | either, in place of its answer in the handshake | the code (1 byte), an incarnation or 0 (8 bytes), text |
 * | `0x10` | data | either, after the handshake | a packet of the router, in the data lane |
 * | `0x11` | control | either, after the handshake | a packet of the router, in the control lane |
 * | `0x12` | gap | either, after the handshake | how many events were dropped (8 bytes) |
 * | `0x13` | goodbye | either, last | text |
 * | `0x90` | progress | either, while it takes data, at most five times a second | |
 * | `0x91` | echo | either, to see whether the other is there | |
 * | `0x92` | echoed | either, at once after an echo | |
 * | `0xa1` | | the plugin `compress()`, between two nodes that have it | a compressed frame |
 * | `0x80` to `0xff`, others | | either, after the handshake | skipped by those who do not know the type, whatever its flags |
 *
 * Everything else breaks the protocol: another type, flags that the version does
 * not know, reserved bytes that are not zero, a frame out of place. Texts are UTF-8
 * of at most 200 characters, for a log: control characters are replaced.
 *
 * **Handshake.** Four messages of at most 4 KiB, whose maps are MessagePack. Keys
 * that a node does not know are ignored, so that later versions can add some. Both
 * maps of introduction have `cluster`, `id`, `inc` (the incarnation), `format`,
 * `addresses`, `meta`, `max` (the longest message), `nonce` (32 random bytes) and
 * `key`, and may have `contract` (a digest of what its events are); a hello adds `expect` (the id that was dialled, or empty) and `keys`.
 *
 * The highest version that both speak is chosen. Fixed for ever, since nodes
 * without a version in common must understand it: headers, a hello up to its
 * range of versions, and the whole refusal. The codes of a refusal are 1
 * `version`, 2 `cluster`, 3 `format`, 4 `self`, 5 `duplicate`, 6 `stale`, 7
 * `conflict`, 8 `unexpected`, 9 `busy`; one that a node does not know counts as
 * `busy`.
 *
 * **No authentication.** `key`, `keys` and the proofs (`sig`, `mac`) are empty,
 * and a node that is offered others ends the handshake: whoever can connect and
 * knows the cluster's name can take part. `@devts/protocol/trusted` is the same
 * protocol with proofs.
 *
 * @module
 */
import {
  gap,
  goodbye,
  HEADER_SIZE,
  readGap,
  readGoodbye,
  readHeader,
  writeHeader,
} from "./_frames.ts";
import { follow, random } from "./_follow.ts";
import { accept, dial } from "./_handshake.ts";
import type {
  Channel,
  Introduced,
  IntroduceOptions,
  Protocol,
} from "./types.ts";

/**
 * Version 1 of the protocol. It has no state: one serves any number of
 * connections.
 *
 * Beyond what {@linkcode Protocol} states:
 *
 * - `writeHeader` throws a `RangeError` when there is no room, `gap` when the
 *   number is no safe integer from 0 on.
 * - `introduce` rejects with a `RangeError` when what this node says of itself is
 *   out of range, and with what `self` or `admit` throws. It never closes the
 *   channel. A failure of the channel is the `cause` of its `ProtocolError`, except
 *   while it sends a refusal: then nobody is left to be told.
 */
export function v1(): Protocol {
  return {
    headerSize: HEADER_SIZE,
    writeHeader,
    readHeader,
    introduce,
    gap,
    readGap,
    goodbye,
    readGoodbye,
  };
}

async function introduce(
  channel: Channel,
  options: IntroduceOptions,
): Promise<Introduced> {
  const { role, self, expect } = options;
  const side = { self, expect, random };
  return await follow(
    role === "dialer" ? dial(side) : accept(side),
    channel,
    options,
  );
}
