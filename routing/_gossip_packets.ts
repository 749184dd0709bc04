import { MalformedError, type Reader, Writer } from "./_bytes.ts";
import { readId } from "./_peer_codec.ts";
import { codeOf, MAX_NUMBERS, type Note, reasonAt } from "./_receipts.ts";
import type { Lane, NodeId } from "./types.ts";

/** What a packet is, its first byte. */
export const LINK = 1;
export const PART = 2;
export const PARTED = 3;
export const FORWARD = 4;
export const SHUFFLE = 5;
export const SHUFFLED = 6;
export const PING = 7;
export const PONG = 8;
export const BEATS = 9;
export const SEARCH = 10;
export const FOUND = 11;
export const GOSSIP = 12;
export const I_HAVE = 13;
export const GRAFT = 14;
export const PRUNE = 15;
export const ROUTED = 16;
export const NOTE = 17;
export const ASK = 18;

/** Items in one packet, whatever they are. */
export const MAX_ITEMS = 128;

/** Which broadcast. */
export interface Name {
  readonly origin: NodeId;
  readonly epoch: number;
  readonly lane: Lane;
  readonly number: number;
}

/** A broadcast as a key; ids have no spaces. */
export function keyOf({ origin, epoch, lane, number }: Name): string {
  return `${origin} ${epoch} ${lane} ${number}`;
}

/** Writes which broadcast. */
export function writeName(writer: Writer, name: Name): void {
  writer.string(name.origin).u53(name.epoch);
  writer.u8(name.lane === "control" ? 1 : 0).u53(name.number);
}

/**
 * Reads which broadcast.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function readName(reader: Reader): Name {
  const origin = readId(reader);
  const epoch = reader.u53();
  const lane = reader.u8() === 1 ? "control" : "data";
  return { origin, epoch, lane, number: reader.u53() };
}

/** Writes some ids. */
export function writeIds(writer: Writer, ids: readonly NodeId[]): Writer {
  writer.u8(ids.length);
  for (const id of ids) writer.string(id);
  return writer;
}

/**
 * Reads some ids.
 *
 * @throws {MalformedError} If they are malformed, or too many.
 */
export function readIds(reader: Reader, max: number): NodeId[] {
  return readItems(reader, max, readId);
}

/** Reads a list. */
export function readItems<T>(
  reader: Reader,
  max: number,
  read: (reader: Reader) => T,
): T[] {
  const count = reader.u8();
  if (count > max) {
    throw new MalformedError(`A list has ${count} items of at most ${max}`);
  }
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(read(reader));
  return items;
}

/** What becomes of unicasts, as it travels to their origin. */
export function writeNote(note: Note): Uint8Array {
  const { epoch, reason, target, next, numbers } = note;
  const writer = new Writer().u53(epoch).u8(codeOf(reason));
  return writeNumbers(writer.string(target).string(next), numbers).take();
}

/**
 * Reads a note to this node.
 *
 * @throws {MalformedError} If it is malformed.
 */
export function readNote(reader: Reader, origin: NodeId): Note {
  const epoch = reader.u53();
  const reason = reasonAt(reader.u8());
  if (reason === undefined) throw new MalformedError("A note has no reason");
  const target = readId(reader);
  const next = readId(reader);
  const numbers = readNumbers(reader);
  return { origin, epoch, reason, target, next, numbers };
}

/** Writes numbers of unicasts. */
export function writeNumbers(
  writer: Writer,
  numbers: readonly number[],
): Writer {
  writer.u8(numbers.length);
  for (const number of numbers) writer.u53(number);
  return writer;
}

/**
 * Reads numbers of unicasts, up to the end.
 *
 * @throws {MalformedError} If they are malformed, or too many.
 */
export function readNumbers(reader: Reader): number[] {
  const numbers = readItems(reader, MAX_NUMBERS, (one) => one.u53());
  reader.end();
  return numbers;
}
