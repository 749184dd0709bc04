/** Rows in one piece of memory, for the way to a worker and back. */
import { getU32, putU32 } from "../_u32.ts";
import type { StoredRow } from "./types.ts";

const REMOVED = 0xffff_ffff;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Packs rows: key and value, each with its length in front. */
export function packRows(
  rows: readonly StoredRow[],
): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const { key, value } of rows) {
    size += 8 + 3 * key.length + (value?.length ?? 0);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { key, value } of rows) {
    const end = putText(bytes, at + 4, key);
    putU32(bytes, at, end - at - 4);
    at = end;
    putU32(bytes, at, value?.length ?? REMOVED);
    at += 4;
    if (!value) continue;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes.subarray(0, at);
}

/** Visits packed rows. The bytes are views. */
export function eachRow(
  bytes: Uint8Array<ArrayBuffer>,
  visit: (
    key: Uint8Array<ArrayBuffer>,
    value: Uint8Array<ArrayBuffer> | null,
  ) => void,
): void {
  for (let at = 0; at < bytes.length;) {
    const keyEnd = at + 4 + getU32(bytes, at);
    const key = bytes.subarray(at + 4, keyEnd);
    const length = getU32(bytes, keyEnd);
    at = keyEnd + 4;
    if (length === REMOVED) {
      visit(key, null);
      continue;
    }
    visit(key, bytes.subarray(at, at + length));
    at += length;
  }
}

/** Unpacks rows; the values are views. */
export function unpackRows(bytes: Uint8Array<ArrayBuffer>): StoredRow[] {
  const rows: StoredRow[] = [];
  eachRow(bytes, (key, value) => {
    rows.push({ key: decoder.decode(key), value });
  });
  return rows;
}

/** Short texts of ASCII are faster by hand. */
function putText(bytes: Uint8Array, start: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80 || i >= 64) {
      return start + encoder.encodeInto(text, bytes.subarray(start)).written;
    }
    bytes[start + i] = code;
  }
  return start + text.length;
}
