/** A value that MessagePack can carry. */
export type ValueType =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly ValueType[]
  | ValueMap;

/** A map that MessagePack can carry. */
export interface ValueMap {
  [index: string | number]: ValueType;
}

/** Encodes a value; throws on what MessagePack cannot carry. */
export function encode(object: ValueType): Uint8Array<ArrayBuffer>;

/** Decodes one whole value; throws on malformed or trailing bytes. */
export function decode(data: Uint8Array): ValueType;
