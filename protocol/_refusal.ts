import {
  HEADER_SIZE,
  readUint53,
  UINT53_SIZE,
  writeHeader,
  writeUint53,
} from "./_frames.ts";
import { clean, decodeText, encodeText } from "./_text.ts";
import { ProtocolError, type Refusal, type RefusalCode } from "./types.ts";

/** Each code's number is its place here, from 1 on. Append only. */
const CODES: readonly RefusalCode[] = [
  "version",
  "cluster",
  "format",
  "self",
  "duplicate",
  "stale",
  "conflict",
  "unexpected",
  "busy",
];

// The layout is fixed for ever: nodes without a version in common read it.
const INCARNATION_AT = HEADER_SIZE + 1;
const DETAIL_AT = INCARNATION_AT + UINT53_SIZE;
/** No incarnation can be stale against this one, so it stands for none. */
const NO_INCARNATION = 0;

/** The frame that refuses a connection. */
export function writeRefusal(refusal: Refusal): Uint8Array {
  const detail = encodeText(refusal.detail);
  const frame = new Uint8Array(DETAIL_AT + detail.length);
  writeHeader("refusal", frame);
  frame[HEADER_SIZE] = CODES.indexOf(refusal.code) + 1;
  writeUint53(refusal.incarnation ?? NO_INCARNATION, frame, INCARNATION_AT);
  frame.set(detail, DETAIL_AT);
  return frame;
}

/** Reads a refusal; one with a code of a later version counts as `busy`. */
export function readRefusal(message: Uint8Array): Refusal {
  const number = message[HEADER_SIZE];
  if (number === undefined || message.length < DETAIL_AT) {
    throw new ProtocolError(
      `Cannot read the refusal: it has ${message.length} bytes instead of at least ${DETAIL_AT}`,
    );
  }
  const incarnation = readUint53(message, INCARNATION_AT);
  if (incarnation === null) {
    throw new ProtocolError(
      "Cannot read the refusal: its incarnation exceeds 2⁵³ − 1",
    );
  }
  const detail = decodeText(message.subarray(DETAIL_AT));
  const code = CODES[number - 1];
  if (code === undefined) {
    return {
      code: "busy",
      detail: clean(`refused with the unknown code ${number}: ${detail}`),
    };
  }
  if (incarnation === NO_INCARNATION) return { code, detail };
  return { code, detail, incarnation };
}
