import { Reader, Writer } from "./_bytes.ts";
import {
  ASK,
  BEATS,
  FORWARD,
  FOUND,
  GOSSIP,
  GRAFT,
  I_HAVE,
  LINK,
  MAX_ITEMS,
  NOTE,
  PART,
  PARTED,
  PING,
  PONG,
  PRUNE,
  readIds,
  readItems,
  readName,
  readNote,
  ROUTED,
  SEARCH,
  SHUFFLE,
  SHUFFLED,
  writeName,
} from "./_gossip_packets.ts";
import { readStamp } from "./_order_stamp.ts";
import { readId } from "./_peer_codec.ts";
import type { Inspected, NodeId } from "./types.ts";

/**
 * Reads a packet, and changes nothing.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function inspectPacket(
  by: NodeId,
  packet: Uint8Array,
): Inspected | null {
  const reader = new Reader(packet);
  const kind = reader.u8();
  const talk = { origin: by, to: null, payload: null };
  switch (kind) {
    case LINK:
    case PART:
    case PARTED:
    case PING:
    case PONG:
    case GRAFT:
    case PRUNE:
      return { ...talk, own: packet };
    case FORWARD:
    case SHUFFLED:
      return { ...talk, own: null };
    case SHUFFLE:
      // One that begins here has passed nobody else.
      return {
        ...talk,
        own: readIds(reader, MAX_ITEMS).length === 1 ? packet : null,
      };
    case BEATS:
      return { ...talk, own: ownBeats(by, reader) };
    case I_HAVE:
      return { ...talk, own: ownNames(by, reader) };
    case SEARCH:
      reader.u8();
      return { ...talk, origin: readId(reader), own: packet };
    case FOUND: {
      reader.u8();
      const to = readId(reader);
      return { ...talk, origin: readId(reader), to, own: packet };
    }
    case GOSSIP: {
      const { origin } = readStamp(reader);
      return { origin, to: null, payload: reader.rest(), own: packet };
    }
    case ROUTED:
    case NOTE:
    case ASK:
      reader.u8();
      return inspectRouted(kind, packet, reader);
    default:
      return null;
  }
}

function inspectRouted(
  kind: number,
  packet: Uint8Array,
  reader: Reader,
): Inspected {
  const { origin, to } = readStamp(reader);
  if (kind === ROUTED) {
    return { origin, to, payload: reader.rest(), own: packet };
  }
  const isOwn = kind === ASK || readNote(reader, origin).target === origin;
  return { origin, to, payload: null, own: isOwn ? packet : null };
}

function ownBeats(by: NodeId, reader: Reader): Uint8Array | null {
  const beats = readItems(reader, MAX_ITEMS, (one) => ({
    id: readId(one),
    beat: one.u53(),
    age: one.u32(),
  })).filter(({ id }) => id === by);
  if (beats.length === 0) return null;
  const writer = new Writer().u8(BEATS).u8(beats.length);
  for (const { id, beat, age } of beats) writer.string(id).u53(beat).u32(age);
  return writer.take();
}

function ownNames(by: NodeId, reader: Reader): Uint8Array | null {
  const names = readItems(reader, MAX_ITEMS, readName)
    .filter(({ origin }) => origin === by);
  if (names.length === 0) return null;
  const writer = new Writer().u8(I_HAVE).u8(names.length);
  for (const name of names) writeName(writer, name);
  return writer.take();
}
