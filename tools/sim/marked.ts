/** What the payloads of scenarios begin with: it is found again in packets by that. */
const MARK = [0xd5, 0x1e, 0x9a, 0x7c] as const;

/** A payload that can be found in the packets that carry it. */
export function marked(...bytes: readonly number[]): Uint8Array {
  return Uint8Array.of(...MARK, ...bytes);
}

/** What follows the mark in a packet or a payload; null: there is none. */
export function contentOf(bytes: Uint8Array): Uint8Array | null {
  for (let at = bytes.indexOf(MARK[0]); at >= 0;) {
    if (MARK.every((byte, i) => bytes[at + i] === byte)) {
      return bytes.subarray(at + MARK.length);
    }
    at = bytes.indexOf(MARK[0], at + 1);
  }
  return null;
}
