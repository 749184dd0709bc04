/**
 * Comparing two stores by their trees of hashes: what differs is found level by level,
 * and only that travels.
 */
import { malformed, Reader, Writer } from "./_bytes.ts";
import type { Entries } from "./_entries.ts";
import { BUCKETS, DEPTH, FANOUT } from "./_merkle.ts";
import { type Head, readHead, writeHead } from "./_page.ts";

/** Nodes of a tree, or buckets, that one message asks about. */
export const MAX_ASKED = 1_024;

/** What a message takes for a summary, in bytes. */
export const SUMMARY_SIZE = 12;

/** Nodes of a tree that are asked about. */
export interface Asked {
  readonly head: Head;
  readonly level: number;
  readonly indices: readonly number[];
}

/** An entry that the asking node has, or needs not. */
export interface Summary {
  readonly keyHash: number;
  readonly low: number;
  readonly high: number;
}

/** Asks for the hashes of the children of some nodes of a level. */
export function writeAsked({ head, level, indices }: Asked): Uint8Array {
  const writer = new Writer(256 + 4 * indices.length);
  writeHead(writer, head);
  writer.u8(level);
  writeNumbers(writer, indices);
  return writer.view();
}

/** @throws {SyntaxError} If it is malformed. */
export function readAsked(bytes: Uint8Array): Asked {
  const reader = new Reader(bytes);
  const head = readHead(reader);
  const level = reader.u8();
  if (level >= DEPTH) throw malformed(`its trees have no level ${level + 1}`);
  return { head, level, indices: readNumbers(reader, FANOUT ** level) };
}

/** The hashes of the children of the nodes that are asked about. */
export function writeHashes(
  entries: Entries,
  head: Head,
  { level, indices }: Asked,
): Uint8Array {
  const writer = new Writer(256 + 8 * FANOUT * indices.length);
  writeHead(writer, head);
  const merkle = entries.merkle();
  for (const index of indices) {
    for (let child = index * FANOUT; child < (index + 1) * FANOUT; child++) {
      const { low, high } = merkle.digest(level + 1, child);
      writer.u32(low);
      writer.u32(high);
    }
  }
  return writer.view();
}

/** Which children differ from those here, by their index in their level. */
export function differing(
  entries: Entries,
  reader: Reader,
  { level, indices }: Asked,
): number[] {
  const merkle = entries.merkle();
  const found: number[] = [];
  for (const index of indices) {
    for (let child = index * FANOUT; child < (index + 1) * FANOUT; child++) {
      const { low, high } = merkle.digest(level + 1, child);
      const otherLow = reader.u32();
      const otherHigh = reader.u32();
      if (otherLow !== low || otherHigh !== high) found.push(child);
    }
  }
  return found;
}

/** The slots of some buckets, tombstones included, and what is told of them. */
export function summarize(
  entries: Entries,
  buckets: readonly number[],
): { slots: number[]; summaries: Summary[] } {
  const slots = entries.slotsOf(new Set(buckets));
  const summaries = slots.map((slot) => ({
    keyHash: entries.hashAt(slot),
    ...entries.versionAt(slot),
  }));
  return { slots, summaries };
}

/** Asks for what differs in some buckets. */
export function writeBuckets(
  head: Head,
  buckets: readonly number[],
  summaries: readonly Summary[],
): Uint8Array {
  const writer = new Writer(
    256 + 4 * buckets.length + SUMMARY_SIZE * summaries.length,
  );
  writeHead(writer, head);
  writeNumbers(writer, buckets);
  writer.u32(summaries.length);
  for (const { keyHash, low, high } of summaries) {
    writer.u32(keyHash);
    writer.u32(low);
    writer.u32(high);
  }
  return writer.view();
}

/** @throws {SyntaxError} If it is malformed. */
export function readBuckets(
  bytes: Uint8Array,
): { head: Head; buckets: number[]; summaries: Summary[] } {
  const reader = new Reader(bytes);
  const head = readHead(reader);
  const buckets = readNumbers(reader, BUCKETS);
  const summaries: Summary[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const keyHash = reader.u32();
    summaries.push({ keyHash, low: reader.u32(), high: reader.u32() });
  }
  return { head, buckets, summaries };
}

/** Writes which summaries are of keys that are not here. */
export function writeNumbers(writer: Writer, numbers: readonly number[]): void {
  writer.u32(numbers.length);
  for (const number of numbers) writer.u32(number);
}

/** @throws {SyntaxError} If one of them is not below `limit`, or there are more. */
export function readNumbers(reader: Reader, limit: number): number[] {
  const count = reader.u32();
  if (count > limit) throw malformed(`${count} numbers where ${limit} may be`);
  const numbers: number[] = [];
  for (let left = count; left > 0; left--) {
    const number = reader.u32();
    if (number >= limit) throw malformed(`${number} is not below ${limit}`);
    numbers.push(number);
  }
  return numbers;
}
