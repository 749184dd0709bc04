import type { BufferCodec, Codec, ViewCount } from "@devts/protocol";
import { isBufferCodec } from "./bundle.ts";

/** Data that is encoded already. */
export class Encoded {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A codec that takes data which is encoded already as it is. */
export function takingEncoded(codec: Codec): Codec {
  const encode = (value: unknown): Uint8Array =>
    value instanceof Encoded ? value.bytes : codec.encode(value);
  const decode = (bytes: Uint8Array): unknown => codec.decode(bytes);
  if (!isBufferCodec(codec)) return { name: codec.name, encode, decode };
  return inPlace(codec, encode, decode);
}

function inPlace(
  codec: BufferCodec & Partial<ViewCount>,
  encode: Codec["encode"],
  decode: Codec["decode"],
): BufferCodec {
  return {
    name: codec.name,
    encode,
    decode,
    encodeInto(value, target, offset) {
      if (!(value instanceof Encoded)) {
        return codec.encodeInto(value, target, offset);
      }
      const end = offset + value.bytes.length;
      if (end > target.length) return -1;
      target.set(value.bytes, offset);
      return end;
    },
    decodeAt: (source, start, end) => codec.decodeAt(source, start, end),
  };
}
