/** An event, or a reply, as it stands in a bundle. */
export interface Entry {
  /**
   * 0 event, 1 request, 2 reply, 0x20 event for one node alone.
   *
   * @default {0}
   */
  readonly type?: number;
  /** Of an event or a request. */
  readonly name?: string;
  /** Of a request or a reply. */
  readonly id?: number;
  /**
   * As the codec has written it.
   *
   * @default {nothing}
   */
  readonly data?: readonly number[];
}

const NO_DATA = 0x80;
const TYPE = 0x1f;
const NEW_NAME = 254;
const NO_NAME = 255;

/** A frame with a bundle of what is given, of any node's making. */
export function bundle(entries: readonly Entry[]): Uint8Array {
  const bytes = [0x10, 0, 0, 0, 1, 0];
  for (const { type = 0, name, id = 0, data } of entries) {
    bytes.push(data ? type : type | NO_DATA);
    bytes.push(name === undefined ? NO_NAME : NEW_NAME);
    bytes.push(...uint32(data?.length ?? 0));
    if ((type & TYPE) > 0) bytes.push(...uint32(id));
    if (name !== undefined) {
      const text = new TextEncoder().encode(name);
      bytes.push(text.length, ...text);
    }
    bytes.push(...data ?? []);
  }
  return Uint8Array.from(bytes);
}

function uint32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}
