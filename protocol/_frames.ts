import { decodeText, encodeText } from "./_text.ts";
import { type FrameKind, ProtocolError } from "./types.ts";

/** Bytes of a header: the type, the flags, and two reserved bytes. */
export const HEADER_SIZE = 4;

/**
 * The numbers of the frame types. Append only: a number is never given to
 * something else, and the table in `v1.ts` says who may send it when.
 */
export const FRAME = {
  hello: 0x01,
  welcome: 0x02,
  proof: 0x03,
  finish: 0x04,
  refusal: 0x05,
  data: 0x10,
  control: 0x11,
  gap: 0x12,
  goodbye: 0x13,
  progress: 0x90,
  echo: 0x91,
  echoed: 0x92,
} as const;

/** The name of a frame type. */
export type FrameName = keyof typeof FRAME;

/** From this number on, whoever does not know a type skips the frame. */
const FIRST_IGNORABLE = 0x80;
/** Bytes of a number of up to 53 bits. */
export const UINT53_SIZE = 8;
const GAP_SIZE = HEADER_SIZE + UINT53_SIZE;
const HIGH_WORD = 2 ** 32;

const names: ReadonlyMap<number | undefined, string> = new Map(
  Object.entries(FRAME).map(([name, type]) => [type, name]),
);

/** Writes the header of a frame at the start of `target`. */
export function writeHeader(name: FrameName, target: Uint8Array): void {
  if (target.length < HEADER_SIZE) {
    throw new RangeError(
      `Cannot write a header of ${HEADER_SIZE} bytes into ${target.length}`,
    );
  }
  target[0] = FRAME[name];
  target[1] = 0;
  target[2] = 0;
  target[3] = 0;
}

/** Tells what a frame after the handshake is; `null`: to be skipped. */
export function readHeader(message: Uint8Array): FrameKind | null {
  const type = message[0];
  if (type === undefined || message.length < HEADER_SIZE) {
    throw new ProtocolError(
      `Cannot read a frame: ${describe(message)} came`,
    );
  }
  // What the rest of its header means is the business of those who know it.
  if (type === FRAME.progress) return "progress";
  if (type === FRAME.echo) return "echo";
  if (type === FRAME.echoed) return "echoed";
  if (type >= FIRST_IGNORABLE) return null;
  if (message[1] !== 0 || message[2] !== 0 || message[3] !== 0) {
    throw new ProtocolError(
      `Cannot read a frame: ${describe(message)} ${headerFault(message)}`,
    );
  }
  switch (type) {
    case FRAME.data:
      return "data";
    case FRAME.control:
      return "control";
    case FRAME.gap:
      return "gap";
    case FRAME.goodbye:
      return "goodbye";
  }
  throw new ProtocolError(
    names.has(type)
      ? `Cannot read a frame: ${describe(message)} came after the handshake`
      : `Cannot read a frame: ${describe(message)} came`,
  );
}

/** What is wrong with the flags or the reserved bytes of a header, or `null`. */
export function headerFault(message: Uint8Array): string | null {
  const flags = message[1];
  if (flags !== undefined && flags !== 0) {
    return `has flags that this version does not know (${hex(flags)})`;
  }
  if (message[2] === 0 && message[3] === 0) return null;
  return "has reserved bytes that are not zero";
}

/** Names what came, for an error. */
export function describe(message: Uint8Array): string {
  const type = message[0];
  if (type === undefined || message.length < HEADER_SIZE) {
    return `a message of ${message.length} bytes, shorter than a header,`;
  }
  const name = names.get(type);
  if (name === undefined) return `a frame of unknown type (${hex(type)})`;
  return `a ${name} frame (${hex(type)})`;
}

/** Writes an integer from 0 to 2⁵³ − 1, big-endian. */
export function writeUint53(
  value: number,
  target: Uint8Array,
  offset: number,
): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(
      `Cannot write ${value}: it must be an integer from 0 to 2⁵³ − 1`,
    );
  }
  const view = viewOf(target);
  view.setUint32(offset, Math.floor(value / HIGH_WORD));
  view.setUint32(offset + 4, value % HIGH_WORD);
}

/** Reads an integer from 0 to 2⁵³ − 1; `null` if it is greater. */
export function readUint53(source: Uint8Array, offset: number): number | null {
  const view = viewOf(source);
  const value = view.getUint32(offset) * HIGH_WORD + view.getUint32(offset + 4);
  return Number.isSafeInteger(value) ? value : null;
}

/** The whole frame that tells how many events were dropped. */
export function gap(dropped: number): Uint8Array {
  const frame = new Uint8Array(GAP_SIZE);
  writeHeader("gap", frame);
  writeUint53(dropped, frame, HEADER_SIZE);
  return frame;
}

/** Reads a gap. */
export function readGap(message: Uint8Array): number {
  if (readHeader(message) !== "gap") {
    throw new ProtocolError(
      `Cannot read a gap: ${describe(message)} was given`,
    );
  }
  if (message.length !== GAP_SIZE) {
    throw new ProtocolError(
      `Cannot read a gap: it has ${message.length} bytes instead of ${GAP_SIZE}`,
    );
  }
  const dropped = readUint53(message, HEADER_SIZE);
  if (dropped === null) {
    throw new ProtocolError("Cannot read a gap: its number exceeds 2⁵³ − 1");
  }
  return dropped;
}

/** The whole frame that says why a link is closed. */
export function goodbye(reason: string): Uint8Array {
  const text = encodeText(reason);
  const frame = new Uint8Array(HEADER_SIZE + text.length);
  writeHeader("goodbye", frame);
  frame.set(text, HEADER_SIZE);
  return frame;
}

/** Reads a goodbye, whatever stands in it. */
export function readGoodbye(message: Uint8Array): string {
  return decodeText(message.subarray(HEADER_SIZE));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
