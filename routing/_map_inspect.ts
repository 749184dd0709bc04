import { readVersion } from "./_map_advert.ts";
import {
  ADVERTS,
  BROADCAST,
  CARRY,
  kindOf,
  LETTER,
  readBroadcast,
  readLetter,
  readReport,
  readRouted,
  readTalk,
  REPORT,
  RETURN,
  type Routed,
  TALLY,
  writeTalk,
} from "./_map_packets.ts";
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
  if (kindOf(packet) === BROADCAST) {
    const { stamp: { origin }, payload } = readBroadcast(packet);
    return { origin, to: null, payload, own: packet };
  }
  const routed = readRouted(packet);
  return routed === null
    ? inspectTalk(by, packet)
    : inspectRouted(routed, packet);
}

/** Neighbours talk to each other of themselves, but for adverts. */
function inspectTalk(by: NodeId, packet: Uint8Array): Inspected | null {
  const talk = readTalk(packet);
  if (talk === null) return null;
  const read = { origin: by, to: null, payload: null };
  if (talk.kind !== ADVERTS) return { ...read, own: packet };
  const adverts = talk.adverts.filter(({ bytes }) =>
    readVersion(bytes).origin === by
  );
  if (adverts.length === talk.adverts.length) return { ...read, own: packet };
  const own = adverts.length === 0
    ? null
    : writeTalk({ kind: ADVERTS, adverts });
  return { ...read, own };
}

/** What goes along a path; who does not relay is where the path begins. */
function inspectRouted(
  { kind, path, content }: Routed,
  packet: Uint8Array,
): Inspected {
  const start = path[0] ?? "";
  const read = { origin: start, to: path.at(-1) ?? null, payload: null };
  switch (kind) {
    case LETTER: {
      const { stamp: { origin }, payload } = readLetter(content);
      return {
        ...read,
        origin,
        payload,
        own: origin === start ? packet : null,
      };
    }
    case RETURN: {
      const { stamp: { origin }, payload } = readLetter(content);
      return { ...read, origin, payload, own: null };
    }
    case CARRY: {
      const { stamp: { origin }, payload } = readBroadcast(content);
      return {
        ...read,
        origin,
        payload,
        own: origin === start ? packet : null,
      };
    }
    case REPORT:
      return { ...read, own: readReport(content).to === start ? packet : null };
    case TALLY:
      return { ...read, own: packet };
  }
}
