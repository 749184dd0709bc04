/**
 * What a node tells the guests that it lets in: payloads of kind 5.
 *
 * ```text
 * welcome  kind u8 = 5 · 1                  you are a guest here: pass nothing on
 * refusal  kind u8 = 5 · 2 · to · why · stream u32 · count u16 · request u32… ·
 *          count u16 · sequence f64…        this was not let through to a node
 * to, why  length u8 and bytes
 * stream   the conversation that was to be opened; 0xffffffff: none
 * ```
 *
 * Numbers are big-endian. Unknown types are ignored.
 */
import type { NodeId } from "@devts/routing";

/** The first byte of a payload that carries such a message. */
export const PAYLOAD_GUEST = 5;

const WELCOME = 1;
const REFUSAL = 2;
const NO_STREAM = 0xffff_ffff;
const MAX_ID = 64;
const MAX_TEXT = 255;
/** What one refusal names at most, of each; more waits for its time to be over. */
const MAX_NAMED = 1_024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a guest sent to another node and was not let through. */
export interface Refused {
  readonly to: NodeId;
  readonly why: string;
  /** Requests, whose replies it waits for. */
  readonly requests: readonly number[];
  /** The sequences of deliveries. */
  readonly deliveries: readonly number[];
  /** The conversation that it was to open; null: none. */
  readonly stream: number | null;
}

/** Tells a node that it is a guest here. */
export function writeWelcome(): Uint8Array {
  return Uint8Array.of(PAYLOAD_GUEST, WELCOME);
}

/** Tells a guest what was not let through. */
export function writeRefusal(refused: Refused): Uint8Array {
  const to = encoder.encode(refused.to).subarray(0, MAX_ID);
  const why = encoder.encode(refused.why).subarray(0, MAX_TEXT);
  const requests = refused.requests.slice(0, MAX_NAMED);
  const deliveries = refused.deliveries.slice(0, MAX_NAMED);
  const size = 2 + 1 + to.length + 1 + why.length + 4 + 2 +
    4 * requests.length + 2 + 8 * deliveries.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const byte of [PAYLOAD_GUEST, REFUSAL]) view.setUint8(at++, byte);
  for (const text of [to, why]) {
    view.setUint8(at++, text.length);
    bytes.set(text, at);
    at += text.length;
  }
  view.setUint32(at, refused.stream ?? NO_STREAM);
  view.setUint16(at + 4, requests.length);
  at += 6;
  for (const request of requests) {
    view.setUint32(at, request);
    at += 4;
  }
  view.setUint16(at, deliveries.length);
  at += 2;
  for (const sequence of deliveries) {
    view.setFloat64(at, sequence);
    at += 8;
  }
  return bytes;
}

/**
 * Reads such a message: what was refused, or "welcome"; null: its type is not known here.
 *
 * @throws {SyntaxError} If it is malformed.
 */
export function readFromHost(payload: Uint8Array): Refused | "welcome" | null {
  if (payload[1] === WELCOME) return "welcome";
  if (payload[1] !== REFUSAL) return null;
  const view = new DataView(
    payload.buffer,
    payload.byteOffset,
    payload.byteLength,
  );
  let at = 2;
  const take = (size: number): number => {
    const start = at;
    at += size;
    if (at > payload.length) {
      throw new SyntaxError("Cannot read what was refused: it is cut short");
    }
    return start;
  };
  const text = (): string => {
    const length = view.getUint8(take(1));
    const start = take(length);
    return decoder.decode(payload.subarray(start, start + length));
  };
  const list = (size: number, read: (at: number) => number): number[] => {
    const count = view.getUint16(take(2));
    const start = take(count * size);
    return Array.from({ length: count }, (_, i) => read(start + i * size));
  };
  const to = text();
  const why = text();
  const stream = view.getUint32(take(4));
  return {
    to,
    why,
    stream: stream === NO_STREAM ? null : stream,
    requests: list(4, (at) => view.getUint32(at)),
    deliveries: list(8, (at) => view.getFloat64(at)),
  };
}
