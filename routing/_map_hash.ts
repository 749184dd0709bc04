/** Hashes are integers below this: a sum of two is still exact. */
const LIMIT = 2 ** 52;

/** A hash of bytes (cyrb53 by bryc, public domain). It tells equal from different, no more. */
export function hashBytes(bytes: Uint8Array): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x9e3779b1);
    b = Math.imul(b ^ byte, 0x5f356495);
  }
  return finish(a, b);
}

/** A hash of three numbers, the first two below 2^52, in this order. */
export function hashNumbers(x: number, y: number, z: number): number {
  let a = Math.imul(x ^ 0x9e3779b9, 0x85ebca6b);
  let b = Math.imul(x / 2 ** 20 ^ 0x41c6ce57, 0x9e3779b1);
  a = Math.imul(a ^ a >>> 15 ^ y, 0xc2b2ae35);
  b = Math.imul(b ^ b >>> 15 ^ y / 2 ** 20, 0x5f356495);
  return finish(a ^ z, b + z);
}

/** The hash of a set to which one with this hash is added. */
export function addHash(sum: number, hash: number): number {
  return (sum + hash) % LIMIT;
}

/** The hash of a set from which one with this hash is taken. */
export function removeHash(sum: number, hash: number): number {
  return (sum - hash + LIMIT) % LIMIT;
}

function finish(a: number, b: number): number {
  const low = Math.imul(a ^ a >>> 16, 0x85ebca6b) ^
    Math.imul(b ^ b >>> 13, 0xc2b2ae35);
  const high = Math.imul(b ^ b >>> 16, 0x85ebca6b) ^
    Math.imul(low ^ low >>> 13, 0xc2b2ae35);
  return (high >>> 12) * 2 ** 32 + (low >>> 0);
}
