/** How often the strings of keys are remembered: in so many places, by their bytes. */
const KEYS = 1_024;
/** A string up to this many bytes is put together here; a longer one by the runtime. */
const SHORT = 24;
/** In {@linkcode scalarSizes}: the byte begins something else. */
export const SPECIAL = 0xff;

const sizes = scalarSizes();
const decoder = new TextDecoder();
/** The key seen last in each place. */
const keys: (Key | undefined)[] = new Array(KEYS).fill(undefined);
// The characters of a short string, one array for each length.
const units: readonly number[][] = Array.from(
  { length: SHORT + 1 },
  (_, length) => new Array(length).fill(0),
);
const floats = new DataView(new ArrayBuffer(8));

/** The bytes of a key, and what they mean. */
interface Key {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/**
 * Whether MessagePack is a small map of scalars and short strings, as most events
 * are: what can be seen in a third of the time of a scan. False says nothing.
 */
export function isFlat(
  source: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (end > source.length) return false;
  let position = start;
  const byte = source[position++] ?? 0xc1;
  let entries = byte & 0x0f;
  if (byte === 0xde && source[position] === 0) {
    entries = source[position + 1] ?? 0;
    position += 2;
  } else if (byte < 0x80 || byte > 0x8f) return false;
  for (; entries > 0; entries--) {
    const key = source[position++] ?? 0xc1;
    if (key < 0xa0 || key > 0xbf) return false;
    // It may be a byte order mark, or __proto__.
    const first = source[position] ?? 0xef;
    if (first === 0xef || first === 0x5f) return false;
    position += key & 0x1f;
    const value = source[position++] ?? 0xc1;
    if (value < 0x80 || value >= 0xe0) continue;
    let size = sizes[value] ?? SPECIAL;
    if (size === SPECIAL) {
      if (value === 0xd9) size = source[position++] ?? 0;
      else if (value >= 0xa0 && value < 0xc0) size = value & 0x1f;
      else return false;
      if (source[position] === 0xef) return false;
    }
    position += size;
  }
  return position === end;
}

/** Reads a map that {@linkcode isFlat}. */
export function readFlat(
  source: Uint8Array,
  start: number,
): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  let position = start;
  let entries = byteAt(source, position++) & 0x0f;
  if (byteAt(source, start) === 0xde) {
    entries = byteAt(source, position + 1);
    position += 2;
  }
  for (; entries > 0; entries--) {
    const length = byteAt(source, position++) & 0x1f;
    const key = keyAt(source, position, length);
    position += length;
    const byte = byteAt(source, position++);
    if (byte < 0x80) record[key] = byte;
    else if (byte >= 0xe0) record[key] = byte - 0x100;
    else if (byte < 0xc0) {
      const size = byte & 0x1f;
      record[key] = textAt(source, position, size);
      position += size;
    } else if (byte === 0xd9) {
      const size = byteAt(source, position++);
      record[key] = textAt(source, position, size);
      position += size;
    } else {
      record[key] = scalarAt(source, position, byte);
      position += byteAt(sizes, byte);
    }
  }
  return record;
}

function keyAt(source: Uint8Array, at: number, length: number): string {
  const place = (length << 7 ^ byteAt(source, at) << 3 ^
    byteAt(source, at + length - 1)) & (KEYS - 1);
  const known = keys[place];
  if (known !== undefined && isSame(source, at, length, known.bytes)) {
    return known.text;
  }
  // A copy: `slice` of some subclasses is a view.
  const bytes = new Uint8Array(source.subarray(at, at + length));
  const text = textAt(source, at, length);
  keys[place] = { bytes, text };
  return text;
}

function isSame(
  source: Uint8Array,
  at: number,
  length: number,
  bytes: Uint8Array,
): boolean {
  if (bytes.length !== length) return false;
  for (let i = 0; i < length; i++) {
    if (source[at + i] !== bytes[i]) return false;
  }
  return true;
}

/** Reads a text. */
export function textAt(source: Uint8Array, at: number, length: number): string {
  const codes = units[length];
  if (codes === undefined) {
    return decoder.decode(source.subarray(at, at + length));
  }
  let all = 0;
  for (let i = 0; i < length; i++) {
    const code = byteAt(source, at + i);
    codes[i] = code;
    all |= code;
  }
  return all < 0x80
    ? String.fromCharCode.apply(null, codes)
    : decoder.decode(source.subarray(at, at + length));
}

function scalarAt(source: Uint8Array, at: number, byte: number): unknown {
  switch (byte) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xcc:
      return byteAt(source, at);
    case 0xcd:
      return byteAt(source, at) << 8 | byteAt(source, at + 1);
    case 0xce:
      return int32At(source, at) >>> 0;
    case 0xd0:
      return byteAt(source, at) << 24 >> 24;
    case 0xd1:
      return (byteAt(source, at) << 24 | byteAt(source, at + 1) << 16) >> 16;
    case 0xd2:
      return int32At(source, at);
    case 0xca:
      floats.setInt32(0, int32At(source, at));
      return floats.getFloat32(0);
  }
  floats.setInt32(0, int32At(source, at));
  floats.setInt32(4, int32At(source, at + 4));
  if (byte === 0xcb) return floats.getFloat64(0);
  return byte === 0xcf ? floats.getBigUint64(0) : floats.getBigInt64(0);
}

function int32At(source: Uint8Array, at: number): number {
  return byteAt(source, at) << 24 | byteAt(source, at + 1) << 16 |
    byteAt(source, at + 2) << 8 | byteAt(source, at + 3);
}

// Within bounds by the caller: `?? 0` is for the type checker.
function byteAt(source: Uint8Array, at: number): number {
  return source[at] ?? 0;
}

/** How many bytes follow the first byte of a number, a boolean or null. */
export function scalarSizes(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(SPECIAL, 0x80, 0xe0);
  table.fill(0, 0xc2, 0xc4); // false, true
  table[0xc0] = 0;
  table[0xca] = 4;
  table[0xcb] = 8;
  for (let power = 0; power < 4; power++) {
    table[0xcc + power] = 1 << power;
    table[0xd0 + power] = 1 << power;
  }
  return table;
}
