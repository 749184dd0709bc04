import { MalformedError, type Reader, type Writer } from "./_bytes.ts";
import { readId } from "./_peer_codec.ts";
import type { Lane, NodeId } from "./types.ts";

/** What left longer ago than this has come, unless it is lost, in ms. */
export const RECENT_TIME = 1000;

/** Flags of a stamp: the lane, whether it is for one node, {@linkcode Stamp.isRecent}. */
export const CONTROL = 1;
export const TO_ONE = 2;
const RECENT = 4;

/** A unicast that was sent before a broadcast, and to whom: {@linkcode hashOf} its id. */
export interface Mention {
  readonly hash: number;
  readonly number: number;
}

/** What tells the place of a packet among all that its origin sends. */
export interface Stamp {
  /** Who sent it first. */
  readonly origin: NodeId;
  /** Which life of the origin: `epochOf` its incarnation. */
  readonly epoch: number;
  /** For whom; null: for all. */
  readonly to: NodeId | null;
  /** Only the data lane is kept in order. */
  readonly lane: Lane;
  /** From 1 on within its lane: one series for broadcasts, one for each destination. */
  readonly number: number;
  /** Data broadcasts of the origin before this packet; of a data broadcast, that is known. */
  readonly broadcasts: number;
  /** In a control unicast: data unicasts to the same node before it. */
  readonly unicasts: number;
  /** In a data unicast: the last of those broadcasts has left only just now. */
  readonly isRecent: boolean;
  /** In a data broadcast: the unicasts since the broadcast before it. */
  readonly mentions: readonly Mention[];
}

export const NO_MENTIONS: readonly Mention[] = [];

/** Writes a stamp. */
export function writeStamp(writer: Writer, stamp: Stamp): void {
  const { to, lane } = stamp;
  writer
    .u8(
      (lane === "control" ? CONTROL : 0) | (to === null ? 0 : TO_ONE) |
        (stamp.isRecent ? RECENT : 0),
    )
    .string(stamp.origin)
    .u53(stamp.epoch)
    .u53(stamp.number);
  if (to !== null) writer.string(to);
  if (lane === "control" || to !== null) writer.u53(stamp.broadcasts);
  if (lane === "control" && to !== null) writer.u53(stamp.unicasts);
  if (lane === "control" || to !== null) return;
  writer.u8(stamp.mentions.length);
  for (const { hash, number } of stamp.mentions) writer.u32(hash).u53(number);
}

/**
 * Reads a stamp.
 *
 * @throws {MalformedError} If it is none.
 */
export function readStamp(reader: Reader): Stamp {
  const flags = reader.u8();
  if (flags > (CONTROL | TO_ONE) && flags !== (TO_ONE | RECENT)) {
    throw new MalformedError(`A stamp has the flags ${flags}`);
  }
  const lane = (flags & CONTROL) === 0 ? "data" : "control";
  const origin = readId(reader);
  const epoch = reader.u53();
  const number = reader.u53();
  const to = (flags & TO_ONE) === 0 ? null : readId(reader);
  const inOrder = lane === "data" && to === null;
  const broadcasts = inOrder ? number - 1 : reader.u53();
  const unicasts = lane === "control" && to !== null ? reader.u53() : 0;
  const mentions = inOrder ? readMentions(reader) : NO_MENTIONS;
  const isRecent = (flags & RECENT) !== 0;
  return {
    origin,
    epoch,
    to,
    lane,
    number,
    broadcasts,
    unicasts,
    isRecent,
    mentions,
  };
}

function readMentions(reader: Reader): readonly Mention[] {
  const count = reader.u8();
  if (count === 0) return NO_MENTIONS;
  const mentions: Mention[] = [];
  for (let i = 0; i < count; i++) {
    mentions.push({ hash: reader.u32(), number: reader.u53() });
  }
  return mentions;
}

/** An id as a {@linkcode Mention} has it. */
export function hashOf(id: NodeId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
