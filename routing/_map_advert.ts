import { MalformedError, Reader, Writer } from "./_bytes.ts";
import { IdMap } from "./_id_map.ts";
import { hashBytes } from "./_map_hash.ts";
import { readId } from "./_peer_codec.ts";
import type { NodeId } from "./types.ts";

/** Neighbours that an advert names at most. */
export const MAX_NEIGHBOURS = 512;
/** The highest cost of a link. */
export const MAX_COST = 64;
/** Set in the cost of a link whose other end relays nothing. */
const LEAF = 0x80;
/** The last sequence number of an incarnation. */
export const MAX_SEQUENCE = 2 ** 32 - 1;

/** Tells which advert of a node is the newest: the incarnation counts first. */
export interface Version {
  readonly incarnation: number;
  readonly sequence: number;
}

/** What a node tells of its links. */
export interface Advert extends Version {
  readonly origin: NodeId;
  /** What the link to each neighbour costs, as {@linkcode leafCost} tells of a leaf. */
  readonly links: IdMap<number>;
  /** How it travels, without its age. */
  readonly bytes: Uint8Array;
  /** Of all but the version: equal when two adverts tell the same. */
  readonly hash: number;
}

/** Bytes of the version, which comes first. */
const VERSION_SIZE = 12;

/** The cost of a link as it is told of one whose other end relays nothing. */
export function leafCost(cost: number): number {
  return cost | LEAF;
}

/** What a link costs. */
export function costOf(told: number): number {
  return told & ~LEAF;
}

/** Whether the other end of a link relays nothing. */
export function isLeafCost(told: number): boolean {
  return (told & LEAF) !== 0;
}

/** Above 0: the first is newer. */
export function compareVersions(a: Version, b: Version): number {
  return a.incarnation - b.incarnation || a.sequence - b.sequence;
}

/** Makes an advert; of too many neighbours the first by id are named. */
export function makeAdvert(
  origin: NodeId,
  { incarnation, sequence }: Version,
  costs: Iterable<readonly [NodeId, number]>,
): Advert {
  const named = [...costs].sort(([a], [b]) => a < b ? -1 : 1)
    .slice(0, MAX_NEIGHBOURS);
  const writer = new Writer().u53(incarnation).u32(sequence)
    .string(origin).u16(named.length);
  const links = new IdMap<number>();
  for (const [id, cost] of named) {
    writer.string(id).u8(cost);
    links.set(id, cost);
  }
  const bytes = writer.take();
  return { origin, incarnation, sequence, links, bytes, hash: hashOf(bytes) };
}

/** Reads whose advert this is, and which: enough to know whether it is news. */
export function readVersion(
  bytes: Uint8Array,
): Version & { readonly origin: NodeId } {
  return readStart(new Reader(bytes));
}

/** Reads an advert, and keeps the bytes. */
export function readAdvert(bytes: Uint8Array): Advert {
  const reader = new Reader(bytes);
  const start = readStart(reader);
  const count = reader.u16();
  if (count > MAX_NEIGHBOURS) {
    throw new MalformedError(`An advert names ${count} neighbours`);
  }
  const links = new IdMap<number>();
  for (let i = 0; i < count; i++) {
    const id = readId(reader);
    const told = reader.u8();
    const cost = costOf(told);
    if (cost < 1 || cost > MAX_COST) {
      throw new MalformedError(`A link costs ${cost}`);
    }
    links.set(id, told);
  }
  reader.end();
  if (links.size < count || links.has(start.origin)) {
    throw new MalformedError("An advert names a neighbour twice, or itself");
  }
  return { ...start, links, bytes, hash: hashOf(bytes) };
}

function readStart(reader: Reader): Version & { readonly origin: NodeId } {
  const incarnation = reader.u53();
  const sequence = reader.u32();
  return { incarnation, sequence, origin: readId(reader) };
}

function hashOf(bytes: Uint8Array): number {
  return hashBytes(bytes.subarray(VERSION_SIZE));
}
